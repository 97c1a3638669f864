"""What a planner pass decides about one due schedule: which fire times become deliveries, which are passed over.

Pure: a schedule, its unfinished deliveries and the time go in, a `Plan` comes out. The words are Temporal's
(overlap) and EventBridge's (catch-up, window).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Generic, NamedTuple, Protocol, TypeVar

from promptyoself.domain import limits
from promptyoself.domain.models import CatchUp, Definition, DeliveryKind, DeliveryState, Overlap
from promptyoself.domain.quiet import QuietMode
from promptyoself.domain.triggers import (
    TriggerKind,
    Walk,
    count_fires,
    fire_times,
    jitter_for,
    last_fire_at,
    next_fire_at,
    zone,
)

_TICK = timedelta(microseconds=1)


class Planned(Protocol):
    """What planning asks of a schedule: a stored one, or one whose future is worked out and not stored."""

    @property
    def uid(self) -> str: ...  # noqa: D102  as Schedule says
    @property
    def definition(self) -> Definition: ...  # noqa: D102  as Schedule says
    @property
    def next_fire_at(self) -> datetime | None: ...  # noqa: D102  as Schedule says
    @property
    def passed_until(self) -> datetime | None: ...  # noqa: D102  as Schedule says
    @property
    def fire_count(self) -> int: ...  # noqa: D102  as Schedule says


class Unfinished(Protocol):
    """What planning asks of a delivery that is not final."""

    @property
    def id(self) -> int: ...  # noqa: D102  as Delivery says
    @property
    def kind(self) -> DeliveryKind: ...  # noqa: D102  as Delivery says
    @property
    def state(self) -> DeliveryState: ...  # noqa: D102  as Delivery says
    @property
    def attempts(self) -> int: ...  # noqa: D102  as Delivery says
    @property
    def fire_at(self) -> datetime: ...  # noqa: D102  as Delivery says
    @property
    def fire_number(self) -> int: ...  # noqa: D102  as Delivery says
    @property
    def missed(self) -> int: ...  # noqa: D102  as Delivery says


D = TypeVar("D", bound=Unfinished)


class Opening(NamedTuple):
    """One fire time that gets a delivery row: pending, or skipped at once with the reason."""

    fire_at: datetime
    planned_at: datetime
    missed: int = 0
    skip_reason: str | None = None
    is_held: bool = False
    """True when quiet hours put it off to their end."""


class Plan(NamedTuple, Generic[D]):
    """What to write for one schedule."""

    openings: tuple[Opening, ...]
    superseded: tuple[D, ...]
    """Pending deliveries that were never sent and that a newer one replaces."""
    passed_over: int
    """Fire times that get no row of their own: missed ones that the newest stands for, or that catch-up skips.

    A lower bound when it reaches MISSED_COUNT_MAX.
    """
    passed_over_reason: str | None
    next_fire_at: datetime | None
    fire_count: int
    pause_reason: str | None = None


def plan(
    schedule: Planned,
    *,
    unfinished: Sequence[D],
    now: datetime,
    allowance: int | None = None,
    walk: Walk | None = None,
) -> Plan[D]:
    """Decide about every fire time of `schedule` from its next_fire_at up to `now`, both aware UTC.

    `unfinished` are the schedule's deliveries that are not final. `allowance` is how many deliveries the
    guard still permits (None: any number); beyond it fire times are skipped and the schedule is to be paused.
    `walk`, of the schedule's trigger, saves whoever plans it again and again from looking for the place each time.
    """
    first = schedule.next_fire_at
    if first is None or first > now:
        return _nothing(schedule)
    walk = walk or Walk(schedule.definition.trigger)
    if not unfinished and (allowance is None or allowance > 0) and _is_plain(schedule, first=first, now=now):
        following = walk.next_after(first) if walk.is_fire(first) else first
        if following is None or following > now:
            return Plan((Opening(first, first),), (), 0, None, following, schedule.fire_count + 1)
    openings, total = _open(schedule, walk, first=first, now=now)
    passed_over = total - len(openings)
    if unfinished:
        openings = _not_yet_open(openings, unfinished)
    openings = _without_overlap(schedule, openings, unfinished)
    openings, pause_reason = _within_allowance(openings, allowance)
    if pause_reason is not None and schedule.definition.trigger.kind is TriggerKind.ONCE:
        # It has no later fire time to make up for a skipped one: it waits, and arrives late when it is resumed.
        return _nothing(schedule)._replace(pause_reason=pause_reason)
    standing = [opening for opening in openings if opening.skip_reason is None]
    superseded = _superseded(schedule, unfinished, by=standing[-1].fire_at) if standing and unfinished else ()
    if standing and (superseded or passed_over):
        missed = sum(1 + old.missed for old in superseded)
        if passed_over and _stands_for_missed(schedule):
            missed += max(0, passed_over - _skipped_anyway(schedule, after=first - _TICK, until=now))
        openings[openings.index(standing[0])] = standing[0]._replace(missed=missed)
    fire_count = max(0, schedule.fire_count - len(superseded)) + len(standing)
    return Plan(
        openings=tuple(openings),
        superseded=superseded,
        passed_over=passed_over,
        passed_over_reason=_passed_over_reason(schedule, has_standing=bool(standing)) if passed_over else None,
        next_fire_at=_next(schedule, fire_count, walk, now),
        fire_count=fire_count,
        pause_reason=pause_reason,
    )


def opening_of(
    definition: Definition,
    uid: str | None,
    fire_at: datetime,
    *,
    now: datetime | None = None,
    following: datetime | None = None,
) -> Opening:
    """Return what one fire time of a definition comes to when it is planned at `now`: put off, skipped, or neither.

    Without `now` it is planned at its very instant. `uid` is its schedule's; one that is not stored yet (None) has
    no jitter that could be told. `following`, the fire time after it, spares looking for it.
    """
    trigger, policy = definition.trigger, definition.policy
    planned_at = fire_at + _jitter(definition, uid, fire_at, following) if uid and trigger.jitter else fire_at
    is_held = False
    reason = policy.skip_on.reason_for(fire_at, zone(trigger.timezone)) if policy.skip_on else None
    quiet = policy.quiet_hours if reason is None else None
    release_at = quiet.release_at(planned_at, zone(trigger.timezone)) if quiet else None
    if quiet is not None and release_at is not None:
        if quiet.mode is QuietMode.SKIP:
            reason = f"quiet hours: {quiet}"
        else:
            planned_at, is_held = release_at, True
    if policy.expires_after is not None and now is not None and policy.has_expired(fire_at, now=now):
        reason = "expired: it came due while nothing could deliver it, and expires_after has passed"
    return Opening(fire_at, planned_at, skip_reason=reason, is_held=is_held)


def silence_around(definition: Definition, opening: Opening) -> tuple[datetime, datetime]:
    """Return from when and until when nothing fires because of the holiday or quiet hours that skip an opening.

    All fire times between are skipped likewise. Of an opening that is skipped for another reason it is its own.
    """
    policy, here = definition.policy, zone(definition.trigger.timezone)
    stretch = policy.skip_on.stretch(opening.fire_at, here) if policy.skip_on else None
    if stretch is not None:
        return stretch
    quiet = policy.quiet_hours
    since, until = (
        (quiet.since(opening.planned_at, here), quiet.release_at(opening.planned_at, here)) if quiet else (None,) * 2
    )
    if since is None or until is None:
        return opening.fire_at, opening.fire_at
    # Jitter moves what fires near the end beyond it.
    return since, until - definition.trigger.jitter


def first_fire_at(schedule: Planned, *, now: datetime) -> datetime | None:
    """Return the next fire time of a schedule that is resumed or edited at `now`; None when it has none left.

    Never one that was skipped or snoozed ahead of its time: `passed_until` outlives pauses and edits of the prompt.
    """
    return _next(schedule, schedule.fire_count, Walk(schedule.definition.trigger), now)


def fire_after_pause(schedule: Planned, *, paused_until: datetime | None, now: datetime) -> datetime | None:
    """Return the next fire time of a paused schedule that goes on at `now`; a one-off keeps its own, and arrives late.

    It goes on from `now`, or from the end that the pause was given when nobody was there then: what came after it
    was missed, and is catch-up's.
    """
    if schedule.definition.trigger.kind is TriggerKind.ONCE:
        return schedule.next_fire_at
    since = now if paused_until is None or paused_until > now else paused_until - _TICK
    return first_fire_at(schedule, now=since)


def _is_plain(schedule: Planned, *, first: datetime, now: datetime) -> bool:
    """Whether a fire time that is planned when it comes is opened as it is, with no policy that has a say.

    A short cut, nearly always taken: what it leads to is what the long way comes to.
    """
    definition = schedule.definition
    policy = definition.policy
    return (
        policy.quiet_hours is None
        and policy.skip_on is None
        and definition.max_repetitions is None
        and schedule.passed_until is None
        and not definition.trigger.jitter
        and policy.expires_after is None
        and policy.catch_up_window is None
        and now - first <= limits.MISFIRE_GRACE
    )


def _nothing(schedule: Planned) -> Plan[D]:
    return Plan(
        openings=(),
        superseded=(),
        passed_over=0,
        passed_over_reason=None,
        next_fire_at=schedule.next_fire_at,
        fire_count=schedule.fire_count,
    )


def _open(schedule: Planned, walk: Walk, *, first: datetime, now: datetime) -> tuple[list[Opening], int]:
    """Return an opening for each fire time that gets a row, oldest first, and how many fire times there were in all."""
    definition = schedule.definition
    if definition.trigger.kind is TriggerKind.ONCE:
        return [opening_of(definition, schedule.uid, first, now=now)], 1
    window = definition.policy.catch_up_window
    if definition.policy.catch_up is CatchUp.SKIP:
        window = min(window, limits.MISFIRE_GRACE) if window else limits.MISFIRE_GRACE
    not_before = max(first, now - window) if window else first
    if walk.is_fire(first):
        following = walk.next_after(first)
        if following is None or following > now:  # nearly always: it is planned when it comes
            if first < not_before:
                return [], 1
            return [opening_of(definition, schedule.uid, first, now=now, following=following)], 1
    chosen, total = _choose(schedule, first=first, not_before=not_before, now=now)
    return [opening_of(definition, schedule.uid, fire_at, now=now) for fire_at in chosen], total


def _choose(schedule: Planned, *, first: datetime, not_before: datetime, now: datetime) -> tuple[list[datetime], int]:
    """Return which of several fire times get a row, oldest first, and how many there were in all."""
    trigger, policy = schedule.definition.trigger, schedule.definition.policy
    total = count_fires(trigger, after=first - _TICK, until=now, limit=limits.MISSED_COUNT_MAX)
    if policy.catch_up is CatchUp.ALL:
        chosen = _newest(schedule, not_before=not_before, now=now)
    else:
        chosen = _newest_standing(schedule, not_before=not_before, now=now)
    repetitions = schedule.definition.max_repetitions
    if repetitions is not None:
        chosen = chosen[: max(1, repetitions - schedule.fire_count)]
    return chosen, max(total, len(chosen))


def _newest(schedule: Planned, *, not_before: datetime, now: datetime) -> list[datetime]:
    found: list[datetime] = []
    until = now
    while len(found) < limits.CATCH_UP_ALL_MAX:
        fire_at = last_fire_at(schedule.definition.trigger, not_before=not_before, not_after=until)
        if fire_at is None:
            break
        found.append(fire_at)
        until = fire_at - _TICK
    return found[::-1]


def _newest_standing(schedule: Planned, *, not_before: datetime, now: datetime) -> list[datetime]:
    """Return the newest fire time that no holiday and no quiet hours skip; the newest of all when there is none.

    A stretch that skips is left in one step, and CATCH_UP_STRETCHES_MAX of them are looked behind.
    """
    definition = schedule.definition
    newest: datetime | None = None
    until = now
    for _ in range(limits.CATCH_UP_STRETCHES_MAX):
        fire_at = last_fire_at(definition.trigger, not_before=not_before, not_after=until)
        if fire_at is None:
            break
        newest = newest or fire_at
        opening = opening_of(definition, schedule.uid, fire_at)
        if opening.skip_reason is None:
            return [fire_at]
        # Jitter ends before the next fire time: what fires within the stretch is planned within it.
        until = min(fire_at, silence_around(definition, opening)[0]) - _TICK
    return [] if newest is None else [newest]


def _jitter(definition: Definition, uid: str, fire_at: datetime, following: datetime | None) -> timedelta:
    """Return the jitter, kept within the gap to the next fire time, which would supersede it unsent."""
    trigger = definition.trigger
    jitter = jitter_for(trigger, fire_at=fire_at, schedule_uid=uid)
    if jitter and following is None:
        following = next_fire_at(trigger, after=fire_at)
    return jitter if following is None else jitter % (following - fire_at)


def _not_yet_open(openings: list[Opening], unfinished: Sequence[D]) -> list[Opening]:
    """Leave out what has a delivery on its way: a clock that was set back lets a fire time come again.

    Opened anew it would replace that very delivery, and then not be stored, since it has its row.
    """
    known = {one.fire_at for one in unfinished if one.kind is DeliveryKind.SCHEDULED}
    return [opening for opening in openings if opening.fire_at not in known]


def _without_overlap(schedule: Planned, openings: list[Opening], unfinished: Sequence[D]) -> list[Opening]:
    """Skip what overlaps. `catch_up all` queues whatever `overlap` says: skipping would undo what it asks for.

    A run-now leaves the schedule alone: it makes no fire time overlap; the lane keeps the two apart.
    """
    policy = schedule.definition.policy
    if not unfinished and len(openings) == 1:
        return openings
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


def _superseded(schedule: Planned, unfinished: Sequence[D], *, by: datetime) -> tuple[D, ...]:
    """Return what the fire time `by` replaces: only what is older, for the clock may have been set back."""
    if schedule.definition.policy.catch_up is CatchUp.ALL:
        return ()
    return tuple(
        delivery
        for delivery in unfinished
        if delivery.kind is DeliveryKind.SCHEDULED
        and delivery.state is DeliveryState.PENDING
        and delivery.attempts == 0
        and delivery.fire_number > 0  # not one that a person asked for again
        and delivery.fire_at < by
    )


def _skipped_anyway(schedule: Planned, *, after: datetime, until: datetime) -> int:
    """Count the fire times that holidays or quiet hours would have skipped: nobody missed them."""
    definition = schedule.definition
    quiet = definition.policy.quiet_hours
    if definition.policy.skip_on is None and (quiet is None or quiet.mode is not QuietMode.SKIP):
        return 0
    passed = islice(fire_times(definition.trigger, after=after, until=until), limits.MISSED_COUNT_MAX)
    return sum(opening_of(definition, schedule.uid, fire_at).skip_reason is not None for fire_at in passed)


def _stands_for_missed(schedule: Planned) -> bool:
    return schedule.definition.policy.catch_up is not CatchUp.ALL


def _skip(opening: Opening, reason: str) -> Opening:
    return opening if opening.skip_reason is not None else opening._replace(skip_reason=reason)


def _passed_over_reason(schedule: Planned, *, has_standing: bool) -> str:
    policy = schedule.definition.policy
    if policy.catch_up is CatchUp.LATEST and has_standing:
        return "catch-up latest: the newest fire time stands for them"
    return f"catch-up {policy.catch_up}: they passed while nothing could fire them"


def _next(schedule: Planned, fire_count: int, walk: Walk, now: datetime) -> datetime | None:
    repetitions = schedule.definition.max_repetitions
    if repetitions is not None and fire_count >= repetitions:
        return None
    passed_until = schedule.passed_until
    return walk.next_after(now if passed_until is None else max(now, passed_until))
