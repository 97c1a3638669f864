"""One transaction at a PostgreSQL database: the port `Tx`, where many write at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.errors import Conflict, StoreBusy, StoreError
from promptyoself.domain.models import (
    OPERATOR,
    Attempt,
    Delivery,
    DeliveryKind,
    Fact,
    NewDelivery,
    Schedule,
    ScheduleState,
    StopSwitch,
)
from promptyoself.domain.ports import GuardUsage, NewSchedule
from promptyoself.domain.values import replace
from promptyoself.storage import rows
from promptyoself.storage.postgres_errors import read_only, translated
from promptyoself.storage.postgres_planning import Lease, Taken, is_small
from promptyoself.storage.postgres_server import ServerStatements
from promptyoself.storage.postgres_statements import PLANNERS_TURN, Cursor, guard_name
from promptyoself.storage.postgres_steps_rows import instants, numbers, texts
from promptyoself.storage.postgres_tokens import TokenStatements
from promptyoself.storage.rows import Values, micros, micros_or_none
from promptyoself.storage.statements import ended
from promptyoself.storage.tx import SqlTx, page
from promptyoself.storage.tx_restored import in_use_until_of

_LOOKS_MAX: Final = 10
"""How often somebody else may be quicker before it is told as busy."""


class PostgresTx(TokenStatements, ServerStatements, SqlTx):
    """See `Tx` for what each method promises. Locks: schedule, deliveries, lanes by name, journal."""

    # -- schedules ------------------------------------------------------------------------------------------

    def add_schedule(self, new: NewSchedule) -> Schedule:
        """Store a schedule: active, revision 1. Raises Conflict when its agent has the key already."""
        made = super().add_schedule(new)
        self._kept.schedules.add(made.id)
        self._kept.tell_of_schedules([due_us(made)])
        return made

    def schedule(self, schedule_id: int) -> Schedule | None:
        """Return the schedule, locked until the transaction ends, or None."""
        taken = self._kept.planned.taken.get(schedule_id)
        return super().schedule(schedule_id) if taken is None else taken.schedule

    def save_schedule(self, schedule: Schedule) -> None:
        """Write every column that may change; a pause, or its end, reaches its lanes at once."""
        passed, coming = schedule.passed_until, schedule.next_fire_at
        if passed is not None and coming is not None and coming <= passed:
            raise _impossible("a fire time that was passed is no next one")
        taken = self._kept.planned.taken.get(schedule.id)
        if taken is not None and is_small(taken.schedule, schedule):
            self._kept.planned.move(taken, schedule)
        else:
            self._lock_schedule(schedule.id)
            super().save_schedule(schedule)
            if taken is not None:
                taken.schedule, taken.looked_from = schedule, None
        self._kept.tell_of_schedules([due_us(schedule)])

    def _state_of(self, schedule_id: int) -> str | None:
        taken = self._kept.planned.taken.get(schedule_id)
        return super()._state_of(schedule_id) if taken is None else str(taken.schedule.state)

    def guard_usage(self, owner: str, *, since: datetime) -> GuardUsage:
        """Count the active schedules, creations and deliveries since; skipped and cancelled ones do not count."""
        if owner in self._kept.planned.owners:
            self._write_planned()
        return super().guard_usage(owner, since=since)

    def schedules_due(self, *, now: datetime, limit: int) -> list[Schedule]:
        """Return schedules that are due, oldest first; in a writing transaction those that nobody else has in hand.

        One transaction plans at a time, and for any other there are none: were two to plan, a lane could have a later
        fire time stored, and sent, before an earlier one. An agent's are left out while somebody else counts against
        its limits.
        """
        if self._is_reading:
            return super().schedules_due(now=now, limit=limit)
        self._write_planned()
        with self._translating():
            self._trips.keep_open()  # it is thought about what was read, in the middle of it
        values = {"now": micros(now), "limit": page(limit)}
        with self._in_one_trip():
            turn = self._execute(self._sql["take_planners_turn"], {"name": PLANNERS_TURN})
            taken = self._execute(self._sql["take_schedules_due"], values)
            ahead = self._execute(self._sql["look_ahead"], values | self._claimable())
        ours = turn.fetchone()
        if ours is None or not ours["is_ours"]:
            return []
        due = [self._mapped(row, self._schedule_of) for row in taken.fetchall()]
        self._kept.schedules.update(one.id for one in due)
        self._foresee(due, ahead.fetchall())
        counted = sorted({_counted_as(one) for one in due if one.provenance.owner != OPERATOR})
        mine = self._try_names(counted)
        return [one for one in due if one.provenance.owner == OPERATOR or _counted_as(one) in mine]

    def _claimable(self) -> Values:
        few = limits.FLEET_CLAIMED_AT_ONCE_MAX if self._kept.claims_at else 0
        return {"few": few, "targets": texts(self._kept.claims_at)}

    def _foresee(self, due: Sequence[Schedule], ahead: Sequence[Values]) -> None:
        """Note what the planner will ask about each schedule; of those that the look ahead has not met, ask now."""
        taken = {one.id: Taken(one, micros_or_none(one.next_fire_at)) for one in due}
        self._kept.planned.taken.update(taken)
        self._kept.planned.delivery_ids = [row["new_id"] for row in reversed(ahead)]
        for row in ahead:
            if row["due_id"] in taken:
                taken[row["due_id"]].stored.update(row["stored"])
                taken[row["due_id"]].attempt_id = row["attempt_id"]
                if row["id"] is not None:
                    taken[row["due_id"]].note(self._mapped(row, rows.delivery_of))
        met = {row["due_id"] for row in ahead}
        left = [one for one in due if one.id not in met]
        if not left:
            return
        with self._in_one_trip():
            unfinished = self._execute(self._sql["unfinished_of_schedules"], {"ids": numbers(one.id for one in left)})
            stored = self._execute(self._sql["occurrences_of_schedules"], _fires(left))
        for row in unfinished.fetchall():
            taken[row["schedule_id"]].note(self._mapped(row, rows.delivery_of))
        for row in stored.fetchall():
            taken[row["schedule_id"]].stored.add(row["fire_at"])

    def add_schedules(self, new: Sequence[NewSchedule]) -> list[int]:
        """Store many schedules in one statement; return their ids in the same order."""
        for definition in {one.definition.policy.skip_on: one.definition for one in new}.values():
            self._keep_calendar(definition)
        stored = self._rows("add_schedules", {"rows": _json(map(rows.new_schedule_values, new))})
        if len(stored) != len(new):
            raise Conflict("an agent has a schedule with one of the keys already")
        ids = [int(row["id"]) for row in stored]
        self._kept.schedules.update(ids)
        self._kept.tell_of_schedules(micros_or_none(one.next_fire_at) for one in new)
        return ids

    # -- deliveries -----------------------------------------------------------------------------------------

    def add_delivery(self, new: NewDelivery, *, retry_until: datetime) -> Delivery | None:
        """Store an occurrence, making its lane; None when (schedule, revision, kind, fire_at) is there already."""
        taken = self._kept.planned.taken.get(new.schedule_id)
        if taken is not None and taken.foresees(new):
            return self._open(taken, new, retry_until=retry_until)
        if not self._lock_schedule(new.schedule_id):
            raise StoreError(f"schedule {new.schedule_id} is not in {self._location}")
        first = rows.first_delivery(0, new, retry_until=retry_until)
        self._keep_lane(new.lane, new.target)
        self._before("add_delivery")
        with self._in_one_trip():
            added = self._execute(self._sql["add_delivery"], rows.delivery_values(first))
            turned = [] if new.state.is_final else self._turn(new.schedule_id, new.kind)
        row = added.fetchone()
        if row is None:
            return None
        self._refresh_lanes(row["lane"] for changed in turned for row in changed.fetchall())
        if new.state.is_in_flight:
            self._refresh_lanes([new.lane])
        delivery = replace(first, id=int(row["id"]))
        if taken is not None:
            taken.note(delivery)
        return delivery

    def _open(self, taken: Taken, new: NewDelivery, *, retry_until: datetime) -> Delivery | None:
        """Keep back an occurrence of which all is known; None when it is there already."""
        if taken.has(new):
            return None
        delivery = rows.first_delivery(self._delivery_id(), new, retry_until=retry_until)
        values = rows.delivery_values(delivery) | {"is_head": int(taken.is_turn_of(new))}
        self._kept.planned.open(taken, delivery, values)
        self._kept.told.add("d")
        if not new.state.is_final:
            self._kept.lanes.add(new.lane)
        return delivery

    def _delivery_id(self) -> int:
        ids = self._kept.planned.delivery_ids
        if not ids:
            drawn = self._execute(self._sql["delivery_ids"], {"count": limits.FLEET_PLANNED_MAX})
            ids.extend(row["id"] for row in reversed(drawn.fetchall()))
        return ids.pop()

    def delivery(self, delivery_id: int) -> Delivery | None:
        """Return the delivery, or None. Its schedule is locked, without which nobody writes to it."""
        if not self._is_reading:
            locked = self._by_id("lock_schedule_of_delivery", delivery_id, _id)
            if locked is None:
                return None
            self._kept.schedules.add(locked)
        return super().delivery(delivery_id)

    def save_delivery(self, delivery: Delivery, *, was: Delivery) -> bool:
        """Write the columns that may change, if state and lease token are still as in `was`."""
        if delivery.state.is_final != (delivery.finished_at is not None):
            raise _impossible("what is finished says when, and nothing else does")
        if self._kept.planned.claim(delivery):
            return True
        self._lock_schedule(delivery.schedule_id)
        self._kept.planned.forget_unfinished(delivery.schedule_id)
        return super().save_delivery(delivery, was=was)

    def unfinished_deliveries(self, schedule_id: int) -> list[Delivery]:
        """Return the schedule's deliveries that are not final, by fire time; nobody else changes them meanwhile."""
        if not self._is_reading:
            self._lock_schedule(schedule_id)
        foreseen = self._kept.planned.unfinished(schedule_id)
        if foreseen is not None:
            return foreseen
        return super().unfinished_deliveries(schedule_id)

    def next_in_lane(self, lane: str, *, now: datetime) -> Delivery | None:
        """Return what the lane must do now, its schedule locked: what it was before that, another may have changed."""
        claimed = self._kept.planned.claimed(lane)
        if claimed is not None:
            return claimed if claimed.due_at <= now else None
        for _ in range(_LOOKS_MAX):
            found = super().next_in_lane(lane, now=now)
            if found is None or self._is_reading or found.schedule_id in self._kept.schedules:
                return found
            self._lock_schedule(found.schedule_id)
        raise StoreBusy(f"others change lane {lane} all the time", hint="try again")

    def hasten_target(self, target: str, *, now: datetime) -> int:
        """Make due at once what waits because the target refused all, as its reason says; count them."""
        from promptyoself.domain.retry import TARGET_WIDE

        hastened = self._rows("hasten_target", {"target": target, "now": micros(now), "prefix": TARGET_WIDE})
        self._refresh_lanes(row["lane"] for row in hastened)
        return len(hastened)

    def _pass_turn(self, schedule_id: int, kind: DeliveryKind) -> set[str]:
        self._lock_schedule(schedule_id)
        with self._in_one_trip():
            turned = self._turn(schedule_id, kind)
        return {row["lane"] for changed in turned for row in changed.fetchall()}

    def _turn(self, schedule_id: int, kind: DeliveryKind) -> list[Cursor]:
        """Pass the turn within a schedule that is locked; return the answers, which tell the lanes."""
        values = {"schedule_id": schedule_id, "kind": str(kind)}
        return [self._execute(self._sql[name], values) for name in ("take_turn", "give_turn")]

    # -- attempts -------------------------------------------------------------------------------------------

    def add_attempt(self, delivery_id: int, *, executor_id: str, otid: str, started_at: datetime) -> Attempt:
        """Store an attempt as open; its number is one more than the last."""
        attempt_id = self._kept.planned.take_attempt_id(delivery_id)
        if attempt_id is None:
            return super().add_attempt(delivery_id, executor_id=executor_id, otid=otid, started_at=started_at)
        first = rows.begun_attempt(
            attempt_id, delivery_id, number=1, executor_id=executor_id, otid=otid, started_at=started_at
        )
        self._kept.planned.attempts.append(first)
        return first

    # -- after a restore ------------------------------------------------------------------------------------

    def in_use_until(self) -> datetime | None:
        """Return it as `RestoredTx` says; nothing that is kept back has a say in it, or is written first."""
        row = self._execute(self._sql["in_use_until"], {}).fetchone()
        return None if row is None else self._mapped(row, in_use_until_of)

    def keep_executors_out(self) -> None:
        """Wait for those at work with executors and lanes, and let no other begin."""
        self._execute(self._sql["keep_executors_out"], {})

    # -- lanes ----------------------------------------------------------------------------------------------

    def _keep_lane(self, lane: str, target: str) -> None:
        self._keep_lanes({lane: target})

    def _keep_lanes(self, targets: Mapping[str, str]) -> None:
        """Make lanes, unless they are there, and keep retention from deleting them until the commit."""
        for _ in range(_LOOKS_MAX):
            asked = self._ask_for_lanes(targets)
            if asked is None:
                return
            self._kept.lanes_made.update(row["name"] for row in asked.fetchall())
        raise StoreBusy("lanes are deleted as quickly as they are made", hint="try again")

    def _refresh_lanes(self, lanes: Iterable[str]) -> None:
        changed = set(lanes)
        self._kept.lanes |= changed
        self._kept.planned.changed |= changed

    def lease_lane(self, lane: str, *, token: str, executor_id: str, now: datetime, until: datetime) -> bool:
        """Take a lane if it is free, or keep it if the token is its own; False when another holds it.

        The schedule of what it must do next is locked first: whoever has that may want the lane. Of a lane that may be
        claimed as it is planned for, it is found out at the commit.
        """
        planned = self._kept.planned
        if planned.to_claim(lane, now=now) is not None:
            planned.leases[lane] = Lease(token, micros(until), executor_id)
            return True
        coming = super().next_in_lane(lane, now=now)
        if coming is not None:
            self._lock_schedule(coming.schedule_id)
        return super().lease_lane(lane, token=token, executor_id=executor_id, now=now, until=until)

    def release_lane(self, lane: str, *, token: str) -> bool:
        """Give the lane back, if the token is still its own; at the commit it is looked at a last time."""
        if self._kept.planned.leases.pop(lane, None) is not None:
            return True
        if not super().release_lane(lane, token=token):
            return False
        self._kept.released.add(lane)
        return True

    def set_stop_switch(self, switch: StopSwitch | None) -> None:
        """Stop all deliveries, or let them go on: what was held back is due then."""
        super().set_stop_switch(switch)
        if switch is None:
            self.issue_due_tokens(after=limits.INSTANT_MIN, now=self.server_time(), limit=limits.LIST_MAX)

    def _prune_lanes(self, lanes: Sequence[str]) -> None:
        locked = self._rows("lock_lanes_to_prune", {"lanes": sorted(lanes)})
        self._change("prune_lanes", {"lanes": [row["lane"] for row in locked]})

    # -- journal --------------------------------------------------------------------------------------------

    def add_fact(self, fact: Fact) -> None:
        """Append to the journal, right before the commit."""
        self.add_facts([fact])

    def add_facts(self, facts: Sequence[Fact]) -> None:
        """Append to the journal, in order, right before the commit."""
        if not self.is_alive:
            raise ended(self._location)
        if self._is_reading:
            raise read_only(self._location)
        # What the server would refuse is refused here, not at the commit that others may share.
        self._kept.facts.extend([_storable(rows.fact_values(fact), self._location) for fact in facts])


