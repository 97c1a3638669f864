"""Times in plain words through the commands: what is stored, shown, noted in the journal, and typed back.

It is Monday, 2026-03-02, 11:00 in Europe/Riga.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from promptyoself.application.requests import ScheduleRequest, define, redefine
from promptyoself.domain.triggers import TriggerKind
from tests.application.test_requests import DEFAULTS
from tests.factories import NOW as NOON
from tests.interfaces.world import Door

REGISTER = ("register", "--agent-id", "agent-1", "--prompt", "stretch")
RIGA = ("--timezone", "Europe/Riga")


def test_what_was_understood_is_stored_and_shown(door: Door) -> None:
    made = door.ok(*REGISTER, "--every", "weekday at 9am", *RIGA)
    assert made["understood"] == {
        "given": "weekday at 9am",
        "option": "--cron",
        "value": "0 9 * * mon-fri",
        "words": "at 09:00 on Monday to Friday (Europe/Riga)",
        "timezone": "Europe/Riga",
    }
    assert made["next_run"] == "2026-03-03T09:00:00+02:00"
    shown = door.ok("show", "--id", "1")["schedule"]
    assert (shown["schedule_type"], shown["schedule_value"]) == ("cron", "0 9 * * mon-fri")


@pytest.mark.parametrize(("option", "phrase"), [
    ("--time", "tomorrow 9am"),
    ("--time", "in 45 minutes"),
    ("--time", "next friday 15:00 Europe/Paris"),
    ("--every", "day at 7:30pm except sunday"),
    ("--every", "day at 9:00 and 17:30"),
    ("--every", "other monday at 9am"),
    ("--every", "45 minutes"),
])  # fmt: skip
def test_what_is_shown_can_be_typed_back(door: Door, option: str, phrase: str) -> None:
    said = door.ok("preview", option, phrase)
    understood = said["understood"]
    typed = door.ok("preview", understood["option"], understood["value"], "--timezone", understood["timezone"])
    assert typed["runs"] == said["runs"]
    assert typed["description"] == said["description"]
    assert "understood" not in typed


def test_words_for_the_bounds_are_understood_too(door: Door) -> None:
    bounds = ("--start-at", "tomorrow 9am", "--end-at", "friday at 18:00 europe/paris")
    made = door.ok(*REGISTER, "--every", "1h", *bounds)
    read = {one["option"]: one["value"] for one in made["understood_bounds"]}
    assert read == {"--start-at": "2026-03-03T09:00", "--end-at": "2026-03-06T18:00:00+01:00"}
    assert made["timezone"] == "UTC"
    assert "understood" not in made
    assert made["next_run"].startswith("2026-03-03T09:00")


def test_steps_of_weeks_count_from_the_start_that_was_asked_for(door: Door) -> None:
    said = door.ok("preview", "--every", "other monday at 9am", "--start-at", "2026-03-10T00:00", *RIGA, "--count", "2")
    assert [run["at"][:10] for run in said["runs"]] == ["2026-03-16", "2026-03-30"]
    assert said["understood"]["value"].startswith("DTSTART:20260316T090000\\nRRULE:")


def test_an_update_reads_words_in_the_zone_of_the_schedule(door: Door) -> None:
    door.ok(*REGISTER, "--every", "1h", "--timezone", "America/New_York")
    changed = door.ok("update", "--id", "1", "--every", "day at noon")
    assert changed["understood"]["value"] == "0 12 * * *"
    assert changed["understood"]["timezone"] == "America/New_York"
    moved = door.ok("update", "--id", "1", "--time", "next friday 15:00 Europe/Paris")
    assert (moved["schedule"]["schedule_value"], moved["schedule"]["timezone"]) == ("2026-03-06T15:00", "Europe/Paris")
    assert any("2026-03-13 at 15:00 Europe/Paris" in warning for warning in moved["warnings"])


def test_the_journal_keeps_the_words(door: Door) -> None:
    door.ok(*REGISTER, "--every", "weekday at 9am")
    door.ok("update", "--id", "1", "--every", "day at noon")
    told = " ".join(door.ok("why", "--id", "1")["sentences"])
    assert "by the words --every weekday at 9am" in told
    assert "by the words --every day at noon" in told


def test_the_same_words_under_the_same_key_keep_the_grid(door: Door) -> None:
    words = (*REGISTER, "--key", "k", "--every", "other wednesday at 9am", *RIGA)
    first = door.ok(*words)
    door.services.clock.at += timedelta(days=7)
    again = door.ok(*words)
    assert again["created"] is False
    assert again["next_runs"][0] == first["next_runs"][1]
    assert again["understood"]["value"] == first["understood"]["value"]
    for phrase in ("in 45 minutes", "tomorrow 9am"):
        once = (*REGISTER, "--key", phrase, "--time", phrase)
        door.ok(*once)
        assert door.ok(*once)["created"] is False


def test_a_zone_in_the_words_may_not_contradict_the_option(door: Door) -> None:
    said = door.refused(*REGISTER, "--time", "tomorrow 9am Europe/Paris", *RIGA)
    assert "Europe/Paris" in said["error"]
    assert "Europe/Riga" in said["error"]
    assert door.ok("list")["schedules"] == []


def test_pause_and_preview_take_words(door: Door) -> None:
    door.ok(*REGISTER, "--every", "1h", *RIGA)
    paused = door.ok("pause", "--id", "1", "--until", "tomorrow 9am")
    assert paused["until"] == "2026-03-03T09:00:00+02:00"
    assert paused["understood_bounds"] == [
        {"given": "tomorrow 9am", "option": "--until", "value": "2026-03-03T09:00", "timezone": "Europe/Riga"}
    ]
    said = door.ok("preview", "--cron", "0 12 * * *", *RIGA, "--from", "friday at 9:00", "--until", "8 march at 13:00")
    assert [run["at"][:10] for run in said["runs"]] == ["2026-03-06", "2026-03-07", "2026-03-08"]


@pytest.mark.parametrize("command", [("simulate",), ("snooze", "--id", "1"), ("export", "--format", "ics")])
def test_whatever_takes_words_for_an_instant_tells_what_it_read_and_what_else_they_may_mean(
    door: Door, command: tuple[str, ...]
) -> None:
    door.ok(*REGISTER, "--cron", "0 18 * * *", *RIGA)
    door.services.timezone = "Europe/Riga"
    said = door.ok(*command, "--until", "9am")
    assert said["understood_bounds"] == [
        {"given": "9am", "option": "--until", "value": "2026-03-03T09:00", "timezone": "Europe/Riga"}
    ]
    assert "09:00 has passed today, so it is tomorrow's" in said["warnings"]


def test_a_person_reads_what_was_understood(door: Door) -> None:
    shown = door.call(*REGISTER, "--every", "weekday at 9am", *RIGA, is_tty=True).out
    assert (
        'Understood "weekday at 9am" as --cron "0 9 * * mon-fri" (at 09:00 on Monday to Friday, Europe/Riga)' in shown
    )


def test_a_refusal_names_the_option_and_offers_forms(door: Door) -> None:
    said = door.refused(*REGISTER, "--time", "tomorrow at 27:00")
    assert '"tomorrow at 23:00"' in said["hint"]
    assert "interval" in door.refused(*REGISTER, "--every", "every so often")["error"]
    assert "future" in door.refused(*REGISTER, "--time", "today at 9am", *RIGA)["error"]


def test_every_door_reads_words_whether_or_not_it_compiles_them_first() -> None:
    request = ScheduleRequest(prompt="p", every="weekday at 9am")
    made = define(request, DEFAULTS, now=NOON).trigger
    assert (made.kind, made.expression) == (TriggerKind.CRON, "0 9 * * mon-fri")
    old = define(ScheduleRequest(prompt="p", every="5m"), DEFAULTS, now=NOON)
    new = redefine(old, ScheduleRequest(end_at="tomorrow at 9:00"), DEFAULTS, now=NOON).trigger
    assert new.end_at is not None
    assert (new.kind, new.anchor_at) == (TriggerKind.INTERVAL, old.trigger.anchor_at)
