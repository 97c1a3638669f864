"""What the use cases about fire times ahead share (skip, snooze): the schedule brought up to date, and gone on.

What has come due is planned first, so that an answer does not hang on whether an executor has looked meanwhile. What is
decided is kept in two places, in one commit: a row for each fire time, and `passed_until`, which keeps a resume or an
edit of the prompt from bringing it back.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from promptyoself.application.schedules import Caller, find, must_be_live
from promptyoself.domain.errors import Conflict
from promptyoself.domain.keys import idempotency_key
from promptyoself.domain.localtime import zone
from promptyoself.domain.models import Delivery, DeliveryKind, Fact, FactKind, NewDelivery, Schedule, ScheduleState
from promptyoself.domain.planning import first_fire_at
from promptyoself.domain.values import replace

if TYPE_CHECKING:
    from promptyoself.domain.planning import Opening
    from promptyoself.domain.ports import Tx


def up_to_date(tx: Tx, schedule_id: int, what: str, *, caller: Caller, store_uid: str, now: datetime) -> Schedule:
    """Return an active schedule with all that has come due planned.

    Raises ScheduleNotFound, and Conflict for one that is paused or over, in which nothing comes next to be `what`.
    """
    schedule = find(tx, schedule_id, caller=caller)
    must_be_live(schedule, what)
    if schedule.next_fire_at is not None and schedule.next_fire_at <= now and schedule.state is ScheduleState.ACTIVE:
        from promptyoself.application import planner  # it logs, and plans; seldom is anything due

        schedule = planner.bring_up_to_date(tx, schedule, now=now, store_uid=store_uid)
        must_be_live(schedule, what)
    if schedule.state is ScheduleState.PAUSED:
        raise Conflict(
            f"schedule {schedule_id} is paused and cannot be {what}: nothing of it comes next",
            hint=f"promptyoself resume --id {schedule_id}, or pause it --until a time",
        )
    return schedule


def passed(schedule: Schedule, fire_at: datetime, *, now: datetime) -> Schedule:
    """Return the schedule gone on beyond `fire_at`, which does not come again unless the rule is edited."""
    moved = replace(schedule, passed_until=fire_at, next_fire_at=None, updated_at=now)
    return replace(moved, next_fire_at=first_fire_at(moved, now=now))


def occurrence(
    schedule: Schedule, opening: Opening, *, planned_at: datetime, store_uid: str, now: datetime
) -> NewDelivery:
    """Return the occurrence of a fire time ahead, pending."""
    kind = DeliveryKind.SCHEDULED
    return NewDelivery(
        schedule_id=schedule.id,
        revision=schedule.revision,
        kind=kind,
        target=schedule.definition.target,
        lane=schedule.lane,
        key=idempotency_key(store_uid, schedule.uid, revision=schedule.revision, kind=kind, fire_at=opening.fire_at),
        fire_at=opening.fire_at,
        planned_at=planned_at,
        fire_number=max(1, schedule.fire_count),
        created_at=now,
    )


def note(
    tx: Tx,
    kind: FactKind,
    schedule: Schedule,
    delivery: Delivery,
    at: datetime,
    *,
    caller: Caller,
    reason: str | None,
    now: datetime,
) -> None:
    """Append to the journal what was decided, and about which instant."""
    moment = at.astimezone(zone(schedule.definition.trigger.timezone)).isoformat()
    detail: dict[str, str | int | bool | None] = {"moment": moment, "reason": reason}
    tx.add_fact(
        Fact(
            kind=kind,
            at=now,
            schedule_id=schedule.id,
            delivery_id=delivery.id,
            actor=caller.label,
            detail=detail,
        )
    )
