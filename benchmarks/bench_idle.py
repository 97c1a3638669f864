"""Idle: what a loop costs while 100,000 schedules wait and none is due. The promise is under 1 % of one core.

python benchmarks/bench_idle.py [SECONDS] [SCHEDULES]
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from promptyoself.domain.models import Definition, Provenance
from promptyoself.domain.ports import NewSchedule
from promptyoself.domain.triggers import TriggerKind, make_trigger
from promptyoself.storage.sqlite import SqliteStore

PROMISED_PERCENT = 1.0
START_S_MAX = 60.0
BATCH = 10_000


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    schedules = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "idle.db"
        _fill(path, schedules)
        percent, rss_mb = _idle(path, seconds)
    print(f"idle: {schedules} schedules, {seconds:.0f} s: {percent:.2f} % of one core, {rss_mb:.0f} MB resident")
    return 0 if percent < PROMISED_PERCENT else 1


def _fill(path: Path, schedules: int) -> None:
    now = datetime.now(UTC)
    fire_at = now + timedelta(days=1)
    trigger = make_trigger(TriggerKind.INTERVAL, "1d", timezone="UTC", now=now)
    store = SqliteStore.open(path, new_uid=lambda: "ab" * 16)
    try:
        for begin in range(0, schedules, BATCH):
            with store.transaction() as tx:
                for number in range(begin, min(begin + BATCH, schedules)):
                    definition = Definition(
                        agent_id=f"agent-{number % 1000}", prompt="stretch", trigger=trigger, target="inbox"
                    )
                    tx.add_schedule(
                        NewSchedule(
                            uid=f"{number:032x}",
                            definition=definition,
                            provenance=Provenance(),
                            next_fire_at=fire_at + timedelta(seconds=number),
                            created_at=now,
                        )
                    )
    finally:
        store.close()


def _idle(path: Path, seconds: float) -> tuple[float, float]:
    """Run a loop and return the share of a core that it used once it stood, and its memory in MB."""
    env = {**os.environ, "PROMPTYOSELF_DB": str(path), "PROMPTYOSELF_TIMEZONE": "UTC"}
    command = [sys.executable, "-m", "promptyoself", "execute", "--loop"]
    loop = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    try:
        _wait_until_it_beats(path)
        began_s, began_cpu_s = time.monotonic(), _cpu_s(loop.pid)
        time.sleep(seconds)
        used_s, took_s = _cpu_s(loop.pid) - began_cpu_s, time.monotonic() - began_s
        rss_mb = _rss_mb(loop.pid)
        loop.send_signal(signal.SIGTERM)
        loop.wait(60)
    finally:
        loop.kill()
        loop.wait()
    return 100 * used_s / took_s, rss_mb


def _wait_until_it_beats(path: Path) -> None:
    until_s = time.monotonic() + START_S_MAX
    store = SqliteStore.open(path, new_uid=lambda: "ab" * 16)
    try:
        while time.monotonic() < until_s:
            with store.reading() as tx:
                if tx.executors(alive_since=datetime.now(UTC) - timedelta(minutes=1)):
                    break
            time.sleep(0.1)
        else:
            raise TimeoutError("the loop did not start")
    finally:
        store.close()
    time.sleep(1.0)  # its first pass is its start, not its idling


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024


if __name__ == "__main__":
    sys.exit(main())
