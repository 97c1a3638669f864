"""Stored schedules: doors into the promptyoself package. Nothing here opens a database of its own."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from promptyoself.__main__ import world
from promptyoself.interfaces import seed


def add_schedule(
    agent_id: str,
    prompt_text: str,
    schedule_type: str,
    schedule_value: str,
    next_run: datetime | None = None,
    **options: Any,  # noqa: ANN401  any option of `register`
) -> int:
    """Store a schedule (once, cron, interval or rrule) and return its id; `next_run` is when it fires first."""
    with closing(world({})) as services:
        request = seed.request_of(
            schedule_type, schedule_value, first=next_run, agent_id=agent_id, prompt=prompt_text, **options
        )
        return seed.add(services, request)


def get_due_schedules() -> list[SimpleNamespace]:
    """Return the schedules that are due now, oldest first."""
    with closing(world({})) as services:
        return seed.due(services)


def update_schedule(schedule_id: int, **fields: Any) -> SimpleNamespace:  # noqa: ANN401  any option of `update`
    """Change a schedule and return it. `active` False pauses, True resumes; `last_run` is the engine's to keep."""
    with closing(world({})) as services:
        return seed.change(services, schedule_id, fields)
