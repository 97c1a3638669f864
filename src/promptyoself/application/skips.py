"""Skip next: the fire times that somebody wants left out, each with a record, before they come."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from promptyoself.application.coming import find_active, keep_skipped, note, occurrence, openings_ahead, passed
from promptyoself.domain import limits
from promptyoself.domain.errors import Conflict, InvalidInput
from promptyoself.domain.models import Delivery, DeliveryState, FactKind, Schedule
from promptyoself.domain.triggers import TriggerKind, next_fire_at
from promptyoself.domain.values import dataclass, replace

if TYPE_CHECKING:
    from promptyoself.application.schedules import Caller
    from promptyoself.domain.planning import Opening
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
    """Pass over the next `count` fire times (1 to SKIP_MAX) that would be sent; the schedule goes on after them.

    Each leaves a skipped delivery with the reason. They do not count as repetitions. Raises InvalidInput when none
    would be left after them (that is a cancel), Conflict when the schedule is paused or over.
    """
    if not 1 <= count <= limits.SKIP_MAX:
        raise InvalidInput(f"{count} fire times cannot be skipped at once; 1 to {limits.SKIP_MAX} are allowed")
    schedule = find_active(tx, schedule_id, "skipped", caller=caller, now=now)
    if schedule.definition.trigger.kind is TriggerKind.ONCE:
        raise InvalidInput(
            f"schedule {schedule_id} fires once; to skip that is to cancel it",
            hint=f"promptyoself cancel --id {schedule_id}, or snooze it to put it off",
        )
    ahead = _coming(schedule, count)
    openings = [one for one in ahead if one.skip_reason is None]
    moved = passed(schedule, openings[-1].fire_at, now=now)
    why = f"skipped by {caller.label}{f': {reason}' if reason else ''}"[: limits.REASON_CHARS_MAX]
    keep_skipped(tx, schedule, ahead, caller=caller, store_uid=store_uid, now=now)
    rows = []
    for opening in openings:
        new = occurrence(schedule, opening, planned_at=opening.planned_at, store_uid=store_uid, now=now)
        row = tx.add_delivery(replace(new, state=DeliveryState.SKIPPED, reason=why), retry_until=opening.fire_at)
        if row is not None:  # else it is there already, as a restored database may have it
            rows.append(row)
            note(tx, FactKind.SKIPPED_BY_HAND, schedule, row, row.fire_at, caller=caller, reason=reason, now=now)
    tx.save_schedule(moved)
    return Skipped(schedule=moved, fire_times=tuple(one.fire_at for one in openings), deliveries=tuple(rows))


def _coming(schedule: Schedule, count: int) -> tuple[Opening, ...]:
    """Return what is ahead up to the `count`-th fire time that would be sent, if there is one after them."""
    ahead = openings_ahead(schedule, count)
    if not ahead:
        raise Conflict(f"schedule {schedule.id} does not fire again; there is nothing to skip")
    sent = sum(one.skip_reason is None for one in ahead)
    if not sent:
        raise Conflict(
            f"nothing of schedule {schedule.id} would be sent, and nothing is left to skip: {ahead[0].skip_reason}"
        )
    is_last = next_fire_at(schedule.definition.trigger, after=ahead[-1].fire_at) is None
    if sent == count and not is_last:
        return ahead
    most = sent - is_last
    left = "1 fire time is" if sent == 1 else f"{sent} fire times are"
    if sent < count and not is_last:
        within = f"among the next {limits.LOOKS_AHEAD_MAX}"
        raise InvalidInput(f"only {left} to be sent {within} of schedule {schedule.id}", hint=f"skip at most {most}")
    fewer = f"skip at most {most}, or " if most else ""
    raise InvalidInput(
        f"only {left} left of schedule {schedule.id}, and after a skip of {count} none would be",
        hint=f"{fewer}end it with promptyoself cancel --id {schedule.id}",
    )
