"""A service that is killed while it delivers to real agents: the next one follows what was sent, and sends the rest."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tests.letta.desk import Desk, until
from tests.letta_server.server import LettaServer

pytestmark = pytest.mark.letta

AGENTS = 6


@pytest.mark.parametrize("seen", [1, AGENTS])
def test_a_service_killed_while_it_delivers_sends_each_prompt_once(
    letta_server: LettaServer, tmp_path: Path, seen: int
) -> None:
    """Killed when the first agent's model is asked, others are on their way; when the last one's is, all runs go on."""
    desk = Desk(letta_server, tmp_path)
    mark = uuid.uuid4().hex
    agents = [letta_server.create_agent(f"killed-service-{number}") for number in range(AGENTS)]
    with desk.serving() as first:
        wanted = [{"agent_id": agent, "prompt": f"SLEEP:6 {mark} {agent}", "time": "in 3 seconds"} for agent in agents]
        assert first.call("POST", "/api/v1/schedules/bulk", {"schedules": wanted})[0] == 200
        until(lambda: len(letta_server.stub_requests(mark)) >= seen, within_s=60)
        first.kill()
    with desk.serving():
        until(lambda: all(desk.states(agent) == ["delivered"] for agent in agents), within_s=120)
    for agent in agents:
        assert desk.prompts(agent) == [f"SLEEP:6 {mark} {agent}"]
        [delivery] = desk.deliveries(agent)
        assert not delivery["may_be_repeat"]
    assert len(letta_server.stub_requests(mark)) == AGENTS
