"""Warnings about recurrence rules: days that months lack, and EXDATE that leaves out nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from promptyoself.domain.localtime import MICROSECOND, zone
from promptyoself.domain.phrases import join, missing_day, moment
from promptyoself.domain.rrule_fires import fires_without_exdate
from promptyoself.domain.rrule_gaps import stretches_of_day
from promptyoself.domain.rrule_text import Rule, parse_rrule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from promptyoself.domain.triggers import Trigger

_NAMED_MAX: Final = 3
"""Dates named in one sentence."""
_EVERY_MONTH: Final = tuple(range(1, 13))


def about_rrule(trigger: Trigger, *, now: datetime) -> Iterator[str]:
    """Yield sentences about what may surprise in a recurrence rule; `now` is aware UTC."""
    rule = parse_rrule(trigger.expression, trigger.timezone, trigger.anchor_at)
    months = rule.recurrence.by_month or _EVERY_MONTH
    for number in rule.recurrence.by_monthday:
        if sentence := missing_day(abs(number), months):
            cure = "; BYMONTHDAY=-1 is the last day of any month" if number > 0 and "no day" in sentence else ""
            yield f"{sentence}: nothing fires for BYMONTHDAY={number} there{cure}"
    if idle := list(_idle(trigger, rule, now=now)):
        more = f" and {len(idle) - _NAMED_MAX} others" if len(idle) > _NAMED_MAX else ""
        named = join(idle[:_NAMED_MAX], ", " if more else " and ")
        yield f"EXDATE leaves nothing out at {named}{more}: the rule does not fire then"


def _idle(trigger: Trigger, rule: Rule, *, now: datetime) -> Iterator[str]:
    """Yield the dates to come that EXDATE names and at which nothing would fire without it."""

    def fires_in(begin_at: datetime, end_at: datetime) -> bool:
        fires = fires_without_exdate(
            trigger.expression, trigger.timezone, trigger.anchor_at, after=begin_at - MICROSECOND
        )
        return next(fires, end_at) < end_at

    for at in rule.lines.left_out:
        if at > now and not fires_in(at, at + MICROSECOND):
            yield moment(at, trigger.timezone)
    for day in rule.lines.left_out_days:
        stretches = stretches_of_day(day, zone(trigger.timezone))
        if stretches and stretches[-1][1] > now and not any(fires_in(*stretch) for stretch in stretches):
            yield f"{day:%a %Y-%m-%d}"
