"""Migrations at PostgreSQL: several nodes at once, ours alone, never edited; and what the dialects share."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from promptyoself import storage
from promptyoself.domain import limits
from promptyoself.domain.errors import StoreBusy, StoreCorrupt, StoreError, StoreTooNew
from promptyoself.storage.migrate import Migration, migrations
from promptyoself.storage.postgres import PostgresStore
from promptyoself.storage.postgres_migrate import MIGRATIONS_LOCK, migrate
from promptyoself.storage.postgres_queries import placed, statements
from promptyoself.storage.postgres_statements import locking
from promptyoself.storage.queries import queries
from tests.contract.lane_suite import add_schedule
from tests.postgres.server import PostgresServer, programs
from tests.storage.postgres.conftest import WAIT_S, WAITING, Opened, Start

OURS = migrations("postgres")
NEXT = len(OURS) + 1
SQLITE_ONLY = {
    "add_fact",  # one by one there; here all of a transaction at once
    "add_lane",  # in one statement with keep_lanes here
    "give_out_first",  # a counter that was never used is there here
    "head_now",
    "head_wanted",
    "newest_schedule",
    "older_reminders",
    "older_schedules",
    "older_tables",
    "refresh_hastened_lanes",
    "set_head",
}


def later(text: str) -> tuple[Migration, ...]:
    return (*OURS, Migration(NEXT, f"{NEXT:04}_later", text))


def test_both_dialects_have_the_same_statements_but_for_a_few() -> None:
    here, there = set(queries("postgres")), set(queries("sqlite"))
    assert there - here == SQLITE_ONLY


def test_every_statement_of_postgresql_is_used() -> None:
    folder = Path(storage.__file__).parent
    code = "".join(file.read_text(encoding="utf-8") for file in (*folder.glob("postgres*.py"), *folder.glob("tx*.py")))
    assert [name for name in queries("postgres") if f'"{name}"' not in code] == []


def test_parameters_are_placed_and_casts_are_not() -> None:
    assert statements()["lock_schedule"].endswith(b"WHERE id = %(id)s FOR UPDATE")
    assert not [name for name, text in statements().items() if b"::" in text]


def test_both_dialects_keep_the_same_columns(store: PostgresStore) -> None:
    from promptyoself.storage.sqlite import SqliteStore

    def columns(rows: list[tuple[str, str]]) -> set[tuple[str, str]]:
        return {(table, column) for table, column in rows if not table.startswith(("sqlite_", "pgqueuer"))}

    with psycopg.connect(store._conninfo) as connection:
        here = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
        ).fetchall()
    file = SqliteStore.open(":memory:", new_uid=lambda: "1" * 32)
    assert file._writing is not None
    there = file._writing.execute(
        "SELECT m.name, c.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c WHERE m.type = 'table'"
    ).fetchall()
    file.close()
    assert columns(there) <= columns(here)


def test_several_nodes_that_start_at_once_make_one_database(postgres_url: str, start: Start, opened: Opened) -> None:
    processes = [start(postgres_url, "sys.stdin.readline(); say(opened().uid)") for _ in range(3)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    uids = {process.communicate(timeout=60)[0] for process in processes}
    assert len(uids) == 1
    assert opened(postgres_url).uid == uids.pop().strip()


def test_what_another_node_makes_between_two_looks_is_ours(postgres_url: str, opened: Opened) -> None:
    class Slow(psycopg.Connection[dict[str, Any]]):
        def execute(self, query: Any, *args: Any, **options: Any) -> psycopg.Cursor[dict[str, Any]]:  # noqa: ANN401  as it takes
            if query == placed("any_object"):
                opened(postgres_url).close()
            return super().execute(query, *args, **options)

    with Slow.connect(postgres_url, autocommit=True, row_factory=dict_row) as slow:
        migrate(slow, "here", OURS, new_uid=lambda: "9" * 32)
        kept = slow.execute(placed("store_uid")).fetchone()
    assert kept is not None
    assert kept["value"] == opened(postgres_url).uid != "9" * 32


def test_opening_again_changes_nothing_and_an_upgrade_keeps_what_is_there(postgres_url: str, opened: Opened) -> None:
    store = opened(postgres_url)
    schedule = add_schedule(store)
    for _ in range(6):  # by then they are prepared
        with store.transaction() as tx:
            assert tx.schedule(schedule.id) == schedule
    for _ in range(2):
        upgraded = opened(postgres_url, steps=later("ALTER TABLE schedules ADD COLUMN mood TEXT; SELECT 1"))
        with upgraded.reading() as tx:
            assert tx.schedule(schedule.id) == schedule
        assert upgraded.uid == store.uid
        # The node that was there goes on meanwhile, with the statements it has prepared.
        with store.transaction() as tx:
            assert tx.schedule(schedule.id) == schedule
            tx.save_schedule(schedule)
        upgraded.close()
    store.close()
    with pytest.raises(StoreTooNew, match="newer promptyoself"):
        opened(postgres_url)


def test_no_statement_that_is_prepared_answers_columns_that_a_newer_version_adds(
    postgres_url: str, opened: Opened
) -> None:
    opened(postgres_url)
    asked = {
        name: text for name, text in {**statements(), **locking()}.items() if text.startswith((b"SELECT", b"WITH"))
    }
    refused = []
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for name, text in asked.items():
            connection.execute(sql.SQL("PREPARE {} AS ").format(sql.Identifier(name)).as_bytes() + _numbered(text))
        for table in queries("postgres", "columns"):
            connection.execute(sql.SQL("ALTER TABLE {} ADD COLUMN mood TEXT").format(sql.Identifier(table)))
        for name, text in asked.items():
            nothing = [sql.NULL] * len(_parameters(text))
            given = sql.SQL("({})").format(sql.SQL(", ").join(nothing)) if nothing else sql.SQL("")
            try:
                connection.execute(sql.SQL("EXPLAIN EXECUTE {}").format(sql.Identifier(name)) + given)
            except psycopg.errors.FeatureNotSupported:
                refused.append(name)
    assert refused == []
    assert len(asked) > 80


def test_the_columns_that_are_listed_are_those_of_the_tables(store: PostgresStore) -> None:
    with psycopg.connect(store._conninfo) as connection:
        for table, columns in queries("postgres", "columns").items():
            there = connection.execute(
                b"SELECT attname FROM pg_attribute WHERE attrelid = CAST(%s AS regclass) AND attnum > 0", [table]
            ).fetchall()
            assert sorted(columns.replace("\n", " ").split(", ")) == sorted(name for (name,) in there), table


def test_a_migration_that_fails_leaves_nothing(postgres_url: str, opened: Opened) -> None:
    with pytest.raises(StoreError):
        opened(postgres_url, steps=later("CREATE TABLE half (x int); SELECT nothing"))
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT to_regclass('half'), to_regclass('schedules')").fetchone() == (None, None)
    opened(postgres_url).close()


def test_a_migration_that_waits_for_a_table_lets_others_pass_and_comes_back(
    postgres_url: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is asked of a table waits behind an ALTER that waits for it."""
    monkeypatch.setattr(limits, "MIGRATION_LOCK_FOR", timedelta(milliseconds=200))
    monkeypatch.setattr(limits, "MIGRATION_PAUSE", timedelta(milliseconds=50))
    monkeypatch.setattr(limits, "MIGRATION_TRIES", 1000)
    store = opened(postgres_url)
    steps = later("ALTER TABLE calendars ADD COLUMN mood TEXT; ALTER TABLE schedules ADD COLUMN mood TEXT")
    with ThreadPoolExecutor(1) as pool, psycopg.connect(postgres_url) as reader:
        reader.execute("SELECT count(*) FROM schedules")
        upgrade = pool.submit(lambda: opened(postgres_url, steps=steps))
        with psycopg.connect(postgres_url, autocommit=True, options="-c lock_timeout=5s") as other:
            other.execute(WAITING)
            other.execute("SELECT count(*) FROM calendars")  # which the migration had already when it came to wait
        schedule = add_schedule(store)
        assert not upgrade.done()
        reader.rollback()
        with upgrade.result(timeout=WAIT_S).reading() as tx:
            assert tx.schedule(schedule.id) == schedule
    with psycopg.connect(postgres_url) as connection:
        connection.execute("SELECT mood FROM schedules")


