"""A small stage for the application: a store in memory, a clock that jumps, targets that answer as told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any, TypeVar, cast

from promptyoself.application import deliveries, planner, schedules, skips, snoozes
from promptyoself.application.dispatcher import Dispatcher, Report
from promptyoself.application.gate import Gate
from promptyoself.application.passes import Entry, Pass
from promptyoself.application.requests import Defaults, ScheduleRequest
from promptyoself.application.schedules import Caller
from promptyoself.application.skips import Skipped
from promptyoself.application.snoozes import Snoozed
from promptyoself.domain.errors import StoreCorrupt, StoreError
from promptyoself.domain.models import Attempt, Delivery, Fact, Schedule
from promptyoself.domain.ports import DeliveryFilter, Store, Tx
from promptyoself.storage.sqlite import SqliteStore
from promptyoself.storage.writer import InlineWriter
from tests.factories import AGENT
from tests.fakes.target import ScriptedTarget
from tests.fakes.time import FakeChance, FakeClock, JumpingLoop

T = TypeVar("T")
OPERATOR = Caller()
ME = Caller(owner=AGENT, door="mcp")


def played(scene: Callable[[Stage], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Make a test of a coroutine: it plays on a stage of its own, on a loop whose sleeps take no time."""

    def test() -> None:
        loop = JumpingLoop()
        try:
            loop.run_until_complete(_play(scene, loop))
        finally:
            loop.close()

    test.__name__, test.__doc__ = scene.__name__, scene.__doc__
    return test


async def _play(scene: Callable[[Stage], Coroutine[Any, Any, None]], loop: JumpingLoop) -> None:
    stage = Stage(loop)
    try:
        await scene(stage)
    finally:
        await stage.close()


