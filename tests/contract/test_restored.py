"""A database restored from a real copy, and started on at once: what its earlier life has sent is not sent again.

The oracle is what the agents' server has received; it knows the otids of both lives. No table of ours is asked.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import psycopg
import pytest

from promptyoself.application.restored import Restored, note_restored
from promptyoself.application.schedules import Caller
from promptyoself.domain.ports import Store
from promptyoself.runtime import SystemClock
from promptyoself.storage.postgres import PostgresStore
from promptyoself.storage.sqlite import SqliteStore
from tests.contract.engine_suite import play
from tests.factories import a_fact, a_new_schedule, a_trigger
from tests.lanes.node import Node, post_prompts
from tests.lanes.post import Post
from tests.postgres.server import PostgresServer

SENT = {"waiting", "planned"}
"""Agents whose prompts the earlier life has sent after the copy was made."""


class Places(Protocol):
    """A database, and copies of it. One is open at a time."""

    @property
    def conninfo(self) -> str | None:
        """Its address, where it is one of a fleet."""
        ...

    def open(self) -> Store:
        """Open the one that is in use."""
        ...

    def copy(self) -> None:
        """Make the copy; nobody uses the database meanwhile."""
        ...

    def restore(self) -> None:
        """Use the copy from now on, as it was when it was made; may be said again and again."""
        ...


class _File:
    conninfo: str | None = None

    def __init__(self, folder: Path) -> None:
        self._path, self._copy = folder / "it.db", folder / "copy.db"

    def open(self) -> SqliteStore:
        return SqliteStore.open(self._path, new_uid=lambda: f"{7:032x}")

    def copy(self) -> None:
        with closing(self.open()) as store:
            store.backup(self._copy)

    def restore(self) -> None:
        for ending in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
        shutil.copy(self._copy, self._path)


class _Server:
    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._used, self._copy = server.new_database(), ""

    @property
    def conninfo(self) -> str:
        return self._used

    def open(self) -> PostgresStore:
        return PostgresStore.open(self._used, new_uid=lambda: f"{7:032x}")

    def copy(self) -> None:
        self._copy = self._copied(self._used)

    def restore(self) -> None:
        self._used, self._copy = self._copy, self._copied(self._copy)

    def _copied(self, url: str) -> str:
        name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        with psycopg.connect(self._server.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}_copy TEMPLATE {name}".encode())
        return self._server.url(f"{name}_copy")


@pytest.fixture(params=["sqlite", "postgres"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Places:
    if request.param == "sqlite":
        return _File(tmp_path)
    return _Server(request.getfixturevalue("postgres"))


def told(store: Store) -> Restored:
    """Say what `db restored` says."""
    with store.transaction() as tx:
        return note_restored(tx, in_use_until=None, location="here", caller=Caller(), now=SystemClock().now())


def registered(store: Store) -> None:
    """Store what is due: a delivery that waits, a schedule to be planned, and one for a target of later."""
    at = SystemClock().now() - timedelta(seconds=1)
    post_prompts(store, ["waiting"])
    post_prompts(store, ["later"], target="later")
    trigger = a_trigger(expression="1h", anchor_at=at - timedelta(hours=1))
    with store.transaction() as tx:
        tx.add_schedule(a_new_schedule("uid-planned", agent_id="planned", trigger=trigger, next_fire_at=at))
        tx.add_fact(a_fact(at=at))


def test_what_was_sent_before_a_restore_is_not_sent_again_by_a_node_that_starts_at_once(places: Places) -> None:
    post = Post()

    async def life(targets: Sequence[str], until: Callable[[], bool]) -> None:
        with closing(places.open()) as store:
            found = {target: post.target("a", target) for target in targets}
            async with Node(store, found, conninfo=places.conninfo):
                await post.until(until)

    async def scene() -> None:
        with closing(places.open()) as store:
            registered(store)
        places.copy()
        await life(["inbox"], lambda: len(post.prompts) >= 2)
        assert {agent for agent, _ in post.prompts} == SENT

        places.restore()
        with closing(places.open()) as store:
            due = told(store).due
            assert (due.deliveries, due.schedules) == (2, 1)
        await life(["inbox", "later"], lambda: len(post.asked) >= 3 and len(post.prompts) >= 3)
        assert [agent for agent, _ in post.prompts[2:]] == ["later"]

        # Without a word about it the same copy sends all of it a second time: the promise is that word's.
        places.restore()
        await life(["inbox"], lambda: len(post.prompts) >= 5)
        assert {agent for agent, _ in post.prompts[3:]} == SENT
        assert len(post.asked) == 3

    play(scene())
