"""Migrations: numbered, recorded, each whole or not at all, never edited."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptyoself.domain.errors import StoreCorrupt, StoreError, StoreTooNew
from promptyoself.domain.models import DeliveryState, FactKind
from promptyoself.domain.ports import DeliveryFilter, ScheduleFilter
from promptyoself.storage.migrate import Migration, migrate, migrations, statements
from promptyoself.storage.queries import SQL_FOLDER, parse, queries
from tests.contract.lane_suite import add_delivery, add_schedule
from tests.factories import NOW, a_fact
from tests.storage.conftest import OpenStore

OURS = migrations("sqlite")
NEXT = len(OURS) + 1


def later(text: str, number: int = NEXT) -> tuple[Migration, ...]:
    return (*OURS, Migration(number, f"{number:04}_later", text))


def tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    try:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    finally:
        connection.close()


def test_opening_again_changes_nothing(open_store: OpenStore, path: Path) -> None:
    store = open_store()
    schedule = add_schedule(store)
    store.close()
    before = path.read_bytes()
    again = open_store()
    with again.reading() as tx:
        assert tx.schedule(schedule.id) == schedule
    again.close()
    assert path.read_bytes() == before


def test_what_another_process_makes_between_two_looks_is_ours(open_store: OpenStore, path: Path) -> None:
    class Slow(sqlite3.Connection):
        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:  # noqa: ANN401  as it takes
            if sql == queries("sqlite")["any_object"]:
                open_store().close()
            return super().execute(sql, *args)

    path.parent.mkdir()
    slow = sqlite3.connect(path, factory=Slow, isolation_level=None)
    slow.row_factory = sqlite3.Row
    migrate(slow, "here", OURS, new_uid=lambda: "9" * 32)
    slow.close()
    assert open_store().uid != "9" * 32


def test_a_populated_file_is_upgraded(open_store: OpenStore, path: Path) -> None:
    store = open_store()
    schedule = add_schedule(store)
    delivery = add_delivery(store, schedule)
    store.close()
    steps = later("ALTER TABLE schedules ADD COLUMN mood TEXT;\nCREATE TABLE moods (mood TEXT);")
    for _ in range(2):
        upgraded = open_store(steps=steps)
        with upgraded.reading() as tx:
            assert tx.schedule(schedule.id) == schedule
            assert tx.next_in_lane(schedule.lane, now=delivery.due_at) == delivery
        assert upgraded.uid == store.uid
    assert "moods" in tables(path)


def test_a_file_of_the_first_schema_is_upgraded_with_all_that_it_holds(open_store: OpenStore, path: Path) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.executescript((Path(__file__).parent / "populated_0001.sql").read_text(encoding="utf-8"))
    connection.close()
    store = open_store()
    with store.transaction() as tx:
        schedules = tx.schedules(ScheduleFilter())
        assert [str(one.definition.trigger.kind) for one in schedules] == ["interval", "cron", "once"]
        assert [str(one.state) for one in schedules] == ["active", "paused", "active"]
        assert [one.passed_until for one in schedules] == [None] * 3
        (delivery,) = tx.deliveries(DeliveryFilter())
        assert (delivery.state, delivery.snoozed_until) == (DeliveryState.PENDING, None)
        assert tx.next_in_lane(delivery.lane, now=delivery.due_at) == delivery
        assert [fact.kind for fact in tx.facts(limit=9)] == [FactKind.REGISTERED, FactKind.PAUSED]
        assert len(tx.attempts(delivery.id)) == 1
        tx.save_schedule(replace(schedules[0], passed_until=NOW))
    assert store.uid == f"{1:032x}"


def test_a_migration_that_fails_leaves_the_old_database(open_store: OpenStore, path: Path) -> None:
    store = open_store()
    schedule = add_schedule(store)
    with pytest.raises(StoreError):
        open_store(steps=later("CREATE TABLE half (x TEXT);\nCREATE TABLE schedules (x TEXT);"))
    assert "half" not in tables(path)
    with open_store().reading() as tx:
        assert tx.schedule(schedule.id) == schedule


def test_a_newer_database_is_refused_and_left_as_it_was(open_store: OpenStore, path: Path) -> None:
    open_store(steps=later("CREATE TABLE later (x TEXT);")).close()
    before = path.read_bytes()
    with pytest.raises(StoreTooNew, match=r"schema \d+"):
        open_store()
    assert path.read_bytes() == before


def test_an_edited_migration_is_noticed(open_store: OpenStore) -> None:
    open_store().close()
    edited = (Migration(1, OURS[0].name, OURS[0].text + "\n-- a small improvement"), *OURS[1:])
    with pytest.raises(StoreCorrupt, match=OURS[0].name):
        open_store(steps=edited)


def test_a_database_that_lost_its_uid_is_damaged(open_store: OpenStore) -> None:
    store = open_store()
    assert store._writing is not None
    store._writing.execute("DELETE FROM meta")
    with pytest.raises(StoreCorrupt, match="uid"):
        open_store()


def test_older_sqlite_gets_the_schema_without_strict() -> None:
    for text in statements(OURS[0].text, version=(3, 34, 1)):
        assert "STRICT" not in text.rpartition(")")[2]
    connection = sqlite3.connect(":memory:")
    for text in statements(OURS[0].text, version=(3, 34, 1)):
        connection.execute(text)
    connection.close()


def test_triggers_stay_whole_and_torn_scripts_are_refused() -> None:
    script = "CREATE TRIGGER a BEFORE UPDATE ON b BEGIN\n SELECT 1;\n SELECT 2;\nEND;\n-- why\nSELECT 3;\n-- the end\n"
    assert [text.split()[-1] for text in statements(script)] == ["END;", "3;"]
    with pytest.raises(StoreError, match="middle"):
        list(statements("SELECT 1;\nSELECT 2"))


def test_every_block_of_sql_has_a_name_of_its_own_and_says_why() -> None:
    text = (SQL_FOLDER / "sqlite" / "queries.sql").read_text(encoding="utf-8")
    for block in text.split("\n-- name: ")[1:]:
        assert block.splitlines()[1].startswith("-- "), f"{block.splitlines()[0]} does not say why"
    assert queries("sqlite") is queries("sqlite")
    with pytest.raises(ValueError, match="two blocks"):
        parse("\n-- name: a\nSELECT 1\n-- name: a\nSELECT 2")


def test_the_journal_cannot_be_rewritten(open_store: OpenStore) -> None:
    store = open_store()
    with store.transaction() as tx:
        tx.add_fact(a_fact())
    assert store._writing is not None
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        store._writing.execute("UPDATE facts SET actor = 'somebody else'")
