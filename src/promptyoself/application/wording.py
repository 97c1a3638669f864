"""Requests in plain words made exact: each phrase becomes the value of an option, which is what gets stored."""

from __future__ import annotations

from datetime import datetime

from promptyoself.application.requests import ScheduleRequest, Understood, is_duration, is_instant
from promptyoself.application.rules import Rule, read_every, read_time
from promptyoself.domain.localtime import check_timezone, parse_instant, zone
from promptyoself.domain.triggers import TriggerKind
from promptyoself.domain.values import replace


def compiled(request: ScheduleRequest, *, timezone: str, now: datetime) -> ScheduleRequest:
    """Return the request with its phrases compiled. What is contradictory anyway is left for its own refusal."""
    if len(request.trigger_options) > 1:
        return request
    here = check_timezone(request.timezone or timezone)
    rule = _rule(request, here, now=now)
    if rule is not None:
        here = rule.timezone
    bounds = {
        name: bound(f"--{name.replace('_', '-')}", text, here, now=now)
        for name, text in (("start_at", request.start_at), ("end_at", request.end_at))
        if text and not is_instant(text)
    }
    changes: dict[str, object] = {name: bound.value for name, bound in bounds.items()}
    start_at = changes.get("start_at", request.start_at)
    if rule is not None:
        if rule.kind is TriggerKind.RRULE and isinstance(start_at, str) and start_at.strip():
            # Steps of several days count from the start that was asked for.
            rule = _rule(request, here, now=now, begin_at=parse_instant(start_at, timezone=here)) or rule
        changes |= {"time": None, "every": None, rule.option[2:]: rule.expression}
        if here != timezone:
            changes["timezone"] = here
    found = [_understood(rule, "--time" if request.time else "--every")] if rule else []
    changes["understood"] = (*request.understood, *found, *bounds.values())
    return replace(request, **changes)  # type: ignore[arg-type]  # replace checks the names at run time


def _rule(request: ScheduleRequest, here: str, *, now: datetime, begin_at: datetime | None = None) -> Rule | None:
    is_given = request.timezone is not None
    if request.time and not is_instant(request.time):
        return read_time(request.time, timezone=here, now=now, is_timezone_given=is_given)
    if request.every and not is_duration(request.every):
        return read_every(request.every, timezone=here, now=now, is_timezone_given=is_given, begin_at=begin_at)
    return None


def _understood(rule: Rule, given_to: str) -> Understood:
    return Understood(
        given=rule.given,
        given_to=given_to,
        option=rule.option,
        value=rule.expression,
        timezone=rule.timezone,
        notes=rule.notes,
    )


def bound(option: str, text: str, here: str, *, now: datetime) -> Understood:
    """Return a bound as a value that is read in `here`: with its offset when the phrase named another zone."""
    rule = read_time(text, timezone=here, now=now)
    value = rule.expression
    if rule.timezone != here:
        value = parse_instant(value, timezone=rule.timezone).astimezone(zone(rule.timezone)).isoformat()
    return Understood(given=text, given_to=option, option=option, value=value, timezone=rule.timezone, notes=rule.notes)
