"""Letta's shapes, made of ours: what letta-client parses (types/agents/schedule_*_response.py), and what we add.

Additions stand in keys of their own, which Letta's clients keep and nobody else minds.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from promptyoself.interfaces.http.letta import instants
from promptyoself.interfaces.http.letta.orders import EVERY, RRULE
from promptyoself.interfaces.http.letta.wording import in_lettas_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptyoself.interfaces.wire import Document

_ADDED_AT_CREATION = ("timezone", "description", "next_runs", "message", "created")


def created(registered: Mapping[str, Any]) -> Document:
    """Return what a creation answers, from what `register` answers."""
    return {
        "id": str(registered["id"]),
        "next_scheduled_at": _text(registered["next_run"]),
        **{key: registered[key] for key in _ADDED_AT_CREATION if key in registered},
        "warnings": [in_lettas_words(one) for one in registered["warnings"]],
    }


def scheduled_message(schedule: Mapping[str, Any], content: Mapping[str, Any] | None) -> Document:
    """Return a schedule, from wire.py's shape of it and what it sends besides a plain prompt."""
    message = dict(content or {})
    message.setdefault("messages", [{"role": "user", "content": schedule["prompt_text"], "type": "message"}])
    return {
        "id": str(schedule["id"]),
        "agent_id": schedule["agent_id"],
        "message": message,
        "next_scheduled_time": _text(schedule["next_run"]),
        "schedule": _rule(schedule),
        "conversation_id": schedule["conversation"],
        "name": schedule["name"],
        "state": schedule["state"],
        "state_reason": schedule["state_reason"],
    }


def page(shown: Sequence[Document], *, has_next_page: bool) -> Document:
    """Return a page of schedules."""
    return {"has_next_page": has_next_page, "scheduled_messages": list(shown)}


def history(schedule_id: str, receipts: Sequence[Mapping[str, Any]], *, has_next_page: bool) -> Document:
    """Return a page of receipts, newest first, in the shape of our own `history`."""
    return {"has_next_page": has_next_page, "scheduled_message_id": schedule_id, "deliveries": list(receipts)}


def _rule(schedule: Mapping[str, Any]) -> Document:
    """Return when a schedule fires, in the nearest shape that is true.

    Intervals and recurrence rules recur, by a text that a creation takes back and nobody mistakes for cron.
    """
    kind, value, timezone = schedule["schedule_type"], schedule["schedule_value"], schedule["timezone"]
    if kind == "once":
        return {"type": "one-time", "scheduled_at": instants.milliseconds(_once(schedule)), "timezone": timezone}
    if kind == "interval":
        value = f"{EVERY}{value}"
    elif kind == "rrule" and not value.upper().startswith((RRULE, "DTSTART", "RDATE", "EXDATE")):
        value = f"{RRULE}{value}"
    return {"type": "recurring", "cron_expression": value, "timezone": timezone}


def _once(schedule: Mapping[str, Any]) -> datetime:
    from promptyoself.domain.triggers import parse_instant

    return parse_instant(schedule["schedule_value"], timezone=schedule["timezone"])


def _text(at: str | None) -> str | None:
    return None if at is None else instants.text(datetime.fromisoformat(at))
