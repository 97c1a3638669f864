"""The commands that make and change schedules, and their JSON."""

from __future__ import annotations

from datetime import timedelta

import pytest

from promptyoself.domain.errors import AgentNotFound, TargetRefused, TargetUnreachable
from promptyoself.domain.models import Executor
from tests.interfaces.world import NOW, Door

SCHEDULE_KEYS = [
    "id",
    "key",
    "name",
    "agent_id",
    "prompt_text",
    "schedule_type",
    "schedule_value",
    "timezone",
    "next_run",
    "last_run",
    "active",
    "state",
    "state_reason",
    "created_at",
    "max_repetitions",
    "repetition_count",
    "catch_up",
    "overlap",
    "target",
    "conversation",
    "skip_on",
    "created_by",
    "snoozed_until",
]
REGISTER = ("register", "--agent-id", "agent-1", "--prompt", "stretch")


def beat(door: Door, *, mode: str = "loop", ago: timedelta = timedelta(0)) -> None:
    at = NOW - ago
    executor = Executor(id="e", host="h", pid=1, version="0.1.0", mode=mode, started_at=at, heartbeat_at=at)
    with door.services.store.transaction() as tx:
        tx.heartbeat(executor)


def test_register_answers_with_what_lies_ahead(door: Door) -> None:
    made = door.ok(*REGISTER, "--cron", "0 9 * * mon-fri", "--timezone", "Europe/Riga")
    assert made["id"] == 1
    assert made["next_run"] == "2026-03-03T09:00:00+02:00"
    assert made["timezone"] == "Europe/Riga"
    assert made["now"] == "2026-03-02T11:00:00+02:00"
    assert made["next_runs"] == [f"2026-03-0{day}T09:00:00+02:00" for day in (3, 4, 5)]
    assert made["description"] == "at 09:00 on Monday to Friday (Europe/Riga)"
    assert "ID 1." in made["message"]
    assert "Tue 09:00 Europe/Riga (in 22 h)" in made["message"]
    assert made["database"].endswith("promptyoself.db")


def test_a_schedule_has_exactly_the_promised_keys(door: Door) -> None:
    door.ok(*REGISTER, "--every", "5m")
    (listed,) = door.ok("list")["schedules"]
    assert list(listed) == SCHEDULE_KEYS
    assert listed["created_by"] == "operator via cli"
    assert listed["schedule_type"] == "interval"
    assert listed["next_run"] == "2026-03-02T09:05:00+00:00"
    assert list(door.ok("show", "--id", "1")["schedule"]) == SCHEDULE_KEYS


def test_a_prompt_may_look_like_an_option(door: Door) -> None:
    door.ok("register", "--agent-id", "agent-1", "--prompt", "--help", "--every", "5m")
    assert door.ok("list")["schedules"][0]["prompt_text"] == "--help"


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--time", "2020-01-01T00:00"], 1, ["future"]),
        ([], 2, ["time", "cron", "every"]),
        (["--every", "5m", "--cron", "* * * * *"], 2, ["time", "cron", "every"]),
        (["--every", "0m"], 1, ["interval", "0m"]),
        (["--every", "-5m"], 1, ["interval"]),
        (["--every", "5 bananas"], 1, ["interval"]),
        (["--cron", "99 * * * *"], 1, ["cron", "minute", "99", "59"]),
        (["--cron", "nonsense"], 1, ["cron"]),
        (["--cron", "0 0 30 2 *"], 1, ["cron"]),
        (["--every", "5m", "--timezone", "Europe/Rigga"], 1, ["Europe/Rigga"]),
        (["--every", "5m", "--target", "moon"], 1, ["moon"]),
        (["--every", "5m", "--max-repetitions", "0"], 1, ["max-repetitions"]),
        (["--every", "5m", "--max-repetitions", "x"], 2, ["max-repetitions"]),
    ],
)
def test_what_cannot_be_scheduled_is_refused_and_not_stored(
    door: Door, options: list[str], code: int, said: list[str]
) -> None:
    error = door.refused(*REGISTER, *options, code=code)["error"].lower()
    assert all(word.lower() in error for word in said), error
    assert door.ok("list", "--all")["count"] == 0


def test_an_agent_id_is_needed_and_may_come_from_the_settings(door: Door) -> None:
    assert "agent" in door.refused("register", "--prompt", "x", "--every", "5m", code=2)["error"]
    door.services.agent_id = "agent-9"
    door.ok("register", "--prompt", "x", "--every", "5m")
    assert door.ok("list")["schedules"][0]["agent_id"] == "agent-9"


def test_an_unknown_agent_is_refused_unless_the_check_is_skipped(door: Door) -> None:
    door.services.letta = AgentNotFound("agent agent-1 not found on http://letta", hint="list them")
    refused = door.refused(*REGISTER, "--every", "5m")
    assert refused["code"] == "agent_not_found"
    assert "not found" in refused["error"]
    assert "--skip-validation" in refused["error"]
    door.ok(*REGISTER, "--every", "5m", "--skip-validation")
    assert door.services.asked == ["agent-1"]


