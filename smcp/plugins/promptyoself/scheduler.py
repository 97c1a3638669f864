"""When schedules fire, and the loop that delivers: doors into the promptyoself package."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from promptyoself.__main__ import world
from promptyoself.interfaces import seed
from promptyoself.interfaces.background import BackgroundLoop
from promptyoself.runtime import SystemClock


def calculate_next_run(cron_expr: str, base_time: datetime | None = None) -> datetime | None:
    """Return the cron expression's first fire time in UTC after `base_time` (now); naive in, naive out."""
    return seed.next_run(cron_expr, "cron", timezone="UTC", base_time=base_time or SystemClock().now())


def calculate_next_run_for_schedule(schedule: Any) -> datetime | None:  # noqa: ANN401  anything with a schedule's attributes
    """Return when a schedule (schedule_type, schedule_value) fires next after now; None for a one-off."""
    zone = getattr(schedule, "timezone", None) or "UTC"
    return seed.next_run(schedule.schedule_value, schedule.schedule_type, timezone=zone, base_time=SystemClock().now())


def execute_due_prompts() -> list[dict[str, Any]]:
    """Deliver what is due, once, and return an entry for each delivery. Raises RuntimeError when it cannot."""
    answer = seed.answered("execute", {}, services=world)
    if "error" in answer:
        raise RuntimeError(answer["error"])
    executed: list[dict[str, Any]] = answer["executed"]
    return executed


class PromptScheduler:
    """Delivers in the background. Prompts leave at their instants; `interval_seconds` is the safety pass."""

    def __init__(self, interval_seconds: float = 60) -> None:
        self.interval_seconds = interval_seconds
        self._loop = BackgroundLoop(lambda: world({}), interval=timedelta(seconds=interval_seconds))

    @property
    def running(self) -> bool:
        """True while it delivers."""
        return self._loop.is_running

    def start(self) -> None:
        """Start delivering in a thread; returns once it does."""
        self._loop.start()

    def stop(self) -> None:
        """Stop in good order and wait for the thread to end."""
        self._loop.stop()

    def run_loop(self) -> None:
        """Deliver in this thread until SIGINT or SIGTERM."""
        run_scheduler_loop(self.interval_seconds)


def run_scheduler_loop(interval_seconds: float = 60) -> None:
    """Deliver until SIGINT or SIGTERM. Raises RuntimeError when that cannot be done."""
    answer = seed.answered("execute", {"loop": True, "interval": interval_seconds}, services=world)
    if "error" in answer:
        raise RuntimeError(answer["error"])
