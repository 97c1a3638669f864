"""A transaction for the acts of many lanes at once: what they will look at is there before they ask.

An ordinary act (claim, record, give back) asks for its lane, what the lane must do next, and that delivery's schedule.
`fetch` gets these for all lanes of a step in one statement each kind; the acts are answered from memory, and what they
write is kept, and written in one statement each kind at the end.

What is kept is no cache of the database: every row of it is locked, and leaves with the transaction. An act that asks
for anything else has all that is kept written first, and goes on by ordinary statements, under a savepoint of its own;
after it everything is fetched anew, for nobody here knows what it has changed.

Over 500 lines: what is fetched, answered from, kept and written is one table in four phases, and each must fit the
others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from psycopg.rows import tuple_row

from promptyoself.domain import limits
from promptyoself.domain.errors import StoreCorrupt, StoreError
from promptyoself.domain.models import (
    Attempt,
    AttemptOutcome,
    Delivery,
    DeliveryState,
    Schedule,
    ScheduleState,
)
from promptyoself.domain.values import replace
from promptyoself.storage.postgres_planning import Lease, is_small
from promptyoself.storage.postgres_statements import Connection
from promptyoself.storage.postgres_statements import Cursor as StoreCursor
from promptyoself.storage.postgres_steps_rows import delivery_of, instants, new_attempts, numbers, places, texts
from promptyoself.storage.postgres_tx import PostgresTx, due_us
from promptyoself.storage.rows import Values, attempt_of, begun_attempt, micros
from promptyoself.storage.statements import DAMAGED, ended
from promptyoself.storage.tx import may_move_the_turn

if TYPE_CHECKING:
    from psycopg import Cursor

T = TypeVar("T")

_WAIT: Final = "20ms"
"""For a lock that an ordinary statement of a step wants: others wait for what the step has in hand meanwhile."""
_ATTEMPT_IDS: Final = 256
"""Drawn at a time: a gap in the numbers harms nobody."""
_KNOWN_MAX: Final = 4096
"""Rows of a kind that are remembered from one step to the next."""
_PLAINLY: Final = frozenset({"reply_secret", "store_uid", "calendar"})
"""Queries of what no step changes: they are asked as they are."""


V = TypeVar("V")


class Known:
    """What outlives a step: rows by their version, as read or written last, and ids of attempts not used yet.

    A version is the transaction that put the row there, and for schedules its place too: another content has another,
    as long as one server goes on from where it was. So all is forgotten whenever a new connection has been made: after
    a failover the same numbers may be given to others.
    """

    def __init__(self) -> None:
        self.schedules: dict[int, tuple[str, Schedule]] = {}
        self.deliveries: dict[int, tuple[str, Delivery]] = {}
        """Those in flight that were written here: an answer is recorded without reading them again."""
        self.attempt_ids: list[int] = []
        self._connections = 0

    def begin(self, connections: int) -> None:
        """Begin a step of a store that has made so many connections up to now."""
        if connections != self._connections:
            self.schedules.clear()
            self.deliveries.clear()
            self.attempt_ids.clear()
            self._connections = connections


def _keep(known: dict[int, tuple[str, V]], id: int, version: str, value: V) -> None:
    """Remember a row; those that were remembered first are forgotten first."""
    if len(known) >= _KNOWN_MAX:
        for old in list(islice(known, _KNOWN_MAX // 4)):
            del known[old]
    known[id] = (version, value)


_FREE: Final = Lease(None, None, None)


class _Lane:
    """A lane's row, and what it must do."""

    __slots__ = ("in_flight", "is_released", "lease", "name", "pending", "stored")

    def __init__(self, name: str, lease: Lease) -> None:
        self.name = name
        self.lease = self.stored = lease
        self.in_flight: _Held | None = None
        self.pending: _Held | None = None
        """The due one with the oldest fire time, as fetched; its own state tells whether it still is."""
        self.is_released = False


class _Held:
    """A delivery's row as it is stored, and as it shall be."""

    __slots__ = ("attempts", "last_attempt", "now", "plan", "stored")

    def __init__(self, stored: Delivery, plan: _Plan) -> None:
        self.stored = stored
        self.now = stored
        self.plan = plan
        self.last_attempt = 0
        self.attempts: list[Attempt] | None = None
        """All of them, of what its runner may have left; None: not fetched."""


