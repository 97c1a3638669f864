"""The store contract, on PostgreSQL: the newest whole, and older ones where this machine has them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.lane_suite import MakeStore
from tests.contract.store_suite import StoreContract
from tests.postgres.stores import CleanStores


class TestPostgres(StoreContract):
    """The newest version."""

    @pytest.fixture
    def make_store(self, clean_stores: CleanStores) -> Iterator[MakeStore]:
        with clean_stores.of_one_test() as make:
            yield make
