"""A reader of server-sent events for tests: the application is called as a server would call it, without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

from promptyoself.domain.models import OPERATOR

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message


class Event(NamedTuple):
    """One event, as a browser's EventSource would hand it over."""

    name: str
    id: int | None
    data: dict[str, Any]


class Reader:
    """Reads one stream. `last_id` is what a browser would send in Last-Event-ID."""

    def __init__(
        self, app: ASGIApp, query: str = "", *, token: str = OPERATOR, resume_at: int | str | None = None
    ) -> None:
        self.status = 0
        self.headers: Mapping[bytes, bytes] = {}
        self.text = ""
        self.events: list[Event] = []
        self.comments: list[str] = []
        self.last_id = resume_at if isinstance(resume_at, int) else None
        self.is_stuck = False
        self._unread = ""
        self._changed = asyncio.Event()
        self._leaving = asyncio.Event()
        headers = [(b"authorization", f"Bearer {token}".encode()), (b"host", b"localhost")]
        if resume_at is not None:
            headers.append((b"last-event-id", str(resume_at).encode()))
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/api/v1/events",
            "raw_path": b"/api/v1/events",
            "query_string": query.encode(),
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
        }
        self._app = app
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.ensure_future(cast("Any", self._app(self._scope, self._receive, self._send)))
        # The first page says from where on this reads: what comes later is surely told.
        await self.until(lambda: "\nid: " in self.text or (self.status and self.status != HTTPStatus.OK))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leaving.set()
        await self.ended()

    async def ended(self) -> None:
        """Wait for the end of the stream."""
        assert self._running is not None
        async with asyncio.timeout(10):
            await self._running

    async def until(self, is_so: Any) -> None:  # noqa: ANN401  a question about this reader
        """Wait for what this has read to be as wanted."""
        async with asyncio.timeout(10):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()

    async def _receive(self) -> Message:
        await self._leaving.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self._take(message.get("body", b"").decode())
        self._changed.set()
        while self.is_stuck:
            await asyncio.Event().wait()

    def _take(self, text: str) -> None:
        self.text += text
        *blocks, self._unread = (self._unread + text).split("\n\n")
        for block in blocks:
            fields: dict[str, str] = {}
            for line in block.split("\n"):
                name, _, value = line.partition(": ")
                if name:
                    fields[name] = value
                else:
                    self.comments.append(value)
            if "id" in fields:
                self.last_id = int(fields["id"])
            if "data" in fields:
                at = int(fields["id"]) if "id" in fields else None
                self.events.append(Event(fields.get("event", "message"), at, json.loads(fields["data"])))
