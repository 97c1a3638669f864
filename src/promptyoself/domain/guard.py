"""The limits on what agents may schedule for themselves. Operators have none of them.

Depth of a chain is recorded and shown, never refused: "wake me tomorrow" every day is the core use.
"""

from __future__ import annotations

from datetime import timedelta

from promptyoself.domain import limits
from promptyoself.domain.errors import LimitExceeded
from promptyoself.domain.ports import GuardUsage
from promptyoself.domain.triggers import format_duration


def check_definition(*, prompt_bytes: int, content_bytes: int = 0, period: timedelta | None) -> None:
    """Refuse what no agent may schedule: a prompt or content too large, a period too short. Raises LimitExceeded.

    `prompt_bytes` counts the text of several messages; `content_bytes` is their JSON, images included. `period` is the
    smallest gap between fire times, None for a one-off.
    """
    if prompt_bytes > limits.AGENT_PROMPT_BYTES_MAX:
        raise LimitExceeded(
            f"the prompt has {prompt_bytes} bytes; an agent's may have {limits.AGENT_PROMPT_BYTES_MAX}",
            hint="shorten the prompt, or keep the text in memory and schedule a pointer to it",
        )
    if content_bytes > limits.AGENT_CONTENT_BYTES_MAX:
        raise LimitExceeded(
            f"the content has {content_bytes} bytes; an agent's may have {limits.AGENT_CONTENT_BYTES_MAX}",
            hint="send smaller images, or none",
        )
    if period is not None and period < limits.AGENT_PERIOD_MIN:
        raise LimitExceeded(
            f"the schedule fires every {format_duration(period)}; an agent's may fire every "
            f"{format_duration(limits.AGENT_PERIOD_MIN)} at most",
            hint="choose a longer interval, or ask an operator to schedule it",
        )


def check_creation(usage: GuardUsage, *, descendants: int) -> None:
    """Refuse one more schedule over the limits of its owner. Raises LimitExceeded, which names the limit.

    `descendants` counts the live schedules of the chain it would join.
    """
    check_active(usage)
    if usage.created_last_hour >= limits.AGENT_CREATIONS_PER_HOUR_MAX:
        raise LimitExceeded(
            f"{usage.created_last_hour} schedules were created within an hour; an agent may create "
            f"{limits.AGENT_CREATIONS_PER_HOUR_MAX}",
            hint="wait, or update a schedule in place of creating one (register with --key does that)",
        )
    if descendants >= limits.AGENT_DESCENDANTS_MAX:
        raise LimitExceeded(
            f"{descendants} live schedules descend from the same first one; at most {limits.AGENT_DESCENDANTS_MAX} may",
            hint="cancel schedules of this chain that are no longer needed",
        )


def check_active(usage: GuardUsage) -> None:
    """Refuse one more active schedule than an owner may have. Raises LimitExceeded."""
    if usage.active >= limits.AGENT_SCHEDULES_ACTIVE_MAX:
        raise LimitExceeded(
            f"{usage.active} schedules are active; an agent may have {limits.AGENT_SCHEDULES_ACTIVE_MAX}",
            hint="cancel some that are no longer needed",
        )


def allowance(usage: GuardUsage) -> int:
    """Return how many deliveries the owner's schedules may still make within this hour, at least 0."""
    return max(0, limits.AGENT_DELIVERIES_PER_HOUR_MAX - usage.deliveries_last_hour)


def deliveries_exceeded() -> LimitExceeded:
    """Return the refusal of one more delivery within the hour."""
    return LimitExceeded(
        f"an agent's schedules may make {limits.AGENT_DELIVERIES_PER_HOUR_MAX} deliveries in an hour",
        hint="wait, or ask an operator",
    )
