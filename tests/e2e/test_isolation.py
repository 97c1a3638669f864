"""One agent that hangs and one that always fails delay nobody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from statistics import quantiles

import pytest

from tests.e2e.stage import Stage, an_interval, by_agent, wait_for

pytestmark = pytest.mark.slow

AGENTS, FIRES = 50, 5
PERIOD = timedelta(seconds=2)


def test_a_hung_and_a_failing_agent_delay_nobody_else(stage: Stage) -> None:
    receiver = stage.receiver(manners={"agent-hung": {"hangs": True}, "agent-bad": {"fails": True}})
    stage.loop()
    anchor_at = datetime.now(UTC)
    names = ["agent-hung", "agent-bad", *(f"agent-{number}" for number in range(AGENTS))]
    stage.add(
        an_interval(f"{number:032x}", name, "stretch", "2s", anchor_at=anchor_at, first=anchor_at + PERIOD)
        for number, name in enumerate(names)
    )

    def all_have_come() -> bool:
        arrived = by_agent(receiver.arrivals())
        return all(len(arrived.get(f"agent-{number}", ())) >= FIRES for number in range(AGENTS))

    wait_for("five prompts to each of fifty agents", all_have_come, within_s=40)

    arrived = by_agent(receiver.arrivals())
    # By hand: the k-th is due k periods after the anchor. What comes before it, or out of its turn, is late or early.
    late_s = [
        arrival.begun_s - (anchor_at + fire * PERIOD).timestamp()
        for number in range(AGENTS)
        for fire, arrival in enumerate(arrived[f"agent-{number}"][:FIRES], start=1)
    ]
    assert min(late_s) >= 0
    # A loaded machine may hold up one in twenty for a moment; a hung agent that blocks others holds up all of them.
    assert quantiles(late_s, n=20)[-1] < 1.0, sorted(late_s)[-20:]
    assert max(late_s) < PERIOD.total_seconds(), max(late_s)
    assert len(arrived["agent-hung"]) == 1
    assert 1 <= len(arrived["agent-bad"]) <= FIRES
    assert len({arrival.otid for arrival in arrived["agent-bad"]}) == len(arrived["agent-bad"])
