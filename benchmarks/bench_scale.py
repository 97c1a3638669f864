"""Scale: what it costs to plan and fire the next hundred prompts with a million schedules stored, beside a thousand.

On SQLite and on PostgreSQL, in one run, both sizes by turns. The same pass as `execute` makes, to the inbox. Processor
time is this process's and the server's; rows and buffers are what PostgreSQL counts, steps those of SQLite's machine.
Then the lists and looks that read beside it. Exit code 1 when a million costs more than 1.5 times a thousand.

    python benchmarks/bench_scale.py [SCHEDULES]
"""

from __future__ import annotations

import gc
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from promptyoself.application.readiness import looks
from promptyoself.bootstrap import World, open_services
from promptyoself.domain.models import ZoneRecord
from promptyoself.interfaces.cli import answer
from promptyoself.storage.rows import micros
from tests.postgres.server import PostgresServer
from tests.storage.many import fill

FEW, HUNDRED, ROUNDS = 1000, 100, 9
RATIO_MAX: Final = 1.5
WAITING: Final = 20
"""Deliveries that wait for their retry, in both: `execute` tells of each, and it is not they that are measured."""
STEP: Final = 20
_steps = count()


class Cost(NamedTuple):
    """Of one pass. Seconds, and what the database counts."""

    cpu_s: float
    wall_s: float
    counted: dict[str, float]


class Place:
    """A database of one size."""

    dialect = "sqlite"

    def __init__(self, name: str, schedules: int) -> None:
        self.name = name
        self.schedules = schedules
        began_s = time.monotonic()
        world = self.world()
        with world.store.transaction() as tx:
            # Else the first pass works all next fires out anew.
            tx.set_zone_record(ZoneRecord(version=world.zone_data_version(), since=world.clock.now()))
        world.close()
        self._now = datetime.now(UTC)
        fill(self.run, self.dialect, schedules=schedules, now=self._now, waiting=WAITING)
        print(f"{self.dialect}: {schedules} schedules stored in {time.monotonic() - began_s:.0f} s", flush=True)

    def world(self) -> World:
        environ = {"PROMPTYOSELF_DB": self.name, "PROMPTYOSELF_TIMEZONE": "UTC", "HOME": tempfile.gettempdir()}
        return open_services(environ=environ, cwd=Path(tempfile.gettempdir()), flags={})

    def make_due(self, turn: int) -> None:
        """Let the next hundred be due, of as many agents."""
        first = 2 + turn * HUNDRED
        due = micros(self._now)
        last = first + HUNDRED - 1
        self.run(
            f"UPDATE schedules SET next_fire_at = {due}, state = 'active' WHERE id BETWEEN {first} AND {last}"  # noqa: S608  numbers
        )

    def fire(self, turn: int) -> Cost:
        self.make_due(turn)
        before = self.counters()
        world = self.world()
        assert world.store.uid
        gc.collect()
        cpu_s, wall_s = self.cpu_s(), time.monotonic()
        fired = world.execute(wait=timedelta(0))
        cost_s, took_s = self.cpu_s() - cpu_s, time.monotonic() - wall_s
        world.close()
        assert len(fired) >= HUNDRED, f"{len(fired)} fired"
        after = self.counters()
        return Cost(cost_s, took_s, {name: after[name] - before[name] for name in after})

    def measure(self, what: str, act: Callable[[World], object]) -> None:
        world = self.world()
        assert world.store.uid
        act(world)
        cpu_s, wall_s = self.cpu_s(), time.monotonic()
        act(world)
        print(
            f"  {what:<34} {self.schedules:>8} stored: {1000 * (time.monotonic() - wall_s):8.1f} ms,"
            f" {1000 * (self.cpu_s() - cpu_s):8.1f} ms of processor"
        )
        world.close()

    # -- what differs ---------------------------------------------------------------------------------------

    def run(self, statement: str) -> None:
        connection = sqlite3.connect(self.name)
        connection.execute("PRAGMA synchronous = OFF")
        with connection:
            connection.execute(statement)
        connection.close()

    def cpu_s(self) -> float:
        return time.process_time()

    def counters(self) -> dict[str, float]:
        return {"steps": next(_steps) * STEP}


