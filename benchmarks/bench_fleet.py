"""A fleet's throughput, in one run beside a plain SKIP LOCKED loop in hand-written SQL and PgQueuer by itself.

10,000 prompts due at once, for 10,000 agents and for 100, carried by the whole program: planner, tokens, dispatcher,
journal, attempts, in one and in two worker processes, to a target that does nothing. Prints ratios, and exits 1 when
the fleet is slower than PgQueuer alone (10,000 agents), than 0.8 of the loop (100 agents), or with two workers than
with one. With 10,000 agents each has a recurring schedule; with 100 each has a hundred.

    python benchmarks/bench_fleet.py [PROMPTS]
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg
from bench_burst import NoTarget
from fleet_baselines import Rate, Tally, loop_rate, pgqueuer_rate, raced, settle

sys.path.insert(0, str(Path(__file__).parent.parent))

from promptyoself.application.passes import Entry
from promptyoself.bootstrap import World
from promptyoself.config import load_settings
from promptyoself.domain.answers import Target
from promptyoself.domain.models import Definition, DeliveryKind, NewDelivery, Provenance, ZoneRecord
from promptyoself.domain.ports import Clock, NewSchedule, Writer
from promptyoself.domain.triggers import TriggerKind, make_trigger
from promptyoself.storage.postgres import PostgresStore
from promptyoself.zone_files import ZoneFiles
from tests.postgres.server import PostgresServer

MOST: Final = 1000
"""Requests open at the target: more than a target that answers at once can ever have."""
PLANNED_AT_ONCE: Final = 1000
QUIET_FOR_S: Final = 0.5
"""A worker that has carried nothing for so long looks whether anything is left."""
OF_PGQUEUER: Final = 1.0
OF_LOOP: Final = 0.8


def main() -> int:
    if sys.argv[1:2] == ["--worker"]:
        return _worker(sys.argv[2])
    prompts = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    few = prompts // 100
    with PostgresServer(is_durable=True) as server:
        alone = {workers: pgqueuer_rate(server, prompts, workers) for workers in (1, 2)}
        plain = {workers: loop_rate(server, prompts, few, workers) for workers in (1, 2)}
        many_agents = {workers: fleet_rate(server, prompts, prompts, workers) for workers in (1, 2)}
        few_agents = {workers: fleet_rate(server, prompts, few, workers) for workers in (1, 2)}
    print(f"load of the machine: {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
    for title, rates in (
        ("PgQueuer by itself", alone),
        (f"plain loop, {few} agents", plain),
        (f"fleet, {prompts} agents", many_agents),
        (f"fleet, {few} agents", few_agents),
    ):
        for workers, rate in rates.items():
            print(f"{title}, {workers} worker(s): {rate}")
    of_pgqueuer = _best(many_agents) / _best(alone)
    of_loop = _best(few_agents) / _best(plain)
    gain = many_agents[2].a_second / many_agents[1].a_second
    print(f"{prompts} agents: {of_pgqueuer:.2f} of PgQueuer alone (at least {OF_PGQUEUER})")
    print(f"{few} agents: {of_loop:.2f} of the plain loop (at least {OF_LOOP})")
    print(f"two workers: {gain:.2f} times one (more than 1)")
    return 0 if of_pgqueuer >= OF_PGQUEUER and of_loop >= OF_LOOP and gain > 1 else 1


def _best(rates: Mapping[int, Rate]) -> float:
    return max(rate.a_second for rate in rates.values())


def fleet_rate(server: PostgresServer, prompts: int, agents: int, workers: int) -> Rate:
    """Deliver `prompts` to `agents`, planned already, by worker processes of ours."""
    url = server.new_database()
    store = PostgresStore.open(url, new_uid=lambda: "0" * 32)
    try:
        _fill(store, prompts, agents)
    finally:
        store.close()
    settle(url)
    rate = raced(server, [__file__, "--worker", url], prompts, workers)
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT state, count(*) FROM deliveries GROUP BY state").fetchall()
    if found != [("delivered", prompts)]:
        raise RuntimeError(f"not all is delivered: {found}")
    return rate


def _fill(store: PostgresStore, prompts: int, agents: int) -> None:
    """Store what a planner leaves behind at the fire time that all have in common."""
    now = datetime.now(UTC)
    fire_at = now - timedelta(seconds=1)
    trigger = make_trigger(TriggerKind.INTERVAL, "1d", timezone="UTC", now=fire_at)
    with store.transaction() as tx:  # or the first worker would work out all next fires anew
        tx.set_zone_record(ZoneRecord(version=ZoneFiles().version(), since=now))
    for begin in range(0, prompts, PLANNED_AT_ONCE):
        numbers = range(begin, min(begin + PLANNED_AT_ONCE, prompts))
        new = [
            NewSchedule(
                uid=f"{number:032x}",
                definition=Definition(
                    agent_id=f"agent-{number % agents}", prompt="stretch", trigger=trigger, target="nowhere"
                ),
                provenance=Provenance(),
                next_fire_at=fire_at + timedelta(days=1),
                created_at=now,
            )
            for number in numbers
        ]
        with store.transaction() as tx:
            for schedule_id, one in zip(tx.add_schedules(new), new, strict=True):
                delivery = NewDelivery(
                    schedule_id=schedule_id,
                    revision=1,
                    kind=DeliveryKind.SCHEDULED,
                    target="nowhere",
                    lane=f"nowhere {one.definition.agent_id}",
                    key=f"key-{schedule_id}",
                    fire_at=fire_at,
                    planned_at=fire_at,
                    fire_number=1,
                    created_at=now,
                )
                tx.add_delivery(delivery, retry_until=now + timedelta(days=1))


# -- a worker -----------------------------------------------------------------------------------------------


def _worker(url: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        flags = {"db": url, "timezone": "UTC", "max_in_flight": str(MOST)}
        settings = load_settings({"HOME": folder}, Path(folder), flags=flags)
        world = World(settings, make_targets=_targets, targets=("nowhere",), default_target="nowhere")
        try:
            asyncio.run(_deliver(world, url))
        finally:
            world.close()
    return 0


def _targets(writer: Writer, clock: Clock) -> Mapping[str, Target]:
    del writer, clock
    return {"nowhere": NoTarget()}


def _is_anything_left(url: str) -> bool:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT EXISTS (SELECT 1 FROM deliveries WHERE finished_at IS NULL)").fetchone()
    return found == (True,)


async def _deliver(world: World, url: str) -> None:
    tally = Tally()
    world.store.change_mark()  # it is open, and connected
    await asyncio.to_thread(tally.wait)
    stopped: asyncio.Event | None = None

    def arm(stopping: asyncio.Event) -> Callable[[], None]:
        nonlocal stopped
        stopped = stopping
        return lambda: None

    def count(entry: Entry) -> None:
        tally.count_in_turn(entry.is_delivered)

    async def stop_when_done() -> None:
        # Looked at while nothing is carried only. By the database: another worker may have had all of few prompts, or
        # have the rest in hand, and on a machine with much else to do seconds pass between two deliveries.
        while True:
            seen = tally.carried
            await asyncio.sleep(QUIET_FOR_S)
            if tally.carried == seen and not await asyncio.to_thread(_is_anything_left, url):
                break
        if stopped is not None:
            stopped.set()

    watching = asyncio.ensure_future(stop_when_done())
    await world.run_until(arm, interval=timedelta(seconds=60), mode="worker", on_entry=count)
    await watching
    tally.tell()


if __name__ == "__main__":
    sys.exit(main())
