"""What a node answers while its database is not open yet: that it lives, and is not ready.

A load balancer, or a person with curl, would else be let in by the system and hear nothing.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from types import TracebackType
from typing import Final, Self

from promptyoself.domain import limits
from promptyoself.domain.errors import StoreUnreachable
from promptyoself.interfaces import wire
from promptyoself.interfaces.small_server import Answer, SmallServer, word

_SAID: Final = "the service is starting, and its database is not open yet"
_HINT: Final = "it is tried for a minute, and then by whoever starts this node again; its log says what keeps it"
_UNREADY: Final = Answer(
    503,
    "application/json",
    wire.dumps(
        {
            "status": "unready",
            # To everybody: no token can be looked up, so neither the database's place nor its words are told.
            "checks": [
                {"name": "database", "result": "fail", "found": "it is not open yet", "cure": _HINT},
            ],
        }
    ).encode(),
)

WORKER: Final = word(503, "unready")
"""What a worker says at every other address."""


def not_yet() -> Answer:
    """Return what a service says at every other address: a problem as interfaces/http has them, made without it."""
    title = (StoreUnreachable.__doc__ or "").partition("\n")[0].rstrip(".")
    problem = {
        "type": f"/api/v1/errors#{StoreUnreachable.code}",
        "title": title,
        "status": StoreUnreachable.http_status,
        "detail": _SAID,
        **wire.problem(_SAID, code=StoreUnreachable.code, hint=_HINT),
    }
    again = f"Retry-After: {limits.POSTGRES_START_AGAIN.total_seconds():.0f}"
    return Answer(StoreUnreachable.http_status, "application/problem+json", wire.dumps(problem).encode(), (again,))


class Anteroom:
    """Answers at a socket from `with` to its end, in a thread; the socket stays open for whoever comes after."""

    def __init__(self, listening: socket.socket, *, otherwise: Answer, tls: ssl.SSLContext | None = None) -> None:
        """`otherwise` is said at all addresses but /healthz and /readyz."""
        self._listening = listening
        self._otherwise = otherwise
        self._tls = tls
        self._thread = threading.Thread(target=lambda: asyncio.run(self._answer()), name="anteroom", daemon=True)
        self._has_begun = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._has_begun.wait(limits.THREADS_END_FOR.total_seconds())
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(limits.THREADS_END_FOR.total_seconds())

    async def _answer(self) -> None:
        server = SmallServer(self._answer_to)
        self._loop = asyncio.get_running_loop()
        try:
            # A second handle on the same queue of callers: closing it closes nothing for those who come after.
            await server.open(self._listening.dup(), tls=self._tls)
        finally:
            self._has_begun.set()
        await self._stopping.wait()
        await server.close()

    async def _answer_to(self, _method: str, path: str) -> Answer:
        match path:
            case "/healthz":
                return word(200, "ok")
            case "/readyz":
                return _UNREADY
            case _:
                return self._otherwise
