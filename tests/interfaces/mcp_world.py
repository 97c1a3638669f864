"""An MCP endpoint over the doors' world, and the SDK's client at it, in one process and without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent
from starlette.applications import Starlette

from promptyoself.domain import limits
from promptyoself.domain.errors import Forbidden, Unauthenticated
from promptyoself.domain.models import OPERATOR
from promptyoself.interfaces.door import Door
from promptyoself.interfaces.identity import Credentials, Identity
from promptyoself.interfaces.mcp.http import McpOverHttp
from promptyoself.interfaces.services import Services

URL = "http://127.0.0.1:8289/mcp"
AGENT, OTHER = "agent-1", "agent-2"


class Keeper:
    """A gatekeeper of tests: the bearer is who it is; `proxy` is a Letta server's token."""

    async def identify(self, credentials: Credentials) -> Identity:
        identity = await self.admit(credentials)
        if not identity.owner:
            raise Forbidden("no agent")
        return identity

    async def admit(self, credentials: Credentials) -> Identity:
        match credentials.bearer:
            case None:
                raise Unauthenticated("no token came with the request", hint="send Authorization: Bearer and a token")
            case "proxy":
                return Identity(credentials.agent_header or "", "token 1")
            case "operator":
                return Identity(OPERATOR, "token 2")
            case agent_id:
                return Identity(agent_id, "token 3")

    async def identify_as_letta(self, credentials: Credentials) -> Identity:
        return await self.identify(credentials)

    async def close(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def requests(
    services: Services, *, calls_most: int = limits.MCP_CALLS_MAX, call_for: timedelta = limits.MCP_CALL_MAX
) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield an HTTP client of a served endpoint."""
    over = McpOverHttp(Door(services, name="mcp"), Keeper(), calls_most=calls_most, call_for=call_for)
    transport = httpx2.ASGITransport(Starlette(routes=over.routes))
    async with over.run(), httpx2.AsyncClient(transport=transport) as client:
        yield client


@asynccontextmanager
async def speaking(
    http: httpx2.AsyncClient, bearer: str = AGENT, *, mode: str = "auto", agent_header: str | None = None
) -> AsyncIterator[Client]:
    """Yield the SDK's client at an endpoint, for the caller that `bearer` names."""
    http.headers["Authorization"] = f"Bearer {bearer}"
    if agent_header is not None:
        http.headers["x-agent-id"] = agent_header
    async with Client(streamable_http_client(URL, http_client=http), mode=mode) as client:
        yield client


@asynccontextmanager
async def mcp_client(
    services: Services,
    bearer: str = AGENT,
    *,
    mode: str = "auto",
    **bounds: Any,  # noqa: ANN401  as `requests` has them
) -> AsyncIterator[Client]:
    """Yield the SDK's client of a served endpoint of its own."""
    async with requests(services, **bounds) as http, speaking(http, bearer, mode=mode) as client:
        yield client


def text_of(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text
