"""The routes about the server as a whole: its switch, its passes, Letta, checks, settings and the database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotations of routes

from promptyoself.domain.errors import Conflict, InvalidInput
from promptyoself.interfaces.http.api import answers
from promptyoself.interfaces.http.api.bodies import ExecuteBody, PauseAllBody, ResumeAllBody, UpgradeBody, UploadBody
from promptyoself.interfaces.http.api.forms import Form
from promptyoself.interfaces.http.api.routing import ApiRoute, answered, carried_out, door_of, operators_only
from promptyoself.interfaces.http.api.said import ASKS_LETTA, WITH_BODY, WRITES, said
from promptyoself.interfaces.http.problem import kinds
from promptyoself.interfaces.http.sending import Json

router = APIRouter(prefix="/api/v1", tags=["server"], route_class=ApiRoute)
_BACKUP_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\.(db|sqlite)$"


class BackupBody(Form):
    """Where a backup goes: beside the database, and nowhere else."""

    to: Annotated[str, Field(pattern=_BACKUP_NAME)] = Field(
        description="the new file's name, ending in .db or .sqlite; it is made in the database's own folder",
        examples=["promptyoself-backup.db"],
    )


@router.post("/pause", **said("pause", answers.ChangedAll, WITH_BODY, WRITES, operation="pause-all"))
async def pause_all(request: Request, body: PauseAllBody | None = None) -> Response:
    """Stop all deliveries. For operators."""
    options = body.options() if body is not None else {}
    return answered(await carried_out(request, "pause", {**options, "all": True}), request)


@router.post("/resume", **said("resume", answers.ChangedAll, WITH_BODY, WRITES, operation="resume-all"))
async def resume_all(request: Request, body: ResumeAllBody | None = None) -> Response:
    """Let deliveries go on. For operators."""
    options = body.options() if body is not None else {}
    return answered(await carried_out(request, "resume", {**options, "all": True}), request)


@router.post("/execute", **said("execute", answers.Executed, WITH_BODY, ASKS_LETTA, WRITES))
async def execute(request: Request, body: ExecuteBody | None = None) -> Response:
    """Make one pass, beside the engine that runs. For operators: it delivers everybody's prompts."""
    operators_only(request, "execute")
    return answered(await carried_out(request, "execute", body.options() if body is not None else {}), request)


@router.get("/test", **said("test", answers.Tested, ASKS_LETTA))
async def test(request: Request) -> Response:
    """Ask Letta whether it answers."""
    return answered(await carried_out(request, "test", {}), request)


@router.get("/agents", **said("agents", answers.Agents, ASKS_LETTA))
async def agents(request: Request) -> Response:
    """List Letta's agents."""
    return answered(await carried_out(request, "agents", {}), request)


@router.post("/tools", **said("upload", answers.Uploaded, WITH_BODY, ASKS_LETTA))
async def upload(request: Request, body: UploadBody) -> Response:
    """Store a tool at Letta. For operators."""
    return answered(await carried_out(request, "upload", body.options()), request)


@router.get("/doctor", **said("doctor", answers.Doctor))
async def doctor(request: Request) -> Response:
    """Make every check. For operators: it reads the whole database."""
    operators_only(request, "doctor")
    return answered(await carried_out(request, "doctor", {}), request)


@router.get("/config", **said("config", answers.Config))
async def config(request: Request) -> Response:
    """Print every setting. For operators: it tells where things are on this machine."""
    operators_only(request, "config")
    return answered(await carried_out(request, "config", {}), request)


@router.post("/db/upgrade", **said("db upgrade", answers.Upgraded, WITH_BODY, WRITES, operation="db-upgrade"))
async def db_upgrade(request: Request, body: UpgradeBody | None = None) -> Response:
    """Say that the database is at this version's schema. For operators."""
    return answered(await carried_out(request, "db upgrade", body.options() if body is not None else {}), request)


@router.post(
    "/db/backup", **said("db backup", answers.BackedUp, WITH_BODY, (409,), WRITES, status=201, operation="db-backup")
)
async def db_backup(request: Request, body: BackupBody) -> Response:
    """Copy the database beside itself. For operators."""
    operators_only(request, "db backup")
    place = Path(door_of(request).services.beside)
    if not place.is_absolute():
        raise InvalidInput("this database is in memory alone, and has no folder for a copy")
    if place.with_name(body.to).exists():
        raise Conflict(f"{body.to} is there already, and is not replaced", hint="choose another name")
    document = await carried_out(request, "db backup", {"to": str(place.with_name(body.to))})
    return answered(document, request, status=201)


@router.get("/errors", **said("doctor", answers.Errors, operation="errors"))
async def errors(_request: Request) -> Response:
    """Say what each error code stands for."""
    found = [{"code": code, "status": kind.status, "title": kind.title} for code, kind in kinds().items()]
    return Json({"status": "success", "errors": found})
