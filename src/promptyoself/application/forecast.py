"""What a simulation has seen: sums by day and schedule, the first rows, and what would go wrong.

Sums count everything; rows, examples and endings are kept up to a bound, so that a year takes little more memory than
a day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.localtime import resolve, to_wall
from promptyoself.domain.models import DeliveryState
from promptyoself.domain.triggers import zone

if TYPE_CHECKING:
    from collections.abc import Collection

    from promptyoself.application.simulated import Course, Duty
    from promptyoself.domain.models import Delivery

_MINUTE: Final = timedelta(minutes=1)
_NO_TIME: Final = timedelta(0)
_TICK: Final = timedelta(microseconds=1)


class Tally:
    """Sums of one day or of one schedule. Every fire is in the end sent, skipped or waiting."""

    __slots__ = ("fires", "held", "late", "sent", "skipped", "waiting")

    def __init__(self) -> None:
        self.fires = self.sent = self.skipped = self.held = self.late = self.waiting = 0

    def add(self, other: Tally) -> None:
        """Add another's sums to these."""
        for name in Tally.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Day(Tally):
    """One day of the wall clock, from `begin_at` up to `end_at` (aware UTC, exclusive)."""

    __slots__ = ("begin_at", "day", "end_at")

    def __init__(self, day: date, begin_at: datetime, end_at: datetime) -> None:
        super().__init__()
        self.day = day
        self.begin_at = begin_at
        self.end_at = end_at


class Row:
    """One fire time as it is shown, or one delivery that was there before (`is_carried`)."""

    __slots__ = ("course", "delivery_id", "fire_at", "is_held", "missed", "outcome", "planned_at", "reason", "sent_at")

    def __init__(self, course: Course, fire_at: datetime, delivery_id: int | None = None) -> None:
        self.course = course
        self.fire_at = fire_at
        self.delivery_id = delivery_id
        """Of a delivery that the database holds already."""
        self.planned_at = fire_at
        self.sent_at: datetime | None = None
        self.outcome = "waiting"
        """sent, skipped, superseded, missed, waiting (at the end of the span), or in flight (when it began)."""
        self.reason: str | None = None
        self.missed = 0
        self.is_held = False

    @property
    def late(self) -> timedelta | None:
        """How long after its planned instant it is sent."""
        return None if self.sent_at is None else max(_NO_TIME, self.sent_at - self.planned_at)


class Crowd(NamedTuple):
    """Fire times that share a minute."""

    minute: datetime
    fires: int
    agent_id: str | None = None
    schedule_ids: tuple[int, ...] = ()


class Ending(NamedTuple):
    """A schedule that completes, or that the guard pauses (with the reason)."""

    schedule_id: int
    at: datetime
    reason: str | None = None


