"""Pieces of sentences about time: lists in words, names of days and months, a moment as a clock shows it."""

from __future__ import annotations

from calendar import monthrange
from typing import TYPE_CHECKING, Final

from promptyoself.domain.localtime import zone

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

MONTHS: Final = (
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
WEEKDAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
TIMES_NAMED_MAX: Final = 6
"""Times of day written out one by one; more become minutes past hours."""
_ORDINALS: Final = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", -1: "last"}
_LEAP_YEAR: Final = 2028
_FEBRUARY: Final = 2
_TEENS: Final = range(11, 14)


def moment(instant: datetime, timezone: str) -> str:
    """Return an instant as the clock in `timezone` shows it: `Mon 2027-03-29 09:00`."""
    wall = instant.astimezone(zone(timezone))
    seconds = f":{wall:%S}" if wall.second else ""
    return f"{wall:%a %Y-%m-%d %H:%M}{seconds}"


def join(parts: Iterable[str], last: str = " and ") -> str:
    """Return the parts as a list in words: `a, b and c`."""
    listed = list(parts)
    return last.join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)


def runs(values: Sequence[int], names: tuple[str, ...] = ()) -> Iterator[str]:
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


def counted(unit: str, values: Sequence[int], last: str = " and ") -> str:
    """Return `minute 5` or `minutes 0, 10 to 15 and 30`."""
    return f"{unit}{'s' if len(values) > 1 else ''} {join(runs(values), last)}"


def clock_times(hours: Sequence[int], minutes: Sequence[int], tail: str) -> Iterator[str]:
    """Yield `at 09:00 and 12:00`, or `every hour from 09:00 to 17:00` for more hours than are written out.

    `tail` is what stands behind the minutes. For many hours `minutes` holds one.
    """
    if len(hours) <= TIMES_NAMED_MAX:
        yield "at " + join(f"{hour:02}:{minute:02}{tail}" for hour in hours for minute in minutes)
        return
    at = f"{minutes[0]:02}{tail}"
    alone: list[str] = []
    for run in runs(hours):
        first, is_run, last = run.partition(" to ")
        if is_run:
            yield f"every hour from {int(first):02}:{at} to {int(last):02}:{at}"
        else:
            alone.append(f"{int(first):02}:{at}")
    if alone:
        yield "at " + join(alone)


def missing_day(number: int, months: Sequence[int]) -> str:
    """Return which of the months do not have this day, or nothing when all of them do."""
    lacking = [MONTHS[month] for month in months if number > monthrange(_LEAP_YEAR, month)[1]]
    if lacking:
        return f"there is no day {number} in {join(lacking)}"
    is_leap_day = number == monthrange(_LEAP_YEAR, _FEBRUARY)[1] and _FEBRUARY in months
    return f"February has a day {number} only in leap years" if is_leap_day else ""


def week_runs(weekdays: Iterable[int]) -> list[str]:
    """Return weekdays (0 or 7 = Sunday) in words, the week beginning on Monday: `Monday to Wednesday`, `Sunday`."""
    return list(runs(sorted({weekday % 7 or 7 for weekday in weekdays}), WEEKDAYS))


def place(number: int) -> str:
    """Return `first`, `21st`, `last`, or `second to last` for a place counted from the end (negative)."""
    if number in _ORDINALS:
        return _ORDINALS[number]
    if number < 0:
        return f"{place(-number)} to last"
    return f"{number}{ending(number)}"


def ending(number: int) -> str:
    """Return what makes a positive number an ordinal: `st`, `nd`, `rd` or `th`."""
    return "th" if number % 100 in _TEENS else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
