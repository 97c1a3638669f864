"""Timers of a node whose time is the database's: they count seconds, whatever this machine's own clock says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from promptyoself.domain import limits
from promptyoself.domain.ports import Clock

_log = logging.getLogger(__name__)
Act = Callable[[], Awaitable[None]]


class SteadyTimers:
    """Timers on the running event loop, by `clock`: one that is set meanwhile is noticed within CLOCK_LOOK_EVERY."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Do nothing: each timer counts from when it was set."""

    def at(self, name: str, when: datetime, act: Act) -> None:
        """Call `act` at the instant `when` (aware); a timer of the same name is replaced."""
        self._keep(name, self._wait_until(when, act))

    def every(self, name: str, period: timedelta, act: Act) -> None:
        """Call `act` each `period`, the first time after one; the next begins to count when it has ended."""
        self._keep(name, self._repeat(name, period, act))

    def stop(self) -> None:
        """Drop every timer."""
        for task in self._kept.values():
            task.cancel()
        self._kept.clear()

    def _keep(self, name: str, waiting: Awaitable[None]) -> None:
        was = self._kept.get(name)
        if was is not None and was is not asyncio.current_task():
            was.cancel()
        self._kept[name] = asyncio.ensure_future(waiting)

    async def _wait_until(self, when: datetime, act: Act) -> None:
        while (left := (when - self._clock.now()).total_seconds()) > 0:  # noqa: ASYNC110  time itself is waited for
            await asyncio.sleep(min(left, limits.CLOCK_LOOK_EVERY.total_seconds()))
        await act()

    async def _repeat(self, name: str, period: timedelta, act: Act) -> None:
        while True:
            await asyncio.sleep(period.total_seconds())
            try:
                await act()
            except Exception:  # noqa: BLE001  what comes round must come round again
                _log.exception("timer.fault name=%r", name)
