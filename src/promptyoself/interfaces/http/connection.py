"""One connection: what uvicorn does with it, and bounds on what comes before a request is understood."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from promptyoself.domain import limits
from promptyoself.interfaces.http.plain import Head, PlainCycle, read_head
from promptyoself.interfaces.http.problem import problem_response

if TYPE_CHECKING:
    from uvicorn._types import HTTPScope

_NOT_HTTP: Final = problem_response(
    "the request is not HTTP/1.1, or its headers are too long",
    status=400,
    code="usage",
    hint=f"line and headers have {limits.REQUEST_HEAD_BYTES_MAX} bytes at most",
)


class Connection(H11Protocol):
    """Lets nobody hold a connection without sending a request, nor more of them than there may be.

    Plain requests it reads and answers itself; h11 then hears nothing of them, and stays where a request may begin.
    """

    _head_timer: asyncio.TimerHandle | None = None
    _plain: PlainCycle | None = None
    """The plain request that is at work, or whose body is still to come though it is answered."""
    _held: bytes = b""
    """What came behind it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to wait for a request; close at once where too many are open."""
        super().connection_made(transport)
        if len(self.connections) > limits.CONNECTIONS_MAX:
            transport.abort()
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take what came in; a request that has begun has to be understood in time."""
        if self._plain is not None:
            self._unset_keepalive_if_required()
            if self._plain.response_complete and self._head_timer is None:
                self._await_head()  # the rest of a body that nobody reads may not take for ever
            self._go_on(self._plain, data)
            return
        head = read_head(data) if self._may_begin() else None
        if head is not None:
            self._unset_keepalive_if_required()
            self._disarm()
            self._begin(head, data)
            return
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

    # -- plain requests -------------------------------------------------------------------------------------

    def _may_begin(self) -> bool:
        """Return whether h11 stands where a request may begin, and has nothing of one."""
        return self.conn.their_state is h11.IDLE and self.conn.our_state is h11.IDLE and not self.conn.trailing_data[0]

    def _begin(self, head: Head, data: bytes) -> None:
        raw_path, _, query_string = head.target.partition(b"?")
        self.headers = head.headers
        self.scope = scope = self._scope(head.method, raw_path, query_string)
        self.cycle = self._plain = cycle = PlainCycle(
            scope=scope,
            conn=self.conn,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            on_response=self._end_plain,
            head=head,
            on_difficult=self._show_h11,
        )
        cycle.seen += data[: head.size]
        task = self.loop.create_task(cycle.run_asgi(self.app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)
        self._go_on(cycle, data[head.size :])

    def _scope(self, method: str, raw_path: bytes, query_string: bytes) -> HTTPScope:
        return {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "method": method,
            "root_path": self.root_path,
            "path": self.root_path + unquote(raw_path.decode("ascii")),
            "raw_path": self.root_path.encode("ascii") + raw_path,
            "query_string": query_string,
            "headers": self.headers,
            "state": self.app_state.copy(),
        }

    def _go_on(self, cycle: PlainCycle, data: bytes) -> None:
        """Take what belongs to the request's body, and hold what comes behind it until it is answered."""
        left = cycle.left
        if data or not left:
            cycle.feed(data[:left])
        if len(data) > left:
            self._held += data[left:]
            self.flow.pause_reading()
        if cycle.response_complete:
            self._end_of_both(cycle)

    def _end_plain(self) -> None:
        """Wait for the next request: uvicorn's way, and on with what is held."""
        super().on_response_complete()
        if self._plain is not None:
            self._end_of_both(self._plain)

    def _end_of_both(self, cycle: PlainCycle) -> None:
        """Go on with what is held once a request is answered and has come as a whole."""
        if cycle.left:
            return
        self._plain = None
        held, self._held = self._held, b""
        if held and not self.transport.is_closing():
            self.flow.resume_reading()
            self.data_received(held)

    def _show_h11(self) -> None:
        """Let h11 see what has come of the request at work, since it is to write the answer; it goes on from there."""
        cycle, self._plain = self._plain, None
        assert cycle is not None  # noqa: S101  it asks for this
        self.conn.receive_data(bytes(cycle.seen))
        event: object = None
        while event is not h11.NEED_DATA and event is not h11.PAUSED:
            event = self.conn.next_event()
        held, self._held = self._held, b""
        if held:
            self.conn.receive_data(held)

    # -- time -----------------------------------------------------------------------------------------------

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
