"""Use cases of setting an agent of Letta up: attach gives it our tools and a token of its own, detach takes them back.

An agent's identity is its token, kept in its secrets at Letta, whichever way its tools take: so nobody types an agent
id afterwards. Each step that another could fail after is undone in that case; what is cut off in the middle is brought
to its end by attaching again, or detaching.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from typing import Final

from promptyoself.application import access
from promptyoself.application.attaching_secrets import SECRET_TOKEN, SECRET_URL, TOKEN_NAME, Whose, whose
from promptyoself.application.schedules import Caller
from promptyoself.domain.access import TokenKind
from promptyoself.domain.errors import AgentNotFound, Conflict, PromptyoselfError, TargetError
from promptyoself.domain.ports import Clock, Store
from promptyoself.domain.ports_attach import (
    AddressRefused,
    AgentTool,
    LettaAgent,
    LettaDesk,
    LettaTool,
    ServiceDesk,
    Way,
)
from promptyoself.domain.secret import Secret
from promptyoself.domain.values import dataclass

TOOL_NAMES: Final = (
    "schedule_prompt", "list_my_schedules", "preview_schedule", "update_schedule", "pause_schedule", "resume_schedule",
    "cancel_schedule", "run_now", "schedule_history", "why", "read_inbox", "ack", "claim_once", "am_i_on_time",
)  # fmt: skip
"""What the service offers to agents, and so what a Letta may have of ours."""
TRIED: Final = "list_my_schedules"
"""The tool that proves the way: it changes nothing, and needs no argument."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What attaching and detaching work with."""

    store: Store
    clock: Clock
    caller: Caller
    letta: LettaDesk
    service: ServiceDesk
    new_secret: Callable[[], str]
    tell: Callable[[str], None]
    """Is told each thing that was done, as it is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """What an agent was given."""

    agent: LettaAgent
    way: Way
    tools: Sequence[str]
    token_id: int
    revoked: Sequence[int]
    """Tokens of an earlier attaching."""
    refused: str | None
    """Why Letta would not have our MCP address, where that was tried and the other way taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detached:
    """What an agent was relieved of."""

    agent_id: str
    tools: Sequence[str]
    revoked: Sequence[int]
    deleted: Sequence[str]
    """Definitions that no agent uses any more."""

    @property
    def is_change(self) -> bool:
        """False when the agent had nothing of ours."""
        return bool(self.tools or self.revoked)


def attach(parts: Parts, agent_id: str, *, way: Way | None, url: str) -> Attached:
    """Give an agent our tools; `way` None: what this Letta has already, else MCP, else custom tools.

    `url` is the service's address as Letta sees it. Attaching again gives a new token, and revokes the one before.
    Raises AgentNotFound, Conflict (also for secrets of the agent's own by our names), InvalidInput and kin of
    TargetError; then nothing is left of it.
    """
    here = parts.service.find(url)
    agent = parts.letta.agent(agent_id)
    _leave_its_own(parts, agent)
    with ExitStack() as undo:
        issued = _issue(parts, agent_id)
        undo.callback(_quietly, lambda: _revoke(parts, [issued.token.id]))
        ask = _Ask(url=url.rstrip("/"), token=issued.text)
        tools = parts.service.tools(here, issued.text)
        undo.callback(_quietly, lambda: _drop_unused(parts))
        given = _provide(parts, tools, way, ask)
        undo.callback(_quietly, lambda: parts.letta.equip(agent.id, tools=agent.tools, secrets=agent.secrets))
        _equip(parts, agent, given, ask)
        parts.letta.try_tool(agent.id, TRIED)
        parts.tell(f"Letta called {TRIED} for the agent, and promptyoself answered")
        undo.pop_all()
    revoked = _revoke(parts, [one for one in _tokens(parts, agent_id) if one != issued.token.id])
    if revoked:
        parts.tell(f"Revoked the token of the attaching before ({_numbers(revoked)})")
    return Attached(
        agent=agent,
        way=given.way,
        tools=sorted(tool.name for tool in given.tools),
        token_id=issued.token.id,
        revoked=revoked,
        refused=given.refused,
    )


