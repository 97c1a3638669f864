"""A simulated process: an executor as bootstrap builds it, which can be killed or stopped between any two steps."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from promptyoself.application.dispatcher import Dispatcher
from promptyoself.application.gate import Gate
from promptyoself.application.passes import Entry, Pass
from promptyoself.application.planner import plan_due
from promptyoself.application.turns import Claim, Recorded
from promptyoself.domain.answers import FollowResult, Message, Refused, SendResult, Sent, SettleResult
from promptyoself.domain.models import Executor
from promptyoself.domain.ports import Store, Tx
from promptyoself.lanes.local import LocalLanes, Work
from tests.simulation.clocks import SimChance, SimClock, SimTimers
from tests.simulation.letta import SimLetta
from tests.simulation.loop import PROCESS, VirtualLoop

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Perils:
    """What may befall processes: chances at each of their steps. A step is a commit or a call, before or after."""

    kill: float = 0.0
    stall: float = 0.0
    claim_stall: float = 0.0
    """The same right after a claim: between the claim and the send a stop does most harm."""
    stall_s: tuple[float, float] = (1.0, 90.0)
    slow_commit: float = 0.0


class Surroundings(Protocol):
    """What a process needs of its world."""

    loop: VirtualLoop
    clock: SimClock
    letta: SimLetta
    perils: Perils

    @property
    def store(self) -> Store:
        """The database."""
        ...

    def log(self, text: str) -> None:
        """Append to the world's log."""
        ...


@dataclass(slots=True)
class Health:
    """A stretch in which the process lived and was not stopped."""

    from_s: float
    to_s: float | None = None


