"""Refusals and failures over HTTP: RFC 9457 documents with our `error`, `code` and `hint`, whoever raised them."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from promptyoself.domain import errors
from promptyoself.domain.errors import PromptyoselfError
from promptyoself.interfaces import wire
from promptyoself.interfaces.call import INSTALL_HINT
from promptyoself.interfaces.http.wording import for_http
from promptyoself.interfaces.parse import shown

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from promptyoself.interfaces.wire import Document

_log = logging.getLogger("promptyoself.http")

MEDIA_TYPE: Final = "application/problem+json"
TYPES_AT: Final = "/api/v1/errors"
"""Where a problem's `type` leads: this server says there what each code means."""
_ERRORS_SHOWN_MAX: Final = 5
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class Kind(NamedTuple):
    """What one code stands for."""

    status: int
    title: str


_WITHOUT_EXCEPTION: Final = {
    "internal": Kind(500, "A bug; the request may have been carried out"),
    "not_installed": Kind(500, "A module that the command needs is not installed"),
    "doctor": Kind(503, "A check of `doctor` failed"),
    "method_not_allowed": Kind(405, "The address is there, and takes other methods"),
    "unsupported_media_type": Kind(415, "The body is not of a type that is read here"),
    "too_large": Kind(413, "The body is larger than this address takes"),
    "too_slow": Kind(408, "The request's body did not come in time"),
    "busy": Kind(503, "Too many requests are at work"),
    "timed_out": Kind(503, "The answer took too long; the request may have been carried out"),
}
_TITLES: Final = {"usage": "The request itself is wrong: something is missing or contradictory"}
"""Where the exception's own words are the command line's."""
_BY_STATUS: Final = {400: "usage", 401: "unauthenticated", 403: "forbidden", 404: "not_found"} | {
    kind.status: code
    for code, kind in _WITHOUT_EXCEPTION.items()
    if kind.status < 500  # noqa: PLR2004
}


@cache
def kinds() -> Mapping[str, Kind]:
    """Return every code that an answer may carry, with its usual status."""
    found: list[type[PromptyoselfError]] = [PromptyoselfError]
    for one in found:
        found += one.__subclasses__()
    named = {one.code: one for one in reversed(found) if one.code != "internal"}
    return dict(sorted({code: _kind(one) for code, one in named.items()}.items())) | _WITHOUT_EXCEPTION


def _kind(of: type[PromptyoselfError]) -> Kind:
    return Kind(of.http_status, _TITLES.get(of.code) or (of.__doc__ or of.code).partition("\n")[0].rstrip("."))


class Problem(BaseModel):
    """An RFC 9457 problem. Programs match on `code`; `error` says in one sentence what to do."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": f"{TYPES_AT}#schedule_not_found",
                    "title": "No schedule has this id",
                    "status": 404,
                    "detail": "schedule 7 was not found",
                    "error": "schedule 7 was not found; GET /api/v1/schedules?all=true shows every schedule and its id",
                    "code": "schedule_not_found",
                    "hint": "GET /api/v1/schedules?all=true shows every schedule and its id",
                }
            ]
        },
    )

    type: str = Field(description="what kind of problem it is: an address of this server that explains the code")
    title: str = Field(description="the kind in words; the same for every problem of the code")
    status: int = Field(description="the HTTP status")
    detail: str = Field(description="what went wrong this time")
    error: str = Field(description="detail and hint in one sentence, as on the command line")
    code: str = Field(description="stable", json_schema_extra=lambda schema: schema.update(enum=list(kinds())))
    hint: str | None = Field(description="what to do next, when the detail does not say it")
    instance: str | None = Field(default=None, description="the request, as the server's log calls it")


class ProblemResponse(Response):
    """One problem as an answer."""

    media_type = MEDIA_TYPE


def install(app: FastAPI) -> None:
    """Let every refusal, ours, FastAPI's and Starlette's, and every bug be answered with a problem."""
    app.add_exception_handler(PromptyoselfError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(Bugs)


def document_response(
    document: Document,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    request: Request | None = None,
) -> ProblemResponse:
    """Return a failure document of wire.py (`error`, `code`, `hint`, perhaps more); `status` is else its code's."""
    code, hint, error = document["code"], document["hint"], document["error"]
    kind = kinds().get(code, _WITHOUT_EXCEPTION["internal"])
    shape: Document = {
        "type": f"{TYPES_AT}#{code}",
        "title": kind.title,
        "status": status or kind.status,
        "detail": error.removesuffix(f"; {hint}"),
        **document,
    }
    request_id = getattr(request.state, "request_id", None) if request is not None else None
    if request_id is not None:
        shape["instance"] = str(request_id)
    return ProblemResponse(wire.dumps(shape), status or kind.status, headers=dict(headers or {}))


def problem_response(
    message: str,
    *,
    status: int,
    code: str,
    hint: str | None = None,
    headers: Mapping[str, str] | None = None,
    request: Request | None = None,
) -> ProblemResponse:
    """Return a refusal that no exception stands for."""
    document = wire.problem(message, code=code, hint=hint)
    return document_response(document, status=status, headers=headers, request=request)


def error_response(
    error: PromptyoselfError, *, headers: Mapping[str, str] | None = None, request: Request | None = None
) -> ProblemResponse:
    """Return what an error of our tree answers, in the words of this door."""
    document = wire.problem(for_http(error.message), code=error.code, hint=error.hint and for_http(error.hint))
    return document_response(
        document, status=error.http_status, headers={**_headers(error), **(headers or {})}, request=request
    )


