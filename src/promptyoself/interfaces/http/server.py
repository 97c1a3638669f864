"""uvicorn, as one task of an event loop that it shares with the engine."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from promptyoself.domain import limits
from promptyoself.interfaces.http.connection import Connection

if TYPE_CHECKING:
    from fastapi import FastAPI

    from promptyoself.interfaces.http.listening import Listening


class DoorsFailed(RuntimeError):
    """The application did not start; the log says why."""


async def keep_open(app: FastAPI, listening: Listening, stopping: asyncio.Event) -> None:
    """Answer at the socket until `stopping` is set, then let requests finish, DOORS_STOP_FOR at most; close it.

    Raises DoorsFailed when a part of the application cannot be started.
    """
    server = _Server(_config(app, listening))
    # What is there by now stays until the end: looking through it for garbage took a tenth of a creation's time.
    gc.collect()
    gc.freeze()
    heeding = asyncio.ensure_future(_heed(stopping, server))
    try:
        await server.serve(sockets=[listening.socket])
    except SystemExit as exc:  # uvicorn's way of saying that the lifespan failed, having logged it
        raise DoorsFailed("the HTTP application could not be started") from exc
    finally:
        heeding.cancel()
        listening.socket.close()


class _Server(uvicorn.Server):
    """A server that leaves signals to the process: they are the engine's as well."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(app: FastAPI, listening: Listening) -> uvicorn.Config:
    cert, key = listening.tls or (None, None)
    return uvicorn.Config(
        app,
        lifespan="on",
        # Its parser is the strict one, whatever else is installed, and keeps to the bounds.
        http=Connection,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # Whoever comes through a proxy is the proxy's: what it says of others' addresses is not believed.
        proxy_headers=False,
        ssl_certfile=cert,
        ssl_keyfile=key,
        timeout_keep_alive=int(limits.KEEP_ALIVE_FOR.total_seconds()),
        timeout_graceful_shutdown=int(limits.DOORS_STOP_FOR.total_seconds()),
        h11_max_incomplete_event_size=limits.REQUEST_HEAD_BYTES_MAX,
    )


async def _heed(stopping: asyncio.Event, server: uvicorn.Server) -> None:
    await stopping.wait()
    server.should_exit = True
