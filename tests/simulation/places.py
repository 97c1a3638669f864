"""Where a world lives, and what its wall clocks show: cron and quiet hours by hand, on a table of minutes.

Nothing here asks promptyoself. The table lists each minute around a world with the wall that zoneinfo shows for it; a
fixed time, a skipped hour, the two passes of a repeated one and the ends of a night are read off it, line by line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tests.simulation.clocks import BASE

MINUTE = timedelta(minutes=1)
_BEFORE = timedelta(hours=27)
"""A night that a world begins in may have begun so long ago."""
_BEHIND = timedelta(hours=4)
_DAY_MINUTES = 24 * 60
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Line(NamedTuple):
    """One minute: its instant, the wall it begins with, and which pass of a repeated hour that is (0 or 1)."""

    at: datetime
    wall: datetime
    fold: int


@dataclass(frozen=True, slots=True)
class Place:
    """A zone, and the instant that worlds there are about: a clock change, a midnight, or nothing at all."""

    timezone: str
    about: datetime
    is_change: bool = False

    def table(self) -> tuple[Line, ...]:
        """Return each minute around `about`, in order."""
        return _table(self.timezone, self.about)

    def wall(self, at: datetime) -> datetime:
        """Return what a clock on the wall shows, naive."""
        return at.astimezone(ZoneInfo(self.timezone)).replace(tzinfo=None)

    def instants(self, wall: datetime) -> list[datetime]:
        """Return when the clock shows this naive wall: never, once or twice."""
        here = ZoneInfo(self.timezone)
        found = {wall.replace(tzinfo=here, fold=fold).astimezone(UTC) for fold in (0, 1)}
        return sorted(at for at in found if self.wall(at) == wall)

    def skipped(self) -> list[datetime]:
        """Return the walls, minute by minute, that the clock jumps over here."""
        return [wall for before, line in _pairs(self.table()) for wall in _between(before, line)]


def _at(year: int, month: int, day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


PLAIN = Place("UTC", BASE)
PLACES = (
    Place("Europe/Riga", _at(2026, 3, 29, 1), is_change=True),  # 03:00 is 04:00
    Place("Europe/Riga", _at(2026, 10, 25, 1), is_change=True),  # 04:00 is 03:00 again
    Place("Australia/Lord_Howe", _at(2026, 10, 3, 15, 30), is_change=True),  # 02:00 is 02:30
    Place("Australia/Lord_Howe", _at(2026, 4, 4, 15), is_change=True),  # 02:00 is 01:30 again
    Place("Africa/Cairo", _at(2026, 4, 23, 22), is_change=True),  # a Friday that begins at 01:00
    Place("Africa/Cairo", _at(2026, 10, 29, 21), is_change=True),  # a Thursday with two last hours
    Place("America/St_Johns", _at(2026, 11, 1, 4, 30), is_change=True),  # an offset of half an hour; 02:00 is 01:00
    Place("Asia/Tokyo", _at(2026, 3, 2, 15)),  # midnight
    Place("Pacific/Kiritimati", _at(2026, 5, 8, 10)),  # midnight, a day ahead of UTC
)


@lru_cache(maxsize=32)
def _table(timezone: str, about: datetime) -> tuple[Line, ...]:
    here, lines = ZoneInfo(timezone), []
    for number in range((_BEFORE + _BEHIND) // MINUTE):
        at = about - _BEFORE + number * MINUTE
        wall = at.astimezone(here)
        lines.append(Line(at, wall.replace(tzinfo=None, fold=0), wall.fold))
    return tuple(lines)


def _pairs(table: tuple[Line, ...]) -> Iterator[tuple[Line, Line]]:
    return pairwise(table)


def _between(before: Line, line: Line) -> list[datetime]:
    """Return the walls that a jump forward skips between two lines."""
    return [before.wall + number * MINUTE for number in range(1, (line.wall - before.wall) // MINUTE)]


# -- cron ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Crontab:
    """A cron expression as sets of numbers; None where it has a star."""

    seconds: tuple[int, ...] = (0,)
    minutes: tuple[int, ...] | None
    hours: tuple[int, ...] | None
    weekdays: tuple[int, ...] | None = None
    """0 = Monday."""

    @property
    def text(self) -> str:
        """The same as a caller types it; six fields when seconds matter."""
        days = "*" if self.weekdays is None else ",".join(_WEEKDAYS[day] for day in self.weekdays)
        fields = [_field(self.minutes), _field(self.hours), "*", "*", days]
        return " ".join(fields if self.seconds == (0,) else [_field(self.seconds), *fields])

    def shows(self, wall: datetime) -> bool:
        """Say whether the minute of this wall is one of its own."""
        return (
            (self.minutes is None or wall.minute in self.minutes)
            and (self.hours is None or wall.hour in self.hours)
            and (self.weekdays is None or wall.weekday() in self.weekdays)
        )

    def fires(self, place: Place, *, since: datetime, until: datetime) -> tuple[datetime, ...]:
        """Return every fire time later than `since` up to and including `until`, read off the table.

        With a star in minute or hour it fires whenever the clock shows its time. Else it is a fixed time: once in a
        repeated hour, the first time, and for all of a skipped hour once, at the jump.
        """
        found: set[datetime] = set()
        is_fixed = self.minutes is not None and self.hours is not None
        table = place.table()
        first = max(1, (since - table[0].at) // MINUTE)
        last = (until - table[0].at) // MINUTE + 1
        for before, line in _pairs(table[first - 1 : last]):
            if is_fixed and any(self.shows(wall) for wall in _between(before, line)):
                found.add(line.at)
            if self.shows(line.wall) and not (is_fixed and line.fold):
                found.update(line.at + timedelta(seconds=second) for second in self.seconds)
        return tuple(sorted(at for at in found if since < at <= until))


def _field(numbers: tuple[int, ...] | None) -> str:
    return "*" if numbers is None else ",".join(str(number) for number in numbers)


# -- quiet hours --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """Quiet hours in one place: `begin` and `end` in minutes since midnight, the days on which they begin."""

    place: Place
    begin: int
    end: int
    days: frozenset[int] | None
    is_skip: bool

    @property
    def text(self) -> str:
        """The same as a caller types it."""
        words = [f"{_clock(self.begin)}-{_clock(self.end)}"]
        if self.days is not None:
            words.append(",".join(_WEEKDAYS[day] for day in sorted(self.days)))
        return " ".join([*words, "skip"] if self.is_skip else words)

    def ends_at(self, at: datetime) -> datetime | None:
        """Return when the quiet hours that `at` lies in end; None outside of them."""
        ends = [end_at for begin_at, end_at in _windows(self) if begin_at <= at < end_at]
        return max(ends, default=None)

    def touches(self, from_at: datetime, to_at: datetime) -> list[datetime]:
        """Return the ends of the quiet hours that have an instant of this stretch (its end included)."""
        return [end_at for begin_at, end_at in _windows(self) if begin_at <= to_at and from_at < end_at]


@lru_cache(maxsize=4096)
def _windows(night: Night) -> list[tuple[datetime, datetime]]:
    """Return the stretches around a world that are quiet, day by day.

    From the first minute that the clock shows within the hours, to the last at which it shows their end; an end that
    the clock never shows is the minute after the last within.
    """
    table = night.place.table()
    found: list[tuple[datetime, datetime]] = []
    first, last = table[0].wall.date() - timedelta(days=1), table[-1].wall.date()
    for number in range((last - first).days + 1):
        day = datetime.combine(first + timedelta(days=number), datetime.min.time())
        if night.days is not None and day.weekday() not in night.days:
            continue
        length = (night.end - night.begin) % _DAY_MINUTES
        begin = day + night.begin * MINUTE
        end = begin + length * MINUTE
        within = [line.at for line in table if begin <= line.wall < end]
        ends = [line.at for line in table if line.wall == end]
        if within:
            found.append((within[0], max([within[-1] + MINUTE, *ends])))
    return found


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
