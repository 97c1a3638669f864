"""Delivering in the background of a program that imports us: a thread that can be stopped and joined."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from datetime import timedelta

    from promptyoself.application.passes import Entry
    from promptyoself.interfaces.services import Services

START_WITHIN_S = 30.0
STOP_WITHIN_S = 60.0
"""Longer than limits.STOP_FOR, after which a loop lets go of what is in flight."""


class BackgroundLoop:
    """Plans and delivers in a thread of its own from `start` to `stop`. Starting and stopping twice is one of each."""

    def __init__(
        self,
        open_services: Callable[[], Services],
        *,
        interval: timedelta,
        on_entry: Callable[[Entry], None] | None = None,
    ) -> None:
        """`on_entry` is told of each delivery, in the loop's thread."""
        self._open_services = open_services
        self._interval = interval
        self._on_entry = on_entry
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], None] | None = None
        self._armed = threading.Event()
        self._failure: BaseException | None = None

    @property
    def is_running(self) -> bool:
        """True from `start` until `stop`, or until the loop failed."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Return once it delivers. Raises what kept it from starting."""
        with self._lock:
            if self.is_running:
                return
            self._armed.clear()
            self._failure = None
            self._thread = threading.Thread(target=self._run, name="promptyoself-loop", daemon=True)
            self._thread.start()
            self._armed.wait(START_WITHIN_S)
            if self._failure is not None:
                raise self._failure

    def stop(self) -> None:
        """Stop claiming, let what is in flight finish (bounded), and return when the thread has ended."""
        with self._lock:
            if self._stop is not None:
                self._stop()
            if self._thread is not None:
                self._thread.join(STOP_WITHIN_S)
                self._thread = None

    def _run(self) -> None:
        import asyncio

        services: Services | None = None
        try:
            services = self._open_services()
            asyncio.run(services.run_until(self._arm, interval=self._interval, mode="loop", on_entry=self._on_entry))
        except BaseException as failure:  # noqa: BLE001  a thread has nobody to raise to; `start` raises it
            self._failure = failure
        finally:
            self._armed.set()
            if services is not None:
                services.close()

    def _arm(self, stopping: asyncio.Event) -> Callable[[], None]:
        import asyncio

        loop = asyncio.get_running_loop()
        self._stop = lambda: _call(loop, stopping)
        self._armed.set()
        return self._disarm

    def _disarm(self) -> None:
        self._stop = None


def _call(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    loop.call_soon_threadsafe(stopping.set)
