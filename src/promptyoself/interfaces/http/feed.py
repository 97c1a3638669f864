"""`GET /api/v1/calendar.ics`: coming fires for calendar programs to subscribe to.

Calendar programs send no header of ours, and addresses end up in logs, histories and other people's screenshots: no
token is taken from the address. They do know HTTP's own password dialogue, so the token is its password; an agent's
only, for a calendar service that keeps passwords must not be handed an operator's.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Request
from fastapi import Query as InQuery
from starlette.responses import Response

from promptyoself.domain import limits
from promptyoself.domain.errors import Forbidden, Unauthenticated
from promptyoself.interfaces.http.api.routing import carried_out
from promptyoself.interfaces.http.api.said import ALWAYS, problems
from promptyoself.interfaces.http.asking import address_of, credentials_of
from promptyoself.interfaces.http.parts import parts_of
from promptyoself.interfaces.http.problem import error_response

if TYPE_CHECKING:
    from fastapi import FastAPI

    from promptyoself.interfaces.identity import Identity

_SCHEME: Final = "basic "
_ASK: Final = {"WWW-Authenticate": 'Basic realm="promptyoself: any name, the token as password", charset="UTF-8"'}
router = APIRouter(prefix="/api/v1", tags=["events"])


def install(app: FastAPI) -> None:
    """Add the route."""
    app.include_router(router)


@router.get(
    "/calendar.ics",
    operation_id="calendar",
    response_class=Response,
    summary="Coming fires as a calendar",
    responses={
        200: {"description": "An RFC 5545 calendar", "content": {"text/calendar": {"schema": {"type": "string"}}}},
        **problems(*ALWAYS),
    },
)
async def calendar(
    request: Request,
    span: Annotated[str | None, InQuery(alias="for", description="how far ahead (default 30d)", max_length=40)] = None,
    agent_id: Annotated[
        str | None, InQuery(description="only this agent's schedules", max_length=limits.AGENT_ID_CHARS_MAX)
    ] = None,
) -> Response:
    """Answer with coming fires: times, names or first words of prompts, and rules in words."""
    try:
        request.state.identity = await _who(request)
    except Unauthenticated as error:
        return error_response(error, headers=_ASK, request=request)
    document = await carried_out(request, "export", {"format": "ics", "for": span, "agent_id": agent_id})
    return Response(document["ics"].encode(), headers={"content-type": "text/calendar; charset=utf-8"})


async def _who(request: Request) -> Identity:
    """Return who asks: by a bearer as everywhere, or by a password that is an agent's token."""
    given = credentials_of(request.headers, address_of(request))
    password = _password(", ".join(request.headers.getlist("authorization")))
    keeper = parts_of(request.app).gatekeeper
    if password is None:
        return await keeper.identify(given)
    identity = await keeper.identify(given._replace(bearer=password))
    if identity.is_operator:
        raise Forbidden(
            "an operator's token is not taken as a password: calendar programs keep those, and send them to others",
            hint="issue one for the agent: promptyoself token create --agent ID; or send it as Authorization: Bearer",
        )
    return identity


def _password(header: str) -> str | None:
    """Return the password of HTTP's Basic scheme, or None when it is another scheme or cannot be read."""
    if header[: len(_SCHEME)].lower() != _SCHEME:
        return None
    try:
        text = base64.b64decode(header[len(_SCHEME) :].strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return text.partition(":")[2] or None
