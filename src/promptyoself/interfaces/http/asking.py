"""Who asks over HTTP: a dependency of every route that is not health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from promptyoself.interfaces.http.parts import parts_of
from promptyoself.interfaces.identity import Credentials, Identity

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.requests import HTTPConnection

_SCHEME = "bearer "


def credentials_of(headers: Headers, address: str | None = None) -> Credentials:
    """Return what a request presents of its sender; `address` is the one that its connection comes from.

    Of a header that is sent twice, one proxy believes the first and another the last: joined, they are nobody's.
    """
    authorization = ", ".join(_all(headers, b"authorization"))
    bearer = authorization[len(_SCHEME) :].strip() if authorization[: len(_SCHEME)].lower() == _SCHEME else ""
    agent = _all(headers, b"x-agent-id")
    return Credentials(bearer=bearer or None, agent_header=", ".join(agent) if agent else None, address=address)


def _all(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers.raw if key == name]


def address_of(request: HTTPConnection) -> str | None:
    """Return the address that a request's connection comes from, None for a connection without one (a socket file)."""
    return request.client.host if request.client else None


async def asker(request: Request) -> Identity:
    """Return who asks, found out once a request. Raises Unauthenticated and Forbidden."""
    known: Identity | None = getattr(request.state, "identity", None)
    if known is None:
        known = request.state.identity = await parts_of(request.app).gatekeeper.identify(
            credentials_of(request.headers, address_of(request))
        )
    return known


Asker = Annotated[Identity, Depends(asker)]
