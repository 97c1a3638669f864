"""What a simulation moves through time: schedules, deliveries, lanes, and what an agent has used of the guard's hour.

They change in place, and hold only what a decision asks for: a year of a thousand schedules is half a million of them.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from promptyoself.domain import guard, limits
from promptyoself.domain.models import Delivery, DeliveryKind, DeliveryState, Schedule, ScheduleState
from promptyoself.domain.planning import Opening
from promptyoself.domain.ports import GuardUsage
from promptyoself.domain.triggers import Walk

if TYPE_CHECKING:
    from promptyoself.application.forecast import Day, Minutes, Row, Tally

_HOUR: Final = timedelta(hours=1)


class Ledger:
    """When the deliveries of one agent's schedules were made, within the last hour."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: deque[datetime] = deque()

    def add(self, created_at: datetime) -> None:
        """Count a delivery; instants never go back."""
        self._made.append(created_at)

    def remove(self, created_at: datetime) -> None:
        """Count one no longer: it was skipped before it was sent."""
        if created_at in self._made:
            self._made.remove(created_at)

    def allowance(self, now: datetime) -> int:
        """Return how many more the guard permits at `now`."""
        while self._made and self._made[0] < now - _HOUR:
            self._made.popleft()
        usage = GuardUsage(active=0, created_last_hour=0, deliveries_last_hour=len(self._made))
        return guard.allowance(usage)


class Course:
    """One schedule on its way through time; planning takes it for a schedule."""

    __slots__ = (
        "definition", "fire_count", "fires", "id", "is_paused", "lane", "ledger", "minutes", "next_fire_at",
        "passed_until", "paused_until", "schedule", "state", "tally", "uid", "unfinished", "walk",
    )  # fmt: skip

    tally: Tally
    """Its sums."""
    minutes: Minutes | None
    """Its agent's fire times by minute; None when nobody asks about it. Both are the forecast's."""

    def __init__(self, schedule: Schedule, lane: Lane, ledger: Ledger | None) -> None:
        self.id = schedule.id
        self.uid = schedule.uid
        self.schedule = schedule
        self.definition = schedule.definition
        self.next_fire_at = schedule.next_fire_at
        self.fires = 0
        """Fire times so far, whoever asked about them."""
        self.passed_until = schedule.passed_until
        self.fire_count = schedule.fire_count
        self.is_paused = schedule.state is ScheduleState.PAUSED
        self.paused_until = schedule.paused_until
        self.state = ScheduleState.ACTIVE if self.is_paused else schedule.state
        self.lane = lane
        self.ledger = ledger
        """None: an operator's, without limits."""
        self.walk = Walk(schedule.definition.trigger)
        self.unfinished: list[Duty] = []


class Duty:
    """One delivery; planning takes it for one that is stored."""

    __slots__ = (
        "attempts", "course", "created_at", "day", "due_at", "ends_at", "fire_at", "fire_number", "id", "is_forgotten",
        "is_held", "kind", "lane", "missed", "origin", "planned_at", "row", "state",
    )  # fmt: skip

    def __init__(
        self, id: int, course: Course, lane: Lane, opening: Opening, number: int, row: Row | None, now: datetime
    ) -> None:  # fmt: skip
        self.id = id
        self.course = course
        self.lane = lane
        self.fire_at = opening.fire_at
        self.planned_at = self.due_at = opening.planned_at
        self.missed = opening.missed
        self.fire_number = number
        self.kind = DeliveryKind.SCHEDULED
        self.state = DeliveryState.PENDING
        self.attempts = 0
        self.row = row
        self.created_at = now
        self.ends_at: datetime | None = None
        self.day: Day | None = None
        """The day whose sums it counts in, if any."""
        self.is_held = opening.is_held
        """True when quiet hours have put it off."""
        self.is_forgotten = False
        """True when it was in the database and is dealt with before the span begins."""
        self.origin: Delivery | None = None
        """The delivery that the database holds."""

    @classmethod
    def stored(cls, delivery: Delivery, course: Course, lane: Lane) -> Duty:
        """Return an unfinished delivery of the database."""
        opening = Opening(delivery.fire_at, delivery.planned_at, missed=delivery.missed)
        duty = cls(delivery.id, course, lane, opening, delivery.fire_number, None, delivery.created_at)
        duty.due_at = delivery.due_at
        duty.kind = delivery.kind
        duty.state = delivery.state
        duty.attempts = delivery.attempts
        duty.origin = delivery
        return duty