def test_a_migration_that_gets_no_table_gives_up_and_leaves_nothing(
    postgres_url: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MIGRATION_LOCK_FOR", timedelta(milliseconds=20))
    monkeypatch.setattr(limits, "MIGRATION_PAUSE", timedelta(milliseconds=1))
    store = opened(postgres_url)
    with psycopg.connect(postgres_url) as reader:
        reader.execute("SELECT count(*) FROM schedules")
        with pytest.raises(StoreBusy, match="busy"):
            opened(postgres_url, steps=later("CREATE TABLE half (x int); ALTER TABLE schedules ADD COLUMN mood TEXT"))
        assert reader.execute("SELECT to_regclass('half')").fetchone() == (None,)
    add_schedule(store)


def test_a_node_waits_for_anothers_migrations_longer_than_for_a_table(
    postgres_url: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MIGRATION_LOCK_FOR", timedelta(milliseconds=1))
    monkeypatch.setattr(limits, "MIGRATION_PAUSE", timedelta(milliseconds=1))
    opened(postgres_url).close()
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(postgres_url) as other,
        psycopg.connect(postgres_url, autocommit=True) as watch,
    ):
        other.execute(statements()["lock_name"], {"name": MIGRATIONS_LOCK})
        upgrade = pool.submit(lambda: opened(postgres_url, steps=later("SELECT 1")))
        watch.execute(WAITING)
        watch.execute("SELECT pg_sleep(0.1)")  # many times what it would wait for a table, all its tries together
        assert not upgrade.done()
        other.rollback()
        upgrade.result(timeout=WAIT_S)


def test_an_edited_migration_is_refused(postgres_url: str, opened: Opened) -> None:
    opened(postgres_url).close()
    edited = (replace(OURS[0], text=OURS[0].text + "-- better"), *OURS[1:])
    with pytest.raises(StoreCorrupt, match="another text"):
        opened(postgres_url, steps=edited)


@pytest.mark.parametrize("table", ["customers (id int)", "migrations (id int, migration text)"])
def test_a_database_of_another_program_is_left_as_it_is(postgres_url: str, table: str, opened: Opened) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {table}".encode())
    with pytest.raises(StoreCorrupt, match="another program"):
        opened(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA ours")
    separator = "&" if "?" in postgres_url else "?"
    store = opened(f"{postgres_url}{separator}options=-csearch_path%3Dours")
    assert add_schedule(store).id == 1
    store.close()
    with pytest.raises(StoreError, match="schema"):
        opened(f"{postgres_url}{separator}options=-csearch_path%3Dnowhere")


def test_others_tables_beside_ours_are_none_of_our_business(postgres_url: str, opened: Opened) -> None:
    opened(postgres_url).close()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE customers (id int)")
    opened(postgres_url).close()


def test_a_database_without_its_uid_is_damaged(postgres_url: str, opened: Opened) -> None:
    opened(postgres_url).close()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DELETE FROM meta WHERE name = 'store_uid'")
    with pytest.raises(StoreCorrupt, match="lost its uid"):
        opened(postgres_url)


def test_the_journal_cannot_be_rewritten(store: PostgresStore) -> None:
    with psycopg.connect(store._conninfo) as connection, pytest.raises(psycopg.Error, match="append-only"):
        connection.execute("UPDATE facts SET actor = 'nobody'")


def test_the_secret_behind_nonces_is_each_databases_own(
    store: PostgresStore, postgres_url: str, opened: Opened
) -> None:
    with store.reading() as tx, opened(postgres_url).reading() as other:
        assert len(tx.reply_secret()) == 64
        assert int(tx.reply_secret(), 16) != int(other.reply_secret(), 16)


@pytest.mark.parametrize("version", [15, 16])
def test_older_versions_do_as_the_newest(version: int, opened: Opened) -> None:
    """A subset: every statement is run once by tests/contract against the newest; by hand against these, too."""
    if programs(version) is None:
        pytest.skip(f"this machine has no PostgreSQL {version}")
    with PostgresServer(version) as server:
        url = server.new_database()
        store = opened(url)
        schedule = add_schedule(store)
        with store.transaction() as tx:
            assert tx.schedule(schedule.id) == schedule
            tx.add_schedules([])
        with psycopg.connect(url, autocommit=True) as connection:
            # What a version does not understand shows when a statement is prepared.
            for number, text in enumerate(statements().values()):
                if text.startswith(b"LOCK"):  # which is older than all of them, and cannot be prepared by SQL
                    continue
                connection.execute(b"PREPARE s%d AS %s" % (number, _numbered(text)))
        store.close()


def _parameters(text: bytes) -> list[bytes]:
    return list(dict.fromkeys(re.findall(rb"%\((\w+)\)s", text)))


def _numbered(text: bytes) -> bytes:
    for number, name in enumerate(_parameters(text), start=1):
        text = text.replace(b"%%(%s)s" % name, b"$%d" % number)
    return text.replace(b"%%", b"%")
