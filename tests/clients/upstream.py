"""A server where Letta would be, down to its bytes: what arrived is kept as it came, and answers are written raw."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

WITHIN_S = 10.0


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, values
        return values[0] if values else None


class Wire:
    """The connection of one request, for answers by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        self.seen = seen
        self._reader = reader
        self._writer = writer

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def chunk(self, data: bytes) -> None:
        await self.write(b"%x\r\n%s\r\n" % (len(data), data))

    async def json(self, document: object, status: int = 200) -> None:
        await self.answer(status, json.dumps(document).encode(), ("Content-Type", "application/json"))

    async def answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        lines = [
            f"HTTP/1.1 {status} Some",
            f"Content-Length: {len(body)}",
            *(f"{key}: {value}" for key, value in headers),
        ]
        await self.write("\r\n".join([*lines, "", ""]).encode() + body)

    async def body(self, seen: Seen) -> bytes:
        """Read the request's body, whichever way it is framed."""
        if "chunked" in (seen.header("transfer-encoding") or ""):
            return b"".join([piece async for piece in self.chunks()])
        return await self._reader.readexactly(int(seen.header("content-length") or 0))

    async def chunks(self) -> Any:  # noqa: ANN401  an async generator of bytes
        while size := int(await self._reader.readline(), 16):
            yield await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        await self._reader.readline()

    async def until_gone(self) -> None:
        """Wait until the other side hangs up."""
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(WITHIN_S):
                await self._reader.read()
                return
        raise AssertionError("nobody hung up")

    def drop(self) -> None:
        self._writer.transport.abort()


Act = Callable[[Wire], Awaitable[None]]


@dataclass
class Upstream:
    """`acts` by path say what is answered; `early` ones begin before the body is read. `password` None: open to all."""

    password: str | None = None
    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    acts: dict[str, Act] = field(default_factory=dict)
    early: dict[str, Act] = field(default_factory=dict)
    signals: dict[str, threading.Event] = field(default_factory=dict)
    loop: asyncio.AbstractEventLoop | None = None

    def signal(self, name: str) -> threading.Event:
        return self.signals.setdefault(name, threading.Event())

    async def heard(self, name: str) -> None:
        """Wait, in the server, for a signal that the test sets."""
        assert await asyncio.to_thread(self.signal(name).wait, WITHIN_S), name

    @property
    def last(self) -> Seen:
        return self.seen[-1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                method, target, _ = line.decode("latin-1").split(" ", 2)
                headers = []
                while (line := await reader.readline()) not in {b"\r\n", b""}:
                    key, _, value = line.decode("latin-1").partition(":")
                    headers.append((key, value.strip()))
                await self._met(Wire(reader, writer, Seen(method, target, headers)))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _met(self, wire: Wire) -> None:
        seen = wire.seen
        self.seen.append(seen)
        if seen.path in self.early:
            await self.early[seen.path](wire)
            return
        seen.body = await wire.body(seen)
        self.signal("arrived").set()
        if self.password is not None and seen.header("authorization") != f"Bearer {self.password}":
            await wire.json({"detail": "Unauthorized"}, 401)
        elif seen.path in self.acts:
            await self.acts[seen.path](wire)
        else:
            await wire.json({"detail": "Not Found"}, 404)


@contextmanager
def running() -> Iterator[Upstream]:
    """Run one in a thread of its own."""
    upstream = Upstream()
    ready, stop = threading.Event(), asyncio.Event()

    async def main() -> None:
        upstream.loop = asyncio.get_running_loop()
        server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
        upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await stop.wait()
        server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="upstream")
    thread.start()
    try:
        assert ready.wait(WITHIN_S)
        yield upstream
    finally:
        assert upstream.loop is not None
        upstream.loop.call_soon_threadsafe(stop.set)
        thread.join(WITHIN_S)
