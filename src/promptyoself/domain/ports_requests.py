"""What the core asks of a store about requests that were answered: the part of `Tx` behind idempotency keys."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from promptyoself.domain.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredRequest:
    """A request that was carried out, under the key that its caller chose for it."""

    owner: str
    key: str
    fingerprint: str
    """Stands for what was asked: the same key with another fingerprint is another request."""
    result: str
    """JSON: what is needed to answer it again."""
    answered_at: datetime


class RequestsTx(Protocol):
    """The part of a transaction that remembers requests."""

    def answered_request(self, owner: str, key: str) -> AnsweredRequest | None:
        """Return what this caller asked under this key, however long ago, or None."""
        ...

    def remember_request(self, answered: AnsweredRequest) -> None:
        """Store it, in place of what the caller asked under the key before."""
        ...

    def forget_requests(self, *, before: datetime, limit: int) -> int:
        """Delete up to `limit` that were answered before; count them."""
        ...
