"""Days and times that were said as the fields of cron."""

from __future__ import annotations

from datetime import time
from itertools import groupby
from typing import Final

from promptyoself.domain.plain.said import ALL_DAYS, LAST, Place, Said
from promptyoself.domain.plain.suggestions import Refused
from promptyoself.domain.plain.tokens import ordinal
from promptyoself.domain.plain.vocabulary import WEEKDAY_NAMES

_NAMES: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_RUN_MIN: Final = 3
_LONG_DAY: Final = 28
MONTH_DAYS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


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


def clock_fields(times: list[time]) -> str | None:
    """Return cron's minute and hour, with seconds before them when there are any; None when they need two rules."""
    seconds, minutes, hours = (sorted({getattr(at, name) for at in times}) for name in ("second", "minute", "hour"))
    if len(times) != len(seconds) * len(minutes) * len(hours):
        return None
    listed = [minutes, hours] if seconds == [0] else [seconds, minutes, hours]
    return " ".join(",".join(map(str, values)) for values in listed)


def day_fields(said: Said) -> tuple[str, str, tuple[str, ...]]:
    """Return cron's day-of-month (`first` for the first weekday, which it cannot say), day-of-week, and notes."""
    if said.date:
        month, day = said.date
        most = MONTH_DAYS[month - 1]
        if not 1 <= day <= most:
            raise Refused(f"that month has no day {day}: its days go from 1 to {most}")
        is_leap = (month, day) == (2, 29)
        return str(day), "*", ("29 february comes in leap years only",) if is_leap else ()
    if not said.places:
        return "*", weekday_field(weekdays_of(said)), ()
    nouns = {place.noun for place in said.places}
    if nouns == {"day"}:
        return month_days(said.places), "*", _rare_days(said.places, said)
    if nouns == {"weekday"}:
        return _work_place(said.places), "*", ()
    if nouns & {"day", "weekday"}:
        raise Refused("days of the month and days of the week do not go together; make a rule of each")
    terms = [f"{_NAMES[int(one.noun)]}{'L' if one.nth == LAST else f'#{in_five(one)}'}" for one in said.places]
    rare = any(one.nth > 4 for one in said.places)  # noqa: PLR2004  every month has four of each
    return "*", ",".join(terms), ("a fifth one does not come in every month",) if rare else ()


def in_five(place: Place) -> int:
    """Return which weekday of the month is meant, 1 to 5. Raises Refused for another."""
    if place.nth in range(1, 6):
        return place.nth
    raise Refused(f"no month has a {ordinal(place.nth)} {WEEKDAY_NAMES[int(place.noun)]}: they go from first to fifth")


def month_days(places: tuple[Place, ...]) -> str:
    """Return days as cron's day-of-month: `1,15,L`. Raises Refused for one that no month has."""
    for place in places:
        if place.nth > max(MONTH_DAYS) or place.nth == 0:
            raise Refused(f"no month has a {ordinal(place.nth)}: days go from 1st to 31st")
    days = sorted({place.nth for place in places if place.nth != LAST})
    return ",".join([*map(str, days), *(["L"] if any(place.nth == LAST for place in places) else [])])


def _rare_days(places: tuple[Place, ...], said: Said) -> tuple[str, ...]:
    most = min((MONTH_DAYS[month - 1] for month in said.months), default=_LONG_DAY)
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


def _runs(days: list[int]) -> list[str]:
    found: list[str] = []
    for _, group in groupby(enumerate(days), key=lambda pair: pair[1] - pair[0]):
        run = [_NAMES[day] for _, day in group]
        found += [f"{run[0]}-{run[-1]}"] if len(run) >= _RUN_MIN else run
    return found
