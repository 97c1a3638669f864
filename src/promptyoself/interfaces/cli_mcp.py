"""`mcp`: the tools of MCP on stdin and stdout, for a client that starts this program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptyoself.domain.errors import UsageError
from promptyoself.interfaces import wire

if TYPE_CHECKING:
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document


def mcp(call: Call) -> Document:
    """Serve until stdin ends or a signal comes."""
    if call.is_set("json"):
        raise UsageError("mcp speaks the protocol on stdout, and has no answer of its own", hint="leave --json out")
    import asyncio

    from promptyoself.interfaces.cli_execute import log_to_stderr
    from promptyoself.interfaces.door import Door
    from promptyoself.interfaces.serve import EXTRA, not_installed

    try:
        from promptyoself.interfaces.mcp.stdio import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in EXTRA:
            return not_installed(error.name or "")
        raise
    log_to_stderr(call)
    services = call.services
    assert services.store.location  # noqa: S101  opened here: what is wrong with it is said before a client waits
    asyncio.run(serve(Door(services, name="mcp")))
    return wire.success(message="the client has gone")
