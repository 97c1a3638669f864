"""A trigger in words."""

from __future__ import annotations

from typing import assert_never

from promptyoself.domain.cron import parse_cron
from promptyoself.domain.intervals import format_duration, parse_duration
from promptyoself.domain.phrases import moment
from promptyoself.domain.triggers import Trigger, TriggerKind
from promptyoself.domain.words_cron import cron_in_words


def describe(trigger: Trigger) -> str:
    """Return the rule in words, with its bounds, jitter and zone."""
    here = trigger.timezone
    match trigger.kind:
        case TriggerKind.ONCE:
            text = f"once at {moment(trigger.anchor_at, here)}"
        case TriggerKind.CRON:
            text = cron_in_words(parse_cron(trigger.expression))
        case TriggerKind.INTERVAL:
            text = f"every {format_duration(parse_duration(trigger.expression))}"
            if trigger.start_at is None:
                text += f", counted from {moment(trigger.anchor_at, here)}"
        case TriggerKind.RRULE:
            from promptyoself.domain.words_rrule import (
                rrule_in_words,
            )  # loads dataclasses, which the others do not need

            text = rrule_in_words(trigger)
        case _:
            assert_never(trigger.kind)
    if trigger.start_at is not None:
        text += f", from {moment(trigger.start_at, here)}"
    if trigger.end_at is not None:
        text += f", until {moment(trigger.end_at, here)}"
    if trigger.jitter:
        text += f", up to {format_duration(trigger.jitter)} later"
    return f"{text} ({here})"
