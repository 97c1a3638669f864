"""What the core asks of a transaction for callbacks, and of whoever posts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:  # every command's start comes by here, and few post anything
    from promptyoself.domain.addresses import CallbackUrl
    from promptyoself.domain.callbacks import Callback, CallbackState, NewCallback, PostResult


class CallbackTx(Protocol):
    """The part of `Tx` that keeps callbacks, and the secret behind nonces."""

    def reply_secret(self) -> str:
        """Return the secret of this database that nonces are made with: 64 hex digits, never shown."""
        ...

    def add_callback(self, new: NewCallback) -> None:
        """Store what is to be posted, due at once."""
        ...

    def take_callbacks(self, *, now: datetime, until: datetime, limit: int) -> Sequence[Callback]:
        """Return callbacks that are due, longest due first, each an attempt more; they are the caller's until then."""
        ...

    def end_callback(self, callback: Callback, *, state: CallbackState, due_at: datetime) -> bool:
        """Write what became of an attempt (`due`: again at `due_at`); False when another has taken it over."""
        ...

    def next_callback_at(self) -> datetime | None:
        """Return when the first of them is due, or None when none is."""
        ...


@runtime_checkable
class Recounting(Protocol):
    """A target that can tell how a run went, as Letta tells it."""

    async def result_of(self, run_id: str, types: list[str] | None) -> dict[str, object] | None:
        """Return `messages` (of these types; None: all), `stop_reason` and `usage`; None when they cannot be had."""
        ...


class Poster(Protocol):
    """Posts to callers' URLs, and lets none of them lead where it must not."""

    async def post(self, url: CallbackUrl, body: bytes, headers: Mapping[str, str]) -> PostResult:
        """Post once, within CALLBACK_TIME_MAX. Raises nothing but cancellation."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
