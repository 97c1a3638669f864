"""The limits on what agents may schedule for themselves, each at its edge."""

from __future__ import annotations

from datetime import timedelta

import pytest

from promptyoself.domain import guard, limits
from promptyoself.domain.errors import LimitExceeded
from promptyoself.domain.ports import GuardUsage

NOTHING = GuardUsage(active=0, created_last_hour=0, deliveries_last_hour=0)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(("prompt_bytes", "period"), [
    (limits.AGENT_PROMPT_BYTES_MAX, limits.AGENT_PERIOD_MIN),
    (0, None),
])  # fmt: skip
def test_what_is_at_the_limit_passes(prompt_bytes: int, period: timedelta | None) -> None:
    guard.check_definition(prompt_bytes=prompt_bytes, period=period)


@pytest.mark.parametrize(("prompt_bytes", "period", "named"), [
    (limits.AGENT_PROMPT_BYTES_MAX + 1, None, "65536"),
    (1, limits.AGENT_PERIOD_MIN - SECOND, "59s"),
])  # fmt: skip
def test_a_definition_beyond_a_limit_is_refused_by_name(
    prompt_bytes: int, period: timedelta | None, named: str
) -> None:
    with pytest.raises(LimitExceeded, match=named) as refused:
        guard.check_definition(prompt_bytes=prompt_bytes, period=period)
    assert refused.value.hint


@pytest.mark.parametrize(("active", "created", "descendants", "named"), [
    (limits.AGENT_SCHEDULES_ACTIVE_MAX, 0, 0, "100 schedules are active"),
    (0, limits.AGENT_CREATIONS_PER_HOUR_MAX, 0, "60 schedules were created within an hour"),
    (0, 0, limits.AGENT_DESCENDANTS_MAX, "50 live schedules descend"),
])  # fmt: skip
def test_one_more_than_a_limit_is_refused_by_name(active: int, created: int, descendants: int, named: str) -> None:
    usage = GuardUsage(active=active, created_last_hour=created, deliveries_last_hour=0)
    with pytest.raises(LimitExceeded, match=named):
        guard.check_creation(usage, descendants=descendants)


def test_the_last_one_within_every_limit_passes() -> None:
    usage = GuardUsage(
        active=limits.AGENT_SCHEDULES_ACTIVE_MAX - 1,
        created_last_hour=limits.AGENT_CREATIONS_PER_HOUR_MAX - 1,
        deliveries_last_hour=0,
    )
    guard.check_creation(usage, descendants=limits.AGENT_DESCENDANTS_MAX - 1)


@pytest.mark.parametrize(("used", "left"), [(0, 120), (119, 1), (120, 0), (500, 0)])
def test_what_is_left_of_the_hours_deliveries_is_never_negative(used: int, left: int) -> None:
    assert guard.allowance(GuardUsage(active=0, created_last_hour=0, deliveries_last_hour=used)) == left


def test_a_chain_may_be_as_long_as_it_likes() -> None:
    """Depth is recorded and shown; `wake me tomorrow` every day is the core use."""
    guard.check_creation(NOTHING, descendants=1)