class _Plan:
    """A schedule's row as it is stored, and as it shall be; and how many of its deliveries are unfinished."""

    __slots__ = ("now", "stored", "unfinished")

    def __init__(self, stored: Schedule) -> None:
        self.stored = stored
        self.now = stored
        self.unfinished: int | None = None
        """None until it is asked for: who claims does not ask."""


class StepTx(PostgresTx):
    """See `Tx` for what each method promises; `fetch`, then `run` each act, then commit."""

    def __init__(self, connection: Connection, location: str, known: Known) -> None:
        super().__init__(connection, location)
        self._known = known
        self._xid = ""
        """This transaction, as the rows that it writes will name it."""
        self._written: dict[int, Delivery] = {}
        """Deliveries as they will be stored, should the transaction be committed as it stands."""
        self._lanes: dict[str, _Lane] = {}
        self._held: dict[int, _Held] = {}
        self._plans: dict[int, _Plan] = {}
        self._stopped_until = 0
        self._until = limits.INSTANT_MIN
        self._new_attempts: list[Attempt] = []
        self._finished_attempts: list[tuple[int, AttemptOutcome, datetime | None, Any, Any, Any, Any]] = []
        self._changes: list[tuple[object, str, object, object]] = []
        """Of the act under way, in order: a field, what it was and what it is."""
        self._facts_before = 0
        self._before_act = (self._kept.mark(), set[str](), set[str]())
        """What was kept back, and which lanes were released, when the act under way went on by ordinary statements."""
        self._sent: list[tuple[str, StoreCursor | Cursor[tuple[Any, ...]], int]] = []
        """Statements whose answers have not been looked at, and how many rows each was to write."""
        self._saved: Cursor[tuple[Any, ...]] | None = None
        """The answer of the lanes written last: when each is due next."""
        self._attempts_before = (0, 0)
        self._is_plain = False
        self._waited = ""
        """How long a lock was waited for before the act under way went on by ordinary statements."""
        self._in_hand: set[str] = set()
        """Lanes whose rows this transaction has locked."""
        self._in_hand_before: frozenset[str] = frozenset()
        """The same when the act under way went on by ordinary statements."""
        self.plain_acts = 0
        """Acts that went on by ordinary statements: after each all has to be fetched anew."""

    # -- one act after the other ----------------------------------------------------------------------------

    def has(self, lane: str) -> bool:
        """Whether a lane is in hand with all that its act will look at."""
        return lane in self._lanes

    def run(self, act: Callable[[StepTx], T]) -> T:
        """Run an act; what it raises undoes what it has written, and nothing of the others'."""
        facts = self._begin()
        try:
            answer = act(self)
            self._conclude()
        except BaseException:
            self._undo(facts)
            raise
        self._end()
        return answer

    @contextmanager
    def nested(self) -> Iterator[None]:
        """Bound an act, as `run` does."""
        facts = self._begin()
        try:
            yield
            self._conclude()
        except BaseException:
            self._undo(facts)
            raise
        self._end()

    def _begin(self) -> int:
        self._attempts_before = (len(self._new_attempts), len(self._finished_attempts))
        self._changes.clear()
        self._facts_before = len(self._kept.facts)
        return self._facts_before

    def _conclude(self) -> None:
        """Take in hand, as long as it can still be undone alone, what the act will write to at the commit."""
        self._refuse_undone()
        if self._is_plain:
            others = sorted((self._kept.lanes | self._kept.released) - self._in_hand)
            if others:
                self._execute(self._sql["lock_lanes"], {"lanes": others})
                self._in_hand.update(others)

    def _end(self) -> None:
        if self._is_plain:
            self._is_plain = False
            self._execute(b"RELEASE act", {})
            self.wait_at_most(self._waited)
            self._forget()

    def _undo(self, facts: int) -> None:
        self._take_back()
        if self._is_plain:
            self._is_plain = False
            if self.is_alive:
                self._execute(b"ROLLBACK TO act", {})
                self._execute(b"RELEASE act", {})
            mark, lanes, released = self._before_act
            self._kept.go_back_to(mark)
            # None more than before: whoever has a lane that the act wanted in vain may wait for one in hand here.
            self._kept.lanes, self._kept.released = lanes, released
            self._in_hand = set(self._in_hand_before)
            self._forget()
        del self._kept.facts[facts:]

    def _take_back(self) -> None:
        for thing, name, was, _ in reversed(self._changes):
            setattr(thing, name, was)
            if isinstance(thing, _Lane) and name == "is_released":
                self._note_released(thing)
        new, finished = self._attempts_before
        del self._new_attempts[new:]
        del self._finished_attempts[finished:]

    def _forget(self) -> None:
        """Drop what was fetched: an ordinary statement may have changed any of it."""
        self.plain_acts += 1
        self._lanes.clear()
        self._held.clear()
        self._plans.clear()

    def _before(self, name: str) -> None:
        """Go on by ordinary statements from here: what is kept is written first, that of this act under a savepoint."""
        if not (self._is_plain or self._is_reading or name in _PLAINLY):
            self._go_plain()
        super()._before(name)

    def _go_plain(self) -> None:
        self._is_plain = True
        new, finished = self._attempts_before
        own = (self._new_attempts[new:], self._finished_attempts[finished:])
        self._take_back()
        self._flush()
        mark = replace(self._kept.mark(), facts_count=self._facts_before)
        self._before_act = (mark, set(self._kept.lanes), set(self._kept.released))
        self._execute(b"SAVEPOINT act", {})
        self._waited = self.wait_at_most(_WAIT)
        self._in_hand_before = frozenset(self._in_hand)
        for thing, name, _, value in self._changes:
            setattr(thing, name, value)
            if isinstance(thing, _Lane) and name == "is_released":
                self._note_released(thing)
        self._new_attempts.extend(own[0])
        self._finished_attempts.extend(own[1])
        self._flush()
        self._attempts_before = (0, 0)
        self._changes.clear()

    def _set(self, thing: object, name: str, value: object) -> None:
        """Set a field of what is in memory, in a way that can be taken back."""
        self._changes.append((thing, name, getattr(thing, name), value))
        setattr(thing, name, value)

    def _note_released(self, lane: _Lane) -> None:
        if lane.is_released:
            self._kept.released.add(lane.name)
        else:
            self._kept.released.discard(lane.name)

    # -- fetching -------------------------------------------------------------------------------------------

    def fetch(self, lanes: Sequence[str], *, until: datetime) -> None:
        """Take in hand what nobody else has of these lanes, what they must do by `until`, and the schedules of that.

        `until` is a little ahead of the acts' own clock: what comes due while they run is there too. What is in hand
        stays as it is: an earlier act may have changed it, which is not written yet.
        """
        lanes = [lane for lane in lanes if lane not in self._lanes]
        if not lanes:
            return
        wanted = texts(lanes)
        self._until = until
        found = {}
        with self._in_one_trip():  # what others have of these lanes is not looked at, though asked for
            of_lanes = self._asked("step_lanes", {"lanes": wanted})
            of_duties = self._asked("step_duties", {"lanes": wanted, "until": micros(until)})
        for name, token, ends_at, executor_id, stopped_until, xid in of_lanes.fetchall():
            found[name] = _Lane(name, Lease(token, ends_at, executor_id))
            self._stopped_until = stopped_until or 0
            self._xid = xid
        self._in_hand.update(found)
        duties = [duty for duty in of_duties.fetchall() if duty[0] in found]
        if duties:
            self._read_rows(duties)
            for lane, is_pending, id, _, _, _ in duties:
                held = self._held.get(id)
                if held is None:
                    found.pop(lane, None)  # somebody else has its schedule, or it cannot be read
                elif lane in found:
                    setattr(found[lane], "pending" if is_pending else "in_flight", held)
            self._read_attempts(found.values())
            self._read_attempts_of_lost(found.values())
        self._lanes.update(found)

    def _read_rows(self, duties: list[tuple[Any, ...]]) -> None:
        """Take what is known as it is now, and read the rest: of deliveries and schedules nobody else has."""
        plans, deliveries = self._known.schedules, self._known.deliveries
        of_plans = {duty[3]: duty[5] for duty in duties if duty[5] is not None}
        of_deliveries = {duty[2]: duty for duty in duties if duty[3] in of_plans}
        new_plans = [id for id, version in of_plans.items() if id not in plans or plans[id][0] != version]
        new = [id for id, duty in of_deliveries.items() if id not in deliveries or deliveries[id][0] != duty[4]]
        with self._in_one_trip():
            plan_rows = self._execute(self._sql["step_schedules"], {"ids": numbers(new_plans)}) if new_plans else None
            rows = self._asked("step_deliveries", {"ids": numbers(new)}) if new else None
        for row in plan_rows.fetchall() if plan_rows else ():
            with suppress(StoreCorrupt):  # its act will be told so, by itself
                _keep(plans, row["id"], row["row_version"], self._mapped(row, self._schedule_of))
        read: dict[int, Delivery] = {}
        for columns in rows.fetchall() if rows else ():
            with suppress(*DAMAGED):  # as above
                read[columns[0]] = delivery_of(columns)
        for id, version in of_plans.items():
            if id not in self._plans and id in plans and plans[id][0] == version:
                self._plans[id] = _Plan(plans[id][1])
        self._kept.schedules.update(of_plans)
        for id, duty in of_deliveries.items():
            stored, plan = read.get(id) or (None if id in new else deliveries[id][1]), self._plans.get(duty[3])
            if stored is not None and plan is not None and id not in self._held:
                self._held[id] = _Held(stored, plan)

    def _count_unfinished(self) -> None:
        """Count what is unfinished of each schedule in hand, in a new statement: nobody else changes it any more."""
        uncounted = {id: plan for id, plan in self._plans.items() if plan.unfinished is None}
        for plan in uncounted.values():
            plan.unfinished = 0
        for id, unfinished in self._tuples("step_unfinished", {"ids": numbers(uncounted)}):
            uncounted[id].unfinished = unfinished

    def _unfinished(self, plan: _Plan) -> int:
        if plan.unfinished is None:
            self._count_unfinished()
        return plan.unfinished or 0

    def _read_attempts(self, lanes: Iterable[_Lane]) -> None:
        tried = {
            held.now.id: held
            for lane in lanes
            for held in (lane.pending,)
            if held is not None and held.now.first_sent_at is not None
        }
        if tried:
            for id, number in self._tuples("step_attempts", {"ids": numbers(tried)}):
                tried[id].last_attempt = number

    def _read_attempts_of_lost(self, lanes: Iterable[_Lane]) -> None:
        """Read the attempts at what is in flight in lanes that nobody has: who takes them over asks for each.

        One by one that would take seconds after a node has died with hundreds, and others' answers wait for it.
        """
        free_at = micros(self._until)
        lost = {
            lane.in_flight.now.id: lane.in_flight
            for lane in lanes
            if lane.in_flight is not None and (lane.lease.until is None or lane.lease.until <= free_at)
        }
        if not lost:
            return
        rows: dict[int, list[Any]] = {id: [] for id in lost}
        for row in self._execute(self._sql["step_attempts_of_lost"], {"ids": numbers(lost)}).fetchall():
            rows[row["delivery_id"]].append(row)
        for id, held in lost.items():
            with suppress(StoreCorrupt):  # its act asks for them itself, and is told so
                held.attempts = [self._mapped(row, attempt_of) for row in rows[id]]

    def _tuples(self, name: str, values: Values) -> list[tuple[Any, ...]]:
        return self._asked(name, values).fetchall()

    def _asked(self, name: str, values: Values) -> Cursor[tuple[Any, ...]]:
        with self._using:
            if not self.is_alive:
                raise ended(self._location)
            cursor = self._connection.cursor(row_factory=tuple_row)
            with self._translating():
                return self._trips.ask(lambda: cursor.execute(self._sql[name], values))

    # -- lanes ----------------------------------------------------------------------------------------------

    def lease_lane(self, lane: str, *, token: str, executor_id: str, now: datetime, until: datetime) -> bool:
        """Take a lane if it is free, or keep it if the token is its own; False when another holds it."""
        mine = self._lanes.get(lane)
        if mine is None or self._is_plain:
            return super().lease_lane(lane, token=token, executor_id=executor_id, now=now, until=until)
        had = mine.lease
        if had.token is not None and had.token != token and had.until is not None and had.until > micros(now):
            return False
        self._write_lane(mine, Lease(token, micros(until), executor_id))
        return True

    def release_lane(self, lane: str, *, token: str) -> bool:
        """Give the lane back, if the token is still its own."""
        mine = self._lanes.get(lane)
        if mine is None or self._is_plain:
            return super().release_lane(lane, token=token)
        if mine.lease.token != token:
            return False
        self._write_lane(mine, _FREE)
        self._set(mine, "is_released", value=True)
        self._note_released(mine)
        self._kept.told.add("d")
        return True

    def _write_lane(self, lane: _Lane, lease: Lease) -> None:
        self._set(lane, "lease", lease)
        self._kept.lanes.add(lane.name)

    def next_in_lane(self, lane: str, *, now: datetime) -> Delivery | None:
        """Return what the lane must do now: what is in flight first, else what is due by fire time."""
        mine = self._lanes.get(lane)
        if mine is None or self._is_plain:
            return super().next_in_lane(lane, now=now)
        flying, waiting = mine.in_flight, mine.pending
        if flying is not None and flying.now.state.is_in_flight:
            return flying.now if flying.now.due_at <= now else None
        if waiting is not None and waiting.now.state.is_in_flight:
            return waiting.now if waiting.now.due_at <= now else None
        if self._stopped_until > micros(now):
            return None
        has_landed = flying is not None and not flying.now.state.is_final and flying.now.due_at <= now
        is_first = waiting is None or (waiting.now is waiting.stored and waiting.now.due_at <= now)
        if has_landed or not is_first or now > self._until:
            # One was put back, has ended unsent, or is not due quite yet: only the database knows what is first now.
            return super().next_in_lane(lane, now=now)
        return None if waiting is None else waiting.now

    # -- deliveries -----------------------------------------------------------------------------------------

    def delivery(self, delivery_id: int) -> Delivery | None:
        """Return the delivery, locked until the transaction ends, or None."""
        held = self._held.get(delivery_id)
        if held is None or self._is_plain:
            return super().delivery(delivery_id)
        return held.now

    def save_delivery(self, delivery: Delivery, *, was: Delivery) -> bool:
        """Write the columns that may change, if state and lease token are still as in `was`."""
        held = self._held.get(delivery.id)
        if held is None or self._is_plain or not self._is_simple(held, delivery, was):
            return super().save_delivery(delivery, was=was)
        now = held.now
        if now is not was and (now.state is not was.state or now.lease_token != was.lease_token):
            return False
        self._set(held, "now", delivery)
        if delivery.state.is_final:
            self._set(held.plan, "unfinished", self._unfinished(held.plan) - 1)
        self._kept.lanes.add(delivery.lane)
        self._kept.told.add("d")
        return True

    def _is_simple(self, held: _Held, delivery: Delivery, was: Delivery) -> bool:
        """Whether nobody else's turn within the schedule can change with it."""
        if delivery.state.is_final != (delivery.finished_at is not None) or delivery.lane not in self._lanes:
            return False
        if not may_move_the_turn(delivery.state, was.state):
            return True
        if was.state.is_final or held.plan.now.state is ScheduleState.PAUSED:
            return False
        return self._unfinished(held.plan) == 1

    def unfinished_deliveries(self, schedule_id: int) -> list[Delivery]:
        """Return the schedule's deliveries that are not final, by fire time."""
        plan = self._plans.get(schedule_id)
        if plan is not None and not self._is_plain and self._unfinished(plan) == 0:
            return []
        return super().unfinished_deliveries(schedule_id)

    # -- schedules ------------------------------------------------------------------------------------------

    def schedule(self, schedule_id: int) -> Schedule | None:
        """Return the schedule, locked until the transaction ends, or None."""
        plan = self._plans.get(schedule_id)
        if plan is None or self._is_plain:
            return super().schedule(schedule_id)
        return plan.now

    def save_schedule(self, schedule: Schedule) -> None:
        """Write every column that may change; a pause, or its end, reaches its lanes at once."""
        plan = self._plans.get(schedule.id)
        if plan is None or self._is_plain or not is_small(plan.now, schedule):
            super().save_schedule(schedule)
            return
        self._set(plan, "now", schedule)
        self._kept.tell_of_schedules([due_us(schedule)])

    # -- attempts -------------------------------------------------------------------------------------------

    def add_attempt(self, delivery_id: int, *, executor_id: str, otid: str, started_at: datetime) -> Attempt:
        """Store an attempt as open; its number is one more than the last."""
        held = self._held.get(delivery_id)
        if held is None or self._is_plain or held.stored.state is not DeliveryState.PENDING:
            return super().add_attempt(delivery_id, executor_id=executor_id, otid=otid, started_at=started_at)
        self._set(held, "last_attempt", held.last_attempt + 1)
        attempt = begun_attempt(
            self._attempt_id(),
            delivery_id,
            number=held.last_attempt,
            executor_id=executor_id,
            otid=otid,
            started_at=started_at,
        )
        self._new_attempts.append(attempt)
        self._kept.lanes.add(held.now.lane)
        return attempt

    def attempts(self, delivery_id: int) -> list[Attempt]:
        """Return all attempts, first to last."""
        held = self._held.get(delivery_id)
        known = None if held is None or self._is_plain else held.attempts
        if (
            known is None
            or self._has_changed(known)
            or any(one.delivery_id == delivery_id for one in self._new_attempts)
        ):
            return super().attempts(delivery_id)
        return list(known)

    def _has_changed(self, attempts: Sequence[Attempt]) -> bool:
        return not {one[0] for one in self._finished_attempts}.isdisjoint(one.id for one in attempts)

    def _attempt_id(self) -> int:
        if not self._known.attempt_ids:
            drawn = self._tuples("step_attempt_ids", {"count": _ATTEMPT_IDS})
            self._known.attempt_ids = [row[0] for row in reversed(drawn)]
        return self._known.attempt_ids.pop()

    def finish_attempt(
        self,
        attempt_id: int,
        *,
        outcome: AttemptOutcome,
        finished_at: datetime | None,
        error_code: str | None = None,
        status: int | None = None,
        run_id: str | None = None,
        detail: str | None = None,
    ) -> None:
        """Write how an attempt went. A run id or status known before is kept when none is given."""
        is_in_hand = any(type(change[0]) is _Held for change in self._changes)  # its delivery: what else this act saves
        if self._is_plain or not is_in_hand or any(one[0] == attempt_id for one in self._finished_attempts[-1:]):
            super().finish_attempt(
                attempt_id,
                outcome=outcome,
                finished_at=finished_at,
                error_code=error_code,
                status=status,
                run_id=run_id,
                detail=detail,
            )
            return
        self._finished_attempts.append((attempt_id, outcome, finished_at, error_code, status, run_id, detail))

    # -- writing what is kept -------------------------------------------------------------------------------

    def commit(self) -> None:
        """Commit; what was written of deliveries in flight is known from here on, without being read."""
        super().commit()
        known = self._known.deliveries
        for id, delivery in self._written.items():
            # An ordinary statement may have written more to a row, of which nobody here knows.
            if delivery.state.is_in_flight and not self.plain_acts:
                _keep(known, id, self._xid, delivery)
            else:
                known.pop(id, None)

    def write_what_is_kept(self) -> None:
        """Write all of it but the journal: schedules, deliveries, attempts, then lanes."""
        with self._in_one_trip():
            self._flush(but_lanes=True)
            super().write_what_is_kept()
        self._check_sent()

    def _flush(self, *, but_lanes: bool = False) -> None:
        with self._in_one_trip():
            self._flush_schedules()
            self._flush_deliveries()
            self._flush_attempts()
            if not but_lanes:
                written = [lane.name for lane in self._lanes.values() if lane.lease is not lane.stored]
                if written:
                    self._save_lanes(written)
        if not self._trips.is_under_way:
            self._check_sent()

    def _flush_schedules(self) -> None:
        changed = [plan for plan in self._plans.values() if plan.now is not plan.stored]
        if not changed:
            return
        self._write_all("step_save_schedules", places(plan.now for plan in changed), len(changed))
        for plan in changed:
            plan.stored = plan.now

    def _flush_deliveries(self) -> None:
        changed = [held for held in self._held.values() if held.now is not held.stored]
        if not changed:
            return
        was, now = [held.stored for held in changed], [held.now for held in changed]
        values = {
            "id": numbers([one.id for one in now]),
            "was_state": texts([one.state for one in was]),
            "was_lease_token": texts([one.lease_token for one in was]),
            "state": texts([one.state for one in now]),
            "reason": texts([one.reason for one in now]),
            "error_code": texts([one.error_code for one in now]),
            "due_at": instants([one.due_at for one in now]),
            "lease_token": texts([one.lease_token for one in now]),
            "run_id": texts([one.run_id for one in now]),
            "reply_excerpt": texts([one.reply_excerpt for one in now]),
            "first_sent_at": instants([one.first_sent_at for one in now]),
            "sent_at": instants([one.sent_at for one in now]),
            "accepted_at": instants([one.accepted_at for one in now]),
            "finished_at": instants([one.finished_at for one in now]),
        }
        self._write_all("step_save_deliveries", values, len(now))
        self._flush_counts([held.now for held in changed if _counts(held.now) != _counts(held.stored)])
        for held in changed:
            held.stored = held.now
            self._written[held.now.id] = held.now

    def _flush_counts(self, now: list[Delivery]) -> None:
        if not now:
            return
        values = {
            "id": numbers([one.id for one in now]),
            "planned_at": instants([one.planned_at for one in now]),
            "snoozed_until": instants([one.snoozed_until for one in now]),
            "fire_number": numbers([one.fire_number for one in now]),
            "missed": numbers([one.missed for one in now]),
            "attempts": numbers([one.attempts for one in now]),
            "refusals": numbers([one.refusals for one in now]),
            "failures": numbers([one.failures for one in now]),
            "maybe_repeat": numbers([one.maybe_repeat for one in now]),
            "retry_until": instants([one.retry_until for one in now]),
            "unknown_since": instants([one.unknown_since for one in now]),
            "cancel_requested": numbers([one.cancel_requested for one in now]),
        }
        self._write_all("step_save_counts", values, len(now))

    def _flush_attempts(self) -> None:
        new, done = self._new_attempts, self._finished_attempts
        if new:
            self._write_all("step_add_attempts", new_attempts(new), len(new))
            new.clear()
        if done:
            ids, outcomes, ends, codes, statuses, runs, details = zip(*done, strict=True)
            values = {
                "id": numbers(ids),
                "outcome": texts(outcomes),
                "finished_at": instants(ends),
                "error_code": texts(codes),
                "status": numbers(statuses),
                "run_id": texts(runs),
                "detail": texts(details),
            }
            self._write_all("step_finish_attempts", values, len(done))
            done.clear()

    def _refresh(self, lanes: Sequence[str]) -> None:
        """Write the lanes in hand with their leases, once; any others as ever, and all in the midst of a plain act."""
        self._saved = None
        mine = [lane for lane in lanes if lane in self._lanes and not self._is_plain]
        if mine:
            self._save_lanes(mine)
        others = [lane for lane in lanes if self._is_plain or lane not in self._lanes]
        if others:
            super()._refresh(others)

    def _save_lanes(self, names: Sequence[str]) -> None:
        lanes = [self._lanes[name] for name in names]
        leases = [one.lease for one in lanes]
        values = {
            "lane": texts(names),
            "lease_token": texts([one.token for one in leases]),
            "leased_until": numbers([one.until for one in leases]),
            "executor_id": texts([one.executor_id for one in leases]),
            "flying_due_at": instants([_claimed_due_at(one) for one in lanes]),
        }
        self._saved = self._asked("step_save_lanes", values)
        self._sent.append(("step_save_lanes", self._saved, len(lanes)))
        for lane in lanes:
            lane.stored = lane.lease

    def _wants_no_token(self, lanes: Sequence[str]) -> set[str]:
        if self._saved is None:
            return set()
        until = micros(self._until)
        mine = [self._lanes[name] for name in lanes if name in self._lanes]
        leased = {one.name for one in mine if one.lease.until is not None and one.lease.until > until}
        if len(leased) == len(lanes):  # the answer is not waited for
            return leased
        found = self._saved.fetchall()
        return leased | {name for name, next_due_at in found if next_due_at is None or next_due_at > until}

    def _write_all(self, name: str, values: Values, count: int) -> None:
        self._sent.append((name, self._execute(self._sql[name], values), count))

    def _check_sent(self) -> None:
        """Raise when rows were not as they were read, though they are in hand: nothing of the step is stored then."""
        sent, self._sent = self._sent, []
        for name, cursor, count in sent:
            if cursor.rowcount != count:
                raise StoreError(f"rows in {self._location} have changed while they were locked ({name})")


def _claimed_due_at(lane: _Lane) -> datetime | None:
    """Return when what was claimed is due, in a lane in which nothing was in flight: nothing else is, then."""
    claimed = lane.pending
    if lane.in_flight is not None or claimed is None or not claimed.now.state.is_in_flight:
        return None
    return claimed.now.due_at


def _counts(one: Delivery) -> tuple[object, ...]:
    """Return what an ordinary claim or record leaves as it is."""
    return (
        one.attempts, one.refusals, one.failures, one.missed, one.fire_number, one.maybe_repeat, one.cancel_requested,
        one.retry_until, one.unknown_since, one.planned_at, one.snoozed_until,
    )  # fmt: skip
