"""When a recurrence rule fires: the RRULE's times and RDATE's, without EXDATE's (RFC 5545, section 3.8.5.3)."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidTrigger
from promptyoself.domain.localtime import MICROSECOND, instants_of, to_wall, zone
from promptyoself.domain.rrule_text import Rule, parse_rrule
from promptyoself.domain.rrules import Freq

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


def rrule_fires(expression: str, timezone: str, anchor_at: datetime, *, after: datetime) -> Iterator[datetime]:
    """Yield the fire times (aware UTC, ascending, distinct) of a rule that are strictly later than `after`.

    A stretch that EXDATE leaves out is leapt over, however many times of the rule lie in it.
    """
    gaps = parse_rrule(expression, timezone, anchor_at).gaps
    place = 0
    fires = fires_without_exdate(expression, timezone, anchor_at, after=after)
    while (fire_at := next(fires, None)) is not None:
        while place < len(gaps) and gaps[place][1] <= fire_at:
            place += 1
        if place < len(gaps) and gaps[place][0] <= fire_at:
            fires = fires_without_exdate(expression, timezone, anchor_at, after=gaps[place][1] - MICROSECOND)
        else:
            yield fire_at


def fires_without_exdate(expression: str, timezone: str, anchor_at: datetime, *, after: datetime) -> Iterator[datetime]:
    """Yield the RRULE's times and RDATE's, each once, also where EXDATE leaves them out."""
    added = [at for at in parse_rrule(expression, timezone, anchor_at).lines.added if at > after]
    place = 0
    for fire_at in _of_rule(expression, timezone, anchor_at, after=after):
        while place < len(added) and added[place] <= fire_at:
            if added[place] < fire_at:
                yield added[place]
            place += 1
        yield fire_at
    yield from added[place:]


def _of_rule(expression: str, timezone: str, anchor_at: datetime, *, after: datetime) -> Iterator[datetime]:
    rule = parse_rrule(expression, timezone, anchor_at)
    until_at = rule.until_at
    if rule.count is not None:
        until_at = _last_counted(expression, timezone, anchor_at)
    floor = max(after, rule.begin_at.replace(microsecond=0) - MICROSECOND)
    for fire_at in instants_of(rule.recurrence, zone(timezone), after=floor):
        if until_at is not None and fire_at > until_at:
            return
        yield fire_at


@lru_cache(maxsize=4096)
def _last_counted(expression: str, timezone: str, anchor_at: datetime) -> datetime:
    """Return the last fire time of a rule with COUNT, which can only be counted from its beginning.

    The beginning itself when there is none. Raises InvalidTrigger when counting takes too many steps or decades.
    """
    rule = parse_rrule(expression, timezone, anchor_at)
    floor = rule.begin_at.replace(microsecond=0) - MICROSECOND
    if rule.recurrence.freq <= Freq.MONTHLY:
        _refuse_centuries(rule, begin=to_wall(floor, zone(timezone)))
    counting, last = _Counting(rule), floor
    for last in islice(instants_of(counting, zone(timezone), after=floor), rule.count):
        if last - floor > limits.RRULE_COUNT_SPAN_MAX:
            raise counting.refusal()
    return last


def _refuse_centuries(rule: Rule, *, begin: datetime) -> None:
    """Refuse a rule of few fires a year by its walls alone: a century of a zone's changes takes 50 ms to read."""
    counting = _Counting(rule)
    for wall in islice(counting.walls(begin), rule.count):
        if wall - begin > limits.RRULE_COUNT_SPAN_MAX + limits.JUMP_MAX:
            raise counting.refusal()


class _Counting:
    """A rule whose candidates are counted, lest one of many steps and few fire times take seconds."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._left = limits.RRULE_COUNT_STEPS_MAX

    @property
    def follows_clock(self) -> bool:
        return self._rule.recurrence.follows_clock

    def walls(self, after: datetime) -> Iterator[datetime]:
        return self._rule.recurrence.walls(after, self)

    def spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise self.refusal()

    def refusal(self) -> InvalidTrigger:
        years = limits.RRULE_COUNT_SPAN_MAX.days // 366
        return InvalidTrigger(
            f"rrule's COUNT {self._rule.count} cannot be counted to: it takes more than {years} years of fires, "
            f"or more than {limits.RRULE_COUNT_STEPS_MAX} steps",
            hint="bound the rule by UNTIL, or give a smaller COUNT or a later DTSTART",
        )
