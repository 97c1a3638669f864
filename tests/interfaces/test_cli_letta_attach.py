"""`letta attach` and `letta detach` at the doors: their answers, and what they refuse."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from promptyoself.bootstrap import open_services
from promptyoself.domain.errors import Conflict
from tests.fakes.letta_desk import FakeAgent
from tests.interfaces.world import Door

AGENT = "agent-1"


def test_attach_tells_what_was_done_in_order_and_shows_no_token(door: Door) -> None:
    door.services.desk.agents[AGENT] = FakeAgent()
    answer = door.call("letta", "attach", "--agent-id", AGENT)
    document = answer.json
    assert (document["agent_id"], document["via"], document["url"]) == (AGENT, "tools", "http://127.0.0.1:8289")
    assert document["tools"] == ["list_my_schedules", "why"]
    assert document["mcp_refused"] == "Letta takes no MCP server there"
    assert [step.split()[0] for step in document["steps"]] == ["Letta", "Letta", "Agent", "Letta"]
    assert AGENT in document["message"]
    assert door.services.service.tokens[0] not in answer.out + answer.err


def test_a_person_is_told_each_step(door: Door) -> None:
    door.services.desk.agents[AGENT] = FakeAgent()
    told = door.call("letta", "attach", "--agent-id", AGENT, "--via", "tools", is_tty=True).out
    assert "Letta has 2 custom tools" in told
    assert "Attached: agent agent-1" in " ".join(told.split())


def test_the_agent_may_come_from_the_settings(door: Door) -> None:
    door.services.agent_id = AGENT
    door.services.desk.agents[AGENT] = FakeAgent()
    assert door.ok("letta", "attach")["agent_id"] == AGENT
    detached = door.ok("letta", "detach")
    assert detached["tools"] == ["list_my_schedules", "why"]
    assert detached["revoked_tokens"] == [1]
    assert "Its schedules stay" in detached["message"]
    assert "nothing to undo" in door.ok("letta", "detach")["message"]


def test_what_cannot_be_meant_is_refused_as_usage(door: Door) -> None:
    assert "--agent-id" in door.refused("letta", "attach", code=2)["error"]
    assert "tools" in door.refused("letta", "attach", "--agent-id", AGENT, "--via", "sse", code=2)["error"]


def test_a_service_that_is_down_says_serve(door: Door) -> None:
    door.services.service.is_up = False
    refused = door.refused("letta", "attach", "--agent-id", AGENT)
    assert refused["code"] == "target_unreachable"
    assert "promptyoself serve" in refused["error"]


def test_an_agent_may_not_attach_itself_or_others(door: Door) -> None:
    door.services.owner = AGENT
    for command in ("attach", "detach"):
        assert door.refused("letta", command, "--agent-id", AGENT)["code"] == "forbidden"
    assert door.services.desk.asked == []


def test_two_at_once_on_one_database_are_told_apart_and_no_file_is_left(tmp_path: Path) -> None:
    flags = {"db": str(tmp_path / "promptyoself.db"), "base_url": "http://127.0.0.1:1"}
    first, second = (open_services(environ={}, cwd=tmp_path, flags=flags) for _ in range(2))
    with closing(first), closing(second):
        with first.setting_up(), pytest.raises(Conflict, match="at work"), second.setting_up():
            pass
        with second.setting_up():
            pass
        assert {path.name.partition(".db")[0] for path in tmp_path.iterdir()} == {"promptyoself"}
