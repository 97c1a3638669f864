"""What every route of ours does: find out who asks before anything is read, refuse what it does not know, carry out."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from promptyoself.domain.errors import Forbidden, InvalidInput
from promptyoself.interfaces.door import Door
from promptyoself.interfaces.http.api.forms import Query, unknown
from promptyoself.interfaces.http.api.strict import read_json
from promptyoself.interfaces.http.asking import asker
from promptyoself.interfaces.http.problem import document_response, problem_response
from promptyoself.interfaces.http.sending import Json
from promptyoself.interfaces.http.wording import in_our_words

if TYPE_CHECKING:
    from promptyoself.interfaces.identity import Identity
    from promptyoself.interfaces.parse import OptionValue
    from promptyoself.interfaces.wire import Document

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class ApiRoute(APIRoute):
    """A route of /api/v1."""

    def get_route_handler(self) -> Handler:
        """Return what answers a request; a body is read only for a caller who was recognised."""
        answer = super().get_route_handler()
        known, many = _query_keys(self)
        takes_body = self.body_field is not None

        async def handle(request: Request) -> Response:
            await asker(request)
            for key in request.query_params:
                if key not in known:
                    raise InvalidInput(f"in the query, {unknown(key, known)}")
                if key not in many and len(request.query_params.getlist(key)) > 1:
                    raise InvalidInput(f"in the query, {key} is given twice", hint="give it once")
            if takes_body and not is_json(request):
                return problem_response(
                    "the body must be JSON",
                    status=415,
                    code="unsupported_media_type",
                    hint="send it with Content-Type: application/json",
                    request=request,
                )
            if takes_body:
                await _read(request)
            return await answer(request)

        return handle


async def _read(request: Request) -> None:
    """Read a body strictly, once: FastAPI finds it read. What is no JSON at all, it refuses in its own way."""
    body = await request.body()
    if body:
        with suppress(ValueError, RecursionError):
            request._json = read_json(body)  # noqa: SLF001  where Starlette keeps it; there is no other way to hand it on


def _query_keys(route: APIRoute) -> tuple[Mapping[str, object], frozenset[str]]:
    """Return the keys that a route's query may have, and those that may come more than once."""
    known: dict[str, object] = {}
    many: set[str] = set()
    for field in route.dependant.query_params:
        model = field.field_info.annotation
        if isinstance(model, type) and issubclass(model, Query):
            known |= model.model_fields
            many |= {name for name, one in model.model_fields.items() if "list[" in str(one.annotation)}
        else:
            known[field.alias] = field
    return known, frozenset(many)


def is_json(request: Request) -> bool:
    """Return whether the body says that it is JSON, or there is none."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind:
        return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
    return request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers


def door_of(request: Request) -> Door:
    """Return the door of this application: one for all requests, so that its bound on threads holds."""
    door: Door = request.app.state.api_door
    return door


async def carried_out(
    request: Request, command: str, options: Mapping[str, OptionValue | None], *, content: str | None = None
) -> Document:
    """Return what a command of the table answers to whoever asks. Raises PromptyoselfError."""
    identity: Identity = request.state.identity
    return await door_of(request).carry_out(command, options, identity, content=content)


def answered(
    document: Document, request: Request, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a handler's document as an answer, in the words of this door."""
    document = in_our_words(document)
    if "error" in document and "status" not in document:
        return document_response(document, request=request)
    return Json(document, status, headers=dict(headers or {}))


def operators_only(request: Request, what: str) -> None:
    """Refuse an agent what concerns the server as a whole. Raises Forbidden."""
    identity: Identity = request.state.identity
    if not identity.is_operator:
        raise Forbidden(f"{what} is for operators; this token acts for agent {identity.owner}", hint="ask an operator")
