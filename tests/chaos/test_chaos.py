"""The fleet of real processes under everything that goes wrong, for a few seconds each; `make chaos` plays it long.

And the mutants that the guarantee stands or falls with: each is seen, by the same judge, in a run that is quick to
show it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import scenarios
from tests.chaos.checker import worst
from tests.chaos.places import PostgresPlace
from tests.chaos.scenarios import Verdict

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def one_place() -> Iterator[PostgresPlace]:
    with PostgresPlace(is_cut=True) as made:
        yield made


@pytest.fixture
def place(one_place: PostgresPlace) -> PostgresPlace:
    one_place.renew()
    return one_place


def assert_held(verdict: Verdict) -> None:
    assert not verdict.complaints, f"{verdict.figures}\n{worst(verdict.complaints)}"


def assert_seen(verdict: Verdict, *kinds: str) -> None:
    """Assert that the judge names a sin of one of these kinds."""
    seen = {one.partition(":")[0] for one in verdict.complaints}.intersection(kinds)
    assert seen, f"{verdict.figures}\n{worst(verdict.complaints)}"


def test_all_holds_while_everything_goes_wrong_at_once(tmp_path: Path, place: PostgresPlace) -> None:
    assert_held(scenarios.mixed(tmp_path, place, seed=4, for_s=8.0, schedules=30))


def test_bursts_arrive_while_workers_are_killed(tmp_path: Path, place: PostgresPlace) -> None:
    bursts = [(150, 150), (120, 20)]
    verdict = scenarios.bursts_under_kills(tmp_path, place, seed=2, bursts=bursts, kill_every_s=2.0, within_s=60.0)
    assert_held(verdict)
    assert verdict.figures["blows: kill"]


def test_workers_stopped_beyond_their_leases_send_nothing_of_what_they_have_lost(
    tmp_path: Path, place: PostgresPlace
) -> None:
    assert_held(scenarios.stopped_beyond_its_lease(tmp_path, place))


def test_without_the_guard_they_do(tmp_path: Path, place: PostgresPlace) -> None:
    assert_seen(scenarios.stopped_beyond_its_lease(tmp_path, place, mutants=("no_guard",)), "DOUBLED", "OVERLAP")


def test_without_one_key_for_all_attempts_a_repeat_cannot_be_told(tmp_path: Path, place: PostgresPlace) -> None:
    assert_seen(scenarios.bad_first_answers(tmp_path, place, mutants=("fresh_key",)), "KEY")


def test_without_a_last_look_under_the_lanes_lock_prompts_lie_still(tmp_path: Path, place: PostgresPlace) -> None:
    play = scenarios.arrivals_as_turns_end
    assert_seen(play(tmp_path, place, agents=40, within_s=4.0, mutants=("late_drop",)), "LOST")
