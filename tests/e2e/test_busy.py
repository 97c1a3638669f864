"""An agent that calls `execute` from inside its own run gets an answer, not a deadlock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from tests.e2e.stage import Stage, a_one_off, wait_for

AGENT = "agent-1"
ANSWER_WITHIN_S = 5.0


def _execute(stage: Stage) -> tuple[dict[str, object], ...]:
    began_s = time.monotonic()
    answer = stage.call("execute")
    took_s = time.monotonic() - began_s
    assert took_s < ANSWER_WITHIN_S, took_s
    assert answer["status"] == "success"
    return tuple(answer["executed"])


def test_execute_answers_busy_while_a_loop_holds_the_agents_lane(stage: Stage) -> None:
    receiver = stage.receiver(manners={AGENT: {"run_s": 3600}})
    now = datetime.now(UTC)
    stage.add([a_one_off("a" * 32, AGENT, "first", fire_at=now - timedelta(seconds=2))])
    stage.loop()
    wait_for("the agent at work", lambda: receiver.count("answered"), within_s=20)
    stage.add([a_one_off("b" * 32, AGENT, "second", fire_at=now - timedelta(seconds=1))])

    (entry,) = _execute(stage)

    assert entry["outcome"] == "busy"
    assert entry["delivered"] is False
    assert "held by executor" in str(entry["error"])
    assert [arrival.text for arrival in receiver.arrivals()] == ["first"]


def test_execute_answers_busy_when_the_agent_works_for_somebody_else(stage: Stage) -> None:
    receiver = stage.receiver()
    receiver.start_foreign_run(AGENT)
    stage.add([a_one_off("a" * 32, AGENT, "first", fire_at=datetime.now(UTC) - timedelta(seconds=1))])

    (entry,) = _execute(stage)

    assert entry["outcome"] == "busy"
    assert entry["delivered"] is False
    assert receiver.arrivals() == []
