"""`POST /api/v1/schedules/bulk`: up to 10,000 schedules in one request, all or none.

The body goes to the command as it came, so that nothing of it is read on the event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotations of routes

from promptyoself.domain import limits
from promptyoself.domain.errors import UsageError
from promptyoself.interfaces.http.api.answers import RegisteredAll
from promptyoself.interfaces.http.api.headers import IdempotencyKey
from promptyoself.interfaces.http.api.routing import ApiRoute, answered, carried_out, is_json
from promptyoself.interfaces.http.api.said import ASKS_LETTA, WITH_BODY, WRITES, said
from promptyoself.interfaces.http.problem import problem_response

if TYPE_CHECKING:
    from fastapi import FastAPI

router = APIRouter(prefix="/api/v1", tags=["schedules"], route_class=ApiRoute)
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["schedules"],
                    "additionalProperties": False,
                    "properties": {
                        "schedules": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": limits.BULK_SCHEDULES_MAX,
                            "items": {"$ref": "#/components/schemas/RegisterBody"},
                        }
                    },
                },
                "example": {
                    "schedules": [
                        {"agent_id": "agent-1", "prompt": "Look over the notes.", "cron": "0 9 * * mon-fri"},
                        {"agent_id": "agent-1", "prompt": "Stretch.", "every": "1h", "key": "stretch"},
                    ]
                },
            }
        },
    }
}


def install(app: FastAPI) -> None:
    """Add the route, before those that take an id in its place."""
    app.include_router(router)


@router.post(
    "/schedules/bulk",
    **said("register-all", RegisteredAll, WITH_BODY, ASKS_LETTA, (404, 409), WRITES),
    openapi_extra=_BODY,
)
async def register_all(request: Request, idempotency_key: IdempotencyKey = None) -> Response:
    """Make many schedules, or none."""
    if not is_json(request):
        return problem_response(
            "the body must be JSON",
            status=415,
            code="unsupported_media_type",
            hint="send it with Content-Type: application/json",
            request=request,
        )
    try:
        text = (await request.body()).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError("the body is no UTF-8 text", hint="send a JSON object in UTF-8") from error
    document = await carried_out(request, "register-all", {"idempotency_key": idempotency_key}, content=text)
    headers = {"Idempotency-Replayed": "true"} if document.get("replayed") else {}
    return answered(document, request, headers=headers)