class Forecast:
    """What `Simulation` tells as it goes, summed up. Read it when the simulation has run."""

    def __init__(
        self,
        *,
        begin_at: datetime,
        timezone: str,
        rows_max: int,
        shown: Collection[int] | None = None,
    ) -> None:
        """Count fire times from `begin_at` (inclusive) of the schedules `shown` (None: all) by days of `timezone`."""
        self.rows: list[Row] = []
        self.carried_over = 0
        """What was due before the span and is dealt with in it: stored deliveries, and fire times that were missed."""
        self.reasons: Counter[str] = Counter()
        self.endings: list[Ending] = []
        self.pauses: list[Ending] = []
        self.latest: tuple[timedelta, Course, datetime] | None = None
        """The longest wait beyond the planned instant: how long, of what, and its fire time."""
        self.busiest: Crowd | None = None
        """The minute with most fire times of all agents; None when no two share one."""
        self.crowds: list[Crowd] = []
        """Minutes in which one agent has several fire times; the first CROWDS_SHOWN_MAX."""
        self.crowded_minutes = 0
        self.courses: list[Course] = []
        self._begin_at = begin_at
        self._here = zone(timezone)
        self._rows_max = rows_max
        self._shown = shown
        self._fires_left = limits.FIRES_SIMULATED_MAX
        self._days: dict[date, Day] = {}
        self._day = Day(date.min, limits.INSTANT_MIN, limits.INSTANT_MIN)
        self._minute = self._minute_end_at = limits.INSTANT_MIN
        self._all_minutes = Minutes()
        self._agents: dict[str, Minutes] = {}

    @property
    def days(self) -> list[Day]:
        """The days that have fire times, in order."""
        return [self._days[day] for day in sorted(self._days)]

    @property
    def total(self) -> Tally:
        """The sums of all days."""
        whole = Tally()
        for day in self._days.values():
            whole.add(day)
        return whole

    # -- what Simulation tells ------------------------------------------------------------------------------

    def expect(self, course: Course) -> None:
        """Take note of a schedule that takes part."""
        course.tally = Tally()
        course.minutes = None
        if self._shown is None or course.id in self._shown:
            self.courses.append(course)
            course.minutes = self._agents.setdefault(course.definition.agent_id, Minutes())

    def carried(self, duty: Duty) -> None:
        """Take note of a delivery that the database holds."""
        if duty.course.minutes is None:
            return
        self.carried_over += 1
        duty.row = row = self._row(duty.course, duty.fire_at, duty.id)
        if row is not None:
            row.planned_at, row.missed = duty.planned_at, duty.missed
            row.outcome = "waiting" if duty.state is DeliveryState.PENDING else "in flight"

    def fired(self, course: Course, fire_at: datetime, now: datetime) -> tuple[Day | None, Row | None]:
        """Count a fire time, planned at `now`; return the day it counts in and its row, where there is one.

        Raises InvalidInput when there have been too many.
        """
        self._fires_left -= 1
        if self._fires_left < 0:
            raise self._too_many(course)
        course.fires += 1
        minutes = course.minutes
        if minutes is None or fire_at < self._begin_at:
            return None, self._overdue(course, fire_at, now)
        course.tally.fires += 1
        day = self._day
        if not day.begin_at <= fire_at < day.end_at:
            day = self._day_of(fire_at)
        day.fires += 1
        if fire_at < now or fire_at >= self._minute_end_at:
            self._count_minute(minutes, course, fire_at, is_past=fire_at < now)
        else:
            self._count(minutes, course)
        return day, self._row(course, fire_at) if len(self.rows) < self._rows_max else None

    def skipped(self, course: Course, day: Day | None, row: Row | None, reason: str, outcome: str = "skipped") -> None:
        """Count a fire time that is not sent, with the reason."""
        if day is not None:
            course.tally.skipped += 1
            day.skipped += 1
            self.reasons[reason.partition(":")[0]] += 1
        if row is not None:
            row.outcome, row.reason = outcome, reason

    def left_out(self, course: Course, delivery: Delivery) -> None:
        """Count a fire time that the database holds as skipped already."""
        if delivery.fire_at < self._begin_at:
            return
        day, row = self.fired(course, delivery.fire_at, delivery.fire_at + _TICK)
        if row is not None:
            row.delivery_id = delivery.id
        self.skipped(course, day, row, delivery.reason or "skipped")

    def opened(self, duty: Duty, *, is_held: bool) -> None:
        """Take note of a fire time that is to be sent; count it when quiet hours hold it."""
        row = duty.row
        if row is not None:
            row.planned_at, row.missed, row.is_held = duty.planned_at, duty.missed, is_held
        if is_held:
            self._count_held(duty)

    def held(self, duty: Duty) -> None:
        """Take note of what came late into quiet hours, and waits for their end."""
        if duty.is_held:
            return
        duty.is_held = True
        if duty.row is not None:
            duty.row.is_held = True
        self._count_held(duty)

    @staticmethod
    def _count_held(duty: Duty) -> None:
        if duty.day is not None:
            duty.course.tally.held += 1
            duty.day.held += 1

    def sent(self, duty: Duty, now: datetime) -> None:
        """Count a delivery that is sent."""
        tally, day = duty.course.tally, duty.day
        if duty.origin is not None and now < self._begin_at:
            self._forget(duty)
        if day is not None:
            tally.sent += 1
            day.sent += 1
            if now > duty.planned_at:
                tally.late += 1
                day.late += 1
                late = now - duty.planned_at
                if self.latest is None or late > self.latest[0]:
                    self.latest = late, duty.course, duty.fire_at
        if duty.row is not None:
            duty.row.outcome, duty.row.sent_at = "sent", now

    def ended(self, duty: Duty, reason: str, now: datetime, *, is_superseded: bool) -> None:
        """Count a delivery that ends without having been sent."""
        if duty.origin is not None and now < self._begin_at:
            self._forget(duty)
        outcome = "superseded" if is_superseded else "skipped"
        self.skipped(duty.course, duty.day, duty.row, reason, outcome)

    def settled(self, duty: Duty, now: datetime) -> None:
        """Take note that a prompt which was under way in the database has ended."""
        if now < self._begin_at:
            self._forget(duty)

    def paused(self, course: Course, reason: str, now: datetime) -> None:
        """Take note of a schedule that the guard pauses."""
        if course.minutes is not None and now >= self._begin_at:
            self.pauses.append(Ending(course.id, now, reason))

    def completed(self, course: Course, now: datetime) -> None:
        """Take note of a schedule that completes."""
        if course.minutes is not None and now >= self._begin_at:
            self.endings.append(Ending(course.id, now))

    def finish(self, courses: Iterable[Course]) -> None:
        """Count what still waits when the span ends, and close what is being counted."""
        for course in courses:
            for duty in course.unfinished:
                if duty.day is not None and duty.state is DeliveryState.PENDING:
                    course.tally.waiting += 1
                    duty.day.waiting += 1
        for agent_id, minutes in [(None, self._all_minutes), *self._agents.items()]:
            for flushed in minutes.rest():
                self._flush(flushed, agent_id)
        self.crowds.sort(key=lambda one: one.minute)
        del self.crowds[limits.CROWDS_SHOWN_MAX :]
        self.rows.sort(key=lambda one: (one.fire_at, one.course.id))

    def _forget(self, duty: Duty) -> None:
        """Leave out a delivery of the database that is dealt with before the span begins."""
        if duty.course.minutes is None or duty.is_forgotten:
            return
        duty.is_forgotten = True
        self.carried_over -= 1
        if duty.row is not None:
            self.rows.remove(duty.row)

    # -- parts ----------------------------------------------------------------------------------------------

    def _count_minute(self, minutes: Minutes, course: Course, fire_at: datetime, *, is_past: bool) -> None:
        everybody = self._all_minutes
        if is_past:
            minute = _minute_of(fire_at)
            everybody.count_past(minute, course.id)
            minutes.count_past(minute, course.id)
            return
        if fire_at >= self._minute_end_at:
            self._minute = _minute_of(fire_at)
            self._minute_end_at = self._minute + _MINUTE
        self._count(minutes, course)

    def _count(self, minutes: Minutes, course: Course) -> None:
        """Count one in the minute at hand."""
        minute, number = self._minute, course.id
        over = self._all_minutes.count(minute, number)
        if over is not None:
            self._flush(over, None)
        over = minutes.count(minute, number)
        if over is not None:
            self._flush(over, course.definition.agent_id)

    def _overdue(self, course: Course, fire_at: datetime, now: datetime) -> Row | None:
        """Take note of a fire time before the span that is planned in it."""
        if course.minutes is None or now < self._begin_at:
            return None
        self.carried_over += 1
        return self._row(course, fire_at)

    def _row(self, course: Course, fire_at: datetime, delivery_id: int | None = None) -> Row | None:
        if len(self.rows) >= self._rows_max:
            return None
        row = Row(course, fire_at, delivery_id)
        self.rows.append(row)
        return row

    def _day_of(self, fire_at: datetime) -> Day:
        day = self._day
        if day.begin_at <= fire_at < day.end_at:
            return day
        on = to_wall(fire_at, self._here).date()
        found = self._days.get(on)
        if found is None:
            begin = datetime.combine(on, datetime.min.time())
            found = Day(on, resolve(begin, self._here), resolve(begin + timedelta(days=1), self._here))
            self._days[on] = found
        self._day = found
        return found

    def _flush(self, crowd: Crowd, agent_id: str | None) -> None:
        """Take the count of a minute that is over, of all agents or of one."""
        if agent_id is None:
            if self.busiest is None or crowd.fires > self.busiest.fires:
                self.busiest = crowd
        else:
            self.crowded_minutes += 1
            if len(self.crowds) < limits.CROWDS_SHOWN_MAX * 10:
                self.crowds.append(crowd._replace(agent_id=agent_id))

    def _too_many(self, last: Course) -> InvalidInput:
        costliest = max([*self.courses, last], key=lambda course: course.fires)
        return too_many(costliest.id, costliest.fires)


