"""The routes of tokens, of claims, and of what an agent may ask about itself."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi import Query as InQuery
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotations of routes

from promptyoself.interfaces.http.api import answers
from promptyoself.interfaces.http.api.bodies import ClaimBody, OnTimeQuery, TokenBody, TokensQuery
from promptyoself.interfaces.http.api.forms import Id
from promptyoself.interfaces.http.api.routing import ApiRoute, answered, carried_out
from promptyoself.interfaces.http.api.said import ONE, WITH_BODY, WRITES, said

router = APIRouter(prefix="/api/v1", tags=["access"], route_class=ApiRoute)


@router.post("/tokens", **said("token create", answers.Issued, WITH_BODY, WRITES, status=201, operation="token-create"))
async def token_create(request: Request, body: TokenBody) -> Response:
    """Issue a token. For operators."""
    document = await carried_out(request, "token create", body.options())
    return answered(document, request, status=201)


@router.get("/tokens", **said("token list", answers.Tokens, operation="token-list"))
async def token_list(request: Request, query: Annotated[TokensQuery, InQuery()]) -> Response:
    """List tokens, never their texts. For operators."""
    return answered(await carried_out(request, "token list", query.options()), request)


@router.delete("/tokens/{id}", **said("token revoke", answers.Revoked, ONE, WRITES, operation="token-revoke"))
async def token_revoke(request: Request, id: Id) -> Response:
    """Revoke a token. For operators."""
    return answered(await carried_out(request, "token revoke", {"id": id}), request)


@router.post("/claims", **said("claim-once", answers.Claimed, WITH_BODY, WRITES))
async def claim_once(request: Request, body: ClaimBody) -> Response:
    """Claim a key."""
    return answered(await carried_out(request, "claim-once", body.options()), request)


@router.get("/on-time", tags=["deliveries"], **said("on-time", answers.OnTime))
async def on_time(request: Request, query: Annotated[OnTimeQuery, InQuery()]) -> Response:
    """Say how late an agent's prompt came."""
    return answered(await carried_out(request, "on-time", query.options()), request)
