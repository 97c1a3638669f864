"""The HTTP application: which routers and middlewares make it up.

A router's module has one function, `install(app)`: it adds its routes, and enters in `lives(app)` what has to live as
long as the application (a session of a client, a hub). It stands in `_INSTALLERS` below; a route that takes whatever
is left (a pass-through, the dashboard) stands last.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from fastapi import FastAPI

from promptyoself import __version__
from promptyoself.interfaces.http import health

if TYPE_CHECKING:
    from promptyoself.application.passes import Entry
    from promptyoself.interfaces.identity import Gatekeeper
    from promptyoself.interfaces.services import Services

Life = Callable[[FastAPI], AbstractAsyncContextManager[object]]
"""Something that begins when the application does and ends with it, in the event loop."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes need; `parts_of(app)` returns it."""

    services: Services
    gatekeeper: Gatekeeper
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the process is about to end: open streams end then, by themselves."""
    watchers: list[Callable[[Entry], None]] = field(default_factory=list)
    """Told of each delivery's progress by the engine beside, in the event loop; they must not block or raise."""


_INSTALLERS: Final[tuple[Callable[[FastAPI], None], ...]] = (health.install,)
"""What makes up the application, in the order in which routes are tried."""


def make_app(parts: Parts) -> FastAPI:
    """Return the application. Whoever runs it runs its lifespan."""
    app = FastAPI(title="promptyoself", version=__version__, docs_url=None, redoc_url=None, lifespan=_living)
    app.state.parts = parts
    app.state.lives = []
    for install in _INSTALLERS:
        install(app)
    return app


def parts_of(app: FastAPI) -> Parts:
    """Return what `make_app` was given."""
    return cast("Parts", app.state.parts)


def lives(app: FastAPI) -> list[Life]:
    """Return what lives as long as the application, entered in this order and left in the opposite one."""
    return cast("list[Life]", app.state.lives)


@asynccontextmanager
async def _living(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for life in lives(app):
            await stack.enter_async_context(life(app))
        yield
