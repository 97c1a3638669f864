"""One connection a node, for what comes by itself: other nodes' commits (LISTEN), and the database's time.

A thread holds it, so that neither the event loop nor a door waits for it, and makes it anew when it breaks: quickly at
first, then once a second. While it is broken nothing is told; once it is back, everybody is told that something may
have happened, and looks.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from promptyoself.domain import limits
from promptyoself.domain.errors import StoreError
from promptyoself.storage.postgres_queries import placed

_log = logging.getLogger(__name__)

News = Callable[[str], None]
"""Told of a notification's payload, in the link's thread; an empty text: something may have been missed.

It never raises."""
Ask = Callable[[], datetime]

_RETRY_FIRST_S: Final = 0.05
_CONNECTED_AS: Final = {
    "application_name": "promptyoself link",
    "connect_timeout": str(round(limits.LINK_CONNECT_FOR.total_seconds())),
    # A host that vanished answers nothing: without these its silence would be taken for peace, for hours.
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    # What it writes is no promise, and it waits for nobody: news come on it.
    "options": "-c synchronous_commit=off -c lock_timeout=200",
    "tcp_user_timeout": str(round(limits.LINK_SILENT_FOR.total_seconds() * 1000)),
}


class PostgresLink:
    """Listens from `start` to `close`. `measure` is given a way to ask the database's time, and asks it at once."""

    def __init__(
        self,
        url: str,
        *,
        measure: Callable[[Ask], None],
        monotonic: Callable[[], float],
        executor_id: str | None = None,
        clock_off: Callable[[], timedelta | None] = lambda: None,
    ) -> None:
        """`clock_off`: how far the host's clock is ahead of the database's; the executor's row tells the others."""
        self._url = url
        self._measure = measure
        self._monotonic = monotonic
        self._executor_id = executor_id
        self._clock_off = clock_off
        self._noted: timedelta | None = None
        self._acts: dict[str, list[News]] = {}
        self._is_closed = False
        self._measured = threading.Condition()
        self._measurements = 0
        self._is_wanted = False
        self._wakened, self._waker = os.pipe()
        for end in (self._wakened, self._waker):
            os.set_blocking(end, False)
        self._thread = threading.Thread(target=self._run, name="promptyoself-link", daemon=True)
        self.is_up = False
        """Whether the connection stands, as far as is known."""

    def listen(self, channel: str, act: News) -> None:
        """Have `act` told of this channel's notifications. Before `start`."""
        self._acts.setdefault(channel, []).append(act)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def measure_soon(self) -> None:
        """Have the time measured; return when it was, or after CLOCK_MEASURE_FOR; at once in the link's own thread."""
        if threading.current_thread() is self._thread or not self.is_up:
            return
        with self._measured:
            before = self._measurements
            self._is_wanted = True
            self._wake()
            self._measured.wait_for(
                lambda: self._measurements != before or self._is_closed, limits.CLOCK_MEASURE_FOR.total_seconds()
            )

    def close(self) -> None:
        """End it; waits a moment for its thread, which may hang in a connection that does not answer."""
        if self._is_closed:
            return
        self._is_closed = True
        self._wake()
        with self._measured:
            self._measured.notify_all()
        if self._thread.is_alive():
            self._thread.join(limits.THREADS_END_FOR.total_seconds())
        if not self._thread.is_alive():
            os.close(self._wakened)
            os.close(self._waker)

    # -- the thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        while not self._is_closed:
            try:
                with psycopg.connect(_with_defaults(self._url), autocommit=True) as connection:
                    if failures:
                        _log.warning("link.restored after_failures=%d", failures)
                    failures = 0
                    self._attend(connection)
            except (psycopg.Error, OSError, StoreError) as exc:
                self.is_up = False
                failures += 1
                wait_s = min(limits.LINK_RETRY_MAX.total_seconds(), _RETRY_FIRST_S * 2.0 ** min(failures - 1, 10))
                # Once an outage: those that wait for the database say enough of it.
                (_log.warning if failures == 1 else _log.debug)("link.lost error=%s", _line(exc))
                self._wait(None, wait_s)

    def _attend(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(placed("settle_link"))
        for channel in self._acts:
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))

        def ask() -> datetime:
            found = connection.execute("SELECT clock_timestamp()").fetchone()
            assert found is not None, "a SELECT without FROM has one row"  # noqa: S101  SQL says so
            at: datetime = found[0]
            return at

        self._noted = None
        self._measure_by(ask)
        self.is_up = True
        self._tell_all()  # what was told while nobody listened
        again_s = self._monotonic() + limits.CLOCK_MEASURED_EVERY.total_seconds()
        while not self._is_closed:
            self._wait(connection, again_s - self._monotonic())
            for notification in connection.notifies(timeout=0):
                for act in self._acts.get(notification.channel, ()):
                    act(notification.payload)
            if self._is_wanted or self._monotonic() >= again_s:
                self._measure_by(ask)
                self._note_clock(connection)
                again_s = self._monotonic() + limits.CLOCK_MEASURED_EVERY.total_seconds()

    def _measure_by(self, ask: Ask) -> None:
        self._is_wanted = False
        self._measure(ask)
        with self._measured:
            self._measurements += 1
            self._measured.notify_all()

    def _note_clock(self, connection: psycopg.Connection[Any]) -> None:
        """Say to the others how far this host's clock is off, when it is another than was said."""
        off = self._clock_off()
        if self._executor_id is None or off is None:
            return
        if self._noted is not None and abs(off - self._noted) < limits.HOST_CLOCK_NOTED_BY:
            return
        off_us = round(off / timedelta(microseconds=1))
        try:
            done = connection.execute(placed("note_clock"), {"id": self._executor_id, "clock_off_us": off_us})
        except psycopg.Error:
            # Its heartbeat is being stored just now, or nothing can be written (the heartbeat tells of that): the next
            # time, then. News come all the same, unless the connection is what broke.
            if connection.closed:
                raise
        else:
            self._noted = off if done.rowcount else None

    def _tell_all(self) -> None:
        for acts in self._acts.values():
            for act in acts:
                act("")

    def _wait(self, connection: psycopg.Connection[Any] | None, for_s: float) -> None:
        """Wait for the connection, for a wake-up, or for the time to pass."""
        poll = select.poll()  # select() takes no file beyond the 1024th, and a service has more
        poll.register(self._wakened, select.POLLIN)
        if connection is not None:
            poll.register(connection.fileno(), select.POLLIN)
        if any(end == self._wakened for end, _ in poll.poll(max(0.0, for_s) * 1000)):
            with suppress(BlockingIOError):
                os.read(self._wakened, 4096)

    def _wake(self) -> None:
        with suppress(OSError):  # full: it is awake already; closed: nobody is there to wake
            os.write(self._waker, b".")


def _with_defaults(url: str) -> str:
    """Return the address with what a connection of this kind is opened with, but for what it says by itself."""
    given = conninfo_to_dict(url)
    ours = {name: value for name, value in _CONNECTED_AS.items() if name not in given}
    if "options" in given:
        ours["options"] = f"{_CONNECTED_AS['options']} {given['options']}"
    return make_conninfo(url, **ours)


def _line(exc: BaseException) -> str:
    return str(exc).strip().partition("\n")[0] or type(exc).__name__
