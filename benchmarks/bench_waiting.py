"""Waiting: 5,000 agents at work at once on runs that take long, each with its lane held by one loop.

Prints what the loop costs while it waits: processor, memory, connections. No thread and no request a lane.

    python benchmarks/bench_waiting.py [LANES] [SECONDS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.e2e.stage import Process, Stage, wait_for

ACCEPT_S_MAX = 600.0


def main() -> None:
    lanes = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30.0
    with tempfile.TemporaryDirectory() as folder, Stage(Path(folder)) as stage:
        receiver = stage.receiver(manners={"*": {"run_s": 3600}})
        due = datetime.now(UTC) - timedelta(seconds=1)
        stage.add_due(((f"agent-{number}", "stretch") for number in range(lanes)), first=due, apart=timedelta(0))
        began_s = time.monotonic()
        loop = stage.loop(env={"PROMPTYOSELF_LOG": "warning"})
        wait_for("all accepted", lambda: receiver.count("answered") == lanes, within_s=ACCEPT_S_MAX)
        accepted_s = time.monotonic() - began_s
        asked, cpu_s, began_s = receiver.asked(), loop.cpu_s(), time.monotonic()
        time.sleep(seconds)
        took_s = time.monotonic() - began_s
        percent = 100 * (loop.cpu_s() - cpu_s) / took_s
        requests = (receiver.asked() - asked) / took_s
        sockets, threads, rss_mb = _sockets(loop), _threads(loop), _rss_mb(loop)
    print(f"waiting: {lanes} lanes accepted in {accepted_s:.1f} s, then watched for {took_s:.0f} s")
    print(f"  {percent:.1f} % of one core, {rss_mb:.0f} MB resident, {sockets} sockets, {threads} threads")
    print(f"  {requests:.1f} requests/s to the server")


def _sockets(process: Process) -> int:
    links = Path(f"/proc/{process.pid}/fd").iterdir()
    return sum(str(link.readlink()).startswith("socket:") for link in links)


def _threads(process: Process) -> int:
    return len(list(Path(f"/proc/{process.pid}/task").iterdir()))


def _rss_mb(process: Process) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024


if __name__ == "__main__":
    main()
