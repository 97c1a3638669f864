"""What a transaction that plans knows ahead, and keeps back until its commit.

The planner asks the same of each schedule: its unfinished deliveries, whether a fire time is stored already, its lane.
All of it is fetched for the whole batch in one trip. What the planner then does with an ordinary schedule, one that is
active and whose new fire times come after what it has unfinished, is answered from that, kept, and written in one
statement each kind, in one trip with the commit. The schedules are locked: it stays true until this transaction itself
changes it. Any other statement has it written first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from promptyoself.domain.models import (
    Attempt,
    Delivery,
    DeliveryKind,
    DeliveryState,
    NewDelivery,
    Schedule,
    ScheduleState,
)
from promptyoself.storage.rows import Values, delivery_values, micros


class Lease(NamedTuple):
    """Who has a lane, and until when in microseconds; all None when nobody has."""

    token: str | None
    until: int | None
    executor_id: str | None


@dataclass(slots=True)
class Taken:
    """A schedule that the planner has taken, as the transaction leaves it."""

    schedule: Schedule
    looked_from: int | None
    """From which fire time on (microseconds) it is known what is stored of its revision; None: it is not known."""
    stored: set[int] = field(default_factory=set)
    """The fire times of those."""
    unfinished: list[Delivery] | None = field(default_factory=list)
    """By fire time, those that were added too; None once something else has been written to them."""
    attempt_id: int | None = None
    """For the first attempt at what is planned for it, where its lane has nothing to do and is nobody's."""

    def foresees(self, new: NewDelivery) -> bool:
        """Whether it is known what becomes of a new delivery, and nothing else changes with it."""
        return (
            self.unfinished is not None
            and self.looked_from is not None
            and self.looked_from <= micros(new.fire_at)
            and self.schedule.state is ScheduleState.ACTIVE
            and self.schedule.revision == new.revision
            and self.schedule.lane == new.lane
            and new.kind is DeliveryKind.SCHEDULED
            and (new.state is DeliveryState.PENDING or new.state.is_final)
            and all(one.fire_at < new.fire_at for one in self.unfinished)
        )

    def has(self, new: NewDelivery) -> bool:
        """Whether its fire time is stored already."""
        return micros(new.fire_at) in self.stored

    def is_turn_of(self, new: NewDelivery) -> bool:
        """Whether a new delivery has the turn: nothing that is unfinished comes before it."""
        return not new.state.is_final and not any(one.kind is new.kind for one in self.unfinished or ())

    def note(self, delivery: Delivery) -> None:
        """Note what is unfinished, or has been added."""
        if self.unfinished is not None and not delivery.state.is_final:
            self.unfinished.append(delivery)
            self.unfinished.sort(key=lambda one: (one.fire_at, one.id))
        if delivery.revision == self.schedule.revision and delivery.kind is DeliveryKind.SCHEDULED:
            self.stored.add(micros(delivery.fire_at))


class Claimed(NamedTuple):
    """A lane that is claimed as it is planned for, and what is in flight in it then."""

    lane: str
    lease: Lease
    delivery: Delivery


class PlannedRows(NamedTuple):
    """What is to be written, in this order."""

    openings: list[Values]
    moved: list[Schedule]
    attempts: list[Attempt]
    claims: list[Claimed]


