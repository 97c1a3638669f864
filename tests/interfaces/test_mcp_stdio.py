"""For whom a client acts that started us: what the settings say, and what it is told when they say nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from mcp.client import Client

from promptyoself.domain.errors import InvalidAgentId, Unauthenticated
from promptyoself.domain.models import OPERATOR
from promptyoself.interfaces.door import Door
from promptyoself.interfaces.mcp.stdio import identity_here, tools_of
from promptyoself.interfaces.services import Setting
from tests.interfaces.mcp_world import AGENT, text_of
from tests.interfaces.world import Door as Program
from tests.interfaces.world import FakeServices


class Settled(FakeServices):
    """Services with PROMPTYOSELF_ACT_AS from the environment, or by default."""

    def __init__(self, folder: Path, *, agent_id: str | None, act_as: str | None) -> None:
        super().__init__(folder)
        self.agent_id, self.act_as = agent_id, act_as

    @property
    def settings(self) -> Sequence[Setting]:
        source = "default" if self.act_as is None else "environment"
        return [Setting(name="PROMPTYOSELF_ACT_AS", value=self.act_as or OPERATOR, source=source)]


@pytest.mark.parametrize(
    ("agent_id", "act_as", "owner"),
    [
        (AGENT, None, AGENT),
        (AGENT, "agent", AGENT),
        (AGENT, "operator", OPERATOR),
        (None, "operator", OPERATOR),
        (None, None, Unauthenticated),
        ("a b", None, InvalidAgentId),
        ("operator", None, InvalidAgentId),
    ],
)
def test_settings_say_for_whom_a_client_acts(
    tmp_path: Path, agent_id: str | None, act_as: str | None, owner: str | type[Exception]
) -> None:
    services = Settled(tmp_path, agent_id=agent_id, act_as=act_as)
    if isinstance(owner, str):
        assert identity_here(services) == (owner, "stdio")
        return
    with pytest.raises(owner):
        identity_here(services)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_client_without_an_agent_lists_tools_and_is_told_what_to_set(tmp_path: Path, mode: str) -> None:
    services = Settled(tmp_path, agent_id=None, act_as=None)

    async def scene() -> str:
        async with Client(tools_of(Door(services, name="mcp")).made(), mode=mode) as client:
            assert len((await client.list_tools()).tools) == 14
            result = await client.call_tool("list_my_schedules", {})
            assert result.is_error
            return text_of(result)

    said = asyncio.run(scene())
    assert "LETTA_AGENT_ID" in said
    assert "PROMPTYOSELF_ACT_AS=operator" in said
    services.close()


def test_a_persons_client_acts_for_any_agent(tmp_path: Path) -> None:
    services = Settled(tmp_path, agent_id=None, act_as=OPERATOR)

    async def scene() -> None:
        async with Client(tools_of(Door(services, name="mcp")).made()) as client:
            made = {"prompt": "x", "when": "in 1 hour", "agent_id": "agent-7"}
            result = await client.call_tool("schedule_prompt", made)
            assert text_of(result).startswith("Prompt scheduled with ID 1.")

    asyncio.run(scene())
    services.close()


def test_it_has_no_answer_of_its_own_to_give_as_json(door: Program) -> None:
    refused = door.refused("mcp", "--json", code=2)
    assert "leave --json out" in refused["error"]
