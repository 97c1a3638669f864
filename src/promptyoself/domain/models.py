"""The things promptyoself keeps: schedules, deliveries, attempts, facts. Values only; nothing here acts.

Instants are aware UTC and end in `_at`; durations are `timedelta`. A changed thing is a new value
(`dataclasses.replace`), so that a decision can be compared with what it started from.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from promptyoself.domain import limits
from promptyoself.domain.quiet import QuietHours
from promptyoself.domain.triggers import Trigger
from promptyoself.domain.values import dataclass, field

if TYPE_CHECKING:
    from promptyoself.domain.content import Content  # few schedules have any of these
    from promptyoself.domain.holidays import Holidays

OPERATOR = "operator"
"""The owner of every schedule that no agent owns. Operators have no guard limits."""


class ScheduleState(StrEnum):
    """Where a schedule stands. `completed` and `cancelled` are final."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class CatchUp(StrEnum):
    """What becomes of fire times that passed while nothing could fire them (EventBridge, Temporal: catch-up)."""

    SKIP = "skip"
    LATEST = "latest"
    ALL = "all"


class Overlap(StrEnum):
    """What becomes of a fire time that comes while the last delivery is leased, accepted or unknown."""

    SKIP = "skip"
    QUEUE = "queue"


class EnvelopeMode(StrEnum):
    """How much the agent is told about the prompt it receives."""

    NONE = "none"
    BRIEF = "brief"
    FULL = "full"


class Replies(StrEnum):
    """Whether directives at the end of what the agent answers are obeyed (domain/replies.py)."""

    IGNORE = "ignore"
    OBEY = "obey"


class DeliveryKind(StrEnum):
    """Why a delivery exists: its trigger fired, or somebody asked for it now."""

    SCHEDULED = "scheduled"
    RUN_NOW = "run_now"


class DeliveryState(StrEnum):
    """A delivery's life; docs/architecture.md draws it."""

    PENDING = "pending"
    LEASED = "leased"
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    DELIVERED = "delivered"
    DEAD = "dead"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True when nothing more happens by itself."""
        return self in FINAL_STATES

    @property
    def is_in_flight(self) -> bool:
        """True while the target may be working on it: it blocks its lane."""
        return self in IN_FLIGHT_STATES


FINAL_STATES = frozenset({DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.SKIPPED, DeliveryState.CANCELLED})
IN_FLIGHT_STATES = frozenset({DeliveryState.LEASED, DeliveryState.ACCEPTED, DeliveryState.UNKNOWN})


class AttemptOutcome(StrEnum):
    """How one attempt ended, as far as is known."""

    OPEN = "open"
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    REFUSED = "refused"
    BUSY = "busy"
    FAILED = "failed"
    UNKNOWN = "unknown"
    FINAL = "final"
    ABANDONED = "abandoned"


class FactKind(StrEnum):
    """What the journal records. `why` has a sentence for each."""

    REGISTERED = "registered"
    EDITED = "edited"
    PAUSED = "paused"
    RESUMED = "resumed"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    FIRED = "fired"
    HELD = "held"
    SKIPPED = "skipped"
    SUPERSEDED = "superseded"
    SKIPPED_BY_HAND = "skipped_by_hand"
    SNOOZED = "snoozed"
    RUN_NOW = "run_now"
    RETRIED = "retried"
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    REFUSED = "refused"
    BUSY = "busy"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SETTLED = "settled"
    DEAD = "dead"
    REPLY_OBEYED = "reply_obeyed"
    REPLY_IGNORED = "reply_ignored"
    CALLBACK_SENT = "callback_sent"
    CALLBACK_FAILED = "callback_failed"
    BREAKER_OPENED = "breaker_opened"
    BREAKER_CLOSED = "breaker_closed"
    ALL_PAUSED = "all_paused"
    ALL_RESUMED = "all_resumed"
    ZONE_DATA_CHANGED = "zone_data_changed"
    RESTORED = "restored"
    TOKEN_CREATED = "token_created"  # noqa: S105  the fact, not the token
    TOKEN_REVOKED = "token_revoked"  # noqa: S105  as above


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a schedule wants done when things are not as planned."""

    catch_up: CatchUp = CatchUp.LATEST
    catch_up_window: timedelta | None = None
    overlap: Overlap = Overlap.SKIP
    retry_for: timedelta = limits.RETRY_FOR_DEFAULT
    expires_after: timedelta | None = None
    envelope: EnvelopeMode = EnvelopeMode.BRIEF
    quiet_hours: QuietHours | None = None
    skip_on: Holidays | None = None
    """Days and hours of a calendar on which it is not to fire."""
    replies: Replies = Replies.IGNORE

    def has_expired(self, fire_at: datetime, *, now: datetime) -> bool:
        """Whether a delivery of this fire time that was never tried is given up at `now`; both aware UTC."""
        return self.expires_after is not None and now > fire_at + self.expires_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Who made a schedule: the owner whose limits count, the door, and the delivery that led to it."""

    owner: str = OPERATOR
    """`operator`, or the id of the agent that owns the schedule."""
    created_by: str = OPERATOR
    """The owner and the door, as people read it: `operator via cli`."""
    origin_delivery_id: int | None = None
    root_uid: str | None = None
    """uid of the first schedule of the chain; None when this is the first."""
    depth: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a caller decides about a schedule. An edit replaces it whole and grows the revision."""

    agent_id: str
    prompt: str
    """The text to deliver; with a content that has messages, those as one plain text, for people and the inbox."""
    trigger: Trigger
    target: str
    conversation: str | None = None
    """None (the agent's own thread), `new` (one a delivery), or a conversation's id."""
    key: str | None = None
    name: str | None = None
    max_repetitions: int | None = None
    policy: Policy = field(default_factory=Policy)
    content: Content | None = None
    """What is sent besides one plain prompt; None for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A stored promise: trigger, prompt, agent and target."""

    id: int
    uid: str
    definition: Definition
    provenance: Provenance
    revision: int
    state: ScheduleState
    state_reason: str | None
    paused_until: datetime | None
    next_fire_at: datetime | None
    """The next fire time not yet planned; None when the trigger has ended, and while finished."""
    last_fire_at: datetime | None
    fire_count: int
    """Occurrences that stand: a superseded one is replaced, not counted twice."""
    finals_in_row: int
    created_at: datetime
    updated_at: datetime
    passed_until: datetime | None = None
    """Fire times up to and including it were dealt with ahead of their time, skipped or snoozed: none comes again."""

    @property
    def lane(self) -> str:
        """The lane its deliveries run in."""
        return lane_of(self.definition)

    @property
    def is_exhausted(self) -> bool:
        """True when max_repetitions is reached."""
        repetitions = self.definition.max_repetitions
        return repetitions is not None and self.fire_count >= repetitions


