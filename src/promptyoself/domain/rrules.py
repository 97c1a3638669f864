"""RFC 5545 recurrence rules on the wall clock: from any moment on, without walking there, and in bounded time.

Evaluated here and not by dateutil, whose generator can only walk from DTSTART on, and walks in silence to the year
9999 (minutes, for some rules) when nothing matches. The tests hold both against each other.
Rule by rule: section 3.3.10 of RFC 5545; where that leaves a choice, dateutil's.
"""

from __future__ import annotations

from bisect import bisect_right
from calendar import isleap, monthrange
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import IntEnum
from functools import cached_property, lru_cache
from itertools import groupby
from math import gcd
from typing import TYPE_CHECKING, Final, Protocol

from promptyoself.domain import limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DAY_S: Final = 86400


class Freq(IntEnum):
    """FREQ, from coarse to fine."""

    YEARLY = 0
    MONTHLY = 1
    WEEKLY = 2
    DAILY = 3
    HOURLY = 4
    MINUTELY = 5
    SECONDLY = 6


class Budget(Protocol):
    """What bounds a whole walk, however often it is taken up anew."""

    def spend(self) -> None:
        """Take one candidate; raises when none is left."""


_UNIT_S: Final = {Freq.HOURLY: 3600, Freq.MINUTELY: 60, Freq.SECONDLY: 1}


