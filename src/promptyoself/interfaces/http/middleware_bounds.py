"""How much one request may bring, how long it may take, and how many may be at work at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from promptyoself.domain import limits
from promptyoself.interfaces.http.problem import problem_response

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Room(NamedTuple):
    """What a request to some path may take."""

    body_bytes: int
    body_for: timedelta
    """How long its body may be on the way."""
    answer_for: timedelta | None
    """How long it may be from the first byte until its answer begins; None: as long as Letta takes."""


_USUAL: Final = Room(limits.BODY_BYTES_MAX, limits.BODY_FOR, limits.ANSWER_FOR)
_LARGE: Final = Room(limits.LARGE_BODY_BYTES_MAX, limits.LARGE_BODY_FOR, limits.LARGE_ANSWER_FOR)
ROOMS: Final = {
    "/api/v1/schedules/bulk": _LARGE,
    "/api/v1/import": _LARGE,
    "/api/v1/execute": Room(limits.BODY_BYTES_MAX, limits.BODY_FOR, limits.LARGE_ANSWER_FOR),
    "/v1/": Room(limits.PASSED_BODY_BYTES_MAX, limits.LARGE_BODY_FOR, None),
}
"""By the beginning of the path; all others have the usual."""
_STREAM: Final = b"text/event-stream"


def room_of(path: str) -> Room:
    """Return what a request to `path` may take."""
    return next((room for beginning, room in ROOMS.items() if path.startswith(beginning)), _USUAL)


class Bounds:
    """Keeps each request within its bounds, and refuses what is beyond."""

    def __init__(self, app: ASGIApp, *, rooms: Callable[[str], Room] = room_of) -> None:
        self._app = app
        self._rooms = rooms
        self._at_work = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._at_work >= limits.REQUESTS_AT_WORK_MAX:
            await _busy()(scope, receive, send)
        else:
            self._at_work += 1
            bounded = _Bounded(scope, receive, send, self._rooms(scope["path"]), self._leave)
            try:
                await bounded.run(self._app)
            finally:
                bounded.leave()

    def _leave(self) -> None:
        self._at_work -= 1


class _Bounded:
    """One request on its way."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, room: Room, leave: Callable[[], None]) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._room = room
        self._leave: Callable[[], None] | None = leave
        self._seen = 0
        self._is_begun = False
        self._refusal: Response | None = None
        self._answering: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._begun_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._until_s: float | None = None
        """When its time ends (of the loop); None: it has as long as it likes. The timer rings then, or before."""
        self._refuse: Callable[[], Response] = _timed_out
        self._task = asyncio.current_task()

    async def run(self, app: ASGIApp) -> None:
        """Let the application answer, or answer in its place."""
        announced = _announced(self._scope)
        if announced is not None and announced > self._room.body_bytes:
            self._refusal = _too_large(self._room.body_bytes)
            await self._answer()
            return
        if announced == 0:
            self._expect_answer()
        else:
            self._expire_after(self._room.body_for, _too_slow)
        try:
            await app(self._scope, self._bounded_receive, self._bounded_send)
        except asyncio.CancelledError:
            if self._task is None or self._refusal is None:
                raise
            self._task.uncancel()  # it was this request's time that ended, and nothing else
        except Exception:
            if self._refusal is None or self._is_begun:
                raise  # else: it stumbled over the body that was cut off
        finally:
            self._stop_timer()
        if self._answering is not None:
            await self._answering
        elif self._refusal is not None and not self._is_begun:
            await self._answer()

    def leave(self) -> None:
        """Count it out, once: at its end, or when it has become a stream."""
        if self._leave is not None:
            self._leave()
            self._leave = None

    async def _bounded_receive(self) -> Message:
        if self._refusal is not None:
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            if self._seen > self._room.body_bytes:
                self._refusal = _too_large(self._room.body_bytes)
                return {"type": "http.disconnect"}
            if not message.get("more_body", False) and not self._is_begun:
                self._expect_answer()
        return message

    async def _bounded_send(self, message: Message) -> None:
        if self._refusal is not None and not self._is_begun:
            return  # another answer goes out in its place
        if message["type"] == "http.response.start":
            self._is_begun = True
            self._until_s = None
            if any(key.lower() == b"content-type" and value.startswith(_STREAM) for key, value in message["headers"]):
                self.leave()
            elif self._room.answer_for is not None:
                self._expire_after(limits.SENDING_FOR, _too_slow, from_now=True)
        await self._send(message)

    # -- time -----------------------------------------------------------------------------------------------

    def _expect_answer(self) -> None:
        self._until_s = None
        if self._room.answer_for is not None:
            self._expire_after(self._room.answer_for, _timed_out)

    def _expire_after(self, time: timedelta, refuse: Callable[[], Response], *, from_now: bool = False) -> None:
        begun_s = self._loop.time() if from_now else self._begun_s
        self._until_s, self._refuse = begun_s + time.total_seconds(), refuse
        if self._timer is not None and self._timer.when() > self._until_s:
            self._stop_timer()
        if self._timer is None:
            self._timer = self._loop.call_at(self._until_s, self._ring)

    def _ring(self) -> None:
        """End it, unless it has got more time since the timer was set: most get it twice, and need none of it."""
        self._timer = None
        if self._until_s is None:
            return
        if self._loop.time() < self._until_s:
            self._timer = self._loop.call_at(self._until_s, self._ring)
        else:
            self._expire()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._until_s = None
        if self._refusal is None:
            self._refusal = self._refuse()
        if not self._is_begun and self._answering is None:
            # At once: what the application does in a thread cannot be broken off, and nobody waits for it any longer.
            self._answering = asyncio.ensure_future(self._answer())
        if self._task is not None:
            self._task.cancel()

    # -- refusals -------------------------------------------------------------------------------------------

    async def _answer(self) -> None:
        assert self._refusal is not None  # noqa: S101  set by the callers
        if self._refusal.status_code == _TOO_LARGE:
            await self._drain()
        await self._refusal(self._scope, self._receive, self._send)

    async def _drain(self) -> None:
        """Read what is still on the way, within bounds: who is cut off while sending never sees why."""
        drained = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(limits.DRAIN_FOR.total_seconds()):
                while drained < limits.DRAIN_BYTES_MAX:
                    message = await self._receive()
                    if message["type"] != "http.request" or not message.get("more_body", False):
                        return
                    drained += len(message.get("body", b""))


_TOO_LARGE: Final = 413
_CLOSE: Final = {"Connection": "close"}


def _announced(scope: Scope) -> int | None:
    """Return the bytes that the headers announce, None when the body says itself where it ends."""
    length = None
    for key, value in scope["headers"]:
        if key == b"transfer-encoding":
            return None
        if key == b"content-length":
            length = value
    return int(length) if length is not None and length.isdigit() else 0


def _too_large(most: int) -> Response:
    return problem_response(
        f"the body is larger than the {most} bytes that this address takes",
        status=_TOO_LARGE,
        code="too_large",
        hint="send less at once",
        headers=_CLOSE,
    )


def _too_slow() -> Response:
    return problem_response(
        "the request's body did not come in time", status=408, code="too_slow", hint="send it again", headers=_CLOSE
    )


def _timed_out() -> Response:
    return problem_response(
        "the answer took too long; it may be carried out all the same",
        status=503,
        code="timed_out",
        hint="look before you repeat it, or ask for less",
        headers={**_CLOSE, "Retry-After": "5"},
    )


def _busy() -> Response:
    return problem_response(
        "too many requests are at work",
        status=503,
        code="busy",
        hint="ask again in a second",
        headers={"Retry-After": "1"},
    )
