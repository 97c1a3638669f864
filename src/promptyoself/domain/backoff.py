"""How long to wait before trying again."""

from __future__ import annotations

from datetime import timedelta

from promptyoself.domain import limits

_DOUBLINGS_MAX = 20
"""Beyond this many doublings every cap is reached; it keeps the arithmetic finite."""


def full_jitter(tries: int, *, first: timedelta, longest: timedelta, fraction: float) -> timedelta:
    """Return a wait drawn from 0 to min(longest, first x 2^tries): exponential backoff with full jitter.

    `tries` counts from 0; `fraction` in 0..1 is the draw.
    Source: M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    """
    return min(longest, first * 2.0 ** min(tries, _DOUBLINGS_MAX)) * fraction


def after_failure(tries: int, *, fraction: float) -> timedelta:
    """Return the wait before a failed or refused delivery is tried again: from 5 s, cap 15 min."""
    return full_jitter(tries, first=limits.BACKOFF_FIRST, longest=limits.BACKOFF_MAX, fraction=fraction)


def after_busy(tries: int, *, fraction: float) -> timedelta:
    """Return the wait before a busy agent is looked at again: half the backoff for certain, half drawn."""
    wait = full_jitter(tries, first=limits.BUSY_BACKOFF_FIRST, longest=limits.BUSY_BACKOFF_MAX, fraction=1.0)
    return wait * (0.5 + fraction / 2)


def while_unknown(unknown_for: timedelta) -> timedelta:
    """Return the pause until an unknown delivery is asked about again: as long as it is unknown, 2 s to 20 s."""
    return min(limits.SETTLE_MAX, max(limits.SETTLE_FIRST, unknown_for))


def after_callback(tries: int, *, fraction: float) -> timedelta:
    """Return the wait before a callback is posted again: half of it certain, from 10 s, cap 30 min."""
    longest = limits.CALLBACK_BACKOFF_MAX
    wait = full_jitter(tries, first=limits.CALLBACK_BACKOFF_FIRST, longest=longest, fraction=1.0)
    return wait * (0.5 + fraction / 2)
