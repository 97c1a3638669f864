"""What the tables by hand say, against days known from almanacs: who judges worlds must be right himself."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.simulation.places import PLACES, Crontab, Night, Place

RIGA_SPRING, RIGA_AUTUMN, HOWE_SPRING, HOWE_AUTUMN, CAIRO_SPRING, CAIRO_AUTUMN = PLACES[:6]
HOUR = timedelta(hours=1)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place.timezone} {place.about:%m-%d}")
def test_a_world_is_about_a_clock_change_or_a_midnight(place: Place) -> None:
    before, behind = place.wall(place.about - timedelta(seconds=1)), place.wall(place.about)
    is_change = behind - before != timedelta(seconds=1)
    assert is_change == place.is_change
    assert is_change or behind.time() == datetime.min.time()


@pytest.mark.parametrize(
    ("place", "minutes", "hours", "expected"),
    [
        (RIGA_SPRING, (0, 30), (3,), ["01:00"]),
        (RIGA_SPRING, None, (3,), []),
        (RIGA_SPRING, (30,), None, ["00:30", "01:30"]),
        (RIGA_AUTUMN, (30,), (3,), ["00:30"]),
        (RIGA_AUTUMN, (30,), None, ["00:30", "01:30"]),
        (HOWE_SPRING, (15,), (2,), ["15:30"]),
        (HOWE_AUTUMN, (45,), (1,), ["14:45"]),
        (CAIRO_SPRING, (5,), (0,), ["22:00"]),
        (CAIRO_AUTUMN, (30,), (23,), ["20:30"]),
    ],
)
def test_the_table_knows_skipped_and_repeated_hours(
    place: Place, minutes: tuple[int, ...] | None, hours: tuple[int, ...] | None, expected: list[str]
) -> None:
    crontab = Crontab(minutes=minutes, hours=hours)
    fires = crontab.fires(place, since=place.about - HOUR, until=place.about + HOUR)
    assert [f"{at:%H:%M}" for at in fires] == expected


@pytest.mark.parametrize(
    ("place", "night", "at", "ends"),
    [
        (RIGA_SPRING, "22:00-07:00", "28 22:00", "29 04:00"),
        (RIGA_SPRING, "22:00-03:30", "29 00:59", "29 01:00"),
        (RIGA_SPRING, "03:10-03:50", "29 01:00", None),
        (RIGA_SPRING, "03:10-04:02", "29 01:00", "29 01:02"),
        (RIGA_AUTUMN, "03:00-03:02", "25 00:30", "25 01:02"),
        (RIGA_AUTUMN, "03:00-03:02", "25 01:02", None),
        (CAIRO_SPRING, "23:00-00:30", "23 21:59", "23 22:00"),
        (HOWE_AUTUMN, "01:45-01:50", "04 14:59", "04 15:20"),
    ],
)
def test_the_table_knows_when_a_night_ends(place: Place, night: str, at: str, ends: str | None) -> None:
    begin, end = (int(clock[:2]) * 60 + int(clock[3:]) for clock in night.split("-"))
    hours = Night(place=place, begin=begin, end=end, days=None, is_skip=False)
    assert hours.text == night
    month = f"{place.about:%Y-%m}"
    found = hours.ends_at(datetime.fromisoformat(f"{month}-{at}+00:00"))
    assert found == (ends and datetime.fromisoformat(f"{month}-{ends}+00:00"))
