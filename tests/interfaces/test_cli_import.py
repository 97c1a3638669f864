"""`import`: a dry run first, the same twice is nothing, an edit is an edit, and nothing fires twice or for the past."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from promptyoself.application.planner import plan_batch
from promptyoself.domain.errors import AgentNotFound, TargetUnreachable
from promptyoself.domain.models import Delivery, DeliveryState, Schedule
from promptyoself.domain.ports import DeliveryFilter, ScheduleFilter
from tests.interfaces.world import NOW, Door

CRONTAB = "# Look\n0 10 * * * Look over the notes\n*/30 * * * * Check\n*/30 * * * * Check\n"


def crontab(door: Door, text: str = CRONTAB, *options: str) -> dict[str, Any]:
    path = door.services.path.parent / "crontab.txt"
    path.write_text(text)
    return door.ok("import", "crontab", str(path), "--agent-id", "agent-1", *options)


def stored(door: Door) -> list[Schedule]:
    with door.services.store.reading() as tx:
        return tx.schedules(ScheduleFilter())


def planned(door: Door) -> list[Delivery]:
    store = door.services.store
    with store.transaction() as tx:
        plan_batch(tx, now=door.services.clock.at, store_uid=store.uid)
        return tx.deliveries(DeliveryFilter())


def test_a_dry_run_says_all_and_stores_nothing(door: Door) -> None:
    answer = crontab(door)
    assert answer["dry_run"] is True
    assert answer["counts"] == {"created": 3, "updated": 0, "unchanged": 0, "refused": 0, "missing": 0}
    look = answer["created"][0]
    assert (look["id"], look["line"], look["name"]) == (None, 2, "Look")
    assert look["description"].startswith("at 10:00")
    assert look["next_runs"][0] == "2026-03-02T10:00:00+00:00"
    assert stored(door) == []


def test_the_same_source_twice_changes_nothing_not_even_what_waits(door: Door) -> None:
    crontab(door, CRONTAB, "--apply")
    door.services.clock.at = NOW + timedelta(hours=1)
    before = planned(door)
    assert {one.state for one in before} == {DeliveryState.PENDING}
    schedules = stored(door)
    door.services.clock.at += timedelta(minutes=7)
    answer = crontab(door, CRONTAB, "--apply")
    assert answer["counts"]["unchanged"] == 3
    assert stored(door) == schedules
    assert planned(door) == before


def test_a_changed_time_is_an_edit_of_the_same_schedule(door: Door) -> None:
    crontab(door, CRONTAB, "--apply")
    answer = crontab(door, CRONTAB.replace("0 10", "0 11"), "--apply")
    assert [(one["id"], one["changed"]) for one in answer["updated"]] == [(1, ["trigger"])]
    assert [one.definition.trigger.expression for one in stored(door)] == ["0 11 * * *", "*/30 * * * *", "*/30 * * * *"]


def test_what_the_source_does_not_say_stays_as_it_was_set_here(door: Door) -> None:
    crontab(door, CRONTAB, "--apply")
    door.ok("update", "--id", "1", "--quiet-hours", "22:00-07:00", "--overlap", "queue")
    assert crontab(door, CRONTAB)["counts"]["unchanged"] == 3
    crontab(door, CRONTAB.replace("0 10", "0 11"), "--apply")
    policy = stored(door)[0].definition.policy
    assert (str(policy.quiet_hours), policy.overlap) == ("22:00-07:00", "queue")


def test_lines_of_one_command_find_their_own_in_any_order(door: Door) -> None:
    crontab(door, "0 9 * * * x\n0 17 * * * x\n0 20 * * * x\n", "--apply")
    assert crontab(door, "0 20 * * * x\n0 9 * * * x\n0 17 * * * x\n")["counts"]["unchanged"] == 3
    answer = crontab(door, "0 20 * * * x\n0 17 * * * x\n")
    assert answer["counts"]["unchanged"] == 2
    assert [one["id"] for one in answer["missing"]] == [1]


def test_what_is_gone_from_the_source_is_named_and_left(door: Door) -> None:
    crontab(door, CRONTAB, "--apply")
    answer = crontab(door, "# Look\n0 10 * * * Look over the notes\n", "--apply")
    assert [one["id"] for one in answer["missing"]] == [2, 3]
    for gone in (2, 3):
        assert any(one.endswith(f"promptyoself cancel --id {gone}") for one in answer["warnings"])
    assert len([one for one in stored(door) if one.state == "active"]) == 3


def test_a_changed_command_is_told_to_fire_beside_the_old_one_and_how_to_end_that(door: Door) -> None:
    crontab(door, CRONTAB, "--apply")
    text = CRONTAB.replace("Look over", "Read over")
    for options in ((), ("--apply",)):
        answer = crontab(door, text, *options)
        (missing,) = answer["missing"]
        assert missing["prompt_text"] == "Look over the notes"
        (warning,) = (one for one in answer["warnings"] if "schedule 1 " in one)
        assert "BESIDE line 2" in warning
        assert missing["cure"] == "promptyoself cancel --id 1"
        assert warning.endswith(missing["cure"])
    door.ok("cancel", "--id", "1")
    assert crontab(door, text)["missing"] == []


def test_an_export_of_another_database_is_said_to_go_on_there(door: Door, tmp_path: Path) -> None:
    crontab(door, CRONTAB, "--apply")
    path = tmp_path / "out.json"
    door.ok("export", "--to", str(path))
    assert not any("exported from" in one for one in door.ok("import", "json", str(path))["warnings"])
    document = json.loads(path.read_text())
    document["database_uid"] = "f" * 32
    for number, one in enumerate(document["schedules"]):
        one.update(uid=f"{number:032x}", key=f"other:{number}")
    path.write_text(json.dumps(document))
    answer = door.ok("import", "json", str(path))
    assert answer["counts"]["created"] == 3
    assert any("both would deliver" in one for one in answer["warnings"])


def test_cancelled_here_stays_cancelled(door: Door) -> None:
    crontab(door, CRONTAB, "--apply")
    door.ok("cancel", "--id", "1")
    answer = crontab(door, CRONTAB.replace("0 10", "0 11"), "--apply")
    assert answer["unchanged"][0]["note"] == "it was cancelled here, and stays so"
    assert stored(door)[0].state == "cancelled"


def test_a_line_without_an_agent_is_refused(door: Door) -> None:
    path = door.services.path.parent / "tab"
    path.write_text(CRONTAB)
    answer = door.ok("import", "crontab", str(path), "--apply")
    assert answer["counts"]["refused"] == 3
    assert "--agent-id" in answer["refused"][0]["reason"]


def test_an_unknown_agent_is_refused_and_an_unreachable_letta_is_a_warning(door: Door) -> None:
    door.services.letta = AgentNotFound("Letta knows no agent agent-1", hint="look")
    assert crontab(door)["counts"]["refused"] == 3
    assert crontab(door, CRONTAB, "--skip-validation")["counts"]["created"] == 3
    assert crontab(door, CRONTAB, "--target", "inbox")["counts"]["created"] == 3
    door.services.letta = TargetUnreachable("Letta does not answer")
    answer = crontab(door)
    assert answer["counts"]["created"] == 3
    assert any("not checked" in warning for warning in answer["warnings"])


def crons(door: Door, *tasks: dict[str, Any], apply: bool = True) -> dict[str, Any]:
    path = door.services.path.parent / "crons.json"
    path.write_text(json.dumps({"version": 1, "tasks": tasks}))
    return door.ok("import", "letta-cron", str(path), *(["--apply"] if apply else []))


TASK = {"id": "aa", "agent_id": "agent-1", "prompt": "x", "recurring": False, "scheduled_for": "2026-03-02T09:30:00Z"}


def test_a_one_off_of_the_past_never_fires(door: Door) -> None:
    answer = crons(door, TASK | {"scheduled_for": "2026-03-02T08:59:00Z"})
    assert answer["counts"]["created"] == 0
    assert "not in the future" in answer["refused"][0]["reason"]


def test_a_one_off_that_has_fired_is_left_when_it_comes_again(door: Door) -> None:
    crons(door, TASK)
    door.services.clock.at = NOW + timedelta(hours=1)
    assert len(planned(door)) == 1
    answer = crons(door, TASK)
    assert answer["counts"]["unchanged"] == 1
    assert len(planned(door)) == 1


def test_a_task_twice_in_one_file_is_one_schedule(door: Door) -> None:
    answer = crons(door, TASK, TASK | {"prompt": "y"})
    assert (answer["counts"]["created"], answer["counts"]["refused"]) == (1, 1)


def test_the_import_of_a_missed_rule_fires_from_now_on(door: Door) -> None:
    database(door, ["interval", "1h", "2026-03-01 05:10:00.000000"])
    fast(door, "--apply")
    assert planned(door) == []
    assert stored(door)[0].next_fire_at == NOW + timedelta(minutes=10)


def database(door: Door, *rows: list[str], journal: str = "delete") -> Path:
    path = door.services.path.parent / "older.db"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute(
            "CREATE TABLE unified_reminders (id INTEGER PRIMARY KEY, message TEXT, next_run DATETIME, status TEXT, "
            "created_at DATETIME, active BOOLEAN, schedule_type TEXT, schedule_value TEXT, max_repetitions INTEGER, "
            "repetition_count INTEGER, agent_id TEXT)"
        )
        for kind, value, next_run in rows:
            connection.execute(
                "INSERT INTO unified_reminders VALUES "
                "(NULL, 'x', ?, 'pending', '2025-01-01 00:00:00.5', 1, ?, ?, NULL, 0, 'agent-1')",
                (next_run, kind, value),
            )
    connection.close()
    return path


def fast(door: Door, *options: str) -> dict[str, Any]:
    return door.ok("import", "promptyoself-fast", str(door.services.path.parent / "older.db"), *options)


def test_the_older_file_is_read_and_never_changed(door: Door) -> None:
    for journal in ("delete", "wal"):
        path = database(door, ["cron", "0 12 * * *", "2026-03-02 12:00:00.000000"], journal=journal)
        before, beside = path.read_bytes(), sorted(path.parent.iterdir())
        assert fast(door)["counts"]["created"] == 1
        assert path.read_bytes() == before
        assert {one.name for one in path.parent.iterdir()} - {one.name for one in beside} <= {"promptyoself.db"}


def test_an_older_file_in_use_is_read_with_its_log_and_warned_of(door: Door) -> None:
    path = database(door, journal="wal")
    running = sqlite3.connect(path)
    running.execute(
        "INSERT INTO unified_reminders (message, next_run, active, schedule_type, schedule_value, agent_id) "
        "VALUES ('x', '2026-03-02 12:00:00', 1, 'cron', '0 12 * * *', 'agent-1')"
    )
    running.commit()
    answer = fast(door)
    running.close()
    assert answer["counts"]["created"] == 1
    assert any("open now" in warning and "both will deliver" in warning for warning in answer["warnings"])


def test_an_older_schedule_that_ran_meanwhile_is_the_same(door: Door) -> None:
    path = database(door, ["interval", "10m", "2026-03-02 09:05:00.000000"])
    fast(door, "--apply")
    before = stored(door)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE unified_reminders SET next_run = '2026-03-02 09:15:30', repetition_count = 1")
    connection.close()
    assert fast(door, "--apply")["counts"]["unchanged"] == 1
    assert stored(door) == before


@pytest.mark.parametrize("kind", ["crontab", "letta-cron", "promptyoself-fast", "json"])
def test_what_is_no_such_file_is_refused_in_a_sentence(door: Door, kind: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "nul").write_bytes(b"0 9 * * * x\0")
    (tmp_path / "latin").write_bytes(b"0 9 * * * caf\xe9")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "cut").write_bytes(b"SQLite format 3\0" + b"\xff" * 100)
    os.mkfifo(tmp_path / "pipe")
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE users (id INTEGER)")
    connection.close()
    for name in ("missing", "folder", "nul", "latin", "loop", "pipe", "cut", "other.db", "promptyoself.db"):
        door.services.store.close()
        answer = door.refused("import", kind, str(tmp_path / name), "--agent-id", "agent-1", "--apply")
        assert answer["code"] == "invalid_input", name
        assert len(answer["error"]) < 400, name
    door.refused("import", kind, "", code=1)


def test_tables_of_another_program_are_listed(door: Door, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE users (id INTEGER)")
    connection.close()
    assert "'users'" in door.refused("import", "promptyoself-fast", str(tmp_path / "other.db"))["error"]


def test_a_file_larger_than_the_bound_is_refused(door: Door, tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(64 * 1024 * 1024 * 1024)
    assert "too much" in door.refused("import", "crontab", str(tmp_path / "huge"))["error"]


def test_stdin_is_read_for_a_dash(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CRONTAB.encode())))
    assert door.ok("import", "crontab", "-", "--agent-id", "agent-1")["counts"]["created"] == 3
    assert "stdin" in door.refused("import", "promptyoself-fast", "-")["error"]


def test_agents_do_not_import(door: Door, tmp_path: Path) -> None:
    door.services.owner = "agent-1"
    assert door.refused("import", "crontab", str(tmp_path / "x"))["code"] == "forbidden"


def test_a_person_gets_a_table(door: Door) -> None:
    path = door.services.path.parent / "tab"
    path.write_text(CRONTAB + "@reboot x\nbad\n0 1 * * * root a%b\n")
    out = door.call("import", "crontab", str(path), "--agent-id", "agent-1", is_tty=True).out
    for words in ("would be created", "line 5 refused", "Dry run: 4 created, 2 refused", "user column", "--apply"):
        assert words in out