@pytest.mark.parametrize("failure", [TargetUnreachable("no answer"), TargetRefused("wrong key")])
def test_a_letta_that_cannot_be_asked_is_a_warning(door: Door, failure: Exception) -> None:
    door.services.letta = failure
    assert any(str(failure) in warning for warning in door.ok(*REGISTER, "--every", "5m")["warnings"])


def test_only_letta_is_asked_about_agents(door: Door) -> None:
    door.ok(*REGISTER, "--every", "5m", "--target", "inbox")
    assert door.services.asked == []


def test_it_is_said_when_nothing_would_deliver(door: Door) -> None:
    silent = "nothing is running"
    assert any(silent in one for one in door.ok(*REGISTER, "--every", "5m")["warnings"])
    beat(door, mode="execute")
    assert any(silent in one for one in door.ok("list")["warnings"])
    beat(door)
    assert door.ok("list")["warnings"] == []
    assert door.ok(*REGISTER, "--every", "5m")["warnings"] == []
    beat(door, ago=timedelta(minutes=1))
    assert any(silent in one for one in door.ok("list")["warnings"])


def test_a_zone_that_nobody_chose_is_a_warning(door: Door) -> None:
    beat(door)
    door.services.timezone_source = "machine"
    (warning,) = door.ok(*REGISTER, "--cron", "0 9 * * *")["warnings"]
    assert "time" in warning
    assert "UTC" in warning
    assert door.ok(*REGISTER, "--cron", "0 9 * * *", "--timezone", "Europe/Riga")["warnings"] == []


def test_a_key_makes_register_an_update(door: Door) -> None:
    first = door.ok(*REGISTER, "--every", "5m", "--key", "mine")
    second = door.ok(*REGISTER, "--every", "10m", "--key", "mine")
    assert (first["created"], second["created"]) == (True, False)
    assert first["id"] == second["id"]


def test_list_shows_finished_ones_only_on_request(door: Door) -> None:
    door.ok(*REGISTER, "--every", "5m")
    door.ok("register", "--agent-id", "agent-2", "--prompt", "x", "--every", "5m")
    assert door.ok("cancel", "--id", "1")["cancelled_id"] == 1
    assert door.ok("list")["count"] == 1
    assert door.ok("list", "--all")["count"] == 2
    assert door.ok("list", "--all", "--agent-id", "agent-1")["count"] == 1


@pytest.mark.parametrize("command", ["show", "history", "why", "cancel", "pause", "resume", "update", "run-now"])
def test_an_unknown_id_is_not_found(door: Door, command: str) -> None:
    refused = door.refused(command, "--id", "99")
    assert "not found" in refused["error"]
    assert refused["code"] == "schedule_not_found"


def test_pause_and_resume(door: Door) -> None:
    door.ok(*REGISTER, "--every", "5m")
    paused = door.ok("pause", "--id", "1", "--reason", "holiday", "--until", "2026-03-03T09:00")["schedule"]
    assert (paused["state"], paused["active"], paused["state_reason"]) == ("paused", False, "holiday")
    assert door.ok("show", "--id", "1")["details"]["paused_until"] == "2026-03-03T09:00:00+00:00"
    assert door.ok("resume", "--id", "1")["schedule"]["state"] == "active"


def test_all_deliveries_are_stopped_and_let_go_on(door: Door) -> None:
    assert door.ok("pause", "--all", "--reason", "maintenance")["reason"] == "maintenance"
    assert any("maintenance" in one for one in door.ok("list")["warnings"])
    door.ok("resume", "--all")
    assert not any("maintenance" in one for one in door.ok("list")["warnings"])


def test_a_stop_of_all_is_spoken_of_until_its_end_and_no_longer(door: Door) -> None:
    door.ok("pause", "--all", "--until", "2026-03-02T10:00", "--reason", "maintenance")
    [switch] = [one for one in door.call("doctor").json["checks"] if one["name"] == "stop switch"]
    assert switch["found"] == "all deliveries are stopped until 2026-03-02 10:00 UTC: maintenance"
    assert any("maintenance" in warning for warning in door.ok("list")["warnings"])
    door.services.clock.at = NOW + timedelta(hours=1)
    [switch] = [one for one in door.call("doctor").json["checks"] if one["name"] == "stop switch"]
    assert switch["result"] == "ok"
    assert not any("maintenance" in warning for warning in door.ok("list")["warnings"])


@pytest.mark.parametrize("options", [[], ["--id", "1", "--all"]])
def test_pause_is_for_one_or_for_all(door: Door, options: list[str]) -> None:
    assert "--id or --all" in door.refused("pause", *options, code=2)["error"]


