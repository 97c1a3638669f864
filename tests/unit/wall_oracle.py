"""What cron should do, worked out apart from the code under test: every UTC minute of a week is looked at.

It keeps a watch on the wall clock like Debian's daemon (cron(8)): a jump forward of less than three hours makes up
fixed times, after a jump back of less than three hours fixed times wait until the clock has caught up, and larger
jumps change nothing but the clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
CORRECTION = timedelta(hours=3)
NAMES = {
    "month": ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    "weekday": ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}

# Zone, and the day (UTC) of a clock change: the oracle looks at four days on either side.
CHANGES = [
    ("Europe/Riga", "2027-03-28"),
    ("Europe/Riga", "2027-10-31"),
    ("America/New_York", "2027-03-14"),
    ("America/New_York", "2027-11-07"),
    ("Australia/Lord_Howe", "2026-10-03"),  # half an hour
    ("Australia/Lord_Howe", "2027-04-03"),
    ("Africa/Casablanca", "2026-02-15"),  # daylight saving time is suspended for Ramadan
    ("Africa/Casablanca", "2026-03-22"),
    ("Pacific/Apia", "2011-12-30"),  # a whole day is skipped
    ("Pacific/Apia", "2012-03-31"),
    ("America/Sao_Paulo", "2018-11-04"),  # midnight does not exist
    ("America/Sao_Paulo", "2018-02-18"),
    ("Asia/Kathmandu", "2027-03-28"),  # +05:45, no changes
    ("Asia/Tehran", "2021-03-21"),
    ("Asia/Tehran", "2021-09-21"),
    ("Asia/Tehran", "2022-03-21"),
    ("Europe/Dublin", "2027-03-28"),  # negative daylight saving time in the database
    ("Europe/Dublin", "2027-10-31"),
    ("America/St_Johns", "2027-03-14"),
    ("America/St_Johns", "2006-10-29"),  # at one minute past midnight
    ("Antarctica/Troll", "2027-03-28"),  # two hours
    ("Antarctica/Troll", "2027-10-31"),
    ("Antarctica/Casey", "2019-10-03"),  # three hours: a correction
    ("Antarctica/Casey", "2018-03-10"),
    ("America/Havana", "2027-03-14"),
    ("Africa/Cairo", "2027-10-28"),
]


@dataclass(frozen=True)
class Fields:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    is_star: bool
    is_either: bool

    def match(self, wall: datetime) -> bool:
        return wall.minute in self.minutes and wall.hour in self.hours and self.match_day(wall)

    def match_day(self, wall: datetime) -> bool:
        day, weekday = wall.day in self.days, wall.isoweekday() % 7 in self.weekdays
        return wall.month in self.months and (day or weekday if self.is_either else day and weekday)


def read(expression: str) -> Fields:
    minute, hour, day, month, weekday = expression.lower().split()
    return Fields(
        numbers(minute, 0, 59),
        numbers(hour, 0, 23),
        numbers(day, 1, 31),
        numbers(month, 1, 12, "month"),
        frozenset(number % 7 for number in numbers(weekday, 0, 7, "weekday")),
        is_star=minute[0] == "*" or hour[0] == "*",
        is_either=day[0] != "*" and weekday[0] != "*",
    )


def numbers(field: str, low: int, high: int, names: str = "") -> frozenset[int]:
    found: set[int] = set()
    for term in field.split(","):
        body, _, step = term.partition("/")
        if body == "*":
            begin, end = low, high
        else:
            first, _, last = body.partition("-")
            begin = number(first, names)
            end = number(last, names) if last else (high if step else begin)
        found |= set(range(begin, end + 1, int(step or 1)))
    return frozenset(found)


def number(text: str, names: str) -> int:
    return int(text) if text.isdigit() else NAMES[names].index(text) + (names == "month")


@lru_cache(maxsize=64)
def minutes_around(zone: str, day: str, days: int = 4) -> tuple[tuple[datetime, datetime], ...]:
    """Every UTC minute from `days` before to `days` after, with the wall in the zone."""
    middle, here = datetime.fromisoformat(f"{day}T12:00:00+00:00"), ZoneInfo(zone)
    begin = middle - timedelta(days=days)
    instants = (begin + MINUTE * count for count in range(days * 2 * 24 * 60))
    return tuple((instant, instant.astimezone(here).replace(tzinfo=None)) for instant in instants)


def fires(expression: str, minutes: tuple[tuple[datetime, datetime], ...]) -> list[datetime]:
    """The minutes at which a daemon that watches the clock would start this job."""
    fields = read(expression)
    found = []
    caught_up = previous = minutes[0][1] - MINUTE
    for instant, wall in minutes:
        jump = wall - previous - MINUTE
        missed: list[datetime] = []
        if abs(jump) >= CORRECTION:
            caught_up = wall - MINUTE
        elif jump > timedelta(0):
            missed = [previous + MINUTE * count for count in range(1, jump // MINUTE + 1)]
        previous = wall
        is_due = fields.match(wall)
        if not fields.is_star:
            is_due = (is_due and wall > caught_up) or any(fields.match(skipped) for skipped in missed)
        caught_up = max(caught_up, wall)
        if is_due:
            found.append(instant)
    return found


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
