"""`on-time`: what an agent is working on, how late it came, what waits and what comes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from promptyoself.domain.models import DeliveryState
from promptyoself.domain.values import replace
from tests.interfaces.world import NOW, Door


@pytest.fixture
def busy(door: Door) -> Door:
    """Agent 1 has two schedules, and one delivery that waits."""
    door.ok("register", "--agent-id", "agent-1", "--prompt", "x", "--cron", "0 12 * * *", "--name", "noon")
    door.ok("register", "--agent-id", "agent-1", "--prompt", "y", "--every", "1h")
    door.ok("register", "--agent-id", "agent-2", "--prompt", "z", "--every", "1m")
    door.ok("run-now", "--id", "1")
    return door


def send(door: Door, *, late_s: float, state: DeliveryState = DeliveryState.ACCEPTED, **changes: object) -> None:
    with door.services.store.transaction() as tx:
        delivery = tx.delivery(1)
        assert delivery is not None
        at = NOW + timedelta(seconds=late_s)
        accepted_at = at if state is DeliveryState.ACCEPTED else None
        made = replace(delivery, state=state, sent_at=at, accepted_at=accepted_at, **changes)  # type: ignore[arg-type]
        assert tx.save_delivery(made, was=delivery)


def test_nothing_in_progress_says_what_waits_and_what_comes(busy: Door) -> None:
    answer = busy.ok("on-time", "--agent-id", "agent-1")
    assert (answer["delivery"], answer["is_on_time"], answer["late_s"]) == (None, None, None)
    assert (answer["waiting"], answer["others_in_flight"], answer["unread"]) == (1, 0, 0)
    assert [one["schedule_id"] for one in answer["coming"]] == [2, 1]
    assert answer["coming"][0]["at"] == "2026-03-02T10:00:00+00:00"
    assert answer["message"] == (
        "No scheduled prompt is in progress. Due and waiting for a turn: 1. Next: schedule 2, Mon 10:00 UTC (in 1 h)."
    )


@pytest.mark.parametrize(("late_s", "said"), [(0, "on time"), (2, "on time"), (3, "3s late"), (3700, "1h1m40s late")])
def test_lateness_counts_from_the_planned_instant_to_arrival(busy: Door, late_s: float, said: str) -> None:
    send(busy, late_s=late_s)
    answer = busy.ok("on-time", "--agent-id", "agent-1")
    assert answer["late_s"] == late_s
    assert answer["is_on_time"] is (late_s <= 2)
    assert f"It arrived {said}." in answer["message"]
    assert answer["name"] == "noon"
    assert answer["delivery"]["id"] == 1


def test_what_is_sent_and_not_yet_accepted_counts_from_its_sending(busy: Door) -> None:
    send(busy, late_s=30, state=DeliveryState.LEASED)
    busy.services.clock.at = NOW + timedelta(minutes=5)
    assert busy.ok("on-time", "--agent-id", "agent-1")["late_s"] == 30


def test_it_tells_of_missed_ones_and_of_a_possible_repeat(busy: Door) -> None:
    send(busy, late_s=0, missed=3, maybe_repeat=True)
    message = busy.ok("on-time", "--agent-id", "agent-1")["message"]
    assert "It also stands for 3 missed before it." in message
    assert "It may be a repeat" in message


def test_a_delivery_that_has_ended_is_no_longer_in_progress(busy: Door) -> None:
    send(busy, late_s=0, state=DeliveryState.DELIVERED, finished_at=NOW)
    assert busy.ok("on-time", "--agent-id", "agent-1")["delivery"] is None


def test_an_agent_may_ask_for_itself_only_and_somebody_has_to_be_meant(busy: Door) -> None:
    assert "--agent-id" in busy.refused("on-time", code=2)["error"]
    busy.services.owner = busy.services.agent_id = "agent-2"
    assert busy.ok("on-time")["agent_id"] == "agent-2"
    assert busy.refused("on-time", "--agent-id", "agent-1")["code"] == "forbidden"


def test_an_agent_without_schedules_is_told_that_nothing_comes(door: Door) -> None:
    assert "Nothing comes next" in door.ok("on-time", "--agent-id", "agent-9")["message"]
