"""What the core asks of the world: a store, a clock, chance (targets: answers.py). Adapters live in other rooms.

The store is synchronous; a `Writer` lets many callers share one commit. A target is asynchronous and is
never called inside a transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol, TypeVar

from promptyoself.domain import limits
from promptyoself.domain.models import (
    Attempt,
    AttemptOutcome,
    Definition,
    Delivery,
    DeliveryState,
    Executor,
    Fact,
    InboxMessage,
    NewDelivery,
    Provenance,
    Schedule,
    ScheduleState,
    StopSwitch,
    TargetHealth,
    ZoneRecord,
)
from promptyoself.domain.ports_access import AccessTx
from promptyoself.domain.ports_callbacks import CallbackTx
from promptyoself.domain.ports_journal import JournalTx
from promptyoself.domain.ports_requests import RequestsTx
from promptyoself.domain.ports_restored import RestoredTx
from promptyoself.domain.ports_watch import WatchTx
from promptyoself.domain.triggers import TriggerKind
from promptyoself.domain.values import dataclass

T = TypeVar("T")


class Clock(Protocol):
    """The only source of time. Wall clock decides what is due; monotonic measures how long."""

    def now(self) -> datetime:
        """Return the wall clock: aware UTC with microseconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never step back; only differences mean something."""
        ...


class Chance(Protocol):
    """The only source of chance."""

    def fraction(self) -> float:
        """Return a number in 0..1 (1 excluded)."""
        ...

    def token(self) -> str:
        """Return a string that nobody else has: 32 hex digits."""
        ...

    def secret(self) -> str:
        """Return 43 url-safe characters that nobody can guess: 256 random bits."""
        ...


class ZoneData(Protocol):
    """The time zone database behind every zone of this process."""

    def version(self) -> str:
        """Return the version of what is installed now, as domain/zone_versions.py orders it; costs next to nothing."""
        ...

    def forget(self) -> None:
        """Drop what this process has read of it, so that the next question reads what is installed now."""
        ...


# -- store --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSchedule:
    """A schedule about to be stored; the store gives its id."""

    uid: str
    definition: Definition
    provenance: Provenance
    next_fire_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleFilter:
    """Which schedules to list: by id. None means any. `after_id` pages."""

    agent_id: str | None = None
    owner: str | None = None
    states: Sequence[ScheduleState] | None = None
    kinds: Sequence[TriggerKind] | None = None
    target: str | None = None
    key: str | None = None
    name_part: str | None = None
    """A part of its name; small and capital letters of ASCII are the same."""
    next_from: datetime | None = None
    next_until: datetime | None = None
    """Both inclusive: active ones whose next fire time, not yet planned, lies between."""
    after_id: int = 0
    limit: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """Which deliveries to list: newest first. None means any. `before_id` pages."""

    schedule_id: int | None = None
    agent_id: str | None = None
    owner: str | None = None
    states: Sequence[DeliveryState] | None = None
    before_id: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardUsage:
    """What one agent's schedules use up of the guard's limits."""

    active: int
    created_last_hour: int
    deliveries_last_hour: int


class Tx(JournalTx, AccessTx, CallbackTx, RequestsTx, RestoredTx, WatchTx, Protocol):
    """One transaction. All of it is stored or none; writers see what they read until it ends.

    Every method raises `StoreError` kin only. A guarded change answers False when the row was no longer
    as the caller believed; the caller then changes nothing else.
    """

    def store_uid(self) -> str:
        """Return the uid that this database was given when it was made."""
        ...

    # schedules
    def add_schedule(self, new: NewSchedule) -> Schedule:
        """Store a schedule: active, revision 1. Raises Conflict when its agent has the key already."""
        ...

    def schedule(self, schedule_id: int) -> Schedule | None:
        """Return the schedule, locked until the transaction ends, or None."""
        ...

    def schedule_by_uid(self, uid: str) -> Schedule | None:
        """Return the schedule with this uid, in whatever state, or None."""
        ...

    def schedule_by_key(self, agent_id: str, key: str) -> Schedule | None:
        """Return the schedule of this agent with this caller-chosen key, in whatever state, or None."""
        ...

    def schedules(self, where: ScheduleFilter) -> list[Schedule]:
        """List schedules by id."""
        ...

    def schedules_soonest(self, where: ScheduleFilter) -> list[Schedule]:
        """List active schedules by their next fire time, the soonest first, whatever states and page it says."""
        ...

    def schedules_resting(self, where: ScheduleFilter) -> list[Schedule]:
        """List schedules that do not fire, the newest first, whatever span the filter says."""
        ...

    def schedules_counted(self, where: ScheduleFilter) -> int:
        """Count schedules, up to the filter's limit; its page does not count."""
        ...

    def schedules_due(self, *, now: datetime, limit: int) -> list[Schedule]:
        """Return active schedules with next_fire_at <= now, and paused ones whose pause has run out; oldest first."""
        ...

    def save_schedule(self, schedule: Schedule) -> None:
        """Write every column that may change (all but id, uid, created_at)."""
        ...

    def guard_usage(self, owner: str, *, since: datetime) -> GuardUsage:
        """Count what this owner's schedules use; `since` bounds the creations and deliveries counted.

        Paused schedules are not active. Deliveries that were skipped or cancelled use nothing.
        """
        ...

    def live_descendants(self, root_uid: str) -> int:
        """Count active and paused schedules of a chain."""
        ...

    # deliveries
    def add_delivery(self, new: NewDelivery, *, retry_until: datetime) -> Delivery | None:
        """Store an occurrence, making its lane; None when (schedule, revision, kind, fire_at) is there already."""
        ...

    def delivery(self, delivery_id: int) -> Delivery | None:
        """Return the delivery, locked until the transaction ends, or None."""
        ...

    def deliveries(self, where: DeliveryFilter) -> list[Delivery]:
        """List deliveries, newest first."""
        ...

    def unfinished_deliveries(self, schedule_id: int) -> list[Delivery]:
        """Return the schedule's deliveries that are not final, by fire time."""
        ...

    def snoozed(self, *, now: datetime) -> dict[int, datetime]:
        """Return by schedule when the first of what was put off, and is pending, comes; later than `now`."""
        ...

    def save_delivery(self, delivery: Delivery, *, was: Delivery) -> bool:
        """Write the columns that may change, if state and lease token are still as in `was`."""
        ...

    def delivery_in_progress(self, agent_id: str, *, since: datetime) -> Delivery | None:
        """Return the newest delivery to this agent that was leased or accepted after `since` and is not final."""
        ...

    def hasten_target(self, target: str, *, now: datetime) -> int:
        """Make due at once what waits for its retry at this target because the target refused all; count them."""
        ...

    # attempts
    def add_attempt(self, delivery_id: int, *, executor_id: str, otid: str, started_at: datetime) -> Attempt:
        """Store an attempt as open; its number is one more than the last."""
        ...

    def finish_attempt(
        self,
        attempt_id: int,
        *,
        outcome: AttemptOutcome,
        finished_at: datetime | None,
        error_code: str | None = None,
        status: int | None = None,
        run_id: str | None = None,
        detail: str | None = None,
    ) -> None:
        """Write how an attempt went; `finished_at` None while its run goes on."""
        ...

    def attempts(self, delivery_id: int) -> list[Attempt]:
        """Return all attempts, first to last."""
        ...

    # lanes
    def ready_lanes(self, *, now: datetime, limit: int, targets: Sequence[str] | None = None) -> list[str]:
        """Return free lanes (never leased, or lease run out) that have something due, longest due first."""
        ...

    def lease_lane(self, lane: str, *, token: str, executor_id: str, now: datetime, until: datetime) -> bool:
        """Take a lane if it is free, or keep it if the token is its own; False when another holds it."""
        ...

    def next_in_lane(self, lane: str, *, now: datetime) -> Delivery | None:
        """Return what the lane must do now: an in-flight delivery first, else the due one with the oldest fire time.

        An in-flight one whose own due_at is still to come blocks the lane: None. A pending one waits for
        earlier unfinished deliveries of its schedule.
        """
        ...

    def release_lane(self, lane: str, *, token: str) -> bool:
        """Give the lane back, if the token is still its own."""
        ...

    def renew_lanes(self, executor_id: str, *, until: datetime) -> int:
        """Move the lease end of every lane this executor holds; count them.

        `until` is the latest that a lease can end now: one that ends later was given by a clock that was set back
        since, and is cut to `until`, so that no lane waits for that clock.
        """
        ...

    def lane_holder(self, lane: str, *, now: datetime) -> str | None:
        """Return the executor that holds the lane now, or None."""
        ...

    def next_wake_at(self, *, now: datetime, due_after: datetime = limits.INSTANT_MIN) -> datetime | None:
        """Return the earliest of next fire time, pause end, due delivery of a free lane, end of a foreign lease.

        Lanes that were due at `due_after` are left out: whoever knows of them asks for what comes besides.
        """
        ...

    # journal, executors, health, switch
    def add_fact(self, fact: Fact) -> None:
        """Append to the journal."""
        ...

    def facts(self, *, schedule_id: int | None = None, delivery_id: int | None = None, limit: int) -> list[Fact]:
        """Return the newest facts, oldest of them first."""
        ...

    def heartbeat(self, executor: Executor) -> None:
        """Insert or refresh an executor's row."""
        ...

    def remove_executor(self, executor_id: str) -> None:
        """Forget an executor that stopped."""
        ...

    def executors(self, *, alive_since: datetime) -> list[Executor]:
        """Return executors whose heartbeat is not older."""
        ...

    def save_target_health(self, health: TargetHealth) -> None:
        """Write what is known of a target as a whole."""
        ...

    def target_health(self) -> list[TargetHealth]:
        """Return all that is known."""
        ...

    def stop_switch(self) -> StopSwitch | None:
        """Return the switch when deliveries are stopped, else None."""
        ...

    def set_stop_switch(self, switch: StopSwitch | None) -> None:
        """Stop all deliveries, or let them go on."""
        ...

    def zone_record(self) -> ZoneRecord | None:
        """Return the version of the zone database that next fires were worked out with; None before the first."""
        ...

    def set_zone_record(self, record: ZoneRecord) -> None:
        """Write that version; the latest word counts."""
        ...

    # inbox
    def add_message(self, message: InboxMessage) -> InboxMessage:
        """Store a message, its id ignored; when the otid is there already, return the stored one."""
        ...

    def messages(self, agent_id: str, *, include_acked: bool = False, limit: int = 100) -> list[InboxMessage]:
        """Return an agent's messages, oldest first."""
        ...

    def message_by_otid(self, otid: str) -> InboxMessage | None:
        """Return the message sent under this otid, or None."""
        ...

    def ack_message(self, message_id: int, *, agent_id: str | None, now: datetime) -> InboxMessage | None:
        """Mark a message as read (once; later calls keep the first time); None when there is none such."""
        ...

    # housekeeping
    def prune(self, *, before: datetime, limit: int) -> int:
        """Delete up to `limit` rows of what ended before `before`; count them. Schedules stay.

        Final deliveries, with their attempts and the lanes that they leave empty; facts, read messages, ended
        callbacks, claims, tokens, executors, and calendars out of use.
        """
        ...

    def counts(self) -> dict[str, int]:
        """Count rows for doctor: schedules and deliveries by state, facts."""
        ...


