"""A burst: 100,000 prompts due at once, delivered by one process to a target that does nothing.

Prints deliveries a second, and the peak of memory beside that of a burst of 1,000: it must not grow with the burst.

    python benchmarks/bench_burst.py [PROMPTS] [AGENTS]
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from promptyoself.application.passes import Entry
from promptyoself.bootstrap import World
from promptyoself.config import load_settings
from promptyoself.domain.answers import (
    Absent,
    Done,
    FollowResult,
    Message,
    Refused,
    SendResult,
    Sent,
    SettleResult,
    Target,
)
from promptyoself.domain.models import Definition, Provenance
from promptyoself.domain.ports import Clock, NewSchedule, Writer
from promptyoself.domain.triggers import TriggerKind, make_trigger

BATCH = 10_000
GROWTH_MB_MAX = 64.0
SMALL = 1000


class NoTarget:
    """Takes everything at once and keeps nothing."""

    @property
    def name(self) -> str:
        """`nowhere`."""
        return "nowhere"

    async def send(self, message: Message) -> SendResult:
        """Done."""
        del message
        return Done()

    async def follow(self, sent: Sent) -> FollowResult:
        """Done."""
        del sent
        return Done()

    async def settle(self, sent: Sent) -> SettleResult:
        """Nothing is ever there."""
        del sent
        return Absent()

    async def cancel_run(self, sent: Sent) -> None:
        """Nothing runs."""

    async def probe(self) -> Refused | None:
        """Always well."""
        return None

    async def close(self) -> None:
        """Nothing is open."""


def main() -> int:
    if sys.argv[1:2] == ["--in-this-process"]:
        print(json.dumps(_measure(int(sys.argv[2]), int(sys.argv[3]))))
        return 0
    prompts = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    agents = int(sys.argv[2]) if len(sys.argv) > 2 else prompts
    small, large = _apart(SMALL, min(agents, SMALL)), _apart(prompts, agents)
    for name, found in ((SMALL, small), (prompts, large)):
        rate, peak = found["rate"], found["peak_mb"]
        print(f"burst of {name}: {rate:.0f} deliveries/s, peak {peak:.0f} MB resident, {found['took_s']:.1f} s")
    growth_mb = large["peak_mb"] - small["peak_mb"]
    print(f"growth: {growth_mb:.0f} MB (at most {GROWTH_MB_MAX:.0f})")
    return 0 if growth_mb <= GROWTH_MB_MAX else 1


def _apart(prompts: int, agents: int) -> dict[str, float]:
    """Measure in a process of its own, whose peak of memory is then this burst's."""
    command = [sys.executable, __file__, "--in-this-process", str(prompts), str(agents)]
    answer: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return answer


def _measure(prompts: int, agents: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings({"HOME": folder}, Path(folder), flags={"db": f"{folder}/burst.db", "timezone": "UTC"})
        world = World(settings, make_targets=_targets, targets=("nowhere",), default_target="nowhere")
        try:
            _fill(world, prompts, agents)
            took_s = asyncio.run(_deliver(world, prompts))
        finally:
            world.close()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rate": prompts / took_s, "took_s": took_s, "peak_mb": peak_mb}


def _targets(writer: Writer, clock: Clock) -> Mapping[str, Target]:
    del writer, clock
    return {"nowhere": NoTarget()}


def _fill(world: World, prompts: int, agents: int) -> None:
    now = datetime.now(UTC)
    fire_at = now - timedelta(seconds=1)
    trigger = make_trigger(TriggerKind.ONCE, fire_at.isoformat(), timezone="UTC", now=fire_at - timedelta(hours=1))
    for begin in range(0, prompts, BATCH):
        with world.store.transaction() as tx:
            for number in range(begin, min(begin + BATCH, prompts)):
                definition = Definition(
                    agent_id=f"agent-{number % agents}", prompt="stretch", trigger=trigger, target="nowhere"
                )
                tx.add_schedule(
                    NewSchedule(
                        uid=f"{number:032x}",
                        definition=definition,
                        provenance=Provenance(),
                        next_fire_at=fire_at,
                        created_at=now,
                    )
                )


async def _deliver(world: World, prompts: int) -> float:
    """Run a loop until all is delivered; return the seconds."""
    arrived = 0
    began_s = time.monotonic()
    took_s = 0.0
    done: asyncio.Event | None = None

    def arm(stopping: asyncio.Event) -> Callable[[], None]:
        nonlocal done
        done = stopping
        return lambda: None

    def count(entry: Entry) -> None:
        nonlocal arrived, took_s
        arrived += entry.is_delivered
        if arrived == prompts and done is not None:
            took_s = time.monotonic() - began_s
            done.set()

    await world.run_until(arm, interval=timedelta(seconds=60), mode="loop", on_entry=count)
    return took_s


if __name__ == "__main__":
    sys.exit(main())
