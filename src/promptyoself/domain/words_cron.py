"""A cron expression in words.

Whoever reads them may rely on them: two expressions with the same words fire at the same times. So a field that
starts with `*` and follows the clock through every pass (docs/time.md) never reads like one that names its values.
"""

from __future__ import annotations

from typing import Final

from promptyoself.domain import cron
from promptyoself.domain.phrases import (
    MONTHS,
    TIMES_NAMED_MAX,
    WEEKDAYS,
    clock_times,
    counted,
    ending,
    join,
    place,
    runs,
    week_runs,
)

_AND: Final = " and "
CYCLES: Final = {cron.SECOND: 60, cron.MINUTE: 60, cron.HOUR: 24, cron.DAY: 31, cron.MONTH: 12, cron.WEEKDAY: 7}
"""How many values a field runs through before it begins anew (months of 31 days)."""


def cron_in_words(rule: cron.Cron) -> str:
    """Return a cron expression in words: `at 09:00 on day 13 of the month or on Friday, in March`."""
    times, days = _times(rule), _days(rule)
    text = times if not days else f"{times}{',' if ', ' in times and rule.follows_clock else ''} {days}"
    months = cron.values(rule.fields[4], cron.MONTH)
    if len(months) == cron.MONTH.high:
        return text
    comma = "," if week_days(rule.fields[5]) and month_days(rule.fields[3]) else ""
    return f"{text}{comma} in {join(runs(months, MONTHS))}"


# -- times of day -------------------------------------------------------------------------------------------


def _times(rule: cron.Cron) -> str:
    seconds, minutes, hours = rule.fields[:3]
    at_second, at_minute, at_hour = (
        cron.values(field, of) for field, of in ((seconds, cron.SECOND), (minutes, cron.MINUTE), (hours, cron.HOUR))
    )
    past_hours = _past(hours, cron.HOUR)
    if len(at_second) > 1:
        each = _each(seconds, cron.SECOND)
        if not (past_minutes := _past(minutes, cron.MINUTE)):
            return each + past_hours
        return each + past_minutes + (past_hours or " past every hour").replace(" past ", " of ", 1)
    tail = f":{at_second[0]:02}" if at_second[0] else ""
    if not rule.follows_clock and (len(at_minute) == 1 or len(at_hour) * len(at_minute) <= TIMES_NAMED_MAX):
        return join(clock_times(at_hour, at_minute, tail))
    if minutes == "0" and not tail:
        each = _each(hours, cron.HOUR)
        return f"{each}, on the hour" if each.startswith("every") else f"on the hour, {each}"
    each = _each(minutes, cron.MINUTE)
    past_hours = past_hours or " past every hour" * each.startswith("at ")
    return each + (f" at second {at_second[0]}" if tail else "") + past_hours


def _each(field: str, of: cron.Field) -> str:
    found = cron.values(field, of)
    if field.startswith("*") and len(found) == of.high + 1:
        return f"every {of.name}"
    if is_even_step(field, of) and len(found) > 1:
        return f"every {int(field[2:])} {of.name}s"
    return f"at {_named(field, of)}"


def _past(field: str, of: cron.Field) -> str:
    """Return ` past hours 9 to 17`; nothing for `*`."""
    found = cron.values(field, of)
    if field.startswith("*") and len(found) == of.high + 1:
        return ""
    if is_even_step(field, of) and len(found) > 1:
        step = int(field[2:])
        return f" past every {step}{ending(step)} {of.name} from {of.low} on"
    return f" past {_named(field, of)}"


def _named(field: str, of: cron.Field) -> str:
    """Return `hours 0, 5 and 10`; with the field itself behind when it is one that starts with `*`."""
    return counted(of.name, cron.values(field, of)) + (f" ({field})" if field.startswith("*") else "")


def is_even_step(field: str, of: cron.Field) -> bool:
    """Whether a field is `*/n` and its fire times stay evenly apart, as those of `*/45` minutes do not."""
    star, slash, step = field.partition("/")
    return star == "*" and bool(slash) and step.isdigit() and CYCLES[of] % int(step) == 0


# -- days ---------------------------------------------------------------------------------------------------


def _days(rule: cron.Cron) -> str:
    day, weekday = rule.fields[3], rule.fields[5]
    day_words, weekday_words = month_days(day), week_days(weekday)
    if day_words and weekday_words:
        if rule.takes_either_day:
            return f"on {day_words} or on {weekday_words}"
        return f"on {weekday_words}, only when it is {month_days(day, ' or ')}"
    if rule.takes_either_day or not (day_words or weekday_words):
        # With OR, a field that names every day makes all days match.
        return "" if rule.follows_clock else "every day"
    return f"on {day_words or weekday_words}"


def month_days(field: str, last: str = _AND) -> str:
    """Return the days of the month in words, joined by `last`, or nothing for every day."""
    found = cron.values(field, cron.DAY)
    if len(found) == cron.DAY.high:
        return ""
    terms = field.split(",")
    near = sorted({int(term[:-1]) for term in terms if term.endswith("W") and term != "LW"})
    named = [
        (counted("day", found, last) if last == _AND else f"day {join(runs(found), last)}") if found else "",
        f"the weekday (Monday to Friday) nearest {join((f'to day {day}' for day in near), last)}" if near else "",
        "the last weekday (Monday to Friday)" if "LW" in terms else "",
        "the last day" if "L" in terms else "",
    ]
    parts = [part for part in named if part]
    comma = "," if any(last in part for part in parts[:-1]) else ""
    return join(parts, comma + last) + " of the month"


def week_days(field: str) -> str:
    """Return the days of the week in words, or nothing for every day."""
    found = {value % 7 for value in cron.values(field, cron.WEEKDAY)}
    if len(found) == CYCLES[cron.WEEKDAY]:
        return ""
    names, of_month = week_runs(found), ""
    for term in sorted(set(field.split(","))):
        weekday, is_nth, nth = term.partition("#")
        if is_nth:
            names.append(f"the {place(int(nth))} {WEEKDAYS[int(weekday)]}")
        elif term.endswith("L"):
            names.append(f"the last {WEEKDAYS[int(term[:-1])]}")
        else:
            continue
        of_month = " of the month"
    return join(names) + of_month
