"""What a planner pass decides about one due schedule: which fire times become deliveries, which are passed over.

Pure: a schedule, its unfinished deliveries and the time go in, a `Plan` comes out. The words are Temporal's
(overlap) and EventBridge's (catch-up, window).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from promptyoself.domain import limits
from promptyoself.domain.models import CatchUp, Delivery, DeliveryKind, DeliveryState, Overlap, Schedule
from promptyoself.domain.quiet import QuietMode
from promptyoself.domain.triggers import (
    TriggerKind,
    count_fires,
    jitter_for,
    last_fire_at,
    next_fire_at,
    zone,
)
from promptyoself.domain.values import dataclass, replace

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """One fire time that gets a delivery row: pending, or skipped at once with the reason."""

    fire_at: datetime
    planned_at: datetime
    missed: int
    skip_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to write for one schedule."""

    openings: tuple[Opening, ...]
    superseded: tuple[Delivery, ...]
    """Pending deliveries that were never sent and that a newer one replaces."""
    passed_over: int
    """Fire times that get no row of their own: missed ones that the newest stands for, or that catch-up skips.

    A lower bound when it reaches MISSED_COUNT_MAX.
    """
    passed_over_reason: str | None
    next_fire_at: datetime | None
    fire_count: int
    pause_reason: str | None = None


def plan(schedule: Schedule, *, unfinished: Sequence[Delivery], now: datetime, allowance: int | None = None) -> Plan:
    """Decide about every fire time of `schedule` from its next_fire_at up to `now`, both aware UTC.

    `unfinished` are the schedule's deliveries that are not final. `allowance` is how many deliveries the
    guard still permits (None: any number); beyond it fire times are skipped and the schedule is to be paused.
    """
    first = schedule.next_fire_at
    if first is None or first > now:
        return _nothing(schedule)
    chosen, total = _choose(schedule, first=first, now=now)
    openings = [_opening(schedule, fire_at, now=now) for fire_at in chosen]
    openings = _without_overlap(schedule, openings, unfinished)
    openings, pause_reason = _within_allowance(openings, allowance)
    if pause_reason is not None and schedule.definition.trigger.kind is TriggerKind.ONCE:
        # It has no later fire time to make up for a skipped one: it waits, and arrives late when it is resumed.
        return replace(_nothing(schedule), pause_reason=pause_reason)
    standing = [opening for opening in openings if opening.skip_reason is None]
    superseded = _superseded(schedule, unfinished) if standing else ()
    passed_over = total - len(chosen)
    if standing:
        missed = sum(1 + old.missed for old in superseded) + (passed_over if _stands_for_missed(schedule) else 0)
        at = openings.index(standing[0])
        openings[at] = _with_missed(standing[0], missed)
    fire_count = max(0, schedule.fire_count - len(superseded)) + len(standing)
    return Plan(
        openings=tuple(openings),
        superseded=superseded,
        passed_over=passed_over,
        passed_over_reason=_passed_over_reason(schedule, has_standing=bool(standing)) if passed_over else None,
        next_fire_at=_next(schedule, fire_count, now),
        fire_count=fire_count,
        pause_reason=pause_reason,
    )


def first_fire_at(schedule: Schedule, *, now: datetime) -> datetime | None:
    """Return the next fire time of a schedule that is resumed or edited at `now`; None when it has none left."""
    return _next(schedule, schedule.fire_count, now)


def _nothing(schedule: Schedule) -> Plan:
    return Plan(
        openings=(),
        superseded=(),
        passed_over=0,
        passed_over_reason=None,
        next_fire_at=schedule.next_fire_at,
        fire_count=schedule.fire_count,
    )


def _choose(schedule: Schedule, *, first: datetime, now: datetime) -> tuple[list[datetime], int]:
    """Return the fire times that get a row, oldest first, and how many there were in all."""
    trigger, policy = schedule.definition.trigger, schedule.definition.policy
    if trigger.kind is TriggerKind.ONCE:
        return [first], 1
    total = count_fires(trigger, after=first - _TICK, until=now, limit=limits.MISSED_COUNT_MAX)
    window = policy.catch_up_window
    if policy.catch_up is CatchUp.SKIP:
        window = min(window, limits.MISFIRE_GRACE) if window else limits.MISFIRE_GRACE
    most = limits.CATCH_UP_ALL_MAX if policy.catch_up is CatchUp.ALL else 1
    not_before = max(first, now - window) if window else first
    chosen = _newest(schedule, not_before=not_before, now=now, most=most)
    repetitions = schedule.definition.max_repetitions
    if repetitions is not None:
        chosen = chosen[: max(1, repetitions - schedule.fire_count)]
    return chosen, max(total, len(chosen))


def _newest(schedule: Schedule, *, not_before: datetime, now: datetime, most: int) -> list[datetime]:
    found: list[datetime] = []
    until = now
    while len(found) < most:
        fire_at = last_fire_at(schedule.definition.trigger, not_before=not_before, not_after=until)
        if fire_at is None:
            break
        found.append(fire_at)
        until = fire_at - _TICK
    return found[::-1]


