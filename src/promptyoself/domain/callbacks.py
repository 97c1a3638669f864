"""Callbacks: what is posted to a caller's URL when a delivery has ended, and what follows from each answer.

Letta's server posts run_id, status, completed_at and metadata when a run has ended; so do we, with what we know of the
delivery in the metadata. We post it, not Letta: a URL of a caller must not lead into the network Letta stands in.
"""

from __future__ import annotations

import json
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, assert_never

from promptyoself.domain import backoff, limits
from promptyoself.domain.models import Delivery, DeliveryState, Schedule
from promptyoself.domain.values import dataclass

_STATUS: Final = {DeliveryState.DELIVERED: "completed", DeliveryState.DEAD: "failed"}
"""Letta's words for how a run ended."""
_AGAIN: Final = frozenset({408, 425, 429})


class CallbackState(StrEnum):
    """Where a callback stands."""

    DUE = "due"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCallback:
    """A callback about to be stored. `payload` is JSON."""

    delivery_id: int
    schedule_id: int
    target: str
    url: str
    payload: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A callback in the hands of who posts it; `attempts` counts this one."""

    id: int
    delivery_id: int
    schedule_id: int
    target: str
    url: str
    payload: str
    attempts: int

    @property
    def run_id(self) -> str | None:
        """The run that it is about, when one is known."""
        run_id: str | None = json.loads(self.payload)["run_id"]
        return run_id

    @property
    def idempotency_key(self) -> str:
        """The same at every attempt: who receives one twice acts once."""
        return f"{json.loads(self.payload)['metadata']['promptyoself']['idempotency_key']}/{self.id}"


@dataclass(frozen=True, slots=True)
class Posted:
    """It was answered, with this status."""

    status: int


@dataclass(frozen=True, slots=True)
class NotPosted:
    """It was not answered. `is_final`: it must not be posted there, now or later."""

    reason: str
    is_final: bool = False


PostResult = Posted | NotPosted


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What becomes of a callback after an attempt: its state, when it is due again, and the journal's words."""

    state: CallbackState
    due_at: datetime
    status: int | None = None
    reason: str | None = None


def callback_for(schedule: Schedule, delivery: Delivery, *, now: datetime) -> NewCallback | None:
    """Return what is to be posted about a delivery that has just ended, or None.

    One that was skipped or cancelled has none: as with Letta, only what was tried ends.
    """
    content = schedule.definition.content
    url = content.callback_url if content is not None else None
    status = _STATUS.get(delivery.state)
    if content is None or url is None or status is None:
        return None
    return NewCallback(
        delivery_id=delivery.id,
        schedule_id=schedule.id,
        target=delivery.target,
        url=url,
        payload=json.dumps(_payload(schedule, delivery, status, content.members, now=now)),
        created_at=now,
    )


def after_post(callback: Callback, result: PostResult, *, now: datetime, fraction: float) -> Outcome:
    """Return what an attempt's answer makes of a callback; `fraction` in 0..1 draws the backoff."""
    match result:
        case Posted(status=status) if 200 <= status < 300:  # noqa: PLR2004  HTTP's own numbers
            return Outcome(state=CallbackState.SENT, due_at=now, status=status)
        case Posted(status=status):
            is_final = status < 500 and status not in _AGAIN  # noqa: PLR2004  as above
            is_redirect = 300 <= status < 400  # noqa: PLR2004  as above
            text = "it redirects, and redirects are not followed" if is_redirect else "the receiver refused it"
            reason = f"{text if is_final else 'the receiver failed'} (HTTP {status})"
        case NotPosted():
            is_final, reason, status = result.is_final, result.reason, 0
        case _:
            assert_never(result)
    if is_final or callback.attempts >= limits.CALLBACK_ATTEMPTS_MAX:
        text = reason if is_final else f"{callback.attempts} attempts failed; last: {reason}"
        return Outcome(state=CallbackState.FAILED, due_at=now, status=status or None, reason=text)
    wait = backoff.after_callback(callback.attempts - 1, fraction=fraction)
    return Outcome(state=CallbackState.DUE, due_at=now + wait, status=status or None, reason=reason)


def body_of(callback: Callback, result: dict[str, Any] | None) -> bytes:
    """Return what is posted: the payload, and the run's result as Letta tells it, when it is known and not too long."""
    payload = json.loads(callback.payload)
    if result is not None:
        with_result = payload | {"metadata": payload["metadata"] | {"result": result}}
        body = json.dumps(with_result).encode()
        if len(body) <= limits.CALLBACK_BYTES_MAX:
            return body
    return json.dumps(payload).encode()


def wanted_types(callback: Callback) -> list[str] | None:
    """Return the kinds of messages that the schedule asked for, None for all."""
    types: list[str] | None = json.loads(callback.payload)["metadata"]["promptyoself"]["include_return_message_types"]
    return types


def _payload(
    schedule: Schedule, delivery: Delivery, status: str, options: dict[str, Any], *, now: datetime
) -> dict[str, Any]:
    return {
        "run_id": delivery.run_id,
        "status": status,
        "completed_at": (delivery.finished_at or now).isoformat(),
        "metadata": {
            "promptyoself": {
                "schedule_id": schedule.id,
                "delivery_id": delivery.id,
                "agent_id": delivery.lane.split(" ")[1],
                "idempotency_key": delivery.key,
                "fire_at": delivery.fire_at.isoformat(),
                "state": str(delivery.state),
                "reason": delivery.reason,
                "reply_excerpt": delivery.reply_excerpt,
                "include_return_message_types": options.get("include_return_message_types"),
            }
        },
    }
