"""One seed makes one plan."""

from __future__ import annotations

from tests.chaos.nemesis import ANYWHERE, Deed, plan


def test_a_seed_replays_its_plan_and_another_gives_another() -> None:
    first, again, other = (plan(seed, for_s=60, deeds=Deed) for seed in (1, 1, 2))
    assert first == again != other
    assert [act.at_s for act in first] == sorted(act.at_s for act in first)
    assert 0 < first[0].at_s < first[-1].at_s < 60


def test_a_long_plan_does_everything_that_the_place_allows_and_nothing_else() -> None:
    assert {act.deed for act in plan(1, for_s=600, deeds=ANYWHERE)} == ANYWHERE
    assert {act.deed for act in plan(1, for_s=600, deeds=Deed)} == set(Deed)
