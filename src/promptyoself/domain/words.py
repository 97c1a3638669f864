"""A trigger in words, and warnings about what may surprise the one who made it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, assert_never

from promptyoself.domain import cron, limits
from promptyoself.domain.intervals import format_duration, parse_duration
from promptyoself.domain.localtime import MICROSECOND, resolve, span_at, to_wall, zone
from promptyoself.domain.triggers import Trigger, TriggerKind, fire_times

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from promptyoself.domain.localtime import Span, WallRule

_MONTHS: Final = ("", "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
                  "November", "December")
_WEEKDAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_ORDINALS: Final = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", -1: "last"}
_TIMES_NAMED_MAX: Final = 6
"""Times of day written out one by one; more become minutes past hours."""


def describe(trigger: Trigger) -> str:
    """Return the rule in words, with its bounds, jitter and zone."""
    here = trigger.timezone
    match trigger.kind:
        case TriggerKind.ONCE:
            text = f"once at {_moment(trigger.anchor_at, here)}"
        case TriggerKind.CRON:
            text = cron_in_words(cron.parse_cron(trigger.expression))
        case TriggerKind.INTERVAL:
            text = f"every {format_duration(parse_duration(trigger.expression))}"
            if trigger.start_at is None:
                text += f", counted from {_moment(trigger.anchor_at, here)}"
        case TriggerKind.RRULE:
            text = rrule_in_words(trigger)
        case _:
            assert_never(trigger.kind)
    if trigger.start_at is not None:
        text += f", from {_moment(trigger.start_at, here)}"
    if trigger.end_at is not None:
        text += f", until {_moment(trigger.end_at, here)}"
    if trigger.jitter:
        text += f", up to {format_duration(trigger.jitter)} later"
    return f"{text} ({here})"


def _moment(instant: datetime, timezone: str) -> str:
    wall = instant.astimezone(zone(timezone))
    seconds = f":{wall:%S}" if wall.second else ""
    return f"{wall:%a %Y-%m-%d %H:%M}{seconds}"


# -- cron ---------------------------------------------------------------------------------------------------


def cron_in_words(rule: cron.Cron) -> str:
    """Return a cron expression in words: `at 09:00 on day 13 or on Friday, in March`."""
    return " ".join(part for part in (_times(rule), _days(rule), _months(rule)) if part)


def _times(rule: cron.Cron) -> str:
    seconds, minutes, hours = rule.fields[:3]
    second_values = cron.values(seconds, cron.SECOND)
    minute_values, hour_values = cron.values(minutes, cron.MINUTE), cron.values(hours, cron.HOUR)
    if second_values != [0] and len(second_values) > 1:
        return f"{_each(seconds, cron.SECOND)}{_within(minutes, cron.MINUTE)}{_within(hours, cron.HOUR)}"
    tail = f":{second_values[0]:02}" if second_values != [0] else ""
    if len(hour_values) * len(minute_values) <= _TIMES_NAMED_MAX and not hours.startswith("*"):
        return "at " + _join(f"{hour:02}:{minute:02}{tail}" for hour in hour_values for minute in minute_values)
    past = f" at second {second_values[0]}" if tail else ""
    if minute_values == [0] and not tail:
        if len(hour_values) == 24:
            return "every hour, on the hour"
        if hours.startswith("*/") and 24 % int(hours[2:]) == 0:
            return f"every {int(hours[2:])} hours, on the hour"
    return f"{_each(minutes, cron.MINUTE)}{past}{_within(hours, cron.HOUR)}"


def _each(field: str, of: cron.Field) -> str:
    found = cron.values(field, of)
    if len(found) == of.high + 1:
        return f"every {of.name}"
    if field.startswith("*/") and 60 % int(field[2:]) == 0:
        return f"every {int(field[2:])} {of.name}s"
    return f"at {_counted(of.name, found)}"


def _within(field: str, of: cron.Field) -> str:
    found = cron.values(field, of)
    if len(found) == of.high + 1:
        return f" past every {of.name}" if of is cron.HOUR else ""
    return f" past {_counted(of.name, found)}"


def _counted(unit: str, values: list[int]) -> str:
    return f"{unit}{'s' if len(values) > 1 else ''} {_join(_runs(values))}"


def _days(rule: cron.Cron) -> str:
    _, minute, hour, day, _, weekday = rule.fields
    day_words, weekday_words = _month_days(day), _week_days(weekday)
    if day_words and weekday_words:
        joint = "or" if rule.takes_either_day else "that is also"
        return f"on {day_words} {joint} {'on ' if rule.takes_either_day else ''}{weekday_words}"
    if rule.takes_either_day or not (day_words or weekday_words):
        # With OR, a field that names every day makes all days match.
        return "" if minute.startswith("*") or hour.startswith("*") else "every day"
    return f"on {day_words or weekday_words}"


def _month_days(field: str) -> str:
    """Return the days of the month in words, or nothing for every day."""
    found = cron.values(field, cron.DAY)
    named = [{"L": "the last day", "LW": "the last weekday (Monday to Friday)"}[term]
             for term in field.split(",") if term in {"L", "LW"}]
    if len(found) == 31:
        return ""
    if found:
        named.insert(0, _counted("day", found))
    return _join(named, " or ") + " of the month"


def _week_days(field: str) -> str:
    """Return the days of the week in words, or nothing for every day."""
    found = sorted({value % 7 for value in cron.values(field, cron.WEEKDAY)}, key=lambda value: (value or 7))
    if len(found) == 7:
        return ""
    names = list(_runs([value or 7 for value in found], _WEEKDAYS))
    for term in field.split(","):
        if term.endswith("L"):
            names.append(f"the last {_WEEKDAYS[int(term[:-1])]} of the month")
        elif "#" in term:
            weekday, _, nth = term.partition("#")
            names.append(f"the {_ORDINALS[int(nth)]} {_WEEKDAYS[int(weekday)]} of the month")
    return _join(names, " or ") if len(names) > 2 else " or ".join(names)


def _months(rule: cron.Cron) -> str:
    found = cron.values(rule.fields[4], cron.MONTH)
    return "" if len(found) == 12 else "in " + _join(_runs(found, _MONTHS))


def _runs(values: list[int], names: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the values, by name when there are names, three and more in a row as `first to last`."""
    place = 0
    while place < len(values):
        end = place
        while end + 1 < len(values) and values[end + 1] == values[end] + 1:
            end += 1
        first, last = (names[value] if names else str(value) for value in (values[place], values[end]))
        if end - place >= 2:
            yield f"{first} to {last}"
            place = end + 1
        else:
            yield first
            place += 1