@dataclass(slots=True)
class Planned:
    """What a transaction that plans has taken, and keeps back."""

    taken: dict[int, Taken] = field(default_factory=dict)
    delivery_ids: list[int] = field(default_factory=list)
    """Drawn and not used yet."""
    openings: dict[int, Values] = field(default_factory=dict)
    """Rows of deliveries to be stored, by id."""
    opened: dict[str, list[Delivery]] = field(default_factory=dict)
    """Those of each lane that are not final."""
    leases: dict[str, Lease] = field(default_factory=dict)
    """Of lanes that are claimed in this transaction, and for whom."""
    changed: set[str] = field(default_factory=set)
    """Lanes to which this transaction has written otherwise: what else there is to do in them is not known here."""
    attempts: list[Attempt] = field(default_factory=list)
    """At what is claimed."""
    moved: dict[int, Schedule] = field(default_factory=dict)
    """Schedules to be written, nothing of which changes but where they stand."""
    owners: set[str] = field(default_factory=set)
    """Whose those deliveries and schedules are."""

    @property
    def is_under_way(self) -> bool:
        """Whether this transaction plans."""
        return bool(self.taken)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be written."""
        return not (self.openings or self.moved or self.leases)

    def unfinished(self, schedule_id: int) -> list[Delivery] | None:
        """Return what is unfinished of a schedule; None when it must be asked for."""
        taken = self.taken.get(schedule_id)
        return None if taken is None or taken.unfinished is None else list(taken.unfinished)

    def forget_unfinished(self, schedule_id: int) -> None:
        """Know nothing more of what is unfinished of a schedule: something is written to it."""
        taken = self.taken.get(schedule_id)
        if taken is not None:
            taken.unfinished = None

    def open(self, taken: Taken, delivery: Delivery, values: Values) -> None:
        """Keep back a new delivery of a schedule that was taken, and the values of its row."""
        taken.note(delivery)
        self.openings[delivery.id] = values
        if not delivery.state.is_final:
            self.opened.setdefault(delivery.lane, []).append(delivery)
        self.owners.add(taken.schedule.provenance.owner)

    def to_claim(self, lane: str, *, now: datetime) -> Delivery | None:
        """Return what is all that there is to do in a lane that is nobody's, if it is due; else None."""
        opened = self.opened.get(lane, ())
        if lane in self.changed or len(opened) != 1:
            return None
        one = opened[0]
        if one.state is not DeliveryState.PENDING or one.due_at > now:
            return None
        # An earlier one of the schedule may be unfinished in another lane: that of its agent before an edit.
        has_the_turn = self.openings[one.id]["is_head"]
        return one if has_the_turn and self.taken[one.schedule_id].attempt_id is not None else None

    def claimed(self, lane: str) -> Delivery | None:
        """Return what is all that there is to do in a lane that is leased in this transaction."""
        return self.opened[lane][0] if lane in self.leases else None

    def claim(self, delivery: Delivery) -> bool:
        """Keep back that a delivery is claimed; False when its lane is not leased in this transaction."""
        if delivery.state is not DeliveryState.LEASED or self.claimed(delivery.lane) is None:
            return False
        self.openings[delivery.id].update(delivery_values(delivery))
        self.opened[delivery.lane] = [delivery]
        self.forget_unfinished(delivery.schedule_id)
        return True

    def move(self, taken: Taken, schedule: Schedule) -> None:
        """Keep back where a schedule that was taken stands from here."""
        taken.schedule = schedule
        self.moved[schedule.id] = schedule
        self.owners.add(schedule.provenance.owner)

    def take_attempt_id(self, delivery_id: int) -> int | None:
        """Return the id of the first attempt at a claimed delivery that is kept back, once; None of any other."""
        claimed = next((one for lane in self.leases for one in self.opened[lane] if one.id == delivery_id), None)
        if claimed is None or not claimed.state.is_in_flight:
            return None
        taken = self.taken[claimed.schedule_id]
        attempt_id, taken.attempt_id = taken.attempt_id, None
        return attempt_id

    def take_what_is_kept(self) -> PlannedRows:
        """Return what is to be written, which is kept no longer."""
        claims = [Claimed(lane, lease, self.opened[lane][0]) for lane, lease in sorted(self.leases.items())]
        kept = PlannedRows(list(self.openings.values()), list(self.moved.values()), self.attempts, claims)
        self.changed.update(self.opened)
        self.openings, self.moved, self.owners = {}, {}, set()
        self.opened, self.leases, self.attempts = {}, {}, []
        return kept

    def clear(self) -> None:
        """Forget everything, what is kept back too: it is undone."""
        self.taken.clear()
        self.take_what_is_kept()


def is_small(was: Schedule, schedule: Schedule) -> bool:
    """Whether nothing of a schedule changes but where it stands."""
    return (
        schedule.definition is was.definition
        and schedule.provenance is was.provenance
        and schedule.revision == was.revision
        and (was.state is ScheduleState.PAUSED) == (schedule.state is ScheduleState.PAUSED)
        and (schedule.passed_until is None or schedule.next_fire_at is None)
    )
