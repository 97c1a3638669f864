"""`/healthz`, `/readyz` and `/metrics` of a process without doors, for whoever watches it: on this machine alone.

The same words as at `serve`, in the few lines of HTTP that they need: a worker is installed without a web server.
Metrics are what this process has seen; what is stored any `serve` tells.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.errors import ConfigError
from promptyoself.interfaces.readiness import Readiness, status_of
from promptyoself.interfaces.seen import TEXT_FORMAT, Deliveries, exposition

HOST: Final = "127.0.0.1"
PORT_MAX: Final = 65535
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}


class HealthPort:
    """Answers at one port of this machine."""

    def __init__(self, readiness: Readiness, seen: Deliveries) -> None:
        self._readiness = readiness
        self._seen = seen
        self._room = asyncio.Semaphore(limits.HEALTH_CALLS_MAX)
        self._server: asyncio.Server | None = None

    async def open(self, port: int) -> str:
        """Listen; return the URL. Port 0 takes any free one. Raises ConfigError."""
        if not 0 <= port <= PORT_MAX:
            raise ConfigError(f"--health-port {port} is no port", hint=f"it is a number from 0 to {PORT_MAX}")
        try:
            self._server = await asyncio.start_server(
                self._answer, HOST, port, limit=limits.REQUEST_HEAD_BYTES_MAX, backlog=limits.HEALTH_CALLS_MAX
            )
        except OSError as exc:
            raise ConfigError(
                f"--health-port {port} cannot be listened at: another program has it, or it is not ours to use",
                hint="choose another, or 0 for a free one",
            ) from exc
        return f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Stop listening. Who is being answered is answered."""
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(limits.HEALTH_CALL_FOR.total_seconds()), self._room:
                head = await reader.readuntil(b"\r\n\r\n")
                code, kind, body = await self._answer_to(head.split(b"\r\n", 1)[0].split(b" "))
                writer.write(
                    f"HTTP/1.1 {code} {_REASONS[code]}\r\nContent-Type: {kind}\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                    + (b"" if head.startswith(b"HEAD ") else body)
                )
                await writer.drain()
        writer.close()

    async def _answer_to(self, line: list[bytes]) -> tuple[int, str, bytes]:
        """Return code, media type and body."""
        match line:
            case [b"GET" | b"HEAD", path, _]:
                pass
            case [_, _, _]:
                return _status(405, "method not allowed")
            case _:
                return _status(400, "bad request")
        match path.partition(b"?")[0]:
            case b"/healthz":
                return _status(200, "ok")  # which is all that liveness means: the event loop turns
            case b"/readyz":
                status = status_of(await self._readiness.looks())
                return _status(503 if status == "unready" else 200, status)
            case b"/metrics":
                return 200, TEXT_FORMAT, exposition(self._seen).encode()
            case _:
                return _status(404, "not found")


def _status(code: int, status: str) -> tuple[int, str, bytes]:
    return code, "application/json", json.dumps({"status": status}).encode()
