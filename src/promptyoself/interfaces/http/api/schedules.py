"""The routes of schedules."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Request
from fastapi import Query as InQuery
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotations of routes

from promptyoself.interfaces.http.api import answers
from promptyoself.interfaces.http.api.bodies import (
    HistoryQuery,
    ListQuery,
    PauseBody,
    RegisterBody,
    ResumeBody,
    RunNowBody,
    SkipBody,
    SnoozeBody,
    UpdateBody,
    WhyQuery,
)
from promptyoself.interfaces.http.api.forms import Form, Id
from promptyoself.interfaces.http.api.routing import ApiRoute, answered, carried_out
from promptyoself.interfaces.http.api.said import ASKS_LETTA, CHANGES, ONE, WITH_BODY, WRITES, said

router = APIRouter(prefix="/api/v1", tags=["schedules"], route_class=ApiRoute)
AT: Final = "/api/v1/schedules"


@router.post(
    "/schedules",
    **said(
        "register",
        answers.Registered,
        WITH_BODY,
        ASKS_LETTA,
        (404, 409),
        WRITES,
        status=201,
        answers={200: answers.Registered},
    ),
)
async def register(request: Request, body: RegisterBody) -> Response:
    """Make a schedule, or update the one of the same key."""
    document = await carried_out(request, "register", body.options())
    status = 201 if document.get("created") else 200
    return answered(document, request, status=status, headers={"Location": f"{AT}/{document['id']}"})


@router.get("/schedules", **said("list", answers.Schedules))
async def list_schedules(request: Request, query: Annotated[ListQuery, InQuery()]) -> Response:
    """List schedules."""
    return answered(await carried_out(request, "list", query.options()), request)


@router.get("/schedules/{id}", **said("show", answers.Shown, ONE))
async def show(request: Request, id: Id) -> Response:
    """Show one schedule."""
    return answered(await carried_out(request, "show", {"id": id}), request)


@router.patch("/schedules/{id}", **said("update", answers.Updated, WITH_BODY, ASKS_LETTA, CHANGES))
async def update(request: Request, id: Id, body: UpdateBody) -> Response:
    """Change what is named."""
    return answered(await carried_out(request, "update", {**body.options(), "id": id}), request)


@router.delete("/schedules/{id}", **said("cancel", answers.Cancelled, CHANGES))
async def cancel(request: Request, id: Id) -> Response:
    """Cancel for good."""
    return answered(await carried_out(request, "cancel", {"id": id}), request)


@router.post("/schedules/{id}/pause", **said("pause", answers.Changed, WITH_BODY, CHANGES))
async def pause(request: Request, id: Id, body: PauseBody | None = None) -> Response:
    """Pause one schedule."""
    return await _acted(request, "pause", id, body)


@router.post("/schedules/{id}/resume", **said("resume", answers.Changed, WITH_BODY, CHANGES))
async def resume(request: Request, id: Id, body: ResumeBody | None = None) -> Response:
    """Resume one schedule."""
    return await _acted(request, "resume", id, body)


@router.post("/schedules/{id}/run-now", **said("run-now", answers.RunNow, WITH_BODY, CHANGES))
async def run_now(request: Request, id: Id, body: RunNowBody | None = None) -> Response:
    """Open a delivery now."""
    return await _acted(request, "run-now", id, body)


@router.post("/schedules/{id}/skip", **said("skip", answers.Skipped, WITH_BODY, CHANGES))
async def skip(request: Request, id: Id, body: SkipBody | None = None) -> Response:
    """Pass over what is next."""
    return await _acted(request, "skip", id, body)


@router.post("/schedules/{id}/snooze", **said("snooze", answers.Snoozed, WITH_BODY, CHANGES))
async def snooze(request: Request, id: Id, body: SnoozeBody | None = None) -> Response:
    """Put off what is next."""
    return await _acted(request, "snooze", id, body)


@router.get("/schedules/{id}/history", **said("history", answers.History, ONE))
async def history(request: Request, id: Id, query: Annotated[HistoryQuery, InQuery()]) -> Response:
    """Show the receipts."""
    return answered(await carried_out(request, "history", {**query.options(), "id": id}), request)


@router.get("/schedules/{id}/why", **said("why", answers.Why, ONE))
async def why(request: Request, id: Id, query: Annotated[WhyQuery, InQuery()]) -> Response:
    """Tell the story."""
    return answered(await carried_out(request, "why", {**query.options(), "id": id}), request)


async def _acted(request: Request, command: str, id: int, body: Form | None) -> Response:
    options = body.options() if body is not None else {}
    return answered(await carried_out(request, command, {**options, "id": id}), request)
