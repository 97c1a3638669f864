"""The same command lines, right and wrong, at a file and at PostgreSQL: the same answers, but for the ids of rows.

A statement that makes nothing new uses up a number of PostgreSQL's counters, so ids are compared in their order.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from promptyoself.application.dispatcher import Dispatcher
from promptyoself.application.gate import Gate
from promptyoself.application.passes import Entry, Pass
from promptyoself.storage.postgres import PostgresStore
from promptyoself.storage.sqlite import SqliteStore
from promptyoself.storage.writer import InlineWriter
from promptyoself.targets.inbox import InboxTarget
from tests.fakes.time import FakeChance
from tests.interfaces.world import Door, FakeServices
from tests.postgres.stores import CleanStores

INBOX = ("--agent-id", "agent-1", "--target", "inbox")
MADE = ("register", *INBOX, "--prompt", "x", "--every", "1h")
SPOKEN = re.compile(r"([Dd]elivery) \d+")
NUMBERED = frozenset(
    {"id", "delivery_id", "delivery_ids", "next_cursor", "next_after", "newest", "idempotency_key", "database_uid"}
)


class Delivering(FakeServices):
    """Services whose passes deliver, to the inbox."""

    def __init__(self, folder: Path, store: SqliteStore | PostgresStore) -> None:
        super().__init__(folder)
        self.made = store

    @property
    def store(self) -> Any:  # noqa: ANN401  the base class's is SQLite's
        return self.made

    def execute(self, *, wait: timedelta, on_entry: Callable[[Entry], None] | None = None) -> list[Entry]:
        return asyncio.run(self._pass(wait, on_entry))

    async def _pass(self, wait: timedelta, on_entry: Callable[[Entry], None] | None) -> list[Entry]:
        writer = InlineWriter(self.made)
        targets = {"inbox": InboxTarget(writer, self.clock)}
        one = Pass(writer=writer, clock=self.clock, store_uid="0" * 32, executor_id="one")
        gate = Gate(
            targets=targets, writer=writer, clock=self.clock, on_change=lambda: None, on_grant=lambda _: None, most=64
        )
        dispatcher = Dispatcher(
            writer=writer,
            targets=targets,
            gate=gate,
            clock=self.clock,
            chance=FakeChance("one"),
            executor_id="one",
            watch=one.watch,
        )
        try:
            return await one.run(dispatcher, gate, wait=wait, on_entry=on_entry)
        finally:
            await gate.close()


class Both:
    """Two programs that hear the same."""

    def __init__(self, folder: Path, file: SqliteStore, server: PostgresStore) -> None:
        self.doors = []
        for store in (file, server):
            door = Door(folder)
            door.services.close()
            door.services = Delivering(folder, store)
            self.doors.append(door)
        self.folder = folder

    def call(self, *words: str, is_tty: bool = False) -> None:
        one, other = (self._answer(door, words, is_tty=is_tty) for door in self.doors)
        assert one == other, words

    def call_with_ids(self, command: str, *listing: str, rows: str = "deliveries") -> None:
        """Call a command for each row that a listing shows, by its id at each side."""
        ids = [[one["id"] for one in door.ok(*listing)[rows]] for door in self.doors]
        for pair in zip(*ids, strict=True):
            one, other = (
                self._answer(door, (command, "--id", str(number)), is_tty=False)
                for door, number in zip(self.doors, pair, strict=True)
            )
            assert one == other, (command, pair)

    def pages(self, *words: str) -> None:
        """Read page after page at each side: cursors are ids, which differ."""
        pages: list[list[Any]] = []
        for door in self.doors:
            page = door.ok(*words, "--limit", "3")
            pages.append([self._plain(door, page)])
            while page["next_cursor"] is not None:
                page = door.ok(*words, "--limit", "3", "--cursor", page["next_cursor"])
                pages[-1].append(self._plain(door, page))
        assert pages[0] == pages[1], words

    def step(self, **span: float) -> None:
        for door in self.doors:
            door.services.clock.at += timedelta(**span)

    def _answer(self, door: Door, words: tuple[str, ...], *, is_tty: bool) -> tuple[int, str, str]:
        answer = door.call(*words, is_tty=is_tty)
        return answer.code, self._said(door, answer.out) if is_tty else self._plain(door, answer.json), answer.err

    def _plain(self, door: Door, document: object) -> str:
        return self._said(door, json.dumps(_without_numbers(document), indent=1))

    def _said(self, door: Door, text: str) -> str:
        return SPOKEN.sub(r"\1", text).replace(door.services.store.location, "DB")


def _without_numbers(value: Any) -> Any:  # noqa: ANN401  JSON
    if isinstance(value, dict):
        return {name: _without_numbers(one) for name, one in value.items() if name not in NUMBERED}
    return [_without_numbers(one) for one in value] if isinstance(value, list) else value


@pytest.fixture
def both(tmp_path: Path, clean_stores: CleanStores) -> Iterator[Both]:
    with ExitStack() as stack:
        server = stack.enter_context(clean_stores.of_one_test())()
        file = SqliteStore.open(":memory:", new_uid=lambda: "0" * 32)
        stack.callback(file.close)
        yield Both(tmp_path, file, server)


def test_schedules(both: Both) -> None:
    for trigger in (
        ("--time", "in 45 minutes"), ("--time", "next friday 15:00 Europe/Paris"), ("--time", "2020-01-01T00:00"),
        ("--cron", "0 9 * * mon-fri"), ("--cron", "61 * * * *"), ("--every", "90s"), ("--every", "weekday at 9am"),
        ("--every", "0s"), ("--every", "3650000d"), ("--rrule", "FREQ=MONTHLY;BYDAY=1MO;BYHOUR=9"),
        ("--rrule", "FREQ=BAD"), (),
    ):  # fmt: skip
        both.call("register", *INBOX, "--prompt", "ünï \U0001f680", *trigger)
    for more in (
        ("--key", "K", "--name", "N%_'\\"), ("--key", "K", "--name", "N2"), ("--key", "K", "--name", "N2"),
        ("--key", "k"), ("--idempotency-key", "i"), ("--idempotency-key", "i"),
        ("--idempotency-key", "i", "--name", "other"), ("--max-repetitions", "99999999999999999999"),
        ("--max-repetitions", "3000000000"), ("--replies", "obey"),
        ("--jitter", "5m", "--quiet-hours", "22:00-07:00", "--catch-up", "all:6h", "--overlap", "queue"),
        ("--start-at", "9999-12-31", "--end-at", "9999-12-31T23:59:59"),
    ):  # fmt: skip
        both.call(*MADE, *more)
    hello = '{"messages":[{"role":"user","content":"hi"}],"max_steps":3}'
    both.call("register", "--agent-id", "agent-2", "--content", hello, "--every", "1h", "--skip-validation")
    both.call("register", "--agent-id", "agent-2", "--content", hello.replace("hi", "\\u0000"), "--every", "1h")
    for chosen in (
        ("--all",), ("--outlook", "--full-content"), ("--soonest", "--limit", "3"), ("--state", "active,completed"),
        ("--state", "foo"), ("--type", "cron,once"), ("--target", "letta"), ("--key", "K"), ("--key", "%"),
        ("--name", "n"), ("--name", "%"), ("--name", "_"), ("--name", "\\"), ("--name", "'"), ("--name", "Ü"),
        ("--owner", "operator"), ("--owner", "agent-1"), ("--next-from", "tomorrow"),
        ("--next-until", "2026-03-02T10:30"), ("--limit", "0"), ("--limit", "99999999999999999999"),
        ("--cursor", "abc"), ("--agent-id", "agent-2"),
    ):  # fmt: skip
        both.call("list", *chosen)
    both.pages("list", "--all")
    both.call("list", is_tty=True)
    for number in ("2", "999", "9223372036854775807", "9223372036854775808", "0", "x"):
        for command in ("show", "history", "why", "preview", "pause", "skip", "resume", "run-now", "retry", "ack"):
            both.call(command, "--id", number)
        both.call("update", "--id", number, "--every", "3h", "--name", "")
        both.call("update", "--id", number, "--if-match", "no", "--name", "q")
        both.call("snooze", "--id", number, "--for", "10m")
        both.call("journal", "--id", number, "--after", "0")
        both.call("export", "--id", number)
        both.call("deliveries", "--schedule-id", number)
        both.call("cancel", "--id", number)
        both.call("retry", "--id", number)


def test_deliveries(both: Both) -> None:
    for every in ("20m", "1h", "90s"):
        both.call("register", *INBOX, "--prompt", "x", "--every", every, "--catch-up", "all", "--overlap", "queue")
    both.call("register", "--agent-id", "agent-2", "--target", "inbox", "--prompt", "y", "--every", "10m")
    both.call("register", *INBOX, "--prompt", "late", "--every", "45m", "--expires-after", "5m")
    for _ in range(2):
        both.step(minutes=50, seconds=7, microseconds=13)
        both.call("on-time", "--agent-id", "agent-1")
        both.call("execute", "--wait", "0")
        for command in (
            ("deliveries",), ("deliveries", "--state", "delivered,skipped"), ("deliveries", "--agent-id", "agent-2"),
            ("list", "--all"), ("simulate", "--for", "12h"), ("inbox", "--agent-id", "agent-1", "--limit", "2"),
            ("why", "--id", "1"), ("history", "--id", "3"), ("show", "--id", "2"), ("journal", "--after", "0"),
            ("claim-once", "--agent-id", "agent-1", "--key", "c", "--for", "1h"),
            ("claim-once", "--agent-id", "agent-2", "--key", "c", "--for", "400d"),
        ):  # fmt: skip
            both.call(*command)
        both.pages("deliveries")
    both.call_with_ids("ack", "inbox", "--agent-id", "agent-1", "--limit", "3", rows="messages")
    both.call("inbox", "--agent-id", "agent-1", "--all")
    for words in (
        ("pause", "--id", "1", "--until", "tomorrow 9am", "--reason", "hol"), ("skip", "--id", "1"),
        ("resume", "--id", "1"), ("skip", "--id", "2", "--count", "2", "--reason", "r"),
        ("snooze", "--id", "2", "--for", "40d"), ("run-now", "--id", "2"), ("run-now", "--id", "2"),
        ("snooze", "--id", "2", "--for", "5m"), ("update", "--id", "2", "--every", "3h"),
        ("update", "--id", "2", "--agent-id", "agent-2"), ("pause", "--all", "--reason", "stop"),
        ("execute", "--wait", "0"), ("resume", "--all"), ("cancel", "--id", "3"), ("why", "--id", "2"),
        ("why", "--id", "3"),
    ):  # fmt: skip
        both.call(*words)
    both.call_with_ids("retry", "deliveries", "--state", "skipped,cancelled,dead", "--limit", "5")
    both.step(days=3)
    both.call("execute", "--wait", "0")
    both.call("journal", "--after", "0", "--limit", "10000")
    both.call("journal", "--after", "0", "--events", "fired,skipped", "--agent-id", "agent-2")
    both.call("completion", "ids", "--json")


def test_many_at_once_and_tokens(both: Both, tmp_path: Path) -> None:
    rows = [
        {"agent_id": f"agent-{n % 3}", "prompt": "p", "every": "1h", "key": f"k{n}", "target": "inbox"}
        for n in range(9)
    ]
    (tmp_path / "all.json").write_text(json.dumps({"schedules": rows}))
    (tmp_path / "bad.json").write_text(json.dumps({"schedules": [*rows, {"agent_id": "a", "every": "-1h"}]}))
    (tmp_path / "tab").write_text("0 9 * * 1-5 echo hello ünï\n@daily back up\nbad line\n")
    many, bad, table = (str(tmp_path / name) for name in ("all.json", "bad.json", "tab"))
    crontab = ("import", "crontab", table, "--agent-id", "agent-7", "--target", "inbox")
    for words in (
        ("register-all", many), ("register-all", many), ("register-all", bad), ("export", "--all"),
        ("export", "--format", "ics", "--for", "3d"), crontab, (*crontab, "--apply"), (*crontab, "--apply"),
        ("token", "create", "--agent-id", "agent-1", "--name", "l", "--expires", "90d"),
        ("token", "create", "--operator"), ("token", "create", "--operator", "--expires", "2020-01-01"),
        ("token", "list"), ("token", "revoke", "--id", "1"), ("token", "revoke", "--id", "1"),
        ("token", "revoke", "--id", "99"), ("token", "list", "--all"), ("db", "upgrade"),
    ):  # fmt: skip
        both.call(*words)
