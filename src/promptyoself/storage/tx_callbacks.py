"""The part of a transaction that keeps callbacks, and the secret behind nonces."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from promptyoself.domain.values import replace
from promptyoself.storage.rows import Row, instant, micros
from promptyoself.storage.statements import Statements

if TYPE_CHECKING:  # every command's start comes by here, and few post anything
    from promptyoself.domain.callbacks import Callback, CallbackState, NewCallback


class CallbackStatements(Statements):
    """See `CallbackTx` for what each method promises."""

    def reply_secret(self) -> str:
        """Return the secret of this database that nonces are made with."""
        return self._one("reply_secret", {}, _value) or ""

    def add_callback(self, new: NewCallback) -> None:
        """Store what is to be posted, due at once."""
        values = {
            "delivery_id": new.delivery_id,
            "schedule_id": new.schedule_id,
            "target": new.target,
            "url": new.url,
            "payload": new.payload,
            "created_at": micros(new.created_at),
        }
        self._change("add_callback", values)

    def take_callbacks(self, *, now: datetime, until: datetime, limit: int) -> Sequence[Callback]:
        """Return callbacks that are due, longest due first, each an attempt more; they are the caller's until then."""
        found = self._all("callbacks_due", {"now": micros(now), "limit": limit}, _callback_of)
        for one in found:
            self._change("take_callback", {"id": one.id, "until": micros(until)})
        return [replace(one, attempts=one.attempts + 1) for one in found]

    def end_callback(self, callback: Callback, *, state: CallbackState, due_at: datetime) -> bool:
        """Write what became of an attempt; False when another has taken the callback over."""
        values = {"id": callback.id, "attempts": callback.attempts, "state": str(state), "due_at": micros(due_at)}
        return self._change("end_callback", values) > 0

    def next_callback_at(self) -> datetime | None:
        """Return when the first of them is due, or None."""
        return self._one("next_callback_at", {}, _due_at)


def _callback_of(row: Row) -> Callback:
    from promptyoself.domain.callbacks import Callback

    return Callback(
        id=row["id"],
        delivery_id=row["delivery_id"],
        schedule_id=row["schedule_id"],
        target=row["target"],
        url=row["url"],
        payload=row["payload"],
        attempts=row["attempts"],
    )


def _due_at(row: Row) -> datetime | None:
    return None if row["due_at"] is None else instant(row["due_at"])


def _value(row: Row) -> Any:  # noqa: ANN401  a column
    return row["value"]
