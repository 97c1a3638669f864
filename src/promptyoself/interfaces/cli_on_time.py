"""`on-time`: which scheduled prompt an agent is working on now, how late it came, and what comes next for it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from promptyoself.application import on_time as use
from promptyoself.domain import limits
from promptyoself.domain.errors import UsageError
from promptyoself.domain.intervals import format_duration
from promptyoself.interfaces import wire
from promptyoself.interfaces.advice import running_warnings
from promptyoself.interfaces.phrases import moment

if TYPE_CHECKING:
    from datetime import datetime

    from promptyoself.application.on_time import OnTime
    from promptyoself.domain.models import Delivery, Schedule
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document


def on_time(call: Call) -> Document:
    """Say how an agent stands against its schedules."""
    services = call.services
    agent_id = call.text("agent_id") or services.defaults.agent_id
    if agent_id is None:
        raise UsageError("on-time needs --agent-id", hint="or set LETTA_AGENT_ID")
    with services.store.reading() as tx:
        now = services.clock.now()
        found = use.on_time(tx, agent_id, caller=call.caller, now=now)
        warnings = running_warnings(tx, now=now)
    timezone = found.schedule.definition.trigger.timezone if found.schedule else services.defaults.timezone
    return wire.success(
        agent_id=agent_id,
        message=" ".join(_sentences(found, timezone, now=now)),
        now=wire.instant(now, timezone),
        timezone=timezone,
        is_on_time=None if found.late is None else found.late <= limits.ON_TIME,
        late_s=None if found.late is None else found.late.total_seconds(),
        delivery=wire.delivery(found.delivery, timezone) if found.delivery else None,
        name=found.schedule.definition.name if found.schedule else None,
        others_in_flight=found.others,
        waiting=found.waiting,
        unread=found.unread,
        coming=[
            {
                "schedule_id": one.schedule.id,
                "name": one.schedule.definition.name,
                **wire.run(one.at, one.schedule.definition.trigger.timezone),
            }
            for one in found.coming
        ],
        warnings=warnings,
    )


def _sentences(found: OnTime, timezone: str, *, now: datetime) -> list[str]:
    if found.delivery is None or found.schedule is None:
        told = ["No scheduled prompt is in progress."]
    else:
        told = _about(found.delivery, found.schedule, found.late or timedelta(0), timezone, now=now)
    if found.others:
        told.append(f"Also in flight to this agent: {found.others}.")
    if found.waiting:
        told.append(f"Due and waiting for a turn: {found.waiting}.")
    if found.unread:
        told.append(f"Unread in the mailbox: {found.unread}.")
    return [*told, _next(found, now=now)]


def _about(delivery: Delivery, schedule: Schedule, late: timedelta, timezone: str, *, now: datetime) -> list[str]:
    named = f" {schedule.definition.name!r}" if schedule.definition.name else ""
    planned = moment(delivery.planned_at, timezone, now=now)
    told = [f"In progress: delivery {delivery.id} of schedule {schedule.id}{named}, planned for {planned}."]
    if late <= limits.ON_TIME:
        told.append("It arrived on time.")
    else:
        told.append(f"It arrived {format_duration(timedelta(seconds=round(late.total_seconds())))} late.")
    if delivery.missed:
        told.append(f"It also stands for {delivery.missed} missed before it.")
    if delivery.maybe_repeat:
        told.append("It may be a repeat: whether an earlier attempt arrived could not be learnt.")
    return told


def _next(found: OnTime, *, now: datetime) -> str:
    if not found.coming:
        return "Nothing comes next: no schedule of this agent fires again."
    first = found.coming[0]
    when = moment(first.at, first.schedule.definition.trigger.timezone, now=now)
    return f"Next: schedule {first.schedule.id}, {when}."
