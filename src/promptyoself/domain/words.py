"""A trigger in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from promptyoself.domain import cron
from promptyoself.domain.intervals import format_duration, parse_duration
from promptyoself.domain.localtime import zone
from promptyoself.domain.triggers import Trigger, TriggerKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from promptyoself.domain.rrules import Recurrence

_MONTHS: Final = (
    "",
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_WEEKDAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_ORDINALS: Final = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", -1: "last"}
_TIMES_NAMED_MAX: Final = 6
"""Times of day written out one by one; more become minutes past hours."""
CYCLES: Final = {cron.SECOND: 60, cron.MINUTE: 60, cron.HOUR: 24, cron.DAY: 31, cron.MONTH: 12, cron.WEEKDAY: 7}
"""How many values a field runs through before it begins anew (months of 31 days)."""


def describe(trigger: Trigger) -> str:
    """Return the rule in words, with its bounds, jitter and zone."""
    here = trigger.timezone
    match trigger.kind:
        case TriggerKind.ONCE:
            text = f"once at {moment(trigger.anchor_at, here)}"
        case TriggerKind.CRON:
            text = cron_in_words(cron.parse_cron(trigger.expression))
        case TriggerKind.INTERVAL:
            text = f"every {format_duration(parse_duration(trigger.expression))}"
            if trigger.start_at is None:
                text += f", counted from {moment(trigger.anchor_at, here)}"
        case TriggerKind.RRULE:
            text = rrule_in_words(trigger)
        case _:
            assert_never(trigger.kind)
    if trigger.start_at is not None:
        text += f", from {moment(trigger.start_at, here)}"
    if trigger.end_at is not None:
        text += f", until {moment(trigger.end_at, here)}"
    if trigger.jitter:
        text += f", up to {format_duration(trigger.jitter)} later"
    return f"{text} ({here})"


def moment(instant: datetime, timezone: str) -> str:
    """Return an instant as the clock in `timezone` shows it: `Mon 2027-03-29 09:00`."""
    wall = instant.astimezone(zone(timezone))
    seconds = f":{wall:%S}" if wall.second else ""
    return f"{wall:%a %Y-%m-%d %H:%M}{seconds}"


# -- cron ---------------------------------------------------------------------------------------------------


def cron_in_words(rule: cron.Cron) -> str:
    """Return a cron expression in words: `at 09:00 on day 13 or on Friday, in March`."""
    return " ".join(part for part in (_times(rule), _days(rule), _months(rule)) if part)


def _times(rule: cron.Cron) -> str:
    seconds, minutes, hours = rule.fields[:3]
    at_second, at_minute, at_hour = (
        cron.values(field, of) for field, of in ((seconds, cron.SECOND), (minutes, cron.MINUTE), (hours, cron.HOUR))
    )
    if len(at_second) > 1:
        return _each(seconds, cron.SECOND) + _past(minutes, cron.MINUTE, hours)
    tail = f":{at_second[0]:02}" if at_second != [0] else ""
    if len(at_hour) * len(at_minute) <= _TIMES_NAMED_MAX and not hours.startswith("*"):
        return "at " + join(f"{hour:02}:{minute:02}{tail}" for hour in at_hour for minute in at_minute)
    if at_minute == [0] and not tail:
        return _each(hours, cron.HOUR) + (", on the hour" if hours.startswith("*") else "")
    each = _each(minutes, cron.MINUTE)
    past = _past(hours, cron.HOUR) or (" past every hour" if each.startswith("at ") else "")
    return each + (f" at second {at_second[0]}" if tail else "") + past


def _each(field: str, of: cron.Field) -> str:
    found = cron.values(field, of)
    if len(found) == of.high + 1:
        return f"every {of.name}"
    if is_even_step(field, of):
        return f"every {int(field[2:])} {of.name}s"
    return f"at {_counted(of.name, found)}"


def _past(field: str, of: cron.Field, coarser: str = "") -> str:
    """Return ` past minutes 0 to 5 past hour 9`; nothing for fields that take every value."""
    found = cron.values(field, of)
    rest = _past(coarser, cron.HOUR) if coarser else ""
    return rest if len(found) == of.high + 1 else f" past {_counted(of.name, found)}{rest}"


def is_even_step(field: str, of: cron.Field) -> bool:
    """Whether a field is `*/n` and its fire times stay evenly apart, as those of `*/45` minutes do not."""
    star, slash, step = field.partition("/")
    return star == "*" and bool(slash) and CYCLES[of] % int(step) == 0


def _counted(unit: str, values: list[int]) -> str:
    return f"{unit}{'s' if len(values) > 1 else ''} {join(_runs(values))}"


def _days(rule: cron.Cron) -> str:
    _, minute, hour, day, _, weekday = rule.fields
    day_words, weekday_words = month_days(day), week_days(weekday)
    if day_words and weekday_words:
        joint = "or" if rule.takes_either_day else "that is also"
        return f"on {day_words} {joint} {'on ' if rule.takes_either_day else ''}{weekday_words}"
    if rule.takes_either_day or not (day_words or weekday_words):
        # With OR, a field that names every day makes all days match.
        return "" if minute.startswith("*") or hour.startswith("*") else "every day"
    return f"on {day_words or weekday_words}"


def month_days(field: str) -> str:
    """Return the days of the month in words, or nothing for every day."""
    found = cron.values(field, cron.DAY)
    named = [
        {"L": "the last day", "LW": "the last weekday (Monday to Friday)"}[term]
        for term in field.split(",")
        if term in {"L", "LW"}
    ]
    if len(found) == cron.DAY.high:
        return ""
    if found:
        named.insert(0, _counted("day", found))
    return join(named, " or ") + " of the month"


def week_days(field: str) -> str:
    """Return the days of the week in words, or nothing for every day."""
    found = sorted({value % 7 for value in cron.values(field, cron.WEEKDAY)}, key=lambda value: value or 7)
    if len(found) == CYCLES[cron.WEEKDAY]:
        return ""
    names = list(_runs([value or 7 for value in found], _WEEKDAYS))
    for term in field.split(","):
        if term.endswith("L"):
            names.append(f"the last {_WEEKDAYS[int(term[:-1])]} of the month")
        elif "#" in term:
            weekday, _, nth = term.partition("#")
            names.append(f"the {_ORDINALS[int(nth)]} {_WEEKDAYS[int(weekday)]} of the month")
    return join(names, " or ")


def _months(rule: cron.Cron) -> str:
    found = cron.values(rule.fields[4], cron.MONTH)
    return "" if len(found) == cron.MONTH.high else "in " + join(_runs(found, _MONTHS))


def _runs(values: list[int], names: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the values, by name when there are names, three and more in a row as `first to last`."""
    place = 0
    while place < len(values):
        end = place
        while end + 1 < len(values) and values[end + 1] == values[end] + 1:
            end += 1
        first, last = (names[value] if names else str(value) for value in (values[place], values[end]))
        is_run = end > place + 1
        yield f"{first} to {last}" if is_run else first
        place = end + 1 if is_run else place + 1


