"""`/healthz`, `/readyz` and `/metrics` of a process without doors, for whoever watches it: on this machine alone.

The same words as at `serve`, in the few lines of HTTP that they need: a worker is installed without a web server.
Metrics are what this process has seen; what is stored any `serve` tells.
"""

from __future__ import annotations

import socket
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.errors import ConfigError
from promptyoself.interfaces.readiness import Readiness, status_of
from promptyoself.interfaces.seen import TEXT_FORMAT, Deliveries, exposition
from promptyoself.interfaces.small_server import Answer, SmallServer, word

HOST: Final = "127.0.0.1"
PORT_MAX: Final = 65535


def listen(port: int) -> socket.socket:
    """Take the port; 0 takes any free one. Raises ConfigError. Before it is opened, callers wait."""
    if not 0 <= port <= PORT_MAX:
        raise ConfigError(f"--health-port {port} is no port", hint=f"it is a number from 0 to {PORT_MAX}")
    try:
        listening = socket.create_server((HOST, port), backlog=limits.HEALTH_CALLS_MAX)
    except OSError as exc:
        raise ConfigError(
            f"--health-port {port} cannot be listened at: another program has it, or it is not ours to use",
            hint="choose another, or 0 for a free one; each worker of a machine needs its own",
        ) from exc
    listening.settimeout(0)
    return listening


def url_of(listening: socket.socket) -> str:
    """Return where it is asked."""
    return f"http://{HOST}:{listening.getsockname()[1]}"


class HealthPort:
    """Answers at one port of this machine."""

    def __init__(self, readiness: Readiness, seen: Deliveries) -> None:
        self._readiness = readiness
        self._seen = seen
        self._server = SmallServer(self._answer_to)

    async def open(self, listening: socket.socket) -> None:
        """Begin to answer."""
        await self._server.open(listening)

    async def close(self) -> None:
        """Stop listening. Who is being answered is answered."""
        await self._server.close()

    async def _answer_to(self, method: str, path: str) -> Answer:
        if method not in {"GET", "HEAD"}:
            return word(405, "method not allowed")
        match path:
            case "/healthz":
                return word(200, "ok")  # which is all that liveness means: the event loop turns
            case "/readyz":
                status = status_of(await self._readiness.looks())
                return word(503 if status == "unready" else 200, status)
            case "/metrics":
                return Answer(200, TEXT_FORMAT, exposition(self._seen).encode())
            case _:
                return word(404, "not found")
