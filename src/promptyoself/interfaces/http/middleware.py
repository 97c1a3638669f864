"""What is done around every request: an id, a line in the log, safe headers, and an answer to what nobody foresaw.

Pure ASGI throughout: a wrapper that buffers would hold back streams. `wrap(app)` puts all of them around an
application, from without to within: marking, hosts and origins, pace, bounds.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from starlette.datastructures import MutableHeaders

from promptyoself.interfaces.http.middleware_bounds import Bounds
from promptyoself.interfaces.http.middleware_origin import Origins
from promptyoself.interfaces.http.middleware_pace import Pacing
from promptyoself.interfaces.http.parts import pace_of, parts_of, traffic_of
from promptyoself.interfaces.http.problem import problem_response

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from promptyoself.interfaces.http.traffic import Traffic
    from promptyoself.interfaces.services import Services

_log = logging.getLogger("promptyoself.http")
_PATH_CHARS_SHOWN: Final = 200
_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
"""On every answer of ours that does not say otherwise (the dashboard has its own policy)."""
_HEADERS_OF_LETTAS: Final = {
    "content-security-policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
"""On every answer below /v1, whatever Letta says: a file of an agent's that a browser shows from our address would else
be a page of ours, with the dashboard's token in its reach. Programs do not look at them."""


def wrap(app: FastAPI) -> None:
    """Put everything in this room around an application that is otherwise complete."""
    services, pace = parts_of(app).services, pace_of(app)
    app.add_middleware(Bounds)
    app.add_middleware(Pacing, pace=pace, gatekeeper=parts_of(app).gatekeeper)
    app.add_middleware(Origins, reach=parts_of(app).reach)
    app.add_middleware(Marking, services=services, traffic=traffic_of(app), stopping=parts_of(app).stopping)


class Marking:
    """Gives each request an id, which its answer and its line in the log carry."""

    def __init__(self, app: ASGIApp, *, services: Services, traffic: Traffic, stopping: asyncio.Event) -> None:
        self._app = app
        self._stopping = stopping
        self._services = services
        self._traffic = traffic
        # Fresh for each process, then counted: chance costs a call of the system each time.
        self._process = services.new_uid()[:8]
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        services = self._services
        self._count += 1
        request_id = f"{self._process}-{self._count}"
        scope.setdefault("state", {})["request_id"] = request_id
        is_lettas = scope["path"].startswith("/v1/") or scope["path"] == "/v1"
        begun, status = services.clock.monotonic(), 0

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if is_lettas:
                    headers = MutableHeaders(scope=message)
                    headers["x-request-id"] = request_id
                    headers.update(_HEADERS_OF_LETTAS)
                else:
                    given = message["headers"]
                    names = {name for name, _ in given}
                    more = [pair for pair in _HEADERS if pair[0] not in names]
                    message["headers"] = [*given, (b"x-request-id", request_id.encode("ascii")), *more]
            await send(message)

        try:
            await self._app(scope, receive, marked)
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise
            if not status:  # its time is up, and it learns why; what hangs in a thread of its own is left behind
                await _ending()(scope, receive, marked)
        finally:
            took_s = services.clock.monotonic() - begun
            self._traffic.note(scope["method"], status, took_s)
            _log.info(
                "http.request id=%s method=%s path=%r status=%d took_ms=%.1f from=%s",
                request_id,
                scope["method"][:20],
                scope["path"][:_PATH_CHARS_SHOWN],
                status,
                took_s * 1000,
                (scope.get("client") or ("", 0))[0],
            )


def _ending() -> Response:
    return problem_response(
        "the service ends, and this took too long; it may be carried out all the same",
        status=503,
        code="timed_out",
        hint="look before you repeat it",
        headers={"Connection": "close", "Retry-After": "5"},
    )