def _join(parts: Iterable[str], last: str = " and ") -> str:
    listed = list(parts)
    return last.join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)


# -- rrule --------------------------------------------------------------------------------------------------


def rrule_in_words(trigger: Trigger) -> str:
    """Return a recurrence rule in words."""
    from promptyoself.domain.rrule_text import parse_rrule  # noqa: PLC0415
    from promptyoself.domain.rrules import Freq  # noqa: PLC0415

    rule = parse_rrule(trigger.expression, trigger.timezone, trigger.anchor_at)
    found = rule.recurrence
    unit = {Freq.YEARLY: "year", Freq.MONTHLY: "month", Freq.WEEKLY: "week", Freq.DAILY: "day", Freq.HOURLY: "hour",
            Freq.MINUTELY: "minute", Freq.SECONDLY: "second"}[found.freq]
    text = f"every {unit}" if found.interval == 1 else f"every {found.interval} {unit}s"
    days = [_nth(place, _WEEKDAYS[day + 1]) for day, place in found.by_nth]
    days += list(_runs([day + 1 for day in found.by_weekday], _WEEKDAYS))
    filters = {
        "in": _join(_runs(list(found.by_month), _MONTHS)) if found.by_month else "",
        "in week": _join(map(str, found.by_weekno)) if found.by_weekno else "",
        "on day of the year": _join(map(str, found.by_yearday)) if found.by_yearday else "",
        "on": _join(_month_day(day) for day in found.by_monthday) if found.by_monthday else "",
        "on ": _join(days) if days else "",
    }
    text += "".join(f" {name.strip()} {value}" for name, value in filters.items() if value)
    text += _rrule_times(found.freq >= Freq.HOURLY, found.by_hour, found.by_minute, found.by_second)
    if found.by_setpos:
        text += f", of these only the {_join(_place(place) for place in found.by_setpos)} in each {unit}"
    if rule.count is not None:
        text += f", {rule.count} times"
    if rule.until_at is not None:
        text += f", until {_moment(rule.until_at, trigger.timezone)}"
    return text


def _rrule_times(is_within_day: bool, hours: tuple[int, ...], minutes: tuple[int, ...], seconds: tuple[int, ...]) -> str:  # noqa: FBT001
    if not is_within_day and len(hours) * len(minutes) * len(seconds) <= _TIMES_NAMED_MAX:
        return " at " + _join(f"{hour:02}:{minute:02}" + (f":{second:02}" if second else "")
                              for hour in hours for minute in minutes for second in seconds)
    named = {"hour": hours, "minute": minutes, "second": () if seconds == (0,) else seconds}
    listed = [_counted(unit, list(values)) for unit, values in named.items() if values]
    return f" at {_join(listed)}" if listed else ""


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


# -- warnings -----------------------------------------------------------------------------------------------


def warnings_for(trigger: Trigger, *, now: datetime) -> list[str]:
    """Return sentences about what may surprise; `now` is aware UTC."""
    found: list[str] = []
    if trigger.kind is TriggerKind.CRON:
        rule = cron.parse_cron(trigger.expression)
        found += _either_day(rule)
        found += [sentence for field, of in zip(rule.fields, cron.FIELDS, strict=True)
                  for sentence in _uneven_steps(field, of)]
    found += _clock_changes(trigger, now=now)
    soon = list(islice(fire_times(trigger, after=now), 2))
    if trigger.jitter and len(soon) == 2 and trigger.jitter >= soon[1] - soon[0]:
        found.append(f"the jitter of {format_duration(trigger.jitter)} is as long as the time between two fires")
    return found


