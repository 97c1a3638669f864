"""What EXDATE leaves out, as stretches of instants: a year of seconds can be leapt over as fast as one."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from promptyoself.domain import limits
from promptyoself.domain.localtime import SECOND, span_at

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from promptyoself.domain.rrule_lines import Lines

_DAY: Final = timedelta(days=1)


def gaps(lines: Lines, here: ZoneInfo) -> tuple[tuple[datetime, datetime], ...]:
    """Return what EXDATE leaves out: the second of an instant, and every instant of a day on the wall clock."""
    found = [(at, at + SECOND) for at in lines.left_out]
    found += [stretch for day in lines.left_out_days for stretch in stretches_of_day(day, here)]
    joined: list[tuple[datetime, datetime]] = []
    for begin_at, end_at in sorted(found):
        if joined and begin_at <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end_at, joined[-1][1]))
        else:
            joined.append((begin_at, end_at))
    return tuple(joined)


def stretches_of_day(day: date, here: ZoneInfo) -> list[tuple[datetime, datetime]]:
    """Return the instants at which a clock in `here` shows `day`: begins (inclusive) and ends (exclusive), ascending.

    Mostly one stretch of 23 to 25 hours; two when a jump back crosses midnight, none for a day that is skipped.
    """
    first = datetime.combine(day, time())
    last = first + _DAY
    at, end_at = (wall.replace(tzinfo=UTC) for wall in (first - limits.JUMP_MAX, last + limits.JUMP_MAX))
    found: list[tuple[datetime, datetime]] = []
    while at < end_at:
        span = span_at(here, at)
        low, high = max(first, span.wall_begin), min(last, span.wall_end)
        if low < high:
            stretch = (span.begin_at + (low - span.wall_begin), span.begin_at + (high - span.wall_begin))
            if found and found[-1][1] == stretch[0]:
                stretch = (found.pop()[0], stretch[1])
            found.append(stretch)
        at = span.end_at
    return found
