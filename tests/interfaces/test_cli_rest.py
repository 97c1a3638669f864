"""Letta's commands, doctor, settings, the description for SMCP, and how a person and a program are answered."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from promptyoself import __version__
from promptyoself.domain import errors
from promptyoself.domain.errors import ConfigError, TargetUnreachable
from promptyoself.domain.models import ZoneRecord
from promptyoself.interfaces import cli_letta
from promptyoself.interfaces.background import BackgroundLoop
from promptyoself.interfaces.call import Call
from promptyoself.interfaces.commands import COMMANDS
from promptyoself.interfaces.services import Services
from promptyoself.storage.move import Mark, Phase
from promptyoself.storage.move_sqlite import SqliteSource
from tests.interfaces.world import NOW, Door

OFFERED = [
    "register",
    "list",
    "show",
    "history",
    "why",
    "cancel",
    "pause",
    "resume",
    "update",
    "preview",
    "run-now",
    "execute",
    "test",
    "agents",
    "upload",
    "inbox",
    "ack",
    "claim-once",
]
ESCAPE = "\x1b[2Jowned"


def test_letta_is_asked(door: Door) -> None:
    assert door.ok("test")["latency_ms"] == 12.3
    assert door.ok("agents")["agents"] == [{"id": "agent-1", "name": "one", "description": None}]
    stored = door.ok("upload", "--source-code", "def f(): ...", "--name", "f")
    assert (stored["tool_id"], stored["name"]) == ("tool-1", "f")


@pytest.mark.parametrize("command", [["test"], ["agents"]])
def test_a_letta_that_does_not_answer_is_a_failure(door: Door, command: list[str]) -> None:
    door.services.letta = TargetUnreachable("Letta cannot be reached", hint="is it running?")
    refused = door.refused(*command)
    assert refused["code"] == "target_unreachable"
    assert "is it running?" in refused["error"]


def test_an_upload_without_a_key_names_it(door: Door) -> None:
    door.services.letta = ConfigError("LETTA_API_KEY is not set")
    assert "LETTA_API_KEY" in door.refused("upload", "--source-code", "def f(): ...")["error"]
    assert door.refused("upload", "--source-code", " ", code=2)["code"] == "usage"


def test_doctor_says_what_it_found_and_what_to_do(door: Door) -> None:
    checks = {check["name"]: check for check in door.ok("doctor")["checks"]}
    assert {"version", "database", "integrity", "executor", "stop switch", "breaker", "clock", "zone", "letta"} <= set(
        checks
    )
    assert checks["executor"]["result"] == "warn"
    assert "execute --loop" in checks["executor"]["cure"]
    assert __version__ in checks["version"]["found"]


def test_doctor_fails_for_damage_and_for_a_letta_that_is_needed(door: Door) -> None:
    door.services.damage = ["row 7 is missing"]
    assert "row 7 is missing" in door.refused("doctor")["error"]
    door.services.damage = []
    door.services.letta = TargetUnreachable("no answer")
    checks = {check["name"]: check["result"] for check in door.ok("doctor")["checks"]}
    assert checks["letta"] == "warn"
    door.ok("register", "--agent-id", "a", "--prompt", "x", "--every", "5m")
    assert door.refused("doctor")["code"] == "doctor"


def test_doctor_goes_on_without_a_database(door: Door) -> None:
    door.services.path.write_text("no database at all " * 100)
    refused = door.refused("doctor")
    results = {check["name"]: check["result"] for check in refused["checks"]}
    assert results["database"] == "fail"
    assert results["letta"] == "ok"
    assert "executor" not in results


def test_doctor_says_where_a_database_was_moved_to(door: Door) -> None:
    door.ok("register", "--agent-id", "a", "--prompt", "x", "--every", "5m")
    with closing(SqliteSource(door.services.path)) as source:
        source.fence(Mark("m", "the other one", Phase.FENCED), now=NOW)
    checks = {check["name"]: check for check in door.refused("doctor")["checks"]}
    assert checks["database"]["result"] == "fail"
    assert "was moved to the other one" in checks["database"]["found"]


def test_a_database_that_was_moved_is_told_of_and_passes_for_no_other(door: Door) -> None:
    door.ok("register", "--agent-id", "a", "--prompt", "x", "--every", "5m")
    mark = Mark("m", "postgresql://db/new", Phase.DRAINING)
    with closing(SqliteSource(door.services.path)) as source:
        source.drain(mark, now=NOW)
        assert door.ok("execute")["executed"] == [], "the move may still be taken back"
        source.fence(mark, now=NOW)
    (warning,) = door.ok("list")["warnings"]
    assert warning.startswith("all deliveries are stopped: this database is being moved, or was moved, to postgresql:")
    assert "resume" not in warning
    assert door.refused("execute")["code"] == "store_moved"


def test_doctor_knows_a_zone_that_does_not_exist(door: Door) -> None:
    door.services.timezone = "Europe/Rigga"
    assert "Europe/Rigga" in door.refused("doctor")["error"]


def test_the_database_is_copied_and_upgraded(door: Door, tmp_path: Path) -> None:
    door.ok("register", "--agent-id", "a", "--prompt", "x", "--every", "5m")
    copy = tmp_path / "copy.db"
    assert door.ok("db", "backup", "--to", str(copy))["bytes"] == copy.stat().st_size
    assert door.refused("db", "backup", "--to", str(copy))["code"].startswith("store")
    assert door.ok("db", "upgrade")["counts"]["schedules_active"] == 1


def test_version_help_and_description_are_one_object_each(door: Door) -> None:
    assert door.ok("--version")["version"] == __version__
    assert "register" in door.ok("--help")["help"]
    assert "--rrule" in door.ok("register", "--help")["help"]
    for command in COMMANDS:
        assert command.example in door.ok(*command.name.split(), "--help")["help"]
    assert door.refused(code=2)["code"] == "usage"


def test_smcp_is_offered_exactly_the_promised_commands(door: Door) -> None:
    document = door.call("--describe", is_tty=True).json
    assert document["contract_version"] == "1.0"
    assert document["plugin"]["name"] == "promptyoself"
    assert [command["name"] for command in document["commands"]] == OFFERED
    for command in document["commands"]:
        assert command["description"]
        for parameter in command["parameters"]:
            assert re.fullmatch(r"[a-z][a-z_]*", parameter["name"])
            assert parameter["type"] in {"string", "integer", "number", "boolean"}
            assert parameter["description"]
            assert isinstance(parameter["required"], bool)
            assert (parameter.get("action") == "store_true") == (parameter["type"] == "boolean")


def test_smcp_is_offered_nothing_that_does_not_return_or_is_for_all(door: Door) -> None:
    offered = {one["name"]: one for one in door.call("--describe").json["commands"]}
    names = {name: {one["name"]: one for one in command["parameters"]} for name, command in offered.items()}
    assert set(names["execute"]) == {"wait"}
    assert names["pause"].keys() == {"id", "until", "reason"}
    assert names["resume"]["id"]["required"]
    assert names["list"]["all"]["action"] == "store_true"
    assert not any({"db", "json", "base_url"} & set(command) for command in names.values())


# -- people and programs ------------------------------------------------------------------------------------


def test_a_person_gets_a_sentence(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    words = ["register", "--agent-id", "a", "--prompt", "x", "--cron", "0 9 * * *", "--timezone", "Europe/Riga"]
    answer = door.call(*words, is_tty=True)
    assert answer.out.startswith("Scheduled #1. Next: Tue 09:00 Europe/Riga (in 22 h)\n")
    assert "\x1b" not in answer.out


def test_every_command_has_something_to_say_to_a_person(door: Door, tmp_path: Path) -> None:
    door.ok("register", "--agent-id", "a", "--prompt", ESCAPE, "--every", "5m", "--target", "inbox")
    door.ok("run-now", "--id", "1")
    for words in (
        ["list"],
        ["show", "--id", "1"],
        ["history", "--id", "1"],
        ["why", "--id", "1"],
        ["deliveries"],
        ["preview", "--every", "5m"],
        ["execute"],
        ["test"],
        ["agents"],
        ["inbox", "--agent-id", "a"],
        ["pause", "--id", "1"],
        ["resume", "--id", "1"],
        ["pause", "--all"],
        ["resume", "--all"],
        ["update", "--id", "1", "--name", "n"],
        ["doctor"],
        ["config"],
        ["db", "upgrade"],
        ["db", "backup", "--to", str(tmp_path / "copy.db")],
        ["cancel", "--id", "1"],
        ["--help"],
        ["--version"],
    ):
        answer = door.call(*words, is_tty=True)
        assert answer.code == 0, answer
        assert answer.out.strip(), words
        assert not answer.out.startswith("{"), words
        assert ESCAPE not in answer.out


def test_a_person_is_told_of_a_failure_on_stderr(door: Door) -> None:
    answer = door.call("show", "--id", "7", is_tty=True)
    assert answer.out == ""
    assert answer.err == (
        "promptyoself: schedule 7 was not found; promptyoself list --all shows every schedule and its id\n"
    )


def test_json_is_given_to_a_person_who_asks_for_it(door: Door) -> None:
    answer = door.call("list", "--json", is_tty=True)
    assert answer.json["count"] == 0
    assert "\n  " in answer.out
    assert door.call("show", "--id", "x", "--json", is_tty=True).json["code"] == "usage"


def test_json_is_ascii(door: Door) -> None:
    door.ok("register", "--agent-id", "a", "--prompt", "\u201cšķērsām\u201d \U0001f600", "--every", "5m")
    assert door.call("list").out.isascii()
    assert door.ok("list")["schedules"][0]["prompt_text"] == "\u201cšķērsām\u201d \U0001f600"


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    def breaks(failure: BaseException) -> None:
        def test(_call: Call) -> dict[str, object]:
            raise failure

        monkeypatch.setattr(cli_letta, "test", test)

    return breaks


def test_a_bug_is_answered_in_json(door: Door, broken: Callable[[BaseException], None]) -> None:
    broken(ZeroDivisionError("oops"))
    quiet = door.call("test")
    assert (quiet.code, quiet.json["code"], quiet.err) == (1, "internal", "")
    loud = door.call("test", is_debug=True)
    assert "ZeroDivisionError: oops" in loud.err
    assert loud.json["code"] == "internal"


def test_an_interrupted_command_says_so(door: Door, broken: Callable[[BaseException], None]) -> None:
    broken(KeyboardInterrupt())
    answer = door.call("test")
    assert (answer.code, answer.json["code"]) == (1, "interrupted")


def test_a_missing_module_says_what_to_install(door: Door, broken: Callable[[BaseException], None]) -> None:
    broken(ModuleNotFoundError("No module named 'cronsim'", name="cronsim"))
    answer = door.call("test")
    assert answer.json["code"] == "not_installed"
    assert "pip install" in answer.json["error"]


def test_every_error_has_a_code_of_its_own_but_an_edit_that_came_too_late() -> None:
    found: list[type[errors.PromptyoselfError]] = [errors.PromptyoselfError]
    for one in found:
        found += one.__subclasses__()
    # Kinds of one that a room makes for itself answer with its code.
    found = [one for one in found if one.__module__ == errors.__name__]
    found.remove(errors.RevisionConflict)  # a conflict like others, with a status of its own over HTTP
    assert len({one.code for one in found}) == len(found)


def test_a_background_loop_is_started_and_stopped_once(door: Door) -> None:
    loop = BackgroundLoop(lambda: door.services, interval=timedelta(seconds=60))
    loop.start()
    loop.start()
    assert loop.is_running
    loop.stop()
    loop.stop()
    assert not loop.is_running


def test_a_background_loop_that_cannot_start_says_why() -> None:
    def fails() -> Services:
        raise ConfigError("no such thing")

    loop = BackgroundLoop(fails, interval=timedelta(seconds=60))
    with pytest.raises(ConfigError, match="no such thing"):
        loop.start()


def test_the_description_is_small_enough_to_be_read_at_once(door: Door) -> None:
    assert len(json.dumps(door.call("--describe").json)) < 30_000


@pytest.mark.parametrize(
    ("noted", "result", "says"),
    [
        (None, "ok", "no executor has noted it yet"),
        ("2026a", "ok", "worked out with 2026a since 2026-03-02 09:00 UTC"),
        ("2026b", "warn", "2026a here, which is older: next fires were worked out with 2026b"),
        ("2025b", "warn", "2026a here: next fires were worked out with 2025b"),
        ("files 3f9a", "warn", "2026a here: next fires were worked out with files 3f9a"),
    ],
)
def test_doctor_compares_the_zone_database_with_the_one_in_use(
    door: Door, noted: str | None, result: str, says: str
) -> None:
    if noted is not None:
        with door.services.store.transaction() as tx:
            tx.set_zone_record(ZoneRecord(version=noted, since=NOW))
    [found] = [one for one in door.call("doctor").json["checks"] if one["name"] == "zone data"]
    assert found["result"] == result
    assert says in found["found"]
