"""The commands that set an agent of Letta up, and undo it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptyoself.application import attaching
from promptyoself.domain.errors import UsageError
from promptyoself.domain.ports_attach import Way
from promptyoself.interfaces import wire
from promptyoself.interfaces.advice import service_address
from promptyoself.interfaces.http.listening import HOST_DEFAULT, PORT_DEFAULT

if TYPE_CHECKING:
    from promptyoself.domain.ports_attach import LettaDesk
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document

_AUTO = "auto"


def attach(call: Call) -> Document:
    """Give an agent the tools."""
    agent_id, way = _agent_id(call), _way(call)
    url = call.text("url") or service_address(call.services) or f"http://{HOST_DEFAULT}:{PORT_DEFAULT}"
    steps: list[str] = []
    with call.services.setting_up() as letta:
        done = attaching.attach(_parts(call, letta, steps), agent_id, way=way, url=url)
    return wire.success(
        agent_id=done.agent.id,
        via=done.way.value,
        url=url,
        tools=list(done.tools),
        token_id=done.token_id,
        revoked_tokens=list(done.revoked),
        mcp_refused=done.refused,
        steps=steps,
        message=f"Attached: agent {done.agent.id} ({done.agent.name}) can schedule itself. Ask it to.",
    )


def detach(call: Call) -> Document:
    """Take them back."""
    agent_id = _agent_id(call)
    steps: list[str] = []
    with call.services.setting_up() as letta:
        done = attaching.detach(_parts(call, letta, steps), agent_id)
    return wire.success(
        agent_id=done.agent_id,
        tools=list(done.tools),
        revoked_tokens=list(done.revoked),
        deleted_tools=list(done.deleted),
        steps=steps,
        message=f"Detached: agent {agent_id} has nothing of promptyoself's any more. Its schedules stay as they are."
        if done.is_change
        else f"Agent {agent_id} was not attached: there is nothing to undo",
    )


def _parts(call: Call, letta: LettaDesk, steps: list[str]) -> attaching.Parts:
    services = call.services

    def tell(step: str) -> None:
        steps.append(step)
        call.say(step)

    return attaching.Parts(
        store=services.store,
        clock=services.clock,
        caller=call.caller,
        letta=letta,
        service=services.service_desk,
        new_secret=services.new_secret,
        tell=tell,
    )


def _agent_id(call: Call) -> str:
    agent_id = call.text("agent_id") or call.services.defaults.agent_id
    if agent_id is None:
        raise UsageError("no agent is named", hint="give --agent-id; `promptyoself agents` lists them")
    return agent_id


def _way(call: Call) -> Way | None:
    given = call.text("via") or _AUTO
    if given == _AUTO:
        return None
    try:
        return Way(given)
    except ValueError:
        raise UsageError(f"--via is {_AUTO}, {Way.MCP} or {Way.TOOLS}, not {given!r}", hint=None) from None
