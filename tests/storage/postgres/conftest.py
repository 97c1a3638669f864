"""Stores on PostgreSQL, transactions side by side, and a way to run code in other processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest

from promptyoself.storage.postgres import PostgresStore
from promptyoself.storage.postgres_tx import PostgresTx
from tests.postgres.stores import CleanStores

T = TypeVar("T")
Start = Callable[..., "subprocess.Popen[str]"]
Opened = Callable[..., PostgresStore]
WAIT_S = 30
WAITING = """
DO $$ BEGIN
    FOR look IN 1..1500 LOOP
        IF EXISTS (SELECT 1 FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock') THEN RETURN; END IF;
        PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
    END LOOP;
    RAISE EXCEPTION 'nobody waits for a lock';
END $$
"""


@dataclass
class Beside:
    """Runs an act in a transaction of another thread, to see what it waits for."""

    store: PostgresStore
    url: str
    pool: ThreadPoolExecutor

    def runs(self, act: Callable[[PostgresTx], T]) -> T:
        """Run the act, which must wait for nobody."""
        return self._begun(act).result(timeout=WAIT_S)

    def waits(self, act: Callable[[PostgresTx], T]) -> Future[T]:
        """Begin the act, and return when it waits for a lock; fails when it does not."""
        begun = self._begun(act)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(WAITING)
        assert not begun.done()
        return begun

    def _begun(self, act: Callable[[PostgresTx], T]) -> Future[T]:
        def body() -> T:
            with self.store.transaction() as tx:
                return act(tx)

        return self.pool.submit(body)


@pytest.fixture
def store(clean_stores: CleanStores) -> Iterator[PostgresStore]:
    """An empty store."""
    with clean_stores.of_one_test() as make:
        yield make()


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Open stores at any address; all are closed in the end."""
    stores: list[PostgresStore] = []

    def at(url: str, **options: object) -> PostgresStore:
        stores.append(PostgresStore.open(url, new_uid=lambda: "1" * 32, **options))  # type: ignore[arg-type]
        return stores[-1]

    yield at
    for store in stores:
        store.close()


@pytest.fixture
def url(store: PostgresStore) -> str:
    """The address of the store's database."""
    return store._conninfo


@pytest.fixture
def beside(store: PostgresStore, url: str) -> Iterator[Beside]:
    """Other threads' transactions at the store."""
    with ThreadPoolExecutor(4) as pool:
        yield Beside(store, url, pool)


@pytest.fixture
def at_once() -> Callable[[int, Callable[[int], T]], list[T]]:
    """Call something in many threads that all begin at the same moment; return what each returned."""

    def run(count: int, body: Callable[[int], T]) -> list[T]:
        gate = threading.Barrier(count)

        def one(number: int) -> T:
            gate.wait(timeout=WAIT_S)
            return body(number)

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(one, range(count), timeout=2 * WAIT_S))

    return run


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process that runs `code` with `store` open at an address, and pipes."""
    processes: list[subprocess.Popen[str]] = []

    def started(url: str, code: str) -> subprocess.Popen[str]:
        opening = f"""
import os, sys, uuid
from datetime import timedelta
from promptyoself.storage.postgres import Bounds, PostgresStore
from tests.factories import *
url = {url!r}
def say(word): print(word, flush=True)
def opened(**options): return PostgresStore.open(url, new_uid=lambda: uuid.uuid4().hex, **options)
"""
        process = subprocess.Popen(
            [sys.executable, "-c", opening + code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        processes.append(process)
        return process

    yield started
    for process in processes:
        process.kill()
        process.communicate()
