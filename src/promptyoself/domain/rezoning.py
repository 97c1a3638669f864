"""What a new version of the time zone database does to a schedule: when it fires next under the rules of today.

A country moves its clocks, the database follows, and a stored `next_fire_at` is an hour off. It is worked out anew from
the rule; what has fired, was skipped or waits unsent stays as it is.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidTrigger
from promptyoself.domain.localtime import parse_instant, read_instant
from promptyoself.domain.models import Schedule, ScheduleState
from promptyoself.domain.triggers import TriggerKind, last_fire_at, next_fire_at
from promptyoself.domain.values import replace

_TICK = timedelta(microseconds=1)


def rezoned(schedule: Schedule, *, now: datetime) -> Schedule:
    """Return the schedule with its next fire time by the zone data at hand; itself when nothing moves.

    One that was due and is not planned yet stays due, or comes at its new time. One whose new time has passed already,
    while its old one is still to come, is due at once. Intervals count real time and do not move; what is paused is
    worked out when it goes on, but for a one-off, which keeps its wall time. Raises InvalidTimezone kin when the zone
    is no longer there.
    """
    if schedule.next_fire_at is None:
        return schedule
    match schedule.definition.trigger.kind:
        case TriggerKind.ONCE:
            return _once(schedule)
        case TriggerKind.INTERVAL:
            return schedule
        case _ if schedule.state is ScheduleState.PAUSED:
            return schedule
        case _:
            fire_at = _recurring(schedule, schedule.next_fire_at, now=now)
            return schedule if fire_at == schedule.next_fire_at else replace(schedule, next_fire_at=fire_at)


def _once(schedule: Schedule) -> Schedule:
    """A wall time without an offset is read again; an instant stays an instant."""
    trigger = schedule.definition.trigger
    try:
        _, offset = read_instant(trigger.expression)
    except InvalidTrigger:  # words that were understood when it was made: the instant they meant stays
        return schedule
    if offset is not None:
        return schedule
    at = parse_instant(trigger.expression, timezone=trigger.timezone)
    if at == trigger.anchor_at:
        return schedule
    definition = replace(schedule.definition, trigger=replace(trigger, anchor_at=at))
    return replace(schedule, definition=definition, next_fire_at=at)


def _recurring(schedule: Schedule, was: datetime, *, now: datetime) -> datetime | None:
    trigger = schedule.definition.trigger
    dealt_with = [at for at in (schedule.last_fire_at, schedule.passed_until) if at is not None]
    floor = max(dealt_with, default=schedule.created_at)
    coming = next_fire_at(trigger, after=max(floor, now if was > now else was - _TICK))
    if coming == was:
        return was
    # The new time of `was` may have passed already, and the new time of the one before, which has fired, may be still
    # to come. The two are told from each other by which old time they are nearer to.
    earliest, latest = max(floor + _TICK, was - limits.JUMP_MAX), min(now, was - _TICK)
    passed = last_fire_at(trigger, not_before=earliest, not_after=latest) if earliest <= latest else None
    if passed is not None and (not dealt_with or was - passed < passed - floor):
        return passed
    if coming is not None and dealt_with and coming - floor < min(was - coming, limits.JUMP_MAX):
        return next_fire_at(trigger, after=coming)
    return coming
