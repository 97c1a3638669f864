"""`preview`: when a rule would fire. It needs no database."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

from promptyoself.application.requests import define, instant_option
from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.triggers import describe, fire_times, warnings_for
from promptyoself.domain.values import replace
from promptyoself.interfaces import wire
from promptyoself.interfaces.advice import zone_warnings
from promptyoself.interfaces.cli_schedules import exact_request_of, phrase_notes

if TYPE_CHECKING:
    from datetime import datetime

    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document

COUNT_DEFAULT = 5
_TICK = timedelta(microseconds=1)


def preview(call: Call) -> Document:
    """Show fire times, in the zone and in UTC."""
    services = call.services
    now = services.clock.now()
    # A rule alone: whom it would be for and what it would say do not matter.
    request = replace(exact_request_of(call), agent_id="preview", prompt="preview")
    trigger = define(request, services.defaults, now=now).trigger
    begin_at, until = (_bound(call, option, trigger.timezone, now=now) for option in ("from", "until"))
    after = now if begin_at is None else begin_at - _TICK
    runs = islice(fire_times(trigger, after=after, until=until), _count(call, is_bounded=until is not None))
    return wire.success(
        runs=[wire.run(at, trigger.timezone) for at in runs],
        description=describe(trigger),
        timezone=trigger.timezone,
        now=wire.instant(now, trigger.timezone),
        warnings=zone_warnings(services, request.timezone)
        + phrase_notes(request)
        + warnings_for(trigger, now=max(after, limits.INSTANT_MIN)),
        **wire.understood(request.understood, trigger),
    )


def _count(call: Call, *, is_bounded: bool) -> int:
    count = call.number("count") or (limits.PREVIEW_RUNS_MAX if is_bounded else COUNT_DEFAULT)
    if count > limits.PREVIEW_RUNS_MAX:
        raise InvalidInput(f"count {count} is out of range; 1 to {limits.PREVIEW_RUNS_MAX} are allowed")
    return count


def _bound(call: Call, option: str, timezone: str, *, now: datetime) -> datetime | None:
    text = call.text(option)
    return None if text is None else instant_option(text, timezone=timezone, now=now)
