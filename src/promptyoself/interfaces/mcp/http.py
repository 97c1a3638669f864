"""MCP over streamable HTTP: the two routes, who comes in, and what runs as long as they are served."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import Route

from promptyoself.domain import limits
from promptyoself.domain.errors import PromptyoselfError, Unauthenticated
from promptyoself.interfaces.door import Door
from promptyoself.interfaces.http.asking import address_of, credentials_of
from promptyoself.interfaces.http.parts import lives, parts_of
from promptyoself.interfaces.mcp.server import ToolServer

if TYPE_CHECKING:
    from fastapi import FastAPI
    from mcp.server.context import ServerRequestContext
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from promptyoself.interfaces.identity import Gatekeeper, Identity

PATHS: Final = ("/mcp", "/mcp/")
"""Both are routes of their own: a redirect from one to the other would come before the check of the Host."""
_IDENTITY: Final = "promptyoself.identity"
_BAD_REQUEST: Final = 400
_PYDANTICS: Final = b'"Validation error: '
_NO_MESSAGE: Final = (
    "the body is no message of JSON-RPC; send one object, not several in a list, with jsonrpc 2.0, an id that is "
    "text or a whole number, a method, and params that are an object"
)
_CHALLENGE: Final = 'Bearer realm="promptyoself"'


class McpOverHttp:
    """The endpoint, for one run of an application: add `routes`, and hold `run` open while they are served."""

    def __init__(
        self,
        door: Door,
        gatekeeper: Gatekeeper,
        *,
        calls_most: int = limits.MCP_CALLS_MAX,
        call_for: timedelta = limits.MCP_CALL_MAX,
    ) -> None:
        self._tools = ToolServer(door, who=_caller, who_lists=_visitor, calls_most=calls_most, call_for=call_for)
        self._sessions = StreamableHTTPSessionManager(
            self._tools.made(),
            # Nothing is kept between requests, so that any process may answer any of them, and none can be hijacked.
            stateless=True,
            json_response=True,
            # Host and Origin are checked around the whole application (middleware_origin.py).
            security_settings=None,
            max_request_body_size=limits.MCP_BODY_BYTES_MAX,
        )
        guarded = _Guarded(StreamableHTTPASGIApp(self._sessions), gatekeeper)
        self.routes: Final = [Route(path, endpoint=guarded, include_in_schema=False) for path in PATHS]

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Serve until the block ends; then wait for what has begun to be stored, STOP_FOR at most."""
        async with self._sessions.run():
            try:
                yield
            finally:
                await self._tools.settle()


def install(app: FastAPI) -> None:
    """Add MCP to the application."""
    parts = parts_of(app)
    over = McpOverHttp(Door(parts.services, name="mcp"), parts.gatekeeper)
    app.router.routes.extend(over.routes)
    lives(app).append(lambda _app: over.run())


class _Guarded:
    """Lets in whom the gatekeeper knows, by POST alone."""

    def __init__(self, app: ASGIApp, gatekeeper: Gatekeeper) -> None:
        self._app = app
        self._gatekeeper = gatekeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            # A GET would hold a stream open on which nothing is ever sent, a DELETE would end a session that is none.
            await _refusal("MCP is spoken here by POST alone", 405, Allow="POST")(scope, receive, send)
            return
        asked = HTTPConnection(scope)
        try:
            scope[_IDENTITY] = await self._gatekeeper.admit(credentials_of(asked.headers, address_of(asked)))
        except PromptyoselfError as error:
            said = f"{error.message}; {error.hint}" if error.hint else error.message
            challenge = {"WWW-Authenticate": _CHALLENGE} if isinstance(error, Unauthenticated) else {}
            await _refusal(said, error.http_status, **challenge)(scope, receive, send)
            return
        await self._app(scope, receive, _in_words(send))


def _in_words(send: Send) -> Send:
    """Say in a sentence what the SDK says of an envelope in pydantic's words, a screen of them that quotes the body."""
    held: Message | None = None

    async def said(message: Message) -> None:
        nonlocal held
        if message["type"] == "http.response.start" and message["status"] == _BAD_REQUEST:
            held = message  # its length is not known before the body is
            return
        if held is not None:
            start, held = held, None
            if _PYDANTICS in message.get("body", b""):
                message = {"type": "http.response.body", "body": _document(_NO_MESSAGE)}
                start["headers"] = [one for one in start["headers"] if one[0].lower() != b"content-length"]
                start["headers"].append((b"content-length", b"%d" % len(message["body"])))
            await send(start)
        await send(message)

    return said


def _refusal(said: str, status: int, **headers: str) -> Response:
    """Return a refusal before any request was read, as JSON-RPC has it."""
    return Response(_document(said), status_code=status, media_type="application/json", headers=headers)


def _document(said: str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": said}}).encode()


def _visitor(ctx: ServerRequestContext[Any, Any]) -> Identity | None:
    assert ctx.request is not None  # noqa: S101  over HTTP each message came with a request
    identity: Identity = ctx.request.scope[_IDENTITY]
    return None if identity.is_nobody else identity


def _caller(ctx: ServerRequestContext[Any, Any]) -> Identity:
    identity = _visitor(ctx)
    if identity is None:
        raise Unauthenticated(
            "nobody knows for which agent this call is: its token is a Letta server's, and no x-agent-id came with it",
            hint="Letta sends x-agent-id by itself when an agent calls; other clients need a token of their own",
        )
    return identity
