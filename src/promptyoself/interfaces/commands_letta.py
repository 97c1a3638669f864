"""The part of the table of commands that sets up agents of Letta."""

from __future__ import annotations

from typing import Final

from promptyoself.interfaces.table import Command, Option

_AGENT: Final = Option("agent-id", "the agent (default: LETTA_AGENT_ID)")

LETTA: Final = (
    Command(
        "letta attach",
        "Give an agent of Letta the tools to schedule itself, and a token of its own, so that nobody names it "
        "afterwards. `promptyoself serve` has to be running. Attaching again renews both.",
        "cli_letta_attach:attach",
        (
            _AGENT,
            Option(
                "via",
                "mcp (Letta calls our MCP address), tools (custom tools that Letta runs, where it refuses that), "
                "or auto (default)",
                choices=("auto", "mcp", "tools"),
            ),
            Option(
                "url",
                "the service's address as Letta sees it (default: the running service's, else http://127.0.0.1:8289)",
            ),
        ),
        example="letta attach --agent-id agent-...",
        is_operators=True,
    ),
    Command(
        "letta detach",
        "Take from an agent of Letta what `letta attach` gave it. Its schedules stay.",
        "cli_letta_attach:detach",
        (_AGENT,),
        example="letta detach --agent-id agent-...",
        is_operators=True,
    ),
)
