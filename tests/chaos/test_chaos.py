"""A fleet of real processes under everything that goes wrong, for a few seconds each; `make chaos` plays it long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import scenarios
from tests.chaos.checker import worst
from tests.chaos.places import PostgresPlace
from tests.chaos.scenarios import Verdict

pytestmark = pytest.mark.slow


@pytest.fixture
def place() -> Iterator[PostgresPlace]:
    with PostgresPlace() as made:
        yield made


def assert_held(verdict: Verdict) -> None:
    assert not verdict.complaints, f"{verdict.figures}\n{worst(verdict.complaints)}"


def test_workers_stopped_beyond_their_leases_send_nothing_of_what_they_have_lost(
    tmp_path: Path, place: PostgresPlace
) -> None:
    assert_held(scenarios.stopped_beyond_its_lease(tmp_path, place))


def test_nodes_go_on_by_themselves_when_the_database_is_back(tmp_path: Path, place: PostgresPlace) -> None:
    assert_held(scenarios.database_away(tmp_path, place, away_s=5.0))
