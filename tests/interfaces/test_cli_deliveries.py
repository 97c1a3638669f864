"""Receipts, the journal's story, the mailbox, and what a pass says."""

from __future__ import annotations

from datetime import timedelta

import pytest

from promptyoself.application.passes import Entry
from promptyoself.domain.models import FactKind, InboxMessage
from promptyoself.interfaces import why
from tests.factories import a_delivery, a_schedule
from tests.interfaces.world import NOW, Door

EXECUTED_KEYS = [
    "id",
    "agent_id",
    "delivered",
    "next_run",
    "repetition_count",
    "max_repetitions",
    "completed",
    "delivery_id",
    "attempt",
    "outcome",
    "lateness_ms",
]


@pytest.fixture
def delivery_id(door: Door) -> int:
    door.ok("register", "--agent-id", "agent-1", "--prompt", "x", "--every", "5m", "--timezone", "Europe/Riga")
    delivery = door.ok("run-now", "--id", "1")["delivery"]
    with door.services.store.transaction() as tx:
        attempt = tx.add_attempt(delivery["id"], executor_id="e", otid="k#0", started_at=NOW)
        assert attempt.number == 1
    return int(delivery["id"])


def test_history_is_deliveries_with_their_attempts(door: Door, delivery_id: int) -> None:
    (receipt,) = door.ok("history", "--id", "1")["deliveries"]
    assert receipt["id"] == delivery_id
    assert receipt["fire_at"] == "2026-03-02T11:00:00+02:00"
    assert [one["otid"] for one in receipt["attempts"]] == ["k#0"]


def test_deliveries_are_listed_by_state(door: Door, delivery_id: int) -> None:
    assert [one["id"] for one in door.ok("deliveries", "--state", "pending")["deliveries"]] == [delivery_id]
    assert door.ok("deliveries", "--state", "dead")["count"] == 0
    assert door.ok("deliveries", "--agent-id", "agent-2")["count"] == 0
    assert "dead" in door.refused("deliveries", "--state", "lost")["error"]


def test_what_is_on_its_way_is_not_retried(door: Door, delivery_id: int) -> None:
    assert door.refused("retry", "--id", str(delivery_id))["code"] == "conflict"
    assert door.refused("retry", "--id", "99")["code"] == "delivery_not_found"


def test_what_was_cancelled_is_retried_by_hand(door: Door, delivery_id: int) -> None:
    door.ok("update", "--id", "1", "--every", "6m")
    revived = door.ok("retry", "--id", str(delivery_id))["delivery"]
    assert (revived["state"], revived["reason"]) == ("pending", "retried by hand")


@pytest.mark.usefixtures("delivery_id")
def test_why_tells_the_story_in_the_schedules_zone(door: Door) -> None:
    sentences = door.ok("why", "--id", "1")["sentences"]
    assert sentences[0] == "Mon 2026-03-02 11:00:00: operator via cli registered it (interval: 5m)."
    assert "run at once, as delivery 1" in sentences[1]
    assert "Now: it is active and fires next Mon 11:05 Europe/Riga (in 5 min)." in sentences
    assert "Delivery 1 is waiting for its turn." in sentences
    assert any("Nothing is running" in one for one in sentences)


def test_why_has_a_sentence_for_every_fact() -> None:
    assert set(why._SENTENCES) == set(FactKind)


def test_the_mailbox_is_read_and_acknowledged(door: Door) -> None:
    message = InboxMessage(
        id=0,
        agent_id="agent-1",
        otid="k#0",
        delivery_id=1,
        schedule_id=1,
        envelope=None,
        prompt="stretch",
        received_at=NOW,
        acked_at=None,
    )
    with door.services.store.transaction() as tx:
        tx.add_message(message)
    (shown,) = door.ok("inbox", "--agent-id", "agent-1")["messages"]
    assert (shown["prompt"], shown["received_at"]) == ("stretch", "2026-03-02T09:00:00+00:00")
    assert door.ok("ack", "--id", str(shown["id"]))["message"]["acked_at"] == "2026-03-02T09:00:00+00:00"
    assert door.ok("inbox", "--agent-id", "agent-1")["count"] == 0
    assert door.ok("inbox", "--agent-id", "agent-1", "--all")["count"] == 1
    assert door.refused("ack", "--id", "99")["code"] == "not_found"
    assert "--agent-id" in door.refused("inbox", code=2)["error"]


def test_execute_says_what_became_of_each_delivery(door: Door) -> None:
    arrived = a_delivery(accepted_at=NOW + timedelta(seconds=1), planned_at=NOW)
    door.services.entries = [
        Entry(delivery=arrived, schedule=a_schedule(), outcome="accepted", attempt=1, error=None),
        Entry(delivery=a_delivery(), schedule=a_schedule(), outcome="busy", attempt=0, error="held by e"),
    ]
    answer = door.ok("execute", "--wait", "5")
    assert answer["message"] == "2 prompts executed"
    accepted, busy = answer["executed"]
    assert list(accepted) == EXECUTED_KEYS
    assert (accepted["delivered"], accepted["lateness_ms"]) == (True, 1000)
    assert list(busy) == [*EXECUTED_KEYS, "error"]
    assert (busy["delivered"], busy["error"]) == (False, "held by e")
    assert door.services.waited == timedelta(seconds=5)


def test_a_loop_ends_with_one_object(door: Door) -> None:
    answer = door.ok("execute", "--loop", "--interval", "30")
    assert (answer["count"], answer["clean"]) == (0, True)
    assert door.services.waited == timedelta(seconds=30)
    assert "--loop" in door.refused("execute", "--interval", "30", code=2)["error"]
