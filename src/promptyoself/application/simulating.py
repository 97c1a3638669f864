"""Use case of a simulation: what the database holds, and a run over it. Reads only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from promptyoself.application import schedules
from promptyoself.application.forecast import Forecast, too_many
from promptyoself.application.schedules import Caller
from promptyoself.application.simulation import Outage, Scene, Simulation
from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.models import FINAL_STATES, OPERATOR, Delivery, DeliveryState, Schedule, ScheduleState
from promptyoself.domain.planning import fire_after_pause
from promptyoself.domain.ports import DeliveryFilter, ScheduleFilter, Tx
from promptyoself.domain.triggers import TriggerKind, count_fires
from promptyoself.domain.values import dataclass, replace

_HOUR = timedelta(hours=1)
_UNFINISHED = [state for state in DeliveryState if state not in FINAL_STATES]
_USES_NOTHING = {DeliveryState.SKIPPED, DeliveryState.CANCELLED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked: fire times from `begin_at` to `until` (aware UTC, both inclusive)."""

    begin_at: datetime
    until: datetime
    timezone: str
    """Whose days are counted."""
    run_time: timedelta
    outages: Sequence[Outage]
    rows_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What there is to simulate, and which schedules were asked about (None: all of them)."""

    scene: Scene
    shown: frozenset[int] | None
    warnings: list[str]


def scene_of(tx: Tx, *, caller: Caller, agent_id: str | None, ids: Collection[int] | None, now: datetime) -> Gathered:
    """Read the live schedules that were asked about, and those that share a lane or a guard's limit with them.

    Raises ScheduleNotFound for an id that the caller may not see, and InvalidInput for one that is finished.
    """
    mine = None if caller.is_operator else caller.owner
    live = tx.schedules(ScheduleFilter(agent_id=mine, states=schedules.LIVE_STATES, limit=limits.LIST_MAX))
    asked = None
    if ids is not None:
        asked = frozenset(_live_id(tx, one, caller=caller) for one in ids)
    elif agent_id is not None:
        asked = frozenset(one.id for one in live if one.definition.agent_id == agent_id)
    taking_part = live if asked is None else _joined(live, asked)
    warnings = []
    if len(live) == limits.LIST_MAX:
        warnings.append(f"only the first {limits.LIST_MAX} live schedules take part")
    lanes = None if asked is None else {one.lane for one in taking_part}
    stored = tx.deliveries(DeliveryFilter(agent_id=mine, states=_UNFINISHED, limit=limits.LIST_MAX))
    unfinished = []
    for delivery in stored:
        schedule = tx.schedule(delivery.schedule_id)
        if schedule is not None and (lanes is None or delivery.lane in lanes):
            unfinished.append((delivery, schedule))
    newest = tx.deliveries(DeliveryFilter(limit=1))
    scene = Scene(
        now=now,
        schedules=taking_part,
        unfinished=unfinished,
        used=_used(tx, taking_part, now=now),
        left_out=_left_out(tx, taking_part, now=now),
        last_delivery_id=newest[0].id if newest else 0,
        stop=tx.stop_switch(),
    )
    return Gathered(scene=scene, shown=asked, warnings=warnings)


def simulate(gathered: Gathered, question: Question) -> Forecast:
    """Run through time. Raises InvalidInput for a span that is empty, too long, or holds too many fire times."""
    scene = gathered.scene
    if question.until <= question.begin_at:
        raise InvalidInput("the span is empty: it ends before it begins", hint="give a later --until, or --for 7d")
    if question.until - min(scene.now, question.begin_at) > limits.SPAN_SIMULATED_MAX:
        raise InvalidInput(
            f"the span reaches further than {limits.SPAN_SIMULATED_MAX.days} days", hint="give an earlier end"
        )
    if question.begin_at < scene.now:
        scene = _in_the_past(scene, question.begin_at)
        gathered.warnings.append(
            "the span begins in the past: it shows the schedules as they are now, and nothing of what was pending"
        )
    _check_cost(scene, question.until)
    forecast = Forecast(
        begin_at=question.begin_at, timezone=question.timezone, rows_max=question.rows_max, shown=gathered.shown
    )
    Simulation(scene, forecast, run_time=question.run_time, outages=question.outages).run(question.until)
    return forecast


def _live_id(tx: Tx, schedule_id: int, *, caller: Caller) -> int:
    schedule = schedules.find(tx, schedule_id, caller=caller)
    if schedule.state not in schedules.LIVE_STATES:
        raise InvalidInput(
            f"schedule {schedule_id} is {schedule.state} and does not fire again",
            hint="promptyoself list shows those that do",
        )
    return schedule.id


def _joined(live: Sequence[Schedule], asked: Collection[int]) -> list[Schedule]:
    """Return those asked about with all that may make them wait, or use up their owner's hour, and so on."""
    found = {one.id: one for one in live if one.id in asked}
    while True:
        lanes = {one.lane for one in found.values()}
        owners = {one.provenance.owner for one in found.values()} - {OPERATOR}
        more = {one.id: one for one in live if one.lane in lanes or one.provenance.owner in owners}
        if len(more) == len(found):
            return [found[number] for number in sorted(found)]
        found = more


