"""Zones, instants and wall clocks: the one place that knows what a daylight saving change does.

A *wall* is a naive `datetime`, what a clock on the wall shows; an *instant* is aware UTC. A rule (cron, rrule)
yields walls; `instants_of` maps them to instants by the rules of Debian's cron (cron(8), "Notes"): fixed times that
a short jump skips are made up at the first instant after it, fixed times that come twice fire once, and jumps of three
hours and more are corrections of the clock, which nothing makes up.
"""

from __future__ import annotations

import re
from datetime import MAXYEAR, UTC, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Protocol
from zoneinfo import ZoneInfo

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidTimezone, InvalidTrigger
from promptyoself.domain.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

MICROSECOND: Final = timedelta(microseconds=1)
SECOND: Final = timedelta(seconds=1)
_NO_SHIFT: Final = timedelta(0)
_YEAR_MIN: Final = limits.INSTANT_MIN.year
_YEAR_MAX: Final = limits.INSTANT_MAX.year

_INSTANT: Final = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)[Tt ](\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?(?: ?([Zz]|[+-]\d\d(?::?\d\d)?))?",
    re.ASCII,
)
_DATE: Final = re.compile(r"\d{4}-?\d\d-?\d\d", re.ASCII)
_INSTANT_HINT: Final = "write it as 2027-03-28T09:00 (read in the schedule's zone) or 2027-03-28T09:00:00+02:00"


# -- zones --------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Return the zone of an IANA name such as `Europe/Riga`; raises InvalidTimezone, with a near match as its hint."""
    found = _found(name)
    if found is not None:
        return found
    shown = name[: limits.NAME_CHARS_MAX]
    raise InvalidTimezone(
        f"unknown timezone {shown!r}: an IANA name such as Europe/Riga or UTC is needed", hint=_near(shown)
    )


def is_timezone(name: str) -> bool:
    """Return whether `name` is an IANA zone of this machine, without the price of a hint."""
    return _found(name) is not None


def check_timezone(name: str) -> str:
    """Return `name` when it is an IANA zone of this machine; raises InvalidTimezone otherwise."""
    zone(name)
    return name


def _found(name: str) -> ZoneInfo | None:
    if not 0 < len(name) <= limits.NAME_CHARS_MAX or name.startswith(("right/", "posix/")):
        return None
    if name in {"localtime", "posixrules", "Factory"}:
        return None
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # absent, a path or not a zone file, a folder such as "Europe"
        return None


@lru_cache(maxsize=64)  # a file may name the same unknown zone ten thousand times, and an answer takes milliseconds
def _near(name: str) -> str:
    """Say which known zone comes closest: by name in any case, by its last part (`riga`), then by spelling."""
    from difflib import get_close_matches  # only a refusal pays for it
    from zoneinfo import available_timezones

    wanted = name.strip().lower().replace(" ", "_")
    known = {known.lower(): known for known in sorted(available_timezones())}
    by_city: dict[str, str] = {}
    for lowered, original in known.items():
        by_city.setdefault(lowered.rsplit("/", 1)[-1], original)
    if match := known.get(wanted) or by_city.get(wanted.rsplit("/", 1)[-1]):
        return f"did you mean {match}?"
    if close := get_close_matches(wanted, known, n=1) or get_close_matches(wanted, by_city, n=1):
        return f"did you mean {known.get(close[0]) or by_city[close[0]]}?"
    return "names look like Area/City; https://en.wikipedia.org/wiki/List_of_tz_database_time_zones lists them"


# -- instants -----------------------------------------------------------------------------------------------


def parse_instant(text: str, *, timezone: str) -> datetime:
    """Return the instant (aware UTC) that an ISO 8601 or RFC 3339 date and time names.

    Without an offset it is read in `timezone`: a wall time that a jump skips moves to the first instant after the
    jump, one that comes twice means its first pass. A date without a time is refused, for it would have to be
    guessed whether its start or its end is meant; so are years outside limits.INSTANT_MIN..INSTANT_MAX and seconds of
    60. Digits of a second beyond the sixth are dropped. Raises InvalidTrigger, which names the value, or
    InvalidTimezone.
    """
    wall, offset = read_instant(text)
    here = zone(timezone)
    if wall.date() > limits.INSTANT_MAX.date():  # west of Greenwich its instant may lie beyond what datetime holds
        raise _out_of_range(text)
    instant = resolve(wall, here) if offset is None else (wall - offset).replace(tzinfo=UTC)
    if not limits.INSTANT_MIN <= instant <= limits.INSTANT_MAX:
        raise _out_of_range(text)
    return instant


