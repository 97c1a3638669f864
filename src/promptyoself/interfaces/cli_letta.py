"""The commands that ask a Letta server something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptyoself.domain.errors import UsageError
from promptyoself.interfaces import wire

if TYPE_CHECKING:
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document


def test(call: Call) -> Document:
    """Ask whether Letta can be reached and lets us in."""
    found = call.services.ping()
    version = f"Letta {found.version}" if found.version else "Letta"
    return wire.success(
        url=found.url,
        version=found.version,
        latency_ms=found.latency_ms,
        message=f"{version} at {found.url} answers, in {found.latency_ms:g} ms",
    )


def agents(call: Call) -> Document:
    """List Letta's agents."""
    found = [wire.agent(one) for one in call.services.list_agents()]
    return wire.success(agents=found, count=len(found))


def upload(call: Call) -> Document:
    """Store a tool."""
    source_code = call.text("source_code") or ""
    if not source_code.strip():
        raise UsageError("the tool's source is empty", hint='upload --source-code "$(cat tool.py)"')
    tool_id, name = call.services.upload_tool(source_code, name=call.text("name"), description=call.text("description"))
    return wire.success(tool_id=tool_id, name=name, message=f"Tool {name} is stored at Letta as {tool_id}")