def due_us(schedule: Schedule) -> int | None:
    """Return when the planner must look at a schedule next, in microseconds; None for never."""
    match schedule.state:
        case ScheduleState.ACTIVE:
            return micros_or_none(schedule.next_fire_at)
        case ScheduleState.PAUSED:
            return micros_or_none(schedule.paused_until)
        case _:
            return None


def _counted_as(schedule: Schedule) -> str:
    """Return the name under which the schedules of its owner are counted."""
    return "\x1f".join(guard_name(schedule.provenance.owner))


def _fires(due: Sequence[Schedule]) -> Values:
    """Return from which fire times on it is asked what is stored of schedules."""
    return {
        "ids": numbers(one.id for one in due),
        "revisions": numbers(one.revision for one in due),
        "since": instants(one.next_fire_at for one in due),
    }


def _json(values: Iterable[Values]) -> str:
    return json.dumps(list(values), ensure_ascii=False)


def _storable(fact: Values, location: str) -> Values:
    try:
        fact["actor"].encode()
    except UnicodeEncodeError as exc:
        raise translated(exc, location) from exc
    if "\0" in fact["actor"]:
        raise _impossible("a text in it holds a NUL character")
    return fact


def _id(row: rows.Row) -> int:
    return int(row["id"])


def _impossible(why: str) -> StoreError:
    """Return the refusal of what the table would refuse: its error would undo the whole transaction."""
    return StoreError(f"a row cannot be stored: {why}")
