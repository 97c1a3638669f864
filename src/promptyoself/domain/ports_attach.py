"""What setting an agent up asks of the world: a Letta to be equipped, and the service that its tools will call.

Values and ports only. `application/attaching.py` decides in which order things happen, and what is undone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from promptyoself.domain.errors import TargetRefused
from promptyoself.domain.secret import Secret
from promptyoself.domain.values import dataclass


class Way(StrEnum):
    """How an agent's tools reach promptyoself."""

    MCP = "mcp"
    """Letta itself calls our MCP address."""
    TOOLS = "tools"
    """Custom tools, which Letta runs in its sandbox, call us."""


class AddressRefused(TargetRefused):
    """Letta will not have an MCP server at this address, or found no tools there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTool:
    """A tool as the service offers it to agents."""

    name: str
    description: str
    parameters: Mapping[str, object]
    """A JSON schema of type object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LettaTool:
    """A tool that a Letta server keeps."""

    id: str
    name: str
    way: Way | None
    """How it reaches promptyoself; None: it is not ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LettaAgent:
    """What of an agent is looked at and changed. Both are whole: Letta replaces them as a whole."""

    id: str
    name: str
    tools: Sequence[LettaTool]
    secrets: Mapping[str, Secret]


class LettaDesk(Protocol):
    """A Letta server as its operator sees it. All raise TargetUnreachable and TargetRefused."""

    @property
    def url(self) -> str:
        """Its address, for sentences."""
        ...

    def agent(self, agent_id: str) -> LettaAgent:
        """Return the agent. Raises AgentNotFound."""
        ...

    def tools_named(self, names: Collection[str]) -> list[LettaTool]:
        """Return the server's tools of these names, whosever they are."""
        ...

    def put_tools(self, tools: Sequence[AgentTool]) -> list[LettaTool]:
        """Make these custom tools, or bring those that are there up to date."""
        ...

    def put_server(self, url: str, *, token: Secret) -> list[LettaTool]:
        """Register our MCP server, or bring it up to date, and return its tools; `token` is for listing them.

        Nothing is left of a registration that fails. Raises AddressRefused, and Conflict when Letta knows us elsewhere.
        """
        ...

    def equip(self, agent_id: str, *, tools: Sequence[LettaTool], secrets: Mapping[str, Secret]) -> None:
        """Give the agent exactly these tools and secrets, both or neither."""
        ...

    def try_tool(self, agent_id: str, name: str) -> None:
        """Have Letta run a tool for the agent, without arguments. Raises TargetRefused with what the tool said."""
        ...

    def users(self, tools: Collection[LettaTool]) -> set[str] | None:
        """Return the ids of the agents that have any of these tools; None: too many agents to look through."""
        ...

    def drop(self, tools: Collection[LettaTool]) -> None:
        """Delete these tools of ours, and our MCP server when they are its; what is gone already is no error."""
        ...


class ServiceDesk(Protocol):
    """Our own service, as a client sees it."""

    def find(self, url: str) -> str:
        """Return the address at which the service answers from here: `url`, or loopback at its port.

        Raises InvalidInput for what is no address, and TargetUnreachable, which says how to start it.
        """
        ...

    def tools(self, url: str, token: Secret) -> list[AgentTool]:
        """Return the tools that it offers to agents. Raises TargetUnreachable and TargetRefused."""
        ...
