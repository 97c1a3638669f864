"""The simplest exact rule for what was said: an interval, else cron, else RFC 5545."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from itertools import groupby, product
from typing import Final

from promptyoself.domain.intervals import format_duration
from promptyoself.domain.plain import clocks
from promptyoself.domain.plain.clocks import Clock
from promptyoself.domain.plain.recurrences import ALL_DAYS, LAST, WORKDAYS, Place, Said
from promptyoself.domain.plain.suggestions import Refused, with_time
from promptyoself.domain.plain.tokens import ordinal
from promptyoself.domain.plain.vocabulary import UNIT_S, WEEKDAY_NAMES
from promptyoself.domain.triggers import TriggerKind
from promptyoself.domain.values import dataclass

NAMES: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CODES: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_DAY: Final = timedelta(days=1)
_DAYS_LOOKED_AT: Final = 800
"""Days in which a day of the month or of the week must come for the first time (29 February is refused)."""
_CYCLES: Final = {"second": 60, "minute": 60, "hour": 24}
_RUN_MIN: Final = 3
_LONG_DAY: Final = 28
_MONTH_DAYS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A rule in its exact form, and sentences about what may surprise in it."""

    kind: TriggerKind
    expression: str
    notes: tuple[str, ...] = ()


def compile_rule(said: Said, *, wall: datetime) -> Compiled:
    """Return the rule; one that counts in steps of several days counts from the first day after `wall`.

    Raises Refused for what does not hold together or leaves something open.
    """
    if said.length is not None:
        return Compiled(kind=TriggerKind.INTERVAL, expression=format_duration(said.length))
    number, unit = said.period or (1, "")
    if number < 1:
        raise Refused("a period is 1 or more")
    if unit in _CYCLES:
        from promptyoself.domain.plain.hours import compile_within_day

        return compile_within_day(said, number, unit)
    if said.past or said.between:
        raise Refused("minutes and hours between two times need a period, such as an hour or 15 minutes",
                      [f"hour {said.phrase.text}", "15 minutes between 9:00 and 17:00"])  # fmt: skip
    _check_days(said, number, unit)
    if not said.spoken:
        late = [f"{said.phrase.text} at 18:00"] if said.part in {"", "evening"} else []
        raise Refused(f"{said.phrase.text!r} names no time of day", [with_time(said.phrase.text), *late])
    times = _times(said)
    if number > 1:
        return _in_steps(said, number, unit, times, wall=wall)
    return _each_time(said, times)


def weekdays_of(said: Said) -> frozenset[int]:
    """Return the days of the week that are meant. Raises Refused when none is left."""
    days = (ALL_DAYS if said.weekdays is None else said.weekdays) - said.left_out
    if not days:
        raise Refused("no day is left")
    return days


def weekday_field(days: frozenset[int]) -> str:
    """Return the days as cron's day-of-week: `mon-fri`, `mon,thu`, `*`."""
    if days == ALL_DAYS:
        return "*"
    return ",".join(_runs(sorted(days)))


def month_field(said: Said) -> str:
    """Return the months as cron's: `7,8`, `*`."""
    return ",".join(str(month) for month in sorted(said.months)) or "*"


def _runs(days: list[int]) -> list[str]:
    found: list[str] = []
    for _, group in groupby(enumerate(days), key=lambda pair: pair[1] - pair[0]):
        run = [NAMES[day] for _, day in group]
        found += [f"{run[0]}-{run[-1]}"] if len(run) >= _RUN_MIN else run
    return found


# -- checks -------------------------------------------------------------------------------------------------


