"""A recurrence rule in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from promptyoself.domain.localtime import to_wall, zone
from promptyoself.domain.phrases import (
    MONTHS,
    TIMES_NAMED_MAX,
    WEEKDAYS,
    clock_times,
    counted,
    join,
    moment,
    place,
    runs,
    week_runs,
)
from promptyoself.domain.rrule_text import Rule, parse_rrule
from promptyoself.domain.rrules import Freq, Recurrence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from promptyoself.domain.triggers import Trigger

_UNITS: Final = {
    Freq.YEARLY: "year",
    Freq.MONTHLY: "month",
    Freq.WEEKLY: "week",
    Freq.DAILY: "day",
    Freq.HOURLY: "hour",
    Freq.MINUTELY: "minute",
    Freq.SECONDLY: "second",
}
_DATES_NAMED_MAX: Final = 3
"""Dates of RDATE or EXDATE written out; of more, the number is said."""


def rrule_in_words(trigger: Trigger) -> str:
    """Return a recurrence rule in words: `every 2 weeks on Monday at 09:00, counted from ..., but not on ...`."""
    rule = parse_rrule(trigger.expression, trigger.timezone, trigger.anchor_at)
    found = rule.recurrence
    unit = _UNITS[found.freq]
    text = f"every {unit}" if found.interval == 1 else f"every {found.interval} {unit}s"
    if found.by_weekno:
        text += f" in {counted('week', found.by_weekno)}"
    if found.by_month:
        text += f" in {join(runs(found.by_month, MONTHS))}"
    days, only = _days(found)
    text += days + _times(found) + only
    if found.by_setpos:
        text += f", of these only the {join(place(number) for number in found.by_setpos)} in each {unit}"
    return text + "".join(_bounds(rule, trigger))


# -- days ---------------------------------------------------------------------------------------------------


def _days(found: Recurrence) -> tuple[str, str]:
    """Return ` on Friday` and `, only when it is day 13`: all parts must agree on a day."""
    of_month = "" if found.freq is Freq.MONTHLY or found.by_month else " of the month"
    of_year = found.freq is Freq.YEARLY and not found.by_month
    weekdays = [f"the {place(nth)} {WEEKDAYS[day + 1]}{' of the year' * of_year}" for day, nth in found.by_nth]
    weekdays += week_runs(day + 1 for day in found.by_weekday)
    parts = [
        (join(weekdays), join(weekdays, " or ")),
        (_numbered(found.by_monthday, " and ", of_month), _numbered(found.by_monthday, " or ", of_month)),
        (_numbered(found.by_yearday, " and ", " of the year"), _numbered(found.by_yearday, " or ", " of the year")),
    ]
    given = [pair for pair in parts if pair[0]]
    is_filter = found.freq >= Freq.DAILY
    if not given or is_filter:
        return "", "".join(f", only when it is {only}" for _, only in given)
    return f" on {given[0][0]}", "".join(f", only when it is {only}" for _, only in given[1:])


def _numbered(days: tuple[int, ...], last: str, of: str) -> str:
    """Return `days 1 and 15 and the last day` with `of` behind; nothing for no days."""
    ahead, behind = [day for day in days if day > 0], [day for day in days if day < 0]
    named = [counted("day", ahead, last) if last == " and " else f"day {join(runs(ahead), last)}"] if ahead else []
    named += [f"the {place(day)} day" for day in reversed(behind)]
    comma = "," if len(named) > 1 and last in named[0] else ""
    return join(named, comma + last) + of if named else ""


# -- times --------------------------------------------------------------------------------------------------


def _times(found: Recurrence) -> str:
    hours, minutes, seconds = found.by_hour, found.by_minute, found.by_second
    if found.follows_clock:
        return _within_days(found)
    if len(seconds) == 1 and (len(minutes) == 1 or len(hours) * len(minutes) <= TIMES_NAMED_MAX):
        tail = f":{seconds[0]:02}" if seconds[0] else ""
        text = join(clock_times(hours, minutes, tail))
        return f", {text}" if text.startswith("every") else f" {text}"
    at_second = "" if seconds == (0,) else f"{counted('second', seconds)} past "
    return f" at {at_second}{counted('minute', minutes)} past {counted('hour', hours)}"


def _within_days(found: Recurrence) -> str:
    """Return the seconds and minutes of each period, and the hours and minutes that periods must lie in."""
    text = ""
    if found.freq is Freq.HOURLY:
        text = f" at {counted('minute', found.by_minute)}"
    if found.freq < Freq.SECONDLY and found.by_second != (0,):
        text += f" and {counted('second', found.by_second)}" if text else f" at {counted('second', found.by_second)}"
    within = [
        counted("second", found.by_second) if found.freq is Freq.SECONDLY and found.by_second else "",
        counted("minute", found.by_minute) if found.freq >= Freq.MINUTELY and found.by_minute else "",
        counted("hour", found.by_hour) if found.by_hour else "",
    ]
    inside = " of ".join(part for part in within if part)
    return text + (f", only in {inside}" if inside else "")


# -- bounds and single dates --------------------------------------------------------------------------------


def _bounds(rule: Rule, trigger: Trigger) -> Iterator[str]:
    here, lines = trigger.timezone, rule.lines
    if rule.recurrence.interval > 1:
        yield f", counted from {moment(rule.begin_at, here)}"
    elif lines.start_at is not None:
        yield f", from {moment(rule.begin_at, here)}"
    if rule.count is not None:
        yield f", {rule.count} times" if rule.count > 1 else ", once"
    if rule.until_at is not None:
        yield f", until {moment(rule.until_at, here)}"
    if lines.added:
        yield f", and also on {_named([moment(at, here) for at in lines.added], ' and ')}"
    left = [(to_wall(at, zone(here)).isoformat(), moment(at, here)) for at in lines.left_out]
    left += [(day.isoformat(), f"{day:%a %Y-%m-%d}") for day in lines.left_out_days]
    if left:
        yield f", but not on {_named([words for _, words in sorted(left)], ' or ')}"


def _named(dates: list[str], last: str) -> str:
    if len(dates) <= _DATES_NAMED_MAX + 1:
        return join(dates, last)
    return join([*dates[:_DATES_NAMED_MAX], f"{len(dates) - _DATES_NAMED_MAX} other dates"], last)