class FailingWriter(InlineWriter):
    """A writer whose next writes fail as often as it is told, and whose store has damaged schedules."""

    failures = 0
    writes = 0
    on_write: Callable[[int], None] | None = None
    """Called after each write with its number."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.undone: set[int] = set()
        """Numbers of writes that fail at their commit, having run: the next is `writes` + 1."""
        self.damaged: set[int] = set()
        """Ids of schedules that cannot be read."""

    async def write(self, act: Callable[[Tx], T], *, lane: str | None = None) -> T:  # noqa: ARG002  the port's signature
        if self.failures:
            self.failures -= 1
            raise StoreError("the disk is full")
        self.writes += 1
        number = self.writes

        def run(tx: Tx) -> T:
            answer = act(cast("Tx", _Damaged(tx, self.damaged)) if self.damaged else tx)
            if number in self.undone:
                raise StoreError("the disk is full")
            return answer

        answer = await super().write(run)
        if self.on_write is not None:
            self.on_write(number)
        return answer


class _Damaged:
    def __init__(self, tx: Tx, damaged: set[int]) -> None:
        self._tx, self._damaged = tx, damaged

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  any method
        return getattr(self._tx, name)

    def schedule(self, schedule_id: int) -> Schedule | None:
        if schedule_id in self._damaged:
            raise StoreCorrupt("a row cannot be read")
        return self._tx.schedule(schedule_id)


class Stage:
    """One database, its callers, and as many executors as a scene wants."""

    def __init__(self, loop: JumpingLoop) -> None:
        self.clock = FakeClock(loop)
        self.store = SqliteStore.open(":memory:", new_uid=lambda: f"{7:032x}")
        self.writer = FailingWriter(self.store)
        self.target = ScriptedTarget()
        self.targets = {"inbox": self.target}
        self.reports: list[Report] = []
        self.grants: list[str] = []
        self.changes = 0
        self._uids = count(1)
        self._gates: list[Gate] = []
        self._begun: list[asyncio.Future[Any]] = []
        self.gate = self.new_gate()
        self.dispatcher = self.executor()

    # -- callers --------------------------------------------------------------------------------------------

    def register(self, *, caller: Caller = OPERATOR, **options: Any) -> Schedule:  # noqa: ANN401  any option
        request = ScheduleRequest(**({"agent_id": AGENT, "prompt": "stretch"} | options))
        return self.tx(
            lambda tx: schedules.register(
                tx, request, caller=caller, defaults=self.defaults, uid=f"{next(self._uids):032x}", now=self.now
            )
        ).schedule

    def update(
        self,
        schedule_id: int,
        *,
        caller: Caller = OPERATOR,
        revision: int | None = None,
        **options: Any,  # noqa: ANN401  any option
    ) -> Schedule:
        request = ScheduleRequest(**options)
        return self.tx(
            lambda tx: schedules.update(
                tx, schedule_id, request, caller=caller, defaults=self.defaults, now=self.now, revision=revision
            )
        )

    def pause(self, schedule_id: int, *, until: datetime | None = None, caller: Caller = OPERATOR) -> Schedule:
        return self.tx(
            lambda tx: schedules.pause(tx, schedule_id, caller=caller, reason="because", until=until, now=self.now)
        )

    def resume(self, schedule_id: int, *, caller: Caller = OPERATOR) -> Schedule:
        return self.tx(lambda tx: schedules.resume(tx, schedule_id, caller=caller, now=self.now))

    def cancel(self, schedule_id: int, *, caller: Caller = OPERATOR) -> Schedule:
        return self.tx(lambda tx: schedules.cancel(tx, schedule_id, caller=caller, now=self.now))

    def run_now(self, schedule_id: int, *, caller: Caller = OPERATOR) -> Delivery:
        return self.tx(
            lambda tx: schedules.run_now(tx, schedule_id, caller=caller, store_uid=self.store.uid, now=self.now)
        )

    def skip(
        self, schedule_id: int = 1, *, count: int = 1, reason: str | None = None, caller: Caller = OPERATOR
    ) -> Skipped:
        return self.tx(
            lambda tx: skips.skip(
                tx, schedule_id, count=count, reason=reason, caller=caller, store_uid=self.store.uid, now=self.now
            )
        )

    def snooze(
        self,
        schedule_id: int = 1,
        *,
        lasting: timedelta | None = None,
        until: datetime | None = None,
        caller: Caller = OPERATOR,
    ) -> Snoozed:
        return self.tx(
            lambda tx: snoozes.snooze(
                tx,
                schedule_id,
                lasting=lasting,
                until=until,
                caller=caller,
                store_uid=self.store.uid,
                now=self.now,
            )
        )

    def retry(self, delivery_id: int, *, caller: Caller = OPERATOR) -> Delivery:
        return self.tx(lambda tx: deliveries.retry_by_hand(tx, delivery_id, caller=caller, now=self.now))

    # -- what is stored -------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return self.clock.now()

    @property
    def defaults(self) -> Defaults:
        return Defaults(timezone="UTC", target="inbox", targets=frozenset(self.targets))

    def tx(self, act: Callable[[Tx], T]) -> T:
        with self.store.transaction() as tx:
            return act(tx)

    def schedule(self, schedule_id: int = 1) -> Schedule:
        found = self.tx(lambda tx: tx.schedule(schedule_id))
        assert found is not None
        return found

    def delivery(self, delivery_id: int = 1) -> Delivery:
        found = self.tx(lambda tx: tx.delivery(delivery_id))
        assert found is not None
        return found

    def deliveries(self, **where: Any) -> list[Delivery]:  # noqa: ANN401  any filter
        """Oldest first."""
        return self.tx(lambda tx: tx.deliveries(DeliveryFilter(**where)))[::-1]

    def attempts(self, delivery_id: int = 1) -> list[Attempt]:
        return self.tx(lambda tx: tx.attempts(delivery_id))

    def facts(self, schedule_id: int | None = None) -> list[Fact]:
        return self.tx(lambda tx: tx.facts(schedule_id=schedule_id, limit=1000))

    def states(self, **where: Any) -> list[str]:  # noqa: ANN401  any filter
        return [str(one.state) for one in self.deliveries(**where)]

    def age(self, delivery_id: int, by: timedelta) -> None:
        """Let a delivery's next look have come."""
        old = self.delivery(delivery_id)
        assert self.tx(lambda tx: tx.save_delivery(replace(old, due_at=old.due_at - by), was=old))

    # -- executors ------------------------------------------------------------------------------------------

    def new_gate(self, most: int = 64) -> Gate:
        gate = Gate(
            targets=self.targets,
            writer=self.writer,
            clock=self.clock,
            on_change=self._changed,
            on_grant=self.grants.append,
            most=most,
        )
        self._gates.append(gate)
        return gate

    def executor(
        self, name: str = "one", *, gate: Gate | None = None, watch: Callable[[Report], None] | None = None
    ) -> Dispatcher:
        return Dispatcher(
            writer=self.writer,
            targets=self.targets,
            gate=gate or self.gate,
            clock=self.clock,
            chance=FakeChance(name),
            executor_id=name,
            watch=watch or self.reports.append,
        )

    async def plan(self) -> int:
        return (await planner.plan_pass(self.writer, self.clock, store_uid=self.store.uid)).opened

    async def pass_time(self, **by: float) -> None:
        await asyncio.sleep(timedelta(**by).total_seconds())

    def ready(self) -> list[str]:
        return self.tx(lambda tx: tx.ready_lanes(now=self.now, limit=100))

    async def deliver(self, dispatcher: Dispatcher | None = None) -> None:
        """Run every lane that is ready once."""
        for lane in self.ready():
            await (dispatcher or self.dispatcher).run_lane(lane)

    async def fire(self) -> None:
        """Wait for the next fire time of anything; plan and deliver what is due."""
        await self.due()
        await self.deliver()

    async def due(self) -> None:
        """Wait for the next fire time of anything, and plan it."""
        soonest = self.tx(lambda tx: tx.next_wake_at(now=self.now))
        assert soonest is not None
        await asyncio.sleep(max(0.0, (soonest - self.now).total_seconds()))
        await self.plan()

    async def execute(self, *, wait_s: float = 30, name: str = "pass") -> list[Entry]:
        one = Pass(writer=self.writer, clock=self.clock, store_uid=self.store.uid, executor_id=name)
        gate = self.new_gate()
        return await one.run(self.executor(name, gate=gate, watch=one.watch), gate, wait=timedelta(seconds=wait_s))

    async def in_flight(self, until: Callable[[], bool]) -> None:
        """Let the loop run until something is so; a bound keeps a fault from hanging."""
        for _ in range(1000):
            if until():
                return
            await asyncio.sleep(0)
        raise AssertionError("it did not come to pass")

    def begin(self, work: Awaitable[T]) -> asyncio.Future[T]:
        begun = asyncio.ensure_future(work)
        self._begun.append(begun)
        return begun

    async def close(self) -> None:
        for begun in self._begun:
            begun.cancel()
        await asyncio.gather(*self._begun, return_exceptions=True)
        for gate in self._gates:
            await gate.close()
        self.store.close()

    def _changed(self) -> None:
        self.changes += 1
