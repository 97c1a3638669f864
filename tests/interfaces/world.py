"""A world for the doors: a real SQLite store, a clock that stands still, a Letta that answers as it is told."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from promptyoself.application.passes import Entry
from promptyoself.application.requests import Defaults
from promptyoself.application.transfer.older import OlderFile
from promptyoself.domain.access import KeyVerdict
from promptyoself.domain.models import OPERATOR
from promptyoself.domain.ports import AgentInfo, TargetStatus
from promptyoself.domain.ports_node import Fleet
from promptyoself.domain.secret import Secret
from promptyoself.interfaces.cli import run
from promptyoself.interfaces.services import Bodies, LoopReport, MovedTable, MoveReport, Services, Setting
from promptyoself.storage.older import read_older_rows
from promptyoself.storage.sqlite import SqliteStore
from tests.fakes.letta_desk import FakeLettaDesk, FakeServiceDesk

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""A Monday, nine o'clock UTC."""


class StillClock:
    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - NOW).total_seconds()


class FakeServices:
    """Services as a test wants them; `letta` is what the server says: an agent, or the error it raises."""

    def __init__(self, folder: Path) -> None:
        self.clock = StillClock()
        self.path = folder / "promptyoself.db"
        self.owner = OPERATOR
        self.timezone = "UTC"
        self.timezone_source = "flag"
        self.agent_id: str | None = None
        self.letta: AgentInfo | Exception = AgentInfo(id="agent-1", name="one", description=None)
        self.letta_key = "letta-password"
        self.is_letta_open = False
        self.keys_asked: list[str | None] = []
        self.asked: list[str] = []
        self.entries: list[Entry] = []
        self.flags: Mapping[str, str | None] = {}
        self.damage: list[str] = []
        self.delays: list[str] = []
        self.while_waiting: Callable[[], None] = lambda: None
        self.letta_url = "http://127.0.0.1:9"
        self.filed: str | None = None
        self.zone_data = "2026a"
        self.waited: timedelta | None = None
        self.ran: tuple[str, bool, int | None] | None = None
        self.fleet: Fleet | None = None
        self.desk, self.service = FakeLettaDesk(), FakeServiceDesk()
        self.bodies: Bodies | None = None
        self._store: SqliteStore | None = None
        self._uids = 0

    @property
    def store(self) -> SqliteStore:
        if self._store is None:
            self._store = SqliteStore.open(self.path, new_uid=self.new_uid)
        return self._store

    def open_in_time(self, tell: Callable[[str], None]) -> None:
        for reason in self.delays:
            tell(reason)
            self.while_waiting()
        assert self.store.location

    @property
    def beside(self) -> str:
        return self.store.location

    @property
    def defaults(self) -> Defaults:
        return Defaults(
            timezone=self.timezone, target="letta", targets=frozenset({"letta", "inbox"}), agent_id=self.agent_id
        )

    @property
    def settings(self) -> Sequence[Setting]:
        return [Setting(name="PROMPTYOSELF_LOG", value="warning", source="default")]

    def acting_as(self, owner: str, *, timezone: str | None = None) -> FakeServices:
        assert self.store.location, "the store is opened once, for all"
        seat = copy(self)
        seat.owner, seat.agent_id = owner, None if owner == OPERATOR else owner
        seat.timezone = timezone or self.timezone
        seat.__dict__ |= {"new_uid": self.new_uid, "new_secret": self.new_secret, "close": lambda: None}
        return seat

    def new_uid(self) -> str:
        self._uids += 1
        return f"{self._uids:032x}"

    def new_secret(self) -> str:
        self._uids += 1
        return f"{self._uids:043x}"

    def check_agent(self, agent_id: str) -> AgentInfo:
        self.asked.append(agent_id)
        if isinstance(self.letta, Exception):
            raise self.letta
        return self.letta

    def has_seen_agent(self, agent_id: str) -> bool:
        return agent_id in self.asked

    def check_letta_key(self, key: Secret | None) -> KeyVerdict:
        self.keys_asked.append(None if key is None else key.reveal())
        if isinstance(self.letta, Exception):
            raise self.letta
        if self.is_letta_open:
            return KeyVerdict.UNCHECKED
        is_right = key is not None and key.reveal() == self.letta_key
        return KeyVerdict.ACCEPTED if is_right else KeyVerdict.REFUSED

    @property
    def token_file(self) -> str | None:
        return f"{self.path}.operator-token"

    def filed_operator_token(self) -> str | None:
        return self.filed

    def file_operator_token(self) -> str:
        assert self.store.location, "the token is the database's"
        return f"{self.path}.operator-token"

    def ping(self) -> TargetStatus:
        if isinstance(self.letta, Exception):
            raise self.letta
        return TargetStatus(url="http://letta", version="0.16.8", latency_ms=12.3)

    def list_agents(self) -> list[AgentInfo]:
        if isinstance(self.letta, Exception):
            raise self.letta
        return [self.letta]

    def upload_tool(self, source_code: str, *, name: str | None, description: str | None) -> tuple[str, str]:
        if isinstance(self.letta, Exception):
            raise self.letta
        return "tool-1", name or f"{len(source_code)} {description}"

    @property
    def service_desk(self) -> FakeServiceDesk:
        return self.service

    @contextmanager
    def setting_up(self) -> Iterator[FakeLettaDesk]:
        yield self.desk

    def execute(self, *, wait: timedelta, on_entry: Callable[[Entry], None] | None = None) -> list[Entry]:
        self.waited = wait
        for entry in self.entries:
            if on_entry is not None:
                on_entry(entry)
        return self.entries

    def run_loop(
        self, *, interval: timedelta, mode: str, on_entry: Callable[[Entry], None] | None = None
    ) -> LoopReport:
        self.waited = interval
        for entry in self.execute(wait=interval, on_entry=on_entry):
            assert entry.schedule.id, mode
        return LoopReport(deliveries=len(self.entries), accepted=len(self.entries), is_clean=True)

    async def run_until(
        self,
        arm: Callable[[asyncio.Event], Callable[[], None]],
        *,
        interval: timedelta,
        mode: str,
        on_entry: Callable[[Entry], None] | None = None,
    ) -> LoopReport:
        stopping = asyncio.Event()
        disarm = arm(stopping)
        await stopping.wait()
        disarm()
        return self.run_loop(interval=interval, mode=mode, on_entry=on_entry)

    def run_with_doors(
        self,
        doors: Callable[[asyncio.Event], Coroutine[None, None, None]],
        *,
        mode: str,
        address: str | None,  # noqa: ARG002  nobody looks for it
        interval: timedelta,
        delivers: bool = True,
        concurrency: int | None = None,
        on_entry: Callable[[Entry], None] | None = None,
        on_started: Callable[[], None] | None = None,
    ) -> LoopReport:
        """Open the doors, and close them at once."""
        self.ran = mode, delivers, concurrency
        report = self.run_loop(interval=interval, mode=mode, on_entry=on_entry)
        stopping = asyncio.Event()
        stopping.set()
        asyncio.run(doors(stopping))
        if on_started is not None:
            on_started()
        return report

    def zone_data_version(self) -> str:
        return self.zone_data

    def backup(self, path: str) -> None:
        self.store.backup(path)

    def move_database(self, source: str, target: str, *, wait: timedelta, tell: Callable[[str], None]) -> MoveReport:
        self.waited = wait
        tell(f"leaving {source}")
        tables = [
            MovedTable(name=name, rows=rows, checksum="0" * 32) for name, rows in (("schedules", 2), ("facts", 3))
        ]
        return MoveReport(left=source, live=target, tables=tables)

    def undo_move(self, source: str, target: str) -> tuple[str, str]:
        return source, target

    def problems(self) -> list[str]:
        return self.damage

    def read_older(self, path: str) -> OlderFile:
        rows, is_in_use = read_older_rows(path)
        return OlderFile(rows=rows, is_in_use=is_in_use)

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None


