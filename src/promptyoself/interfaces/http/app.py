"""The HTTP application: which routers and middlewares make it up."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fastapi import FastAPI

from promptyoself import __version__

if TYPE_CHECKING:
    from promptyoself.interfaces.identity import Gatekeeper
    from promptyoself.interfaces.services import Services


class Parts(NamedTuple):
    """What the routes need; `app.state.parts` holds it."""

    services: Services
    gatekeeper: Gatekeeper


def make_app(parts: Parts) -> FastAPI:
    """Return the application. Whoever runs it runs its lifespan."""
    app = FastAPI(title="promptyoself", version=__version__, docs_url=None, redoc_url=None)
    app.state.parts = parts
    return app
