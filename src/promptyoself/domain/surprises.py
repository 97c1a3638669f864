"""Warnings about what may surprise the one who made a trigger. None of them refuses anything."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice, pairwise
from typing import TYPE_CHECKING

from promptyoself.domain import cron
from promptyoself.domain.cron_text import named_weekdays
from promptyoself.domain.intervals import format_duration, parse_duration
from promptyoself.domain.localtime import (
    MICROSECOND,
    Span,
    WallRule,
    read_instant,
    resolve,
    span_at,
    to_wall,
    zone,
)
from promptyoself.domain.phrases import join, missing_day, moment
from promptyoself.domain.triggers import Trigger, TriggerKind, fire_times, last_fire_at
from promptyoself.domain.words_cron import is_even_step, month_days, week_days

if TYPE_CHECKING:
    from collections.abc import Iterator

_DAY = timedelta(days=1)
_NAMED_MAX = 3
"""Wall times named in one sentence."""
_USUAL_MAX = 200
"""Fire times of the day before whose distances count as usual."""


def warnings_for(trigger: Trigger, *, now: datetime, clock_changes_within: timedelta) -> list[str]:
    """Return sentences about what may surprise; `now` is aware UTC."""
    found: list[str] = []
    if trigger.kind is TriggerKind.CRON:
        rule = cron.parse_cron(trigger.expression)
        found += _either_day(rule)
        found += _numbered_weekdays(trigger.expression)
        found += _missing_days(rule)
        for field, of in zip(rule.fields, cron.FIELDS, strict=True):
            found += _uneven_steps(field, of)
    if trigger.kind is TriggerKind.RRULE:
        from promptyoself.domain.surprises_rrule import about_rrule  # schedules of other kinds need none of it

        found += about_rrule(trigger, now=now)
    found += (
        _once_moved(trigger) if trigger.kind is TriggerKind.ONCE else _clock_changes(trigger, now, clock_changes_within)
    )
    soon = list(islice(fire_times(trigger, after=now), 2)) if trigger.jitter else []
    if soon[1:] and trigger.jitter >= soon[1] - soon[0]:
        found.append(f"the jitter of {format_duration(trigger.jitter)} is as long as the time between two fires")
    return found


def _either_day(rule: cron.Cron) -> list[str]:
    day, weekday = month_days(rule.fields[3]), week_days(rule.fields[5])
    if rule.takes_either_day:
        what = f"on {day} or on {weekday}" if day and weekday else "every day"
        return [f"day-of-month and day-of-week are both given: cron fires when either matches, here {what}"]
    if day and weekday:
        what = f"on {weekday}, only when it is {month_days(rule.fields[3], ' or ')}"
        return [f"day-of-month or day-of-week starts with *: cron fires only when both match, here {what}"]
    return []


def _numbered_weekdays(expression: str) -> list[str]:
    """Say what the numbers of a weekday field beside a `?` mean here: Quartz and EventBridge count from 1 = Sunday."""
    if "?" not in expression:
        return []
    *_, weekday = expression.split()
    if (named := named_weekdays(weekday)) == weekday:
        return []
    here = week_days(cron.parse_cron(f"0 0 * * {weekday}").fields[5]) or "every day"
    warning = (
        f"day-of-week {weekday} is {here} here, where 0 and 7 are Sunday; Quartz and EventBridge, which write ? too, "
        f"count from 1 = Sunday: write {named} if that was meant, and names in any case"
    )
    return [warning]


def _missing_days(rule: cron.Cron) -> Iterator[str]:
    """Yield a sentence for each day that some of the months do not have, when it is asked for by its number."""
    _, _, _, day, month, weekday = rule.fields
    months = cron.values(month, cron.MONTH)
    for term in sorted(set(day.split(","))):
        number = int(term.removesuffix("W")) if term.removesuffix("W").isdigit() else 0
        if number and (sentence := missing_day(number, months)):
            yield f"{sentence}: nothing fires for it there" + (
                "; L is the last day of any month" if "no day" in sentence else ""
            )
    if fifth := [term for term in weekday.split(",") if term.endswith("#5")]:
        yield f"not every month has {join(week_days(term).removesuffix(' of the month') for term in fifth)}"


def _uneven_steps(field: str, of: cron.Field) -> Iterator[str]:
    """Yield a sentence for each step that begins anew before it comes around, as */45 does every hour."""
    for term in field.split(","):
        base, _, step = term.partition("/")
        if base != "*" or not step or is_even_step(term, of) or of is cron.WEEKDAY:
            continue
        at = join(str(value) for value in cron.values(term, of))
        cure = f"; for a fire every {int(step)} days use the interval {int(step)}d" if of is cron.DAY else ""
        if of in {cron.SECOND, cron.MINUTE, cron.HOUR}:
            cure = f"; for a fire every {int(step)} {of.name}s use the interval {int(step)}{of.name[0]}"
        yield f"{of.name} {term} does not come out even: it fires at {at}, then begins anew{cure}"


# -- clock changes ------------------------------------------------------------------------------------------


def _once_moved(trigger: Trigger) -> list[str]:
    written, offset = read_instant(trigger.expression)
    here = zone(trigger.timezone)
    if offset is not None:
        return []
    shown = f"{written:%Y-%m-%d %H:%M}"
    if to_wall(trigger.anchor_at, here) != written:
        at = moment(trigger.anchor_at, trigger.timezone)
        return [f"{shown} does not exist in {trigger.timezone}, whose clocks skip it; it fires at {at}"]
    if resolve(written, here, last_pass=True) != trigger.anchor_at:
        return [f"{shown} comes twice in {trigger.timezone}; it fires the first time"]
    return []


def _clock_changes(trigger: Trigger, now: datetime, within: timedelta) -> list[str]:
    """Return sentences for the clock changes until then that move, repeat or drop fire times."""
    here, found = zone(trigger.timezone), []
    span = span_at(here, now)
    while span.end_at <= now + within:
        span = span_at(here, span.end_at)
        is_in_bounds = (trigger.start_at or now) <= span.begin_at <= (trigger.end_at or span.begin_at)
        if span.shift and is_in_bounds and (sentence := _clock_change(trigger, span)):
            found.append(sentence)
    return found


def _clock_change(trigger: Trigger, span: Span) -> str:
    """Return a sentence when the clock change at the beginning of `span` touches fire times, else nothing."""
    change = (
        f"clocks in {trigger.timezone} go from {span.wall_before:%H:%M} to {span.wall_begin:%H:%M} "
        f"on {span.wall_begin:%Y-%m-%d}"
    )
    is_forward = span.shift > timedelta(0)
    if trigger.kind is TriggerKind.INTERVAL:
        if parse_duration(trigger.expression) % _DAY:
            return ""
        moved = f"{format_duration(abs(span.shift))} {'later' if is_forward else 'earlier'}"
        return f"{change}: an interval counts real time, so it fires {moved} on the clock from then on"
    rule = _wall_rule(trigger, span)
    if rule is None:
        return ""
    low, high = sorted((span.wall_before, span.wall_begin))
    walls = [wall for wall in islice(rule.walls(low - MICROSECOND), _NAMED_MAX + 1) if wall < high]
    is_as_usual = rule.follows_clock or not span.is_short_jump
    if not walls or (is_as_usual and _stays_even(trigger, span)):
        return ""
    times = join([*(f"{wall:%H:%M}" for wall in walls[:_NAMED_MAX]), *(["others"] if walls[_NAMED_MAX:] else [])])
    match is_forward, is_as_usual:
        case True, True:
            return f"{change}: what is due at {times} is skipped that day"
        case True, False:
            return f"{change}: what is due at {times} fires once, at {span.wall_begin:%H:%M}, that day"
        case False, True:
            return f"{change}: what is due at {times} fires both times that day"
        case _:
            return f"{change}: what is due at {times} fires only the first time that day"


def _stays_even(trigger: Trigger, span: Span) -> bool:
    """Whether the fires around the change are as far apart as some before: every minute stays every minute."""
    begin_at, end_at = span.begin_at - _DAY, span.begin_at - MICROSECOND
    usual = {
        later - earlier
        for earlier, later in pairwise(islice(fire_times(trigger, after=begin_at, until=end_at), _USUAL_MAX))
    }
    before = last_fire_at(trigger, not_before=begin_at, not_after=end_at)
    later = next(fire_times(trigger, after=end_at), None)
    return before is not None and later is not None and later - before in usual


def _wall_rule(trigger: Trigger, span: Span) -> WallRule | None:
    """Return the rule of a cron or rrule; None when EXDATE leaves the beginning of `span` out."""
    if trigger.kind is TriggerKind.CRON:
        return cron.parse_cron(trigger.expression)
    from promptyoself.domain.rrule_text import parse_rrule

    rule = parse_rrule(trigger.expression, trigger.timezone, trigger.anchor_at)
    is_left_out = any(low <= span.begin_at < high for low, high in rule.gaps)
    return None if is_left_out else rule.recurrence
