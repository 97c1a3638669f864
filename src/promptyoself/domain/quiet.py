"""Quiet hours: stretches of the wall clock in which nothing is to be sent."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.localtime import resolve, to_wall
from promptyoself.domain.localtime import zone as zone_of
from promptyoself.domain.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable
    from zoneinfo import ZoneInfo

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EVERY_DAY: Final = frozenset(range(7))
_CLOCK: Final = "[0-9]{1,2}:[0-9]{2}"
_QUIET: Final = re.compile(
    rf"(?P<begin>{_CLOCK}) ?- ?(?P<end>{_CLOCK})(?: +(?P<days>(?!hold|skip)[a-z,-]+))?(?: +(?P<mode>hold|skip))?"
)
_HINT: Final = "write them as 22:00-07:00, with days and what to do if you like: 22:00-07:00 mon-fri skip"
_CHAIN_MAX: Final = 8
"""Windows that may follow each other without a pause, which only a clock change can bring about."""


class QuietMode(StrEnum):
    """What becomes of a delivery due in quiet hours: it waits for their end, or is skipped."""

    HOLD = "hold"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A daily stretch from `begin` to `end` on the wall clock; when `end` is not later, it ends on the next day.

    `weekdays` (0 = Monday) are the days on which it begins; all of them when none is named.
    """

    begin: time
    end: time
    weekdays: frozenset[int] = _EVERY_DAY
    mode: QuietMode = QuietMode.HOLD

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the quiet hours of `22:00-07:00 [mon-fri] [hold|skip]`; days may be lists and wrap (`fri-mon,wed`).

        Raises InvalidInput, which names what cannot be read; begin and end may not be the same.
        """
        found = _QUIET.fullmatch(text.strip().lower())
        if found is None:
            raise _refused(text, "cannot be read")
        begin, end = _clock(text, found["begin"]), _clock(text, found["end"])
        if begin == end:
            raise _refused(text, "begin and end at the same time")
        weekdays = frozenset(_weekdays(text, found["days"])) if found["days"] else _EVERY_DAY
        return cls(begin, end, weekdays, QuietMode(found["mode"] or QuietMode.HOLD))

    def __str__(self) -> str:
        """Return the text that parse reads as these hours."""
        words = [f"{self.begin:%H:%M}-{self.end:%H:%M}"]
        if self.weekdays != _EVERY_DAY:
            words.append(",".join(_day_ranges(self.weekdays)))
        return " ".join([*words, self.mode] if self.mode is not QuietMode.HOLD else words)

    def release_at(self, instant: datetime, zone: ZoneInfo | str) -> datetime | None:
        """Return when the quiet hours that hold `instant` end (both aware UTC), or None when it is not within any.

        They begin at their first pass of a repeated hour and end at its last, and a bound that a jump skips moves
        to the first instant after it: whenever the clock shows a time within them, it is quiet.
        """
        here = zone_of(zone) if isinstance(zone, str) else zone
        release = instant
        for _ in range(_CHAIN_MAX):
            ends = [end_at for begin_at, end_at in self._around(release, here) if begin_at <= release < end_at]
            if not ends:
                break
            release = max(ends)
        return release if release > instant else None

    def since(self, instant: datetime, zone: ZoneInfo) -> datetime | None:
        """Return when the quiet hours around `instant` began (both aware UTC), or None when it is not within any."""
        begins = [begin_at for begin_at, end_at in self._around(instant, zone) if begin_at <= instant < end_at]
        return min(begins, default=None)

    def _around(self, instant: datetime, here: ZoneInfo) -> Iterable[tuple[datetime, datetime]]:
        """Yield the windows (aware UTC) that begin on the wall's day or one of the two before."""
        today = to_wall(instant, here).date()
        for days_ago in range(3):
            day = today - timedelta(days=days_ago)
            if day.weekday() in self.weekdays:
                yield self._window(day, here)

    def _window(self, day: date, here: ZoneInfo) -> tuple[datetime, datetime]:
        begin = datetime.combine(day, self.begin)
        end = datetime.combine(day if self.end > self.begin else day + timedelta(days=1), self.end)
        return resolve(begin, here), resolve(end, here, last_pass=True)


def _refused(text: str, what: str) -> InvalidInput:
    return InvalidInput(f"quiet hours {text[: limits.NAME_CHARS_MAX]!r}: {what}", hint=_HINT)


def _clock(text: str, clock: str) -> time:
    if clock == "24:00":
        return time()
    hour, _, minute = clock.partition(":")
    try:
        return time(int(hour), int(minute))
    except ValueError as exc:
        raise _refused(text, f"{clock} is outside 00:00 to 24:00") from exc


def _weekdays(text: str, days: str) -> Iterable[int]:
    for part in days.split(","):
        first, dash, last = part.partition("-")
        if first not in _DAYS or (dash and last not in _DAYS):
            raise _refused(text, f"{part[:50]!r} is not a day or a range of days such as mon-fri")
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        yield from (day % 7 for day in range(begin, end + 1 if end >= begin else end + 8))


def _day_ranges(weekdays: frozenset[int]) -> Iterable[str]:
    runs: list[list[int]] = []
    for day in sorted(weekdays):
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return [_DAYS[run[0]] if len(run) == 1 else f"{_DAYS[run[0]]}-{_DAYS[run[-1]]}" for run in runs]
