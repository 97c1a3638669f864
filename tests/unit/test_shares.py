"""How executors divide what one target may be asked at once."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from promptyoself.domain.shares import fair_share

names = st.sets(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=12)


@settings(max_examples=60)
@given(most=st.integers(0, 100), names=names)
def test_the_parts_come_to_the_whole_and_differ_by_one_at_most(most: int, names: set[str]) -> None:
    parts = [fair_share(most, name, names - {name}) for name in names]
    assert sum(parts) == most
    assert max(parts) - min(parts) <= 1


def test_what_is_left_over_goes_to_the_first_by_name() -> None:
    assert [fair_share(5, name, {"a", "b", "c"} - {name}) for name in "abc"] == [2, 2, 1]
    assert [fair_share(2, name, {"a", "b", "c"} - {name}) for name in "abc"] == [1, 1, 0]
