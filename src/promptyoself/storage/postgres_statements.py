"""Running named statements inside one transaction at a PostgreSQL database, with what only many writers need.

- Rows and names that a decision rests on are locked as they are read (decision 0026); reading ones lock nothing.
- The refresh of lanes, and facts, are kept back and written right before the commit: lanes sorted, after schedules and
  deliveries; the journal last, under its lock. A statement that reads either has them written first.
- An error of a statement undoes the whole transaction here, or what was done since the last savepoint. So what callers
  may be refused for (a key that is taken) is no error of a statement, but a row that did not come.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Self

import psycopg
from psycopg.pq import TransactionStatus

from promptyoself.domain.errors import StoreBusy, StoreError
from promptyoself.storage.postgres_errors import DRIVER_ERRORS, RESTORE, in_doubt, read_only, translated
from promptyoself.storage.postgres_planning import Claimed, Planned
from promptyoself.storage.postgres_queries import statements
from promptyoself.storage.postgres_steps_rows import instants, new_attempts, numbers, places, texts
from promptyoself.storage.postgres_trips import Trips
from promptyoself.storage.rows import Values
from promptyoself.storage.statements import Statements, ended

Connection = psycopg.Connection[dict[str, Any]]
Cursor = psycopg.Cursor[dict[str, Any]]

JOURNAL_LOCK: Final = "promptyoself/journal"
PLANNERS_TURN: Final = "promptyoself/planner"
"""Whose transaction plans: the order of fire times is that of commits then."""
_OPEN: Final = (TransactionStatus.INTRANS, TransactionStatus.INERROR, TransactionStatus.ACTIVE)

_SCHEDULES: Final = frozenset(
    {
        "schedule",
        "schedule_by_uid",
        "schedule_by_key",
        "schedules",
        "schedules_of_agent",
        "schedules_of_owner",
        "schedules_coming",
    }
)
"""Queries of schedules: the rows are locked in a writing transaction."""
_NAMED: Final[Mapping[str, Callable[[Values], tuple[str, ...]]]] = {
    "schedule_by_key": lambda asked: ("key", asked["agent_id"], asked["key"]),
    "guard_usage": lambda asked: guard_name(asked["owner"]),
    "live_descendants": lambda asked: ("chain", asked["root_uid"]),
    "live_claims": lambda asked: ("claims", asked["owner"]),
    "claim": lambda asked: ("claims", asked["owner"]),
    "answered_request": lambda asked: ("request", asked["owner"], asked["key"]),
    "live_tokens": lambda _: ("tokens",),
}
"""Queries whose answer no row stands for: what they ask for is locked by its name in a writing transaction."""
_OF_FACTS: Final = frozenset(
    {"facts", "facts_of_schedule", "facts_of_delivery", "facts_after", "newest_fact", "prune_facts", "counts"}
)
_OF_LANES: Final = frozenset(
    {
        "lane_counts",
        "ready_lanes",
        "ready_lanes_stopped",
        "next_wake_at",
        "next_wake_at_stopped",
        "prune_lanes",
        "counts",
        "due_lanes",
        "due_lanes_of_ended_leases",
        "idle_lanes",
    }
)
"""Statements that look at what is kept back until the commit."""
_LOOKED_AT_FIRST: Final = frozenset({"guard_usage"})
"""Statements before which it is looked at whether they would see what was planned: see PostgresTx."""
_TOLD: Final = {
    "add_delivery": "d",
    "save_delivery": "d",
    "hasten_target": "d",
    "release_lane": "d",
    "set_stop_switch": "d",
    "clear_stop_switch": "d",
}
"""What is told to the other nodes at the commit: deliveries and lanes; schedules (`s`) and facts (`f`) besides."""
_REFUSING: Final = frozenset({"add_schedule", "add_schedules", "save_schedule"})
"""Statements that leave a row out when a key is taken."""


class KeyTaken(StoreError):
    """An agent has the schedule's key already."""