def bug(error: BaseException, request: Request | None = None) -> ProblemResponse:
    """Log a bug by its kind and place, never by its words, which may hold a prompt; return the answer."""
    frames = traceback.extract_tb(error.__traceback__)[-12:]
    trace = " ".join(f"{frame.filename}:{frame.lineno}:{frame.name}" for frame in frames)
    _log.error("http.bug error=%s trace=%s", type(error).__name__, trace)
    if isinstance(error, ModuleNotFoundError):
        message = f"the module {error.name!r} is not installed"
        return problem_response(message, status=500, code="not_installed", hint=INSTALL_HINT, request=request)
    message = f"promptyoself failed in a way nobody foresaw: {type(error).__name__}"
    hint = "the server's log shows where; please report it"
    # It may have been carried out; clients of Letta's make repeat a 500 by themselves unless they are told.
    headers = {"x-should-retry": "false"}
    return problem_response(message, status=500, code="internal", hint=hint, headers=headers, request=request)


def _headers(error: PromptyoselfError) -> dict[str, str]:
    if isinstance(error, errors.Unauthenticated):
        return {"WWW-Authenticate": 'Bearer realm="promptyoself"'}
    if isinstance(error, errors.StoreBusy):
        return {"Retry-After": "1"}
    return {}


# -- what FastAPI and Starlette refuse ----------------------------------------------------------------------


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, PromptyoselfError)  # noqa: S101  as registered
    return error_response(error, request=request)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  as registered
    code = _BY_STATUS.get(error.status_code, "usage" if error.status_code < 500 else "internal")  # noqa: PLR2004
    headers = dict(error.headers or {})
    if error.status_code == 405:  # noqa: PLR2004
        headers["Allow"] = ", ".join(_allowed(request))
    message, hint = _http_words(request, error, headers)
    document = wire.problem(message, code=code, hint=hint)
    return document_response(document, status=error.status_code, headers=headers, request=request)


def _allowed(request: Request) -> list[str]:
    """Return the methods of an address: Starlette tells those of its first route alone."""
    routes = request.app.router.routes
    scopes = ({**request.scope, "method": method} for method in _METHODS)
    return [scope["method"] for scope in scopes if any(route.matches(scope)[0] is Match.FULL for route in routes)]


def _http_words(request: Request, error: HTTPException, headers: Mapping[str, str]) -> tuple[str, str | None]:
    match error.status_code:
        case 404:
            return f"there is nothing at {shown(request.url.path)}", "GET /openapi.json lists every address"
        case 405:
            return f"{shown(request.url.path)} takes no {request.method[:20]}", f"it takes {headers['Allow']}"
        case 400:
            return "the body cannot be read as JSON", "send a JSON object in UTF-8"
        case _:
            return str(error.detail), None


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  as registered
    found = list(_sentences(error.errors()))
    if any(one["type"] == "json_invalid" for one in error.errors()):
        document = wire.problem(found[0]["error"], code="usage", hint="send a JSON object in UTF-8")
        return document_response(document, request=request)
    sentence = "; ".join(dict.fromkeys(one["error"] for one in found[:_ERRORS_SHOWN_MAX]))
    document = wire.problem(sentence, code="invalid_input", errors=found[:_ERRORS_SHOWN_MAX])
    return document_response(document, request=request)


def _sentences(found: Sequence[Mapping[str, Any]]) -> Iterator[Document]:
    """Say of each mistake where it is and what is allowed, without the value: it may be a prompt."""
    for one in found:
        loc = [part for part in one["loc"] if part is not None]
        names = [str(part) for part in loc[1:] if not (loc[0] == "header" and part is None)]
        where = ".".join(name if name.isidentifier() else shown(name) for name in names)
        yield {"at": f"{loc[0]}.{where}" if where else str(loc[0]), "error": _sentence(one, where, str(loc[0]))}


_WORDS: Final = {
    "string_type": "must be text",
    "string_unicode": "is not valid Unicode text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is out of range",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "string_pattern_mismatch": "must match {pattern}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le:g} or less",
    "string_too_long": "has more than {max_length} characters",
    "string_too_short": "has fewer than {min_length} characters",
    "too_long": "has more than {max_length} items",
    "too_short": "has fewer than {min_length} items",
    "literal_error": "must be {expected}",
}


def _sentence(one: Mapping[str, Any], where: str, place: str) -> str:
    kind, context = str(one["type"]), one.get("ctx") or {}
    match kind:
        case "json_invalid":
            return "the body is not JSON"
        case "missing" if not where:
            return "the body is missing: send a JSON object"
        case "missing":
            return f"{where} is missing"
        case "unknown_key" | "said":
            return str(one["msg"])
        case "model_attributes_type" | "model_type" | "dict_type" if not where:
            return "the body must be a JSON object, sent as application/json"
    words = _WORDS.get(kind)
    said = words.format(**context) if words else f"cannot be used ({kind})"
    return f"{where or 'the ' + place} {said}"


# -- bugs ---------------------------------------------------------------------------------------------------


class Bugs:
    """Answers what nobody caught; Starlette's own handler would raise it again, and its words would reach a log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def watched(message: Message) -> None:
            nonlocal has_begun
            has_begun = has_begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:  # it hung up before it had said all, and nobody is there to be answered
            _log.debug("http.client_gone")
        except Exception as error:  # a bug is answered; half an answer is broken off
            answer = bug(error)
            if has_begun:
                raise
            await answer(scope, receive, send)
