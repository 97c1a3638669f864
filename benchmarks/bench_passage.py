"""What it costs to ask Letta through promptyoself: the same requests straight and through the passage, in one run.

The server behind answers at once, so that the whole difference is ours; each runs in a process of its own. Requests go
out eight at a time.

    python benchmarks/bench_passage.py
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.clients.stand import standing
from tests.clients.upstream import Upstream, Wire, running

REQUESTS = 400
CLIENTS = 8
ROUNDS = 3
STREAM_BYTES = 32 * 1024 * 1024


async def requests_per_s(url: str) -> tuple[float, float]:
    """Return requests a second, and the median's milliseconds."""
    took_s: list[float] = []

    async def ask(session: aiohttp.ClientSession) -> None:
        for _ in range(REQUESTS // CLIENTS):
            begun = time.perf_counter()
            async with session.get(f"{url}/v1/agents/") as answer:
                answer.raise_for_status()
                await answer.read()
            took_s.append(time.perf_counter() - begun)

    async with aiohttp.ClientSession() as session:
        begun = time.perf_counter()
        await asyncio.gather(*(ask(session) for _ in range(CLIENTS)))
        return REQUESTS / (time.perf_counter() - begun), statistics.median(took_s) * 1000


async def mib_per_s(url: str) -> float:
    async with aiohttp.ClientSession() as session:
        begun = time.perf_counter()
        async with session.get(f"{url}/v1/long") as answer:
            size = 0
            async for piece in answer.content.iter_any():
                size += len(piece)
        return size / 1024 / 1024 / (time.perf_counter() - begun)


async def agents(wire: Wire) -> None:
    await wire.json([{"id": f"agent-{number}", "name": "x" * 100} for number in range(10)])


async def long(wire: Wire) -> None:
    await wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % STREAM_BYTES)
    for _ in range(STREAM_BYTES // 65536):
        await wire.write(b"x" * 65536)


def be_upstream() -> None:
    with running() as upstream:
        upstream.acts |= {"/v1/agents/": agents, "/v1/long": long}
        print(upstream.url, flush=True)
        sys.stdin.read()


def be_promptyoself(upstream_url: str) -> None:
    with tempfile.TemporaryDirectory() as folder, standing(Upstream(url=upstream_url), Path(folder)) as stand:
        print(stand.url, flush=True)
        sys.stdin.read()


@contextmanager
def process(*arguments: str) -> Iterator[str]:
    """Run this file in a process of its own; it says its URL, and ends with its stdin."""
    command = [sys.executable, __file__, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        yield (child.stdout or sys.stdin).readline().strip()
        child.communicate()


def main() -> None:
    with process("upstream") as straight_url, process("promptyoself", straight_url) as through_url:
        for number in range(ROUNDS):
            straight, straight_ms = asyncio.run(requests_per_s(straight_url))
            through, through_ms = asyncio.run(requests_per_s(through_url))
            stream, passed = asyncio.run(mib_per_s(straight_url)), asyncio.run(mib_per_s(through_url))
            print(
                f"round {number + 1}: {straight:.0f} requests/s straight, {through:.0f} through "
                f"({through / straight:.2f}); median {straight_ms:.2f} and {through_ms:.2f} ms "
                f"(+{through_ms - straight_ms:.2f} ms); stream {stream:.0f} and {passed:.0f} MiB/s "
                f"({passed / stream:.2f})"
            )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["upstream"]:
            be_upstream()
        case ["promptyoself", url]:
            be_promptyoself(url)
        case _:
            main()
