"""Puts the routes of /api/v1 into the application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptyoself.interfaces.door import Door
from promptyoself.interfaces.http.api import schedules
from promptyoself.interfaces.http.parts import parts_of

if TYPE_CHECKING:
    from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Add the routes."""
    app.state.api_door = Door(parts_of(app).services, name="http")
    app.include_router(schedules.router)
