"""The store contract, on SQLite: in a file, and in memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from promptyoself.domain.ports import Store
from promptyoself.storage.sqlite import SqliteStore
from tests.contract.lane_suite import MakeStore
from tests.contract.store_suite import StoreContract


class TestSqlite(StoreContract):
    """Both places that SQLite has for a database."""

    @pytest.fixture(params=["file", "memory"])
    def make_store(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeStore]:
        numbers = count(1)
        stores: list[Store] = []

        def make() -> Store:
            number = next(numbers)
            place = ":memory:" if request.param == "memory" else tmp_path / f"{number}.db"
            # No test here asks whether the disk has it: that is tests/storage's.
            store: Store = SqliteStore.open(place, new_uid=lambda: f"{number:032x}")
            stores.append(store)
            return store

        yield make
        for store in stores:
            store.close()
