"""`preview`: when a rule, or a stored schedule, would fire, and what its quiet hours make of it. Stores nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from promptyoself.application import schedules
from promptyoself.application.requests import ScheduleRequest, define
from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput, UsageError
from promptyoself.domain.models import Definition, ScheduleState
from promptyoself.domain.planning import Opening, opening_of
from promptyoself.domain.triggers import describe, fire_times, warnings_for
from promptyoself.domain.values import dataclass, replace
from promptyoself.interfaces import wire
from promptyoself.interfaces.advice import zone_warnings
from promptyoself.interfaces.cli_schedules import exact_request_of, holiday_warnings, phrase_notes
from promptyoself.interfaces.phrases import moment

if TYPE_CHECKING:
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document

COUNT_DEFAULT = 5
_TICK = timedelta(microseconds=1)
_OWN_OPTIONS = frozenset({"id", "count", "from", "until"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """What is previewed: a stored schedule, or a rule alone (`uid` None)."""

    definition: Definition
    uid: str | None
    fire_count: int = 0
    passed_until: datetime | None = None
    request: ScheduleRequest | None = None
    """What was asked, of a rule alone."""
    warnings: list[str]


def preview(call: Call) -> Document:
    """Show fire times, in the zone and in UTC, with when they would be sent."""
    services = call.services
    now = services.clock.now()
    subject = _rule(call, now) if call.number("id") is None else _stored(call, now)
    trigger = subject.definition.trigger
    begin_at = call.bound("from", timezone=trigger.timezone, now=now)
    until = call.bound("until", timezone=trigger.timezone, now=now, is_end=True)
    after = now if begin_at is None else begin_at - _TICK
    openings = _openings(subject, after, until, count=_count(call, is_bounded=until is not None))
    return wire.success(
        runs=[wire.opening(one, trigger.timezone) for one in openings],
        description=describe(trigger),
        timezone=trigger.timezone,
        now=wire.instant(now, trigger.timezone),
        warnings=subject.warnings
        + _skip_warnings(openings)
        + warnings_for(trigger, now=max(after, limits.INSTANT_MIN))
        + holiday_warnings(subject.definition, now=now),
        **wire.calendar(subject.definition.policy),
        **(wire.understood(subject.request.understood, trigger) if subject.request else {}),
    )


def _rule(call: Call, now: datetime) -> _Subject:
    # A rule alone: whom it would be for and what it would say do not matter.
    request = replace(exact_request_of(call), agent_id="preview", prompt="preview")
    definition = define(request, call.services.defaults, now=now)
    warnings = zone_warnings(call.services, request.timezone) + phrase_notes(request)
    return _Subject(definition=definition, uid=None, request=request, warnings=warnings)


def _stored(call: Call, now: datetime) -> _Subject:
    """Return a stored schedule. Raises UsageError when a rule is given beside it."""
    also = [one.name for one in call.command.options if one.key not in _OWN_OPTIONS and call.is_given(one.key)]
    if also:
        raise UsageError(f"preview takes either --id or --{also[0]}", hint="--id previews a schedule as it is stored")
    with call.services.store.reading() as tx:
        found = schedules.find(tx, call.id, caller=call.caller)
    warnings = []
    if found.state is not ScheduleState.ACTIVE:
        warnings.append(f"schedule {found.id} is {found.state} ({found.state_reason}): this is what its rule says")
    passed = found.passed_until
    if passed is not None and passed > now:
        until = moment(passed, found.definition.trigger.timezone, now=now)
        warnings.append(f"fire times up to {until} were skipped or put off by hand, and are left out here")
    return _Subject(
        definition=found.definition,
        uid=found.uid,
        fire_count=found.fire_count,
        passed_until=found.passed_until,
        warnings=warnings,
    )


def _openings(subject: _Subject, after: datetime, until: datetime | None, *, count: int) -> list[Opening]:
    """Return at most `count` fire times; only those that are sent count towards max_repetitions."""
    definition, passed_until = subject.definition, subject.passed_until
    since = after if passed_until is None else max(after, passed_until)
    left = definition.max_repetitions
    left = None if left is None else left - subject.fire_count
    found: list[Opening] = []
    for fire_at in islice(fire_times(definition.trigger, after=since, until=until), count):
        if left is not None and left <= 0:
            break
        opening = opening_of(definition, subject.uid, fire_at)
        found.append(opening)
        if left is not None:
            left -= opening.skip_reason is None
    return found


def _skip_warnings(openings: list[Opening]) -> list[str]:
    skipped = sum(one.skip_reason is not None for one in openings)
    if not skipped:
        return []
    which = f"all {skipped}" if skipped == len(openings) > 1 else f"{skipped} of these {len(openings)}"
    return [f"{which} fire times {'is' if skipped == 1 else 'are'} skipped, and nothing is sent then"]


def _count(call: Call, *, is_bounded: bool) -> int:
    count = call.number("count") or (limits.PREVIEW_RUNS_MAX if is_bounded else COUNT_DEFAULT)
    if count > limits.PREVIEW_RUNS_MAX:
        raise InvalidInput(f"count {count} is out of range; 1 to {limits.PREVIEW_RUNS_MAX} are allowed")
    return count