def _check_days(said: Said, number: int, unit: str) -> None:
    """Refuse days that contradict each other, and periods that leave the day open."""
    text = said.phrase.text
    if sum(map(bool, (said.weekdays or said.left_out, said.places, said.date))) > 1:
        raise Refused("days of the week, days of the month and dates do not go together; make a rule of each")
    if said.places and unit not in {"month", "year"}:
        raise _no_month(said)
    if unit == "day" and (said.weekdays or said.places or said.date):
        raise Refused("'day' and a day that is named contradict each other")
    if unit == "week" and said.weekdays is None:
        raise Refused("which day of the week is not said", [_with_day(text, name) for name in ("monday", "friday")])
    if unit == "month" and not said.places:
        raise Refused("which day of the month is not said",
                      [_with_day(text, day) for day in ("the 1st", "the last day", "the first monday")])  # fmt: skip
    if unit == "year" and not (said.date or (said.places and said.months)):
        raise Refused("which day of the year is not said", [_with_day(text, "january 1")])
    _check_dates(said, number, unit)
    if not (unit or said.weekdays or said.left_out or said.places or said.date or said.part):
        is_number = text.removeprefix("every ").isdigit()
        units = [f"{text} {unit}" for unit in ("minutes", "hours")] if is_number else []
        raise Refused("on which days is not said", [*units, f"day {text}", f"weekday {text}"])


def _check_dates(said: Said, number: int, unit: str) -> None:
    if said.date and said.months:
        raise Refused("a date names its month already", ["year on december 24 at 18:00"])
    if said.date and (number > 1 or unit not in {"", "year"}):
        raise Refused("a date comes once a year", ["year on december 24 at 18:00"])
    if said.months and number > 1:
        raise Refused("months and a step of several periods do not go together")


def _no_month(said: Said) -> Refused:
    """Refuse `second monday`, which may be every other one or the second of the month."""
    place, text = said.places[-1], said.phrase.text
    noun = place.tokens[-1]
    name = WEEKDAY_NAMES[int(place.noun)] if place.noun.isdigit() else place.noun
    end = noun.end
    forms = [f"{text[:end]} of the month{text[end:]}"]
    if place.is_named and place.nth > 1:
        head, tail = text[: place.tokens[0].begin], text[end:]
        steps = "other" if place.nth == 2 else f"{place.nth} weeks on"  # noqa: PLR2004  every other one
        forms.append(f"{head}{steps} {name}{tail}" if place.noun != "day" else f"{head}{place.nth} days{tail}")
    return Refused("it is not certain whether it counts in the month or from one to the next", forms)


def _with_day(text: str, day: str) -> str:
    head, at, tail = text.partition(" at ")
    return f"{head} on {day}{at}{tail}"


def _times(said: Said) -> list[time]:
    settled = [clocks.settle(spoken, said.part, said.phrase) for spoken in said.spoken]
    is_every_day = not (said.places or said.date or said.weekdays or said.left_out or (said.period or (1,))[0] > 1)
    for spoken, clock in zip(said.spoken, settled, strict=True):
        if clock.is_midnight and not is_every_day:
            raise _which_midnight(said, clock, spoken.token.text)
    return sorted({clock.at for clock in settled})


def _which_midnight(said: Said, clock: Clock, text: str) -> Refused:
    at = clocks.shown(clock.at)
    forms = [said.phrase.text.replace(text, at)]
    if said.weekdays:
        after = frozenset((day + 1) % 7 for day in weekdays_of(said))
        forms.append(f"{' and '.join(WEEKDAY_NAMES[day] for day in sorted(after))} at {at}")
    return Refused("midnight may be the begin of the day or its end", forms)


# -- cron ---------------------------------------------------------------------------------------------------


def _each_time(said: Said, times: list[time]) -> Compiled:
    """Return cron, or RFC 5545 where cron cannot say it."""
    fields = _clock_fields(times)
    day, weekday, notes = _day_fields(said)
    if fields is None:
        return Compiled(kind=TriggerKind.RRULE, expression=_uneven(said, times), notes=notes)
    if day == "first":
        parts = f"FREQ=MONTHLY{_by_month(said)};BYDAY={','.join(_CODES[:5])};BYSETPOS=1"
        if len(times) > 1:
            raise _one_each(said)
        return Compiled(kind=TriggerKind.RRULE, expression=f"{parts};{_clock_parts(times)}", notes=notes)
    month = str(said.date[0]) if said.date else month_field(said)
    return Compiled(kind=TriggerKind.CRON, expression=f"{fields} {day} {month} {weekday}", notes=notes)


