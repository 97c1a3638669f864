"""A move from a file to PostgreSQL, and back: the same by way of another dialect, and what only a server has."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from promptyoself.domain.errors import Conflict, InvalidInput, StoreBusy, StoreError, StoreMoved
from promptyoself.storage.move import STAYING, STAYING_IN_A_FLEET, TABLES, Origin
from promptyoself.storage.move_ends import moved, undone
from promptyoself.storage.postgres import PostgresStore
from promptyoself.storage.sqlite import SqliteStore
from tests.factories import MINUTE, NOW, a_fact, a_new_schedule
from tests.postgres.server import PostgresServer
from tests.storage.move.populated import populate, told
from tests.storage.move.test_move_sqlite import StillClock, Write, takes_writes

LATER = NOW + MINUTE


class Site:
    """A populated file and an empty database on the server."""

    def __init__(self, folder: Path, master: Path, server: PostgresServer) -> None:
        self.path = folder / "old.db"
        shutil.copy(master, self.path)
        with closing(SqliteStore.open(self.path, new_uid=str)) as store:
            self.told = told(store)
        self.url = server.new_database()
        self._ids = (f"move-{number}" for number in count(1))
        self.said: list[str] = []

    def move(self, source: str | None = None, target: str | None = None) -> Origin:
        origin, _ = moved(
            source or str(self.path),
            target or self.url,
            new_id=self._ids.__next__,
            clock=StillClock(LATER),
            wait=timedelta(0),
            tell=self.said.append,
        )
        return origin

    @contextmanager
    def store(self) -> Iterator[PostgresStore]:
        with closing(PostgresStore.open(self.url, new_uid=lambda: "ab" * 16)) as store:
            yield store

    def told_there(self) -> dict[str, Any]:
        with self.store() as store:
            return told(store)

    def write_there(self, act: Write) -> None:
        with self.store() as store, store.transaction() as tx:
            act(tx)

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("master") / "p.db"
    with closing(SqliteStore.open(path, new_uid=lambda: "cd" * 16)) as store:
        populate(store)
    return path


@pytest.fixture
def site(tmp_path: Path, master: Path, postgres: PostgresServer) -> Site:
    return Site(tmp_path, master, postgres)


def test_all_that_was_promised_is_told_there_and_no_id_is_given_out_again(site: Site) -> None:
    origin = site.move()
    assert site.told_there() == site.told
    assert all(one.rows for one in origin.compared)
    assert not takes_writes(site.path)
    newest = site.told["newest_fact"]
    with site.store() as store:
        with store.transaction() as tx:
            assert tx.add_schedule(a_new_schedule("ff" * 16)).id == len(site.told["schedules"]) + 1
            tx.add_fact(a_fact())
        with store.reading() as tx:
            assert tx.newest_fact_id() == newest + 1


def test_a_server_that_has_no_room_for_the_moves_own_connection_is_told_of_as_ever(site: Site) -> None:
    name = f"few_{site.url.partition('?')[0].rpartition('/')[2]}"
    with psycopg.connect(site.url, autocommit=True) as owner:
        for statement in (f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 1", f"GRANT ALL ON SCHEMA public TO {name}"):
            owner.execute(statement.encode())
    with pytest.raises(StoreBusy, match="all connections to the database"):
        site.move(target=site.url.replace("postgres@", f"{name}@"))


def test_the_way_back_brings_all_of_it_and_fences_the_server(site: Site, tmp_path: Path) -> None:
    there = site.move()
    back = tmp_path / "back.db"
    with site.store() as early:
        # The move's own steps are no rows of the new place: what was compared then is what is compared now.
        again = site.move(site.url, f"sqlite:{back}")
        assert again.compared == there.compared
        acts: list[Write] = [lambda tx: tx.add_fact(a_fact()), lambda tx: tx.set_stop_switch(None)]
        for act in acts:
            with pytest.raises(StoreMoved, match=f"was moved to {back}"), early.transaction() as tx:
                act(tx)
        assert told(early)["schedules"] == site.told["schedules"]
    with closing(SqliteStore.open(back, new_uid=str)) as returned:
        assert told(returned) == site.told
        with returned.transaction() as written:
            written.add_fact(a_fact())
            assert written.newest_fact_id() == site.told["newest_fact"] + 1


def test_every_table_of_the_server_moves_or_is_known_to_stay(site: Site) -> None:
    with site.store():
        pass
    found = {name for (name,) in site.sql("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")}
    assert found == {table.name for table in TABLES} | STAYING | STAYING_IN_A_FLEET


def test_what_an_administrator_has_set_for_the_database_ends_no_move(
    site: Site, tmp_path: Path, postgres: PostgresServer
) -> None:
    name = site.url.partition("?")[0].rpartition("/")[2]
    for setting in ("idle_session_timeout", "idle_in_transaction_session_timeout", "transaction_timeout"):
        site.sql(f"ALTER DATABASE {name} SET {setting} = '50ms'")
    looks = []

    def look(line: str) -> None:
        if line.startswith("copied"):  # from a transaction that is open, or between two
            looks.append(line)
            with psycopg.connect(postgres.url()) as patient:
                patient.execute("SELECT pg_sleep(0.1)")

    site.said = _Told(look)
    there = site.move()
    assert len(looks) > 2
    assert site.move(site.url, f"sqlite:{tmp_path / 'back.db'}").compared == there.compared


def test_while_it_is_filled_nobody_else_writes_there_and_its_uid_is_right_from_the_first(site: Site) -> None:
    refused: list[str] = []

    def look(line: str) -> None:
        if line.startswith("copied"):
            if not refused:
                early.append(opening.enter_context(site.store()))
                assert early[0].uid == site.told["uid"]
            with pytest.raises(StoreBusy, match="another database is being moved"), early[0].transaction() as tx:
                tx.add_schedule(a_new_schedule("ff" * 16))
            refused.append(line)

    site.said = _Told(look)
    early: list[PostgresStore] = []
    with ExitStack() as opening:
        site.move()
    assert len(refused) > len(TABLES) / 2
    site.write_there(lambda tx: tx.add_schedule(a_new_schedule("ff" * 16)))


class _Told(list[str]):
    def __init__(self, look: Any) -> None:  # noqa: ANN401  a callable
        super().__init__()
        self.append = look  # type: ignore[method-assign]  # a list that calls


@pytest.mark.parametrize("use", ["a schedule", "another uid"])
def test_a_database_that_is_in_use_is_refused_and_both_go_on(use: str, site: Site) -> None:
    if use == "a schedule":
        opened = closing(PostgresStore.open(site.url, new_uid=lambda: site.told["uid"]))
        with opened as store, store.transaction() as tx:
            tx.add_schedule(a_new_schedule())
    else:
        with site.store():
            pass
    with pytest.raises(Conflict, match="is in use already"):
        site.move()
    assert takes_writes(site.path)
    site.write_there(lambda tx: tx.add_fact(a_fact()))


def test_what_is_stopped_by_a_text_that_cannot_be_kept_there_names_its_row_and_can_be_taken_back(site: Site) -> None:
    with closing(sqlite3.connect(site.path)) as connection, connection:
        connection.execute("UPDATE inbox SET prompt = 'a' || char(0) || 'b' WHERE id = 2")
    with pytest.raises(StoreError, match=r"prompt of inbox \(id 2\) holds a NUL character"):
        site.move()
    assert not takes_writes(site.path)
    assert undone(str(site.path), site.url) == (str(site.path), site.sql("SELECT 1") and _place(site))
    assert takes_writes(site.path)
    with closing(sqlite3.connect(site.path)) as connection, connection:
        connection.execute("UPDATE inbox SET prompt = 'ab', acked_at = 7 WHERE id = 2")
        connection.execute("UPDATE schedules SET name = 'changed' WHERE id = 1")
    site.move()  # from the beginning: what the first one has copied may have changed since
    assert site.sql("SELECT prompt, acked_at FROM inbox WHERE id = 2") == [("ab", 7)]
    assert site.sql("SELECT name FROM schedules WHERE id = 1") == [("changed",)]


def _place(site: Site) -> str:
    with site.store() as store:
        return store.location


def test_two_moves_to_one_place_at_once_are_one_too_many(site: Site) -> None:
    with psycopg.connect(site.url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtextextended('promptyoself/move', 0))")
        with pytest.raises(Conflict, match="another move is at work"):
            site.move()


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        (("a.db", "b.db"), "SQLite files"),
        (("postgresql://a/b", "postgres://c/d"), "on PostgreSQL"),
        (("mysql://a/b", "postgresql://c/d"), "the path of a file"),
    ],
)
def test_ends_that_do_not_go_together_are_refused(ends: tuple[str, str], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        moved(*ends, new_id=str, clock=StillClock(NOW), wait=timedelta(0), tell=print)
