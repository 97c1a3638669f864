"""What is asked of a target, and the answers it gives: values, so that what follows from each is decided elsewhere."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from promptyoself.domain.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from promptyoself.domain.content import Content


async def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Whom a prompt is for, at its target."""

    agent_id: str
    conversation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One request to a target: an optional envelope (role system) and the verbatim prompt (role user)."""

    address: Address
    otid: str
    """`key#n`. The envelope goes out under `<otid>.e`; of several messages one has this very otid."""
    prompt: str
    envelope: str | None
    delivery_id: int
    schedule_id: int
    content: Content | None = None
    """What is sent in place of, or besides, the plain prompt; a target that cannot send it sends the prompt's text."""
    may_go: Callable[[], Awaitable[bool]] = _always
    """Asked when all else is done, right before the first byte of the prompt: a process may have been stopped while it
    got there, and its lane may be another's now. False: nothing is sent, and the answer is `Unclear`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a target needs to ask about an attempt later, perhaps in another process."""

    address: Address
    otid: str
    run_id: str | None
    since: datetime
    """When the first attempt under this otid began, by our wall clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The target has it and works on it; follow `run_id`."""

    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The agent has received it and finished."""

    run_id: str | None = None
    reply_excerpt: str | None = None
    last_line: str | None = None
    """The last line of what the agent said, whole; None when there is none, or it is too long to be obeyed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """Surely not processed: the agent works on something else (its run, when known)."""

    detail: str
    run_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Surely not processed, and worth trying again.

    `is_target_wide` says that the target would have refused anybody (unreachable, 401, 429, 503), which
    the breaker counts; False when only this agent is affected.
    """

    code: str
    detail: str
    status: int | None = None
    is_target_wide: bool = False
    is_overload: bool = False
    """429 or 503: the pace is lowered."""
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Proven failure: the agent's run ended with an error. A new attempt needs a new otid."""

    code: str
    detail: str
    status: int | None = None
    run_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclear:
    """It may or may not have been processed; ask with `settle` before anything is repeated."""

    code: str
    detail: str
    run_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """No later attempt could succeed: unknown agent, malformed request."""

    code: str
    detail: str
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """Asked about, and proven never to have arrived: it may be sent again without a mark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """No answer yet. `is_unreachable`: the target could not even be asked, so the time to settle does not run."""

    detail: str
    is_unreachable: bool = False


SendResult = Accepted | Done | Busy | Refused | Failed | Unclear | Final
FollowResult = Done | Failed | Unclear
SettleResult = Done | Accepted | Failed | Absent | Undecided


class Target(Protocol):
    """Where prompts go. Answers are values; nothing but `asyncio.CancelledError` is raised by send, follow, settle.

    Cancelling a coroutine stops the waiting here and nothing at the target.
    """

    @property
    def name(self) -> str:
        """The name schedules store: `letta`, `inbox`."""
        ...

    async def send(self, message: Message) -> SendResult:
        """Hand one message over, once, without any retry of its own; bounded.

        Answers `Accepted` as soon as the target has it. Waits for no busy agent: `Busy`.
        """
        ...

    async def follow(self, sent: Sent) -> FollowResult:
        """Wait until the accepted run has ended. The caller bounds the wait and may cancel it."""
        ...

    async def settle(self, sent: Sent) -> SettleResult:
        """Ask once what became of an attempt whose end nobody saw: otid in the messages, run in the list."""
        ...

    async def cancel_run(self, sent: Sent) -> None:
        """Ask the target to end a run of ours that nobody follows any more; best effort."""
        ...

    async def probe(self) -> Refused | None:
        """Ask cheaply whether the target would take a request now; None when it would."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...
