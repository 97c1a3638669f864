"""What would happen: every fire time of many schedules over a span, by the production rules under simulated time.

Pure: schedules, unfinished deliveries and a question go in, a `Forecast` comes out; nothing is stored and no clock is
read. What is decided is decided by planning, quiet hours, jitter and guard themselves. What the dispatcher does is
modelled here, and docs/simulate.md says how: a lane carries one prompt at a time, the oldest fire time of those due
first; an agent takes `run_time` for each; no prompt fails, and no target is too busy. At one instant a prompt that ends
comes first, then planning, then sending.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush, heapreplace
from typing import Final

from promptyoself.application.forecast import Forecast
from promptyoself.application.simulated import Course, Duty, Lane, Ledger
from promptyoself.domain import limits, retry
from promptyoself.domain.models import OPERATOR, Delivery, DeliveryState, Schedule, ScheduleState, StopSwitch
from promptyoself.domain.planning import Opening, Plan, fire_after_pause, plan
from promptyoself.domain.triggers import TriggerKind, fire_times
from promptyoself.domain.values import dataclass

_TICK: Final = timedelta(microseconds=1)
_END, _PLAN, _LOOK = range(3)
"""What comes first at one instant."""

_Event = tuple[datetime, int, datetime, int, Course | Lane]
"""When, which of the three, since when it was due, id, and for whom. A pass plans what was due first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A stretch in which nothing plans and nothing sends: `begin_at` inclusive, `end_at` exclusive, aware UTC."""

    begin_at: datetime
    end_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What there is when a simulation begins."""

    now: datetime
    schedules: Sequence[Schedule]
    unfinished: Sequence[tuple[Delivery, Schedule]] = ()
    """Deliveries that are not final, each with its schedule, which may have ended."""
    used: Sequence[tuple[str, datetime]] = ()
    """Owner and creation of each delivery that counts for the guard and is not among `unfinished`."""
    left_out: Sequence[tuple[Delivery, Schedule]] = ()
    """Fire times ahead that are skipped already, by hand, by fire time."""
    last_delivery_id: int = 0
    stop: StopSwitch | None = None


