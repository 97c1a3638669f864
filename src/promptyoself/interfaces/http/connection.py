"""One connection: what uvicorn does with it, and bounds on what comes before a request is understood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from promptyoself.domain import limits
from promptyoself.interfaces.http.problem import problem_response

if TYPE_CHECKING:
    import asyncio

_NOT_HTTP: Final = problem_response(
    "the request is not HTTP/1.1, or its headers are too long",
    status=400,
    code="usage",
    hint=f"line and headers have {limits.REQUEST_HEAD_BYTES_MAX} bytes at most",
)


class Connection(H11Protocol):
    """Lets nobody hold a connection without sending a request, nor more of them than there may be."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to wait for a request; close at once where too many are open."""
        super().connection_made(transport)
        if len(self.connections) > limits.CONNECTIONS_MAX:
            transport.abort()
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take what came in; a request that has begun has to be understood in time."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._disarm()
        elif self._head_timer is None:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._disarm()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, as every refusal is written."""
        del msg  # uvicorn's words; ours say what to do
        headers = [*_NOT_HTTP.raw_headers, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=bytes(_NOT_HTTP.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(limits.HEAD_FOR.total_seconds(), self._give_up)

    def _give_up(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _disarm(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
