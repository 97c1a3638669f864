"""One place for once and for again and again: what is taken as which, and what is refused as it could be either."""

from __future__ import annotations

import pytest

from promptyoself.application.rules import read_when
from promptyoself.domain.errors import InvalidInput
from tests.factories import NOW


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("in 45 minutes", "time"),
        ("tomorrow at 9am", "time"),
        ("monday 9am", "time"),
        ("2030-01-31T09:00", "time"),
        (" 2030-01-31T09:00:00Z ", "time"),
        ("every 45 minutes", "every"),
        ("every weekday at 9am", "every"),
        ("weekdays at 9am", "every"),
        ("mondays at 9am", "every"),
        ("9am every day", "every"),
        ("daily at 9am", "every"),
        ("first monday of every month at 10:00", "every"),
        ("0 9 * * mon-fri", "cron"),
        ("@daily", "cron"),
        ("FREQ=DAILY;BYHOUR=9", "rrule"),
    ],
)
def test_a_rule_goes_to_the_option_that_takes_it(text: str, option: str) -> None:
    assert read_when(text, timezone="UTC", now=NOW) == (option, text.strip())


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("45m", ('"in 45m"', '"every 45m"')),
        ("PT45M", ('"in 45m"', '"every 45m"')),
        ("1h30m", ('"in 1h30m"', '"every 1h30m"')),
        ("weekday at 9am", ('"every weekday at 9am"', '"next monday at 9am"')),
        ("", ('"in 45 minutes"', '"every 45 minutes"')),
        ("1772442000000", ('"in 45 minutes"', '"every 45 minutes"')),
        ("weekdays at 9", ('"weekdays at 9am"', '"weekdays at 9pm"')),
    ],
)
def test_what_could_be_either_is_refused_with_both_ways_to_write_it(text: str, forms: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_when(text, timezone="UTC", now=NOW)
    assert refused.value.hint
    assert all(form in refused.value.hint for form in forms)


def test_what_is_suggested_is_taken() -> None:
    for text in ("in 45m", "every 45m", "in 1h30m", "every weekday at 9am", "next monday at 9am", "in 45 minutes"):
        assert read_when(text, timezone="UTC", now=NOW)[1] == text


def test_a_zone_in_the_words_and_another_beside_them_is_refused() -> None:
    with pytest.raises(InvalidInput, match="give one of them"):
        read_when("every day at 9am America/New_York", timezone="Europe/Riga", now=NOW, is_timezone_given=True)