def is_day(text: str) -> bool:
    """Return whether a text is written as a date alone, `2027-03-28`."""
    return _DATE.fullmatch(text.strip()) is not None


def read_day(text: str, *, timezone: str) -> tuple[datetime, datetime]:
    """Return when the day of a date alone begins in `timezone`, and when the next one does; both aware UTC.

    Raises InvalidTrigger for a date that the calendar has not, InvalidTimezone for a zone.
    """
    begin, _ = read_instant(f"{text.strip()}T00:00")
    here = zone(timezone)
    begin_at = max(resolve(begin, here), limits.INSTANT_MIN)
    if begin.year == _YEAR_MAX and begin.month == 12 and begin.day == 31:  # noqa: PLR2004  no day lies behind it
        return begin_at, limits.INSTANT_MAX
    return begin_at, resolve(begin + timedelta(days=1), here)


def read_instant(text: str) -> tuple[datetime, timedelta | None]:
    """Return the wall time written in `text` and its offset from UTC, None when none is written.

    Raises InvalidTrigger, as parse_instant says.
    """
    shown = repr(text[: limits.NAME_CHARS_MAX])
    found = _INSTANT.fullmatch(text.strip())
    if found is None:
        if _DATE.fullmatch(text.strip()):
            raise InvalidTrigger(f"{shown} is a date without a time of day", hint=f"add the time: {text.strip()}T09:00")
        raise InvalidTrigger(f"{shown} is not a date and time", hint=_INSTANT_HINT)
    *numbers, fraction, offset = found.groups("0")
    year, month, day, hour, minute, second = map(int, numbers)
    try:
        wall = datetime(year, month, day, hour, minute, second, int(fraction[:6].ljust(6, "0")))  # noqa: DTZ001 - a wall
        shift = None if found[8] is None else _offset(offset)
    except ValueError as exc:
        raise InvalidTrigger(f"{shown} is not a date and time: {exc}", hint=_INSTANT_HINT) from exc
    if not _YEAR_MIN <= year <= _YEAR_MAX:
        raise _out_of_range(text)
    return wall, shift


def _out_of_range(text: str) -> InvalidTrigger:
    shown = repr(text[: limits.NAME_CHARS_MAX])
    return InvalidTrigger(f"{shown} is outside the years {_YEAR_MIN} to {_YEAR_MAX}", hint=_INSTANT_HINT)


def _offset(text: str) -> timedelta:
    if text in {"Z", "z"}:
        return _NO_SHIFT
    of_day = time(int(text[1:3]), int(text[3:].lstrip(":") or 0))
    return timedelta(hours=of_day.hour, minutes=of_day.minute) * (-1 if text[0] == "-" else 1)


def to_wall(instant: datetime, here: ZoneInfo) -> datetime:
    """Return what a clock in `here` shows at `instant` (aware), as a naive datetime."""
    return instant.astimezone(here).replace(tzinfo=None)


def resolve(wall: datetime, here: ZoneInfo, *, last_pass: bool = False) -> datetime:
    """Return the first instant (aware UTC) at which a clock in `here` shows `wall`, or with `last_pass` the last one.

    A wall that is skipped gives the first instant after the jump, however long the jump.
    """
    instant = wall.replace(tzinfo=here, fold=0).astimezone(UTC)
    if to_wall(instant, here) == wall:
        return wall.replace(tzinfo=here, fold=1).astimezone(UTC) if last_pass else instant
    # PEP 495: in a gap fold=0 counts with the offset from before it, which lands behind the jump.
    span = span_at(here, instant)
    while span.shift == _NO_SHIFT:
        span = span_at(here, span.begin_at - MICROSECOND)
    return span.begin_at


