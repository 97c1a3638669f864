"""Cron expressions on the wall clock: which days match, at which times, and from any moment on.

Grammar: crontab(5) of Debian, with seconds as a first of six fields, `L`, `LW`, `15W`, `5L`, `5#2`, `?`, and `5/15` for
`5-59/15`. cron_text reads it; docs/time.md says the same for users.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from promptyoself.domain import limits
from promptyoself.domain.cron_fields import DAY, FIELDS, HOUR, MINUTE, MONTH, SECOND, WEEKDAY, Field, values
from promptyoself.domain.errors import TriggerNeverFires
from promptyoself.domain.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "DAY",
    "FIELDS",
    "HOUR",
    "MINUTE",
    "MONTH",
    "SECOND",
    "WEEKDAY",
    "Cron",
    "Field",
    "parse_cron",
    "values",
]

_SECOND_US: Final = 1_000_000
_WEEK: Final = 7
_SATURDAY: Final = 5
_SUNDAY: Final = 6
_YEAR_LAST: Final = limits.RECURRENCE_END.year + 1
_LENGTHS: Final = {2: (28, 29), 4: (30,), 6: (30,), 9: (30,), 11: (30,)}
"""Days that a month can have, where that is not 31."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression that was read: its six fields as numbers (the first "0" when five were given, `?` as `*`)."""

    fields: tuple[str, str, str, str, str, str]

    @property
    def follows_clock(self) -> bool:
        """Whether minute or hour starts with `*`: then it follows the wall clock through every pass (cron(8))."""
        return self.fields[1].startswith("*") or self.fields[2].startswith("*")

    @property
    def takes_either_day(self) -> bool:
        """Whether day-of-month OR day-of-week is enough: neither starts with `*` (crontab(5))."""
        return not (self.fields[3].startswith("*") or self.fields[5].startswith("*"))

    def walls(self, after: datetime) -> Iterator[datetime]:
        """Yield the naive walls that match, ascending, strictly later than `after`, up to limits.RECURRENCE_END."""
        return _calendar(self.fields).walls(after)

    def month_days(self, first_weekday: int, length: int) -> tuple[int, ...]:
        """Return the days that match in a month of `length` days which begins on `first_weekday` (0 = Monday)."""
        return _calendar(self.fields).days(first_weekday, length)


@lru_cache(maxsize=4096)
def parse_cron(expression: str) -> Cron:
    """Return `expression` read and checked.

    Raises InvalidTrigger, whose message holds the word cron, the field, the value and the range allowed, or
    TriggerNeverFires when no month has the day asked for.
    """
    from promptyoself.domain.cron_text import read  # schedules of other kinds need none of its sentences

    cron = Cron(read(expression))
    _check_fires(cron, expression)
    return cron


def _check_fires(cron: Cron, expression: str) -> None:
    """Refuse an expression whose days no month has; every kind of month that the calendar knows is looked at."""
    months = values(cron.fields[4], MONTH)
    lengths = sorted({length for month in months for length in _LENGTHS.get(month, (31,))}, reverse=True)
    if any(cron.month_days(weekday, length) for length in lengths for weekday in range(_WEEK)):
        return
    _, _, _, day, month, weekday = cron.fields
    what = f"no day-of-month {day} of month {month} is a day-of-week {weekday}"
    if weekday == "*":
        what = f"there is no day-of-month {day} in month {month}"
    raise TriggerNeverFires(
        f"cron expression {expression.strip()[: limits.NAME_CHARS_MAX]!r} never fires: {what}",
        hint="take a day that the month has, or L for its last",
    )


# -- the walk -----------------------------------------------------------------------------------------------