@dataclass(slots=True)
class _Kept:
    """What a transaction keeps back, and which locks it has: shared by all that it is lent to."""

    facts: list[Values] = field(default_factory=list)
    lanes: set[str] = field(default_factory=set)
    released: set[str] = field(default_factory=set)
    """Lanes given back: their tokens go at the commit, or to the back of the queue."""
    told: set[str] = field(default_factory=set)
    due_us: int | None = None
    """When the first of the schedules that were written is due; told with them."""
    schedules: set[int] = field(default_factory=set)
    """Ids of those that are locked."""
    planned: Planned = field(default_factory=Planned)
    claims_at: Sequence[str] = ()
    """At which targets a transaction that plans may claim."""
    names: set[str] = field(default_factory=set)
    lanes_made: set[str] = field(default_factory=set)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be written before the commit."""
        return not (self.facts or self.lanes or self.released or self.told) and self.planned.is_empty

    def tell_of_schedules(self, due: Iterable[int | None]) -> None:
        """Tell the other nodes at the commit that schedules were written, and when the first of them is due."""
        self.told.add("s")
        self.due_us = min((at for at in (self.due_us, *due) if at is not None), default=None)

    def mark(self) -> _Mark:
        """Return what is kept back at a savepoint. Who writes it out leaves these collections as they are."""
        return _Mark(self.facts, len(self.facts), self.lanes, self.released, self.told)

    def go_back_to(self, mark: _Mark) -> None:
        """Undo what was kept back since, and what was written out: that of before is kept back again.

        Locks since are let go; which those are nobody knows here, so each is asked for again. A lane that is refreshed
        in vain, or told of, does no harm; nor does an instant at which nothing is due.
        """
        self.facts = mark.facts[: mark.facts_count]
        self.lanes |= mark.lanes
        self.released |= mark.released
        self.told |= mark.told
        self.schedules.clear()
        self.names.clear()
        self.lanes_made.clear()
        self.planned.clear()


@dataclass(frozen=True, slots=True)
class _Mark:
    """What was kept back when a savepoint was opened."""

    facts: list[Values]
    facts_count: int
    lanes: set[str]
    released: set[str]
    told: set[str]


class PostgresStatements(Statements):
    """Named statements on one connection, for as long as its transaction lasts."""

    _restore = RESTORE

    def __init__(
        self,
        connection: Connection,
        location: str,
        *,
        is_reading: bool = False,
        kept: _Kept | None = None,
        trips: Trips | None = None,
    ) -> None:
        self._connection = connection
        self._location = location
        self._is_reading = is_reading
        self._kept = _Kept() if kept is None else kept
        self._trips = Trips(connection) if trips is None else trips
        self._sql = statements()
        self._is_over = False
        self._using = threading.RLock()
        self._lent_at = self._kept.mark()

    @property
    def is_alive(self) -> bool:
        """False once the transaction has ended, also when the server or the network has ended it."""
        if self._is_over:
            return False
        return not self._trips.has_begun or self._connection.pgconn.transaction_status in _OPEN

    def begin_with_first(self, begin: bytes) -> None:
        """Begin by `begin`, in one trip with the first statement; without any there is nothing to commit."""
        self._trips.begin_with_first(begin)

    def commit(self) -> None:
        """Make durable what was written. Raises StoreError kin when it was not; the caller then rolls back."""
        self._refuse_undone()
        is_planned = self._kept.planned.is_under_way
        if not (is_planned or self._kept.is_empty):
            self.write_what_is_kept()
        if not self._trips.has_begun:
            return
        try:
            # The journal in one trip with it: who stops in between would keep it from everybody.
            with self._in_one_trip(is_last=True) if self._kept.facts or self._trips.are_open else nullcontext():
                if is_planned:
                    self.write_what_is_kept()
                self._write_facts()
                self._execute(b"COMMIT", {})
        except StoreError as error:
            is_sure = self._is_reading or isinstance(error, StoreBusy)  # the server says that it has undone it
            if self._connection.broken and not is_sure:
                raise in_doubt(self._location) from error
            raise

    def end(self) -> None:
        """Refuse all further statements: a transaction that has ended must not go on in somebody else's.

        One that another thread executes just now ends first.
        """
        with self._using:
            self._is_over = True

    def leave(self) -> None:
        """Close what was kept open between statements: what comes next on the connection is executed as ever."""
        with self._using, suppress(*DRIVER_ERRORS):
            self._trips.leave()

    @contextmanager
    def nested(self) -> Iterator[None]:
        """Open a savepoint: what is raised within undoes what was written within, and nothing before it."""
        self._write_planned()
        mark = self._kept.mark()
        self._execute(b"SAVEPOINT act", {})
        try:
            yield
            self._refuse_undone()
        except BaseException:
            if self.is_alive:
                self._execute(b"ROLLBACK TO act", {})
                self._execute(b"RELEASE act", {})
                self._kept.go_back_to(mark)
            raise
        self._execute(b"RELEASE act", {})

    def lend(self) -> Self:
        """Open a savepoint and return a transaction for one body; `take_back` ends it."""
        self._write_planned()
        self._execute(b"SAVEPOINT loan", {})
        self._lent_at = self._kept.mark()
        return type(self)(
            self._connection, self._location, is_reading=self._is_reading, kept=self._kept, trips=self._trips
        )

    def take_back(self, lent: Self, *, is_kept: bool) -> None:
        """End what was lent: nothing more of it is executed; keep or undo what was written in it.

        Raises StoreError when it was to be kept and a failure in it has undone it.
        """
        lent.end()
        if not is_kept:
            self._execute(b"ROLLBACK TO loan", {})
            self._kept.go_back_to(self._lent_at)
        else:
            self._refuse_undone()
        self._execute(b"RELEASE loan", {})

    def write_what_is_kept(self) -> None:
        """Write what was planned, then lanes, and tell the other nodes at the commit; in one round trip.

        The journal is left for the commit itself.
        """
        kept = self._kept
        if kept.facts:
            kept.told.add("f")
        told, kept.told = "".join(sorted(kept.told)), set()
        if kept.due_us is not None:
            told, kept.due_us = f"{told} {kept.due_us}", None
        with self._in_one_trip():
            self._write_planned()
            self._write_lanes()
            if told:
                self._execute(self._sql["tell"], {"payload": told})

    def _write_planned(self) -> None:
        """Write what a planner has kept back. Its rows are in hand: none of them can be missing, or there already."""
        planned = self._kept.planned
        if planned.is_empty:
            return
        openings, moved, attempts, claims = planned.take_what_is_kept()
        with self._in_one_trip():
            if openings:
                self._ask_for_lanes({row["lane"]: row["target"] for row in openings})
                self._execute(self._sql["plan_deliveries"], {"rows": json.dumps(openings, ensure_ascii=False)})
            if moved:
                self._execute(self._sql["step_save_schedules"], places(moved))
            if attempts:
                self._execute(self._sql["step_add_attempts"], new_attempts(attempts))
            if claims:
                self._write_claims(claims)

    def _write_claims(self, claims: Sequence[Claimed]) -> None:
        """Write leases of lanes; if any is not as it was when it was looked at, the server undoes the transaction.

        All lanes that this transaction has to write to are taken first, in the order of their names. Then the commit
        waits for the disk, as a planner's does not: what is claimed may be sent.
        """
        lanes = [one.lane for one in claims]
        self._execute(self._sql["lock_lanes"], {"lanes": sorted(self._kept.lanes.union(lanes))})
        values = {
            "lane": texts(lanes),
            "lease_token": texts([one.lease.token for one in claims]),
            "leased_until": numbers([one.lease.until for one in claims]),
            "executor_id": texts([one.lease.executor_id for one in claims]),
            "due_at": instants([one.delivery.due_at for one in claims]),
            "is_in_flight": numbers([int(one.delivery.state.is_in_flight) for one in claims]),
            "count": len(lanes),
        }
        self._execute(self._sql["claim_lanes"], values)
        self._execute(b"SET LOCAL synchronous_commit TO DEFAULT", {})
        self._kept.lanes.difference_update(lanes)

    def _ask_for_lanes(self, targets: Mapping[str, str]) -> Cursor | None:
        """Make and keep those lanes that are not kept yet; return the answer, which tells those that now are."""
        wanted = {lane: target for lane, target in targets.items() if lane not in self._kept.lanes_made}
        if not wanted:
            return None
        made = [{"lane": lane, "target": target} for lane, target in sorted(wanted.items())]
        return self._execute(
            self._sql["keep_lanes"], {"lanes": list(wanted), "rows": json.dumps(made, ensure_ascii=False)}
        )

    def _write_lanes(self) -> None:
        lanes, self._kept.lanes = sorted(self._kept.lanes), set()
        if lanes:
            self._refresh(lanes)

    def _refresh(self, lanes: Sequence[str]) -> None:
        """Lock lanes in the order of their names, then refresh them: a new statement sees all that is committed."""
        self._execute(self._sql["lock_lanes"], {"lanes": lanes})
        self._execute(self._sql["refresh_lane"], {"lanes": lanes})

    def _write_facts(self) -> None:
        facts, self._kept.facts = self._kept.facts, []
        if facts:
            values = {
                "journal": JOURNAL_LOCK,
                "kind": texts([one["kind"] for one in facts]),
                "at": numbers([one["at"] for one in facts]),
                "schedule_id": numbers([one["schedule_id"] for one in facts]),
                "delivery_id": numbers([one["delivery_id"] for one in facts]),
                "actor": texts([one["actor"] for one in facts]),
                "detail": texts([one["detail"] for one in facts]),
            }
            self._execute(self._sql["add_facts"], values)

    @contextmanager
    def _in_one_trip(self, *, is_last: bool = False) -> Iterator[None]:
        """Send statements without waiting for each; an answer that is looked at is waited for. Raise what failed first.

        Within another trip it is part of that one. See Trips for what may come between this one and the next.
        """
        with self._using, self._translating(), self._trips.one(is_last=is_last):
            yield

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except DRIVER_ERRORS as exc:
            if isinstance(exc, psycopg.errors.FeatureNotSupported) and self._trips.is_refused:
                # A standby reads, and refuses a transaction that is to write: the primary is somewhere else.
                self._connection.close()
                raise read_only(self._location) from exc
            raise translated(exc, self._location) from exc

    # -- statements by name ---------------------------------------------------------------------------------

    def _change(self, name: str, values: Values) -> int:
        """Run a statement that writes; return how many rows it changed."""
        self._before(name)
        changed = self._execute(self._sql[name], values).rowcount
        if not changed and name in _REFUSING:
            raise KeyTaken(f"a key is taken already in {self._location}")
        return changed

    def _insert(self, name: str, values: Values) -> int | None:
        """Run an INSERT of one row; return its id, or None when a conflict kept it out."""
        self._before(name)
        row = self._execute(self._sql[name], values).fetchone()
        if row is None and name in _REFUSING:
            raise KeyTaken(f"a key is taken already in {self._location}")
        return None if row is None else int(row["id"])

    def _insert_all(self, name: str, rows: Iterable[Values]) -> None:
        """Run an INSERT for each of many rows, in order; a row that cannot be stored raises."""
        for values in rows:
            self._insert(name, values)

    def _rows(self, name: str, values: Values) -> list[Values]:
        """Return all rows of a query as they are; locked, when a decision may rest on them."""
        self._before(name)
        if self._is_reading:
            return self._execute(self._sql[name], values).fetchall()
        if name in _NAMED:
            self._lock_name("\x1f".join(_NAMED[name](values)))
        if name not in _SCHEDULES:
            return self._execute(self._sql[name], values).fetchall()
        found = self._execute(locking()[name], values).fetchall()
        self._kept.schedules.update(row["id"] for row in found)
        return found

    def _before(self, name: str) -> None:
        """Write first what a statement would otherwise not see; note what is to be told."""
        if self._is_reading:
            return
        if name not in _LOOKED_AT_FIRST:
            self._write_planned()
        if name in _OF_LANES:
            self._write_lanes()
        if name in _OF_FACTS:
            self._write_facts()
        if name in _TOLD:
            self._kept.told.add(_TOLD[name])

    def _lock_name(self, name: str) -> None:
        """Lock a name until the transaction ends, once."""
        if name not in self._kept.names:
            self._execute(self._sql["lock_name"], {"name": name})
            self._kept.names.add(name)

    def _try_names(self, names: Sequence[str]) -> set[str]:
        """Lock those names that nobody else has; return which."""
        asked = self._ask_for_names(names)
        if asked is not None:
            self._kept.names.update(row["name"] for row in asked.fetchall())
        return self._kept.names.intersection(names)

    def _ask_for_names(self, names: Sequence[str]) -> Cursor | None:
        """Try to lock those names that are not locked; return the answer, which tells those that now are."""
        wanted = [name for name in names if name not in self._kept.names]
        return self._execute(self._sql["try_names"], {"names": json.dumps(wanted)}) if wanted else None

    def wait_at_most(self, lock_timeout: str) -> str:
        """Bound each wait for a lock, as PostgreSQL writes spans (`500ms`); return what the bound was.

        Going back to a savepoint from before brings that back.
        """
        row = self._execute(self._sql["wait_at_most"], {"lock_timeout": lock_timeout}).fetchone()
        return "" if row is None else str(row["was"])

    def _lock_schedule(self, schedule_id: int) -> bool:
        """Lock a schedule until the transaction ends; False when there is none such."""
        if schedule_id in self._kept.schedules:
            return True
        if self._execute(self._sql["lock_schedule"], {"id": schedule_id}).fetchone() is None:
            return False
        self._kept.schedules.add(schedule_id)
        return True

    def _execute(self, statement: bytes, values: Values) -> Cursor:
        with self._using:
            if not self.is_alive:
                raise ended(self._location)
            with self._translating():
                return self._trips.ask(lambda: self._connection.execute(statement, values or None))

    def _refuse_undone(self) -> None:
        """Raise when an error has undone the transaction: its COMMIT would answer as if all were well."""
        if self._connection.pgconn.transaction_status == TransactionStatus.INERROR:
            raise ended(self._location)

    def _is_key_taken(self, error: StoreError) -> bool:
        return isinstance(error, KeyTaken)


def guard_name(owner: str) -> tuple[str, ...]:
    """Return the name under which an owner's schedules and deliveries are counted."""
    return ("guard", owner)


@cache
def locking() -> Mapping[str, bytes]:
    """Return the queries of schedules that lock what they find."""
    return {name: statements()[name] + b"\nFOR UPDATE" for name in _SCHEDULES}