# -- spans: stretches of time with one offset ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of instants with one offset from UTC: `begin_at` inclusive, `end_at` exclusive.

    `shift` is by how much the clock jumped at `begin_at`: positive when walls were skipped, negative when they come
    again, zero where the stretch begins only because a year does.
    """

    begin_at: datetime
    end_at: datetime
    offset: timedelta
    shift: timedelta
    wall_begin: datetime
    """The first wall of the stretch."""
    wall_end: datetime
    """The wall at which the stretch is over; no longer part of it."""

    @property
    def wall_before(self) -> datetime:
        """What the clock would have shown at `begin_at`, had it not jumped."""
        return self.wall_begin - self.shift

    @property
    def is_short_jump(self) -> bool:
        """A change of daylight saving time, not a correction of the clock (cron(8): three hours and more)."""
        return _NO_SHIFT < abs(self.shift) < limits.CLOCK_CORRECTION_MIN


def span_at(here: ZoneInfo, instant: datetime) -> Span:
    """Return the stretch of constant offset that holds `instant` (aware UTC)."""
    spans = _spans(here, instant.year)
    for span in spans:
        if instant < span.end_at:
            return span
    return spans[-1]  # later than limits.INSTANT_MAX


@lru_cache(maxsize=4096)
def _spans(here: ZoneInfo, year: int) -> tuple[Span, ...]:
    """Return the spans of one UTC year, cut at its ends.

    The zone is probed every OFFSET_PROBE_EVERY: since 1970 no zone has changed its offset twice within that time.
    """
    begin = datetime(year, 1, 1, tzinfo=UTC)
    end = datetime(year + 1, 1, 1, tzinfo=UTC) if year < MAXYEAR else limits.INSTANT_MAX
    probes = [begin - SECOND]
    while probes[-1] + limits.OFFSET_PROBE_EVERY < end - SECOND:
        probes.append(probes[-1] + limits.OFFSET_PROBE_EVERY)
    probes.append(end - SECOND)
    cuts = [begin]
    offsets = [(at, offset_at(here, at)) for at in probes]
    cuts += [_change(here, low, high) for (low, before), (high, behind) in pairwise(offsets) if before != behind]
    if cuts[1:2] == [begin]:
        del cuts[0]
    return tuple(
        _span(low, high, offset_at(here, low), offset_at(here, low - SECOND)) for low, high in pairwise([*cuts, end])
    )


def _span(begin_at: datetime, end_at: datetime, offset: timedelta, offset_before: timedelta) -> Span:
    wall_begin, wall_end = (instant.replace(tzinfo=None) + offset for instant in (begin_at, end_at))
    return Span(begin_at, end_at, offset, offset - offset_before, wall_begin, wall_end)


def _change(here: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """Return the first whole second after `low`, and not after `high`, with the offset of `high`."""
    wanted = offset_at(here, high)
    while high - low > SECOND:
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if offset_at(here, middle) == wanted:
            high = middle
        else:
            low = middle
    return high


def offset_at(here: ZoneInfo, instant: datetime) -> timedelta:
    """Return the offset from UTC in `here` at `instant`, positive to the east."""
    return instant.astimezone(here).utcoffset() or _NO_SHIFT


# -- walls to instants --------------------------------------------------------------------------------------


class WallRule(Protocol):
    """A rule on the wall clock, without any knowledge of zones."""

    @property
    def follows_clock(self) -> bool:
        """Whether it fires at each of its walls whenever a clock shows them, in every pass (cron's `*`)."""

    def walls(self, after: datetime) -> Iterator[datetime]:
        """Yield its walls strictly later than the wall `after`, ascending; ends when none comes for decades."""


def instants_of(rule: WallRule, here: ZoneInfo, *, after: datetime) -> Iterator[datetime]:
    """Yield the fire times (aware UTC, ascending, distinct) of `rule` in `here` that are strictly later than `after`.

    Ends when the rule does, or at limits.RECURRENCE_END.
    """
    last = start = after
    while start < limits.RECURRENCE_END:
        span = span_at(here, start)
        begin_at, wall_begin, wall_end = span.begin_at, span.wall_begin, span.wall_end
        passed = upcoming = None
        for wall in _walls_in(rule, span, after=after):
            if wall >= wall_end:
                upcoming = wall
                break
            passed = wall
            # A skipped wall is before the stretch, and belongs to its first instant.
            instant = begin_at + (wall - wall_begin) if wall > wall_begin else begin_at
            if instant > last:
                last = instant
                yield instant
        start = span.end_at
        # The next stretch can show again what passed in the last hours of this one; when that is nothing, leap.
        is_quiet = passed is None or wall_end - passed >= limits.JUMP_MAX
        if is_quiet and start - max(begin_at, after) >= limits.JUMP_MAX:
            if upcoming is None:
                return
            start = max(start, begin_at + (upcoming - wall_begin) - limits.JUMP_MAX * 2)


def _walls_in(rule: WallRule, span: Span, *, after: datetime) -> Iterator[datetime]:
    """Yield the walls of `rule` that belong to `span`, then those after its end.

    A fixed-time rule also gets the walls that a short jump skipped (they belong to its first instant), and not those
    that a short jump back shows again (they fired in the pass before).
    """
    low = span.wall_begin
    if span.is_short_jump and not rule.follows_clock:
        low = span.wall_before
    start = low - MICROSECOND
    if span.begin_at <= after:
        # The wall of `after`; walls skipped at this span's begin are no later than it.
        start = max(start, span.wall_begin + (after - span.begin_at))
    return rule.walls(start)