class ServerPlace(Place):
    """The same on PostgreSQL."""

    dialect = "postgres"

    def __init__(self, server: PostgresServer, schedules: int) -> None:
        self._server = server
        super().__init__(server.new_database(), schedules)

    def run(self, statement: str) -> None:
        with psycopg.connect(self.name, autocommit=True) as connection:
            connection.execute(statement.encode())
            if statement == "ANALYZE":
                connection.execute("VACUUM")

    def cpu_s(self) -> float:
        """Of this process, and of the server with all of its own, those that have ended too."""
        ticks = 0
        for pid in (self._server.pid, *_children(self._server.pid)):
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            # Those of the postmaster's that it has waited for count with it.
            ticks += sum(map(int, fields[11:15] if pid == self._server.pid else fields[11:13]))
        return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")

    def counters(self) -> dict[str, float]:
        """What all tables of this database have told, once the sessions that told it have ended."""
        with psycopg.connect(self.name, autocommit=True) as connection:
            while True:
                row = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
                ).fetchone()
                if row == (0,):
                    break
            connection.execute("SELECT pg_stat_force_next_flush()")
            found = connection.execute(
                "SELECT sum(seq_tup_read) + coalesce(sum(idx_tup_fetch), 0) FROM pg_stat_user_tables"
            ).fetchone()
            blocks = connection.execute(
                "SELECT sum(heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit, 0) + coalesce(idx_blks_read, 0))"
                " FROM pg_statio_user_tables"
            ).fetchone()
        assert found is not None
        assert blocks is not None
        return {"rows": float(found[0]), "buffers": float(blocks[0])}


def main() -> int:
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    _count_steps()
    is_flat = True
    with tempfile.TemporaryDirectory() as folder, PostgresServer(is_durable=True) as server:
        for make in (lambda rows: Place(f"{folder}/{rows}.db", rows), partial(ServerPlace, server)):
            few, lots = make(FEW), make(many)
            is_flat &= _compared(few, lots)
            for place in (few, lots):
                _looked(place)
    return 0 if is_flat else 1


def _compared(few: Place, lots: Place) -> bool:
    """Fire from both by turns; the first turn warms up."""
    costs: dict[Place, list[Cost]] = {few: [], lots: []}
    for turn in range(ROUNDS):
        for place in (few, lots):
            costs[place].append(place.fire(turn))
    figures = {place: _typical(found[1:]) for place, found in costs.items()}
    is_flat = True
    for name, less in figures[few].items():
        more = figures[lots][name]
        ratio = more / less if less else 1.0
        is_bound = name in {"processor", "rows", "steps"}
        is_flat &= ratio <= RATIO_MAX or not is_bound
        word = "" if ratio <= RATIO_MAX else "   TOO MUCH" if is_bound else "   more"
        print(f"  {few.dialect}: the next {HUNDRED}, {name:<10} {less:10.4g} -> {more:10.4g}   x {ratio:.2f}{word}")
    return is_flat


def _typical(costs: list[Cost]) -> dict[str, float]:
    """The least processor time and wall clock: what others on this machine do only adds; of counts the median."""
    found = {"processor": min(one.cpu_s for one in costs), "wall clock": min(one.wall_s for one in costs)}
    return found | {name: statistics.median(one.counted[name] for one in costs) for name in costs[0].counted}


def _looked(place: Place) -> None:
    def listed(*words: str) -> Callable[[World], object]:
        return lambda world: _asked(world, *words)

    place.measure("list --soonest --limit 20", listed("list", "--soonest", "--limit", "20"))
    place.measure("list --limit 20", listed("list", "--limit", "20"))
    place.measure("list --agent-id", listed("list", "--agent-id", "agent-7"))
    place.measure("list --next-from, an hour", listed("list", "--next-from", "in 25h", "--next-until", "in 25h 5m"))
    place.measure("list --name, one that nobody has", listed("list", "--name", "nobody", "--limit", "20"))
    place.measure("deliveries --limit 20", listed("deliveries", "--limit", "20"))
    place.measure("/readyz", _ready)
    place.measure("counts (doctor)", _counts)


def _asked(world: World, *words: str) -> dict[str, Any]:
    document = answer(words, services=lambda _: _Open(world), door="cli")  # type: ignore[arg-type,return-value]
    assert document["status"] == "success", document
    return document


class _Open:
    """A world that a call does not close."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever a world has
        return (lambda: None) if name == "close" else getattr(self._world, name)


def _ready(world: World) -> None:
    with world.store.reading() as tx:
        assert list(looks(tx, now=world.clock.now(), pid=os.getpid(), targets=["inbox"]))


def _counts(world: World) -> None:
    with world.store.reading() as tx:
        assert tx.counts()


def _count_steps() -> None:
    """Let every connection to SQLite count what its machine does."""
    connect = sqlite3.connect

    def counting(*args: Any, **kwargs: Any) -> sqlite3.Connection:  # noqa: ANN401  as the driver's
        connection = connect(*args, **kwargs)
        connection.set_progress_handler(lambda: next(_steps) < 0, STEP)
        return connection

    sqlite3.connect = counting  # type: ignore[assignment]  # for this process alone


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


if __name__ == "__main__":
    sys.exit(main())
