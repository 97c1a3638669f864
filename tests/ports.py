"""Ports for servers that are told theirs ahead."""

from __future__ import annotations

import socket
from typing import Final

from promptyoself.runtime import SystemChance

_PORTS: Final = range(10_000, 32_000)
"""Below those that the system gives to whoever connects: one of these would be taken again before it is used."""
_TRIES: Final = 100


def free_port() -> int:
    """Return a port of this machine's loopback address that nobody listens on."""
    chance = SystemChance()
    for _ in range(_TRIES):
        port = _PORTS[int(chance.fraction() * len(_PORTS))]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no port is free: {_TRIES} were tried")