class Answer(NamedTuple):
    """What one call of the program gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout; anything else there fails the test."""
        document = json.loads(self.out)
        assert isinstance(document, dict)
        assert self.out.endswith("}\n")
        return document


class Door:
    """Calls the program in this process, as `promptyoself ...` or as SMCP does."""

    def __init__(self, folder: Path) -> None:
        self.services = FakeServices(folder)

    def open(self, flags: Mapping[str, str | None]) -> Services:
        self.services.flags = flags
        return self.services

    def call(self, *argv: str, is_tty: bool = False, is_debug: bool = False, door: str = "cli") -> Answer:
        out, err = io.StringIO(), io.StringIO()
        code = run(argv, services=self.open, stdout=out, stderr=err, is_tty=is_tty, door=door, is_debug=is_debug)
        return Answer(code, out.getvalue(), err.getvalue())

    def ok(self, *argv: str) -> dict[str, Any]:
        answer = self.call(*argv)
        assert answer.code == 0, answer
        assert answer.json["status"] == "success"
        return answer.json

    def refused(self, *argv: str, code: int = 1) -> dict[str, Any]:
        answer = self.call(*argv)
        assert answer.code == code, answer
        document = answer.json
        assert isinstance(document["error"], str)
        assert document["error"]
        assert isinstance(document["code"], str)
        assert "status" not in document
        return document