def detach(parts: Parts, agent_id: str) -> Detached:
    """Take back what `attach` gave, the token first: it opens nothing any more, even when Letta is away.

    An agent that has nothing of ours is no error. Raises AgentNotFound for one that neither Letta nor we know, and kin
    of TargetError; then detaching again goes on from there.
    """
    revoked = _revoke(parts, _tokens(parts, agent_id))
    if revoked:
        parts.tell(f"Revoked the agent's token ({_numbers(revoked)})")
    try:
        tools = _relieve(parts, agent_id)
        deleted = _drop_unused(parts)
    except AgentNotFound:
        if not revoked:
            raise
        parts.tell(f"Letta knows no agent {agent_id} any more")
        tools, deleted = [], _drop_unused(parts)
    except TargetError as exc:
        if revoked:
            raise type(exc)(
                f"its token is revoked, and the rest is undone: {exc.message}", hint="detach again when Letta answers"
            ) from exc
        raise
    return Detached(agent_id=agent_id, tools=tools, revoked=revoked, deleted=deleted)


# -- Letta ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ask:
    """Where, and as whom, an agent's tools call us."""

    url: str
    token: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class _Provided:
    tools: Sequence[LettaTool]
    way: Way
    refused: str | None = None


def _provide(parts: Parts, tools: Sequence[AgentTool], way: Way | None, ask: _Ask) -> _Provided:
    """Have Letta know the tools, by one way for all agents: it knows one tool of a name."""
    stored = parts.letta.tools_named({tool.name for tool in tools})
    if foreign := sorted(tool.name for tool in stored if tool.way is None):
        raise Conflict(
            f"{parts.letta.url} has tools of its own by names that promptyoself's have: {', '.join(foreign)}",
            hint="rename them there first; writing ours would change them for every agent",
        )
    if way is None and stored:
        way = stored[0].way
    _clear(parts, [tool for tool in stored if way is not None and tool.way is not way])
    if way is not Way.TOOLS:
        try:
            return _Provided(tools=_by_server(parts, ask), way=Way.MCP)
        except AddressRefused as exc:
            if way is Way.MCP:
                raise
            refused = exc.message
            parts.tell(f"{refused}; so the agent gets custom tools")
    else:
        refused = None
    made = parts.letta.put_tools(tools)
    parts.tell(f"Letta has {len(made)} custom tools that call {ask.url}")
    return _Provided(tools=made, way=Way.TOOLS, refused=refused)


def _by_server(parts: Parts, ask: _Ask) -> list[LettaTool]:
    made = parts.letta.put_server(ask.url, token=ask.token)
    parts.tell(f"Letta has an MCP server at {ask.url}/mcp with {len(made)} tools")
    return made


def _equip(parts: Parts, agent: LettaAgent, given: _Provided, ask: _Ask) -> None:
    names = {tool.name for tool in given.tools}
    kept = [tool for tool in agent.tools if tool.way is None and tool.name not in names]
    secrets = {**agent.secrets, SECRET_TOKEN: ask.token, SECRET_URL: Secret(ask.url)}
    parts.letta.equip(agent.id, tools=[*kept, *given.tools], secrets=secrets)
    parts.tell(f"Agent {agent.id} ({agent.name}) has the tools, and a token of its own in its secrets")


def _clear(parts: Parts, others: Sequence[LettaTool]) -> None:
    """Delete tools of ours that take the other way, where no agent has them."""
    if not others:
        return
    users = parts.letta.users(others)
    if users is None or users:
        count = "its agents" if users is None else f"{len(users)} agent" + ("s" if len(users) > 1 else "")
        raise Conflict(
            f"{parts.letta.url} has promptyoself's tools by the way {others[0].way} for {count}, and it knows one way "
            "for all",
            hint=f"leave --via out, or detach first: {', '.join(sorted(users or ())[:3]) or 'every agent'}",
        )
    parts.letta.drop(others)


