"""What the application takes in of Letta's: the schedule routes, then the passage for whatever is left below /v1."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.routing import Route

from promptyoself.interfaces.door import Door
from promptyoself.interfaces.http.letta.passage import Passage
from promptyoself.interfaces.http.letta.paths import PREFIX
from promptyoself.interfaces.http.letta.reception import Reception
from promptyoself.interfaces.http.letta.repeats import Repeats
from promptyoself.interfaces.http.letta.schedule_routes import Desk, routes
from promptyoself.interfaces.http.parts import lives, parts_of

if TYPE_CHECKING:
    from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Add both, and let the passage's connections live as long as the application."""
    parts = parts_of(app)
    reception = Reception(parts.gatekeeper)
    passage = Passage(parts.services.letta_url, reception)
    desk = Desk(Door(parts.services, name="letta"), reception, Repeats(parts.services.clock))
    app.router.routes.extend(routes(desk))
    for path in (PREFIX, PREFIX + "/{rest:path}"):
        app.router.routes.append(Route(path, passage, include_in_schema=False))

    @asynccontextmanager
    async def open_passage(_app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await passage.close()

    lives(app).append(open_passage)
