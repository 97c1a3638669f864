"""What a call over MCP costs beside its command: `serve` on loopback, one connection, one call after the other.

Prints the median, the 99th percentile and the server's processor time a call (which a busy machine leaves alone) of a
ping and of a tool that lists schedules, by raw POST in both eras and by the SDK's own client.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

CALLS = 500
WARM = 50
MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
PROGRAM = (sys.executable, "-m", "promptyoself")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "PROMPTYOSELF_DB": f"{folder}/p.db",
            "LETTA_BASE_URL": "http://127.0.0.1:9",
            "PROMPTYOSELF_TIMEZONE": "UTC",
        }
        made = subprocess.run(
            [*PROGRAM, "token", "create", "--operator"], env=env, check=True, capture_output=True, text=True
        )
        token = json.loads(made.stdout)["token"]
        with (Path(folder) / "err").open("w+") as err:
            process = subprocess.Popen(
                [*PROGRAM, "serve", "--port", "0"], env=env, stdout=subprocess.DEVNULL, stderr=err
            )
            try:
                url = f"{listening(process, Path(err.name))}/mcp"
                asyncio.run(measure(url, token, process.pid))
                resident_mb = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * 4096 / 1e6
                print(f"{'resident memory of serve after it':44} {resident_mb:7.0f} MB")
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)


def listening(process: subprocess.Popen[bytes], log: Path) -> str:
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s and process.poll() is None:
        if found := re.search(r"serve\.listening url=(\S+)", log.read_text()):
            return found[1]
        time.sleep(0.05)
    raise SystemExit(f"serve did not start: {log.read_text()}")


async def measure(url: str, token: str, pid: int) -> None:
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
    }
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        await report(pid, "ping, raw POST, 2025 protocol", lambda: post(http, url, "ping"))
        await report(pid, "list_my_schedules, raw POST, 2025 protocol", lambda: post(http, url, "tools/call", **LISTED))
        await report(
            pid, "list_my_schedules, raw POST, 2026 protocol", lambda: post_modern(http, url, "tools/call", **LISTED)
        )
        async with Client(streamable_http_client(url, http_client=http)) as client:
            await report(pid, "list_my_schedules, the SDK's client", lambda: client.call_tool("list_my_schedules", {}))


LISTED: dict[str, Any] = {"name": "list_my_schedules", "arguments": {}}


async def post(http: httpx2.AsyncClient, url: str, method: str, **params: object) -> None:
    answer = await http.post(url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    check(answer)


async def post_modern(http: httpx2.AsyncClient, url: str, method: str, **params: object) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params | {"_meta": META}}
    headers = {"Mcp-Protocol-Version": MODERN, "Mcp-Method": method, "Mcp-Name": params["name"]}
    answer = await http.post(url, json=body, headers=headers)
    check(answer)


def check(answer: httpx2.Response) -> None:
    if "result" not in answer.json():
        raise SystemExit(answer.text)


async def report(pid: int, what: str, call: Callable[[], Awaitable[object]]) -> None:
    for _ in range(WARM):
        await call()
    took_ms = []
    cpu_s = cpu_of(pid)
    for _ in range(CALLS):
        begun_s = time.perf_counter()
        await call()
        took_ms.append((time.perf_counter() - begun_s) * 1000)
    took_ms.sort()
    cpu_ms = (cpu_of(pid) - cpu_s) * 1000 / CALLS
    p50_ms, p99_ms = took_ms[CALLS // 2], took_ms[CALLS * 99 // 100]
    print(f"{what:44} p50 {p50_ms:6.2f} ms   p99 {p99_ms:6.2f} ms   processor {cpu_ms:5.2f} ms")


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
