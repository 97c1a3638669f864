"""The routes of deliveries and of the mailbox."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi import Query as InQuery
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotations of routes

from promptyoself.domain import limits
from promptyoself.interfaces.http.api import answers
from promptyoself.interfaces.http.api.bodies import AckBody, DeliveriesQuery, InboxQuery, RetryBody
from promptyoself.interfaces.http.api.forms import Id
from promptyoself.interfaces.http.api.headers import next_page
from promptyoself.interfaces.http.api.routing import ApiRoute, answered, carried_out
from promptyoself.interfaces.http.api.said import CHANGES, ONE, WITH_BODY, WRITES, said

router = APIRouter(prefix="/api/v1", tags=["deliveries"], route_class=ApiRoute)


@router.get("/deliveries", **said("deliveries", answers.Deliveries))
async def deliveries(request: Request, query: Annotated[DeliveriesQuery, InQuery()]) -> Response:
    """List deliveries."""
    options = {"limit": limits.PAGE_DEFAULT, **query.options()}
    document = await carried_out(request, "deliveries", options)
    return answered(document, request, headers=next_page(request, document))


@router.post("/deliveries/{id}/retry", **said("retry", answers.Retried, WITH_BODY, CHANGES))
async def retry(request: Request, id: Id, body: RetryBody | None = None) -> Response:
    """Try it again."""
    options = body.options() if body is not None else {}
    return answered(await carried_out(request, "retry", {**options, "id": id}), request)


@router.get("/inbox", tags=["inbox"], **said("inbox", answers.Inbox))
async def inbox(request: Request, query: Annotated[InboxQuery, InQuery()]) -> Response:
    """Read the mailbox."""
    return answered(await carried_out(request, "inbox", query.options()), request)


@router.post("/inbox/{id}/ack", tags=["inbox"], **said("ack", answers.Acked, WITH_BODY, ONE, WRITES))
async def ack(request: Request, id: Id, body: AckBody | None = None) -> Response:
    """Acknowledge a message."""
    options = body.options() if body is not None else {}
    return answered(await carried_out(request, "ack", {**options, "id": id}), request)
