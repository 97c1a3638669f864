"""The contract of lanes, on transactions that plan: each has taken all schedules before its body.

What a planner's transaction answers from memory and keeps back until the commit, and the way from there to ordinary
statements, are held to the same promises.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptyoself.storage.postgres import PostgresStore
from promptyoself.storage.postgres_tx import PostgresTx
from tests.contract.lane_suite import LaneContract, MakeStore, play
from tests.postgres.stores import CleanStores

if TYPE_CHECKING:
    from promptyoself.domain.ports import Store, Tx

LATE = datetime(2200, 1, 1, tzinfo=UTC)


class WholePlan(PostgresTx):
    """A planner that has taken all schedules there are, and knows of all fire times what is stored."""

    def take_all(self) -> None:
        for schedule in self.schedules_due(now=LATE, limit=999):
            taken = self._kept.planned.taken[schedule.id]
            taken.looked_from = 0
            found = self._connection.execute(
                "SELECT fire_at FROM deliveries WHERE kind = 'scheduled' AND schedule_id = %s AND revision = %s",
                (schedule.id, schedule.revision),
            )
            taken.stored = {int(row["fire_at"]) for row in found.fetchall()}


class PlannedStore:
    """A store each of whose writing transactions plans."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the store has besides
        return getattr(self._store, name)

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        with self._store.bracket(WholePlan) as tx:
            tx.take_all()
            yield tx


class TestLanes(LaneContract):
    """Whose turn it is."""

    @pytest.fixture
    def make_store(self, clean_stores: CleanStores) -> Iterator[MakeStore]:
        with clean_stores.of_one_test() as make:
            yield lambda: cast("Store", PlannedStore(make()))

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Store:
        return make_store()

    # A few of the worlds that the ordinary transaction plays.
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=6)
    @given(data=st.data())
    def test_whatever_happens_turns_and_wake_ups_are_right(self, make_store: MakeStore, data: st.DataObject) -> None:
        play(make_store(), data)
