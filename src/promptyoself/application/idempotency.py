"""A request that was carried out already is answered again, not carried out again.

The memory is written in the transaction of what the request made: both are stored or neither is. Whoever asks at once
with the same key waits for the write lock, and then finds the first one's memory.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any, NamedTuple

from promptyoself.application.schedules import Caller
from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput, KeyReused
from promptyoself.domain.ports_requests import AnsweredRequest, RequestsTx


class Asked(NamedTuple):
    """A request that its caller may repeat: the key that the caller chose, and what stands for its content."""

    key: str
    fingerprint: str


def asked(key: str, content: object) -> Asked:
    """Return a request under its key; `content` is JSON, and says all that was asked. Raises InvalidInput."""
    if not 1 <= len(key) <= limits.IDEMPOTENCY_KEY_CHARS_MAX or not (key.isascii() and key.isprintable()):
        most = limits.IDEMPOTENCY_KEY_CHARS_MAX
        raise InvalidInput(
            f"the idempotency key must be 1 to {most} printable ASCII characters", hint="a UUID is a good key"
        )
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return Asked(key, hashlib.sha256(text.encode()).hexdigest())


def recall(tx: RequestsTx, request: Asked, *, caller: Caller, now: datetime) -> Any:  # noqa: ANN401  any JSON
    """Return the result that was remembered for this request, or None when it has to be carried out.

    Raises KeyReused when the key was used for other content within IDEMPOTENCY_FOR.
    """
    known = tx.answered_request(caller.owner, request.key)
    if known is None or known.answered_at <= now - limits.IDEMPOTENCY_FOR:
        return None
    if known.fingerprint != request.fingerprint:
        raise KeyReused(
            "this idempotency key was used for another request already, and nothing was done",
            hint="repeat that request as it was, or choose a fresh key for this one",
        )
    return json.loads(known.result)


def remember(tx: RequestsTx, request: Asked, result: object, *, caller: Caller, now: datetime) -> None:
    """Store what is needed to answer this request again: JSON, and not None. `recall` has been asked in `tx`."""
    answered = AnsweredRequest(
        owner=caller.owner,
        key=request.key,
        fingerprint=request.fingerprint,
        result=json.dumps(result, separators=(",", ":")),
        answered_at=now,
    )
    tx.remember_request(answered)
