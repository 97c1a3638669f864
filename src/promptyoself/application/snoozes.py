"""Snooze: what is next of a schedule comes later, and the schedule itself stays as it is."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from promptyoself.application.coming import find_active, keep_skipped, note, occurrence, openings_ahead, passed
from promptyoself.application.schedules import Caller, check_allowance
from promptyoself.domain import guard, limits
from promptyoself.domain.errors import Conflict, InvalidInput
from promptyoself.domain.keys import idempotency_key
from promptyoself.domain.localtime import zone
from promptyoself.domain.models import (
    OPERATOR,
    CatchUp,
    Delivery,
    DeliveryKind,
    DeliveryState,
    FactKind,
    NewDelivery,
    Schedule,
)
from promptyoself.domain.outlook import next_to_send
from promptyoself.domain.quiet import QuietMode
from promptyoself.domain.values import dataclass, replace

if TYPE_CHECKING:
    from promptyoself.domain.ports import Tx


class PutOff(StrEnum):
    """What a snooze has put off."""

    WAITING = "waiting"
    """A delivery that was due, or held, and had not been sent: it comes later."""
    IN_FLIGHT = "in_flight"
    """The agent is dealing with it: it comes again, outside of the schedule."""
    NEXT = "next"
    """The next fire time: it keeps its place in the schedule, and comes later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snoozed:
    """What a snooze has put off, and the delivery that comes then (`planned_at`)."""

    schedule: Schedule
    delivery: Delivery
    what: PutOff


def snooze(
    tx: Tx,
    schedule_id: int,
    *,
    lasting: timedelta | None,
    until: datetime | None,
    caller: Caller,
    store_uid: str,
    now: datetime,
) -> Snoozed:
    """Put off what is next of a schedule: what waits unsent, else what is in flight, else the next fire time.

    Exactly one of `lasting` and `until` (aware UTC) is given; `lasting` counts from when it would have come, or from
    now when that has passed. Raises InvalidInput for an instant that is no later, too far, in quiet hours that skip,
    on a holiday, or not before the fire time that would take its place; Conflict when the schedule is paused or over.
    """
    schedule = find_active(tx, schedule_id, "snoozed", caller=caller, now=now)
    wish = _Wish(schedule, lasting, until, now)
    unfinished = tx.unfinished_deliveries(schedule.id)
    waiting = _waiting(unfinished)
    if waiting is not None:
        done = _put_off(tx, schedule, waiting, wish, store_uid=store_uid)
    elif any(one.state.is_in_flight for one in unfinished):
        done = _again(tx, schedule, wish, caller=caller, store_uid=store_uid)
    else:
        done = _put_off_next(tx, schedule, wish, caller=caller, store_uid=store_uid)
    note(
        tx,
        FactKind.SNOOZED,
        schedule,
        done.delivery,
        done.delivery.planned_at,
        caller=caller,
        reason=done.what,
        now=now,
    )
    return done


@dataclass(frozen=True, slots=True)
class _Wish:
    """Until when somebody wants something put off."""

    schedule: Schedule
    lasting: timedelta | None
    until: datetime | None
    now: datetime

    def instant(self, *, due_at: datetime, before: datetime | None, may_be_skipped: bool = False) -> datetime:
        """Return when what would have come at `due_at` shall come: never at or after `before`, which replaces it."""
        since = max(self.now, due_at)
        wanted = self.until if self.lasting is None else since + self.lasting
        assert wanted is not None, "one of the two is given"  # noqa: S101  the caller has checked it
        if wanted <= since:
            what = (
                "is not in the future" if since == self.now else f"is no later than {self.shown(since)}, when it comes"
            )
            raise InvalidInput(f"{self.shown(wanted)} {what}", hint="give a later time")
        if wanted - since > limits.SNOOZE_MAX:
            raise InvalidInput(
                f"{self.shown(wanted)} is more than {limits.SNOOZE_MAX.days} days later",
                hint="skip it, or update the schedule, in place of putting one delivery off so far",
            )
        comes_at = self._out_of_quiet_hours(wanted)
        self._check_no_holiday(comes_at)
        if before is not None and comes_at >= before:
            or_skip = f", or leave this one out: promptyoself skip --id {self.schedule.id}" if may_be_skipped else ""
            raise InvalidInput(
                f"{self.shown(comes_at)} is not before {self.shown(before)}, whose fire would replace it",
                hint=f"give an earlier time{or_skip}",
            )
        return comes_at

    def _out_of_quiet_hours(self, wanted: datetime) -> datetime:
        quiet = self.schedule.definition.policy.quiet_hours
        release_at = quiet.release_at(wanted, self.schedule.definition.trigger.timezone) if quiet else None
        if quiet is None or release_at is None:
            return wanted
        if quiet.mode is QuietMode.SKIP:
            raise InvalidInput(
                f"{self.shown(wanted)} is in the schedule's quiet hours ({quiet}), in which nothing is sent",
                hint=f"give {self.shown(release_at)}, when they end, or later",
            )
        return release_at

    def _check_no_holiday(self, comes_at: datetime) -> None:
        holidays = self.schedule.definition.policy.skip_on
        here = zone(self.schedule.definition.trigger.timezone)
        reason = holidays.reason_for(comes_at, here) if holidays else None
        stretch = holidays.stretch(comes_at, here) if holidays else None
        if reason is not None and stretch is not None:
            raise InvalidInput(
                f"at {self.shown(comes_at)} nothing of this schedule is sent: {reason}",
                hint=f"give {self.shown(stretch[1])}, when that ends, or later",
            )

    def shown(self, at: datetime) -> str:
        """Return an instant as a caller may type it, in the schedule's zone."""
        return at.astimezone(zone(self.schedule.definition.trigger.timezone)).isoformat(timespec="seconds")


