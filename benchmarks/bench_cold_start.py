"""How long a cold start takes beside the floor: `python -c "import argparse, json, sqlite3"` in the same run.

SMCP starts one process a call. register asks a Letta stub about the agent. Calls and floor take turns, so that a busy
machine slows both; medians are compared. `--check` fails above RATIO_MAX.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Final

ROUNDS: Final = 25
RATIO_MAX: Final = 4.0
FLOOR: Final = [sys.executable, "-c", "import argparse, json, sqlite3"]
# As the installed console script does it.
PROGRAM: Final = [sys.executable, "-c", "import sys; from promptyoself.__main__ import main; sys.exit(main())"]
REGISTER: Final = ["register", "--agent-id", "agent-1", "--prompt", "stretch"]
CALLS: Final = {
    "register --every": [*REGISTER, "--every", "1h"],
    "register --cron": [*REGISTER, "--cron", "0 9 * * mon-fri", "--timezone", "Europe/Riga"],
    "list": ["list", "--agent-id", "agent-2"],
    "cancel": ["cancel", "--id", "1"],
}


class Stub(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"id": "agent-1", "name": "one", "description": null}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class calls it so
        """Keep quiet."""


def timed_ms(command: list[str], environ: dict[str, str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    took_ms = (time.perf_counter() - began) * 1000
    if done.returncode != 0:
        sys.exit(f"{command} failed: {done.stdout.decode()}{done.stderr.decode()}")
    return took_ms


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    Thread(target=server.serve_forever, daemon=True).start()
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("PROMPTYOSELF", "LETTA"))}
        environ |= {"HOME": folder, "LETTA_BASE_URL": f"http://127.0.0.1:{server.server_port}"}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        took = {name: [0.0] * 0 for name in CALLS}
        floor: list[float] = []
        for words in CALLS.values():
            timed_ms([*PROGRAM, *words], environ)  # makes the database, and the bytecode
        for _ in range(ROUNDS):
            for name, words in CALLS.items():
                floor.append(timed_ms(FLOOR, environ))
                took[name].append(timed_ms([*PROGRAM, *words], environ))
    server.shutdown()
    base_ms = statistics.median(floor)
    print(f"{'floor':<18}{base_ms:7.1f} ms")
    for name, times in took.items():
        ratio = statistics.median(times) / base_ms
        worst = max(worst, ratio)
        print(f"{name:<18}{statistics.median(times):7.1f} ms   {ratio:.2f} x the floor")
    if "--check" in sys.argv and worst > RATIO_MAX:
        sys.exit(f"{worst:.2f} is above {RATIO_MAX}")


if __name__ == "__main__":
    main()
