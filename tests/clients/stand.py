"""promptyoself's application on a free port, as Letta's clients see it, with a Letta of the test's own behind."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from promptyoself.domain.errors import Unauthenticated
from promptyoself.domain.models import OPERATOR
from promptyoself.interfaces.http.app import Parts, make_app
from promptyoself.interfaces.http.middleware_pace import Pace
from promptyoself.interfaces.http.parts import pace_of
from promptyoself.interfaces.identity import Credentials, Identity
from tests.clients.upstream import WITHIN_S, Upstream
from tests.interfaces.world import FakeServices

TOKEN_OF_1 = "pys_" + "1" * 43
TOKEN_OF_2 = "pys_" + "2" * 43
TOKEN_OF_3 = "pys_" + "3" * 43


@dataclass
class Keeper:
    """A gatekeeper that knows two agents' tokens, and Letta's password from the upstream itself."""

    upstream: Upstream
    tokens: dict[str, str] = field(
        default_factory=lambda: {TOKEN_OF_1: "agent-1", TOKEN_OF_2: "agent-2", TOKEN_OF_3: "agent-3"}
    )

    async def identify(self, credentials: Credentials) -> Identity:
        owner = self.tokens.get(credentials.bearer or "")
        if owner is None:
            raise Unauthenticated("nobody knows this token", hint="ask an operator for one")
        return Identity(owner, "token 1")

    admit = identify

    async def close(self) -> None:
        """Nothing was begun."""

    async def identify_as_letta(self, credentials: Credentials) -> Identity:
        if (credentials.bearer or "").startswith("pys_"):
            return await self.identify(credentials)
        if self.upstream.password is None:
            if credentials.address != "127.0.0.1":
                raise Unauthenticated("this Letta asks nobody for a key", hint="ask from its own machine")
            return Identity(OPERATOR, "letta")
        if credentials.bearer != self.upstream.password:
            raise Unauthenticated("Letta refuses this key", hint="send Letta's key")
        return Identity(OPERATOR, "letta key")


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401  JSON
        return json.loads(self.body)


@dataclass
class Stand:
    """The running application."""

    upstream: Upstream
    services: FakeServices
    pace: Pace
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None) -> Reply:
        """Make one request; a body that is no bytes goes out as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WITHIN_S)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        kind = {} if data is body else {"Content-Type": "application/json"}
        try:
            connection.request(method, path, body=data, headers={**kind, **(headers or {})})
            answer = connection.getresponse()
            return Reply(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    @contextmanager
    def wire(self) -> Iterator[socket.socket]:
        """A bare connection, for what no client library would send."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=WITHIN_S) as bare:
            yield bare

    def raw(self, request: bytes) -> bytes:
        """Send bytes, and return everything that comes back until the connection closes.

        Unless they ask for that themselves, their end is said at once: what still works for them is broken off.
        """
        with self.wire() as bare:
            bare.sendall(request)
            if b"\r\nConnection: close" not in request:
                bare.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: bare.recv(65536), b""))


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@contextmanager
def standing(upstream: Upstream, folder: Path) -> Iterator[Stand]:
    """Run the application in a thread of its own."""
    services = FakeServices(folder)
    services.letta_url = upstream.url
    assert services.store.location
    app = make_app(Parts(services=services, gatekeeper=Keeper(upstream)))
    listening = socket.create_server(("127.0.0.1", 0))
    server = _Server(
        uvicorn.Config(
            app,
            lifespan="on",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), name="stand")
    thread.start()
    try:
        assert server.ready.wait(WITHIN_S)
        yield Stand(upstream, services, pace_of(app), listening.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(WITHIN_S)
        listening.close()
        services.close()
