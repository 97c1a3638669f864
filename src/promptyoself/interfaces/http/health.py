"""Whether it is alive, and whether it can do its work."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import anyio
from starlette.responses import Response
from starlette.routing import Route

from promptyoself.application.readiness import ClockWatch, Look, looks
from promptyoself.domain import limits
from promptyoself.domain.errors import StoreError, Unauthenticated
from promptyoself.interfaces import wire
from promptyoself.interfaces.http.asking import asker, credentials_of
from promptyoself.interfaces.http.parts import parts_of
from promptyoself.interfaces.http.reach import is_near

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

    from promptyoself.interfaces.services import Services
    from promptyoself.interfaces.wire import Document

_UNREADY: Final = 503


def install(app: FastAPI) -> None:
    """Add /healthz and /readyz."""
    services = parts_of(app).services
    app.state.readiness = Readiness(services)
    app.router.routes.append(Route("/healthz", healthz, include_in_schema=False))
    app.router.routes.append(Route("/readyz", readyz, include_in_schema=False))


class Readiness:
    """What was looked at lately; many may ask, and it is looked at once a second at most."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._clock_watch = ClockWatch(services.clock)
        self._lock = anyio.Lock()
        self._at_s = float("-inf")
        self._looks: list[Look] = []

    async def looks(self) -> list[Look]:
        """Return what every look found."""
        async with self._lock:
            now_s = self._services.clock.monotonic()
            if now_s - self._at_s >= limits.READINESS_KEPT_FOR.total_seconds():
                self._looks = [self._clock_watch.look(), *await anyio.to_thread.run_sync(self._stored)]
                self._at_s = now_s
            return self._looks

    def _stored(self) -> list[Look]:
        services = self._services
        try:
            with services.store.transaction():
                pass  # the lock can be had; that it can be written to, the heartbeat shows
            with services.store.reading() as tx:
                found = list(looks(tx, now=services.clock.now(), pid=os.getpid(), targets=services.defaults.targets))
        except StoreError as error:
            return [Look("database", "fail", error.message, error.hint)]
        return [Look("database", "ok", "it can be read and locked for writing"), *found]


async def healthz(_request: Request) -> Response:
    """Answer, which is all that liveness means: the event loop turns."""
    return Response(b'{"status":"ok"}', media_type="application/json")


async def readyz(request: Request) -> Response:
    """Say whether it does its work: to this machine in a word, to callers with a token in full.

    200 also when deliveries are held up by something else (`degraded`); 503 when it cannot do its own part.
    """
    is_known = await _is_known(request)
    readiness: Readiness = request.app.state.readiness
    found = await readiness.looks()
    results = {look.result for look in found}
    status = "unready" if "fail" in results else "degraded" if "warn" in results else "ready"
    document: Document = {"status": status}
    if is_known:
        document["checks"] = [look._asdict() for look in found]
    code = _UNREADY if status == "unready" else 200
    return Response(wire.dumps(document), code, media_type="application/json")


async def _is_known(request: Request) -> bool:
    """Return whether an operator asks. Raises Unauthenticated for other machines' strangers."""
    if credentials_of(request.headers).bearer is not None:
        return (await asker(request)).is_operator
    if is_near(request.scope):
        return False
    raise Unauthenticated("the request came without a token", hint="send one as Authorization: Bearer ...")
