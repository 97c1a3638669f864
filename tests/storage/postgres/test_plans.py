"""Hot queries name the index they use, by the plan that a prepared statement gets whatever its values are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from promptyoself.storage.postgres import PostgresStore
from promptyoself.storage.postgres_queries import statements
from promptyoself.storage.postgres_statements import locking
from tests.postgres.server import PostgresServer

PlanOf = Callable[[str], str]

PLANS = {
    "schedules_due": ["schedules_due", "schedules_resume"],
    "take_schedules_due": ["schedules_due", "schedules_resume"],
    "schedule": ["schedules_pkey"],
    "lock_schedule": ["schedules_pkey"],
    "lock_schedule_of_delivery": ["schedules_pkey", "deliveries_pkey"],
    "schedule_by_uid": ["schedules_uid_key"],
    "schedule_by_key": ["schedules_key"],
    "schedules": ["schedules_pkey"],
    "schedules_of_agent": ["schedules_agent"],
    "schedules_of_owner": ["schedules_owner"],
    "schedules_coming": ["schedules_due"],
    "save_schedule": ["schedules_pkey", "schedules_key"],
    "guard_usage": ["schedules_owner", "deliveries_of_schedule"],
    "live_descendants": ["schedules_root"],
    "delivery": ["deliveries_pkey"],
    "unfinished_deliveries": ["deliveries_unfinished"],
    "deliveries": ["deliveries_pkey"],
    "deliveries_of_schedule": ["deliveries_of_schedule"],
    "deliveries_of_agent": ["schedules_agent", "deliveries_of_schedule"],
    "save_delivery": ["deliveries_pkey"],
    "unfinished_of_schedules": ["deliveries_unfinished"],
    "look_ahead": [
        "schedules_due",
        "deliveries_unfinished",
        "deliveries_schedule_id_revision_kind_fire_at_key",
        "lanes_pkey",
    ],
    "claim_lanes": ["lanes_pkey"],
    "occurrences_of_schedules": ["deliveries_schedule_id_revision_kind_fire_at_key"],
    "take_turn": ["deliveries_head", "deliveries_unfinished"],
    "give_turn": ["deliveries_pkey", "deliveries_unfinished"],
    "lock_lanes": ["lanes_pkey"],
    "keep_lanes": ["lanes_pkey"],
    "refresh_lane": ["lanes_pkey", "deliveries_in_flight", "deliveries_due"],
    "hasten_target": ["deliveries_refused"],
    "ready_lanes": ["lanes_free", "lanes_held"],
    "ready_lanes_stopped": ["lanes_free_in_flight", "lanes_held"],
    "lease_lane": ["lanes_pkey"],
    "release_lane": ["lanes_pkey"],
    "in_flight_in_lane": ["deliveries_in_flight"],
    "pending_in_lane": ["deliveries_next"],
    "next_wake_at": ["schedules_due", "schedules_resume", "lanes_free", "lanes_held"],
    "next_wake_at_stopped": ["schedules_due", "schedules_resume", "lanes_free_in_flight", "lanes_held"],
    "attempts": ["attempts_delivery_id_number_key"],
    "facts": ["facts_pkey"],
    "facts_of_schedule": ["facts_of_schedule"],
    "facts_of_delivery": ["facts_of_delivery"],
    "facts_after": ["facts_pkey"],
    "newest_fact": ["facts_pkey"],
    "message_by_otid": ["inbox_otid_key"],
    "messages_unread": ["inbox_unread"],
    "token_by_digest": ["tokens_digest_key"],
    "claim": ["claims_pkey"],
    "live_claims": ["claims_live"],
    "answered_request": ["requests_pkey"],
    "callbacks_due": ["callbacks_due"],
    "next_callback_at": ["callbacks_due"],
    "deliveries_to_prune": ["deliveries_finished"],
    "prune_facts": ["facts_at"],
    "prune_messages": ["inbox_acked"],
    "prune_claims": ["claims_expired"],
    "prune_callbacks": ["callbacks_ended"],
    "forget_requests": ["requests_at"],
    "renew_lanes": ["lanes_held", "lanes_pkey"],
    "prune_deliveries": ["deliveries_pkey", "attempts_delivery_id_number_key"],
    "prune_lanes": ["lanes_pkey", "deliveries_of_lane"],
    "lock_lanes_to_prune": ["lanes_pkey"],
}
NOT_SORTED = [
    "schedules",
    "deliveries",
    "facts",
    "facts_after",
    "messages_unread",
    "pending_in_lane",
    "in_flight_in_lane",
]
IN_ORDER_OF_NAMES = ["lock_lanes", "keep_lanes", "lock_lanes_to_prune"]


def _numbered(name: str) -> bytes:
    text = statements()[name]
    for number, one in enumerate(dict.fromkeys(re.findall(rb"%\((\w+)\)s", text)), start=1):
        text = text.replace(b"%%(%s)s" % one, b"$%d" % number)
    return text.replace(b"%%", b"%")


@pytest.fixture(scope="module")
def plan(postgres: PostgresServer) -> Iterator[PlanOf]:
    url = postgres.new_database()
    PostgresStore.open(url, new_uid=lambda: "1" * 32).close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute((Path(__file__).parent / "fill.sql").read_bytes())
        connection.execute("SET plan_cache_mode = force_generic_plan")

        def plan_of(name: str) -> str:
            steps = connection.execute(b"EXPLAIN (GENERIC_PLAN, COSTS OFF) " + _numbered(name)).fetchall()
            return "\n".join(str(step[0]) for step in steps)

        yield plan_of


@pytest.mark.parametrize("name", PLANS)
def test_a_hot_query_uses_its_indexes(name: str, plan: PlanOf) -> None:
    steps = plan(name)
    for index in PLANS[name]:
        assert re.search(rf"(using|on) {index}\b", steps), f"{name} does not use {index}:\n{steps}"
    # pgqueuer: it is empty here; see test_postgres_tokens for its own.
    assert "Seq Scan" not in re.sub(r"Seq Scan on (calendars|stop_switch|meta|pgqueuer)", "", steps), steps


def test_a_plan_made_while_a_table_is_empty_serves_when_it_has_grown(postgres: PostgresServer) -> None:
    """It is kept as long as the connection, or until the table has been analysed."""
    store = PostgresStore.open(postgres.new_database(), new_uid=lambda: "1" * 32)
    try:
        with store.reading() as tx:  # it is the store's own connection that counts
            for name in ("wake_lanes", *PLANS, *(one for one in statements() if one.startswith("step_save"))):
                numbered, read = _numbered(name), r"Seq Scan on (?!calendars|stop_switch|meta)|(Hash|Merge)\w* .*Join"
                found = tx._connection.execute(b"EXPLAIN (GENERIC_PLAN, COSTS OFF) " + numbered).fetchall()
                steps = "\n".join(str(step["QUERY PLAN"]) for step in found)
                assert not re.search(read, steps), f"{name}:\n{steps}"
            for name in ("wake_lanes", "due_lanes", "due_lanes_of_ended_leases", "occurrences_of_schedules"):
                found = tx._connection.execute(b"EXPLAIN (GENERIC_PLAN, COSTS OFF) " + _numbered(name)).fetchall()
                steps = "\n".join(str(step["QUERY PLAN"]) for step in found)
                assert "Join Filter" not in steps, f"{name}:\n{steps}"
                assert "hashed SubPlan" not in steps, f"{name}:\n{steps}"
    finally:
        store.close()


@pytest.mark.parametrize("name", NOT_SORTED)
def test_a_page_is_found_in_order_and_not_sorted(name: str, plan: PlanOf) -> None:
    assert "Sort" not in plan(name)


@pytest.mark.parametrize("name", IN_ORDER_OF_NAMES)
def test_lanes_are_locked_in_the_order_of_their_names(name: str, plan: PlanOf) -> None:
    whole = plan(name)
    assert not re.search("Backward|DESC", whole)
    locks = re.search(r"LockRows\n(.*)", whole, re.DOTALL)
    assert locks is not None, whole
    below = locks[1].splitlines()
    assert "Sort" in below[0] or "using lanes_pkey" in below[0], whole
    assert "Sort" not in below[0] or re.search(r"Sort Key: (lanes\.)?lane\b", below[1]), whole


def test_queries_that_lock_find_what_they_find_without() -> None:
    for name, text in locking().items():
        assert text == statements()[name] + b"\nFOR UPDATE"
