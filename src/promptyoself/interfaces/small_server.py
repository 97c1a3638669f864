"""The few lines of HTTP in which a process is asked how it is, where no web server is installed or none runs yet."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from typing import Final, NamedTuple

from promptyoself.domain import limits

_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}
_LEFT_BYTES: Final = 65_536


class Answer(NamedTuple):
    """What is sent back."""

    code: int
    kind: str
    """Its media type."""
    body: bytes
    headers: tuple[str, ...] = ()


Answering = Callable[[str, str], Awaitable[Answer]]
"""Takes the method and the path without its query."""


def word(code: int, status: str) -> Answer:
    """Return an answer of one word."""
    return Answer(code, "application/json", json.dumps({"status": status}).encode())


class SmallServer:
    """Answers at a socket that listens already: one request a connection, in HEALTH_CALL_FOR at most."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._room = asyncio.Semaphore(limits.HEALTH_CALLS_MAX)
        self._server: asyncio.Server | None = None
        self._calls: set[asyncio.Task[None]] = set()

    async def open(self, listening: socket.socket, *, tls: ssl.SSLContext | None = None) -> None:
        """Begin to answer; the socket is this server's from now on."""
        self._server = await asyncio.start_server(
            self._called, sock=listening, ssl=tls, limit=limits.REQUEST_HEAD_BYTES_MAX, backlog=limits.HEALTH_CALLS_MAX
        )

    async def close(self) -> None:
        """Stop listening. Who is being answered is answered, within THREADS_END_FOR."""
        if self._server is not None:
            self._server.close()
        if self._calls:
            _, late = await asyncio.wait(self._calls, timeout=limits.THREADS_END_FOR.total_seconds())
            for call in late:
                call.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = asyncio.ensure_future(self._answer(reader, writer))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(limits.HEALTH_CALL_FOR.total_seconds()), self._room:
                head = await reader.readuntil(b"\r\n\r\n")
                match head.split(b"\r\n", 1)[0].split(b" "):
                    case [method, path, _]:
                        asked = method.decode("latin-1"), path.partition(b"?")[0].decode("latin-1")
                        answer = await self._answering(*asked)
                    case _:
                        answer = word(400, "bad request")
                writer.write(_head_of(answer) + (b"" if head.startswith(b"HEAD ") else answer.body))
                await writer.drain()
            await _let_go(reader, writer)


async def _let_go(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read what may be left of the request: closed over a body that nobody has read, the answer would be lost too."""
    if writer.can_write_eof():
        writer.write_eof()
        async with asyncio.timeout(limits.HEALTH_CALL_FOR.total_seconds()):
            while await reader.read(_LEFT_BYTES):
                pass


def _head_of(answer: Answer) -> bytes:
    lines = (
        f"HTTP/1.1 {answer.code} {_REASONS[answer.code]}",
        f"Content-Type: {answer.kind}",
        f"Content-Length: {len(answer.body)}",
        "Connection: close",
        *answer.headers,
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