@dataclass(frozen=True)  # no slots: times_of_day is worked out once and kept
class Recurrence:
    """A rule that was read: RFC 5545's parts, what is missing already taken from `dtstart` (a wall, whole seconds).

    Weekdays count from 0 = Monday. `by_nth` holds (weekday, n) of BYDAY with a number. Empty tuples mean "any".
    COUNT and UNTIL are not kept here: they speak of instants, and triggers.py applies them.
    """

    freq: Freq
    dtstart: datetime
    interval: int = 1
    wkst: int = 0
    by_month: tuple[int, ...] = ()
    by_weekno: tuple[int, ...] = ()
    by_yearday: tuple[int, ...] = ()
    by_monthday: tuple[int, ...] = ()
    by_weekday: tuple[int, ...] = ()
    by_nth: tuple[tuple[int, int], ...] = ()
    by_hour: tuple[int, ...] = ()
    by_minute: tuple[int, ...] = ()
    by_second: tuple[int, ...] = ()
    by_setpos: tuple[int, ...] = ()

    @property
    def follows_clock(self) -> bool:
        """Whether it repeats within a day: then it follows the wall clock through every pass, as cron's `*` does."""
        return self.freq >= Freq.HOURLY

    @cached_property
    def times_of_day(self) -> tuple[int, ...]:
        """Seconds since midnight at which a matching day has fire times, ascending; for DAILY and coarser."""
        return tuple(
            sorted(
                h * 3600 + m * 60 + s
                for h in set(self.by_hour)
                for m in set(self.by_minute)
                for s in set(self.by_second)
            )
        )

    def walls(self, after: datetime, budget: Budget | None = None) -> Iterator[datetime]:
        """Yield the naive walls of the rule, ascending, strictly later than `after`.

        Ends when none comes within limits.TRIGGER_HORIZON or limits.RRULE_STEPS_MAX candidates. With a `budget` each
        candidate is also taken from it.
        """
        if self.by_setpos and min(map(abs, self.by_setpos)) > self._size_max():
            return iter(())
        after = max(after, self.dtstart - timedelta(microseconds=1))
        if self.freq < Freq.HOURLY:
            source = self._walls_of_days(after.date(), budget)
        else:
            source = self._walls_within_days(after, budget)
        return (wall for wall in source if wall > after)

    def _size_max(self) -> int:
        """Return how many walls one FREQ period can have at most, before BYSETPOS."""
        if self.freq >= Freq.HOURLY:
            minutes = len(self.by_minute) if self.freq is Freq.HOURLY else 1
            return minutes * (len(self.by_second) if self.freq < Freq.SECONDLY else 1)
        days = {Freq.YEARLY: 366, Freq.MONTHLY: 31, Freq.WEEKLY: len(self.by_weekday) or 7, Freq.DAILY: 1}
        return days[self.freq] * len(self.times_of_day)

    # -- DAILY and coarser: sets of days, each with the same times ------------------------------------------

    def _walls_of_days(self, first: date, budget: Budget | None) -> Iterator[datetime]:
        midnight = time()
        give_up = first + limits.TRIGGER_HORIZON
        if not self.by_setpos:
            times = [timedelta(seconds=second) for second in self.times_of_day]
            for day in self._days(first, budget):
                begin = datetime.combine(day, midnight)
                for since_midnight in times:
                    yield begin + since_midnight
            return
        for _, group in groupby(self._days(self._period_begin(first), budget), key=self._period):
            days = list(group)
            if days[0] > give_up:  # days match, but BYSETPOS picks none of them
                return
            for day, seconds in self._picked(days):
                give_up = day + limits.TRIGGER_HORIZON
                yield datetime.combine(day, midnight) + timedelta(seconds=seconds)

    def _picked(self, days: list[date]) -> Iterable[tuple[date, int]]:
        """Return the (day, second of day) pairs of one period that BYSETPOS names."""
        times = self.times_of_day
        size = len(days) * len(times)
        places = sorted({pos - 1 if pos > 0 else size + pos for pos in self.by_setpos})
        return [(days[place // len(times)], times[place % len(times)]) for place in places if 0 <= place < size]

    def _period(self, day: date) -> int:
        """Return the number of the FREQ period of `day`: a year, a month, a week from `wkst` on, or a day."""
        match self.freq:
            case Freq.YEARLY:
                return day.year
            case Freq.MONTHLY:
                return day.year * 12 + day.month - 1
            case Freq.WEEKLY:
                return (day.toordinal() - 1 - self.wkst) // 7  # ordinal 1 was a Monday
            case _:
                return day.toordinal()

    def _period_begin(self, day: date) -> date:
        match self.freq:
            case Freq.YEARLY:
                return day.replace(month=1, day=1)
            case Freq.MONTHLY:
                return day.replace(day=1)
            case Freq.WEEKLY:
                return day - timedelta(days=(day.weekday() - self.wkst) % 7)
            case _:
                return day

    def _days(self, first: date, budget: Budget | None) -> Iterator[date]:
        """Yield the days of every INTERVALth period that match all BY parts of days, from `first` on.

        Ends with the first month that begins a horizon after the last match, and before limits.RECURRENCE_END.
        """
        first = max(first, self._period_begin(self.dtstart.date()))
        step_s = self.interval * (_DAY_S if self.freq is Freq.DAILY else _UNIT_S.get(self.freq, 0))
        if step_s > _DAY_S:
            yield from self._days_apart(first, step_s, budget)
            return
        base = self._period(self.dtstart.date())
        end = limits.RECURRENCE_END.year
        month, give_up = first.year * 12 + first.month - 1, first + limits.TRIGGER_HORIZON
        skip = self.interval if self.freq is Freq.MONTHLY else 1
        month += (base - month) % skip
        every_one = self.freq >= Freq.HOURLY or self.interval == 1
        while month // 12 < min(end, give_up.year + 1):
            year, zero_month = divmod(month, 12)
            if budget is not None:
                budget.spend()
            if self.freq is Freq.YEARLY and (missing := (base - year) % self.interval):
                month = (year + missing) * 12
                continue
            for number in _month_days(self, year, zero_month + 1):
                day = date(year, zero_month + 1, number)
                if budget is not None:
                    budget.spend()
                if day >= first and (every_one or (self._period(day) - base) % self.interval == 0):
                    give_up = day + limits.TRIGGER_HORIZON
                    yield day
            month += skip

    def _days_apart(self, first: date, step_s: int, budget: Budget | None) -> Iterator[date]:
        """Yield the same for periods more than a day apart: from one to the next, and not day by day."""
        base = self.dtstart.toordinal() * _DAY_S
        if self.freq >= Freq.HOURLY:
            base += _second_of_day(self.dtstart) // _UNIT_S[self.freq] * _UNIT_S[self.freq]
        begin = first.toordinal() * _DAY_S
        second = begin + (base - begin) % step_s
        horizon, end = limits.TRIGGER_HORIZON.days * _DAY_S, limits.RECURRENCE_END.toordinal() * _DAY_S
        give_up = second + horizon
        while second < min(give_up, end):
            day = date.fromordinal(second // _DAY_S)
            if budget is not None:
                budget.spend()
            if day.day in _month_days(self, day.year, day.month):
                give_up = second + horizon
                yield day
            second += step_s

    # -- HOURLY and finer: aligned periods within matching days ---------------------------------------------

    def _walls_within_days(self, after: datetime, budget: Budget | None) -> Iterator[datetime]:
        unit = _UNIT_S[self.freq]
        base = self.dtstart.toordinal() * _DAY_S + _second_of_day(self.dtstart) // unit * unit
        steps = 0
        midnight = time()
        give_up = after.date() + limits.TRIGGER_HORIZON
        for day in self._days(after.date(), budget) if self._can_meet else ():
            if day > give_up:
                return
            from_second = _second_of_day(after) // unit * unit if day == after.date() else 0
            steps += 1
            begin = datetime.combine(day, midnight)
            for period in self._periods(day.toordinal() * _DAY_S - base, from_second):
                if (steps := steps + 1) > limits.RRULE_STEPS_MAX:
                    return
                if budget is not None:
                    budget.spend()
                for second in () if period is None else self._seconds_of(period):
                    steps, give_up = 0, day + limits.TRIGGER_HORIZON
                    yield begin + timedelta(seconds=second)
            if steps > limits.RRULE_STEPS_MAX:
                return

    @cached_property
    def _can_meet(self) -> bool:
        """Whether a period falls on a time that the BY parts take: 1440 minutes from 12:00 on never meet BYHOUR=5."""
        unit = _UNIT_S[self.freq]
        apart = gcd(unit * self.interval, _DAY_S)
        first = _second_of_day(self.dtstart) // unit * unit % apart
        if _DAY_S // apart > limits.RRULE_TIMES_MAX:
            return True  # too many to look at, and too many to miss
        return any(
            (not self.by_hour or second // 3600 in self.by_hour)
            and (self.freq < Freq.MINUTELY or not self.by_minute or second // 60 % 60 in self.by_minute)
            and (self.freq < Freq.SECONDLY or not self.by_second or second % 60 in self.by_second)
            for second in range(first, _DAY_S, apart)
        )

    def _periods(self, day_offset_s: int, from_second: int) -> Iterator[int | None]:
        """Yield when the periods of one day that match begin (seconds of day), and None for each looked at in vain.

        `day_offset_s` is the day's midnight counted from the first period of all.
        """
        step = _UNIT_S[self.freq] * self.interval
        start = from_second
        while (second := start + -(day_offset_s + start) % step) < _DAY_S:
            if self.by_hour and second // 3600 not in self.by_hour:
                start = (second // 3600 + 1) * 3600
                yield None
            elif self.freq >= Freq.MINUTELY and self.by_minute and second // 60 % 60 not in self.by_minute:
                start = (second // 60 + 1) * 60
                yield None
            else:
                start = second + 1
                is_match = self.freq < Freq.SECONDLY or not self.by_second or second % 60 in self.by_second
                yield second if is_match else None

    def _seconds_of(self, period: int) -> Iterable[int]:
        """Return the seconds of day of one hour, minute or second, those that BYSETPOS names when it is given."""
        if self.freq is Freq.SECONDLY:
            return (period,) if not self.by_setpos or {1, -1} & set(self.by_setpos) else ()
        seconds = [period]
        if self.freq is Freq.HOURLY:
            seconds = [
                period + minute * 60 + second
                for minute in sorted(set(self.by_minute))
                for second in sorted(set(self.by_second))
            ]
        elif self.freq is Freq.MINUTELY:
            seconds = [period + second for second in sorted(set(self.by_second))]
        if not self.by_setpos:
            return seconds
        places = sorted({pos - 1 if pos > 0 else len(seconds) + pos for pos in self.by_setpos})
        return [seconds[place] for place in places if 0 <= place < len(seconds)]


def _second_of_day(wall: datetime) -> int:
    return wall.hour * 3600 + wall.minute * 60 + wall.second


# -- which days match ---------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _month_days(rule: Recurrence, year: int, month: int) -> tuple[int, ...]:
    """Return the days of the month that match all BY parts of days, whatever INTERVAL says."""
    if rule.by_month and month not in rule.by_month:
        return ()
    first_weekday, length = monthrange(year, month)
    days: Iterable[int] = range(1, length + 1)
    if rule.by_monthday:
        days = sorted({day if day > 0 else length + 1 + day for day in rule.by_monthday} & set(days))
    if rule.by_weekday or rule.by_nth:
        nth = _nth_days(rule, year, month)
        days = [day for day in days if (first_weekday + day - 1) % 7 in rule.by_weekday or day in nth]
    if rule.by_yearday:
        before = date(year, month, 1).timetuple().tm_yday - 1
        year_length = 365 + isleap(year)
        wanted = {number if number > 0 else year_length + 1 + number for number in rule.by_yearday}
        days = [day for day in days if before + day in wanted]
    if rule.by_weekno:
        days = [day for day in days if _is_in_week(rule, date(year, month, day))]
    return tuple(days)


def _nth_days(rule: Recurrence, year: int, month: int) -> set[int]:
    """Return the days of this month that BYDAY's numbered entries name (of the year when YEARLY without BYMONTH)."""
    if not rule.by_nth:
        return set()
    whole_year = rule.freq is Freq.YEARLY and not rule.by_month
    begin = date(year, 1 if whole_year else month, 1)
    length = (date(year, 12, 31) - begin).days + 1 if whole_year else monthrange(year, month)[1]
    found = set()
    for weekday, nth in rule.by_nth:
        first = (weekday - begin.weekday()) % 7
        place = first + (nth - 1) * 7 if nth > 0 else first + ((length - 1 - first) // 7 + 1 + nth) * 7
        if 0 <= place < length:
            day = begin + timedelta(days=place)
            if day.month == month:
                found.add(day.day)
    return found


def _is_in_week(rule: Recurrence, day: date) -> bool:
    """Whether BYWEEKNO names the week of `day`; weeks begin on `wkst`, the first has four days or more of its year."""
    begins = _week_ones(rule.wkst, day.year)
    place = bisect_right(begins, day.toordinal()) - 1
    number = (day.toordinal() - begins[place]) // 7 + 1
    weeks = (begins[place + 1] - begins[place]) // 7
    return number in rule.by_weekno or number - weeks - 1 in rule.by_weekno


@lru_cache(maxsize=1024)
def _week_ones(wkst: int, year: int) -> tuple[int, ...]:
    """Return the ordinals at which week 1 of the year before, of this year, and of the two after begin."""
    fourths = (date(near, 1, 4) for near in range(year - 1, year + 3))
    return tuple(fourth.toordinal() - (fourth.weekday() - wkst) % 7 for fourth in fourths)
