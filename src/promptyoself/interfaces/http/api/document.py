"""The OpenAPI document: made of the routes, completed with what is the same for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Request
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotations of routes

from promptyoself import __version__
from promptyoself.interfaces.http.api.examples import ANSWERS, BODIES
from promptyoself.interfaces.http.api.routing import ApiRoute
from promptyoself.interfaces.http.problem import Problem
from promptyoself.interfaces.http.sending import Json

if TYPE_CHECKING:
    from fastapi import FastAPI

_ABOUT: Final = (
    "A durable scheduler of prompts for AI agents. Every command of the command line is a route here, with the same "
    "options and the same JSON; keys are only ever added. Refusals are problem+json with a stable `code`."
)
_TAGS: Final = {
    "schedules": "Promises: when which prompt goes to which agent",
    "deliveries": "What became of each occurrence",
    "inbox": "The mailbox of agents whose target is `inbox`",
    "rules": "Try a rule out; nothing is stored",
    "transfer": "Schedules in and out",
    "access": "Who may come in, and what agents have claimed for themselves",
    "server": "The server as a whole; mostly for operators",
}
_HEADERS: Final = {
    "Location": "the schedule's own address",
    "ETag": "stands for the schedule as it is now",
    "Idempotency-Replayed": "`true` when this request was carried out before, and nothing new was made",
    "Link": "the page behind this one, as `rel=next`",
}
_SENT: Final = {
    ("register", "201"): ("Location", "ETag", "Idempotency-Replayed"),
    ("register", "200"): ("Location", "ETag", "Idempotency-Replayed"),
    ("list", "200"): ("Link",),
    ("deliveries", "200"): ("Link",),
    **{(command, "200"): ("ETag",) for command in ("show", "update", "pause", "resume")},
    ("show", "304"): ("ETag",),
}

router = APIRouter(route_class=ApiRoute, include_in_schema=False)


@router.get("/openapi.json")
@router.get("/api/v1/openapi.json")
async def openapi(request: Request) -> Response:
    """Answer with the document; to callers with a token, as everything but health."""
    return Json(request.app.openapi())


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document, made when it is first asked for."""
    if app.openapi_schema is None:
        app.openapi_schema = _completed(
            get_openapi(
                title="promptyoself",
                version=__version__,
                description=_ABOUT,
                routes=app.routes,
                tags=[{"name": name, "description": words} for name, words in _TAGS.items()],
            )
        )
    return app.openapi_schema


def _completed(made: dict[str, Any]) -> dict[str, Any]:
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas[Problem.__name__] = Problem.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "a token that `promptyoself token create` showed"}
    }
    made["security"] = [{"bearer": []}]
    for path in made["paths"].values():
        for operation in path.values():
            _complete(operation)
    return made


def _complete(operation: dict[str, Any]) -> None:
    name = operation.get("operationId", "")
    for status, answer in operation["responses"].items():
        sent = _SENT.get((name, status), ())
        if sent:
            answer["headers"] = {one: {"description": _HEADERS[one], "schema": {"type": "string"}} for one in sent}
        if status.startswith("2") and name in ANSWERS:
            answer["content"]["application/json"]["example"] = ANSWERS[name]
    body = operation.get("requestBody")
    if body is not None and name in BODIES:
        body["content"]["application/json"]["examples"] = BODIES[name]