def _clock_fields(times: list[time]) -> str | None:
    """Return cron's minute and hour, with seconds before them when there are any; None when they need two rules."""
    seconds, minutes, hours = (sorted({getattr(at, name) for at in times}) for name in ("second", "minute", "hour"))
    if len(times) != len(seconds) * len(minutes) * len(hours):
        return None
    listed = [minutes, hours] if seconds == [0] else [seconds, minutes, hours]
    return " ".join(",".join(map(str, values)) for values in listed)


def _day_fields(said: Said) -> tuple[str, str, tuple[str, ...]]:
    """Return cron's day-of-month (`first` for the first weekday, which it cannot say), day-of-week, and notes."""
    if said.date:
        month, day = said.date
        most = _MONTH_DAYS[month - 1]
        if not 1 <= day <= most:
            raise Refused(f"that month has no day {day}: its days go from 1 to {most}")
        is_leap = (month, day) == (2, 29)
        return str(day), "*", ("29 february comes in leap years only",) if is_leap else ()
    if not said.places:
        return "*", weekday_field(weekdays_of(said)), ()
    nouns = {place.noun for place in said.places}
    if nouns == {"day"}:
        return _month_days(said.places), "*", _rare_days(said.places, said)
    if nouns == {"weekday"}:
        return _work_place(said.places), "*", ()
    if nouns & {"day", "weekday"}:
        raise Refused("days of the month and days of the week do not go together; make a rule of each")
    terms = [f"{NAMES[int(one.noun)]}{'L' if one.nth == LAST else f'#{_in_five(one)}'}" for one in said.places]
    rare = any(one.nth > 4 for one in said.places)  # noqa: PLR2004  every month has four of each
    return "*", ",".join(terms), ("a fifth one does not come in every month",) if rare else ()


def _month_days(places: tuple[Place, ...]) -> str:
    for place in places:
        if place.nth > max(_MONTH_DAYS) or place.nth == 0:
            raise Refused(f"no month has a {ordinal(place.nth)}: days go from 1st to 31st")
    days = sorted({place.nth for place in places if place.nth != LAST})
    return ",".join([*map(str, days), *(["L"] if any(place.nth == LAST for place in places) else [])])


def _rare_days(places: tuple[Place, ...], said: Said) -> tuple[str, ...]:
    most = min((_MONTH_DAYS[month - 1] for month in said.months), default=_LONG_DAY)
    rare = [ordinal(place.nth) for place in places if place.nth > most]
    if not rare:
        return ()
    return (f'months without a {rare[-1]} are left out; for the end of each month write "last day of the month"',)


def _work_place(places: tuple[Place, ...]) -> str:
    if len(places) == 1 and places[0].nth in {1, LAST}:
        return "first" if places[0].nth == 1 else "LW"
    raise Refused(
        "of the weekdays of a month only the first and the last are read",
        ["first weekday of the month at 9am", "last weekday of the month at 9am"],
    )


def _in_five(place: Place) -> int:
    if place.nth in range(1, 6):
        return place.nth
    raise Refused(f"no month has a {ordinal(place.nth)} {WEEKDAY_NAMES[int(place.noun)]}: they go from first to fifth")


# -- RFC 5545 -----------------------------------------------------------------------------------------------


def _clock_parts(times: list[time]) -> str:
    values = {name: sorted({getattr(at, name) for at in times}) for name in ("hour", "minute", "second")}
    parts = [f"BY{name.upper()}={','.join(map(str, numbers))}" for name, numbers in values.items()]
    grid = [time(*at) for at in product(*values.values())]
    if len(grid) > len(times):
        # Of the hours times the minutes only those that were said: by their places in the day.
        parts.append("BYSETPOS=" + ",".join(str(grid.index(at) + 1) for at in times))
    return ";".join(parts)


