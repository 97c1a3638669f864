"""The server of the protocol: which requests it answers, for whom, and within which bounds."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import mcp_types as types
from mcp.server.caching import CacheHint
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from promptyoself import __version__
from promptyoself.domain import limits
from promptyoself.domain.errors import PromptyoselfError
from promptyoself.interfaces.mcp import teaching
from promptyoself.interfaces.mcp.arguments import read, schema_of
from promptyoself.interfaces.mcp.calls import Ask
from promptyoself.interfaces.mcp.texts import text_of
from promptyoself.interfaces.mcp.tools import TOOLS, Tool, find_tool
from promptyoself.interfaces.mcp.wording import for_tools
from promptyoself.interfaces.parse import shown

if TYPE_CHECKING:
    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

    from promptyoself.interfaces.door import Door
    from promptyoself.interfaces.identity import Identity

_LOG: Final = logging.getLogger(__name__)
_LISTS_FRESH_FOR_MS: Final = 300_000

Who = Callable[["ServerRequestContext[Any, Any]"], "Identity"]
"""Tells who makes a request. Raises PromptyoselfError, whose sentence the caller is shown."""
WhoLists = Callable[["ServerRequestContext[Any, Any]"], "Identity | None"]
"""Tells who lists tools; None: one whose agent is named only when it calls."""


class ToolServer:
    """Answers lists and calls of tools on one door."""

    def __init__(
        self,
        door: Door,
        *,
        who: Who,
        who_lists: WhoLists,
        calls_most: int = limits.MCP_CALLS_MAX,
        call_for: timedelta = limits.MCP_CALL_MAX,
    ) -> None:
        """`calls_most` calls may be in progress at once; each is waited for, for `call_for`."""
        self._door = door
        self._calls_most = calls_most
        self._call_for_s = call_for.total_seconds()
        self._who = who
        self._who_lists = who_lists
        self._calls: set[asyncio.Task[types.CallToolResult]] = set()
        # What it logs quotes requests and answers in places, and those hold prompts.
        logging.getLogger("mcp").setLevel(logging.CRITICAL)

    def made(self) -> Server[Any]:
        """Return the SDK's server for it."""
        server: Server[Any] = Server(
            "promptyoself",
            version=__version__,
            title="promptyoself",
            description="Schedules prompts to yourself.",
            instructions=teaching.INSTRUCTIONS,
            cache_hints={
                "tools/list": CacheHint(_LISTS_FRESH_FOR_MS, "private"),
                "prompts/list": CacheHint(_LISTS_FRESH_FOR_MS, "public"),
            },
            # No argument of ours travels in a header; without this the SDK lists all tools before each call.
            get_tool_input_schema=lambda _name: None,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_prompts=_list_prompts,
            on_get_prompt=_get_prompt,
        )
        server.middleware.append(_with_object_of_arguments)
        return server

    async def settle(self) -> None:
        """Wait for the calls in progress, STOP_FOR at most."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=limits.STOP_FOR.total_seconds())

    async def _list_tools(
        self, ctx: ServerRequestContext[Any, Any], _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        identity = self._who_lists(ctx)
        return types.ListToolsResult(tools=[_described(tool, identity) for tool in TOOLS])

    async def _call_tool(
        self, ctx: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        if len(self._calls) >= self._calls_most:
            return _refused(f"{self._calls_most} calls are in progress already; wait for answers, then call again")
        # A task of its own: a client that goes away stops nobody, and what has begun to be stored is stored as a whole.
        task = asyncio.ensure_future(self._answer(ctx, params.name, params.arguments or {}))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        done, _ = await asyncio.wait({task}, timeout=self._call_for_s)
        if not done:
            return _refused(
                f"no answer within {self._call_for_s:.0f} s; it may still be carried out: look with "
                "list_my_schedules before you repeat it"
            )
        return task.result()

    async def _answer(
        self, ctx: ServerRequestContext[Any, Any], name: str, arguments: Mapping[str, Any]
    ) -> types.CallToolResult:
        try:
            tool = find_tool(name)
            if tool is None:
                return _refused(_no_tool(name))
            identity = self._who(ctx)
            return await self._door.in_thread(lambda: _carried_out(self._door, tool, arguments, identity), identity)
        except PromptyoselfError as error:
            return _refused(_sentence(error))
        except Exception as error:  # noqa: BLE001  a bug is told as a sentence, and what it says stays here
            # Nor is it logged: it may quote what was given.
            _LOG.error("mcp.call_failed tool=%s error=%s", shown(name), type(error).__name__, exc_info=_is_debug())
            return _refused(
                f"promptyoself failed in a way nobody foresaw ({type(error).__name__}); it may have been carried out: "
                "look with list_my_schedules before you repeat it"
            )


def _carried_out(door: Door, tool: Tool, arguments: Mapping[str, Any], identity: Identity) -> types.CallToolResult:
    """Return the answer of a call. Blocks. Raises PromptyoselfError."""
    acts_for = None if identity.is_operator else identity.owner
    given = read(tool.name, tool.parameters, arguments, acts_for=acts_for)
    document = tool.run(Ask(door, identity, given))
    for key in ("warnings", "sentences"):
        document[key] = [for_tools(one) for one in document.get(key, ())]
    document["message"] = for_tools(document["message"])
    structure = tool.shows.of(document).dumped()
    text = types.TextContent(type="text", text=text_of(structure))
    return types.CallToolResult(content=[text], structured_content=structure)


def _described(tool: Tool, identity: Identity | None) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.help,
        input_schema=schema_of(tool.parameters_for(identity)),
        output_schema=tool.shows.model_json_schema(mode="serialization"),
        annotations=types.ToolAnnotations(
            title=tool.title,
            read_only_hint=tool.is_read_only,
            destructive_hint=tool.is_destructive,
            idempotent_hint=tool.is_idempotent or tool.is_read_only,
            # All that a tool touches is promptyoself's own.
            open_world_hint=False,
        ),
    )


async def _list_prompts(
    _ctx: ServerRequestContext[Any, Any], _params: types.PaginatedRequestParams | None
) -> types.ListPromptsResult:
    prompt = types.Prompt(
        name=teaching.PROMPT_NAME, title=teaching.PROMPT_TITLE, description=teaching.PROMPT_HELP, arguments=[]
    )
    return types.ListPromptsResult(prompts=[prompt])


async def _get_prompt(
    _ctx: ServerRequestContext[Any, Any], params: types.GetPromptRequestParams
) -> types.GetPromptResult:
    if params.name != teaching.PROMPT_NAME:
        raise MCPError(
            types.INVALID_PARAMS, f"there is no prompt {shown(params.name)}; there is {teaching.PROMPT_NAME}"
        )
    content = types.TextContent(type="text", text=teaching.LESSON)
    return types.GetPromptResult(
        description=teaching.PROMPT_HELP, messages=[types.PromptMessage(role="user", content=content)]
    )


async def _with_object_of_arguments(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Let what is no object reach the tool as an argument that it refuses: the protocol's own refusal teaches nothing.

    Models write the object as JSON in a string; that is read.
    """
    params = ctx.params
    if ctx.method != "tools/call" or not isinstance(params, Mapping):
        return await call_next(ctx)
    arguments = params.get("arguments")
    if arguments is None or isinstance(arguments, dict):
        return await call_next(ctx)
    if isinstance(arguments, str):
        arguments = _object_in(arguments)
    if not isinstance(arguments, dict):
        arguments = {"arguments": "not an object"}
    return await call_next(replace(ctx, params={**params, "arguments": arguments}))


def _object_in(text: str) -> object:
    try:
        return json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        return None


def _no_tool(name: str) -> str:
    from difflib import get_close_matches

    names = [tool.name for tool in TOOLS]
    close = get_close_matches(name[:60], names, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"there is no tool {shown(name)}; {meant}The tools are {', '.join(names)}"


def _sentence(error: PromptyoselfError) -> str:
    return for_tools(f"{error.message}; {error.hint}" if error.hint else error.message)


def _refused(sentence: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=sentence)], is_error=True)


def _is_debug() -> bool:
    return _LOG.isEnabledFor(logging.DEBUG)