def _waiting(unfinished: list[Delivery]) -> Delivery | None:
    """Return what comes next of all that waits and was never processed; within its kind the earliest has the turn."""
    pending = [
        one for one in unfinished if one.state is DeliveryState.PENDING and one.attempts == 0 and not one.maybe_repeat
    ]
    turns = [next((one for one in pending if one.kind is kind), None) for kind in DeliveryKind]
    return min((one for one in turns if one is not None), key=lambda one: (one.planned_at, one.id), default=None)


def _put_off(tx: Tx, schedule: Schedule, old: Delivery, wish: _Wish, *, store_uid: str) -> Snoozed:
    if old.kind is DeliveryKind.RUN_NOW:
        return _put_off_run_now(tx, schedule, old, wish, store_uid=store_uid)
    comes_at = wish.instant(due_at=old.planned_at, before=_replaced_at(schedule))
    later = replace(
        old,
        planned_at=comes_at,
        due_at=comes_at,
        snoozed_until=comes_at,
        retry_until=comes_at + schedule.definition.policy.retry_for,
        refusals=0,
        reason=None,
        error_code=None,
    )
    tx.save_delivery(later, was=old)
    return Snoozed(schedule=schedule, delivery=later, what=PutOff.WAITING)


def _replaced_at(schedule: Schedule) -> datetime | None:
    """Return the next fire time that would take the place of one that waits; one that is skipped takes none."""
    return None if schedule.definition.policy.catch_up is CatchUp.ALL else next_to_send(schedule)


def _put_off_run_now(tx: Tx, schedule: Schedule, old: Delivery, wish: _Wish, *, store_uid: str) -> Snoozed:
    """Open it anew for then: under its old instant it would hold up what is asked for meanwhile."""
    comes_at = wish.instant(due_at=old.planned_at, before=None)
    reason = f"put off until {wish.shown(comes_at)}"
    gone = replace(old, state=DeliveryState.CANCELLED, reason=reason, finished_at=wish.now, due_at=wish.now)
    tx.save_delivery(gone, was=old)
    delivery = _open_apart(tx, schedule, comes_at, wish, store_uid=store_uid)
    return Snoozed(schedule=schedule, delivery=delivery, what=PutOff.WAITING)


def _again(tx: Tx, schedule: Schedule, wish: _Wish, *, caller: Caller, store_uid: str) -> Snoozed:
    if not caller.is_operator:
        check_allowance(tx, caller.owner, now=wish.now)
    delivery = _open_apart(tx, schedule, wish.instant(due_at=wish.now, before=None), wish, store_uid=store_uid)
    return Snoozed(schedule=schedule, delivery=delivery, what=PutOff.IN_FLIGHT)


def _open_apart(tx: Tx, schedule: Schedule, comes_at: datetime, wish: _Wish, *, store_uid: str) -> Delivery:
    """Open a delivery outside of the schedule, as a run-now is."""
    kind = DeliveryKind.RUN_NOW
    new = NewDelivery(
        schedule_id=schedule.id,
        revision=schedule.revision,
        kind=kind,
        target=schedule.definition.target,
        lane=schedule.lane,
        key=idempotency_key(store_uid, schedule.uid, revision=schedule.revision, kind=kind, fire_at=comes_at),
        fire_at=comes_at,
        planned_at=comes_at,
        snoozed_until=comes_at,
        fire_number=0,
        created_at=wish.now,
    )
    delivery = tx.add_delivery(new, retry_until=comes_at + schedule.definition.policy.retry_for)
    if delivery is None:
        raise Conflict(f"schedule {schedule.id} was put off until this very instant already", hint="give another time")
    return delivery


def _put_off_next(tx: Tx, schedule: Schedule, wish: _Wish, *, caller: Caller, store_uid: str) -> Snoozed:
    """Open the next fire time now, to come later: its fire counts once, and the schedule goes on after it."""
    ahead = openings_ahead(schedule, 1)
    if not ahead:
        raise Conflict(
            f"schedule {schedule.id} does not fire again, and nothing of it waits unsent",
            hint=f"promptyoself run-now --id {schedule.id} sends the prompt again",
        )
    *skipped, opening = ahead
    if opening.skip_reason is not None:
        raise Conflict(
            f"nothing of schedule {schedule.id} would be sent, and nothing is left to put off: {opening.skip_reason}"
        )
    if schedule.provenance.owner != OPERATOR:
        usage = tx.guard_usage(schedule.provenance.owner, since=wish.now - timedelta(hours=1))
        if guard.allowance(usage) <= 0:
            raise guard.deliveries_exceeded()
    counted = replace(schedule, fire_count=schedule.fire_count + 1)
    moved = passed(counted, opening.fire_at, now=wish.now)
    comes_at = wish.instant(due_at=opening.planned_at, before=_replaced_at(moved), may_be_skipped=True)
    keep_skipped(tx, schedule, skipped, caller=caller, store_uid=store_uid, now=wish.now)
    new = occurrence(counted, opening, planned_at=comes_at, store_uid=store_uid, now=wish.now)
    retry_until = comes_at + schedule.definition.policy.retry_for
    delivery = tx.add_delivery(replace(new, snoozed_until=comes_at), retry_until=retry_until)
    if delivery is None:
        raise Conflict(
            f"the fire time {wish.shown(opening.fire_at)} of schedule {schedule.id} has its delivery already"
        )
    tx.save_schedule(moved)
    return Snoozed(schedule=moved, delivery=delivery, what=PutOff.NEXT)
