"""A node in this process: store, writer, gate, dispatcher and engine, put together as bootstrap does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any, Self, TypeVar
from uuid import UUID

from promptyoself.application.ahead import Ahead
from promptyoself.application.dispatcher import Dispatcher
from promptyoself.application.gate import Gate
from promptyoself.application.planner import plan_due
from promptyoself.application.turns import Claim
from promptyoself.domain import limits
from promptyoself.domain.answers import Target
from promptyoself.domain.models import Executor
from promptyoself.domain.ports import Store, Tx
from promptyoself.lanes.local import LocalLanes, Work
from promptyoself.lanes.timers_steady import Act, SteadyTimers
from promptyoself.runtime import SystemChance, SystemClock
from promptyoself.storage.postgres_steps import StepWriter
from promptyoself.storage.writer import ThreadWriter
from tests.factories import a_new_delivery, a_new_schedule

T = TypeVar("T")
LEASE = timedelta(seconds=2)
"""Short, so that what is lost is taken over while a test waits."""
_uids = count(1)


@dataclass(eq=False)
class Node:
    """One engine. `conninfo` says that it is one of a fleet."""

    store: Store
    targets: Mapping[str, Target]
    name: str = "node"
    conninfo: str | None = None
    most: int = 64
    interval: timedelta = timedelta(minutes=1)
    lease: timedelta = LEASE
    clock: SystemClock = field(default_factory=SystemClock)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    faulty: str | None = None
    """A lane whose turn fails in a way that nobody foresaw."""
    plan_fault: Exception | None = None
    """What its planner raises."""
    after_claim: Callable[[], None] | None = None
    """Called once, in the node's loop, when a claim is stored and its sender has not gone on yet."""

    async def __aenter__(self) -> Self:
        store: Any = self.store
        is_fleet = self.conninfo is not None
        self.writer = _WatchedWriter(StepWriter(store, self.clock) if is_fleet else ThreadWriter(store), self)
        self.signs = StepWriter(store, self.clock) if is_fleet else None
        self.planning = StepWriter(store, self.clock) if is_fleet else None
        self.gate = Gate(
            targets=self.targets,
            writer=self.writer,
            clock=self.clock,
            on_change=lambda: self.lanes.wake(),  # noqa: PLW0108  it is made below
            on_grant=lambda target: self.lanes.slot_granted(target),  # noqa: PLW0108  as above
            most=self.most,
        )
        now = self.clock.now()
        executor = Executor(
            id=self.name, host="here", pid=1, version="1", mode="test", started_at=now, heartbeat_at=now, address=None
        )
        self.dispatcher = Dispatcher(
            writer=self.writer,
            targets=self.targets,
            gate=self.gate,
            clock=self.clock,
            chance=_QuickChance(),
            executor_id=executor.id,
            lease=limits.LEASE if self.conninfo is None else self.lease,
        )
        self.lanes = self._local(executor) if self.conninfo is None else self._fleet(executor, self.conninfo)
        self.running: asyncio.Future[bool] = asyncio.ensure_future(self.lanes.run(self.stopping))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stopping.set()
        await asyncio.wait({self.running})
        await self.gate.close()
        await self.writer.close()
        for writer in (self.signs, self.planning):
            if writer is not None:
                await writer.close()

    async def prune(self) -> None:
        """Do at once what its retention does every hour."""
        await asyncio.sleep(0)  # it has begun then
        await self.timers.acts["retention"]()

    async def stop(self) -> bool:
        """Ask it to stop, and wait until it has."""
        self.stopping.set()
        return await self.running

    def _local(self, executor: Executor) -> Any:  # noqa: ANN401  either engine
        return LocalLanes(
            store=self.store,
            writer=self.writer,
            clock=self.clock,
            timers=SteadyTimers(self.clock),
            work=Work(
                plan=self._plan,
                run_lane=partial(self._run_lane, carried=None),
                open_targets=self.gate.open_targets,
                waiting=self.gate.waiting,
                stop=self.dispatcher.stop,
            ),
            executor=executor,
            interval=self.interval,
        )

    def _fleet(self, executor: Executor, conninfo: str) -> Any:  # noqa: ANN401  either engine
        from promptyoself.lanes.pgqueuer import FleetLanes, FleetWork

        assert self.signs is not None
        self.timers = _KnownTimers(self.clock)
        return FleetLanes(
            writer=self.writer,
            signs=self.signs,
            clock=self.clock,
            timers=self.timers,
            work=FleetWork(
                plan=self._plan,
                run_lane=self._run_lane,
                ahead=self._ahead,
                open_targets=self.gate.open_targets,
                waiting=self.gate.waiting,
                in_flight=self.gate.in_flight,
                allow=self.gate.allow,
                stop=self.dispatcher.stop,
                most=dict.fromkeys(self.targets, self.most),
            ),
            executor=executor,
            owner=UUID(SystemChance().token()),
            conninfo=conninfo,
            interval=self.interval,
            lease=self.lease,
        )

    async def _run_lane(self, lane: str, carried: set[int] | None) -> bool:
        if lane == self.faulty:
            raise RuntimeError("nobody foresaw this")
        return await self.dispatcher.run_lane(lane, carried=carried)

    def _ahead(self, targets: Sequence[str]) -> Ahead:
        return Ahead(
            self.dispatcher,
            gate=self.gate,
            clock=self.clock,
            targets=targets,
            most=limits.FLEET_CLAIMED_AT_ONCE_MAX,
        )

    async def _plan(
        self, first: Callable[[Any], object] | None = None, then: Callable[[Any], object] | None = None
    ) -> int:
        if self.plan_fault is not None:
            raise self.plan_fault
        is_file = self.conninfo is None
        most = limits.SCHEDULES_PER_PASS_MAX if is_file else limits.FLEET_PLANNED_MAX
        return await plan_due(
            self.planning or self.writer,
            self.clock,
            store_uid=self.store.uid,
            most=most,
            looks_first=is_file,
            first=first,
            then=then,
        )


