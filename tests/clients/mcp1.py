# mypy: ignore-errors
# That is the 1.x client's own interface, which the 2.x one installed beside the types does not have.
"""What a program with the MCP client of 1.x does, over both transports; run by the interpreter that has it.

Reads {"stdio": {command, args, env}, "http": {url, headers}} from stdin and prints what it found, by transport.
"""

from __future__ import annotations

import asyncio
import json
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client


async def speak(session: ClientSession) -> dict[str, object]:
    opened = await session.initialize()
    tools = (await session.list_tools()).tools
    prompt = await session.get_prompt("use_time_well")
    made = await session.call_tool("schedule_prompt", {"prompt": "x", "when": "every day at 9am", "target": "inbox"})
    wrong = await session.call_tool("schedule_prompt", {"prompt": "x", "when": "45m"})
    await session.send_ping()
    return {
        "protocol": opened.protocolVersion,
        "instructions": opened.instructions,
        "tools": [tool.name for tool in tools],
        "read_only": [tool.name for tool in tools if tool.annotations.readOnlyHint],
        "lesson": prompt.messages[0].content.text,
        "made": {"is_error": made.isError, "text": made.content[0].text, "structure": made.structuredContent},
        "wrong": {"is_error": wrong.isError, "text": wrong.content[0].text},
    }


async def main() -> None:
    given = json.load(sys.stdin)
    found = {}
    parameters = StdioServerParameters(**given["stdio"])
    async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
        found["stdio"] = await speak(session)
    http = given["http"]
    async with (
        streamablehttp_client(http["url"], headers=http["headers"]) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        found["http"] = await speak(session)
    json.dump(found, sys.stdout)


asyncio.run(main())