def join(parts: Iterable[str], last: str = " and ") -> str:
    """Return the parts as a list in words: `a, b and c`."""
    listed = list(parts)
    return last.join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)


# -- rrule --------------------------------------------------------------------------------------------------


def rrule_in_words(trigger: Trigger) -> str:
    """Return a recurrence rule in words."""
    from promptyoself.domain.rrule_text import parse_rrule
    from promptyoself.domain.rrules import Freq

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
    days = [_nth(place, _WEEKDAYS[day + 1]) for day, place in found.by_nth]
    days += list(_runs([day + 1 for day in found.by_weekday], _WEEKDAYS))
    filters = {
        "in": join(_runs(list(found.by_month), _MONTHS)) if found.by_month else "",
        "in week": join(map(str, found.by_weekno)) if found.by_weekno else "",
        "on day of the year": join(map(str, found.by_yearday)) if found.by_yearday else "",
        "on": join(_month_day(day) for day in found.by_monthday) if found.by_monthday else "",
        "on ": join(days) if days else "",
    }
    text += "".join(f" {name.strip()} {value}" for name, value in filters.items() if value)
    text += _rrule_times(found)
    if found.by_setpos:
        text += f", of these only the {join(_place(place) for place in found.by_setpos)} in each {unit}"
    if rule.count is not None:
        text += f", {rule.count} times"
    if rule.until_at is not None:
        text += f", until {moment(rule.until_at, trigger.timezone)}"
    return text


def _rrule_times(found: Recurrence) -> str:
    hours, minutes, seconds = found.by_hour, found.by_minute, found.by_second
    if not found.follows_clock and len(hours) * len(minutes) * len(seconds) <= _TIMES_NAMED_MAX:
        clock = [(h, m, s) for h in hours for m in minutes for s in seconds]
        return " at " + join(f"{h:02}:{m:02}" + (f":{s:02}" if s else "") for h, m, s in clock)
    named = {"hour": hours, "minute": minutes, "second": () if seconds == (0,) else seconds}
    listed = [_counted(unit, list(values)) for unit, values in named.items() if values]
    return f" at {join(listed)}" if listed else ""


def _month_day(day: int) -> str:
    if day > 0:
        return f"day {day}"
    return "the last day" if day == -1 else f"the {_place(day)} day"


def _nth(place: int, weekday: str) -> str:
    return f"the {_place(place)} {weekday}"


def _place(place: int) -> str:
    if place in _ORDINALS:
        return _ORDINALS[place]
    return f"{place}th" if place > 0 else f"{-place}th to last"
