"""A recurrence rule in words."""

from __future__ import annotations

from promptyoself.domain.phrases import MONTHS, TIMES_NAMED_MAX, WEEKDAYS, counted, join, moment, place, runs
from promptyoself.domain.rrule_text import parse_rrule
from promptyoself.domain.rrules import Freq, Recurrence
from promptyoself.domain.triggers import Trigger


def rrule_in_words(trigger: Trigger) -> str:
    """Return a recurrence rule in words."""
    rule = parse_rrule(trigger.expression, trigger.timezone, trigger.anchor_at)
    found = rule.recurrence
    unit = {
        Freq.YEARLY: "year",
        Freq.MONTHLY: "month",
        Freq.WEEKLY: "week",
        Freq.DAILY: "day",
        Freq.HOURLY: "hour",
        Freq.MINUTELY: "minute",
        Freq.SECONDLY: "second",
    }[found.freq]
    text = f"every {unit}" if found.interval == 1 else f"every {found.interval} {unit}s"
    days = [f"the {place(nth)} {WEEKDAYS[day + 1]}" for day, nth in found.by_nth]
    days += list(runs([day + 1 for day in found.by_weekday], WEEKDAYS))
    filters = {
        "in": join(runs(list(found.by_month), MONTHS)) if found.by_month else "",
        "in week": join(map(str, found.by_weekno)) if found.by_weekno else "",
        "on day of the year": join(map(str, found.by_yearday)) if found.by_yearday else "",
        "on": join(_month_day(day) for day in found.by_monthday) if found.by_monthday else "",
        "on ": join(days) if days else "",
    }
    text += "".join(f" {name.strip()} {value}" for name, value in filters.items() if value)
    text += _rrule_times(found)
    if found.by_setpos:
        text += f", of these only the {join(place(number) for number in found.by_setpos)} in each {unit}"
    if rule.count is not None:
        text += f", {rule.count} times"
    if rule.until_at is not None:
        text += f", until {moment(rule.until_at, trigger.timezone)}"
    return text


def _rrule_times(found: Recurrence) -> str:
    hours, minutes, seconds = found.by_hour, found.by_minute, found.by_second
    if not found.follows_clock and len(hours) * len(minutes) * len(seconds) <= TIMES_NAMED_MAX:
        clock = [(h, m, s) for h in hours for m in minutes for s in seconds]
        return " at " + join(f"{h:02}:{m:02}" + (f":{s:02}" if s else "") for h, m, s in clock)
    named = {"hour": hours, "minute": minutes, "second": () if seconds == (0,) else seconds}
    listed = [counted(unit, list(values)) for unit, values in named.items() if values]
    return f" at {join(listed)}" if listed else ""


def _month_day(day: int) -> str:
    if day > 0:
        return f"day {day}"
    return "the last day" if day == -1 else f"the {place(day)} day"