def _either_day(rule: cron.Cron) -> list[str]:
    day, weekday = _month_days(rule.fields[3]), _week_days(rule.fields[5])
    if rule.takes_either_day:
        what = f"on {day} or on {weekday}" if day and weekday else "every day"
        return [f"day-of-month and day-of-week are both given: cron fires when either matches, here {what}"]
    if day and weekday:
        return [f"one of day-of-month and day-of-week starts with *: cron fires only when both match, here on {day} "
                f"that is also {weekday}"]
    return []


def _uneven_steps(field: str, of: cron.Field) -> Iterator[str]:
    """Yield a sentence for each step that begins anew before it would come around, as */45 does every hour."""
    whole = {cron.SECOND: 60, cron.MINUTE: 60, cron.HOUR: 24, cron.DAY: 31, cron.MONTH: 12, cron.WEEKDAY: 7}[of]
    for term in field.split(","):
        base, slash, step = term.partition("/")
        if not slash or base != "*" or whole % int(step) == 0:
            continue
        if int(step) == 1:
            continue
        at = _join(_runs(sorted({value % 7 if of is cron.WEEKDAY else value for value in cron.values(term, of)})))
        cure = ""
        if of in {cron.SECOND, cron.MINUTE, cron.HOUR}:
            cure = f"; for one fire every {int(step)} {of.name}s use the interval {int(step)}{of.name[0]}"
        yield f"{term} does not divide the {of.name}s evenly: it fires at {of.name} {at}, then begins anew{cure}"


def _clock_changes(trigger: Trigger, *, now: datetime) -> list[str]:
    """Return sentences for the clock changes of the coming days that move, repeat or drop fire times."""
    here, end_at = zone(trigger.timezone), now + limits.DST_WARNING_SPAN
    if trigger.kind is TriggerKind.ONCE:
        return _once_moved(trigger)
    found = []
    span = span_at(here, now)
    while span.end_at <= end_at:
        span = span_at(here, span.end_at)
        if span.shift and span.begin_at > now:
            found += _clock_change(trigger, span)
    return found


def _once_moved(trigger: Trigger) -> list[str]:
    here = zone(trigger.timezone)
    span = span_at(here, trigger.anchor_at)
    wall = to_wall(trigger.anchor_at, here)
    if trigger.expression.strip()[-1:] in "Zz" or len(trigger.expression.strip()) > 19:
        return []
    if resolve(wall, here, last_pass=True) != resolve(wall, here):
        return [f"{wall:%Y-%m-%d %H:%M} comes twice in {trigger.timezone}; it fires at the first"]
    if span.shift > limits.INTERVAL_MIN * 0 and trigger.anchor_at == span.begin_at and wall.isoformat()[:16] != (
            trigger.expression.strip().replace(" ", "T")[:16]):
        return [f"{trigger.expression.strip()} does not exist in {trigger.timezone}; it fires at {wall:%Y-%m-%d %H:%M}"]
    return []


def _clock_change(trigger: Trigger, span: Span) -> list[str]:
    """Return a sentence when the clock change at the beginning of `span` touches fire times of the trigger."""
    change = f"clocks in {trigger.timezone} change on {span.wall_begin:%Y-%m-%d} from {span.wall_before:%H:%M} to " \
             f"{span.wall_begin:%H:%M}"
    if trigger.kind is TriggerKind.INTERVAL:
        period = parse_duration(trigger.expression)
        if period.total_seconds() % 86400:
            return []
        return [f"{change}: an interval counts real time, so it fires {format_duration(abs(span.shift))} "
                f"{'later' if span.shift.total_seconds() > 0 else 'earlier'} on the clock from then on"]
    rule = _wall_rule(trigger)
    low, high = sorted((span.wall_before, span.wall_begin))
    walls = [wall for wall in islice(rule.walls(low - MICROSECOND), 4) if wall < high]
    if not walls:
        return []
    shown = _join(f"{wall:%H:%M}" for wall in walls[:3]) + (" and others" if len(walls) > 3 else "")
    if span.shift.total_seconds() > 0:
        made_up = span.is_short_jump and not rule.follows_clock
        return [f"{change}: {shown} {'moves' if len(walls) == 1 else 'move'} to {span.wall_begin:%H:%M} that day"
                if made_up else f"{change}: {shown} is skipped that day"]
    once = span.is_short_jump and not rule.follows_clock
    return [f"{change}: {shown} comes twice that day and fires {'only the first time' if once else 'both times'}"]


def _wall_rule(trigger: Trigger) -> WallRule:
    if trigger.kind is TriggerKind.CRON:
        return cron.parse_cron(trigger.expression)
    from promptyoself.domain.rrule_text import parse_rrule  # noqa: PLC0415

    return parse_rrule(trigger.expression, trigger.timezone, trigger.anchor_at).recurrence

