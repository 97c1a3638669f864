"""`export` and back: the same schedules in another database; and a calendar that calendar programs read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import icalendar
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from promptyoself.application import schedules
from promptyoself.application.feed import feed
from promptyoself.application.requests import Defaults, ScheduleRequest
from promptyoself.application.schedules import Caller
from promptyoself.application.transfer.documents import parse_json
from promptyoself.application.transfer.exported import export_document, read_exported
from promptyoself.application.transfer.importing import Outcome, import_entries
from promptyoself.domain.errors import TriggerNeverFires
from promptyoself.domain.models import ScheduleState
from promptyoself.domain.ports import ScheduleFilter
from promptyoself.domain.triggers import Trigger, TriggerKind
from promptyoself.storage.sqlite import SqliteStore
from tests.factories import a_definition, a_schedule
from tests.interfaces.world import NOW, Door


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Door]:
    (tmp_path / "other").mkdir()
    made = Door(tmp_path / "other")
    yield made
    made.services.close()


def exported(door: Door, *options: str) -> list[dict[str, Any]]:
    document = door.ok("export", *options)["export"]
    assert (document["format"], document["version"]) == ("promptyoself-schedules", 1)
    schedules: list[dict[str, Any]] = document["schedules"]
    return schedules


def moved(one: dict[str, Any]) -> dict[str, Any]:
    """What must be the same in another database: all but when it was made there, and by whom the row was."""
    return {name: value for name, value in one.items() if name != "created_at"}


def carry(door: Door, other: Door, *options: str) -> dict[str, Any]:
    path = door.services.path.parent / "carried.json"
    path.write_text(json.dumps(door.ok("export", *options)))
    return other.ok("import", "json", str(path), "--apply")


UIDS = count(1)
DEFAULTS = Defaults(timezone="Asia/Kathmandu", target="inbox", targets=frozenset({"letta", "inbox"}))
TRIGGERS = st.sampled_from(
    [
        ("cron", "0 9 * * mon-fri"),
        ("cron", "@daily"),
        ("every", "PT45M"),
        ("every", "90s"),
        ("rrule", "FREQ=WEEKLY;BYDAY=MO,FR;UNTIL=20301231T000000Z"),
        ("rrule", "DTSTART:20260101T090000\nRRULE:FREQ=MONTHLY;BYDAY=1MO;COUNT=40"),
        ("time", "2030-01-31T09:00"),
        ("time", "2030-01-31T09:00:00.123456+05:30"),
    ]
)
EXTRAS: dict[str, st.SearchStrategy[Any]] = {
    "timezone": st.sampled_from(["Europe/Riga", "Pacific/Chatham", "America/New_York", "UTC"]),
    "end_at": st.sampled_from(["2031-01-01T00:00", "2030-06-30T12:00:00.5Z"]),
    "start_at": st.sampled_from(["2026-04-01T08:00", "2029-12-31T23:59:59+14:00"]),
    "jitter": st.sampled_from(["5m", "90s", "1h30m"]),
    "quiet_hours": st.sampled_from(["22:00-07:00", "22:00-07:00 mon-fri skip", "13:00-13:30 sun"]),
    "catch_up": st.sampled_from(["skip", "all:6h", "latest:90s", "all"]),
    "overlap": st.sampled_from(["skip", "queue"]),
    "retry_for": st.sampled_from(["1h", "7d"]),
    "expires_after": st.sampled_from(["15m", "36h"]),
    "envelope": st.sampled_from(["none", "brief", "full"]),
    "conversation": st.sampled_from(["new", "conv-5f1d"]),
    "target": st.sampled_from(["inbox", "letta"]),
    "max_repetitions": st.sampled_from([1, 1_000_000]),
    "name": st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=40),
    "key": st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=40),
}
PROMPTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=200).filter(
    str.strip
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(TRIGGERS, PROMPTS, st.fixed_dictionaries({}, optional=EXTRAS)), min_size=1, max_size=3))
@example([(("cron", "0 9 * * *"), "\1\u2028\n\U0001f3b7\r", {"name": "a;b,c\\n\U0001f600"})])
def test_schedules_come_back_as_they_were(made: list[tuple[tuple[str, str], str, dict[str, Any]]]) -> None:
    with closing(memory()) as one, closing(memory()) as two:
        with one.transaction() as tx:
            for trigger, prompt, extras in made:
                given_options: dict[str, Any] = dict([trigger]) | extras
                request = ScheduleRequest(agent_id="agent-1", prompt=prompt, **given_options)
                with suppress(TriggerNeverFires):  # one that ends before it begins
                    schedules.register(tx, request, caller=Caller(), defaults=DEFAULTS, uid=uid(), now=NOW)
        before = written(one)
        assert len(landed(one, two).created) == len(before["schedules"])
        assert [moved(item) for item in written(two)["schedules"]] == [moved(item) for item in before["schedules"]]
        for again in (landed(one, two), landed(one, one), landed(two, one)):
            assert len(again.unchanged) == len(before["schedules"])


def memory() -> SqliteStore:
    return SqliteStore.open(":memory:", new_uid=uid)


def uid() -> str:
    return f"{next(UIDS):032x}"


def written(store: SqliteStore) -> dict[str, Any]:
    with store.reading() as tx:
        return export_document(tx.schedules(ScheduleFilter()), store_uid=store.uid, now=NOW)


def landed(source: SqliteStore, to: SqliteStore) -> Outcome:
    reading = read_exported(parse_json(json.dumps(written(source))))
    with to.transaction() as tx:
        outcome = import_entries(
            tx, reading, caller=Caller(), defaults=DEFAULTS, new_uid=uid, now=NOW, refused_agents={}
        )
    assert not outcome.refused
    return outcome


def test_a_pause_and_a_count_go_along_and_never_change_what_is_there(door: Door, other: Door) -> None:
    door.ok("register", "--agent-id", "agent-1", "--prompt", "x", "--every", "1h", "--max-repetitions", "5")
    door.ok("pause", "--id", "1", "--reason", "on holiday", "--until", "2026-03-05T00:00")
    carry(door, other)
    (there,) = exported(other)
    assert (there["state"], there["state_reason"]) == ("paused", "on holiday")
    assert there["paused_until"] == "2026-03-05T00:00:00+00:00"
    door.ok("resume", "--id", "1")
    assert carry(door, other)["unchanged"][0]["note"] == "it is paused here"
    assert exported(other)[0]["state"] == "paused"


def test_an_edit_in_the_export_is_an_edit_of_the_original(door: Door) -> None:
    door.ok("register", "--agent-id", "agent-1", "--prompt", "x", "--every", "1h")
    path = door.services.path.parent / "e.json"
    door.ok("export", "--to", str(path))
    path.write_text(path.read_text().replace('"prompt": "x"', '"prompt": "y"').replace('"1h"', '"2h"'))
    answer = door.ok("import", "json", str(path), "--apply")
    assert [(one["id"], one["changed"]) for one in answer["updated"]] == [(1, ["prompt", "trigger"])]


def test_finished_ones_are_exported_on_request_and_not_imported(door: Door, other: Door) -> None:
    door.ok("register", "--agent-id", "agent-1", "--prompt", "x", "--every", "1h")
    door.ok("cancel", "--id", "1")
    assert exported(door) == []
    assert "cancelled" in carry(door, other, "--all")["refused"][0]["reason"]


def test_a_one_off_whose_time_has_passed_is_refused(door: Door, other: Door) -> None:
    door.ok("register", "--agent-id", "agent-1", "--prompt", "x", "--time", "2026-03-02T09:30")
    other.services.clock.at = NOW + timedelta(hours=1)
    answer = carry(door, other)
    assert answer["counts"]["created"] == 0
    assert "future" in answer["refused"][0]["reason"]


def test_no_secret_is_in_it_and_an_agents_schedules_stay_its_own(door: Door, other: Door) -> None:
    door.services.owner = "agent-1"
    door.ok("register", "--agent-id", "agent-1", "--prompt", "x", "--every", "1h")
    door.services.owner = "operator"
    carry(door, other)
    assert exported(other)[0]["provenance"]["owner"] == "agent-1"
    assert other.ok("show", "--id", "1")["details"]["owner"] == "agent-1"


def test_an_agent_exports_its_own_and_writes_no_file(door: Door, tmp_path: Path) -> None:
    for agent in ("agent-1", "agent-2"):
        door.ok("register", "--agent-id", agent, "--prompt", "x", "--every", "1h")
    door.services.owner = "agent-2"
    assert [one["agent_id"] for one in exported(door)] == ["agent-2"]
    assert door.refused("export", "--id", "1")["code"] == "schedule_not_found"
    assert door.refused("export", "--to", str(tmp_path / "x"))["code"] == "forbidden"


def test_a_file_is_written_whole_for_its_owner_and_not_over_another(door: Door, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    door.ok("export", "--to", str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("mine")
    assert "there already" in door.refused("export", "--to", str(path))["error"]
    assert path.read_text() == "mine"
    assert door.ok("export", "--to", str(path), "--force")["path"] == str(path)
    assert json.loads(path.read_text())["schedules"] == []
    assert "cannot be written" in door.refused("export", "--to", str(tmp_path / "no" / "x"))["error"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out.json", "promptyoself.db"]


def test_what_was_put_off_stands_in_the_feed_at_its_new_time_under_its_old_uid(door: Door) -> None:
    door.ok("register", "--agent-id", "agent-1", "--prompt", "x", "--cron", "0 10 * * *")
    door.ok("register", "--agent-id", "agent-2", "--prompt", "y", "--time", "2026-03-02T11:00:00+00:00")
    options = ("export", "--format", "ics", "--for", "30h")
    before = {str(one["UID"]) for one in events(door.ok(*options)["ics"])}
    door.ok("snooze", "--id", "1", "--for", "90m")
    door.ok("snooze", "--id", "2", "--for", "2h")
    text = door.ok(*options)["ics"]
    assert [f"{one.start:%d %H:%M}" for one in events(text)] == ["02 11:30", "02 13:00", "03 10:00"]
    assert {str(one["UID"]) for one in events(text)} == before
    assert "held by" not in text
    assert len(events(door.ok(*options, "--agent-id", "agent-2")["ics"])) == 1
    door.services.owner = "agent-2"
    assert len(events(door.ok(*options)["ics"])) == 1


def test_force_replaces_files_and_nothing_else(door: Door, tmp_path: Path) -> None:
    pipe, link, folder = tmp_path / "pipe", tmp_path / "link", tmp_path / "folder"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    folder.mkdir()
    for path in (pipe, link, folder):
        answer = door.refused("export", "--to", str(path), "--force")
        assert "no regular file" in answer["error"], answer
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert "is empty" in door.refused("export", "--to", " ")["error"]
    database = door.services.path
    before = database.read_bytes()
    assert "database" in door.refused("export", "--to", str(database), "--force")["error"]
    assert database.read_bytes() == before


def test_force_replaces_a_link_and_not_what_it_leads_to(door: Door, tmp_path: Path) -> None:
    target, link = tmp_path / "mine", tmp_path / "link"
    target.write_text("mine")
    link.symlink_to(target)
    door.ok("export", "--to", str(link), "--force")
    assert target.read_text() == "mine"
    assert not link.is_symlink()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "yaml"], "json (to import again)"),
        (["--for", "3d"], "--format ics"),
        (["--format", "ics", "--for", "3d", "--until", "2027-01-01"], "give one of them"),
        (["--format", "ics", "--from", "2027-01-01T00:00", "--until", "2026-01-01T00:00"], "ends after it begins"),
        (["--format", "ics", "--for", "3650d"], "732 days"),
    ],
)
def test_contradictions_are_refused(door: Door, options: list[str], words: str) -> None:
    answer = door.call("export", *options)
    assert words in answer.json["error"]
    assert answer.code in {1, 2}


# -- the calendar -------------------------------------------------------------------------------------------


def events(text: str) -> list[Any]:
    return list(icalendar.Calendar.from_ical(text).walk("VEVENT"))


def test_the_feed_shows_the_coming_fires_under_lasting_uids(door: Door) -> None:
    door.ok("register", "--agent-id", "agent-1", "--prompt", "secret words", "--name", "Look", "--cron", "0 10 * * *")
    answer = door.ok("export", "--format", "ics", "--for", "3d")
    found = events(answer["ics"])
    assert [one["DTSTART"].dt for one in found] == [NOW + timedelta(days=day, hours=1) for day in range(3)]
    assert {str(one["SUMMARY"]) for one in found} == {"Look"}
    assert answer["count"] == 3
    assert "secret" not in answer["ics"]
    later = door.ok("export", "--format", "ics", "--from", "2026-03-03T00:00", "--until", "2026-03-03T23:00")
    assert [one["UID"] for one in events(later["ics"])] == [found[1]["UID"]]
    whole = events(door.ok("export", "--format", "ics", "--prompts")["ics"])
    assert "secret words" in str(whole[0]["DESCRIPTION"])


def test_skipped_fires_are_left_out_and_held_ones_stand_where_they_go_out(door: Door) -> None:
    register = ("register", "--agent-id", "agent-1", "--prompt", "x", "--cron", "0 * * * *", "--quiet-hours")
    door.ok(*register, "09:30-23:30")
    door.ok(*register, "09:30-23:30 skip")
    found = events(door.ok("export", "--format", "ics", "--until", "2026-03-02T23:45")["ics"])
    assert [one["DTSTART"].dt for one in found] == [datetime(2026, 3, 2, 23, 30, tzinfo=UTC)]


def test_paused_is_tentative_finished_is_not_there_and_repetitions_end(door: Door) -> None:
    register = ("register", "--agent-id", "agent-1", "--prompt", "x", "--every", "1h")
    for _ in range(3):
        door.ok(*register, "--max-repetitions", "2")
    door.ok("pause", "--id", "1", "--until", "2026-03-02T12:30")
    door.ok("cancel", "--id", "2")
    found = events(door.ok("export", "--format", "ics")["ics"])
    assert sorted((str(one["STATUS"]), one["DTSTART"].dt.hour) for one in found) == [
        ("CONFIRMED", 10),
        ("CONFIRMED", 11),
        ("TENTATIVE", 13),
        ("TENTATIVE", 14),
    ]


def test_a_feed_is_bounded_and_says_so(door: Door) -> None:
    door.ok("register", "--agent-id", "agent-1", "--prompt", "x", "--every", "1m")
    answer = door.ok("export", "--format", "ics")
    assert answer["count"] == 5000
    assert any("5000" in warning for warning in answer["warnings"])


HOSTILE = st.text(st.sampled_from("a;,:\\\"'\n\r\t\u2028\0\x85\U0001f600\u00e9BEGIN:VEVENT "), min_size=1, max_size=200)


@settings(max_examples=80, deadline=None)
@given(HOSTILE.filter(str.strip), HOSTILE)
@example("END:VEVENT\r\nBEGIN:VEVENT\nUID:x", "\\n;\\,")
def test_no_name_or_prompt_breaks_the_calendar(prompt: str, name: str) -> None:
    trigger = Trigger(kind=TriggerKind.INTERVAL, expression="1h", timezone="UTC", anchor_at=NOW)
    stored = a_schedule(
        definition=a_definition(prompt=prompt, name=name, trigger=trigger),
        next_fire_at=NOW + timedelta(hours=1),
        state=ScheduleState.ACTIVE,
    )
    text = feed([stored], begin_at=NOW, until=NOW + timedelta(hours=1), now=NOW, with_prompts=True).text
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    assert "\r" not in text.replace("\r\n", "")
    (event,) = events(text)
    assert event["DTSTART"].dt == NOW + timedelta(hours=1)
    shown = "".join(one for one in name.replace("\r\n", "\n").replace("\r", "\n") if one in "\n\t" or one.isprintable())
    assert str(event["SUMMARY"]) == shown.replace("\\n", "\n").replace("\\N", "\n") or str(event["SUMMARY"]) == shown
