"""`explain` says what a text for a rule means, and stores nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptyoself.domain.cron import parse_cron
from promptyoself.domain.words_fields import fields_in_words
from tests.interfaces.world import Door

RIGA = ("--timezone", "Europe/Riga")


@pytest.fixture
def riga(door: Door) -> Door:
    door.services.timezone = "Europe/Riga"
    return door


def test_a_cron_expression_is_told_field_by_field_with_its_traps(riga: Door) -> None:
    told = riga.ok("explain", "0 0 13 * 5", *RIGA)
    assert told["given"] == told["schedule_value"] == "0 0 13 * 5"
    assert told["schedule_type"] == "cron"
    assert told["understood"] == {
        "given": "0 0 13 * 5",
        "option": "--cron",
        "value": "0 0 13 * 5",
        "words": told["description"],
        "timezone": "Europe/Riga",
    }
    assert told["description"] == "at 00:00 on day 13 of the month or on Friday (Europe/Riga)"
    assert [(one["name"], one["value"], one["means"]) for one in told["fields"]] == [
        ("minute", "0", "0"),
        ("hour", "0", "0"),
        ("day-of-month", "13", "day 13 of the month"),
        ("month", "*", "every month"),
        ("day-of-week", "5", "Friday"),
    ]
    # 2026-03-06, -13 (both), -20 and -27 are Fridays; 2026-04-03 is behind the change of the clocks.
    assert told["next_runs"] == [
        "2026-03-06T00:00:00+02:00",
        "2026-03-13T00:00:00+02:00",
        "2026-03-20T00:00:00+02:00",
        "2026-03-27T00:00:00+02:00",
        "2026-04-03T00:00:00+03:00",
    ]
    assert told["is_last"] is False
    assert any("either matches" in warning for warning in told["warnings"])


def test_clock_changes_of_a_whole_year_are_named_with_their_dates(riga: Door) -> None:
    warnings = riga.ok("explain", "30 3 * * *", *RIGA)["warnings"]
    forward, back = (warning for warning in warnings if "clocks" in warning)
    assert forward.startswith("clocks in Europe/Riga go from 03:00 to 04:00 on 2026-03-29: ")
    assert forward.endswith("what is due at 03:30 fires once, at 04:00, that day")
    assert back.startswith("clocks in Europe/Riga go from 04:00 to 03:00 on 2026-10-25: ")
    assert back.endswith("what is due at 03:30 fires only the first time that day")
    # What register and preview say stays near: eight days.
    assert not any("clocks" in one for one in riga.ok("preview", "--cron", "30 3 * * *", *RIGA)["warnings"])


@pytest.mark.parametrize(
    ("text", "kind", "option", "first"),
    [
        ("45m", "interval", "--every", "2026-03-02T11:45:00+02:00"),
        ("2030-01-31T09:00", "once", "--time", "2030-01-31T09:00:00+02:00"),
        ("@daily", "cron", "--cron", "2026-03-03T00:00:00+02:00"),
        ("0 0 9 * * mon", "cron", "--cron", "2026-03-09T09:00:00+02:00"),
        ("FREQ=DAILY;BYHOUR=9", "rrule", "--rrule", None),
    ],
)
def test_every_notation_is_known_by_its_looks(riga: Door, text: str, kind: str, option: str, first: str | None) -> None:
    told = riga.ok("explain", text, *RIGA, "--count", "1")
    assert told["schedule_type"] == kind
    assert (told["understood"]["option"], told["understood"]["value"]) == (option, text)
    assert len(told["next_runs"]) == 1
    assert first in {None, told["next_runs"][0]}
    assert told["is_last"] is (kind == "once")
    assert bool(told["fields"]) is (kind == "cron")


@pytest.mark.parametrize(
    ("text", "option", "value"),
    [
        ("tomorrow 9am", "--time", "2026-03-03T09:00"),
        ("weekday at 9am", "--cron", "0 9 * * mon-fri"),
        ("every weekday at 9am", "--cron", "0 9 * * mon-fri"),
        ("first monday of every month at 10:00", "--cron", "0 10 * * mon#1"),
        ("every 45 minutes", "--every", "45m"),
    ],
)
def test_plain_words_are_shown_as_the_rule_that_they_become(riga: Door, text: str, option: str, value: str) -> None:
    told = riga.ok("explain", text, *RIGA)
    assert told["is_phrase"]
    assert (
        told["understood"]
        == riga.ok("preview", "--time" if option == "--time" else "--every", text, *RIGA)["understood"]
    )
    assert (told["understood"]["option"], told["understood"]["value"]) == (option, value)
    again = riga.ok("explain", told["schedule_value"], *RIGA)
    assert not again["is_phrase"]
    assert again["understood"] == told["understood"] | {"given": value}
    assert again["next_runs"] == told["next_runs"]


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("cron(0 12 * * ? *)", "write '0 12 * * *'"),
        ("rate(5 minutes)", "--every 5m"),
        ("0 0 12 ? * MON-FRI *", "write '0 0 12 * * MON-FRI'"),
        ("0 0 12 * * ? 2027", "--start-at"),
        ("@every 5m", "--every 5m"),
        ("@EVERY 1h30m", "--every 1h30m"),
        ("@every 5 Meter", "--every 5m"),
        ("CRON_TZ=Europe/Berlin 0 9 * * *", "--timezone"),
        ("* * * *", "five fields"),
        ("H/15 * * * *", "0-59"),
        ("Mon..Fri 09:00", "'0 9 * * mon-fri'"),
        ("Mon,Wed *-*-* 9:30:15", "'15 30 9 * * mon,wed'"),
        ("*-*-* 09:00", "'0 9 * * *'"),
        ("*-*-01 09:00:00", "'0 9 1 * *'"),
        ("OnCalendar=*-12-24 18:00", "'0 18 24 12 *'"),
        ("OnCalendar=weekly", "weekday at 9am"),
        ("Fri *-*-13 09:00", "weekday at 9am"),  # both there, either in cron
        ("2027-*-* 09:00", "weekday at 9am"),
        ("*-*-* 25:00", "weekday at 9am"),
        ("R/PT5M", "--every PT5M"),
        ("R5/2026-12-01T09:00:00Z/PT1H", "--every PT1H"),
    ],
)
def test_the_notation_of_another_scheduler_is_refused_with_what_to_write_here(
    riga: Door, text: str, instead: str
) -> None:
    assert instead in riga.refused("explain", text, *RIGA)["error"]


@pytest.mark.parametrize("option", ["--time", "--every"])
@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("0 9 * * *", "--cron: '0 9 * * *'"),
        ("@daily", "--cron: '@daily'"),
        ("FREQ=DAILY;BYHOUR=9", "--rrule: 'FREQ=DAILY;BYHOUR=9'"),
        ("Mon..Fri 09:00", "'0 9 * * mon-fri'"),
        ("rate(5 minutes)", "--every 5m"),
        ("@every 5m", "--every 5m"),
    ],
)
def test_a_notation_given_to_the_wrong_option_is_sent_to_the_right_one(
    riga: Door, option: str, text: str, instead: str
) -> None:
    refused = riga.refused("preview", option, text, *RIGA)
    assert instead in refused["error"]
    assert refused["code"] == ("invalid_trigger" if option == "--time" else "invalid_interval")


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("0 25 * * *", "invalid_trigger", "hour"),
        ("0 0 31 2 *", "trigger_never_fires", "never fires"),
        ("2020-01-31T09:00", "invalid_trigger", "future"),
        ("", "", ""),
        ("every so often", "invalid_interval", "weekday at 9am"),
        ("03/04 at 9", "invalid_trigger", "more than one way"),
        ("-5m", "usage", "comes after --"),
    ],
)
def test_a_text_that_is_no_rule_is_refused_with_what_would_be_one(riga: Door, text: str, code: str, said: str) -> None:
    refused = riga.refused("explain", text, *RIGA, code=2 if code == "usage" else 1)
    assert code in {"", refused["code"]}
    assert said in refused["error"]


def test_a_text_that_begins_with_a_dash_comes_after_two(riga: Door) -> None:
    assert "-5m" in riga.refused("explain", *RIGA, "--", "-5m")["error"]


def test_more_fires_than_are_ever_shown_are_refused(riga: Door) -> None:
    assert len(riga.ok("explain", "45m", "--count", "1000")["next_runs"]) == 1000
    assert "1 to 1000" in riga.refused("explain", "45m", "--count", "1001")["error"]


def test_nothing_is_stored_and_no_database_is_made(riga: Door, tmp_path: Path) -> None:
    riga.ok("explain", "0 9 * * *")
    riga.services.owner = "agent-1"
    riga.ok("explain", "0 9 * * *")
    assert list(tmp_path.iterdir()) == []
    assert riga.services.asked == []


def test_a_zone_that_the_machine_chose_is_said(riga: Door) -> None:
    riga.services.timezone_source = "machine"
    assert any("machine" in warning for warning in riga.ok("explain", "0 9 * * *")["warnings"])
    assert not any("machine" in warning for warning in riga.ok("explain", "0 9 * * *", *RIGA)["warnings"])


def test_a_person_reads_words_fields_and_fires(riga: Door) -> None:
    out = riga.call("explain", "30 9 * * mon-fri", *RIGA, is_tty=True).out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "at 09:30 on Monday to Friday (Europe/Riga)"
    assert "cron: --cron '30 9 * * mon-fri' --timezone Europe/Riga" in lines
    assert "day-of-week 1-5 Monday to Friday" in lines
    assert "Tue 2026-03-03 09:30 +02:00 in 22 h" in lines
    assert "and never again" in riga.call("explain", "2030-01-31T09:00", *RIGA, is_tty=True).out


FIELDS: dict[str, dict[str, Any]] = {
    "*/5 * * * *": {
        "minute": "every 5 minutes",
        "hour": "every hour",
        "day-of-month": "any day",
        "month": "every month",
    },
    "*/45 0-23 * * *": {"minute": "0 and 45", "hour": "every hour"},
    "1,2 9-17 * jan-mar,dec *": {"minute": "1 and 2", "hour": "9 to 17", "month": "January to March and December"},
    "0 9 L,15W * ?": {
        "day-of-month": "the weekday (Monday to Friday) nearest to day 15 and the last day of the month",
        "day-of-week": "any day",
    },
    "0 9 * * 1#2,5L,7": {"day-of-week": "Sunday, the second Monday and the last Friday of the month"},
    "30 0 9 * * 1-7": {"second": "30", "day-of-week": "any day"},
}


@pytest.mark.parametrize("expression", FIELDS)
def test_each_field_is_put_in_words(expression: str) -> None:
    told = {one.name: one.means for one in fields_in_words(parse_cron(expression))}
    assert told.items() >= FIELDS[expression].items()
    assert ("second" in told) is (len(expression.split()) == 6)
