"""Skip next: the fire times that somebody wants left out, each with a record, before they come."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from promptyoself.application.coming import note, occurrence, passed, up_to_date
from promptyoself.domain import limits
from promptyoself.domain.errors import Conflict, InvalidInput
from promptyoself.domain.models import Delivery, DeliveryState, FactKind, Schedule
from promptyoself.domain.planning import opening_of
from promptyoself.domain.triggers import TriggerKind, fire_times
from promptyoself.domain.values import dataclass, replace

if TYPE_CHECKING:
    from promptyoself.application.schedules import Caller
    from promptyoself.domain.ports import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """What a skip passed over, in order, and the schedule as it is now."""

    schedule: Schedule
    fire_times: tuple[datetime, ...]
    deliveries: tuple[Delivery, ...]
    """Their rows: `retry` of one undoes its skip."""


def skip(
    tx: Tx, schedule_id: int, *, count: int, reason: str | None, caller: Caller, store_uid: str, now: datetime
) -> Skipped:
    """Pass over the next `count` fire times (1 to SKIP_MAX); the schedule goes on after them.

    Each leaves a skipped delivery with the reason. They do not count as repetitions. Raises InvalidInput when none
    would be left after them (that is a cancel), Conflict when the schedule is paused or over.
    """
    if not 1 <= count <= limits.SKIP_MAX:
        raise InvalidInput(f"{count} fire times cannot be skipped at once; 1 to {limits.SKIP_MAX} are allowed")
    schedule = up_to_date(tx, schedule_id, "skipped", caller=caller, store_uid=store_uid, now=now)
    if schedule.definition.trigger.kind is TriggerKind.ONCE:
        raise InvalidInput(
            f"schedule {schedule_id} fires once; to skip that is to cancel it",
            hint=f"promptyoself cancel --id {schedule_id}, or snooze it to put it off",
        )
    skipped = _coming(schedule, count)
    moved = passed(schedule, skipped[-1], now=now)
    why = f"skipped by {caller.label}{f': {reason}' if reason else ''}"[: limits.REASON_CHARS_MAX]
    rows = []
    for fire_at in skipped:
        opening = opening_of(schedule.definition, schedule.uid, fire_at)
        new = occurrence(schedule, opening, planned_at=opening.planned_at, store_uid=store_uid, now=now)
        row = tx.add_delivery(replace(new, state=DeliveryState.SKIPPED, reason=why), retry_until=fire_at)
        if row is not None:  # else it is there already, as a restored database may have it
            rows.append(row)
            note(tx, FactKind.SKIPPED_BY_HAND, schedule, row, fire_at, caller=caller, reason=reason, now=now)
    tx.save_schedule(moved)
    return Skipped(schedule=moved, fire_times=skipped, deliveries=tuple(rows))


def _coming(schedule: Schedule, count: int) -> tuple[datetime, ...]:
    """Return the next `count` fire times, if there is one after them."""
    first = schedule.next_fire_at
    if first is None:
        raise Conflict(f"schedule {schedule.id} does not fire again; there is nothing to skip")
    coming = (first, *islice(fire_times(schedule.definition.trigger, after=first), count))
    if len(coming) <= count:
        left = "1 fire time is" if len(coming) == 1 else f"{len(coming)} fire times are"
        fewer = "" if len(coming) == 1 else f"skip at most {len(coming) - 1}, or "
        raise InvalidInput(
            f"only {left} left of schedule {schedule.id}, and after a skip of {count} none would be",
            hint=f"{fewer}end it with promptyoself cancel --id {schedule.id}",
        )
    return coming[:count]
