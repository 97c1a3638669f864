"""Who may call by which name, and which pages may: against DNS rebinding and requests forged by other pages.

A page of another site can have its name resolve to this machine, or send requests here without reading the answers. The
browser says so: in Host, in Origin, in Sec-Fetch-Site. Programs send no Origin and are not concerned.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from promptyoself.interfaces.http.problem import problem_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from promptyoself.interfaces.http.reach import Reach

_SCHEME_PORTS = {"http": 80, "https": 443}


class Origins:
    """Refuses requests by foreign names and from foreign pages."""

    def __init__(self, app: ASGIApp, *, reach: Reach) -> None:
        self._app = app
        self._reach = reach

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] == "http":
            refused = self._refused(scope)
            if refused is not None:
                message, hint = refused
                answer = problem_response(message, status=403, code="forbidden", hint=hint)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refused(self, scope: Scope) -> tuple[str, str] | None:
        hosts = _all(scope, b"host")
        host = _place(hosts[0], "http") if len(hosts) == 1 else None
        if host is None or not self._reach.has(host[0]):
            return (
                "the request calls this service by a name that is not its own",
                "call it by its address, or start serve with --allowed-host and the name",
            )
        origins = _all(scope, b"origin")
        if origins and (len(origins) > 1 or not _is_same(origins[0], hosts[0])):
            return (
                "the request comes from a page of another origin",
                "browsers may call this service from its own pages only; programs send no Origin",
            )
        if not origins and _is_cross_site(scope):
            return ("the request comes from a page of another site", "open the address itself, or use a program")
        return None


def _is_same(origin: str, host: str) -> bool:
    """Return whether a page's origin is the very place that was called; a proxy may have spoken TLS for us."""
    scheme, separator, rest = origin.partition("://")
    if not separator or scheme not in _SCHEME_PORTS or not rest:
        return False
    found = _place(rest, scheme)
    return found is not None and found == _place(host, scheme)


def _is_cross_site(scope: Scope) -> bool:
    sites = _all(scope, b"sec-fetch-site")
    if not sites or all(site in {"same-origin", "none"} for site in sites):
        return False
    # Following a link to us is no forgery: it reads, and shows the answer to the person alone.
    is_link = scope["method"] == "GET" and _all(scope, b"sec-fetch-mode") == ["navigate"]
    return not (is_link and _all(scope, b"sec-fetch-dest") == ["document"])


def _all(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1").strip().lower() for key, value in scope["headers"] if key == name]


@lru_cache(maxsize=64)  # callers say the same name again and again
def _place(text: str, scheme: str) -> tuple[str, int] | None:
    """Return the name and port of `name:port`, brackets off; None when it is no such thing."""
    if not text or any(letter in text for letter in "/\\@?# \t,"):
        return None
    try:
        found = urlsplit(f"//{text}")
        name, port = found.hostname, found.port
    except ValueError:
        return None
    return None if not name else (name.rstrip("."), port or _SCHEME_PORTS[scheme])
