"""Lets a test's Letta register MCP servers on loopback: its check asks `is_global`, and no setting lifts it."""

import ipaddress

_is_global = ipaddress.IPv4Address.is_global


def _is_global_or_loopback(address: ipaddress.IPv4Address) -> bool:
    return address.is_loopback or bool(_is_global.__get__(address))


ipaddress.IPv4Address.is_global = property(_is_global_or_loopback)  # type: ignore[assignment,method-assign]
