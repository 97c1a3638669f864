"""Attaching and detaching leave an agent whole, whatever fails in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptyoself.application import access, attaching
from promptyoself.application.schedules import Caller
from promptyoself.domain.access import Token, TokenKind
from promptyoself.domain.errors import AgentNotFound, Conflict, Forbidden, TargetUnreachable
from promptyoself.domain.ports_attach import AddressRefused, Way
from promptyoself.storage.sqlite import SqliteStore
from tests.fakes.letta_desk import FakeAgent, FakeLettaDesk, FakeServiceDesk
from tests.interfaces.world import StillClock

URL = "http://127.0.0.1:8289"
OURS = ["tool-list_my_schedules", "tool-why"]


class Desk:
    """An operator who sets agents up, a Letta with one agent that has tools and secrets of its own."""

    def __init__(self, folder: Path, owner: str = "operator") -> None:
        self.letta, self.service = FakeLettaDesk(), FakeServiceDesk()
        self.store = SqliteStore.open(folder / "promptyoself.db", new_uid=lambda: "0" * 32)
        own = [self.letta.add_tool(f"own_{number}").id for number in range(30)]
        self.before = FakeAgent(tool_ids=own, secrets={f"KEY_{number}": str(number) for number in range(30)})
        self.letta.agents["agent-1"] = FakeAgent(tool_ids=[*own], secrets={**self.before.secrets})
        self.said: list[str] = []
        self._secrets = (f"{number:043d}" for number in range(1000))
        self.parts = attaching.Parts(
            store=self.store,
            clock=StillClock(),
            caller=Caller(owner=owner),
            letta=self.letta,
            service=self.service,
            new_secret=lambda: next(self._secrets),
            tell=self.said.append,
        )

    def attach(self, agent_id: str = "agent-1", way: Way | None = None) -> attaching.Attached:
        return attaching.attach(self.parts, agent_id, way=way, url=URL)

    def detach(self, agent_id: str = "agent-1") -> attaching.Detached:
        return attaching.detach(self.parts, agent_id)

    def live(self) -> list[Token]:
        clock = self.parts.clock
        with self.store.reading() as tx:
            return access.listed(tx, caller=Caller(), include_ended=False, now=clock.now())

    def assert_as_before(self) -> None:
        assert self.letta.agents["agent-1"] == self.before
        assert {tool.id for tool in self.letta.tools.values()} == set(self.before.tool_ids)
        assert self.letta.server_url is None
        assert self.live() == []


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_an_agent_keeps_its_own_and_gets_tools_and_a_token_that_names_it(desk: Desk) -> None:
    done = desk.attach()
    agent = desk.letta.agents["agent-1"]
    assert agent.tool_ids == [*desk.before.tool_ids, *OURS]
    (token,) = desk.live()
    assert (token.id, token.kind, token.agent_id) == (done.token_id, TokenKind.AGENT, "agent-1")
    given = {key: value for key, value in agent.secrets.items() if key not in desk.before.secrets}
    assert given == {"PROMPTYOSELF_TOKEN": desk.service.tokens[-1], "PROMPTYOSELF_URL": URL}
    assert desk.before.secrets.items() <= agent.secrets.items()
    assert "try_tool" in desk.letta.asked, "the way is proven before it is called done"


def test_where_letta_refuses_our_address_auto_takes_custom_tools_and_says_so(desk: Desk) -> None:
    done = desk.attach()
    assert (done.way, done.refused) == (Way.TOOLS, "Letta takes no MCP server there")
    assert [line for line in desk.said if "takes no MCP server" in line] == [
        "Letta takes no MCP server there; so the agent gets custom tools"
    ]


def test_where_letta_takes_our_address_auto_takes_mcp(desk: Desk) -> None:
    desk.letta.takes_mcp = True
    assert desk.attach().way is Way.MCP
    assert desk.letta.server_url == URL


def test_mcp_asked_for_and_refused_is_an_error_that_leaves_nothing(desk: Desk) -> None:
    with pytest.raises(AddressRefused):
        desk.attach(way=Way.MCP)
    desk.assert_as_before()


def test_attaching_again_leaves_one_set_of_tools_and_one_live_token(desk: Desk) -> None:
    first, second = desk.attach(), desk.attach()
    assert desk.letta.agents["agent-1"].tool_ids == [*desk.before.tool_ids, *OURS]
    assert [token.id for token in desk.live()] == [second.token_id]
    assert second.revoked == [first.token_id]
    assert desk.letta.agents["agent-1"].secrets["PROMPTYOSELF_TOKEN"] == desk.service.tokens[-1]


def test_attach_revokes_no_other_token_of_the_agent(desk: Desk) -> None:
    request = access.TokenRequest(kind=TokenKind.AGENT, agent_id="agent-1", name="by hand")
    with desk.store.transaction() as tx:
        kept = access.create(tx, request, secret="x" * 43, caller=Caller(), now=desk.parts.clock.now())
    desk.attach()
    desk.attach()
    desk.detach()
    assert [token.id for token in desk.live()] == [kept.token.id]


@pytest.mark.parametrize("step", ["agent", "tools_named", "put_tools", "equip", "try_tool"])
def test_whatever_fails_nothing_is_left_behind(desk: Desk, step: str) -> None:
    desk.letta.fails_at = step
    with pytest.raises(TargetUnreachable):
        desk.attach()
    desk.assert_as_before()


@pytest.mark.parametrize("step", ["tools_named", "put_tools", "equip", "try_tool"])
def test_a_second_attaching_that_fails_leaves_the_first_as_it_was(desk: Desk, step: str) -> None:
    first = desk.attach()
    before = desk.letta.agents["agent-1"]
    desk.letta.fails_at = step
    with pytest.raises(TargetUnreachable):
        desk.attach()
    assert desk.letta.agents["agent-1"] == before
    assert [token.id for token in desk.live()] == [first.token_id]


def test_a_service_that_is_down_is_told_before_letta_is_asked_anything(desk: Desk) -> None:
    desk.service.is_up = False
    with pytest.raises(TargetUnreachable, match="no promptyoself service"):
        desk.attach()
    assert desk.letta.asked == []


def test_a_tool_of_anothers_by_one_of_our_names_is_never_written_over(desk: Desk) -> None:
    theirs = desk.letta.add_tool("why")
    with pytest.raises(Conflict, match="why"):
        desk.attach()
    assert desk.letta.tools["tool-why"] == theirs
    assert desk.live() == []


@pytest.mark.parametrize(
    "own",
    [
        {"PROMPTYOSELF_TOKEN": "its own", "PROMPTYOSELF_URL": "its own"},
        {"PROMPTYOSELF_TOKEN": "its own"},
        {"PROMPTYOSELF_URL": "its own"},
    ],
)
def test_secrets_of_its_own_by_our_names_are_neither_written_over_nor_taken(desk: Desk, own: dict[str, str]) -> None:
    desk.before.secrets.update(own)
    desk.letta.agents["agent-1"].secrets.update(own)
    with pytest.raises(Conflict, match="not written over"):
        desk.attach()
    desk.assert_as_before()
    assert not desk.detach().is_change
    desk.assert_as_before()


def test_a_token_that_a_person_issued_and_put_there_stays(desk: Desk) -> None:
    request = access.TokenRequest(kind=TokenKind.AGENT, agent_id="agent-1", name="by hand")
    with desk.store.transaction() as tx:
        by_hand = access.create(tx, request, secret="x" * 43, caller=Caller(), now=desk.parts.clock.now())
    desk.letta.agents["agent-1"].secrets["PROMPTYOSELF_TOKEN"] = by_hand.text.reveal()
    with pytest.raises(Conflict, match="not written over"):
        desk.attach()
    desk.detach()
    assert desk.letta.agents["agent-1"].secrets["PROMPTYOSELF_TOKEN"] == by_hand.text.reveal()


def test_secrets_that_came_into_the_place_of_ours_stay_when_the_tools_go(desk: Desk) -> None:
    desk.attach()
    desk.letta.agents["agent-1"].secrets |= {"PROMPTYOSELF_TOKEN": "its own"}
    assert desk.detach().tools
    agent = desk.letta.agents["agent-1"]
    assert (agent.tool_ids, agent.secrets["PROMPTYOSELF_TOKEN"]) == (desk.before.tool_ids, "its own")


def test_what_another_promptyoself_gave_is_taken_over_with_a_word_and_never_taken_away(
    desk: Desk, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Desk(tmp_path / "other")
    other.letta.agents = desk.letta.agents
    other.letta.tools = desk.letta.tools
    other._secrets = (f"{number:043d}" for number in range(1000, 2000))
    desk.attach()
    attached = desk.letta.agents["agent-1"]
    assert not other.detach().is_change
    assert desk.letta.agents["agent-1"] == attached
    other.attach()
    assert "The agent was attached to another promptyoself or database: this one takes its place" in other.said
    assert desk.detach().tools == []
    assert other.detach().tools
    other.assert_as_before()


def test_detach_gives_back_the_agent_as_it_was(desk: Desk) -> None:
    desk.attach()
    done = desk.detach()
    assert sorted(done.deleted) == ["list_my_schedules", "why"]
    desk.assert_as_before()


def test_detach_leaves_definitions_that_another_agent_has(desk: Desk) -> None:
    desk.letta.agents["agent-2"] = FakeAgent()
    desk.attach()
    desk.attach("agent-2")
    assert desk.detach().deleted == []
    assert desk.letta.agents["agent-2"].tool_ids == OURS
    assert desk.detach("agent-2").deleted
    desk.assert_as_before()


def test_detaching_what_was_never_attached_changes_nothing_and_is_no_error(desk: Desk) -> None:
    assert not desk.detach().is_change
    desk.assert_as_before()
    assert "equip" not in desk.letta.asked


def test_an_unknown_agent_is_told_in_both_directions(desk: Desk) -> None:
    for act in (desk.attach, desk.detach):
        with pytest.raises(AgentNotFound):
            act("agent-9")
    assert desk.live() == []


def test_an_agent_deleted_at_letta_loses_its_token_and_the_tools_that_nobody_has(desk: Desk) -> None:
    desk.letta.agents["agent-2"] = FakeAgent()
    desk.attach("agent-2")
    del desk.letta.agents["agent-2"]
    assert desk.detach("agent-2").is_change
    desk.assert_as_before()


@pytest.mark.parametrize("step", ["agent", "equip"])
def test_detach_revokes_first_so_that_an_absent_letta_keeps_no_door_open(desk: Desk, step: str) -> None:
    desk.attach()
    desk.letta.fails_at = step
    with pytest.raises(TargetUnreachable, match="its token is revoked"):
        desk.detach()
    assert desk.live() == []
    desk.detach()
    desk.assert_as_before()


def test_a_letta_knows_one_way_so_another_is_refused_while_agents_use_it(desk: Desk) -> None:
    desk.letta.takes_mcp = True
    desk.letta.agents["agent-2"] = FakeAgent()
    desk.attach("agent-2", way=Way.MCP)
    with pytest.raises(Conflict, match="by the way mcp for 1 agent"):
        desk.attach(way=Way.TOOLS)
    assert desk.attach().way is Way.MCP
    desk.detach()
    desk.detach("agent-2")
    assert desk.attach(way=Way.TOOLS).way is Way.TOOLS


def test_auto_keeps_to_the_way_that_letta_has_already(desk: Desk) -> None:
    desk.letta.agents["agent-2"] = FakeAgent()
    desk.attach("agent-2", way=Way.TOOLS)
    desk.letta.takes_mcp = True
    assert desk.attach().way is Way.TOOLS
    assert desk.letta.server_url is None


def test_only_operators_attach(tmp_path: Path) -> None:
    desk = Desk(tmp_path, owner="agent-1")
    with pytest.raises(Forbidden):
        desk.attach()
    desk.assert_as_before()
