"""When to hold everything back, and how much to have open at once."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from promptyoself.domain import limits
from promptyoself.domain.breaker import Breaker, Pace


class TestBreaker:
    def test_it_opens_at_the_third_refusal_in_a_row_and_says_so_once(self) -> None:
        breaker = Breaker()
        assert [breaker.refused() for _ in range(5)] == [False, False, True, False, False]
        assert breaker.is_open

    def test_a_success_in_between_starts_the_count_again(self) -> None:
        breaker = Breaker()
        for _ in range(9):
            assert [breaker.refused(), breaker.refused()] == [False, False]
            breaker.succeeded()
        assert not breaker.is_open

    def test_once_closed_the_next_refusal_opens_it_at_once(self) -> None:
        breaker = Breaker()
        for _ in range(limits.BREAKER_REFUSALS):
            breaker.refused()
        breaker.close()
        assert not breaker.is_open
        assert breaker.refused()

    def test_probes_come_more_and_more_seldom(self) -> None:
        breaker = Breaker()
        for _ in range(limits.BREAKER_REFUSALS):
            breaker.refused()
        assert [breaker.probe_after_s(n) for n in range(7)] == [1, 2, 4, 8, 16, 30, 30]

    def test_a_target_that_only_answers_probes_is_sent_to_more_and_more_seldom(self) -> None:
        breaker, waits = Breaker(), []
        for _ in range(limits.BREAKER_REFUSALS - 1):
            breaker.refused()
        for _ in range(4):
            assert breaker.refused()
            waits.append(breaker.probe_after_s(0))
            breaker.close()
        assert waits == [1, 2, 4, 8]

    def test_a_straggler_that_succeeds_makes_no_probe_come_sooner_than_a_second(self) -> None:
        breaker = Breaker()
        for _ in range(limits.BREAKER_REFUSALS):
            breaker.refused()
        breaker.succeeded()
        assert breaker.probe_after_s(0) == limits.BREAKER_PROBE_FIRST.total_seconds()


class TestPace:
    def test_overload_halves_it_and_never_stops_it(self) -> None:
        pace, caps = Pace(), []
        for _ in range(8):
            pace.overloaded()
            caps.append(pace.cap)
        assert caps == [32, 16, 8, 4, 2, 1, 1, 1]

    def test_a_caps_worth_of_successes_raises_it_by_one(self) -> None:
        pace = Pace(most=8)
        pace.overloaded()
        for _ in range(4):
            assert pace.cap == 4
            pace.succeeded()
        assert pace.cap == 5

    def test_after_an_outage_it_starts_small_and_doubles(self) -> None:
        pace, caps = Pace(), []
        pace.after_outage()
        for _ in range(4 + 8 + 16 + 32):
            caps.append(pace.cap)
            pace.succeeded()
        assert [caps[0], caps[4], caps[12], caps[28], pace.cap] == [4, 8, 16, 32, 64]

    def test_a_small_cap_stays_small_after_an_outage(self) -> None:
        pace = Pace(most=2)
        pace.after_outage()
        assert pace.cap == 2

    @settings(max_examples=30)
    @given(st.lists(st.sampled_from(["overloaded", "after_outage", "succeeded"]), max_size=60), st.integers(1, 64))
    def test_it_stays_within_one_and_its_most(self, story: list[str], most: int) -> None:
        pace = Pace(most=most)
        for what in story:
            getattr(pace, what)()
            assert 1 <= pace.cap <= most

    def test_a_share_bounds_it_and_does_not_make_it_grow_faster(self) -> None:
        pace = Pace(most=8)
        pace.share = 3
        assert pace.cap == 3
        pace.overloaded()
        pace.share = 8
        assert pace.cap == 1
        pace.succeeded()
        assert pace.cap == 2
        pace.share = 0
        assert pace.cap == 0