def _by_month(said: Said) -> str:
    return f";BYMONTH={month_field(said)}" if said.months else ""


def _uneven(said: Said, times: list[time]) -> str:
    """Return a rule for times that cron's hours times minutes cannot say: day by day, by places in the day."""
    if said.places or said.date:
        raise _one_each(said)
    days = weekdays_of(said)
    by_day = "" if days == ALL_DAYS else f";BYDAY={','.join(_CODES[day] for day in sorted(days))}"
    return f"FREQ=DAILY{_by_month(said)}{by_day};{_clock_parts(times)}"


def _one_each(said: Said) -> Refused:
    first = said.phrase.text[: said.spoken[0].token.begin]
    return Refused(
        "one rule cannot hold these times on such days; make a rule of each",
        [f"{first} {spoken.token.text}" for spoken in said.spoken],
    )


def _in_steps(said: Said, number: int, unit: str, times: list[time], *, wall: datetime) -> Compiled:
    """Return a rule for every nth day, week or month, with the day it counts from."""
    if said.left_out or (unit != "day" and _clock_fields(times) is None):
        raise _one_each(said) if not said.left_out else Refused("exceptions do not go with a step of several periods")
    if unit == "day":
        freq, by_day, is_day = "DAILY", "", ALL_DAYS
    elif unit == "week":
        is_day = weekdays_of(said)
        freq, by_day = "WEEKLY", f";BYDAY={','.join(_CODES[day] for day in sorted(is_day))}"
    else:
        freq, by_day, is_day = "MONTHLY", _by_place(said), ALL_DAYS
    first = _first(said, unit, is_day, times, wall=wall)
    note = "it counts from the day in its DTSTART; --start-at with another day moves it"
    expression = f"DTSTART:{first:%Y%m%dT%H%M%S}\\nRRULE:FREQ={freq};INTERVAL={number}{by_day};{_clock_parts(times)}"
    return Compiled(kind=TriggerKind.RRULE, expression=expression, notes=(note, *_notes(said, unit)))


def _notes(said: Said, unit: str) -> tuple[str, ...]:
    return _day_fields(said)[2] if unit == "month" else ()


def _by_place(said: Said) -> str:
    nouns = {place.noun for place in said.places}
    if nouns == {"day"}:
        _month_days(said.places)
        return f";BYMONTHDAY={','.join(str(place.nth) for place in said.places)}"
    if nouns & {"day", "weekday"}:
        raise Refused("a step of several months goes with days such as the 1st, the last day or the first monday")
    return ";BYDAY=" + ",".join(
        f"{place.nth if place.nth == LAST else _in_five(place)}{_CODES[int(place.noun)]}" for place in said.places
    )


def _first(said: Said, unit: str, weekdays: frozenset[int], times: list[time], *, wall: datetime) -> datetime:
    """Return the first wall later than `wall` on a day that is meant."""
    for ahead in range(_DAYS_LOOKED_AT):
        day = wall.date() + ahead * _DAY
        is_meant = any(_is_place(day, place) for place in said.places) if unit == "month" else day.weekday() in weekdays
        for at in times:
            if is_meant and datetime.combine(day, at) > wall:
                return datetime.combine(day, at)
    raise Refused("the first day of this rule is too far")


def _is_place(day: date, place: Place) -> bool:
    if place.noun == "day":
        return (day.day == place.nth) if place.nth != LAST else (day + _DAY).day == 1
    if day.weekday() != int(place.noun):
        return False
    return (day.day - 1) // 7 + 1 == place.nth if place.nth != LAST else (day + 7 * _DAY).month != day.month


__all__ = ["UNIT_S", "WORKDAYS", "Compiled", "compile_rule", "month_field", "weekday_field", "weekdays_of"]