class _KnownTimers(SteadyTimers):
    """Remembers what comes round."""

    def __init__(self, clock: SystemClock) -> None:
        super().__init__(clock)
        self.acts: dict[str, Act] = {}

    def every(self, name: str, period: timedelta, act: Act) -> None:
        self.acts[name] = act
        super().every(name, period, act)


class _QuickChance(SystemChance):
    """A first retry comes after a quarter of a second."""

    def fraction(self) -> float:
        return 0.05


class _WatchedWriter:
    """The writer of production, which tells here when a claim has been stored."""

    def __init__(self, writer: ThreadWriter | StepWriter, node: Node) -> None:
        self._writer = writer
        self._node = node
        self.read = writer.read
        self.close = writer.close

    async def write(self, act: Callable[[Tx], T], *, lane: str | None = None) -> T:
        done = await self._writer.write(act, lane=lane)
        after = self._node.after_claim
        if after is not None and isinstance(done, Claim):
            self._node.after_claim = None
            after()
        return done


class NodeThread:
    """A node in a thread of its own, which can be stopped in the middle like a process, and resumed."""

    def __init__(self, make: Callable[[], Node]) -> None:
        self._make = make
        self._loop = asyncio.new_event_loop()
        self._may_run = threading.Event()
        self._may_run.set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.call(self._begin())
        return self

    def __exit__(self, *_: object) -> None:
        self.resume()
        self.call(self.node.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def call(self, what: Coroutine[Any, Any, T]) -> T:
        """Run something in the node's loop."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(30)

    def freeze(self) -> None:
        """Stop it where it is, as SIGSTOP would; return when it has stopped."""
        self._may_run.clear()
        self._loop.call_soon_threadsafe(self.freeze_here)
        assert self._stopped.wait(10)

    def freeze_here(self) -> None:
        """The same, called in its own loop."""
        self._may_run.clear()
        self._stopped.set()
        self._may_run.wait(60)
        self._stopped.clear()

    def resume(self) -> None:
        """Let it go on."""
        self._may_run.set()

    def is_frozen(self) -> bool:
        """Return whether it stands still."""
        return self._stopped.is_set()

    async def _begin(self) -> None:
        self.node = self._make()
        await self.node.__aenter__()

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()


def post_prompts(
    store: Store,
    agents: Sequence[str],
    each: int = 1,
    *,
    due_in: timedelta = timedelta(0),
    target: str = "inbox",
    prompt: Callable[[int], str] = str,
) -> None:
    """Store prompts for agents that are due; an agent's are numbered in the order of their fire times."""
    now = SystemClock().now()
    first = now - timedelta(seconds=1)
    with store.transaction() as tx:
        for agent in agents:
            for number in range(each):
                schedule = tx.add_schedule(
                    a_new_schedule(
                        f"uid-{next(_uids)}", agent_id=agent, prompt=prompt(number), target=target, next_fire_at=None
                    )
                )
                fire_at = first + timedelta(milliseconds=number)
                new = a_new_delivery(schedule, fire_at=fire_at, planned_at=fire_at + due_in)
                stored = tx.add_delivery(new, retry_until=now + timedelta(hours=1))
                assert stored is not None