def lane_of(definition: Definition) -> str:
    """Return the lane's name: target, agent, and conversation when it is not the agent's own.

    Validation keeps spaces out of all three, so the parts cannot run into each other.
    """
    parts = [definition.target, definition.agent_id]
    if definition.conversation is not None:
        parts.append(definition.conversation)
    return " ".join(parts)


def agent_of(lane: str) -> str:
    """Return the agent whose lane it is."""
    return lane.split(" ")[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """An occurrence about to be stored."""

    schedule_id: int
    revision: int
    kind: DeliveryKind
    target: str
    lane: str
    key: str
    """Idempotency key, sent with every attempt; domain/keys.py derives it."""
    fire_at: datetime
    planned_at: datetime
    """fire_at plus jitter, or the end of quiet hours: lateness counts from here."""
    fire_number: int
    missed: int = 0
    """Fire times before this one that it stands for."""
    state: DeliveryState = DeliveryState.PENDING
    reason: str | None = None
    snoozed_until: datetime | None = None
    """planned_at of one that was put off; None for one that was not."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The duty to hand over one occurrence."""

    id: int
    schedule_id: int
    revision: int
    kind: DeliveryKind
    target: str
    lane: str
    key: str
    fire_at: datetime
    planned_at: datetime
    fire_number: int
    missed: int
    state: DeliveryState
    reason: str | None
    """Why it is where it is: of a skip, a refusal, a death."""
    error_code: str | None
    due_at: datetime
    """When its lane should look at it next."""
    lease_token: str | None
    attempts: int
    """Attempts that may have reached the agent: failed or unknown."""
    refusals: int
    """Attempts surely not processed since the last that was: the backoff grows with it."""
    failures: int
    """Proven failures: the n of the otid `key#n`, which grows with nothing else."""
    maybe_repeat: bool
    """True once an attempt could not be settled: the next one says that it may be a repeat."""
    retry_until: datetime
    unknown_since: datetime | None
    cancel_requested: bool
    """True when the schedule was cancelled or edited in flight: nothing follows this attempt."""
    run_id: str | None
    reply_excerpt: str | None
    first_sent_at: datetime | None
    """When the first attempt's request began; None: surely never sent."""
    sent_at: datetime | None
    accepted_at: datetime | None
    finished_at: datetime | None
    created_at: datetime
    snoozed_until: datetime | None = None
    """planned_at of one that was put off, from which its expiry counts too; None for one that was not."""

    @property
    def lateness(self) -> timedelta | None:
        """Arrival minus the planned instant, at least zero; None before arrival."""
        if self.accepted_at is None:
            return None
        return max(timedelta(0), self.accepted_at - self.planned_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at a delivery."""

    id: int
    delivery_id: int
    number: int
    executor_id: str
    otid: str
    started_at: datetime
    finished_at: datetime | None
    outcome: AttemptOutcome
    error_code: str | None
    status: int | None
    run_id: str | None
    detail: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One line of the journal. `detail` holds plain JSON values."""

    kind: FactKind
    at: datetime
    schedule_id: int | None = None
    delivery_id: int | None = None
    actor: str
    detail: dict[str, str | int | bool | None] = field(default_factory=dict)
    id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """A process that delivers, as its heartbeat row says."""

    id: str
    host: str
    pid: int
    version: str
    mode: str
    """`execute`, `loop`, `serve`, `worker`, or `doors`, which delivers nothing."""
    started_at: datetime
    heartbeat_at: datetime
    address: str | None = None
    """The URL at which it answers over HTTP, when it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetHealth:
    """What is known of a target as a whole: the breaker's state, for people to see."""

    target: str
    is_open: bool
    reason: str | None
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxMessage:
    """A prompt in the durable mailbox, for an agent that pulls."""

    id: int
    agent_id: str
    otid: str
    delivery_id: int
    schedule_id: int
    envelope: str | None
    prompt: str
    received_at: datetime
    acked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneRecord:
    """The version of the time zone database that next fires were worked out with, and since when."""

    version: str
    since: datetime


MOVING_TO = "moving to "
"""How the reason of a stop switch begins that a move of the database has set; where it goes follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSwitch:
    """The one switch that stops all deliveries."""

    reason: str | None
    since: datetime
    until: datetime | None

    def is_on(self, *, now: datetime) -> bool:
        """Return whether it stops anything at `now`: its row outlives its end."""
        return self.until is None or self.until > now

    @property
    def moves_to(self) -> str | None:
        """Where the database goes, or has gone, when its move has set this: the move alone lets it go on."""
        reason = self.reason or ""
        place = reason.removeprefix(MOVING_TO)
        return place if place != reason and place.startswith(("/", "postgresql://")) else None
