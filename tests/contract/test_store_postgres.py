"""The store contract, on PostgreSQL: the newest whole, and older ones where this machine has them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.lane_suite import MakeStore, play
from tests.contract.store_suite import StoreContract
from tests.postgres.stores import CleanStores


class TestPostgres(StoreContract):
    """The newest version."""

    @pytest.fixture
    def make_store(self, clean_stores: CleanStores) -> Iterator[MakeStore]:
        with clean_stores.of_one_test() as make:
            yield make

    # A few of the worlds that the file plays, where each costs a tenth of what it costs here.
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12)
    @given(data=st.data())
    def test_whatever_happens_turns_and_wake_ups_are_right(self, make_store: MakeStore, data: st.DataObject) -> None:
        play(make_store(), data)
