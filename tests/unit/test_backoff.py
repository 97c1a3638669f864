"""How long to wait before trying again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptyoself.domain import backoff, limits

fractions = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(("tries", "seconds"), [(0, 5), (1, 10), (2, 20), (7, 640), (8, 900), (10_000, 900)])
def test_it_doubles_from_five_seconds_to_fifteen_minutes(tries: int, seconds: int) -> None:
    assert backoff.after_failure(tries, fraction=1.0) == timedelta(seconds=seconds)


@settings(max_examples=30)
@given(tries=st.integers(0, 10**9), fraction=fractions)
def test_full_jitter_draws_from_nothing_to_the_whole(tries: int, fraction: float) -> None:
    wait, whole = backoff.after_failure(tries, fraction=fraction), backoff.after_failure(tries, fraction=1.0)
    assert timedelta(0) <= wait <= whole
    assert abs(wait - whole * fraction) <= timedelta(microseconds=1)


@settings(max_examples=30)
@given(tries=st.integers(0, 10**9), fraction=fractions)
def test_a_busy_agent_is_left_alone_for_half_the_wait_at_least(tries: int, fraction: float) -> None:
    wait = backoff.after_busy(tries, fraction=fraction)
    assert limits.BUSY_BACKOFF_FIRST / 2 <= wait <= limits.BUSY_BACKOFF_MAX
    assert wait >= backoff.after_busy(tries, fraction=0.0)


@pytest.mark.parametrize(("unknown_s", "pause_s"), [(-99, 2), (0, 2), (1, 2), (7, 7), (20, 20), (9999, 20)])
def test_an_unknown_one_is_asked_about_more_and_more_seldom(unknown_s: int, pause_s: int) -> None:
    assert backoff.while_unknown(timedelta(seconds=unknown_s)) == timedelta(seconds=pause_s)
