"""A move step by step, on the dialect that takes no server: where it may die, whom it refuses, and what comes out."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Final, Self

import pytest

from promptyoself.domain.errors import Conflict, StoreError, StoreMoved
from promptyoself.domain.models import DeliveryState, Executor, StopSwitch
from promptyoself.domain.ports import DeliveryFilter, Tx
from promptyoself.storage.move import STAYING, TABLES, Origin, Row, Table, move, undo
from promptyoself.storage.move_sqlite import SqliteSource, SqliteTarget
from promptyoself.storage.sqlite import SqliteStore
from tests.factories import MINUTE, NOW, a_fact, a_message, a_new_delivery, a_new_schedule
from tests.storage.move.populated import populate, told

LATER: Final = NOW + MINUTE
"""When the leases of the populated database have run out."""
BATCH: Final = 8
Write = Callable[[Tx], object]


class Killed(BaseException):
    """The process is no more."""


WRITING: Final = ("prepare", "drain", "fence", "add", "give_up", "take_back", "go_live")


class Mortal:
    """A side of a move that dies at its n-th call that writes, before or after it, and does nothing after."""

    def __init__(self, side: object, life: Life) -> None:
        self._side = side
        self._life = life

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the side has
        found = getattr(self._side, name)
        if name not in WRITING:
            return found

        def called(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  as above
            self._life.step(f"before {name}")
            answer = found(*args, **kwargs)
            self._life.step(f"after {name}")
            return answer

        return called


class Life:
    """How many steps are left."""

    def __init__(self, steps: float = float("inf")) -> None:
        self._left = steps
        self.steps: list[str] = []

    def step(self, name: str) -> None:
        self.steps.append(name)
        self._left -= 1
        if self._left < 0:
            raise Killed


class StillClock:
    """Shows one time of day; a second goes by each time it is asked how long something takes."""

    def __init__(self, at: datetime) -> None:
        self._at = at
        self._ticks = count()

    def now(self) -> datetime:
        return self._at

    def monotonic(self) -> float:
        return float(next(self._ticks))


class Site:
    """A populated file, and a place to move it to."""

    def __init__(self, folder: Path, master: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.source, self.target = folder / "old.db", folder / "new.db"
        shutil.copy(master, self.source)
        self.told = _told_of_master(master)
        self._ids = count(1)
        self.said: list[str] = []
        self.on_tell: Callable[[str], None] = self.said.append

    def open(self, path: Path) -> Opened:
        return Opened(path)

    def move(
        self, life: Life | None = None, *, target: Path | None = None, at: datetime = LATER, wait: float = 0
    ) -> Origin:
        life = life or Life()
        source = SqliteSource(self.source, batch=BATCH)
        to = SqliteTarget(target or self.target, uid=source.uid)
        try:
            return move(
                Mortal(source, life),
                Mortal(to, life),
                new_id=lambda: f"move-{next(self._ids)}",
                clock=StillClock(at),
                wait=timedelta(seconds=wait),
                tell=self.on_tell,
            )
        finally:
            source.close()
            to.close()

    def undo(self) -> str:
        source = SqliteSource(self.source)
        try:
            return undo(source)
        finally:
            source.close()

    def told_of(self, path: Path) -> dict[str, Any]:
        with self.open(path) as opened:
            return told(opened.store)

    def write(self, path: Path, act: Write) -> None:
        with self.open(path) as opened, opened.store.transaction() as tx:
            act(tx)


@cache
def _told_of_master(master: Path) -> dict[str, Any]:
    with Opened(master) as opened:
        return told(opened.store)


class Opened:
    def __init__(self, path: Path) -> None:
        self.store = SqliteStore.open(path, new_uid=lambda: "ab" * 16)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("master") / "p.db"
    with Opened(path) as opened:
        populate(opened.store)
    return path


@pytest.fixture
def site(tmp_path: Path, master: Path) -> Site:
    return Site(tmp_path, master)


def tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    try:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return {name for (name,) in found}
    finally:
        connection.close()


def test_every_table_moves_or_is_known_to_stay(site: Site) -> None:
    assert tables(site.source) == {table.name for table in TABLES} | STAYING


def test_all_that_was_promised_is_told_by_the_new_database_as_by_the_old(site: Site) -> None:
    origin = site.move()
    assert site.told_of(site.target) == site.told
    rows = {one.table: one.rows for one in origin.compared}
    assert all(rows.values()), "every table has rows, or this test proves little"
    assert rows["schedules"] == len(site.told["schedules"])


def test_ids_that_were_given_out_are_not_given_out_again(site: Site) -> None:
    newest = site.told["newest_fact"]
    assert newest > max(fact.id for fact in site.told["facts"] if fact.id), "the newest was pruned"
    site.move()
    with site.open(site.target) as opened, opened.store.transaction() as tx:
        tx.add_fact(a_fact())
        assert tx.newest_fact_id() == newest + 1
        assert tx.add_schedule(a_new_schedule("ff" * 16)).id == len(site.told["schedules"]) + 1


def test_no_runners_claim_moves_and_what_it_had_in_flight_is_ready_for_another(site: Site) -> None:
    in_flight = {one.lane for one in site.told["deliveries"] if one.state is DeliveryState.ACCEPTED}
    site.move()
    with site.open(site.target) as opened, opened.store.transaction() as tx:
        tx.set_stop_switch(None)
        ready = tx.ready_lanes(now=NOW, limit=100)
        assert in_flight <= set(ready)
        assert all(tx.lane_holder(lane, now=NOW) is None for lane in ready)


WRITES: Final[dict[str, Write]] = {
    "a schedule": lambda tx: tx.add_schedule(a_new_schedule("ff" * 16)),
    "a delivery": lambda tx: tx.add_delivery(_some_delivery(tx), retry_until=NOW),
    "a lease": lambda tx: tx.lease_lane(_some_lane(tx), token="t", executor_id="e", now=LATER, until=LATER),
    "a heartbeat": lambda tx: tx.heartbeat(
        Executor(id="e", host="h", pid=1, version="v", mode="loop", started_at=NOW, heartbeat_at=NOW)
    ),
    "a fact": lambda tx: tx.add_fact(a_fact()),
    "a message": lambda tx: tx.add_message(a_message(otid="new")),
    "a known message": lambda tx: tx.add_message(a_message()),
    "the stop switch": lambda tx: tx.set_stop_switch(None),
    "retention": lambda tx: tx.prune(before=NOW + 1000 * MINUTE, limit=100),
    "a revoked token": lambda tx: tx.revoke_token(1, now=NOW),
    "many schedules": lambda tx: tx.add_schedules([a_new_schedule("ff" * 16)]),
}


def _some_delivery(tx: Tx) -> Any:  # noqa: ANN401  a new delivery
    schedule = tx.schedule(1)
    assert schedule is not None
    return a_new_delivery(schedule, fire_at=LATER)


def _some_lane(tx: Tx) -> str:
    return tx.deliveries(DeliveryFilter())[0].lane


@pytest.mark.parametrize("what", WRITES)
def test_the_old_database_refuses_every_write_and_says_where_it_went(what: str, site: Site) -> None:
    # Opened before the move: a process that knows nothing of it.
    with site.open(site.source) as early:
        site.move()
        with pytest.raises(StoreMoved, match=rf"was moved to {site.target}"), early.store.transaction() as tx:
            WRITES[what](tx)
        assert told(early.store)["schedules"] == site.told["schedules"]


def test_a_move_that_is_killed_anywhere_and_run_again_ends_the_same(tmp_path: Path, master: Path) -> None:
    whole = Life()
    origin = Site(tmp_path / "whole", master).move(whole)
    assert len(whole.steps) > 40
    for at, step in deaths(whole.steps, apart=24):
        site = Site(tmp_path / str(at), master)
        with pytest.raises(Killed):
            site.move(Life(at))
        assert not (site.target.exists() and takes_writes(site.source)), f"both are live, killed {step}"
        assert site.move().compared == origin.compared, f"killed {step}"
        assert not takes_writes(site.source), f"both are live in the end, killed {step}"
        assert site.told_of(site.target) == site.told, f"killed {step}"
        assert not list(site.target.parent.glob(".*")), f"a draft is left, killed {step}"


def test_a_move_that_was_killed_anywhere_before_the_source_was_given_up_can_be_taken_back(
    tmp_path: Path, master: Path
) -> None:
    whole = Life()
    Site(tmp_path / "whole", master).move(whole)
    for at, step in deaths(whole.steps, apart=60):
        site = Site(tmp_path / str(at), master)
        with pytest.raises(Killed):
            site.move(Life(at))
        if at > whole.steps.index("before give_up"):
            with pytest.raises(Conflict, match="was given up"):
                site.undo()
            continue
        if at <= whole.steps.index("before drain"):
            with pytest.raises(Conflict, match="no move"):
                site.undo()
        else:
            assert site.undo() == str(site.target)
        assert site.told_of(site.source) == site.told, f"killed {step}"
        site.write(site.source, lambda tx: tx.add_schedule(a_new_schedule("ff" * 16)))
        site.write(site.source, lambda tx: tx.revoke_token(1, now=NOW))
        after = site.told_of(site.source)
        site.move()  # what the first one has copied is of a state that is over
        assert site.told_of(site.target) == after, f"killed {step}"


def test_requests_that_are_open_are_waited_for_and_a_move_in_vain_changes_nothing(site: Site) -> None:
    with pytest.raises(Conflict, match="2 requests to targets are open"):
        site.move(at=NOW, wait=3)
    assert site.said == ["waiting for 2 open requests"]
    assert site.told_of(site.source) == site.told
    assert takes_writes(site.source)
    site.move(at=LATER)  # their runners are dead by now
    assert site.target.exists()


def test_while_it_waits_nothing_new_is_sent_and_the_old_switch_moves(site: Site) -> None:
    seen: list[StopSwitch | None] = []

    def look(_: str) -> None:
        with site.open(site.source) as opened, opened.store.reading() as tx:
            seen.append(tx.stop_switch())

    site.on_tell = look
    with pytest.raises(Conflict):
        site.move(at=NOW, wait=3)
    assert [switch and (switch.reason, switch.until) for switch in seen] == [(f"moving to {site.target}", None)]


def test_a_move_that_is_under_way_goes_to_no_other_place(site: Site, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        site.move(Life(6))
    with pytest.raises(Conflict, match=f"is being moved to {site.target}"):
        site.move(target=tmp_path / "other.db")


def test_a_file_that_is_there_is_left_alone(site: Site) -> None:
    with site.open(site.target) as opened:
        was = told(opened.store)
    with pytest.raises(Conflict, match="is there already"):
        site.move()
    assert site.told_of(site.target) == was
    assert takes_writes(site.source)


def test_what_is_not_there_is_not_made_to_be_moved(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no database"):
        SqliteSource(tmp_path / "none.db")
    assert not list(tmp_path.iterdir())


def test_a_copy_that_differs_is_deleted_and_never_live(site: Site) -> None:
    class Faulty(SqliteTarget):
        def add(self, table: Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
            if table.name == "deliveries":
                rows = [tuple("changed" if value == "run-1" else value for value in row) for row in rows]
            super().add(table, columns, rows)

    source, target = SqliteSource(site.source), Faulty(site.target, uid=site.told["uid"])
    with pytest.raises(StoreError, match="the copy of deliveries differs: 12 rows"):
        move(source, target, new_id=lambda: "m", clock=StillClock(LATER), wait=timedelta(0), tell=site.said.append)
    source.close()
    target.close()
    assert not site.target.exists()
    site.move()
    assert site.told_of(site.target) == site.told


def test_a_live_database_moves_on_and_the_way_back_needs_a_new_file(site: Site, tmp_path: Path) -> None:
    site.move()
    there = Site(tmp_path / "on", site.target)
    there.write(there.source, lambda tx: tx.add_schedule(a_new_schedule("ff" * 16)))
    told_there = there.told_of(there.source)
    with pytest.raises(Conflict, match="is there already"):
        there.move(target=site.source)
    there.move()
    assert there.told_of(there.target) == told_there


def deaths(steps: Sequence[str], *, apart: int) -> list[tuple[int, str]]:
    """Return the first step of each name, and of those that follow one in so many."""
    firsts = {steps.index(name) for name in steps}
    return [(at, name) for at, name in enumerate(steps) if at in firsts or at % apart == 0]


def takes_writes(path: Path) -> bool:
    with Opened(path) as opened:
        try:
            with opened.store.transaction() as tx:
                tx.lease_lane("no such lane", token="t", executor_id="e", now=NOW, until=NOW)
                tx.set_stop_switch(tx.stop_switch())
        except StoreMoved:
            return False
        return True
