"""The routes of schedules."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Request
from fastapi import Query as InQuery
from starlette.responses import Response

from promptyoself.domain import limits
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
from promptyoself.interfaces.http.api.forms import Form, Id, Options
from promptyoself.interfaces.http.api.headers import (
    IdempotencyKey,
    IfMatch,
    IfNoneMatch,
    etag,
    is_known,
    next_page,
    tags_of,
)
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
async def register(request: Request, body: RegisterBody, idempotency_key: IdempotencyKey = None) -> Response:
    """Make a schedule, or update the one of the same key."""
    document = await carried_out(request, "register", {**body.options(), "idempotency_key": idempotency_key})
    headers = {"Location": f"{AT}/{document['id']}", **etag(document)}
    if document.get("replayed"):
        headers["Idempotency-Replayed"] = "true"
    return answered(document, request, status=201 if document["created"] else 200, headers=headers)


@router.get("/schedules", **said("list", answers.Schedules))
async def list_schedules(request: Request, query: Annotated[ListQuery, InQuery()]) -> Response:
    """List schedules."""
    options = {"limit": limits.PAGE_DEFAULT, **query.options()}
    document = await carried_out(request, "list", options)
    return answered(document, request, headers=next_page(request, document))


@router.get("/schedules/{id}", **said("show", answers.Shown, ONE, answers={304: None}))
async def show(request: Request, id: Id, if_none_match: IfNoneMatch = None) -> Response:
    """Show one schedule."""
    document = await carried_out(request, "show", {"id": id})
    if is_known(if_none_match, document):
        return Response(status_code=304, headers=etag(document))
    return answered(document, request, headers=etag(document))


@router.patch("/schedules/{id}", **said("update", answers.Updated, WITH_BODY, ASKS_LETTA, CHANGES))
async def update(request: Request, id: Id, body: UpdateBody, if_match: IfMatch = None) -> Response:
    """Change what is named."""
    return await _changed(request, "update", id, body.changes(), if_match)


@router.delete("/schedules/{id}", **said("cancel", answers.Cancelled, CHANGES))
async def cancel(request: Request, id: Id, if_match: IfMatch = None) -> Response:
    """Cancel for good."""
    return await _changed(request, "cancel", id, None, if_match)


@router.post("/schedules/{id}/pause", **said("pause", answers.Changed, WITH_BODY, CHANGES))
async def pause(request: Request, id: Id, body: PauseBody | None = None, if_match: IfMatch = None) -> Response:
    """Pause one schedule."""
    return await _changed(request, "pause", id, body, if_match)


@router.post("/schedules/{id}/resume", **said("resume", answers.Changed, WITH_BODY, CHANGES))
async def resume(request: Request, id: Id, body: ResumeBody | None = None, if_match: IfMatch = None) -> Response:
    """Resume one schedule."""
    return await _changed(request, "resume", id, body, if_match)


@router.post("/schedules/{id}/run-now", **said("run-now", answers.RunNow, WITH_BODY, CHANGES))
async def run_now(request: Request, id: Id, body: RunNowBody | None = None) -> Response:
    """Open a delivery now."""
    options = body.options() if body is not None else {}
    return answered(await carried_out(request, "run-now", {**options, "id": id}), request)


@router.post("/schedules/{id}/skip", **said("skip", answers.Skipped, WITH_BODY, CHANGES))
async def skip(request: Request, id: Id, body: SkipBody | None = None, if_match: IfMatch = None) -> Response:
    """Pass over what is next."""
    return await _changed(request, "skip", id, body, if_match)


@router.post("/schedules/{id}/snooze", **said("snooze", answers.Snoozed, WITH_BODY, CHANGES))
async def snooze(request: Request, id: Id, body: SnoozeBody, if_match: IfMatch = None) -> Response:
    """Put off what is next."""
    return await _changed(request, "snooze", id, body, if_match)


@router.get("/schedules/{id}/history", **said("history", answers.History, ONE))
async def history(request: Request, id: Id, query: Annotated[HistoryQuery, InQuery()]) -> Response:
    """Show the receipts."""
    return answered(await carried_out(request, "history", {**query.options(), "id": id}), request)


@router.get("/schedules/{id}/why", **said("why", answers.Why, ONE))
async def why(request: Request, id: Id, query: Annotated[WhyQuery, InQuery()]) -> Response:
    """Tell the story."""
    return answered(await carried_out(request, "why", {**query.options(), "id": id}), request)


async def _changed(
    request: Request, command: str, id: int, form: Form | Options | None, if_match: str | None
) -> Response:
    options = form.options() if isinstance(form, Form) else form or {}
    document = await carried_out(request, command, {**options, "id": id, "if_match": tags_of(if_match)})
    return answered(document, request, headers=etag(document))
