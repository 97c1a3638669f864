"""A Letta as setting agents up sees it, in memory: what it holds, what it was asked, and where it is to fail."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from promptyoself.domain.errors import AgentNotFound, TargetUnreachable
from promptyoself.domain.ports_attach import AddressRefused, AgentTool, LettaAgent, LettaTool, Way
from promptyoself.domain.secret import Secret


@dataclass
class FakeAgent:
    tool_ids: list[str] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)


class FakeLettaDesk:
    """LettaDesk. `fails_at` names the method that raises, once, before it does anything."""

    def __init__(self) -> None:
        self.url = "http://letta"
        self.agents: dict[str, FakeAgent] = {}
        self.tools: dict[str, LettaTool] = {}
        self.server_url: str | None = None
        self.takes_mcp = False
        self.fails_at: str | None = None
        self.asked: list[str] = []

    def add_tool(self, name: str, way: Way | None = None) -> LettaTool:
        found = next((tool for tool in self.tools.values() if tool.name == name), None)
        tool = LettaTool(id=found.id if found else f"tool-{name}", name=name, way=way)
        self.tools[tool.id] = tool
        return tool

    def agent(self, agent_id: str) -> LettaAgent:
        self._ask("agent")
        if agent_id not in self.agents:
            raise AgentNotFound(f"agent {agent_id} not found")
        found = self.agents[agent_id]
        tools = [self.tools[tool_id] for tool_id in found.tool_ids]
        secrets = {key: Secret(value) for key, value in found.secrets.items()}
        return LettaAgent(id=agent_id, name="one", tools=tools, secrets=secrets)

    def tools_named(self, names: Collection[str]) -> list[LettaTool]:
        self._ask("tools_named")
        return [tool for tool in self.tools.values() if tool.name in names]

    def put_tools(self, tools: Sequence[AgentTool]) -> list[LettaTool]:
        self._ask("put_tools")
        return [self.add_tool(tool.name, Way.TOOLS) for tool in tools]

    def put_server(self, url: str, *, token: Secret) -> list[LettaTool]:
        self._ask("put_server")
        assert token
        if not self.takes_mcp:
            raise AddressRefused("Letta takes no MCP server there")
        self.server_url = url
        return [self.add_tool(name, Way.MCP) for name in ("list_my_schedules", "why")]

    def equip(self, agent_id: str, *, tools: Sequence[LettaTool], secrets: Mapping[str, Secret]) -> None:
        self._ask("equip")
        self.agents[agent_id] = FakeAgent(
            tool_ids=[tool.id for tool in tools], secrets={key: value.reveal() for key, value in secrets.items()}
        )

    def try_tool(self, agent_id: str, name: str) -> None:
        self._ask("try_tool")
        assert f"tool-{name}" in self.agents[agent_id].tool_ids

    def users(self, tools: Collection[LettaTool]) -> set[str] | None:
        self._ask("users")
        ids = {tool.id for tool in tools}
        return {agent_id for agent_id, agent in self.agents.items() if ids & set(agent.tool_ids)}

    def drop(self, tools: Collection[LettaTool]) -> None:
        self._ask("drop")
        for tool in tools:
            self.tools.pop(tool.id)
            if tool.way is Way.MCP:
                self.server_url = None

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.fails_at == what:
            self.fails_at = None
            raise TargetUnreachable("Letta cannot be reached")


class FakeServiceDesk:
    """ServiceDesk of a service that offers two tools."""

    def __init__(self) -> None:
        self.is_up = True
        self.tokens: list[str] = []

    def find(self, url: str) -> str:
        if not self.is_up:
            raise TargetUnreachable(f"no promptyoself service answers at {url}", hint="promptyoself serve")
        return url

    def tools(self, url: str, token: Secret) -> list[AgentTool]:
        assert url
        self.tokens.append(token.reveal())
        return [AgentTool(name=name, description=name, parameters={}) for name in ("list_my_schedules", "why")]
