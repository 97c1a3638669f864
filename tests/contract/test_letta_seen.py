"""Letta's word on an agent is taken for a while, and its silence never."""

from __future__ import annotations

from datetime import timedelta

import pytest

from promptyoself.domain import limits
from promptyoself.domain.errors import AgentNotFound
from promptyoself.domain.ports import AgentInfo
from promptyoself.targets.letta_seen import AgentsSeen
from tests.interfaces.world import StillClock


class Letta:
    def __init__(self) -> None:
        self.agents = {"agent-1"}
        self.asked: list[str] = []

    def ask(self, agent_id: str) -> AgentInfo:
        self.asked.append(agent_id)
        if agent_id not in self.agents:
            raise AgentNotFound(agent_id)
        return AgentInfo(id=agent_id, name="one", description=None)


def test_an_agent_is_asked_for_once_a_minute() -> None:
    letta, clock = Letta(), StillClock()
    seen = AgentsSeen(letta.ask, clock)

    assert {seen.check("agent-1").id for _ in range(5)} == {"agent-1"}
    assert letta.asked == ["agent-1"]
    clock.at += limits.AGENT_SEEN_FOR + timedelta(seconds=1)
    letta.agents.clear()
    with pytest.raises(AgentNotFound):
        seen.check("agent-1")


def test_an_agent_that_was_not_there_is_asked_for_again() -> None:
    letta = Letta()
    seen = AgentsSeen(letta.ask, StillClock())
    with pytest.raises(AgentNotFound):
        seen.check("agent-2")
    letta.agents.add("agent-2")

    assert seen.check("agent-2").id == "agent-2"


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AGENTS_SEEN_MAX", 2)
    letta = Letta()
    letta.agents = {"a", "b", "c"}
    seen = AgentsSeen(letta.ask, StillClock())
    for agent_id in "abcab":
        seen.check(agent_id)

    assert letta.asked == ["a", "b", "c", "a", "b"]
