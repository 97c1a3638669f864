"""What the routes of one application share, and what lives as long as it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from promptyoself.interfaces.http.reach import Reach

if TYPE_CHECKING:
    from fastapi import FastAPI

    from promptyoself.application.passes import Entry
    from promptyoself.interfaces.http.middleware_pace import Pace
    from promptyoself.interfaces.http.traffic import Traffic
    from promptyoself.interfaces.identity import Gatekeeper
    from promptyoself.interfaces.services import Services

Life = Callable[["FastAPI"], AbstractAsyncContextManager[object]]
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
    reach: Reach = field(default_factory=Reach)
    """By which names the service may be called."""
    delivers: bool = True
    """Whether the engine runs beside; False where other processes deliver."""


def parts_of(app: FastAPI) -> Parts:
    """Return what `make_app` was given."""
    return cast("Parts", app.state.parts)


def pace_of(app: FastAPI) -> Pace:
    """Return what is known of the callers' rates."""
    return cast("Pace", app.state.pace)


def traffic_of(app: FastAPI) -> Traffic:
    """Return what was counted of requests."""
    return cast("Traffic", app.state.traffic)


def lives(app: FastAPI) -> list[Life]:
    """Return what lives as long as the application, entered in this order and left in the opposite one."""
    return cast("list[Life]", app.state.lives)
