"""MCP over stdin and stdout: one client, which started this process; nothing but the protocol goes to stdout."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self, cast

from mcp.server.stdio import stdio_server
from mcp_types import JSONRPCNotification, JSONRPCRequest

from promptyoself import interruption
from promptyoself.domain import limits
from promptyoself.domain.errors import PromptyoselfError
from promptyoself.domain.models import OPERATOR
from promptyoself.interfaces.gatekeeper import stdio_identity
from promptyoself.interfaces.identity import Identity
from promptyoself.interfaces.mcp.server import ToolServer

if TYPE_CHECKING:
    import anyio
    from mcp.shared._stream_protocols import ReadStream, WriteStream
    from mcp.shared.message import SessionMessage

    from promptyoself.interfaces.door import Door
    from promptyoself.interfaces.services import Services

_READ_BYTES: Final = 65536
_LINES_READ_AHEAD: Final = 16
_TOO_LONG: Final = b'"longer than MCP_BODY_BYTES_MAX"'
"""Stands for a line that was too long: it is no message, and is answered as such."""


def identity_here(services: Services) -> Identity:
    """Return for whom the client of this process acts. Raises Unauthenticated when no setting says, and InvalidAgentId.

    LETTA_AGENT_ID, unless PROMPTYOSELF_ACT_AS says operator: a person's own client has no agent.
    """
    act_as = next((one for one in services.settings if one.name == "PROMPTYOSELF_ACT_AS"), None)
    is_chosen = act_as is not None and act_as.source != "default"
    if act_as is not None and is_chosen and act_as.value == OPERATOR:
        return Identity(OPERATOR, "stdio")
    return stdio_identity(services.defaults.agent_id)


def tools_of(door: Door) -> ToolServer:
    """Return the tools for the one client of this process."""
    return ToolServer(door, who=lambda _ctx: identity_here(door.services), who_lists=lambda _ctx: _lister(door))


async def serve(door: Door) -> None:
    """Answer one client until its stdin ends or SIGINT or SIGTERM comes; then finish what was asked, and return."""
    tools = tools_of(door)
    stopping = asyncio.Event()
    disarm = _armed(stopping)
    serving = asyncio.ensure_future(_conversation(tools))
    waiting = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        await tools.settle()
        for task in (serving, waiting):
            task.cancel()
        await _ended(serving)
    finally:
        disarm()


async def _ended(serving: asyncio.Future[None]) -> None:
    """Wait for the end of a conversation; that the client has gone before its answers is no failure of ours."""
    try:
        await serving
    except* (asyncio.CancelledError, BrokenPipeError):
        pass


def _lister(door: Door) -> Identity | None:
    try:
        return identity_here(door.services)
    except PromptyoselfError:
        return None


async def _conversation(tools: ToolServer) -> None:
    server = tools.made()
    ledger = _Ledger()
    lines = _Lines(ledger.settled)
    lines.start(asyncio.get_running_loop())
    async with stdio_server(stdin=cast("anyio.AsyncFile[str]", lines)) as (read, write):
        await server.run(
            cast("ReadStream[SessionMessage | Exception]", _Read(read, ledger)),
            cast("WriteStream[SessionMessage]", _Written(write, ledger)),
            server.create_initialization_options(),
        )


class _Ledger:
    """Which requests wait for an answer: a client that writes, closes its end and reads is answered all the same."""

    def __init__(self) -> None:
        self._open: set[str] = set()
        self._changed = asyncio.Event()

    def asked(self, message: object) -> None:
        if isinstance(message, JSONRPCRequest):
            self._open.add(str(message.id))
        elif isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            self._close((message.params or {}).get("requestId"))

    def answered(self, message: object) -> None:
        self._close(getattr(message, "id", None))

    async def settled(self) -> None:
        """Wait until all are answered, MCP_CALL_MAX at most after the last answer."""
        while self._open:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), limits.MCP_CALL_MAX.total_seconds())
            except TimeoutError:
                return

    def _close(self, request_id: object) -> None:
        self._open.discard(str(request_id))
        self._changed.set()


class _Observed:
    """A stream of the SDK's, whose messages the ledger is told of."""

    def __init__(self, stream: Any, ledger: _Ledger) -> None:  # noqa: ANN401  streams' types are private to the SDK
        self._stream = stream
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever else the stream has
        return getattr(self._stream, name)

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *raised: object) -> bool | None:
        left: bool | None = await self._stream.__aexit__(*raised)
        return left


class _Read(_Observed):
    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401  a message, or what could not be read as one
        one = await self._stream.__anext__()
        self._ledger.asked(getattr(one, "message", None))
        return one


class _Written(_Observed):
    async def send(self, message: SessionMessage) -> None:
        await self._stream.send(message)
        self._ledger.answered(message.message)


class _Lines:
    """The lines of stdin, read by a thread that nobody has to wait for: a read cannot be broken off.

    A line is MCP_BODY_BYTES_MAX bytes at most. After the last one, what was asked is answered before the end is told.
    """

    def __init__(self, settled: Callable[[], Any]) -> None:
        self._settled = settled
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._room = threading.Semaphore(_LINES_READ_AHEAD)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        threading.Thread(target=self._read, args=(loop,), name="mcp-stdin", daemon=True).start()

    def __aiter__(self) -> _Lines:
        return self

    async def __anext__(self) -> str:
        line = await self._lines.get()
        self._room.release()
        if line is None:
            await self._settled()
            raise StopAsyncIteration
        return line.decode("utf-8", errors="replace")

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read until the end. By number, not through sys.stdin: its lock would hang the end of the process."""
        held, is_too_long = b"", False
        while True:
            try:
                block = os.read(0, _READ_BYTES)
            except OSError:
                block = b""
            *lines, held = (held + block).split(b"\n")
            for line in lines:
                self._put(loop, _TOO_LONG if is_too_long else line)
                is_too_long = False
            if len(held) > limits.MCP_BODY_BYTES_MAX:
                held, is_too_long = b"", True
            if not block:
                if held.strip():
                    self._put(loop, held)
                self._put(loop, None)
                return

    def _put(self, loop: asyncio.AbstractEventLoop, line: bytes | None) -> None:
        if line is not None and not line.strip():
            return
        self._room.acquire()
        with suppress(RuntimeError):  # the loop has ended, and nobody listens
            loop.call_soon_threadsafe(self._lines.put_nowait, line)


def _armed(stopping: asyncio.Event) -> Callable[[], None]:
    """Set `stopping` at SIGINT, SIGTERM and SIGHUP; return what undoes this."""
    loop, numbers = asyncio.get_running_loop(), interruption.ending()
    for number in numbers:
        loop.add_signal_handler(number, stopping.set)
    if interruption.take():
        stopping.set()

    def disarm() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)

    return disarm
