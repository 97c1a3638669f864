"""By which names the service may be called, and what is this machine alone."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, NamedTuple

from promptyoself.interfaces.failures import is_loopback

if TYPE_CHECKING:
    from starlette.types import Scope

_FORWARDED: Final = frozenset(
    {
        b"forwarded",
        b"via",
        b"cdn-loop",
        b"x-real-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-original-forwarded-for",
        b"x-original-host",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"fastly-client-ip",
        b"fly-client-ip",
        b"tailscale-user-login",
    }
)
_FORWARDED_BEGINS: Final = (b"x-forwarded-", b"x-envoy-")
"""What proxies and tunnels add to requests that they pass on."""


class Reach(NamedTuple):
    """By which names the service may be called."""

    host: str = "127.0.0.1"
    """What it was told to listen at: a name or an address."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names, in small letters, without a port."""

    def has(self, name: str) -> bool:
        """Return whether a request may call this service by `name`: small letters, no port, no brackets."""
        if name == "localhost" or is_loopback(name) or name in {self.host.lower(), *self.allowed_hosts}:
            return True
        # No page can make an address mean another machine; where others may call at all, they may by address.
        return _is_address(name) and not (is_loopback(self.host) or self.host.lower() == "localhost")


def is_near(scope: Scope) -> bool:
    """Return whether a request was made on this machine; one that a proxy has forwarded was not.

    A proxy that adds nothing to what it forwards cannot be told from a program here (docs/access.md). One sign is left:
    HTTP/1.0, which nginx speaks to what is behind it unless it is told otherwise, and hardly a program does.
    """
    if any(name in _FORWARDED or name.startswith(_FORWARDED_BEGINS) for name, _ in scope["headers"]):
        return False
    if scope.get("http_version") == "1.0":
        return False
    return is_loopback((scope.get("client") or ("", 0))[0])


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
