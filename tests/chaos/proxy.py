"""A TCP proxy between the nodes and PostgreSQL that cuts and stalls what goes through it: a process of its own.

    python -m tests.chaos.proxy TO_PORT

The first line on stdout is its port; `cut`, `stall` and `flow` on stdin are obeyed, and its end ends it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from types import TracebackType
from typing import Final, Self

from tests.e2e.stage import ROOT


class Proxy:
    """The process, as tests hold it."""

    def __init__(self, to_port: int) -> None:
        self._to_port: Final = to_port
        self.port = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.proxy", str(self._to_port)],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate(timeout=10)

    def cut(self) -> None:
        """End every connection that is open."""
        self._tell("cut")

    def stall(self) -> None:
        """Let nothing through, and end nothing: a network that has gone quiet."""
        self._tell("stall")

    def flow(self) -> None:
        """Let all through again."""
        self._tell("flow")

    def _tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()


class _End(asyncio.Protocol):
    """One end of a connection; what comes in goes out at the other."""

    def __init__(self, ends: set[_End]) -> None:
        self._ends = ends
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self._early = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._ends.add(self)

    def join(self, other: _End) -> None:
        """Send all to the other end from now on."""
        self.other = other
        if other.transport is not None:
            other.transport.write(bytes(self._early))
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early += data
        elif self.other.transport is not None:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  as asyncio calls it
        self._ends.discard(self)
        self.transport = None
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class _Taken(_End):
    """The end of a client: the server is called as it comes."""

    def __init__(self, ends: set[_End], to_port: int) -> None:
        super().__init__(ends)
        self._to_port = to_port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._calling = asyncio.get_running_loop().create_task(self._call())

    async def _call(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, server = await loop.create_connection(lambda: _End(self._ends), "127.0.0.1", self._to_port)
        except OSError:
            server = None
        if self.transport is None or server is None:
            for one in (self, server):
                if one is not None and one.transport is not None:
                    one.transport.abort()
            return
        server.join(self)
        self.join(server)


async def _serve(to_port: int) -> None:
    loop, ends = asyncio.get_running_loop(), set[_End]()
    server = await loop.create_server(lambda: _Taken(ends, to_port), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    words = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin)
    while word := (await words.readline()).decode().strip():
        for transport in [end.transport for end in ends if end.transport is not None]:
            match word:
                case "cut":
                    transport.abort()
                case "stall":
                    transport.pause_reading()
                case _:
                    transport.resume_reading()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