def too_many(schedule_id: int, fires: int) -> InvalidInput:
    """Return the refusal of a span with more fire times than can be simulated, most of them of one schedule."""
    return InvalidInput(
        f"the span has more than {limits.FIRES_SIMULATED_MAX} fire times, schedule {schedule_id} alone {fires} or more",
        hint="choose a shorter span, or name schedules with --id",
    )


class Minutes:
    """Counts fire times by minute as they come; those of an outage come later, and out of order."""

    __slots__ = ("_fires", "_ids", "_minute", "_past")

    def __init__(self) -> None:
        self._minute = limits.INSTANT_MIN
        self._fires = 0
        self._ids: list[int] = []
        self._past: dict[datetime, list[int]] = {}

    def count(self, minute: datetime, schedule_id: int) -> Crowd | None:
        """Count one; return the minute that is over with it, if it had several. Minutes never go back."""
        if minute is self._minute:
            self._fires += 1
            if len(self._ids) < limits.CROWD_NAMES_MAX:
                self._ids.append(schedule_id)
            return None
        over = self._over() if self._fires > 1 or self._past else None
        self._minute = minute
        self._fires, self._ids = 1, [schedule_id]
        return over

    def count_past(self, minute: datetime, schedule_id: int) -> None:
        """Count one of an outage that is over."""
        self._past.setdefault(minute, []).append(schedule_id)

    def rest(self) -> Iterator[Crowd]:
        """Yield what is not over yet."""
        over = self._over()
        if over is not None:
            yield over
        for minute, ids in self._past.items():
            if len(ids) > 1:
                yield Crowd(minute, len(ids), None, tuple(sorted(set(ids)))[: limits.CROWD_NAMES_MAX])

    def _over(self) -> Crowd | None:
        """Return the minute being counted, if it is one of several fire times."""
        past = self._past.pop(self._minute, ()) if self._past else ()
        fires = self._fires + len(past)
        if fires <= 1:
            return None
        return Crowd(self._minute, fires, None, tuple(sorted({*self._ids, *past}))[: limits.CROWD_NAMES_MAX])


def _minute_of(fire_at: datetime) -> datetime:
    return fire_at.replace(second=0, microsecond=0)
