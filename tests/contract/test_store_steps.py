"""The contract of lanes and records, on transactions of steps: all lanes are fetched before each body.

Bodies of the contract do what no dispatcher does in one act. So what a step answers from memory, what it leaves to
ordinary statements, and the way from the one to the other are all held to the same promises.
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
from promptyoself.storage.postgres_steps_tx import Known, StepTx
from tests.contract.lane_suite import LaneContract, MakeStore, play
from tests.contract.record_suite import RecordContract
from tests.postgres.stores import CleanStores

if TYPE_CHECKING:
    from promptyoself.domain.ports import Store, Tx

LATE = datetime(2200, 1, 1, tzinfo=UTC)


class WholeStep(StepTx):
    """A step of all lanes that there are."""

    def fetch_all(self) -> None:
        lanes = [str(row["lane"]) for row in self._connection.execute("SELECT lane FROM lanes").fetchall()]
        self.fetch(lanes, until=LATE)


class SteppedStore:
    """A store each of whose writing transactions is a step."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self._known = Known()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the store has besides
        return getattr(self._store, name)

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        with self._store.bracket(lambda connection, at: WholeStep(connection, at, self._known)) as tx:
            tx.fetch_all()
            with tx.nested():
                yield tx


class _OfSteps:
    @pytest.fixture
    def make_store(self, clean_stores: CleanStores) -> Iterator[MakeStore]:
        with clean_stores.of_one_test() as make:
            yield lambda: cast("Store", SteppedStore(make()))

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Store:
        return make_store()


class TestLanes(_OfSteps, LaneContract):
    """Whose turn it is."""

    # A few of the worlds that the ordinary transaction plays: tests/storage/test_steps.py compares the two.
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=6)
    @given(data=st.data())
    def test_whatever_happens_turns_and_wake_ups_are_right(self, make_store: MakeStore, data: st.DataObject) -> None:
        play(make_store(), data)


class TestRecords(_OfSteps, RecordContract):
    """What is recorded."""
