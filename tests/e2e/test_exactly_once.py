"""Two executors at one database: every prompt arrives once, in order, and never two at once at one agent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.stage import Stage, assert_each_arrived_once, assert_never_two_at_once, by_agent

pytestmark = pytest.mark.slow

DUE = 1000


@pytest.mark.parametrize("agents", [1000, 50])
def test_two_executes_at_once_deliver_each_of_a_thousand_prompts_once(stage: Stage, agents: int) -> None:
    receiver = stage.receiver(manners={"*": {"answer_s": 0.002, "run_s": 0.01}})
    prompts = [(f"agent-{number % agents}", f"prompt {number}") for number in range(DUE)]
    stage.add_due(prompts, first=datetime.now(UTC) - timedelta(seconds=60), apart=timedelta(milliseconds=10))

    calls = [stage.start("execute", "--wait", "120"), stage.start("execute", "--wait", "120")]
    answers = [call.answer(within_s=150) for call in calls]

    arrivals = receiver.arrivals()
    assert_each_arrived_once(arrivals, (text for _, text in prompts))
    assert_never_two_at_once(arrivals)
    for arrived in by_agent(arrivals).values():
        numbers = [int(arrival.text.split()[1]) for arrival in arrived]
        assert numbers == sorted(numbers)
    reported = [
        entry["delivery_id"] for answer in answers for entry in answer["executed"] if entry["outcome"] == "delivered"
    ]
    assert len(reported) == len(set(reported)) == DUE
    assert stage.states() == {"delivered": DUE}
