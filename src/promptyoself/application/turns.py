"""What a dispatcher knows of the lane it carries: the turn, what it has claimed, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass as record
from dataclasses import field
from datetime import datetime
from enum import Enum, auto

from promptyoself.application.gate import Slot
from promptyoself.domain.answers import Address, FollowResult, SendResult, SettleResult
from promptyoself.domain.models import Attempt, AttemptOutcome, Delivery, DeliveryState, Schedule
from promptyoself.domain.values import dataclass

AnyResult = SendResult | FollowResult | SettleResult


class Duty(Enum):
    """What a claimed delivery needs now."""

    SEND = auto()
    FOLLOW = auto()
    SETTLE = auto()
    LOOK_FIRST = auto()
    """Send, but ask first whether an earlier life of this database has sent it already."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that this executor has in its hands, and what it shall do with it."""

    duty: Duty
    delivery: Delivery
    schedule: Schedule
    attempt: Attempt | None
    claimed_at: datetime
    nonce: str | None = None
    """Told to the agent where its reply is obeyed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one step of a delivery came to, for whoever watches a pass."""

    delivery: Delivery
    schedule: Schedule
    outcome: AttemptOutcome | None
    attempt: int
    error: str | None
    recorded_in_s: float | None = None
    """Seconds from the target's answer to the commit of what it came to; None where it was not a target that answered.

    Were the process to die in between, nobody would know the answer."""


Watch = Callable[[Report], None]


class StillRunning:
    """The bound on following is over; the run goes on and its delivery stays accepted."""


@record(slots=True, kw_only=True)
class Turn:
    """One lane's turn: its lease token, and what it has carried so far."""

    lane: str
    token: str
    carried: set[int]
    follow_until_s: float | None
    """Monotonic second at which following stops; None: the run-time limit alone bounds it."""
    is_leased: bool = False
    is_refused: bool = False
    """True when another runner holds the lane."""
    is_called_off: bool = False
    """True when the delivery in hand was cancelled before it was sent."""
    is_last: bool = False
    """True while the last delivery is carried that this turn may carry."""
    claimed_id: int | None = None
    """Put into `carried` by the transaction under way."""
    ahead: tuple[Claim, Slot] | None = None
    """Claimed in the transaction that recorded the one before: it is carried next, whatever comes."""
    taken_over: tuple[str, DeliveryState] | None = None
    """Who had begun what the transaction under way has claimed, and how far it had come."""
    reports: list[Report] = field(default_factory=list)
    """Of the transaction under way: handed to the watcher when it is durable."""

    def begin(self) -> None:
        """Forget what a transaction that was undone, and is made anew, has left here."""
        self.reports.clear()
        self.is_refused = False
        self.taken_over = None
        self.forget_claimed()

    def forget_claimed(self) -> None:
        """Take back from `carried` what a transaction that failed has put there: it was not claimed after all."""
        if self.claimed_id is not None:
            self.carried.discard(self.claimed_id)
            self.claimed_id = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the transaction that recorded an answer has come to."""

    delivery: Delivery | None
    """As recorded; None when the lease was lost meanwhile, and nothing was written."""
    next_claim: Claim | None = None
    is_given_back: bool = False
    """True when the lane is free again: there is nothing more to do in it now."""


def target_of(lane: str) -> str:
    """Return the name of the target that a lane leads to."""
    return lane.split(" ", 1)[0]


def address_of(delivery: Delivery) -> Address:
    """Return the address the delivery's lane was named for: an edit in flight must not redirect it."""
    agent_id, _, conversation = delivery.lane.split(" ", 1)[1].partition(" ")
    return Address(agent_id=agent_id, conversation=conversation or None)
