"""Instants and zones as people write them."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptyoself.domain.errors import InvalidTimezone, InvalidTrigger
from promptyoself.domain.localtime import check_timezone, offset_at, parse_instant, resolve, span_at, to_wall, zone
from tests.unit.wall_oracle import CHANGES

WALLS = datetime(1971, 1, 1), datetime(2090, 1, 1)  # noqa: DTZ001 - walls
ZONES = sorted({name for name, _ in CHANGES})


@pytest.mark.parametrize(
    ("text", "timezone", "instant"),
    [
        ("2027-03-29T09:00", "Europe/Riga", "2027-03-29T06:00:00"),
        ("2027-03-29 09:00:01", "Europe/Riga", "2027-03-29T06:00:01"),
        ("20270329T090001", "Europe/Riga", "2027-03-29T06:00:01"),
        ("2027-03-29T09:00Z", "Europe/Riga", "2027-03-29T09:00:00"),
        ("2027-03-29t09:00z", "Europe/Riga", "2027-03-29T09:00:00"),
        ("2027-03-29T09:00:00.1234567+05:45", "Europe/Riga", "2027-03-29T03:15:00.123456"),
        ("2027-03-29T09:00-0330", "Europe/Riga", "2027-03-29T12:30:00"),
        ("2027-03-29T09:00:00 +02", "Europe/Riga", "2027-03-29T07:00:00"),
        # skipped: the first instant after the jump
        ("2027-03-28T03:30", "Europe/Riga", "2027-03-28T01:00:00"),
        ("2026-10-04T02:15", "Australia/Lord_Howe", "2026-10-03T15:30:00"),
        ("2018-11-04T00:00", "America/Sao_Paulo", "2018-11-04T03:00:00"),
        ("2011-12-30T12:00", "Pacific/Apia", "2011-12-30T10:00:00"),
        ("1994-12-31T12:00", "Pacific/Kiritimati", "1994-12-31T10:00:00"),
        # twice: the first
        ("2027-10-31T03:30", "Europe/Riga", "2027-10-31T00:30:00"),
        ("2027-04-04T01:45", "Australia/Lord_Howe", "2027-04-03T14:45:00"),
    ],
)
def test_instants_are_read_in_their_zone(text: str, timezone: str, instant: str) -> None:
    assert parse_instant(text, timezone=timezone) == datetime.fromisoformat(instant).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "tomorrow", "2027-13-01T09:00", "2027-02-30T09:00", "2027-03-29T24:00",
     "2027-03-29T09:60", "2027-03-29T09:00:60",
     "2027-03-29T09", "2027-03-29X09:00", "2027-03-29T09:00+25:00", "2027-03-29T09:00+02:75",
     "2027-03-29T09:00 Europe/Riga",
     "1969-12-31T09:00", "0001-01-01T00:00", "9999-12-31T23:59Z", "0000-01-01T00:00", "1790000000", "2027-W13-1T09:00",
     "\u0662\u0660\u0662\u0667-03-29T09:00", "2027-03-29T09:00" + "0" * 5000],
)  # fmt: skip
def test_garbage_is_refused_naming_the_value(text: str) -> None:
    with pytest.raises(InvalidTrigger) as refusal:
        parse_instant(text, timezone="Europe/Riga")
    assert repr(text[:100])[:-1] in refusal.value.message
    assert len(refusal.value.message) < 400


def test_a_date_without_a_time_is_refused_with_an_example() -> None:
    with pytest.raises(InvalidTrigger, match="without a time of day") as refusal:
        parse_instant("2027-03-29", timezone="Europe/Riga")
    assert "2027-03-29T09:00" in str(refusal.value.hint)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        instant = parse_instant(text, timezone="Europe/Riga")
    except InvalidTrigger as refusal:
        assert refusal.hint  # noqa: PT017 - most texts are refused, some are not
    else:
        assert instant.tzinfo is UTC


@given(st.datetimes(*WALLS), st.sampled_from(ZONES))
def test_a_wall_that_exists_resolves_to_its_first_instant(wall: datetime, timezone: str) -> None:
    here = zone(timezone)
    instant = resolve(wall, here)
    if to_wall(instant, here) == wall:
        earlier = {instant - timedelta(minutes=minutes) for minutes in (30, 60, 120, 180, 24 * 60)}
        assert wall not in {to_wall(moment, here) for moment in earlier}
    else:
        just_before = instant - timedelta(microseconds=1)
        assert to_wall(just_before, here) < wall < to_wall(instant, here)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("europe/riga", "Europe/Riga"),
        ("Riga", "Europe/Riga"),
        ("Europe/Rigga", "Europe/Riga"),
        ("new york", "America/New_York"),
        ("America/NewYork", "America/New_York"),
        ("Europe", "did you mean"),
        ("", "Area/City"),
        ("+02:00", ""),
        ("../../etc/passwd", ""),
        ("/etc/localtime", ""),
        ("Europe/Riga\0", "did you mean"),
        ("posix/Europe/Riga", "did you mean"),
        ("right/Europe/Riga", "did you mean"),
        ("localtime", ""),
        ("zone.tab", ""),
        ("\u00e9" * 3000, ""),
    ],
)
def test_an_unknown_zone_is_refused_with_a_near_one(name: str, hint: str) -> None:
    with pytest.raises(InvalidTimezone) as refusal:
        check_timezone(name)
    assert hint in str(refusal.value.hint)
    assert len(refusal.value.message) < 400


def test_a_known_zone_is_returned() -> None:
    assert check_timezone("Asia/Kathmandu") == "Asia/Kathmandu"


def test_no_zone_changes_twice_between_two_probes() -> None:
    """What span_at relies on; PROMPTYOSELF_ORACLE_EXAMPLES makes it look at every zone, which takes minutes."""
    for name in sorted(available_timezones()) if "PROMPTYOSELF_ORACLE_EXAMPLES" in os.environ else ZONES:
        here, last_change = ZoneInfo(name), datetime(1971, 1, 1, tzinfo=UTC)
        instant, offset = datetime(1990, 1, 1, tzinfo=UTC), timedelta(0)
        while instant.year < 2038:
            instant += timedelta(days=1)
            if (now := offset_at(here, instant)) != offset:
                assert instant - last_change > timedelta(days=5), (name, instant)
                offset, last_change = now, instant


@pytest.mark.parametrize("timezone", ZONES)
@pytest.mark.parametrize("year", [1994, 2011, 2018, 2022, 2027, 2045])
def test_spans_cover_a_year_and_tell_the_offset(timezone: str, year: int) -> None:
    here, instant = zone(timezone), datetime(year, 1, 1, tzinfo=UTC)
    while instant.year == year:
        span = span_at(here, instant)
        assert span.begin_at == instant
        for within in (span.begin_at, span.end_at - timedelta(seconds=1)):
            assert offset_at(here, within) == span.offset
        assert span.offset - offset_at(here, span.begin_at - timedelta(seconds=1)) == span.shift
        instant = span.end_at
