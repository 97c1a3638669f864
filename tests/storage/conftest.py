"""A database in a file of its own, and a way to run code in other processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from promptyoself.storage.sqlite import SqliteStore

OpenStore = Callable[..., SqliteStore]
Start = Callable[..., "subprocess.Popen[str]"]
SOON = timedelta(milliseconds=200)
"""How long tests let a store wait for a lock that does not come."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the test's database is, or will be."""
    return tmp_path / "data" / "promptyoself.db"


@pytest.fixture
def open_store(path: Path) -> Iterator[OpenStore]:
    """Open the test's database (or another), as often as wanted; all are closed in the end."""
    uids, stores = count(1), list[SqliteStore]()

    def opened(place: Path | str = path, **options: object) -> SqliteStore:
        store = SqliteStore.open(place, new_uid=lambda: f"{next(uids):032x}", **options)  # type: ignore[arg-type]
        stores.append(store)
        return store

    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Start a process that runs `code` after a common opening, with `store` open at the test's path and pipes."""
    processes: list[subprocess.Popen[str]] = []
    opening = f"""
import os, sys, uuid
from promptyoself.storage.sqlite import SqliteStore
from tests.factories import *
store = SqliteStore.open({str(path)!r}, new_uid=lambda: uuid.uuid4().hex)
def say(word): print(word, flush=True)
"""

    def started(code: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", opening + code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        processes.append(process)
        return process

    yield started
    for process in processes:
        process.kill()
        process.communicate()
