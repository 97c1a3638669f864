"""Hot queries name the index they use: a plan that falls back to reading a table is a failure, not a slow day."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from promptyoself.storage.queries import queries
from tests.storage.conftest import OpenStore

PlanOf = Callable[[str], list[str]]

PLANS = {
    "schedules_due": ["schedules_due", "schedules_resume"],
    "schedule_by_key": ["schedules_key"],
    "schedules": ["PRIMARY KEY"],
    "zone_record": ["sqlite_autoindex_meta_1"],
    "schedules_of_agent": ["schedules_agent"],
    "schedules_of_owner": ["schedules_owner"],
    "schedules_coming": ["schedules_due"],
    "schedules_soonest": ["schedules_due"],
    "answered_request": ["PRIMARY KEY"],
    "forget_requests": ["requests_at", "PRIMARY KEY"],
    "guard_usage": ["schedules_owner", "deliveries_of_schedule"],
    "live_descendants": ["schedules_root"],
    "unfinished_deliveries": ["deliveries_unfinished"],
    "snoozed": ["deliveries_unfinished"],
    "deliveries_unfinished": ["deliveries_unfinished"],
    "deliveries_of_schedule": ["deliveries_of_schedule"],
    "deliveries_of_agent": ["schedules_agent", "deliveries_of_schedule"],
    "deliveries_of_owner": ["schedules_owner", "deliveries_of_schedule"],
    "head_wanted": ["deliveries_unfinished"],
    "head_now": ["deliveries_head"],
    "refresh_lane": ["PRIMARY KEY", "deliveries_in_flight", "deliveries_due"],
    "refresh_hastened_lanes": ["PRIMARY KEY", "deliveries_refused", "deliveries_in_flight", "deliveries_due"],
    "hasten_target": ["deliveries_refused"],
    "ready_lanes": ["lanes_free", "lanes_held"],
    "ready_lanes_stopped": ["lanes_free_in_flight", "lanes_held"],
    "in_flight_in_lane": ["deliveries_in_flight"],
    "pending_in_lane": ["deliveries_next"],
    "next_wake_at": ["schedules_due", "schedules_resume", "lanes_free", "lanes_held"],
    "next_wake_at_stopped": ["schedules_due", "schedules_resume", "lanes_free_in_flight", "lanes_held"],
    "lease_lane": ["PRIMARY KEY"],
    "renew_lanes": ["lanes_held"],
    "attempts": ["sqlite_autoindex_attempts_1"],
    "facts_of_schedule": ["facts_of_schedule"],
    "facts_of_delivery": ["facts_of_delivery"],
    "facts_after": ["PRIMARY KEY"],
    "message_by_otid": ["sqlite_autoindex_inbox_1"],
    "messages_unread": ["inbox_unread"],
    "deliveries_to_prune": ["deliveries_finished"],
    "prune_lanes": ["PRIMARY KEY", "deliveries_of_lane"],
    "prune_facts": ["facts_at"],
    "prune_messages": ["inbox_acked"],
    "schedule_by_uid": ["sqlite_autoindex_schedules_1"],
    "calendar": ["sqlite_autoindex_calendars_1"],
    "prune_calendars": ["schedules_calendar"],
    "token_by_digest": ["sqlite_autoindex_tokens_1"],
    "claim": ["PRIMARY KEY"],
    "live_claims": ["COVERING INDEX claims_live"],
    "prune_claims": ["PRIMARY KEY", "claims_expired"],
    "prune_callbacks": ["callbacks_ended"],
}
SORTED_BY_INDEX = [
    "pending_in_lane",
    "in_flight_in_lane",
    "schedules",
    "schedules_soonest",
    "schedules_resting",
    "schedules_of_agent",
    "deliveries",
    "unfinished_deliveries",
    "facts",
    "facts_after",
]
TABLES = re.compile(r"SCAN (schedules|deliveries|attempts|lanes|facts|inbox|claims)\b(?! USING (COVERING )?INDEX)")


@pytest.fixture
def plan(open_store: OpenStore) -> PlanOf:
    store = open_store(":memory:")
    connection = store._writing
    assert connection is not None

    def plan_of(name: str) -> list[str]:
        statement = queries("sqlite")[name]
        values = dict.fromkeys(re.findall(r":(\w+)", statement))
        return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]

    return plan_of


@pytest.mark.parametrize("name", PLANS)
def test_a_hot_query_uses_its_indexes(name: str, plan: PlanOf) -> None:
    steps = plan(name)
    for index in PLANS[name]:
        assert any(re.search(rf"\b{index}\b", step) for step in steps), f"{name} does not use {index}: {steps}"
    assert not [step for step in steps if TABLES.search(step)]


@pytest.mark.parametrize("name", SORTED_BY_INDEX)
def test_a_page_is_found_in_order_and_not_sorted(name: str, plan: PlanOf) -> None:
    assert not [step for step in plan(name) if "TEMP B-TREE" in step]