def _relieve(parts: Parts, agent_id: str) -> list[str]:
    agent = parts.letta.agent(agent_id)
    ours = [tool for tool in agent.tools if tool.way is not None]
    kept_secrets = agent.secrets
    match _whose(parts, agent):
        case Whose.OTHERS:
            parts.tell(
                f"Agent {agent.id} ({agent.name}) is attached to another promptyoself, and stays so: "
                "detach it there; or, where that is gone, attach it here first"
            )
            return []
        case Whose.FOREIGN:
            parts.tell(f"Left the agent's own secrets {SECRET_TOKEN} and {SECRET_URL} as they are")
        case Whose.NOBODYS | Whose.OURS:
            kept_secrets = {key: one for key, one in agent.secrets.items() if key not in {SECRET_TOKEN, SECRET_URL}}
    if ours or len(kept_secrets) < len(agent.secrets):
        kept = [tool for tool in agent.tools if tool.way is None]
        parts.letta.equip(agent.id, tools=kept, secrets=kept_secrets)
        parts.tell(f"Took {len(ours)} tools and promptyoself's secrets from agent {agent.id} ({agent.name})")
    return sorted(tool.name for tool in ours)


def _drop_unused(parts: Parts) -> list[str]:
    ours = [tool for tool in parts.letta.tools_named(TOOL_NAMES) if tool.way is not None]
    if not ours or parts.letta.users(ours) != set():
        return []
    parts.letta.drop(ours)
    parts.tell(f"Deleted the definitions of {len(ours)} tools at Letta: no agent has them any more")
    return sorted(tool.name for tool in ours)


def _leave_its_own(parts: Parts, agent: LettaAgent) -> None:
    """Raise Conflict when attaching would write over secrets of the agent's own."""
    match _whose(parts, agent):
        case Whose.FOREIGN:
            raise Conflict(
                f"agent {agent.id} ({agent.name}) has a secret {SECRET_TOKEN} or {SECRET_URL} that attaching did not "
                "put there, and it is not written over",
                hint="give it another name at Letta, or delete it there, and attach again",
            )
        case Whose.OTHERS:
            parts.tell("The agent was attached to another promptyoself or database: this one takes its place")
        case Whose.NOBODYS | Whose.OURS:
            pass


# -- tokens -----------------------------------------------------------------------------------------------------


def _issue(parts: Parts, agent_id: str) -> access.Issued:
    request = access.TokenRequest(kind=TokenKind.AGENT, agent_id=agent_id, name=TOKEN_NAME)
    with parts.store.transaction() as tx:
        return access.create(tx, request, secret=parts.new_secret(), caller=parts.caller, now=parts.clock.now())


def _tokens(parts: Parts, agent_id: str) -> list[int]:
    """Return the agent's live tokens that came of attaching."""
    with parts.store.reading() as tx:
        live = access.listed(tx, caller=parts.caller, include_ended=False, now=parts.clock.now())
    return [one.id for one in live if one.agent_id == agent_id and one.name == TOKEN_NAME]


def _revoke(parts: Parts, token_ids: Collection[int]) -> list[int]:
    with parts.store.transaction() as tx:
        for token_id in token_ids:
            access.revoke(tx, token_id, caller=parts.caller, now=parts.clock.now())
    return list(token_ids)


def _whose(parts: Parts, agent: LettaAgent) -> Whose:
    with parts.store.reading() as tx:
        return whose(tx, agent)


def _numbers(ids: Sequence[int]) -> str:
    return ", ".join(f"token {one}" for one in ids)


def _quietly(undo: Callable[[], object]) -> None:
    """Undo what can be undone: the failure that led here is the one to tell of."""
    with suppress(PromptyoselfError):
        undo()
