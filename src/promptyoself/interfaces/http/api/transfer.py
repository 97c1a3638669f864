"""The routes that move schedules in and out."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal

from fastapi import APIRouter, Request
from fastapi import Query as InQuery
from pydantic import Field
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotations of routes

from promptyoself.domain import limits
from promptyoself.interfaces.http.api import answers
from promptyoself.interfaces.http.api.bodies import ExportQuery, ImportBody
from promptyoself.interfaces.http.api.routing import ApiRoute, answered, carried_out, operators_only
from promptyoself.interfaces.http.api.said import ASKS_LETTA, ONE, WITH_BODY, WRITES, said

router = APIRouter(prefix="/api/v1", tags=["transfer"], route_class=ApiRoute)


class ImportRequest(ImportBody):
    """What is imported, and how."""

    not_options: ClassVar[frozenset[str]] = frozenset({"kind", "content"})
    kind: Literal["crontab", "letta-cron", "json"] = Field(description="what wrote it; json is what `export` answers")
    content: Annotated[str, Field(max_length=limits.IMPORT_BYTES_MAX)] | dict[str, Any] = Field(
        description="the file's text, or the JSON object in it"
    )


@router.post("/import", **said("import json", answers.Imported, WITH_BODY, ASKS_LETTA, WRITES, operation="import"))
async def import_(request: Request, body: ImportRequest) -> Response:
    """Make schedules of what another program, or `export`, wrote. A dry run unless `apply` is true. For operators."""
    operators_only(request, "import")
    content = body.content if isinstance(body.content, str) else json.dumps(body.content)
    document = await carried_out(request, f"import {body.kind}", {**body.options(), "file": "-"}, content=content)
    return answered(document, request)


@router.get("/export", **said("export", answers.Exported, ONE))
async def export(request: Request, query: Annotated[ExportQuery, InQuery()]) -> Response:
    """Answer with schedules, or with their coming fires as a calendar."""
    return answered(await carried_out(request, "export", query.options()), request)