class Lane:
    """The queue of one agent at one target: one prompt at a time.

    Whose turn it is within a schedule is told as the store tells it: the earliest unfinished of its kind alone.
    """

    __slots__ = (
        "_later",
        "_only",
        "_queues",
        "_ready",
        "ends_at",
        "ends_late",
        "in_flight",
        "number",
        "waiting",
        "wake_at",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.in_flight: Duty | None = None
        self.ends_at = limits.INSTANT_MIN
        """When what is in flight ends, or ended."""
        self.ends_late = False
        """True when nobody is there to see it end: then it is recorded after the next planning."""
        self.wake_at: datetime | None = None
        self.waiting = 0
        """How many are pending in it."""
        self._only: Duty | None = None
        """What is pending while nothing else is, which is nearly always: then there is nothing to order."""
        self._queues: dict[int, deque[Duty]] = {}
        self._ready: list[tuple[datetime, int, Duty]] = []
        self._later: list[tuple[datetime, int, Duty]] = []

    def add(self, duty: Duty, now: datetime) -> None:
        """Queue a pending delivery behind those of its schedule."""
        self.waiting += 1
        if self.waiting == 1:
            self._only = duty
            return
        if self._only is not None:
            only, self._only = self._only, None
            self._enqueue(only, now)
        self._enqueue(duty, now)

    def offer(self, duty: Duty, now: datetime) -> None:
        """Let a delivery have the turn of its schedule, if it is the first there."""
        if duty is not self._only and self._queue(duty)[0] is duty:
            self._offer(duty, now)

    def next_due(self, now: datetime) -> Duty | None:
        """Return what is to be sent now, or None: of those due the one with the oldest fire time."""
        only = self._only
        if only is not None:
            return only if only.due_at <= now and not _is_held_back(only) else None
        while self._later and self._later[0][0] <= now:
            duty = heappop(self._later)[2]
            heappush(self._ready, (duty.fire_at, duty.id, duty))
        while self._ready:
            duty = self._ready[0][2]
            if duty.state is DeliveryState.PENDING and not _is_held_back(duty):
                return duty
            heappop(self._ready)
        return None

    def take(self, duty: Duty, now: datetime) -> None:
        """Take what next_due has returned out of the queue."""
        if duty is not self._only:
            heappop(self._ready)
        self.drop(duty, now)

    def put_off(self, duty: Duty, now: datetime) -> None:
        """Let what next_due has returned wait for its new due time."""
        if duty is not self._only:
            heappop(self._ready)
            self._offer(duty, now)

    def drop(self, duty: Duty, now: datetime) -> None:
        """Take a delivery out of the queue of its schedule, wherever it stands there."""
        self.waiting -= 1
        if duty is self._only:
            self._only = None
            return
        queue = self._queue(duty)
        if queue and queue[0] is duty:
            queue.popleft()
            if queue:
                self._offer(queue[0], now)
        elif duty in queue:
            queue.remove(duty)

    def _enqueue(self, duty: Duty, now: datetime) -> None:
        queue = self._queue(duty)
        queue.append(duty)
        if len(queue) == 1:
            self._offer(duty, now)

    def _offer(self, duty: Duty, now: datetime) -> None:
        if duty.due_at <= now:
            heappush(self._ready, (duty.fire_at, duty.id, duty))
        else:
            heappush(self._later, (duty.due_at, duty.id, duty))

    def _queue(self, duty: Duty) -> deque[Duty]:
        # A run-now waits for no fire time of its schedule, and none for it.
        key = duty.course.id if duty.kind is DeliveryKind.SCHEDULED else -duty.course.id
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = deque()
        return queue


def _is_held_back(duty: Duty) -> bool:
    return duty.course.is_paused and duty.kind is DeliveryKind.SCHEDULED
