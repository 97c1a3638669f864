"""The tables and statements of lane tokens: those of the pinned PgQueuer, each with the index it is to use."""

from __future__ import annotations

import asyncio
import re
from uuid import UUID

import psycopg
import pytest
from pgqueuer.adapters.persistence import schema_ddl
from pgqueuer.domain.types import QueueEntrypoint, QueueManagerId

from promptyoself.lanes.pgqueuer_guard import OwnedBuilder, token_settings
from promptyoself.storage.migrate import migrations
from promptyoself.storage.postgres_queries import placed
from tests.lanes.node import LEASE
from tests.postgres.stores import CleanStores

OWNER = UUID(int=7)
PLANS = {
    "lanes_to_wake": ("pgqueuer_unique_dedupe_key", "lanes_pkey"),
    "wake_lanes": ("lanes_pkey",),
    "look_ahead": ("lanes_pkey", "pgqueuer_ep_ea_idx"),
    "due_lanes": ("pgqueuer_unique_dedupe_key", "lanes_free"),
    "drop_tokens": ("pgqueuer_unique_dedupe_key",),
    "requeue_tokens": ("pgqueuer_queue_manager_id_idx",),
    "live_shares": ("shares_pkey",),
}
VALUES = {
    "lanes": ["lane 7"],
    "after": 0,
    "now": 50,
    "is_stopped": False,
    "limit": 100,
    "id": 7,
    "owner": str(OWNER),
    "but": [8],
    "target": "inbox",
    "targets": ["inbox"],
    "few": 4,
    "executor_id": "a",
}


@pytest.fixture(scope="module")
def full(clean_stores: CleanStores) -> str:
    """Ten thousand lanes, all with a token, a hundred of them in somebody's hands."""
    with clean_stores.of_one_test() as make:
        url = clean_stores.url_of(make())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO lanes (lane, target, next_due_at) "
            "SELECT 'lane ' || n, 'inbox', n FROM generate_series(1, 10000) n"
        )
        connection.execute(
            "INSERT INTO pgqueuer (priority, entrypoint, dedupe_key, payload, status, queue_manager_id) "
            "SELECT 0, 'inbox', lane, convert_to(lane, 'UTF8'), "
            "CAST(CASE WHEN next_due_at <= 100 THEN 'picked' ELSE 'queued' END AS pgqueuer_status), "
            "CASE WHEN next_due_at <= 100 THEN CAST(%s AS uuid) END FROM lanes",
            (OWNER,),
        )
        connection.execute("INSERT INTO shares SELECT 'target ' || n, 'a', 1, 1 FROM generate_series(1, 5000) n")
        connection.execute("ANALYZE lanes, pgqueuer, shares")
    return url


def test_the_tables_are_those_that_the_pinned_version_installs() -> None:
    ours = next(one.text for one in migrations("postgres") if one.name.endswith("lane_tokens"))
    assert _bare(ours) == _bare(schema_ddl.render_install(token_settings()))


@pytest.mark.parametrize("name", PLANS)
def test_a_statement_goes_by_its_indexes_and_reads_no_table_whole(full: str, name: str) -> None:
    with psycopg.connect(full) as connection:
        connection.execute("SET enable_seqscan = off")  # as the store's connections have it
        plan = "\n".join(row[0] for row in connection.execute(b"EXPLAIN " + placed(name), VALUES))
    assert [index for index in PLANS[name] if index not in plan] == [], plan
    assert "Seq Scan on pgqueuer" not in plan, plan
    assert "Seq Scan on lanes" not in plan, plan


def test_picking_goes_by_the_index_of_the_queue_and_looks_at_the_dead_by_theirs(full: str) -> None:
    asked = OwnedBuilder(OWNER).build_dequeue_query(
        batch_size=100,
        entrypoints=[QueueEntrypoint("inbox")],
        concurrency_limits=[0],
        queue_manager_id=QueueManagerId(OWNER),
        global_concurrency_limit=None,
        heartbeat_timeout=LEASE,
    )
    plan = asyncio.run(_explained(full, asked.sql, asked.args))
    assert "pgqueuer_ep_prio_id_idx" in plan
    assert "pgqueuer_picked_heartbeat_idx" in plan
    assert "pgqueuer_log" not in plan


async def _explained(url: str, statement: str, args: tuple[object, ...]) -> str:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = psycopg.AsyncRawCursor(connection)
        await cursor.execute(f"EXPLAIN {statement}".encode(), args)
        return "\n".join(row[0] for row in await cursor.fetchall())


def _bare(text: str) -> str:
    return re.sub(r"(?m)^--.*\n", "", text).strip()