class Simulation:
    """One run through time. `run` may be called once."""

    def __init__(
        self, scene: Scene, forecast: Forecast, *, run_time: timedelta, outages: Iterable[Outage] = ()
    ) -> None:
        self._now = scene.now
        self._forecast = forecast
        self._run_time = run_time
        self._outages = _merged(outages)
        self._dark_from = self._outages[0].begin_at if self._outages else limits.INSTANT_MAX
        self._stop = scene.stop
        self._last_id = scene.last_delivery_id
        self._lanes: dict[str, Lane] = {}
        self._ledgers: dict[str, Ledger] = {}
        self._courses: dict[int, Course] = {}
        self._touched: list[Lane] = []
        self._left_out = deque(scene.left_out)
        self._left_out_at = self._left_out[0][0].fire_at if self._left_out else limits.INSTANT_MAX
        self._events: list[_Event] = []
        self._set(scene)

    def run(self, until: datetime) -> None:
        """Go through time up to `until`, inclusive. Raises InvalidInput when more fires than FIRES_SIMULATED_MAX."""
        events, touched = self._events, self._touched
        plan_or_resume, look = self._plan_or_resume, self._look
        while events and events[0][0] <= until:
            now, what, due_at, number, who = events[0]
            if now >= self._dark_from and self._is_dark(now):
                heapreplace(events, (self._outages[0].end_at, _LOOK if what == _END else what, due_at, number, who))
                continue
            if now >= self._left_out_at:
                self._leave_out(now)
            if isinstance(who, Course):
                again_at = plan_or_resume(who, now)
                if again_at is None:
                    heappop(events)
                else:
                    heapreplace(events, (again_at, _PLAN, again_at, number, who))
            else:
                heappop(events)
                look(who, now)
            if touched and not (events and events[0][0] == now and events[0][1] == _PLAN):
                for lane in touched:
                    look(lane, now)
                touched.clear()
        self._leave_out(until)
        for lane in self._lanes.values():
            self._settle(lane, until)
        self._forecast.finish(self._courses.values())

    # -- the beginning --------------------------------------------------------------------------------------

    def _set(self, scene: Scene) -> None:
        for owner, created_at in sorted(scene.used, key=lambda one: one[1]):
            self._ledger(owner).add(created_at)
        for schedule in scene.schedules:
            course = self._course(schedule)
            at = course.paused_until if course.is_paused else course.next_fire_at
            if at is not None:
                self._events.append((max(at, scene.now), _PLAN, at, course.id, course))
        for delivery, schedule in sorted(scene.unfinished, key=lambda one: (one[0].fire_at, one[0].id)):
            self._carry_over(delivery, schedule)
        heapify(self._events)

    def _course(self, schedule: Schedule) -> Course:
        known = self._courses.get(schedule.id)
        if known is None:
            owner = schedule.provenance.owner
            ledger = None if owner == OPERATOR else self._ledger(owner)
            known = Course(schedule, self._lane(schedule.lane), ledger)
            self._courses[schedule.id] = known
            self._forecast.expect(known)
        return known

    def _ledger(self, owner: str) -> Ledger:
        return self._ledgers.setdefault(owner, Ledger())

    def _lane(self, name: str) -> Lane:
        return self._lanes.setdefault(name, Lane(len(self._lanes)))

    def _carry_over(self, delivery: Delivery, schedule: Schedule) -> None:
        """Take over what the database holds: what is in flight ends as others do, what is pending waits its turn."""
        course = self._course(schedule)
        duty = Duty.stored(delivery, course, self._lane(delivery.lane))
        course.unfinished.append(duty)
        self._forecast.carried(duty)
        lane = duty.lane
        if delivery.state is DeliveryState.PENDING:
            lane.add(duty, self._now)
        elif lane.in_flight is None:
            since = delivery.accepted_at or delivery.sent_at or self._now
            self._fly(lane, duty, ends_at=max(self._now, since + self._run_time))
        self._events.append((max(self._now, duty.due_at), _LOOK, duty.due_at, lane.number, lane))

    # -- planning -------------------------------------------------------------------------------------------

    def _plan_or_resume(self, course: Course, now: datetime) -> datetime | None:
        """Do what a planner pass does with a due schedule; return when it is due next."""
        if course.is_paused:
            self._resume(course, now)
        first = course.next_fire_at
        if first is None or first > now:
            return first
        if course.unfinished:
            self._see_ends(course, now)
        ledger = course.ledger
        decided = plan(
            course,
            unfinished=course.unfinished,
            now=now,
            allowance=None if ledger is None else ledger.allowance(now),
            walk=course.walk,
        )
        for old in decided.superseded:
            self._end(old, now, "superseded by the next fire time", is_superseded=True)
        for opening in decided.openings:
            self._open(course, opening, now)
        if decided.passed_over:
            self._pass_over(course, decided, first, now)
        course.next_fire_at = decided.next_fire_at
        course.fire_count = decided.fire_count
        if decided.pause_reason is not None:
            course.is_paused, course.paused_until = True, None
            self._forecast.paused(course, decided.pause_reason, now)
            return None
        if decided.next_fire_at is None:
            self._complete_if_over(course, now)
        return decided.next_fire_at

    def _resume(self, course: Course, now: datetime) -> None:
        course.next_fire_at = fire_after_pause(course, paused_until=course.paused_until, now=now)
        course.is_paused, course.paused_until = False, None
        for duty in course.unfinished:
            if duty.state is DeliveryState.PENDING:
                duty.lane.offer(duty, now)
                self._touch(duty.lane)
        self._complete_if_over(course, now)

    def _see_ends(self, course: Course, now: datetime) -> None:
        """Record what of it has ended before planning at `now`."""
        for duty in course.unfinished:
            if duty.ends_at is not None and self._has_ended(duty.lane, now):
                self._settle(duty.lane, now)
                break

    def _open(self, course: Course, opening: Opening, now: datetime) -> None:
        self._last_id += 1
        forecast = self._forecast
        day, row = forecast.fired(course, opening.fire_at, now)
        if opening.skip_reason is not None:
            forecast.skipped(course, day, row, opening.skip_reason)
            return
        lane = course.lane
        duty = Duty(self._last_id, course, lane, opening, 1, row, now)  # its number says only that the rule made it
        duty.day = day
        if row is not None or opening.is_held:
            forecast.opened(duty, is_held=opening.is_held)
        if course.ledger is not None:
            course.ledger.add(now)
        course.unfinished.append(duty)
        lane.add(duty, now)
        if duty.due_at <= now:
            self._touch(lane)
        else:
            heappush(self._events, (duty.due_at, _LOOK, duty.due_at, lane.number, lane))

    def _pass_over(self, course: Course, decided: Plan[Duty], first: datetime, now: datetime) -> None:
        opened = {opening.fire_at for opening in decided.openings}
        if course.definition.trigger.kind is TriggerKind.ONCE:
            return
        for fire_at in fire_times(course.definition.trigger, after=first - _TICK, until=now):
            if fire_at not in opened:
                day, row = self._forecast.fired(course, fire_at, now)
                self._forecast.skipped(course, day, row, decided.passed_over_reason or "", "missed")

    def _leave_out(self, now: datetime) -> None:
        """Tell of the fire times up to `now` that somebody has skipped."""
        while self._left_out and self._left_out_at <= now:
            delivery, schedule = self._left_out.popleft()
            self._forecast.left_out(self._course(schedule), delivery)
            self._left_out_at = self._left_out[0][0].fire_at if self._left_out else limits.INSTANT_MAX

    # -- lanes ----------------------------------------------------------------------------------------------

    def _touch(self, lane: Lane) -> None:
        """Look at the lane when everything that is due at this instant is planned."""
        if not self._touched or self._touched[-1] is not lane:
            self._touched.append(lane)

    def _look(self, lane: Lane, now: datetime) -> None:
        """Do what a lane's runner does: end what has ended, then send what is due, the oldest fire time first."""
        if lane.in_flight is not None and lane.ends_at <= now:
            self._settle(lane, now)
        while lane.in_flight is None:
            duty = lane.next_due(now)
            if duty is None:
                return
            if self._is_stopped(lane, now):
                return
            if self._is_kept_back(duty, now):
                continue
            lane.take(duty, now)
            self._forecast.sent(duty, now)
            self._fly(lane, duty, ends_at=now + self._run_time)
            if not self._run_time:
                self._settle(lane, now)
        if lane.waiting and lane.wake_at != lane.ends_at:
            lane.wake_at = lane.ends_at
            heappush(self._events, (lane.ends_at, _LOOK if lane.ends_late else _END, lane.ends_at, lane.number, lane))

    def _is_stopped(self, lane: Lane, now: datetime) -> bool:
        stop = self._stop
        if stop is None or (stop.until is not None and stop.until <= now):
            return False
        if stop.until is not None:
            heappush(self._events, (stop.until, _LOOK, stop.until, lane.number, lane))
        return True

    def _is_kept_back(self, duty: Duty, now: datetime) -> bool:
        """Ask of a due delivery what the dispatcher asks before it sends; end it, or hold it, if it is not to go."""
        stored, definition = duty.origin, duty.course.definition
        if stored is not None:
            step = retry.before_send(stored, duty.course.schedule, now=now)
            if step is None:
                return False
            if step.delivery.state is DeliveryState.PENDING:
                duty.origin = step.delivery
                self._hold(duty, step.delivery.due_at, now)
            else:
                self._end(duty, now, step.text or step.delivery.reason or "")
            return True
        if definition.policy.has_expired(duty.fire_at, now=now):
            self._end(duty, now, "expired: expires_after has passed")
            return True
        # What goes out at its planned instant needs no question: planning has put that out of quiet hours.
        held_until = retry.held_by_quiet_hours(definition, now=now) if now > duty.planned_at else None
        if held_until is None:
            return False
        self._hold(duty, held_until, now)
        return True

    def _hold(self, duty: Duty, until: datetime, now: datetime) -> None:
        """Put off what came late into quiet hours."""
        duty.due_at = until
        duty.lane.put_off(duty, now)
        self._forecast.held(duty)
        heappush(self._events, (until, _LOOK, until, duty.lane.number, duty.lane))

    def _fly(self, lane: Lane, duty: Duty, *, ends_at: datetime) -> None:
        """Let the agent work; an end that nobody sees is recorded after the outage, when all that is due is planned."""
        lane.ends_late = False
        if ends_at >= self._dark_from:
            at = bisect_right(self._outages, ends_at, key=lambda one: one.begin_at) - 1
            if at >= 0 and ends_at < self._outages[at].end_at:
                ends_at, lane.ends_late = self._outages[at].end_at, True
        duty.state = DeliveryState.ACCEPTED
        duty.ends_at = lane.ends_at = ends_at
        lane.in_flight = duty

    def _has_ended(self, lane: Lane, now: datetime) -> bool:
        """Whether its prompt has ended before planning at `now`."""
        return lane.ends_at < now or (lane.ends_at == now and not lane.ends_late)

    def _settle(self, lane: Lane, now: datetime) -> None:
        """Record the end of what is in flight, if it has come."""
        duty = lane.in_flight
        if duty is None or lane.ends_at > now:
            return
        lane.in_flight = None
        duty.state = DeliveryState.DELIVERED
        if duty.origin is not None:
            self._forecast.settled(duty, lane.ends_at)
        duty.course.unfinished.remove(duty)
        if duty.course.next_fire_at is None:
            self._complete_if_over(duty.course, lane.ends_at)

    def _end(self, duty: Duty, now: datetime, reason: str, *, is_superseded: bool = False) -> None:
        """End what was never sent."""
        duty.state = DeliveryState.SKIPPED
        duty.lane.drop(duty, now)
        course = duty.course
        course.unfinished.remove(duty)
        if course.ledger is not None:
            course.ledger.remove(duty.created_at)
        self._forecast.ended(duty, reason, now, is_superseded=is_superseded)
        if course.next_fire_at is None and not is_superseded:
            self._complete_if_over(course, now)

    def _complete_if_over(self, course: Course, now: datetime) -> None:
        is_live = course.state is ScheduleState.ACTIVE and not course.is_paused
        if is_live and course.next_fire_at is None and not course.unfinished:
            course.state = ScheduleState.COMPLETED
            self._forecast.completed(course, now)

    # -- outages --------------------------------------------------------------------------------------------

    def _is_dark(self, now: datetime) -> bool:
        while self._outages and self._outages[0].end_at <= now:
            del self._outages[0]
        self._dark_from = self._outages[0].begin_at if self._outages else limits.INSTANT_MAX
        return now >= self._dark_from


def _merged(outages: Iterable[Outage]) -> list[Outage]:
    found: list[Outage] = []
    for one in sorted(outages, key=lambda one: one.begin_at):
        if found and one.begin_at <= found[-1].end_at:
            last = found.pop()
            one = Outage(begin_at=last.begin_at, end_at=max(last.end_at, one.end_at))  # noqa: PLW2901  the two are one
        found.append(one)
    return found
