"""The real engine, planner, dispatcher and store over some days of a fake clock: what a simulation must agree with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from promptyoself.application import planner
from promptyoself.application.dispatcher import Dispatcher
from promptyoself.application.gate import Gate
from promptyoself.application.simulation import Outage
from promptyoself.domain import limits
from promptyoself.domain.answers import Absent, Accepted, Done, FollowResult, Message, Refused, SendResult, Sent
from promptyoself.domain.models import Executor, Fact, FactKind
from promptyoself.domain.ports import DeliveryFilter
from promptyoself.lanes import local
from promptyoself.lanes.local import LocalLanes, Work
from tests.application.stage import Stage
from tests.factories import NOW
from tests.fakes.time import FakeChance, JumpingLoop

if TYPE_CHECKING:
    import pytest


class WorkingTarget:
    """A target that accepts every prompt at once and works on each for `run_time`."""

    name = "inbox"

    def __init__(self, run_time: timedelta) -> None:
        self._run_time = run_time
        self._ends_s: dict[str, float] = {}

    async def send(self, message: Message) -> SendResult:
        now_s = asyncio.get_running_loop().time()
        if self._run_time:
            self._ends_s[message.otid] = now_s + self._run_time.total_seconds()
            return Accepted(run_id=message.otid)
        return Done()

    async def follow(self, sent: Sent) -> FollowResult:
        left_s = self._ends_s[sent.otid] - asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, left_s))
        return Done()

    async def settle(self, sent: Sent) -> Absent | Done:
        return Done() if sent.otid in self._ends_s else Absent()

    async def cancel_run(self, sent: Sent) -> None:
        raise AssertionError(f"no run is too long: {sent}")

    async def probe(self) -> Refused | None:
        return None

    async def close(self) -> None:
        """Do nothing."""


class OneTimer:
    """Timers without a beat: leases do not run out here, and nothing but what is due needs a look."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Do nothing."""

    def at(self, name: str, when: datetime, act: Callable[[], Awaitable[None]]) -> None:
        assert name == "next due"
        self.stop()
        self._task = asyncio.ensure_future(self._wait((when - self._now()).total_seconds(), act))

    def every(self, name: str, period: timedelta, act: Callable[[], Awaitable[None]]) -> None:
        """Do nothing."""

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _wait(self, wait_s: float, act: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(wait_s)
        await act()


@dataclass(frozen=True)
class Happened:
    """What became of one fire time."""

    outcome: str
    reason: str | None
    sent_at: datetime | None
    missed: int


@dataclass
class Record:
    """What was seen of one way through time."""

    fires: dict[tuple[int, datetime], Happened] = field(default_factory=dict)
    passed_over: dict[tuple[int, str], int] = field(default_factory=dict)
    completed: set[int] = field(default_factory=set)
    paused: dict[int, str] = field(default_factory=dict)


class Rehearsal(Stage):
    """A stage on which a real engine runs, but in outages."""

    def __init__(self, loop: JumpingLoop, run_time: timedelta) -> None:
        super().__init__(loop)
        self.targets = {"inbox": WorkingTarget(run_time)}  # type: ignore[dict-item]  # another target of the same port

    async def go_on(self, until: datetime, outages: Sequence[Outage]) -> None:
        for outage in outages:
            await self._run(outage.begin_at)
            await asyncio.sleep((outage.end_at - self.now).total_seconds())
        await self._run(until)

    async def _run(self, until: datetime) -> None:
        gate = Gate(
            targets=self.targets,
            writer=self.writer,
            clock=self.clock,
            on_change=lambda: lanes.wake(),  # noqa: PLW0108  made below
            on_grant=lambda target: lanes.slot_granted(target),  # noqa: PLW0108  made below
            most=64,
        )
        dispatcher = Dispatcher(
            writer=self.writer,
            targets=self.targets,
            gate=gate,
            clock=self.clock,
            chance=FakeChance(f"{self.now:%j%H%M}"),
            executor_id="one",
        )
        lanes = LocalLanes(
            store=self.store,
            writer=self.writer,
            clock=self.clock,
            timers=OneTimer(lambda: self.now),
            work=Work(
                plan=lambda: planner.plan_due(self.writer, self.clock, store_uid=self.store.uid),
                run_lane=dispatcher.run_lane,
                open_targets=gate.open_targets,
                waiting=gate.waiting,
                stop=dispatcher.stop,
            ),
            executor=Executor(
                id="one", host="h", pid=1, version="1", mode="loop", started_at=self.now, heartbeat_at=self.now
            ),
            interval=timedelta(minutes=1),
        )
        stopping = asyncio.Event()
        running = asyncio.ensure_future(lanes.run(stopping))
        await asyncio.sleep((until - self.now).total_seconds())
        stopping.set()
        await running
        await gate.close()

    def record(self, since: int) -> Record:
        """Return what became of everything; deliveries up to the id `since` were there before."""
        record = Record()
        stored = self.tx(lambda tx: tx.deliveries(DeliveryFilter(limit=1_000_000)))
        for one in stored:
            if one.id <= since:
                continue
            outcome = "sent" if one.sent_at else "waiting"
            if one.state == "skipped":
                outcome = "superseded" if one.reason and one.reason.startswith("superseded") else "skipped"
            record.fires[one.schedule_id, one.fire_at] = Happened(
                outcome, one.reason if one.state == "skipped" else None, one.sent_at, one.missed
            )
        for fact in self.tx(lambda tx: tx.facts(limit=1_000_000)):
            _take(record, fact)
        return record


def _take(record: Record, fact: Fact) -> None:
    number = fact.schedule_id or 0
    if fact.kind is FactKind.SKIPPED and fact.delivery_id is None:
        key = number, str(fact.detail["reason"])
        record.passed_over[key] = record.passed_over.get(key, 0) + int(fact.detail["count"] or 0)
    elif fact.kind is FactKind.COMPLETED:
        record.completed.add(number)
    elif fact.kind is FactKind.PAUSED and fact.actor == "guard":
        record.paused[number] = str(fact.detail["reason"])


def rehearsed(
    monkeypatch: pytest.MonkeyPatch,
    scene: Callable[[Rehearsal], Coroutine[Any, Any, None]],
    *,
    run_time: timedelta,
) -> None:
    """Play a scene on a rehearsal stage whose clock begins at NOW; leases last, and nobody else changes the store."""
    monkeypatch.setattr(limits, "LEASE", timedelta(days=99))
    monkeypatch.setattr(limits, "CHANGE_POLL_EVERY", timedelta(days=9))
    monkeypatch.setattr(local, "_PASS_GAP_S", 0.0)
    loop = JumpingLoop()

    async def play() -> None:
        stage = Rehearsal(loop, run_time)
        assert stage.now == NOW
        try:
            await scene(stage)
        finally:
            await stage.close()

    try:
        loop.run_until_complete(play())
    finally:
        loop.close()
