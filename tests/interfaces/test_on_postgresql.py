"""The program on a PostgreSQL database: every command as on a file, its time the database's, its password nobody's."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from promptyoself import bootstrap
from promptyoself.domain import limits
from promptyoself.domain.errors import Conflict, StoreError, StoreReadOnly, StoreUnreachable
from promptyoself.fleet import FleetNode
from promptyoself.interfaces.cli import run
from promptyoself.interfaces.services import Services
from promptyoself.postgres_url import PostgresUrl
from tests.interfaces.world import NOW
from tests.postgres.server import PostgresServer

PASSWORD = "hunter2"  # noqa: S105  it opens nothing: the server of these tests trusts everybody


class Program:
    """Command lines in this process, by the adapters that the program itself picks."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.said = ""

    def services(self, flags: Mapping[str, str | None]) -> Services:
        environ = {
            "HOME": str(self.folder),
            "PROMPTYOSELF_DB": self.url,
            "PROMPTYOSELF_TIMEZONE": "UTC",
            "LETTA_BASE_URL": "http://127.0.0.1:9",
        }
        return bootstrap.open_services(environ=environ, cwd=self.folder, flags=flags)

    def call(self, *words: str) -> dict[str, Any]:
        out, err = io.StringIO(), io.StringIO()
        run(words, services=self.services, stdout=out, stderr=err, is_tty=False, door="cli")
        self.said += out.getvalue() + err.getvalue()
        document = json.loads(out.getvalue())
        assert isinstance(document, dict)
        return document

    def ok(self, *words: str) -> dict[str, Any]:
        answer = self.call(*words)
        assert answer.get("status") == "success", answer
        return answer


@pytest.fixture
def program(postgres_url: str, tmp_path: Path) -> Iterator[Program]:
    made = Program(postgres_url.replace("postgres@", f"postgres:{PASSWORD}@"), tmp_path)
    yield made
    assert PASSWORD not in made.said


@pytest.mark.parametrize("more", [(), ("--undo",)])
def test_a_move_takes_no_address_whose_password_would_be_told_as_a_host(
    program: Program, more: tuple[str, ...]
) -> None:
    refused = program.call(
        "db", "move", "--from", "old.db", "--to", f"postgresql://me:p@{PASSWORD}@127.0.0.1:1/db", *more
    )
    assert refused["code"] == "config"
    assert refused["error"].startswith("--to is no address")


def test_a_prompt_goes_its_whole_way(program: Program, tmp_path: Path) -> None:
    to_inbox = ("--agent-id", "agent-1", "--target", "inbox")
    made = program.ok("register", *to_inbox, "--prompt", "stretch", "--every", "1h", "--key", "s", "--name", "Stretch")
    assert made["database"].startswith("postgresql://postgres@")
    listed = program.ok("list")
    assert [one["name"] for one in listed["schedules"]] == ["Stretch"]
    assert program.ok("register", *to_inbox, "--prompt", "rest", "--every", "2h", "--key", "s")["created"] is False
    assert program.ok("update", "--id", "1", "--name", "Rest")["etag"] != made["etag"]
    program.ok("pause", "--id", "1")
    program.ok("resume", "--id", "1")
    program.ok("snooze", "--id", "1", "--for", "30m")
    program.ok("run-now", "--id", "1")
    assert [one["outcome"] for one in program.ok("execute", "--wait", "0")["executed"]] == ["delivered"]
    assert [one["prompt"] for one in program.ok("inbox", "--agent-id", "agent-1")["messages"]] == ["rest"]
    assert "arrived" in " ".join(program.ok("why", "--id", "1")["sentences"])
    exported = tmp_path / "all.json"
    program.ok("export", "--to", str(exported))
    assert PASSWORD not in exported.read_text()
    program.ok("cancel", "--id", "1")
    assert program.ok("db", "upgrade")["counts"]["schedules_cancelled"] == 1


def test_it_looks_at_the_server_and_says_what_it_saw(program: Program) -> None:
    checks = {one["name"]: one for one in program.call("doctor")["checks"]}
    assert {"database", "integrity", "server", "host clocks", "nodes"} <= checks.keys()
    assert checks["database"]["result"] == checks["server"]["result"] == checks["host clocks"]["result"] == "ok"
    assert "PostgreSQL 1" in checks["server"]["found"]


def test_the_operators_token_is_kept_in_the_users_folder_under_the_databases_uid(program: Program) -> None:
    token_file = program.ok("config")["token_file"]
    uid = Path(token_file).parent.name.removeprefix("postgresql-")
    services = program.services({})
    try:
        assert uid == services.store.uid
        assert services.file_operator_token() == token_file
        assert Path(token_file).is_relative_to(program.folder)
        assert Path(token_file).parent.stat().st_mode & 0o777 == 0o700
        assert services.filed_operator_token() == Path(token_file).read_text().strip()
        with (
            services.setting_up(),
            closing(program.services({})) as other,
            pytest.raises(Conflict, match="at work here"),
            other.setting_up(),
        ):
            raise AssertionError
    finally:
        services.close()


def test_a_backup_is_left_to_postgresqls_own_tools(program: Program, tmp_path: Path) -> None:
    refused = program.call("db", "backup", "--to", str(tmp_path / "copy.db"))
    assert (refused["code"], "pg_dump" in refused["hint"]) == ("invalid_input", True)


