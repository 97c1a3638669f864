"""What the use cases about fire times ahead share (skip, snooze): the schedule brought up to date, and gone on.

What has come due is planned first, so that an answer does not hang on whether an executor has looked meanwhile. What is
decided is kept in two places, in one commit: a row for each fire time, and `passed_until`, which keeps a resume or an
edit of the prompt from bringing it back.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from promptyoself.application.schedules import Caller, find, must_be_live, up_to_date
from promptyoself.domain import limits
from promptyoself.domain.errors import Conflict
from promptyoself.domain.keys import idempotency_key
from promptyoself.domain.localtime import zone
from promptyoself.domain.models import (
    Delivery,
    DeliveryKind,
    DeliveryState,
    Fact,
    FactKind,
    NewDelivery,
    Schedule,
    ScheduleState,
)
from promptyoself.domain.outlook import coming_openings
from promptyoself.domain.planning import first_fire_at
from promptyoself.domain.values import replace

if TYPE_CHECKING:
    from promptyoself.domain.planning import Opening
    from promptyoself.domain.ports import Tx


def find_active(tx: Tx, schedule_id: int, what: str, *, caller: Caller, now: datetime) -> Schedule:
    """Return an active schedule with all that has come due planned.

    Raises ScheduleNotFound, and Conflict for one that is paused or over, in which nothing comes next to be `what`.
    """
    schedule = find(tx, schedule_id, caller=caller)
    must_be_live(schedule, what)
    schedule = up_to_date(tx, schedule, now=now)
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


def openings_ahead(schedule: Schedule, count: int) -> tuple[Opening, ...]:
    """Return the coming fire times up to the `count`-th that would be sent, with those between that a policy skips.

    Fewer are sent when there are fewer among the next LOOKS_AHEAD_MAX. A holiday, or quiet hours that skip,
    leave nothing to be left out or put off.
    """
    found: list[Opening] = []
    for opening in coming_openings(schedule, after=limits.INSTANT_MIN):
        found.append(opening)
        count -= opening.skip_reason is None
        if count == 0:
            break
    return tuple(found)


def keep_skipped(
    tx: Tx, schedule: Schedule, openings: Iterable[Opening], *, caller: Caller, store_uid: str, now: datetime
) -> None:
    """Store the rows of fire times that a policy skips, which nobody will plan now: something after them is decided."""
    for opening in openings:
        if opening.skip_reason is None:
            continue
        new = occurrence(schedule, opening, planned_at=opening.planned_at, store_uid=store_uid, now=now)
        skipped = replace(new, state=DeliveryState.SKIPPED, reason=opening.skip_reason)
        row = tx.add_delivery(skipped, retry_until=opening.fire_at)
        if row is not None:
            detail: dict[str, str | int | bool | None] = {"reason": opening.skip_reason}
            fact = Fact(
                kind=FactKind.SKIPPED,
                at=now,
                schedule_id=schedule.id,
                delivery_id=row.id,
                actor=caller.label,
                detail=detail,
            )
            tx.add_fact(fact)


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
    moment = at.astimezone(zone(schedule.definition.trigger.timezone)).isoformat(timespec="seconds")
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
