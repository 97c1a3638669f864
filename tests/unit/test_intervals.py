"""Durations as people write them, and periods that never drift."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInterval
from promptyoself.domain.intervals import format_duration, parse_duration
from promptyoself.domain.triggers import count_fires, fire_times, last_fire_at, make_trigger, next_fire_at

NOW = datetime(2027, 3, 24, 10, 0, 7, 250_000, tzinfo=UTC)
periods = st.integers(1, int(limits.INTERVAL_MAX.total_seconds())).map(lambda seconds: timedelta(seconds=seconds))
offsets = st.timedeltas(timedelta(days=-400), timedelta(days=4000))


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("5m", timedelta(minutes=5)),
        ("45m", timedelta(minutes=45)),
        ("1h30m", timedelta(minutes=90)),
        ("1h 30m", timedelta(minutes=90)),
        ("2d", timedelta(days=2)),
        ("1w", timedelta(weeks=1)),
        ("1w2d3h4m5s", timedelta(weeks=1, days=2, hours=3, minutes=4, seconds=5)),
        ("PT45M", timedelta(minutes=45)),
        ("P1DT2H", timedelta(days=1, hours=2)),
        ("P2W", timedelta(weeks=2)),
        ("pt90s", timedelta(seconds=90)),
        (" 5m ", timedelta(minutes=5)),
    ],
)
def test_durations_are_read(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("60", '"60s"'),
        ("5", '"5s"'),
        ("0", "no unit"),
        ("-60", "no unit"),
        ("", "cannot be read"),
        ("0s", "outside"),
        ("-5m", "negative"),
        ("PT0S", "outside"),
        ("9999w", "outside"),
        ("999999999999999w", "cannot be read"),
        ("5M", "cannot be read"),
        ("1.5h", "cannot be read"),
        ("30m1h", "cannot be read"),
        ("1h1h", "cannot be read"),
        ("P", "cannot be read"),
        ("PT", "cannot be read"),
        ("P1M", "length varies"),
        ("P1Y", "length varies"),
        ("soon", "cannot be read"),
        ("\u0665m", "cannot be read"),
    ],
)
def test_what_is_no_duration_is_refused_with_the_value_and_the_cure(text: str, said: str) -> None:
    with pytest.raises(InvalidInterval) as refusal:
        make_trigger("interval", text, timezone="UTC", now=NOW)
    assert "interval" in refusal.value.message
    assert repr(text) in refusal.value.message
    assert said in refusal.value.message
    assert refusal.value.hint


def test_another_name_for_the_duration_stands_in_the_refusal() -> None:
    with pytest.raises(InvalidInterval, match="jitter '5'"):
        parse_duration("5", what="jitter")


@given(periods)
def test_what_is_written_is_read_back(period: timedelta) -> None:
    assert parse_duration(format_duration(period)) == period


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(minutes=-5), "-5m"),
        (timedelta(seconds=1, milliseconds=500), "1.5s"),
        (timedelta(days=10), "10d"),
        (timedelta(days=14), "2w"),
        (timedelta(hours=25), "1d1h"),
    ],
)
def test_durations_are_written(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


def test_the_first_fire_is_one_period_after_creation() -> None:
    trigger = make_trigger("interval", "45m", timezone="UTC", now=NOW)
    assert list(islice(fire_times(trigger, after=NOW), 2)) == [NOW + timedelta(minutes=45), NOW + timedelta(minutes=90)]
    assert next_fire_at(trigger, after=NOW - timedelta(days=9)) == NOW + timedelta(minutes=45)


def test_the_first_fire_is_the_start_when_one_is_given() -> None:
    start_at = NOW + timedelta(hours=5)
    trigger = make_trigger("interval", "45m", timezone="UTC", now=NOW, start_at=start_at)
    assert next_fire_at(trigger, after=NOW) == start_at
    assert next_fire_at(trigger, after=start_at) == start_at + timedelta(minutes=45)


def test_a_start_in_the_past_sets_the_phase() -> None:
    start_at = NOW - timedelta(minutes=100)
    trigger = make_trigger("interval", "45m", timezone="UTC", now=NOW, start_at=start_at)
    assert next_fire_at(trigger, after=NOW) == NOW + timedelta(minutes=35)


@given(periods, offsets, offsets, st.booleans())
def test_every_question_is_answered_by_anchor_plus_k_periods(
    period: timedelta,
    one: timedelta,
    other: timedelta,
    has_start: bool,  # noqa: FBT001 - drawn
) -> None:
    start_at = NOW + timedelta(seconds=3) if has_start else None
    trigger = make_trigger("interval", format_duration(period), timezone="UTC", now=NOW, start_at=start_at)
    first = start_at or NOW + period
    low, high = sorted((NOW + one, NOW + other))

    def number_until(instant: datetime) -> int:
        return 0 if instant < first else (instant - first) // period + 1

    assert next_fire_at(trigger, after=low) == first + number_until(low) * period
    expected = number_until(high) - number_until(low)
    assert count_fires(trigger, after=low, until=high, limit=10**12) == expected
    assert count_fires(trigger, after=low, until=high, limit=5) == min(5, expected)
    last = last_fire_at(trigger, not_before=low + timedelta(microseconds=1), not_after=high)
    assert last == (first + (number_until(high) - 1) * period if expected else None)
