"""The short system message before a prompt: what this is, who wrote it, how late it is, whether it may repeat.

The vocabulary is fixed. What an agent or a caller chose (names, ids) is quoted, cut and cleaned: it is data
there, never instruction. The prompt itself is not touched by anything.
"""

from __future__ import annotations

import unicodedata
from datetime import datetime, timedelta
from functools import lru_cache

from promptyoself.domain import limits
from promptyoself.domain.models import OPERATOR, Delivery, DeliveryKind, EnvelopeMode, Schedule
from promptyoself.domain.replies import invitation
from promptyoself.domain.triggers import describe, format_duration, zone

NAME_SHOWN_MAX = 80
REPEAT_MARK = (
    "This may be a repeat: whether an earlier attempt reached you could not be learnt. "
    "If you have acted on it already, do not act again."
)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
CLOSING = "No person is watching. This is the scheduled run itself: do not schedule it again."


def compose(schedule: Schedule, delivery: Delivery, *, now: datetime, nonce: str | None = None) -> str | None:
    """Return the envelope's text, or None when the schedule wants none. `now` is aware UTC.

    `nonce`, where replies are obeyed, is told with how to answer.
    """
    mode = schedule.definition.policy.envelope
    if mode is EnvelopeMode.NONE:
        return None
    lines = [_identity(schedule), _timing(schedule, delivery, now=now)]
    if mode is EnvelopeMode.FULL:
        lines.append(_particulars(schedule, delivery))
    if delivery.maybe_repeat:
        lines.append(REPEAT_MARK)
    lines.append(CLOSING)
    if nonce is not None:
        lines.append(invitation(nonce))
    return "\n".join(lines)


def quoted(text: str) -> str:
    """Return a chosen name as data: in double quotes, at most 80 characters, without control characters."""
    kept = "".join(" " if unicodedata.category(char)[0] in {"C", "Z"} else char for char in text)
    kept = " ".join(kept.replace('"', "'").split())
    if len(kept) > NAME_SHOWN_MAX:
        kept = kept[: NAME_SHOWN_MAX - 1] + "…"
    return f'"{kept}"'


def _identity(schedule: Schedule) -> str:
    name = schedule.definition.name
    owner = schedule.provenance.owner
    if owner == OPERATOR:
        author = "an operator"
    elif owner == schedule.definition.agent_id:
        author = "you"
    else:
        author = f"agent {quoted(owner)}"
    written_at = _shown(schedule.created_at, schedule)
    titled = f" {quoted(name)}" if name else ""
    return f"[promptyoself] Scheduled prompt {schedule.id}{titled}, written by {author} on {written_at}."


def _timing(schedule: Schedule, delivery: Delivery, *, now: datetime) -> str:
    if delivery.kind is DeliveryKind.RUN_NOW:
        return f"Sent on request at {_shown(delivery.fire_at, schedule)}, outside its schedule."
    planned = f"planned for {_shown(delivery.fire_at, schedule)}"
    if delivery.fire_number == 0:
        return f"Sent again on request at {_shown(delivery.planned_at, schedule)}, {planned}."
    repetitions = schedule.definition.max_repetitions
    number = f"Fire {delivery.fire_number}" + (f" of {repetitions}" if repetitions else "")
    late = now - delivery.planned_at
    text = f"{number}, {planned}{_held(schedule, delivery)}"
    text += f"; it is {_rounded(late)} late." if late > limits.ON_TIME else "; it is on time."
    return text + _missed(delivery.missed)


def _held(schedule: Schedule, delivery: Delivery) -> str:
    """A jitter is nobody's news; a night is, and so is a snooze."""
    if delivery.snoozed_until is not None:
        return f", put off until {_shown(delivery.planned_at, schedule)}"
    if delivery.planned_at - delivery.fire_at <= schedule.definition.trigger.jitter:
        return ""
    return f", held by quiet hours until {_shown(delivery.planned_at, schedule)}"


def _missed(missed: int) -> str:
    if missed == 0:
        return ""
    if missed == 1:
        return " It stands for 1 earlier fire time that was missed."
    # Counting ends at MISSED_COUNT_MAX, the newest included.
    least = "at least " if missed >= limits.MISSED_COUNT_MAX - 1 else ""
    return f" It stands for {least}{missed} earlier fire times that were missed."


def _particulars(schedule: Schedule, delivery: Delivery) -> str:
    rule = describe(schedule.definition.trigger)
    text = f"Rule: {rule}. Delivery {delivery.id}, attempt {delivery.attempts + 1}, idempotency key {delivery.key}."
    lines = [text]
    if schedule.next_fire_at is not None:
        lines.append(f"Next fire: {_shown(schedule.next_fire_at, schedule)}.")
    if schedule.provenance.depth:
        lines.append(f"Depth in its chain of prompts that schedule prompts: {schedule.provenance.depth}.")
    return "\n".join(lines)


def _rounded(late: timedelta) -> str:
    return _seconds(round(late.total_seconds()))


@lru_cache(maxsize=4096)
def _seconds(seconds: int) -> str:
    """A burst is late by the same few seconds ten thousand times."""
    return format_duration(timedelta(seconds=seconds))


def _shown(instant: datetime, schedule: Schedule) -> str:
    return _written(instant, schedule.definition.trigger.timezone)


@lru_cache(maxsize=4096)
def _written(instant: datetime, name: str) -> str:
    """A burst has one fire time."""
    local = instant.astimezone(zone(name))
    return f"{_DAYS[local.weekday()]} {local.isoformat(' ')[:19]} {name}"  # strftime costs ten times as much
