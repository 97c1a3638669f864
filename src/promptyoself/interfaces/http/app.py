"""The HTTP application: which routers and middlewares make it up.

A router's module has one function, `install(app)`: it adds its routes, and appends to `lives(app)` (parts.py) what has
to live as long as the application (a session of a client, a hub). It stands in `_INSTALLERS` below; a route that takes
whatever is left (a pass-through, the dashboard) stands last.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from fastapi import FastAPI

from promptyoself import __version__
from promptyoself.interfaces.http import bulk, dashboard, events, feed, health, metrics, middleware, problem
from promptyoself.interfaces.http.api import install as api
from promptyoself.interfaces.http.api import shortcut
from promptyoself.interfaces.http.letta import routes as letta
from promptyoself.interfaces.http.middleware_pace import LearningGatekeeper, Pace
from promptyoself.interfaces.http.parts import Life, Parts, lives, parts_of
from promptyoself.interfaces.http.traffic import Traffic
from promptyoself.interfaces.mcp import http as mcp

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Life", "Parts", "lives", "make_app", "parts_of"]

_INSTALLERS: Final[tuple[Callable[[FastAPI], None], ...]] = (
    shortcut.install,
    problem.install,
    health.install,
    metrics.install,
    bulk.install,
    api.install,
    events.install,
    feed.install,
    dashboard.install,
    mcp.install,
    letta.install,
)
"""What makes up the application, in the order in which routes are tried."""


def make_app(parts: Parts) -> FastAPI:
    """Return the application. Whoever runs it runs its lifespan."""
    app = Application(title="promptyoself", version=__version__, openapi_url=None, lifespan=_living)
    app.state.pace = pace = Pace(parts.services.clock)
    app.state.parts = replace(parts, gatekeeper=LearningGatekeeper(parts.gatekeeper, pace))
    app.state.traffic = Traffic()
    app.state.lives = []
    for install in _INSTALLERS:
        install(app)
    middleware.wrap(app)
    return app


class Application(FastAPI):
    """FastAPI with our middlewares around all of it.

    Where FastAPI puts them, four layers of its own stand before them, which no plain creation needs (api/shortcut.py).
    """

    _around: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live."""
        if self._around is None:
            self._around = super().__call__
            for layer, args, given in reversed(self.user_middleware):
                self._around = layer(self._around, *args, **given)
        scope["app"] = self
        await self._around(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        """Return what FastAPI itself puts around the routes, and within it what answers their bugs before it does."""
        ours = self.user_middleware
        self.user_middleware = [layer for layer in ours if cast("object", layer.cls) is problem.Bugs]
        try:
            return super().build_middleware_stack()
        finally:
            self.user_middleware = ours


@asynccontextmanager
async def _living(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        stack.push_async_callback(parts_of(app).gatekeeper.close)
        for life in lives(app):
            await stack.enter_async_context(life(app))
        yield