class _Calendar:
    """What an expression says as numbers, worked out once: months, days by kind of month, and times of day.

    A month's days hang on the weekday it begins with and on its length alone, so there are 28 kinds of month at most.
    """

    __slots__ = ("_days", "_fields", "_hours", "_is_either", "_months", "_since_midnight", "_within")

    def __init__(self, fields: tuple[str, ...]) -> None:
        self._fields = fields
        self._months = frozenset(values(fields[4], MONTH))
        self._hours = tuple(values(fields[2], HOUR))
        self._since_midnight = tuple(timedelta(hours=hour) for hour in self._hours)
        seconds = values(fields[0], SECOND)
        self._within = tuple(
            timedelta(minutes=minute, seconds=second) for minute in values(fields[1], MINUTE) for second in seconds
        )
        self._is_either = not (fields[3].startswith("*") or fields[5].startswith("*"))
        self._days: dict[tuple[int, int], tuple[int, ...]] = {}

    def walls(self, after: datetime) -> Iterator[datetime]:
        start = after + timedelta(microseconds=_SECOND_US - after.microsecond)
        today = datetime(start.year, start.month, start.day)  # noqa: DTZ001 - a wall
        hours = self._since_midnight
        within = self._within
        for midnight in self._midnights(today):
            left = hours
            if midnight == today:  # only the times that are still to come
                place = bisect_left(self._hours, start.hour)
                if place < len(hours) and self._hours[place] == start.hour:
                    hour = midnight + hours[place]
                    place += 1
                    for part in within[bisect_left(within, start - hour) :]:
                        yield hour + part
                left = hours[place:]
            for each in left:
                hour = midnight + each
                for part in within:
                    yield hour + part

    def _midnights(self, first: datetime) -> Iterator[datetime]:
        """Yield the midnights of the days that match, ascending, from the day of `first` on."""
        year, month, from_day = first.year, first.month, first.day
        while year <= _YEAR_LAST:
            if month in self._months:
                for day in self.days(*monthrange(year, month)):
                    if day >= from_day:
                        yield datetime(year, month, day)  # noqa: DTZ001 - a wall
            from_day = 1
            year, month = (year, month + 1) if month < MONTH.high else (year + 1, 1)

    def days(self, first_weekday: int, length: int) -> tuple[int, ...]:
        """Return the days that match in a month which begins on `first_weekday` (0 = Monday) and has `length` days."""
        kind = first_weekday, length
        if (found := self._days.get(kind)) is None:
            by_day = _month_days(self._fields[3], first_weekday, length)
            by_weekday = _week_days(self._fields[5], first_weekday, length)
            found = tuple(sorted(by_day | by_weekday if self._is_either else by_day & by_weekday))
            self._days[kind] = found
        return found


@lru_cache(maxsize=4096)
def _calendar(fields: tuple[str, ...]) -> _Calendar:
    return _Calendar(fields)


def _month_days(field: str, first_weekday: int, length: int) -> set[int]:
    """Return the days that the day-of-month field names in such a month."""
    found = {day for day in values(field, DAY) if day <= length}
    for term in field.split(","):
        if term == "L":
            found.add(length)
        elif term == "LW":
            found.add(_nearest_weekday(length, first_weekday, length))
        elif term.endswith("W") and int(term[:-1]) <= length:
            found.add(_nearest_weekday(int(term[:-1]), first_weekday, length))
    return found


def _nearest_weekday(day: int, first_weekday: int, length: int) -> int:
    """Return the Monday to Friday nearest to `day` in its month, as Quartz has it: 1W on a Saturday is the 3rd."""
    weekday = (first_weekday + day - 1) % _WEEK
    if weekday == _SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == _SUNDAY:
        return day + 1 if day < length else day - 2
    return day


def _week_days(field: str, first_weekday: int, length: int) -> set[int]:
    """Return the days that the day-of-week field (0 and 7 = Sunday) names in such a month."""

    def all_of(weekday: int) -> range:
        return range((weekday - 1 - first_weekday) % _WEEK + 1, length + 1, _WEEK)

    found = {day for weekday in values(field, WEEKDAY) for day in all_of(weekday)}
    for term in field.split(","):
        weekday, is_nth, nth = term.partition("#")
        if is_nth:
            found.update(all_of(int(weekday))[int(nth) - 1 : int(nth)])
        elif term.endswith("L"):
            found.add(all_of(int(term[:-1]))[-1])
    return found
