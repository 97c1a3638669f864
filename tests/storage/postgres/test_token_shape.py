"""The table of tokens is PgQueuer's: one that another version made or changed is found before anything is claimed."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from promptyoself.domain.errors import StoreCorrupt
from promptyoself.fleet import FleetNode
from promptyoself.postgres_url import PostgresUrl
from promptyoself.runtime import SystemClock
from promptyoself.storage.postgres import PostgresStore

UNIQUE = "CREATE UNIQUE INDEX {} ON pgqueuer (dedupe_key) WHERE {} AND dedupe_key IS NOT NULL"
OTHERWISE_UNIQUE = UNIQUE.format("another", "status = 'queued'")
AS_IT_WAS = UNIQUE.format("pgqueuer_unique_dedupe_key", "status IN ('queued', 'picked')")
CHANGES = (
    ("ALTER TABLE pgqueuer RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO pgqueuer", " is not there"),
    ("ALTER TABLE pgqueuer RENAME slot TO place", "ALTER TABLE pgqueuer RENAME place TO slot", ": slot is missing"),
    (
        "ALTER TABLE pgqueuer ALTER attempts TYPE bigint",
        "ALTER TABLE pgqueuer ALTER attempts TYPE integer",
        ": attempts is bigint and not integer",
    ),
    ("ALTER TABLE pgqueuer ADD mood text NOT NULL", "ALTER TABLE pgqueuer DROP mood", ": mood wants a value"),
    (
        f"DROP INDEX pgqueuer_unique_dedupe_key; {OTHERWISE_UNIQUE}",
        f"DROP INDEX another; {AS_IT_WAS}",
        ": unique dedupe_key is missing",
    ),
    (
        "ALTER TABLE pgqueuer DISABLE TRIGGER tg_pgqueuer_changed",
        "ALTER TABLE pgqueuer ENABLE TRIGGER tg_pgqueuer_changed",
        ": tells of changes is missing",
    ),
)


def fault(store: PostgresStore) -> str | None:
    with store.reading() as tx:
        return tx.engine_fault()


def test_what_is_not_as_we_made_it_is_told(store: PostgresStore) -> None:
    with psycopg.connect(store.conninfo, autocommit=True) as connection:
        connection.execute("ALTER TABLE pgqueuer ADD note text")
        assert fault(store) is None, "what a newer one adds, and fills by itself, hurts nobody"
        connection.execute("ALTER TABLE pgqueuer DROP note")
    for change, back, said in CHANGES:
        with psycopg.connect(store.conninfo, autocommit=True) as connection:
            connection.execute(change.encode())
            found = fault(store)
            connection.execute(back.encode())
        assert found is not None, change
        assert found.endswith(said), found
        assert fault(store) is None, back


def test_a_node_does_not_begin_on_it(postgres_url: str, tmp_path: Path) -> None:
    node = FleetNode(PostgresUrl(postgres_url, folder=tmp_path), clock=SystemClock(), new_uid=lambda: "1" * 32)
    store = node.open()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE pgqueuer DROP slot")
    try:
        with pytest.raises(StoreCorrupt, match="slot is missing") as refused:
            node.listen("me")
        assert refused.value.hint
        assert "slot is missing" in str(node.state().engine_fault)
    finally:
        node.deafen()
        store.close()