class Store(Protocol):
    """A database."""

    @property
    def uid(self) -> str:
        """The uid that this database was given when it was made."""
        ...

    @property
    def location(self) -> str:
        """Where it is, as people read it; without secrets."""
        ...

    def transaction(self) -> AbstractContextManager[Tx]:
        """Open a writing transaction: commits at the end, rolls back on any exception."""
        ...

    def reading(self) -> AbstractContextManager[Tx]:
        """Open a transaction that sees one state of the database and writes nothing."""
        ...

    def glancing(self) -> AbstractContextManager[Tx]:
        """Open a transaction for one look by an index; it writes nothing and waits for nobody: a loop may use it."""
        ...

    def change_mark(self) -> int:
        """Return a number that differs after any commit, by this process or another; costs microseconds."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class Writer(Protocol):
    """Transactions for the event loop: many callers share one commit, each with its own success or failure."""

    async def write(self, act: Callable[[Tx], T], *, lane: str | None = None) -> T:
        """Run `act` in a transaction and return when it is durable. What it raises undoes it alone.

        `lane` names the lane that the act is about: its row, what it must do next, and the schedule of that. A database
        that is a round trip away fetches these for many acts at once; what else the act asks for costs more there. Such
        an act may be undone and run anew when somebody else has what it needs.
        """
        ...

    async def read(self, act: Callable[[Tx], T]) -> T:
        """Run `act` on one state of the database."""
        ...


# -- what a target tells of itself --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStatus:
    """A target's answer to a test: where, which version, how quick."""

    url: str
    version: str | None
    latency_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentInfo:
    """An agent as its server lists it."""

    id: str
    name: str
    description: str | None
