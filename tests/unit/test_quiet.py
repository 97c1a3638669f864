"""Quiet hours on the wall clock."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.localtime import to_wall, zone
from promptyoself.domain.quiet import QuietHours, QuietMode
from tests.unit.wall_oracle import CHANGES, utc


def released(text: str, timezone: str, at: str) -> str | None:
    release = QuietHours.parse(text).release_at(utc(at), zone(timezone))
    return None if release is None else release.astimezone(zone(timezone)).isoformat(timespec="minutes")


@pytest.mark.parametrize(
    ("text", "at", "release"),
    [
        ("22:00-07:00", "2027-03-24T19:59", None),  # 21:59 in Riga
        ("22:00-07:00", "2027-03-24T20:00", "2027-03-25T07:00+02:00"),
        ("22:00-07:00", "2027-03-25T04:59", "2027-03-25T07:00+02:00"),
        ("22:00-07:00", "2027-03-25T05:00", None),
        ("12:00-13:00", "2027-03-25T10:30", "2027-03-25T13:00+02:00"),
        ("12:00-24:00", "2027-03-25T21:59", "2027-03-26T00:00+02:00"),
        ("00:01-24:00 sat", "2027-03-26T22:01", "2027-03-28T00:00+02:00"),
        # days are those on which the hours begin: Friday's reach into Saturday, Saturday's are none
        ("22:00-07:00 mon-fri", "2027-03-27T01:00", "2027-03-27T07:00+02:00"),
        ("22:00-07:00 mon-fri", "2027-03-27T20:30", None),
        ("22:00-07:00 mon-fri", "2027-03-29T01:00", None),
        ("22:00-07:00 fri-mon", "2027-03-28T21:00", "2027-03-29T07:00+03:00"),
        # over the clock change at 03:00 on the 28th, and with bounds in the gap
        ("22:00-07:00", "2027-03-27T23:00", "2027-03-28T07:00+03:00"),
        ("22:00-03:30", "2027-03-28T00:30", "2027-03-28T04:00+03:00"),
        ("03:30-05:00", "2027-03-28T01:00", "2027-03-28T05:00+03:00"),
        ("03:10-03:40", "2027-03-28T01:00", None),
        # 03:00 to 04:00 comes twice on the 31st of October
        ("22:00-03:30", "2027-10-31T01:10", "2027-10-31T03:30+02:00"),
        ("03:30-05:00", "2027-10-31T00:30", "2027-10-31T05:00+02:00"),
    ],
)
def test_release(text: str, at: str, release: str | None) -> None:
    assert released(text, "Europe/Riga", at) == release


def test_the_zone_may_be_given_by_name() -> None:
    assert QuietHours.parse("00:00-23:59").release_at(utc("2027-03-24T10:00"), "UTC") == utc("2027-03-24T23:59")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("22:00-07:00", "22:00-07:00"),
        ("22:00-07:00 hold", "22:00-07:00"),
        ("7:05-9:00 SKIP", "07:05-09:00 skip"),
        ("22:00-07:00 Mon-Fri skip", "22:00-07:00 mon-fri skip"),
        ("22:00-07:00 sun,mon,wed", "22:00-07:00 mon,wed,sun"),
        ("22:00-07:00 mon-sun", "22:00-07:00"),
        ("22:00-24:00", "22:00-00:00"),
    ],
)
def test_text_is_canonical(text: str, canonical: str) -> None:
    assert str(QuietHours.parse(text)) == canonical


minutes = st.integers(0, 24 * 60 - 1).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")
day_lists = st.one_of(
    st.just(""), st.lists(st.sampled_from(["mon", "tue-thu", "sat-mon", "fri"]), min_size=1).map(",".join)
)


@given(minutes, minutes, day_lists, st.sampled_from(["", "hold", "skip"]))
def test_text_round_trips(begin: str, end: str, days: str, mode: str) -> None:
    text = f"{begin}-{end} {days} {mode}"
    if begin == end:
        with pytest.raises(InvalidInput, match="same time"):
            QuietHours.parse(text)
        return
    quiet = QuietHours.parse(text)
    assert QuietHours.parse(str(quiet)) == quiet
    assert quiet.mode is QuietMode(mode or "hold")


@given(minutes, minutes, st.sampled_from(CHANGES), st.timedeltas(timedelta(days=-2), timedelta(days=2)))
def test_it_is_quiet_whenever_the_clock_shows_a_quiet_time_and_never_at_release(
    begin: str, end: str, change: tuple[str, str], offset: timedelta
) -> None:
    if begin == end:
        return
    quiet, here = QuietHours.parse(f"{begin}-{end}"), zone(change[0])
    instant = utc(f"{change[1]}T12:00") + offset
    shown = f"{to_wall(instant, here):%H:%M}"
    is_within = begin <= shown < end if begin < end else shown >= begin or shown < end
    release = quiet.release_at(instant, here)
    if is_within:
        assert release is not None
    if release is not None:
        assert instant < release <= instant + timedelta(days=2, hours=3)
        assert quiet.release_at(release, here) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("22-7", "cannot be read"),
        ("22:00", "cannot be read"),
        ("25:00-07:00", "25:00 is outside"),
        ("22:00-07:60", "07:60 is outside"),
        ("22:00-22:00", "same time"),
        ("00:00-24:00", "same time"),
        ("22:00-07:00 someday", "'someday' is not a day"),
        ("22:00-07:00 mon-xyz", "'mon-xyz' is not a day"),
        ("22:00-07:00 skip mon", "cannot be read"),
        ("22:00-07:00 mon wait", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_value(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        QuietHours.parse(text)
    assert said in refusal.value.message
    assert repr(text) in refusal.value.message
