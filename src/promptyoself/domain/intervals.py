"""Durations as people write them, and the arithmetic of a period that never drifts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInterval
from promptyoself.domain.values import dataclass

_NUMBER: Final = rf"([0-9]{{1,{limits.DURATION_DIGITS_MAX}}})"
_COMPACT: Final = re.compile(rf"(?:{_NUMBER}w ?)?(?:{_NUMBER}d ?)?(?:{_NUMBER}h ?)?(?:{_NUMBER}m ?)?(?:{_NUMBER}s)?")
_ISO: Final = re.compile(
    rf"P(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?", re.IGNORECASE
)
_ISO_CALENDAR: Final = re.compile(r"P[0-9]+[YM].*", re.IGNORECASE)
_UNITS_S: Final = (7 * 86400, 86400, 3600, 60, 1)
_USUAL_CHARS_MAX: Final = 20
"""Longer texts are read anew each time: what is remembered stays small."""
_HINT: Final = "write it as 90s, 5m, 1h30m, 2d, 1w, or in ISO 8601 as PT45M"


def parse_duration(text: str, *, what: str = "interval") -> timedelta:
    """Return the duration that `text` names: `90s`, `5m`, `1h30m`, `2d`, `1w`, or ISO 8601 `PT45M`, `P1DT2H`.

    Units go from large to small, each at most once, in whole numbers. 45m is 45 minutes. Raises InvalidInterval, with
    `what` in its message, for anything else: a number without a unit, months and years (whose length varies), and
    what lies outside limits.INTERVAL_MIN..INTERVAL_MAX.
    """
    stripped = text.strip()
    if len(stripped) <= _USUAL_CHARS_MAX and (known := _compact(stripped)) is not None:
        return known
    shown = repr(text[: limits.NAME_CHARS_MAX])
    if re.fullmatch(r"[+-]?[0-9]+", stripped):
        digits = stripped.lstrip("+-")[: limits.DURATION_DIGITS_MAX].lstrip("0") or "60"
        raise InvalidInterval(
            f'{what} {shown} has no unit; seconds are written with an s, such as "{digits}s"', hint=_HINT
        )
    if stripped.startswith("-"):
        raise InvalidInterval(f"{what} {shown} is negative", hint=_HINT)
    if _ISO_CALENDAR.fullmatch(stripped):
        raise InvalidInterval(
            f"{what} {shown} counts years or months, whose length varies",
            hint='for a day of each month use cron: "0 9 1 * *"',
        )
    found = _COMPACT.fullmatch(stripped) or _ISO.fullmatch(stripped)
    if found is None or not any(found.groups()):
        raise InvalidInterval(f"{what} {shown} cannot be read", hint=_HINT)
    seconds = sum(int(number) * unit_s for number, unit_s in zip(found.groups("0"), _UNITS_S, strict=True))
    if not limits.INTERVAL_MIN.total_seconds() <= seconds <= limits.INTERVAL_MAX.total_seconds():
        raise InvalidInterval(
            f"{what} {shown} is outside {format_duration(limits.INTERVAL_MIN)} to {limits.INTERVAL_MAX.days}d",
            hint=_HINT,
        )
    return timedelta(seconds=seconds)


@lru_cache(maxsize=1024)
def _compact(text: str) -> timedelta | None:
    """Return the duration of a text as most are written, None for any other: one request asks for it several times."""
    found = _COMPACT.fullmatch(text)
    if found is None or not text:
        return None
    seconds = sum(int(number) * unit_s for number, unit_s in zip(found.groups("0"), _UNITS_S, strict=True))
    is_within = limits.INTERVAL_MIN.total_seconds() <= seconds <= limits.INTERVAL_MAX.total_seconds()
    return timedelta(seconds=seconds) if is_within else None


def format_duration(duration: timedelta) -> str:
    """Return `duration` as parse_duration reads it: `1h30m`, `2d`, `1w`.

    Whole weeks are weeks, other spans begin with days. What parse_duration would refuse is written alike: `0s`, `-5m`,
    and `1.5s` for parts of a second.
    """
    if duration < timedelta(0):
        return f"-{format_duration(-duration)}"
    if duration and not duration % timedelta(weeks=1):
        return f"{duration // timedelta(weeks=1)}w"
    minutes, seconds = divmod(duration.seconds, 60)
    counts = {"d": duration.days, "h": minutes // 60, "m": minutes % 60}
    text = "".join(f"{count}{unit}" for unit, count in counts.items() if count)
    if duration.microseconds:
        return text + f"{seconds}.{duration.microseconds:06}".rstrip("0") + "s"
    return text + f"{seconds}s" if seconds or not text else text


@dataclass(frozen=True, slots=True)
class Phase:
    """The fire times `anchor_at` + k * `period` for k = `first_k` and on: computed each time, so that nothing drifts.

    Instants are aware UTC; none is at or after limits.RECURRENCE_END.
    """

    anchor_at: datetime
    period: timedelta
    first_k: int

    def fires(self, *, after: datetime) -> Iterator[datetime]:
        """Yield the fire times strictly later than `after`, ascending."""
        fire_at = self.anchor_at + self._k_after(after) * self.period
        while fire_at < limits.RECURRENCE_END:
            yield fire_at
            fire_at += self.period

    def latest(self, not_after: datetime) -> datetime:
        """Return the last fire time that is not later than `not_after`; the caller knows that there is one."""
        return self.anchor_at + (self._k_after(not_after) - 1) * self.period

    def count(self, *, after: datetime, until: datetime) -> int:
        """Return how many fire times lie in (`after`, `until`]."""
        return max(0, self._k_after(until) - self._k_after(after))

    def _k_after(self, instant: datetime) -> int:
        return max(self.first_k, (instant - self.anchor_at) // self.period + 1)
