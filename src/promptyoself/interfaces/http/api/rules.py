"""The routes that try rules out and store nothing."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotations of routes

from promptyoself.interfaces.http.api import answers
from promptyoself.interfaces.http.api.bodies import ExplainBody, PreviewBody, SimulateBody
from promptyoself.interfaces.http.api.routing import ApiRoute, answered, carried_out
from promptyoself.interfaces.http.api.said import ONE, WITH_BODY, said

router = APIRouter(prefix="/api/v1", tags=["rules"], route_class=ApiRoute)


@router.post("/preview", **said("preview", answers.Preview, WITH_BODY, ONE))
async def preview(request: Request, body: PreviewBody) -> Response:
    """Show when a rule would fire."""
    return answered(await carried_out(request, "preview", body.options()), request)


@router.post("/explain", **said("explain", answers.Explained, WITH_BODY))
async def explain(request: Request, body: ExplainBody) -> Response:
    """Say what a text for a rule means."""
    return answered(await carried_out(request, "explain", body.options()), request)


@router.post("/simulate", **said("simulate", answers.Simulated, WITH_BODY, ONE))
async def simulate(request: Request, body: SimulateBody | None = None) -> Response:
    """Show what would happen."""
    return answered(await carried_out(request, "simulate", body.options() if body is not None else {}), request)
