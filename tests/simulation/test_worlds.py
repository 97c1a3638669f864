"""Thousands of small worlds, each of one seed. A failure prints its seed: `pytest tests/simulation --seed N`."""

from __future__ import annotations

import pytest

from tests.simulation.oracle import complaints
from tests.simulation.story import StoryWorld

# A process that is killed leaves coroutines that it never came to start.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")


def test_no_occurrence_is_lost_doubled_early_or_out_of_order(seed: int) -> None:
    world = StoryWorld(seed)
    try:
        found = complaints(world.run().heal())
        assert not found, world.failure(found)
    finally:
        world.close()


@pytest.mark.parametrize("again", [3, 47, 120, 294, 502, 907])
def test_one_seed_makes_one_world(again: int) -> None:
    logs = []
    for _ in range(2):
        world = StoryWorld(again)
        logs.append((world.run().heal().events, [repr(claim) for claim in world.claims()]))
        world.close()
    assert logs[0] == logs[1]
