"""An MCP endpoint over the doors' world, and the SDK's client at it, in one process and without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent
from starlette.applications import Starlette

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


def endpoint(services: Services) -> McpOverHttp:
    return McpOverHttp(Door(services, name="mcp"), Keeper())


@asynccontextmanager
async def requests(services: Services, **headers: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield an HTTP client of a served endpoint."""
    over = endpoint(services)
    app = Starlette(routes=over.routes)
    async with over.run(), httpx2.AsyncClient(transport=httpx2.ASGITransport(app), headers=headers) as client:
        yield client


@asynccontextmanager
async def mcp_client(
    services: Services, bearer: str = AGENT, *, mode: str = "auto", **headers: str
) -> AsyncIterator[Client]:
    """Yield the SDK's client of a served endpoint, for the caller that `bearer` names."""
    async with (
        requests(services, Authorization=f"Bearer {bearer}", **headers) as http,
        Client(streamable_http_client(URL, http_client=http), mode=mode) as client,
    ):
        yield client


def text_of(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text
