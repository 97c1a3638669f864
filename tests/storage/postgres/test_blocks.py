"""Hot statements read a bounded number of blocks, with two hundred thousand rows: what they do, not what they plan.

Planned for these values and for any: psycopg prepares what is run often, and PostgreSQL may then keep one plan for all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import psycopg
import pytest
from psycopg import sql

from promptyoself.storage.postgres import PostgresStore
from promptyoself.storage.queries import queries
from promptyoself.storage.rows import micros
from tests.factories import MINUTE, NOW
from tests.postgres.server import PostgresServer
from tests.storage.many import fill

SCHEDULES: Final = 120_000
BLOCKS_MAX: Final = 150
"""Of 8 KiB, for an answer of some rows: a table that is read whole has thousands."""
_PARAMETER: Final = re.compile(r"(?<![:\w]):([a-z_]\w*)")
LANE, AGENT = "inbox agent-7", "agent-7"
LANES: Final = '{"inbox agent-7","inbox agent-8"}'
NOW_US, LONG_AGO_US = micros(NOW), micros(NOW - 1440 * 5 * MINUTE)

CASES: Final[dict[str, tuple[dict[str, object], list[str]]]] = {
    "schedules_due": ({"now": NOW_US, "limit": 100}, ["schedules_due", "schedules_resume"]),
    "take_schedules_due": ({"now": NOW_US, "limit": 100}, ["schedules_due", "schedules_resume"]),
    "schedules": ({"after_id": 60_000, "limit": 20}, ["schedules_pkey"]),
    "schedules_of_agent": ({"agent_id": AGENT, "after_id": 0, "limit": 20}, ["schedules_agent"]),
    "schedules_soonest": ({"limit": 20}, ["schedules_due"]),
    "schedule_by_uid": ({"uid": "0" * 32}, ["schedules_uid_key"]),
    "guard_usage": ({"owner": AGENT, "since": NOW_US}, ["schedules_owner", "deliveries_of_schedule"]),
    "live_descendants": ({"root_uid": "0" * 32}, ["schedules_root"]),
    "unfinished_deliveries": ({"schedule_id": 5}, ["deliveries_unfinished"]),
    "deliveries": ({"before_id": 20_000, "limit": 20}, ["deliveries_pkey"]),
    "deliveries_unfinished": (
        {"before_id": 2**62, "limit": 10_000, "states": '["pending"]'},
        ["deliveries_unfinished"],
    ),
    "deliveries_of_schedule": ({"schedule_id": 5, "before_id": 2**62, "limit": 20}, ["deliveries_of_schedule"]),
    "deliveries_of_agent": ({"agent_id": "agent-5", "before_id": 2**62, "limit": 20}, ["deliveries_of_schedule"]),
    "snoozed": ({"now": NOW_US}, ["deliveries_unfinished"]),
    "give_turn": ({"schedule_id": 50, "kind": "scheduled"}, ["deliveries_pkey", "deliveries_unfinished"]),
    "take_turn": ({"schedule_id": 50, "kind": "scheduled"}, ["deliveries_head", "deliveries_unfinished"]),
    "refresh_lane": ({"lanes": LANES}, ["lanes_pkey", "deliveries_in_flight", "deliveries_due"]),
    "keep_lanes": ({"lanes": LANES}, ["lanes_pkey"]),
    "lock_lanes": ({"lanes": LANES}, ["lanes_pkey"]),
    "ready_lanes": ({"now": NOW_US, "limit": 100}, ["lanes_free", "lanes_held"]),
    "next_wake_at": (
        {"now": NOW_US, "after": 0},
        ["schedules_due", "schedules_resume", "lanes_free", "lanes_held"],
    ),
    "lease_lane": (
        {"lane": LANE, "token": "t", "executor_id": "e", "now": NOW_US, "until": NOW_US},
        ["lanes_pkey"],
    ),
    "renew_lanes": ({"executor_id": "e", "until": NOW_US}, ["lanes_held"]),
    "in_flight_in_lane": ({"lane": LANE}, ["deliveries_in_flight"]),
    "pending_in_lane": ({"lane": LANE, "now": NOW_US}, ["deliveries_next"]),
    "attempts": ({"delivery_id": 5}, ["attempts_delivery_id_number_key"]),
    "facts_after": ({"after": 23_000, "limit": 20}, ["facts_pkey", "schedules_pkey"]),
    "facts_of_schedule": ({"schedule_id": 5, "limit": 20}, ["facts_of_schedule"]),
    "facts_of_delivery": ({"delivery_id": 5, "limit": 20}, ["facts_of_delivery"]),
    "newest_fact": ({}, ["facts_pkey"]),
    "deliveries_to_prune": ({"before": LONG_AGO_US, "limit": 20}, ["deliveries_finished"]),
    "prune_facts": ({"before": LONG_AGO_US, "limit": 20}, ["facts_at"]),
    "prune_lanes": ({"lanes": LANES}, ["lanes_pkey", "deliveries_of_lane"]),
    "prune_deliveries": ({"ids": "[1, 2]"}, ["deliveries_pkey"]),
    "prune_messages": ({"before": NOW_US, "limit": 20}, ["inbox_acked"]),
    "prune_claims": ({"before": NOW_US, "limit": 20}, ["claims_expired"]),
    "prune_callbacks": ({"before": NOW_US, "limit": 20}, ["callbacks_ended"]),
    "prune_calendars": ({"limit": 20}, ["schedules_calendar"]),
    "forget_requests": ({"before": NOW_US, "limit": 20}, ["requests_at"]),
    "callbacks_due": ({"now": NOW_US, "limit": 20}, ["callbacks_due"]),
    "next_callback_at": ({}, ["callbacks_due"]),
    "token_by_digest": ({"digest": "0" * 64}, ["tokens_digest_key"]),
    "due_lanes": ({"after": 0, "now": NOW_US, "is_stopped": False, "limit": 100}, ["lanes_free"]),
    "due_lanes_of_ended_leases": ({"now": NOW_US, "is_stopped": False, "limit": 100}, ["lanes_held"]),
    "lanes_to_wake": ({"lanes": LANES}, ["lanes_pkey"]),
    "issue_tokens": ({"lanes": LANES}, ["lanes_pkey"]),
}
SMALL: Final = ("attempts", "inbox", "claims", "requests", "callbacks", "tokens", "calendars", "executors", "pgqueuer")


class Plan(NamedTuple):
    """What PostgreSQL did."""

    indexes: set[str]
    scanned: set[str]
    """Tables that were read whole."""
    blocks: int


Explain = Callable[..., Plan]


@pytest.fixture(scope="module")
def explain(postgres: PostgresServer) -> Iterator[Explain]:
    url = postgres.new_database()
    PostgresStore.open(url, new_uid=lambda: "ab" * 16).close()
    with psycopg.connect(url, autocommit=True) as connection:
        # A statement each, without a word of what it filled to the other tests' server.
        fill(lambda statement: connection.execute(statement.encode()), "postgres", schedules=SCHEDULES, now=NOW)
        connection.execute("VACUUM")
        connection.execute("SELECT set_config('promptyoself.plans', 'yes', false)")  # or nothing is due to it

        def explained(name: str, values: dict[str, object], mode: str) -> Plan:
            text = queries("postgres")[name]
            names = list(dict.fromkeys(_PARAMETER.findall(text)))
            numbered = _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", text)
            given = sql.SQL(", ").join(sql.Literal(_untyped(values.get(one))) for one in names)
            connection.execute("SELECT set_config('plan_cache_mode', %s, false)", [mode])
            connection.execute("DEALLOCATE ALL")
            connection.execute(f"PREPARE one AS {numbered}".encode())
            run = sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE one")
            with connection.transaction(force_rollback=True):
                row = connection.execute(run + (sql.SQL("({})").format(given) if names else sql.SQL(""))).fetchone()
            assert row is not None
            return _plan_of(row[0][0]["Plan"])

        yield explained


def _untyped(value: object) -> object:
    return value if value is None else str(value)


def _plan_of(top: dict[str, Any]) -> Plan:
    indexes, scanned = set[str](), set[str]()
    nodes = [top]
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        if "Index Name" in node:
            indexes.add(node["Index Name"])
        elif node["Node Type"] == "Seq Scan":
            scanned.add(node["Relation Name"])
    return Plan(indexes, scanned, top["Shared Hit Blocks"] + top["Shared Read Blocks"])


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", CASES)
def test_a_hot_statement_uses_its_indexes_and_reads_little(name: str, mode: str, explain: Explain) -> None:
    values, indexes = CASES[name]
    plan = explain(name, values, mode)
    assert not plan.scanned & {"schedules", "deliveries", "lanes", "facts"}, plan
    # What is empty is read whole whatever it has: no block of it is.
    assert set(indexes) <= plan.indexes or plan.scanned & set(SMALL), plan
    assert plan.blocks <= BLOCKS_MAX, plan
