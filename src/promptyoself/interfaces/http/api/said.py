"""What the OpenAPI document says of a route: the command it carries out, what it answers, and how it may refuse."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from promptyoself.interfaces.commands import find_command
from promptyoself.interfaces.http.api.answers import Shape
from promptyoself.interfaces.http.problem import MEDIA_TYPE, Problem
from promptyoself.interfaces.http.wording import keys_said

ALWAYS: Final = (400, 401, 403, 422, 429, 500, 503)
"""How any request may be refused: by its form, its sender, the limits, or a server in trouble."""
WITH_BODY: Final = (408, 413, 415)
WRITES: Final = (507,)
ONE: Final = (404,)
CHANGES: Final = (404, 409, 412, 507)
ASKS_LETTA: Final = (502,)
_SUMMARIES: Final = {
    "register-all": "Make up to 10,000 schedules in one request, all or none",
    "update": "Change what you name of a schedule and leave the rest; null clears what can be cleared",
    "pause": "Pause a schedule",
    "resume": "Resume a paused schedule",
    "pause-all": "Stop every delivery at once, and leave the schedules as they are",
    "resume-all": "Let all deliveries go on",
    "execute": "Deliver what is due: one pass, one attempt for each due delivery",
    "db-backup": "Copy the database, consistent, while it is in use, to a file beside it",
    "import": "Make schedules of a crontab, of Letta Code's crons, or of what `export` wrote",
    "errors": "List every error code, its status and what it means",
}
"""Where a command has several routes, or its help speaks of files and options that HTTP has not."""


def said(
    command: str,
    shape: type[Shape],
    *refusals: tuple[int, ...],
    status: int = 200,
    operation: str | None = None,
    answers: dict[int, type[Shape] | None] | None = None,
) -> dict[str, Any]:
    """Return what describes a route, as arguments of a router's method. `answers` are further successes."""
    found = find_command(command)
    assert found is not None, command  # noqa: S101  routes name commands that exist
    summary, _, rest = keys_said(found.help).partition(". ")
    name = operation or command
    return {
        "operation_id": name,
        "summary": _SUMMARIES.get(name, summary.rstrip(".")),
        "description": rest or None,
        "status_code": status,
        "response_model": shape,
        "responses": {
            **problems(*ALWAYS, *(one for several in refusals for one in several)),
            **{other: _other(other, model) for other, model in (answers or {}).items()},
        },
        "response_description": _described(shape),
    }


def _other(status: int, shape: type[Shape] | None) -> dict[str, Any]:
    if shape is None:
        return {"description": HTTPStatus(status).phrase}
    return {"model": shape, "description": _described(shape)}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of refusals with these statuses."""
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in sorted(set(statuses))
    }


def _described(shape: type[Shape]) -> str:
    return (shape.__doc__ or shape.__name__).partition("\n")[0].rstrip(".")
