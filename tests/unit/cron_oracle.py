"""When any cron expression fires, worked out by looking at every minute of some days; nothing of the code under test.

wall_oracle's watch on the clock is kept, but asked once for each stretch of days and not once for each expression:
which walls become due at which minute is the same for all fixed times, and for all that follow the clock. Expressions
are bitmaps of minutes then, so that many thousand cases take a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache, cached_property, lru_cache
from itertools import accumulate

from tests.unit.wall_oracle import CORRECTION, MINUTE, minutes_around, number, numbers

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
DAY_BYTES = 24 * 60 // 8


# -- expressions --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expression:
    """One expression, split by hand; six fields begin with seconds, and `?` is `*`."""

    text: str

    @cached_property
    def fields(self) -> list[str]:
        parts = self.text.lower().replace("?", "*").split()
        return parts if len(parts) == 6 else ["0", *parts]

    @cached_property
    def seconds(self) -> list[int]:
        return sorted(numbers(self.fields[0], 0, 59))

    @cached_property
    def follows_clock(self) -> bool:
        return self.fields[1][0] == "*" or self.fields[2][0] == "*"

    @cached_property
    def minute_map(self) -> bytes:
        """A bit for each minute of a day."""
        hours, minutes = numbers(self.fields[2], 0, 23), numbers(self.fields[1], 0, 59)
        return sum(1 << (hour * 60 + minute) for hour in hours for minute in minutes).to_bytes(DAY_BYTES, "little")

    @cached_property
    def days(self) -> dict[date, bool]:
        return {}

    def has(self, day: date) -> bool:
        """Whether it fires on this date."""
        if day not in self.days:
            self.days[day] = self.months[day.month] and self._has(day)
        return self.days[day]

    @cached_property
    def months(self) -> list[bool]:
        found = numbers(self.fields[4], 1, 12, "month")
        return [month in found for month in range(13)]

    def _has(self, day: date) -> bool:
        by_day = any(is_day(term, day) for term in self.fields[3].split(","))
        by_weekday = any(is_weekday(term, day) for term in self.fields[5].split(","))
        if self.fields[3][0] == "*" or self.fields[5][0] == "*":
            return by_day and by_weekday
        return by_day or by_weekday


@cache
def expression_of(text: str) -> Expression:
    """Return an expression; what is known of its days is shared by all who ask."""
    return Expression(text)


@lru_cache(maxsize=65_536)
def is_day(term: str, day: date) -> bool:
    """Whether a term of day-of-month names this date."""
    if term == "l":
        return (day + DAY).month != day.month
    if term.endswith("w"):
        aim = max(of_month(day)).day if term == "lw" else int(term[:-1])
        working = [other for other in of_month(day) if other.isoweekday() <= 5]
        # The nearest; of two that are as near there is never a choice, since a week-end has two days.
        return any(other.day == aim for other in of_month(day)) and day == min(
            working, key=lambda at: abs(at.day - aim)
        )
    return day.day in numbers_of(term, 1, 31, "")


@lru_cache(maxsize=65_536)
def is_weekday(term: str, day: date) -> bool:
    """Whether a term of day-of-week names this date."""
    if "#" in term:
        name, _, nth = term.partition("#")
        return number(name, "weekday") % 7 == day.isoweekday() % 7 and same_weekday(day).index(day) + 1 == int(nth)
    if term.endswith("l"):
        return number(term[:-1], "weekday") % 7 == day.isoweekday() % 7 and day == same_weekday(day)[-1]
    if term.endswith("-sun"):
        term = term.replace("-sun", "-7")
    return day.isoweekday() % 7 in numbers_of(term, 0, 7, "weekday")


@lru_cache(maxsize=4096)
def numbers_of(term: str, low: int, high: int, names: str) -> frozenset[int]:
    found = numbers(term, low, high, names)
    return found | {0} if names and 7 in found else found


def same_weekday(day: date) -> list[date]:
    return [other for other in of_month(day) if other.isoweekday() == day.isoweekday()]


def of_month(day: date) -> list[date]:
    return month_of(day.year, day.month)


@lru_cache(maxsize=4096)
def month_of(year: int, month: int) -> list[date]:
    first = date(year, month, 1)
    days = (first + DAY * count for count in range(31))
    return [day for day in days if day.month == month]


# -- stretches of days --------------------------------------------------------------------------------------


@dataclass
class Run:
    """Walls that follow each other, and the minute at which each becomes due, or all of them when they were skipped."""

    wall: int
    minute: int
    length: int
    is_made_up: bool


@dataclass(frozen=True)
class Stretch:
    """Every minute from four days before a day (UTC) to four days after, in one zone."""

    zone: str
    day: str

    @cached_property
    def minutes(self) -> tuple[tuple[datetime, datetime], ...]:
        return minutes_around(self.zone, self.day)

    @property
    def begin(self) -> datetime:
        return self.minutes[0][0]

    @property
    def end(self) -> datetime:
        """The last instant whose fires are known."""
        return self.minutes[-1][0] + MINUTE - MICROSECOND

    @cached_property
    def latest(self) -> list[datetime]:
        """The latest wall that was shown up to each minute."""
        return list(accumulate((wall for _, wall in self.minutes), max))

    @cached_property
    def first_day(self) -> date:
        return self.minutes[0][1].date() - DAY

    @cached_property
    def last_day(self) -> date:
        return self.minutes[-1][1].date() + DAY

    @cached_property
    def changes(self) -> list[datetime]:
        """The minutes at which the clock jumps."""
        pairs = zip(self.minutes, self.minutes[1:], strict=False)
        return [after[0] for before, after in pairs if after[1] - before[1] != MINUTE]

    @cached_property
    def runs(self) -> dict[bool, list[Run]]:
        """By whether an expression follows the clock: what becomes due, as a daemon that watches the clock sees it."""
        runs: dict[bool, list[Run]] = {False: [], True: []}
        midnight = datetime.combine(self.first_day, datetime.min.time())
        caught_up = previous = self.minutes[0][1] - MINUTE
        for place, (_, wall) in enumerate(self.minutes):
            jump = wall - previous - MINUTE
            if abs(jump) >= CORRECTION:
                caught_up = wall - MINUTE
            elif jump > timedelta(0):
                for count in range(1, jump // MINUTE + 1):
                    add(runs[False], (previous + MINUTE * count - midnight) // MINUTE, place, is_made_up=True)
            previous = wall
            add(runs[True], (wall - midnight) // MINUTE, place, is_made_up=False)
            if wall > caught_up:
                add(runs[False], (wall - midnight) // MINUTE, place, is_made_up=False)
                caught_up = wall
        return runs

    def fires(self, expression: Expression) -> Fires:
        """Return when `expression` fires in this stretch."""
        nothing = bytes(DAY_BYTES)
        count = (self.last_day - self.first_day).days + 1
        days = (self.first_day + DAY * place for place in range(count))
        walls = int.from_bytes(
            b"".join(expression.minute_map if expression.has(day) else nothing for day in days), "little"
        )
        return self.due(walls, expression.seconds, follows_clock=expression.follows_clock)

    def due(self, walls: int, seconds: list[int], *, follows_clock: bool) -> Fires:
        """Return when walls, a bit for each minute from the first day on, become due in this stretch."""
        plain = made_up = 0
        for run in self.runs[follows_clock]:
            due = (walls >> run.wall) & ((1 << run.length) - 1)
            if run.is_made_up:
                made_up |= bool(due) << run.minute
            else:
                plain |= due << run.minute
        return Fires(self.begin, plain, made_up, seconds)


@cache
def stretch_of(zone: str, day: str) -> Stretch:
    """Return a stretch; its minutes are walked once, however many tests ask."""
    return Stretch(zone, day)


def add(runs: list[Run], wall: int, minute: int, *, is_made_up: bool) -> None:
    """Add one wall to the last run, or begin another."""
    if runs:
        last = runs[-1]
        is_next_minute = last.minute + (0 if is_made_up else last.length) == minute
        if last.is_made_up == is_made_up and last.wall + last.length == wall and is_next_minute:
            last.length += 1
            return
    runs.append(Run(wall, minute, 1, is_made_up))


@dataclass(frozen=True)
class Fires:
    """The fires of one expression in one stretch: bits by minute, and the seconds of each."""

    begin: datetime
    plain: int
    made_up: int
    seconds: list[int]

    def after(self, after: datetime, count: int) -> list[datetime]:
        """Return the first `count` fires later than `after`."""
        found: list[datetime] = []
        place = max(0, (after - self.begin) // MINUTE)
        due = (self.plain | self.made_up) >> place << place
        while due and len(found) < count:
            found += [at for at in self._of(due) if at > after]
            due &= due - 1
        return found[:count]

    def before(self, until: datetime) -> datetime | None:
        """Return the last fire that is not later than `until`."""
        due = (self.plain | self.made_up) & ((1 << ((until - self.begin) // MINUTE + 1)) - 1)
        while due:
            last = 1 << (due.bit_length() - 1)
            if found := [at for at in self._of(last) if at <= until]:
                return found[-1]
            due ^= last
        return None

    def _of(self, due: int) -> list[datetime]:
        """Return the fires of the first minute of `due`."""
        place = (due & -due).bit_length() - 1
        seconds = set(self.seconds) if self.plain >> place & 1 else set()
        if self.made_up >> place & 1:
            seconds.add(0)
        return [self.begin + MINUTE * place + timedelta(seconds=second) for second in sorted(seconds)]
