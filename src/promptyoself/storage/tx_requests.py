"""The part of a transaction that remembers requests by their idempotency keys."""

from __future__ import annotations

from datetime import datetime

from promptyoself.domain.ports_requests import AnsweredRequest
from promptyoself.storage.rows import Row, instant, micros
from promptyoself.storage.statements import Statements


class RequestStatements(Statements):
    """See `RequestsTx` for what each method promises."""

    def answered_request(self, owner: str, key: str) -> AnsweredRequest | None:
        """Return what this caller asked under this key, or None."""
        return self._one("answered_request", {"owner": owner, "key": key}, _answered_of)

    def remember_request(self, answered: AnsweredRequest) -> None:
        """Store it, in place of what the caller asked under the key before."""
        values = {
            "owner": answered.owner,
            "key": answered.key,
            "fingerprint": answered.fingerprint,
            "result": answered.result,
            "created_at": micros(answered.answered_at),
        }
        self._change("remember_request", values)

    def forget_requests(self, *, before: datetime, limit: int) -> int:
        """Delete up to `limit` that were answered before; count them."""
        return self._change("forget_requests", {"before": micros(before), "limit": max(limit, 0)})


def _answered_of(row: Row) -> AnsweredRequest:
    return AnsweredRequest(
        owner=row["owner"],
        key=row["key"],
        fingerprint=row["fingerprint"],
        result=row["result"],
        answered_at=instant(row["created_at"]),
    )