@dataclass(slots=True, eq=False)
class SimProcess:
    """One process. Dead, nothing that it does has an effect, and soon it does nothing."""

    world: Surroundings
    id: str
    rng: random.Random
    on_death: Callable[[SimProcess], None]
    interval: timedelta = timedelta(seconds=60)
    is_serving: bool = False
    is_dead: bool = False
    is_stalled: bool = False
    frozen: list[asyncio.Handle] = field(default_factory=list)
    health: list[Health] = field(default_factory=list)
    main: asyncio.Task[Any] | None = None
    _kept_max: int = 0
    _tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    _sent: set[str] = field(default_factory=set)
    _in_send: int = 0
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    # -- life -----------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Start the executor that delivers until it is stopped."""
        self.is_serving = True
        self._start(self._serve())

    def execute(self, wait: timedelta) -> asyncio.Task[list[Entry]]:
        """Make one pass, as `promptyoself execute` does."""
        return self._start(self._execute(wait))

    def stop(self) -> None:
        """SIGTERM."""
        self.world.log(f"{self.id} SIGTERM")
        self._end_health()
        self._stopping.set()

    def kill(self) -> None:
        """Die of kill -9: what it has open stays open at the server, and nobody records how it ends."""
        if self.is_dead:
            return
        self.world.log(f"{self.id} is killed")
        self.world.letta.ambiguous |= self._sent
        self._end_health()
        self.is_dead = True
        self.is_stalled = False
        self.world.loop.thaw(self.frozen)
        for task in self._tasks:
            if not task.done():
                task.cancel()
        self._tasks.clear()
        self.on_death(self)

    def stall(self, for_s: float) -> None:
        """SIGSTOP, then SIGCONT after `for_s` seconds."""
        if self.is_dead or self.is_stalled or self._in_send:
            return
        self.world.log(f"{self.id} is stopped for {for_s:.1f} s")
        self.world.letta.ambiguous |= self._sent
        self._end_health()
        self.is_stalled = True
        self.world.loop.call_later(for_s, self._go_on, context=outside())

    @property
    def alive(self) -> int:
        """How many tasks it has."""
        return sum(not task.done() for task in self._tasks)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        self._tasks.append(task)
        if len(self._tasks) > 2 * self._kept_max + 64:
            self._tasks = [known for known in self._tasks if not known.done()]
            self._kept_max = max(self._kept_max, len(self._tasks))

    async def step(self, *, may_stall: bool = True, has_claimed: bool = False) -> None:
        """Pass a point at which this process may be killed or stopped."""
        self.check_alive()
        perils = self.world.perils
        if perils.kill and self.rng.random() < perils.kill:
            self.kill()
            raise asyncio.CancelledError
        stall = perils.claim_stall if has_claimed else perils.stall
        if may_stall and stall and self.rng.random() < stall:
            self.stall(self.rng.uniform(*perils.stall_s))
            await asyncio.sleep(0)
        elif perils.slow_commit and self.rng.random() < perils.slow_commit:
            await asyncio.sleep(self.rng.uniform(0.0, 0.05))
        self.check_alive()

    def check_alive(self) -> None:
        if self.is_dead:
            raise asyncio.CancelledError

    def note_sent(self, otid: str) -> None:
        self._sent.add(otid)

    def in_send(self, change: int) -> None:
        self._in_send += change

    def _start(self, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        context = outside()
        context.run(PROCESS.set, self)
        self.health.append(Health(self.world.loop.time()))
        self.main = self.world.loop.create_task(coro, context=context)
        self.main.add_done_callback(self._ended, context=outside())
        return self.main

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if self.is_dead:
            if not task.cancelled():
                task.exception()
            return
        self._end_health()
        self.is_dead = True
        self.world.log(f"{self.id} has ended")
        self.on_death(self)

    def _go_on(self) -> None:
        if self.is_stalled:
            self.is_stalled = False
            if not self._stopping.is_set():
                self.health.append(Health(self.world.loop.time()))
            self.world.log(f"{self.id} goes on")
            self.world.loop.thaw(self.frozen)

    def _end_health(self) -> None:
        if self.health and self.health[-1].to_s is None:
            self.health[-1].to_s = self.world.loop.time()

    # -- what runs in it ------------------------------------------------------------------------------------

    async def _serve(self) -> bool:
        world, clock = self.world, self.world.clock
        writer = SimWriter(world.store, self)
        chance = SimChance(self.id)
        lanes: LocalLanes
        gate = Gate(
            targets={"letta": SimTarget(world.letta, self)},
            writer=writer,
            clock=clock,
            on_change=lambda: lanes.wake(),  # noqa: PLW0108  lanes come later
            on_grant=lambda target: lanes.slot_granted(target),  # noqa: PLW0108  as above
        )
        runner = Dispatcher(
            writer=writer,
            targets={"letta": SimTarget(world.letta, self)},
            gate=gate,
            clock=clock,
            chance=chance,
            executor_id=self.id,
        )
        lanes = LocalLanes(
            store=world.store,
            writer=writer,
            clock=clock,
            timers=SimTimers(world.loop, clock),
            work=Work(
                plan=lambda: plan_due(writer, clock, store_uid=world.store.uid),
                run_lane=runner.run_lane,
                open_targets=gate.open_targets,
                waiting=gate.waiting,
                stop=runner.stop,
            ),
            executor=self._executor("loop"),
            interval=self.interval,
        )
        try:
            return await lanes.run(self._stopping)
        finally:
            await gate.close()

    async def _execute(self, wait: timedelta) -> list[Entry]:
        world, clock = self.world, self.world.clock
        writer = SimWriter(world.store, self)
        targets = {"letta": SimTarget(world.letta, self)}
        one = Pass(writer=writer, clock=clock, store_uid=world.store.uid, executor_id=self.id)
        gate = Gate(targets=targets, writer=writer, clock=clock, on_change=lambda: None, on_grant=lambda _target: None)
        runner = Dispatcher(
            writer=writer,
            targets=targets,
            gate=gate,
            clock=clock,
            chance=SimChance(self.id),
            executor_id=self.id,
            watch=one.watch,
        )
        try:
            return await one.run(runner, gate, wait=wait)
        finally:
            await gate.close()

    def _executor(self, mode: str) -> Executor:
        now = self.world.clock.now()
        return Executor(id=self.id, host="sim", pid=1, version="0", mode=mode, started_at=now, heartbeat_at=now)


class SimWriter:
    """One process's way to the database."""

    def __init__(self, store: Store, process: SimProcess) -> None:
        self._store = store
        self._process = process

    async def write(self, act: Callable[[Tx], T], *, lane: str | None = None) -> T:  # noqa: ARG002  the port's signature
        await self._process.step()
        with self._store.transaction() as tx:
            answer = act(tx)
        await self._process.step(has_claimed=_has_claimed(answer))
        return answer

    async def read(self, act: Callable[[Tx], T]) -> T:
        self._process.check_alive()
        # Not `reading`: in memory that switches a pragma, which makes SQLite compile every statement anew.
        with self._store.transaction() as tx:
            return act(tx)


def _has_claimed(answer: object) -> bool:
    return isinstance(answer, Claim) or (isinstance(answer, Recorded) and answer.next_claim is not None)


class SimTarget:
    """One process's way to the server."""

    def __init__(self, letta: SimLetta, process: SimProcess) -> None:
        self._letta = letta
        self._process = process

    @property
    def name(self) -> str:
        return "letta"

    async def send(self, message: Message) -> SendResult:
        # Not stopped here: between the last look at the lease and the wire nobody can do anything about it.
        await self._process.step(may_stall=False)
        self._process.note_sent(message.otid)
        self._process.in_send(1)
        try:
            result = await self._letta.send(message, executor=self._process.id)
        finally:
            self._process.in_send(-1)
        await self._process.step()
        return result

    async def follow(self, sent: Sent) -> FollowResult:
        await self._process.step()
        result = await self._letta.follow(sent)
        await self._process.step()
        return result

    async def settle(self, sent: Sent) -> SettleResult:
        await self._process.step()
        result = await self._letta.settle(sent)
        await self._process.step()
        return result

    async def cancel_run(self, sent: Sent) -> None:
        await self._process.step()
        await self._letta.cancel_run(sent)

    async def probe(self) -> Refused | None:
        self._process.check_alive()
        return await self._letta.probe()

    async def close(self) -> None:
        """Do nothing: there are no connections."""


def outside() -> Context:
    """Return a context in which no process is at home."""
    context = copy_context()
    context.run(PROCESS.set, None)
    return context
