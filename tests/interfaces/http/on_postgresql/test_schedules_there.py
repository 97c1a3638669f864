"""What tests/interfaces/http/test_schedules.py holds of a file holds of PostgreSQL."""

from __future__ import annotations

from tests.interfaces.http.test_schedules import (
    test_a_schedule_is_made_shown_listed_changed_and_cancelled,
    test_an_agent_sees_its_own_and_anothers_is_not_there,
)

__all__ = [
    "test_a_schedule_is_made_shown_listed_changed_and_cancelled",
    "test_an_agent_sees_its_own_and_anothers_is_not_there",
]
