"""APScheduler holds the timers: the next due instant, and the maintenance that comes round."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger


class ApTimers:
    """Timers on the running event loop. A timer that is late fires once, however late."""

    def __init__(self) -> None:
        # Its own log says "running job" at every tick; what matters is logged where it happens.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )

    def start(self) -> None:
        """Begin; timers set before now count from now."""
        self._scheduler.start()

    def at(self, name: str, when: datetime, act: Callable[[], Awaitable[None]]) -> None:
        """Call `act` at the instant `when` (aware); a timer of the same name is replaced."""
        self._scheduler.add_job(act, DateTrigger(when), id=name, replace_existing=True)

    def every(self, name: str, period: timedelta, act: Callable[[], Awaitable[None]]) -> None:
        """Call `act` each `period`, the first time after one; a run that is still going on is not doubled."""
        self._scheduler.add_job(act, IntervalTrigger(seconds=period.total_seconds()), id=name, replace_existing=True)

    def stop(self) -> None:
        """Drop every timer."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
