"""`--skip-on`: read once, kept with the schedule, shown with its reason, and never asked of the file again."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from promptyoself.application.planner import plan_batch
from promptyoself.domain.errors import StoreCorrupt
from promptyoself.domain.models import DeliveryState
from promptyoself.domain.ports import DeliveryFilter
from promptyoself.storage import calendars
from tests.interfaces.world import NOW, Door

ICS = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20260303\nSUMMARY:Carnival\nEND:VEVENT\nEND:VCALENDAR\n"
REASON = "holiday: Carnival (holidays.ics)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "holidays.ics"
    made.write_text(ICS)
    return made


def register(door: Door, path: Path, *options: str) -> dict[str, Any]:
    rule = ("--prompt", "x", "--cron", "0 10 * * *")
    return door.ok("register", "--agent-id", "agent-1", *rule, "--skip-on", str(path), *options)


def plan(door: Door) -> list[tuple[DeliveryState, str | None]]:
    calendars._KEPT.clear()
    store = door.services.store
    with store.transaction() as tx:
        plan_batch(tx, now=door.services.clock.at, store_uid=store.uid)
        return [(one.state, one.reason) for one in tx.deliveries(DeliveryFilter())]


def test_a_fire_time_on_a_holiday_is_skipped_with_the_reason_and_the_file_is_not_needed(door: Door, path: Path) -> None:
    answer = register(door, path, "--start-at", "2026-03-03T00:00")
    assert any(REASON in warning for warning in answer["warnings"])
    assert any("ends on 2026-03-03" in warning for warning in answer["warnings"])
    path.unlink()
    door.services.clock.at = NOW + timedelta(days=1, hours=2)
    with door.services.store.transaction() as tx:
        schedule = tx.schedule(1)
        assert schedule is not None
    assert plan(door) == [(DeliveryState.SKIPPED, REASON)]
    door.services.clock.at = NOW + timedelta(days=2, hours=2)
    assert plan(door)[0] == (DeliveryState.PENDING, None)
    assert any(REASON in sentence for sentence in door.ok("why", "--id", "1")["sentences"])


def test_who_is_told_of_missed_ones_is_not_told_of_holidays(door: Door, path: Path) -> None:
    register(door, path)
    door.services.clock.at = NOW + timedelta(days=4, hours=2)
    assert plan(door) == [(DeliveryState.PENDING, None)]
    (one,) = door.ok("deliveries")["deliveries"]
    assert (one["fire_at"], one["missed"]) == ("2026-03-06T10:00:00+00:00", 3)


def test_list_and_show_name_it_and_an_empty_text_clears_it(door: Door, path: Path) -> None:
    register(door, path)
    assert door.ok("list")["schedules"][0]["skip_on"] == "holidays.ics"
    assert door.ok("show", "--id", "1")["details"]["skip_on_until"] == "2026-03-03"
    door.ok("update", "--id", "1", "--prompt", "y")
    assert door.ok("show", "--id", "1")["schedule"]["skip_on"] == "holidays.ics"
    assert door.ok("update", "--id", "1", "--skip-on", "")["schedule"]["skip_on"] is None


def test_preview_says_which_are_skipped(door: Door, path: Path) -> None:
    runs = door.ok("preview", "--cron", "0 10 * * *", "--skip-on", str(path), "--count", "3")["runs"]
    assert [run.get("skipped") for run in runs] == [None, REASON, None]


def test_the_same_calendar_is_kept_once_and_goes_when_nobody_names_it(door: Door, path: Path) -> None:
    register(door, path)
    register(door, path)

    def kept() -> int:
        with sqlite3.connect(door.services.path) as connection:
            count: int = connection.execute("SELECT count(*) FROM calendars").fetchone()[0]
        connection.close()
        return count

    assert kept() == 1
    for number, left in ((1, 1), (2, 0)):
        door.ok("update", "--id", str(number), "--skip-on", "")
        with door.services.store.transaction() as tx:
            tx.prune(before=NOW, limit=10)
        assert kept() == left


def test_it_goes_along_in_an_export(door: Door, path: Path, tmp_path: Path) -> None:
    register(door, path)
    door.ok("export", "--to", str(tmp_path / "e.json"))
    (tmp_path / "other").mkdir()
    other = Door(tmp_path / "other")
    assert other.ok("import", "json", str(tmp_path / "e.json"), "--apply")["counts"]["created"] == 1
    assert other.ok("show", "--id", "1")["details"]["skip_on_until"] == "2026-03-03"
    assert other.ok("import", "json", str(tmp_path / "e.json"))["counts"]["unchanged"] == 1
    text = (tmp_path / "e.json").read_text()
    (tmp_path / "e.json").write_text(text.replace('"calendars"', '"others"'))
    assert "calendar" in other.ok("import", "json", str(tmp_path / "e.json"))["refused"][0]["reason"]
    other.services.close()


def test_the_feed_leaves_holidays_out(door: Door, path: Path) -> None:
    register(door, path)
    assert door.ok("export", "--format", "ics", "--for", "3d")["count"] == 2


def test_agents_read_no_files(door: Door, path: Path) -> None:
    door.services.owner = "agent-1"
    for command in ("register", "preview"):
        options = ("--cron", "0 10 * * *", *(("--prompt", "x") if command == "register" else ()))
        assert door.refused(command, *options, "--skip-on", str(path))["code"] == "forbidden"


def test_a_damaged_calendar_is_said_to_be_one(door: Door, path: Path) -> None:
    register(door, path)
    door.services.close()
    with sqlite3.connect(door.services.path) as connection:
        connection.execute("UPDATE calendars SET content = replace(content, 'Carnival', 'Lent')")
    connection.close()
    calendars._KEPT.clear()
    with pytest.raises(StoreCorrupt, match="calendar"), door.services.store.reading() as tx:
        tx.schedule(1)


def test_a_file_that_is_no_calendar_stores_nothing(door: Door, path: Path) -> None:
    path.write_text("0 9 * * * x")
    assert (
        "no iCalendar"
        in door.refused(
            "register", "--agent-id", "agent-1", "--prompt", "x", "--cron", "0 10 * * *", "--skip-on", str(path)
        )["error"]
    )
    assert door.ok("list")["count"] == 0


def test_nothing_is_put_off_into_a_holiday_and_run_now_goes_on_one(door: Door, path: Path) -> None:
    register(door, path, "--catch-up", "all")
    answer = door.refused("snooze", "--id", "1", "--until", "2026-03-03T12:00")
    assert REASON in answer["error"]
    assert "2026-03-04T00:00:00+00:00" in answer["hint"]
    assert door.ok("snooze", "--id", "1", "--until", "2026-03-04T00:00")["delivery"]["state"] == "pending"
    door.services.clock.at = NOW + timedelta(days=1)
    assert door.ok("run-now", "--id", "1")["delivery"]["state"] == "pending"
