"""Rules that cron cannot say, as RFC 5545: uneven times of day, and every nth day, week or month."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from itertools import product
from typing import Final

from promptyoself.domain.plain.cron_said import clock_fields, day_fields, in_five, month_days, month_field, weekdays_of
from promptyoself.domain.plain.said import ALL_DAYS, LAST, Compiled, Place, Said
from promptyoself.domain.plain.suggestions import Refused
from promptyoself.domain.triggers import TriggerKind

CODES: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_DAY: Final = timedelta(days=1)
_DAYS_LOOKED_AT: Final = 800
"""Days in which a day of the month or of the week must come for the first time (29 February is refused)."""


def in_steps(said: Said, number: int, unit: str, times: list[time], *, wall: datetime) -> Compiled:
    """Return a rule for every nth day, week or month, with the day it counts from."""
    if said.left_out or (unit != "day" and clock_fields(times) is None):
        raise one_each(said) if not said.left_out else Refused("exceptions do not go with a step of several periods")
    if unit == "day":
        freq, by_day, is_day = "DAILY", "", ALL_DAYS
    elif unit == "week":
        is_day = weekdays_of(said)
        freq, by_day = "WEEKLY", f";BYDAY={','.join(CODES[day] for day in sorted(is_day))}"
    else:
        freq, by_day, is_day = "MONTHLY", _by_place(said), ALL_DAYS
    first = _first(said, unit, is_day, times, wall=wall)
    note = "it counts from the day in its DTSTART; --start-at with another day moves it"
    expression = f"DTSTART:{first:%Y%m%dT%H%M%S}\\nRRULE:FREQ={freq};INTERVAL={number}{by_day};{clock_parts(times)}"
    return Compiled(kind=TriggerKind.RRULE, expression=expression, notes=(note, *_notes(said, unit)))


def uneven(said: Said, times: list[time]) -> str:
    """Return a rule for times that cron's hours times minutes cannot say: day by day, by places in the day."""
    if said.places or said.date:
        raise one_each(said)
    days = weekdays_of(said)
    by_day = "" if days == ALL_DAYS else f";BYDAY={','.join(CODES[day] for day in sorted(days))}"
    return f"FREQ=DAILY{by_month(said)}{by_day};{clock_parts(times)}"


def clock_parts(times: list[time]) -> str:
    """Return the times of day as BYHOUR, BYMINUTE and BYSECOND, with BYSETPOS where their grid holds more."""
    values = {name: sorted({getattr(at, name) for at in times}) for name in ("hour", "minute", "second")}
    parts = [f"BY{name.upper()}={','.join(map(str, numbers))}" for name, numbers in values.items()]
    grid = [time(*at) for at in product(*values.values())]
    if len(grid) > len(times):
        # Of the hours times the minutes only those that were said: by their places in the day.
        parts.append("BYSETPOS=" + ",".join(str(grid.index(at) + 1) for at in times))
    return ";".join(parts)


def by_month(said: Said) -> str:
    """Return the months as a part of a rule, nothing when none was said."""
    return f";BYMONTH={month_field(said)}" if said.months else ""


def one_each(said: Said) -> Refused:
    """Return the refusal of times that need a rule each."""
    first = said.phrase.text[: said.spoken[0].token.begin]
    return Refused(
        "one rule cannot hold these times on such days; make a rule of each",
        [f"{first} {spoken.token.text}" for spoken in said.spoken],
    )


def _notes(said: Said, unit: str) -> tuple[str, ...]:
    return day_fields(said)[2] if unit == "month" else ()


def _by_place(said: Said) -> str:
    nouns = {place.noun for place in said.places}
    if nouns == {"day"}:
        month_days(said.places)
        return f";BYMONTHDAY={','.join(str(place.nth) for place in said.places)}"
    if nouns & {"day", "weekday"}:
        raise Refused("a step of several months goes with days such as the 1st, the last day or the first monday")
    return ";BYDAY=" + ",".join(
        f"{place.nth if place.nth == LAST else in_five(place)}{CODES[int(place.noun)]}" for place in said.places
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