def test_a_schedule_is_made_by_the_databases_clock(program: Program) -> None:
    with psycopg.connect(program.url) as connection:
        before = connection.execute("SELECT clock_timestamp()").fetchone()
        made = program.ok("register", "--agent-id", "a", "--target", "inbox", "--prompt", "x", "--every", "1h")
        after = connection.execute("SELECT clock_timestamp()").fetchone()
    with closing(program.services({})) as services:
        services.clock.now()
        assert services.fleet is not None
        assert services.fleet.clock_offset is not None, "it is measured before anybody reads it"
    assert before is not None
    assert after is not None
    assert before[0].isoformat() <= made["now"] <= after[0].isoformat()


def test_a_server_that_is_away_is_named_and_what_needs_none_works(tmp_path: Path) -> None:
    program = Program(f"postgresql://me:{PASSWORD}@127.0.0.1:1/prompts", tmp_path)
    refused = program.call("list")
    assert refused["code"] == "store_unreachable"
    assert "postgresql://me@127.0.0.1:1/prompts" in refused["error"]
    assert program.ok("config")["token_file"] is None
    assert program.ok("preview", "--cron", "0 9 * * *")["runs"]
    assert [one["result"] for one in program.call("doctor")["checks"] if one["name"] == "database"] == ["fail"]
    assert PASSWORD not in program.said


def test_without_the_extra_it_says_which_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.startswith(("psycopg", "promptyoself.storage.postgres"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    program = Program("postgresql://h/db", tmp_path)
    refused = program.call("list")
    assert refused["code"] == "config"
    assert "promptyoself[fleet]" in refused["error"]
    assert program.ok("config")["token_file"] is None
    assert program.ok("explain", "@daily")["next_runs"]
    checks = {one["name"]: one for one in program.call("doctor")["checks"]}
    assert "promptyoself[fleet]" in checks["database"]["cure"]
    assert "psycopg" not in checks["letta"]["found"]


def test_without_the_queue_a_worker_says_which_extra(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.startswith(("pgqueuer", "promptyoself.lanes.pgqueuer"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pgqueuer", None)
    refused = program.call("worker")
    assert refused["code"] == "config"
    assert "'pgqueuer'" in refused["error"]
    assert "promptyoself[fleet]" in refused["error"]


def test_ids_are_completed(program: Program) -> None:
    program.ok(
        "register", "--agent-id", "a", "--target", "inbox", "--prompt", "x", "--every", "1h", "--name", "Stretch"
    )
    assert program.ok("completion", "ids", "--json")["schedules"] == [{"id": 1, "name": "Stretch"}]


class Hand:
    """A monotonic clock that stands still until it is moved on."""

    def __init__(self) -> None:
        self.s = 0.0

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return self.s

    def pass_by(self, seconds: float) -> None:
        self.s += seconds


def node(url: str, tmp_path: Path, clock: Hand) -> FleetNode:
    return FleetNode(PostgresUrl(url, folder=tmp_path), clock=clock, new_uid=lambda: "0" * 32)


def test_a_service_that_starts_waits_for_its_server(
    postgres: PostgresServer, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "1")
    database = postgres_url.partition("?")[0].rpartition("/")[2]
    clock, reasons = Hand(), list[str]()

    def begins(seconds: float) -> None:
        clock.pass_by(seconds)
        if len(reasons) == 2:
            monkeypatch.setenv("PGPORT", str(postgres.port))

    starting = node(f"postgresql://postgres@127.0.0.1/{database}", tmp_path, clock)
    starting.open_in_time(reasons.append, pause=begins)
    with closing(starting.open()) as store:
        assert store.uid
    assert len(reasons) == 2
    assert all("does not answer" in one for one in reasons)


def test_it_waits_for_a_bounded_time(tmp_path: Path) -> None:
    clock, reasons = Hand(), list[str]()
    with pytest.raises(StoreUnreachable):
        node("postgresql://127.0.0.1:1/x", tmp_path, clock).open_in_time(reasons.append, pause=clock.pass_by)
    assert len(reasons) == limits.POSTGRES_START_FOR / limits.POSTGRES_START_AGAIN
    assert clock.s == limits.POSTGRES_START_FOR.total_seconds()


def test_it_does_not_wait_for_what_nobody_mends_by_waiting(postgres: PostgresServer, tmp_path: Path) -> None:
    reasons = list[str]()
    starting = node(postgres.url("nowhere"), tmp_path, Hand())
    with pytest.raises(StoreError, match="there is no database"):
        starting.open_in_time(reasons.append, pause=lambda _seconds: pytest.fail("it waits"))
    assert not reasons


def test_it_does_not_start_for_a_user_who_may_only_read(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.new_database()
    node(url, tmp_path, Hand()).open().close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE onlooker LOGIN")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO onlooker")
    mere = node(url.replace("postgres@", "onlooker@"), tmp_path, Hand())
    with pytest.raises(
        StoreReadOnly, match="DELETE on attempts, INSERT on attempts, UPDATE on attempts, and 18 more"
    ) as refused:
        mere.open_in_time(pytest.fail)
    assert refused.value.hint
    with closing(mere.open()) as store, store.reading() as tx:
        assert tx.counts(), "what only reads is let in"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO onlooker")
    granted = node(url.replace("postgres@", "onlooker@"), tmp_path, Hand())
    granted.open_in_time(pytest.fail)
    granted.open().close()


def test_a_file_costs_nothing_of_all_this(tmp_path: Path) -> None:
    program = (
        "import sys; from promptyoself.__main__ import main; main(); "
        "names = ('psycopg', 'pgqueuer', 'asyncio', 'promptyoself.fleet', 'promptyoself.fleet_clock', "
        "'promptyoself.postgres_url', 'promptyoself.engines'); "
        "print([one for one in names if one in sys.modules], file=sys.stderr)"
    )
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PROMPTYOSELF_TIMEZONE": "UTC"}
    done = subprocess.run(
        [sys.executable, "-c", program, "list"], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.strip() == "[]"
