"""Whether it is alive, and whether it can do its work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import Response
from starlette.routing import Route

from promptyoself.domain.errors import Unauthenticated
from promptyoself.interfaces import wire
from promptyoself.interfaces.http.asking import asker, credentials_of
from promptyoself.interfaces.http.parts import parts_of
from promptyoself.interfaces.http.reach import is_near
from promptyoself.interfaces.readiness import Readiness, status_of

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

    from promptyoself.interfaces.wire import Document

_UNREADY: Final = 503


def install(app: FastAPI) -> None:
    """Add /healthz and /readyz."""
    parts = parts_of(app)
    app.state.readiness = Readiness(parts.services, delivers=parts.delivers)
    app.router.routes.append(Route("/healthz", healthz, include_in_schema=False))
    app.router.routes.append(Route("/readyz", readyz, include_in_schema=False))


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
    status = status_of(found)
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
