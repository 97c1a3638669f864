"""Puts the routes of /api/v1 into the application."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from promptyoself.interfaces.door import Door
from promptyoself.interfaces.http.api import access, deliveries, document, rules, schedules, server, transfer
from promptyoself.interfaces.http.parts import parts_of

if TYPE_CHECKING:
    from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Add the routes."""
    app.openapi = partial(document.document, app)  # type: ignore[method-assign]  # as FastAPI wants it replaced
    app.state.api_door = Door(parts_of(app).services, name="http")
    for one in (schedules, deliveries, rules, server, transfer, access, document):
        app.include_router(one.router)