def test_update_changes_what_is_named(door: Door) -> None:
    door.ok(*REGISTER, "--every", "5m", "--name", "exercise")
    changed = door.ok("update", "--id", "1", "--cron", "0 9 * * *", "--name", "")["schedule"]
    assert (changed["schedule_type"], changed["name"], changed["prompt_text"]) == ("cron", None, "stretch")
    assert door.refused("update", "--id", "1", "--every", "5m", "--revision", "1")["code"] == "conflict"
    door.services.letta = AgentNotFound("agent agent-2 not found", hint="list them")
    assert door.refused("update", "--id", "1", "--agent-id", "agent-2")["code"] == "agent_not_found"


def test_run_now_leaves_the_schedule_alone(door: Door) -> None:
    door.ok(*REGISTER, "--every", "5m")
    before = door.ok("show", "--id", "1")["schedule"]
    delivery = door.ok("run-now", "--id", "1")["delivery"]
    assert (delivery["kind"], delivery["state"], delivery["agent_id"]) == ("run_now", "pending", "agent-1")
    assert door.ok("show", "--id", "1")["schedule"] == before


def test_an_agent_acts_for_itself_only(door: Door) -> None:
    door.ok("register", "--agent-id", "agent-2", "--prompt", "x", "--every", "5m")
    door.services.owner = door.services.agent_id = "agent-1"
    door.ok("register", "--prompt", "x", "--every", "5m")
    (own,) = door.ok("list", "--all")["schedules"]
    assert own["agent_id"] == "agent-1"
    assert own["created_by"] == "agent-1 via cli"
    assert door.refused("show", "--id", "1")["code"] == "schedule_not_found"
    assert door.refused("register", "--agent-id", "agent-2", "--prompt", "x", "--every", "5m")["code"] == "forbidden"
    assert door.refused("register", "--prompt", "x", "--every", "5s")["code"] == "limit_exceeded"
    for words in (
        ["pause", "--all"],
        ["upload", "--source-code", "x"],
        ["list", "--db", "elsewhere.db"],
        ["list", "--base-url", "http://elsewhere"],
        ["execute", "--loop"],
        ["db", "backup", "--to", "copy.db"],
    ):
        assert door.refused(*words)["code"] == "forbidden"


def test_preview_shows_the_zone_and_utc_and_stores_nothing(door: Door) -> None:
    shown = door.ok("preview", "--cron", "0 9 * * *", "--timezone", "Europe/Riga", "--count", "2")
    assert shown["runs"] == [
        {"at": "2026-03-03T09:00:00+02:00", "utc": "2026-03-03T07:00:00+00:00"},
        {"at": "2026-03-04T09:00:00+02:00", "utc": "2026-03-04T07:00:00+00:00"},
    ]
    assert not door.services.path.exists()


def test_preview_is_bounded_by_dates(door: Door) -> None:
    words = ("preview", "--cron", "0 9 * * *", "--from", "2026-07-01T09:00", "--until", "2026-07-03T09:00")
    assert [run["at"][:10] for run in door.ok(*words)["runs"]] == ["2026-07-01", "2026-07-02", "2026-07-03"]
    assert "1000" in door.refused("preview", "--every", "1m", "--count", "1001")["error"]
    assert "time" in door.refused("preview", code=2)["error"]


def test_flags_reach_the_settings(door: Door) -> None:
    door.ok("preview", "--every", "5m", "--timezone", "Europe/Riga", "--db", "x.db", "--base-url", "http://l")
    assert door.services.flags == {"db": "x.db", "timezone": "Europe/Riga", "base_url": "http://l"}


def test_the_soonest_come_first_whatever_their_ids_and_the_newest_of_what_rests(door: Door) -> None:
    def made(name: str, *words: str) -> int:
        return int(door.ok("register", "--agent-id", "agent-1", "--prompt", name, "--name", name, *words)["id"])

    late, resting, soon, older = (
        made("late", "--every", "3d"),
        made("resting", "--every", "1h"),
        made("soon", "--every", "2h"),
        made("older", "--every", "4h"),
    )
    # Its next fire time, in an hour, is left out: what is sent next comes with the other's, and has the higher id.
    quiet = made("quiet", "--every", "1h", "--quiet-hours", "09:30-10:30 skip")
    door.ok("pause", "--id", str(resting))
    door.ok("pause", "--id", str(older))
    for words in ((), ("--agent-id", "agent-1")):
        found = door.ok("list", "--soonest", *words)
        assert [one["id"] for one in found["schedules"]] == [soon, quiet, late, older, resting], words
        cut = door.ok("list", "--soonest", "--limit", "1", *words)
        assert ([one["id"] for one in cut["schedules"]], cut["count"]) == ([soon], 5), words
    assert [one["id"] for one in door.ok("list", "--soonest", "--name", "LATE")["schedules"]] == [late]
    assert door.ok("list", "--soonest", "--state", "paused")["count"] == 2
