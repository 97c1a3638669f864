"""Equips agents of a Letta server with promptyoself's tools, through Letta's official client.

Letta knows a tool by its name, one for all agents of the server: whoever writes `why` writes everybody's `why`. So a
name is looked up before it is written, and what is ours bears a tag.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, cast

from promptyoself.domain import limits
from promptyoself.domain.errors import Conflict, TargetError, TargetRefused, TargetUnreachable
from promptyoself.domain.ports_attach import AddressRefused, AgentTool, LettaAgent, LettaTool, Way
from promptyoself.domain.secret import Secret
from promptyoself.targets.letta_attach_tool import schema_of, source_of
from promptyoself.targets.letta_check import check_agent, get_client
from promptyoself.targets.letta_settings import LettaSettings

if TYPE_CHECKING:
    from letta_client import APIError, Letta
    from letta_client.types import Tool

SERVER_NAME: Final = "promptyoself"
TAGS: Final = {Way.TOOLS: "promptyoself", Way.MCP: f"mcp:{SERVER_NAME}"}
"""By which a tool is known for ours; Letta itself sets the second, and calls the server that it names."""
FAILED: Final = "Failed:"
"""How a custom tool begins to say that it could not."""
_HEADER: Final = "Authorization"
_TEMPLATE: Final = "Bearer {{ PROMPTYOSELF_TOKEN }}"
"""Letta fills the secret of the agent that calls in."""
_ERROR_CHARS_MAX: Final = 300
_PAGE: Final = 100
_HINT: Final = "is the Letta server running, and are LETTA_BASE_URL and LETTA_API_KEY right? `promptyoself test` says"
_CHECK_FOR_S: Final = 10.0
_BAD_ADDRESS: Final = frozenset({400, 422})


class LettaAttachDesk:
    """LettaDesk over letta-client, which is asked once for everything: a repeated request would act twice."""

    def __init__(self, settings: LettaSettings) -> None:
        self._settings = settings
        self._client: Letta | None = None

    @property
    def url(self) -> str:
        """The server's address."""
        return self._settings.base_url

    def agent(self, agent_id: str) -> LettaAgent:
        """Return the agent with all its tools and secrets."""
        check_agent(self._settings, agent_id, timeout_s=_CHECK_FOR_S)
        with self._asked("show the agent") as client:
            found = client.agents.retrieve(agent_id, include=["agent.tools", "agent.secrets"])
        secrets = {one.key: one.value for one in found.secrets or []}
        if found.secrets is None or not all(isinstance(value, str) for value in secrets.values()):
            # They can only be written as a whole: one that is not seen would be lost.
            raise TargetRefused(
                f"{self.url} does not show the secrets of agent {agent_id}, so none can be added",
                hint="attach with a key that may read them",
            )
        return LettaAgent(
            id=found.id,
            name=found.name,
            tools=[_tool(one) for one in found.tools],
            secrets={key: Secret(value) for key, value in secrets.items()},
        )

    def tools_named(self, names: Collection[str]) -> list[LettaTool]:
        """Return the server's tools of these names."""
        with self._asked("look at its tools") as client:
            page = client.tools.list(names=sorted(names), limit=len(names))
        return [tool for tool in map(_tool, page.items) if tool.name in names]

    def put_tools(self, tools: Sequence[AgentTool]) -> list[LettaTool]:
        """Make these custom tools, or bring them up to date."""
        written = [(source_of(tool), schema_of(tool), tool.description) for tool in tools]
        with self._asked("store the tools") as client:
            return [
                _tool(
                    client.tools.upsert(
                        source_code=source, json_schema=schema, description=description, tags=[TAGS[Way.TOOLS]]
                    )
                )
                for source, schema, description in written
            ]

    def put_server(self, url: str, *, token: Secret) -> list[LettaTool]:
        """Register our MCP server, or bring it up to date.

        Letta lists tools without an agent, whose secret is missing then: while it lists, the header's template names
        `token` for that case.
        """
        address = f"{url}/mcp"
        known = self._server()
        if known is not None and known.server_url != address:
            raise Conflict(
                f"{self.url} knows an MCP server {SERVER_NAME!r} at another address, {known.server_url}",
                hint=f"give --url {known.server_url.removesuffix('/mcp')}, or detach the agents that use it first",
            )
        listing = f"Bearer {{{{ PROMPTYOSELF_TOKEN | {token.reveal()} }}}}"
        server_id = self._register(address, listing) if known is None else str(known.id)
        with ExitStack() as undo:
            undo.callback(self._leave_server, server_id, address, is_new=known is None)
            if known is not None:
                self._configure(server_id, address, listing)
                self._refresh(server_id, address)
            with self._asked("list the tools of our MCP server") as client:
                found = [_tool(one) for one in client.mcp_servers.tools.list(server_id)]
            if not found:
                raise AddressRefused(f"Letta found no tools at {address}", hint=_REACH_HINT)
            self._configure(server_id, address, _TEMPLATE)
            undo.pop_all()
        return found

    def equip(self, agent_id: str, *, tools: Sequence[LettaTool], secrets: Mapping[str, Secret]) -> None:
        """Replace the agent's tools and secrets, in one transaction of Letta's."""
        with self._asked("give the agent its tools") as client:
            client.agents.update(
                agent_id,
                tool_ids=[tool.id for tool in tools],
                secrets={key: value.reveal() for key, value in secrets.items()},
            )

    def try_tool(self, agent_id: str, name: str) -> None:
        """Have Letta run a tool for the agent."""
        with self._asked("try a tool") as client:
            done = client.agents.tools.run(name, agent_id=agent_id, args={})
        said = str(done.func_return)[:_ERROR_CHARS_MAX]
        if done.status != "success" or said.startswith(FAILED):
            raise TargetRefused(
                f"Letta has the tools, and they do not reach promptyoself: {said.removeprefix(FAILED).strip(' .')}",
                hint=_REACH_HINT,
            )

    def users(self, tools: Collection[LettaTool]) -> set[str] | None:
        """Look through all agents, hidden ones too."""
        wanted = {tool.id for tool in tools}
        users: set[str] = set()
        after: str | None = None
        for _ in range(limits.ATTACH_AGENT_PAGES_MAX):
            with self._asked("look through its agents") as client:
                query = {"show_hidden_agents": True} | ({} if after is None else {"after": after})
                page = client.agents.list(include=["agent.tools"], limit=_PAGE, extra_query=query).items
            users |= {agent.id for agent in page if wanted & {tool.id for tool in agent.tools}}
            if len(page) < _PAGE:
                return users
            after = page[-1].id
        return None

    def drop(self, tools: Collection[LettaTool]) -> None:
        """Delete tools of ours."""
        for tool in tools:
            if tool.way is Way.TOOLS:
                with self._asked("delete a tool", may_be_gone=True) as client:
                    client.tools.delete(tool.id)
        if any(tool.way is Way.MCP for tool in tools) and (server := self._server()) is not None:
            self._delete_server(server.id)

    def close(self) -> None:
        """Close connections."""
        if self._client is not None:
            self._client.close()

    # -- Letta ----------------------------------------------------------------------------------------------

    def _server(self) -> Any:  # noqa: ANN401  one of the SDK's kinds of servers
        with self._asked("look at its MCP servers") as client:
            servers = cast("list[Any]", client.mcp_servers.list())
        return next((one for one in servers if one.server_name == SERVER_NAME and hasattr(one, "server_url")), None)

    def _register(self, address: str, authorization: str) -> str:
        from letta_client import APIStatusError

        with self._asked("register our MCP server") as client:
            try:
                made = client.mcp_servers.create(server_name=SERVER_NAME, config=_config(address, authorization))
            except APIStatusError as exc:
                if exc.status_code not in _BAD_ADDRESS:
                    raise
                raise AddressRefused(
                    f"Letta takes no MCP server at {address}: it refuses addresses that are not public",
                    hint="--via tools works with any address",
                ) from exc
        return str(made.id)

    def _configure(self, server_id: str, address: str, authorization: str) -> None:
        with self._asked("change our MCP server") as client:
            client.mcp_servers.update(server_id, config=_config(address, authorization))

    def _refresh(self, server_id: str, address: str) -> None:
        from letta_client import NotFoundError

        with self._asked("list the tools of our MCP server") as client:
            try:
                client.mcp_servers.refresh(server_id)
            except NotFoundError as exc:
                raise AddressRefused(f"Letta cannot list the tools at {address}", hint=_REACH_HINT) from exc

    def _leave_server(self, server_id: str, address: str, *, is_new: bool) -> None:
        with suppress(TargetError):
            if is_new:
                self._delete_server(server_id)
            else:
                self._configure(server_id, address, _TEMPLATE)

    def _delete_server(self, server_id: str) -> None:
        with self._asked("delete our MCP server", may_be_gone=True) as client:
            client.mcp_servers.delete(server_id)

    @contextmanager
    def _asked(self, what: str, *, may_be_gone: bool = False) -> Iterator[Letta]:
        """Lend the client, and translate its errors; `may_be_gone`: a 404 means that there is nothing to do."""
        from letta_client import APIConnectionError, APIError, NotFoundError

        if self._client is None:
            self._client = get_client(self._settings)
        try:
            yield self._client
        except APIConnectionError as exc:
            reason = type(exc.__cause__ or exc).__name__
            raise TargetUnreachable(f"Letta cannot be reached at {self.url} to {what}: {reason}", hint=_HINT) from exc
        except APIError as exc:
            if not (may_be_gone and isinstance(exc, NotFoundError)):
                raise self._refused(what, exc) from exc

    def _refused(self, what: str, exc: APIError) -> TargetRefused:
        status = getattr(exc, "status_code", None)
        detail = exc.body.get("detail") if isinstance(exc.body, dict) else None
        said = f": {str(detail)[:_ERROR_CHARS_MAX]}" if detail else ""
        return TargetRefused(f"{self.url} refused to {what} (HTTP {status}){said}", hint=_HINT)


_REACH_HINT: Final = (
    "give --url as Letta sees this machine: from a container that is http://host.docker.internal:8289 or the machine's "
    "address, and `promptyoself serve` has to listen there"
)


def _config(address: str, authorization: str) -> Any:  # noqa: ANN401  a TypedDict of the SDK's, one of three
    return {"mcp_server_type": "streamable_http", "server_url": address, "custom_headers": {_HEADER: authorization}}


def _tool(tool: Tool) -> LettaTool:
    tags = set(tool.tags or [])
    return LettaTool(
        id=tool.id, name=tool.name or "", way=next((way for way, tag in TAGS.items() if tag in tags), None)
    )