def _used(tx: Tx, taking_part: Sequence[Schedule], *, now: datetime) -> list[tuple[str, datetime]]:
    """Return what counts for the guard within the hour before `now`; owners are few, and their deliveries limited."""
    used = []
    for owner in {one.provenance.owner for one in taking_part} - {OPERATOR}:
        newest = tx.deliveries(DeliveryFilter(owner=owner, limit=limits.LIST_MAX // 10))
        used += [(owner, one.created_at) for one in newest if _uses(one) and one.created_at >= now - _HOUR]
    return used


def _left_out(tx: Tx, taking_part: Sequence[Schedule], *, now: datetime) -> list[tuple[Delivery, Schedule]]:
    """Return the fire times ahead that were skipped by hand, in order; each has its row."""
    found = []
    for schedule in taking_part:
        if schedule.passed_until is not None and schedule.passed_until > now:
            where = DeliveryFilter(schedule_id=schedule.id, states=[DeliveryState.SKIPPED], limit=limits.LIST_MAX // 10)
            found += [(one, schedule) for one in tx.deliveries(where) if now < one.fire_at <= schedule.passed_until]
    return sorted(found, key=lambda one: (one[0].fire_at, one[0].id))


def _uses(delivery: Delivery) -> bool:
    return delivery.state not in _USES_NOTHING


def _in_the_past(scene: Scene, begin_at: datetime) -> Scene:
    moved = [_moved(schedule, begin_at) for schedule in scene.schedules]
    return replace(scene, now=begin_at, schedules=moved, unfinished=(), used=())


def _moved(schedule: Schedule, begin_at: datetime) -> Schedule:
    if schedule.state is ScheduleState.PAUSED or schedule.definition.trigger.kind is TriggerKind.ONCE:
        return schedule
    first = fire_after_pause(schedule, paused_until=begin_at, now=begin_at)
    return replace(schedule, next_fire_at=first)


def _check_cost(scene: Scene, until: datetime) -> None:
    """Refuse at once what would take minutes to refuse: the first days of a long span tell what the whole costs."""
    span = until - scene.now
    if span <= limits.SAMPLE_SPAN * 2:
        return
    weeks = span / limits.SAMPLE_SPAN
    most = limits.FIRES_SIMULATED_MAX * limits.SAMPLE_EXCESS
    total, costliest = 0, (0, 0)
    for schedule in scene.schedules:
        fires = _fires_in_all(schedule, scene.now, weeks)
        total += fires
        costliest = max(costliest, (fires, schedule.id))
        if total > most:
            raise too_many(costliest[1], costliest[0])


def _fires_in_all(schedule: Schedule, now: datetime, weeks: float) -> int:
    """Return about how often a schedule fires in so many weeks, from how often it does in the first."""
    limit = int(limits.FIRES_SIMULATED_MAX * limits.SAMPLE_EXCESS / weeks) + 1
    first_days = now + limits.SAMPLE_SPAN
    fires = int(count_fires(schedule.definition.trigger, after=now, until=first_days, limit=limit) * weeks)
    repetitions = schedule.definition.max_repetitions
    return fires if repetitions is None else min(fires, max(0, repetitions - schedule.fire_count))