def _opening(schedule: Schedule, fire_at: datetime, *, now: datetime) -> Opening:
    definition = schedule.definition
    planned_at = fire_at + _jitter(schedule, fire_at)
    reason = None
    quiet = definition.policy.quiet_hours
    release_at = quiet.release_at(planned_at, zone(definition.trigger.timezone)) if quiet else None
    if quiet is not None and release_at is not None:
        if quiet.mode is QuietMode.SKIP:
            reason = f"quiet hours: {quiet}"
        else:
            planned_at = release_at
    expires_after = definition.policy.expires_after
    if expires_after is not None and now > fire_at + expires_after:
        reason = "expired: it came due while nothing could deliver it, and expires_after has passed"
    return Opening(fire_at=fire_at, planned_at=planned_at, missed=0, skip_reason=reason)


def _jitter(schedule: Schedule, fire_at: datetime) -> timedelta:
    """Return the jitter, kept within the gap to the next fire time, which would supersede it unsent."""
    trigger = schedule.definition.trigger
    jitter = jitter_for(trigger, fire_at=fire_at, schedule_uid=schedule.uid)
    following = next_fire_at(trigger, after=fire_at) if jitter else None
    return jitter if following is None else jitter % (following - fire_at)


def _without_overlap(schedule: Schedule, openings: list[Opening], unfinished: Sequence[Delivery]) -> list[Opening]:
    """Skip what overlaps. `catch_up all` queues whatever `overlap` says: skipping would undo what it asks for.

    A run-now leaves the schedule alone: it makes no fire time overlap; the lane keeps the two apart.
    """
    policy = schedule.definition.policy
    in_flight = next((one for one in unfinished if one.state.is_in_flight and one.kind is DeliveryKind.SCHEDULED), None)
    if policy.catch_up is CatchUp.ALL:
        room = max(0, limits.CATCH_UP_ALL_MAX - len(unfinished))
        reason = f"queue full: {limits.CATCH_UP_ALL_MAX} deliveries of this schedule wait already"
        return openings[:room] + [_skip(opening, reason) for opening in openings[room:]]
    is_once = schedule.definition.trigger.kind is TriggerKind.ONCE
    # A one-off (moved while its old time is in flight) has no later fire time: it queues, rather than never come.
    if in_flight is None or is_once or policy.overlap is Overlap.QUEUE:
        return openings
    reason = f"overlap: delivery {in_flight.id} was still {in_flight.state}"
    return [_skip(opening, reason) for opening in openings]


def _within_allowance(openings: list[Opening], allowance: int | None) -> tuple[list[Opening], str | None]:
    standing = sum(opening.skip_reason is None for opening in openings)
    if allowance is None or standing <= allowance:
        return openings, None
    reason = f"guard: more than {limits.AGENT_DELIVERIES_PER_HOUR_MAX} deliveries in an hour by this agent's schedules"
    kept: list[Opening] = []
    for opening in openings:
        if opening.skip_reason is None and allowance <= 0:
            kept.append(_skip(opening, reason))
            continue
        allowance -= opening.skip_reason is None
        kept.append(opening)
    return kept, reason


def _superseded(schedule: Schedule, unfinished: Sequence[Delivery]) -> tuple[Delivery, ...]:
    if schedule.definition.policy.catch_up is CatchUp.ALL:
        return ()
    return tuple(
        delivery
        for delivery in unfinished
        if delivery.kind is DeliveryKind.SCHEDULED
        and delivery.state is DeliveryState.PENDING
        and delivery.attempts == 0
        and delivery.fire_number > 0  # not one that a person asked for again
    )


def _stands_for_missed(schedule: Schedule) -> bool:
    return schedule.definition.policy.catch_up is not CatchUp.ALL


def _with_missed(opening: Opening, missed: int) -> Opening:
    return Opening(fire_at=opening.fire_at, planned_at=opening.planned_at, missed=missed)


def _skip(opening: Opening, reason: str) -> Opening:
    if opening.skip_reason is not None:
        return opening
    return Opening(fire_at=opening.fire_at, planned_at=opening.planned_at, missed=0, skip_reason=reason)


def _passed_over_reason(schedule: Schedule, *, has_standing: bool) -> str:
    policy = schedule.definition.policy
    if policy.catch_up is CatchUp.LATEST and has_standing:
        return "catch-up latest: the newest fire time stands for them"
    return f"catch-up {policy.catch_up}: they passed while nothing could fire them"


def _next(schedule: Schedule, fire_count: int, now: datetime) -> datetime | None:
    repetitions = schedule.definition.max_repetitions
    if repetitions is not None and fire_count >= repetitions:
        return None
    return next_fire_at(schedule.definition.trigger, after=now)
