"""Skip and snooze at the door: what they answer, what `why` tells of them, what they refuse."""

from __future__ import annotations

import pytest

from promptyoself.domain.models import FactKind
from promptyoself.interfaces import why
from tests.interfaces.world import Door


@pytest.fixture
def daily(door: Door) -> Door:
    door.ok("register", "--agent-id", "agent-1", "--prompt", "x", "--cron", "0 9 * * *", "--timezone", "Europe/Riga")
    return door


def test_a_skip_names_what_it_left_out_and_what_comes_next(daily: Door) -> None:
    answer = daily.ok("skip", "--id", "1", "--count", "2", "--reason", "holiday")
    assert answer["skipped"][0] == {"at": "2026-03-03T09:00:00+02:00", "utc": "2026-03-03T07:00:00+00:00"}
    assert len(answer["skipped"]) == 2
    assert answer["next_run"] == "2026-03-05T09:00:00+02:00"
    assert "Skipped 2 fire times of schedule 1. Next: Thu 09:00 Europe/Riga" in answer["message"]
    told = " ".join(daily.ok("why", "--id", "1")["sentences"])
    assert "operator via cli skipped the fire time of 2026-03-04T09:00:00+02:00 (delivery 2): holiday." in told
    shown = daily.ok("show", "--id", "1")
    assert shown["details"]["passed_until"] == "2026-03-04T09:00:00+02:00"
    assert shown["next_runs"][0] == answer["next_run"]
    back = daily.ok("retry", "--id", "2")
    assert back["delivery"]["due_at"] == "2026-03-04T09:00:00+02:00"
    assert "due again at its time" in back["message"]


@pytest.mark.parametrize("again", [("update", "--id", "1"), ("register", "--agent-id", "agent-1", "--prompt", "x")])
def test_a_rule_that_starts_anew_says_that_a_skip_is_lost(door: Door, again: tuple[str, ...]) -> None:
    key = ("--key", "k") if again[0] == "register" else ()
    door.ok("register", "--agent-id", "agent-1", "--prompt", "x", "--every", "1h", "--key", "k")
    door.ok("skip", "--id", "1")
    assert "starts anew" in door.ok(*again, *key, "--every", "2h")["message"]
    assert "starts anew" not in door.ok("update", "--id", "1", "--every", "3h")["message"]


def test_an_edit_of_the_prompt_says_nothing_of_a_skip_it_keeps(daily: Door) -> None:
    daily.ok("skip", "--id", "1")
    assert "starts anew" not in daily.ok("update", "--id", "1", "--prompt", "y")["message"]


def test_a_snooze_says_what_it_put_off_and_when_it_comes(daily: Door) -> None:
    answer = daily.ok("snooze", "--id", "1", "--for", "30m")
    assert (answer["put_off"], answer["comes_at"]) == ("next", "2026-03-03T09:30:00+02:00")
    assert answer["next_run"] == "2026-03-04T09:00:00+02:00"
    assert answer["delivery"]["snoozed_until"] == answer["comes_at"]
    again = daily.ok("snooze", "--id", "1", "--until", "2026-03-03T12:00")
    assert (again["put_off"], again["comes_at"]) == ("waiting", "2026-03-03T12:00:00+02:00")
    assert daily.ok("snooze", "--id", "1", "--until", "tuesday 2pm")["comes_at"] == "2026-03-03T14:00:00+02:00"
    told = daily.ok("why", "--id", "1")["sentences"]
    assert any("put off the next fire time until 2026-03-03T09:30:00+02:00, as delivery 1." in one for one in told)
    assert any("Delivery 1 was put off; it comes Tue 14:00 Europe/Riga" in one for one in told)


def test_lists_show_what_was_put_off_before_the_next_fire_time(daily: Door) -> None:
    daily.ok("snooze", "--id", "1", "--for", "30m")
    [listed] = daily.ok("list")["schedules"]
    assert listed["next_run"] == "2026-03-04T09:00:00+02:00"
    assert listed["snoozed_until"] == "2026-03-03T09:30:00+02:00"
    assert daily.ok("show", "--id", "1")["schedule"]["snoozed_until"] == listed["snoozed_until"]
    assert "Tue 2026-03-03 09:30" in daily.call("list", is_tty=True).out
    skipped = daily.ok("skip", "--id", "1")
    assert skipped["schedule"]["snoozed_until"] == listed["snoozed_until"]
    assert "Next: Tue 09:30 Europe/Riga (in 22 h), put off until then; then Thu 09:00" in skipped["message"]
    daily.ok("cancel", "--id", "1")
    assert daily.ok("list", "--all")["schedules"][0]["snoozed_until"] is None


def test_a_one_off_that_was_put_off_is_not_said_to_be_over(door: Door) -> None:
    door.ok("register", "--agent-id", "agent-1", "--prompt", "x", "--time", "2026-03-03T09:00")
    assert door.ok("list")["schedules"][0]["snoozed_until"] is None
    door.ok("snooze", "--id", "1", "--for", "30m")
    edited = door.ok("update", "--id", "1", "--prompt", "y")
    assert edited["schedule"]["snoozed_until"] == "2026-03-03T09:30:00+00:00"
    assert "Next: Tue 09:30 UTC (in 1 d), put off until then. It does not fire again." in edited["message"]


def test_a_snooze_needs_one_time_that_can_be_read(daily: Door) -> None:
    assert daily.refused("snooze", "--id", "1", code=2)["code"] == "usage"
    assert daily.refused("snooze", "--id", "1", "--for", "1h", "--until", "2026-03-03T12:00", code=2)["code"] == "usage"
    assert "soon" in daily.refused("snooze", "--id", "1", "--for", "soon")["error"]
    assert "--for '-5m' is negative" in daily.refused("snooze", "--id", "1", "--for", "-5m")["error"]
    far = daily.refused("snooze", "--id", "1", "--for", "1d")
    assert "2026-03-04T09:00:00+02:00" in far["error"]
    assert "promptyoself skip --id 1" in far["hint"]
    daily.ok("snooze", "--id", "1", "--for", "1h")
    assert daily.refused("snooze", "--id", "1", "--for", "1d")["hint"] == "give an earlier time", "skip is for the next"


def test_every_kind_of_fact_has_its_sentence() -> None:
    assert why._SENTENCES.keys() == set(FactKind)
