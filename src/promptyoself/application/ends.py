"""What the end of a delivery means for its schedule: completion, and the pause after final errors in a row."""

from __future__ import annotations

from datetime import datetime, timedelta

from promptyoself.application.reopening import reopen
from promptyoself.domain import limits
from promptyoself.domain.models import (
    AttemptOutcome,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Fact,
    FactKind,
    Schedule,
    ScheduleState,
)
from promptyoself.domain.ports import Tx
from promptyoself.domain.triggers import next_fire_at
from promptyoself.domain.values import replace


def complete_if_over(tx: Tx, schedule: Schedule, *, now: datetime) -> Schedule:
    """Complete an active schedule that has no fire time and no unfinished delivery left."""
    if schedule.state is not ScheduleState.ACTIVE or schedule.next_fire_at is not None:
        return schedule
    if tx.unfinished_deliveries(schedule.id):
        return schedule
    done = replace(schedule, state=ScheduleState.COMPLETED, state_reason="it has no fire time left", updated_at=now)
    tx.save_schedule(done)
    tx.add_fact(Fact(kind=FactKind.COMPLETED, at=now, schedule_id=schedule.id, actor="promptyoself"))
    return done


def after_delivery(
    tx: Tx, schedule: Schedule, delivery: Delivery, *, outcome: AttemptOutcome | None, now: datetime
) -> Schedule:
    """Draw the consequences of a delivery that has just ended for its schedule, in the same transaction."""
    if delivery.state is DeliveryState.DELIVERED:
        schedule = _count_delivered(tx, schedule, delivery, now=now)
    elif outcome is AttemptOutcome.FINAL:
        schedule = _count_final(tx, schedule, delivery, now=now)
    elif _was_only_edited(schedule, delivery, outcome):
        is_in_doubt = outcome is None
        reopen(tx, schedule, replace(delivery, maybe_repeat=delivery.maybe_repeat or is_in_doubt), now=now)
    return complete_if_over(tx, schedule, now=now)


def _was_only_edited(schedule: Schedule, delivery: Delivery, outcome: AttemptOutcome | None) -> bool:
    """An edit in flight, after which the attempt came to nothing, or has no outcome: nobody could learn of its arrival.

    Its fire time must not be lost by it, whether or not a later one has come meanwhile: unedited it would wait for its
    retry, with that one behind it.
    """
    is_edited = schedule.state in {ScheduleState.ACTIVE, ScheduleState.PAUSED} and schedule.revision > delivery.revision
    if not is_edited or delivery.state is not DeliveryState.CANCELLED or outcome not in {None, *_CAME_TO_NOTHING}:
        return False
    if delivery.fire_number == 0:  # a person asked for it, whatever the rule
        return True
    return next_fire_at(schedule.definition.trigger, after=delivery.fire_at - _TICK) == delivery.fire_at


_TICK = timedelta(microseconds=1)
_CAME_TO_NOTHING = frozenset(
    {AttemptOutcome.REFUSED, AttemptOutcome.BUSY, AttemptOutcome.FAILED, AttemptOutcome.ABANDONED}
)


def _count_delivered(tx: Tx, schedule: Schedule, delivery: Delivery, *, now: datetime) -> Schedule:
    """End the row of final errors; a fire time that was opened early, by a snooze, is the last one only now."""
    last = schedule.last_fire_at
    is_newest = delivery.snoozed_until is not None and delivery.kind is DeliveryKind.SCHEDULED
    if is_newest and (last is None or last < delivery.fire_at):
        last = delivery.fire_at
    if schedule.finals_in_row or last != schedule.last_fire_at:
        schedule = replace(schedule, finals_in_row=0, last_fire_at=last, updated_at=now)
        tx.save_schedule(schedule)
    return schedule


def _count_final(tx: Tx, schedule: Schedule, delivery: Delivery, *, now: datetime) -> Schedule:
    counted = replace(schedule, finals_in_row=schedule.finals_in_row + 1, updated_at=now)
    if counted.finals_in_row >= limits.FINALS_BEFORE_PAUSE and counted.state is ScheduleState.ACTIVE:
        reason = f"{counted.finals_in_row} final errors in a row; last: {delivery.reason}"
        counted = replace(counted, state=ScheduleState.PAUSED, state_reason=reason[: limits.REASON_CHARS_MAX])
        tx.add_fact(
            Fact(
                kind=FactKind.PAUSED,
                at=now,
                schedule_id=schedule.id,
                delivery_id=delivery.id,
                actor="promptyoself",
                detail={"reason": counted.state_reason},
            )
        )
    tx.save_schedule(counted)
    return counted
