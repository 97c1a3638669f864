"""One seed, one world: a database, a server with agents, processes that die, callers that change their minds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, Self, TypeVar

from promptyoself.application import deliveries, schedules, skips, snoozes
from promptyoself.application.requests import Defaults, ScheduleRequest
from promptyoself.application.schedules import Caller
from promptyoself.application.skips import Skipped
from promptyoself.application.snoozes import Snoozed
from promptyoself.domain import limits
from promptyoself.domain.errors import PromptyoselfError
from promptyoself.domain.models import Delivery, DeliveryState, Schedule, ScheduleState
from promptyoself.domain.ports import DeliveryFilter, ScheduleFilter
from tests.simulation import stores
from tests.simulation.clocks import BASE, SimChance, SimClock
from tests.simulation.letta import SimLetta, Weather
from tests.simulation.loop import VirtualLoop
from tests.simulation.process import Perils, SimProcess, outside

T = TypeVar("T")

CHANGE_POLL = timedelta(seconds=12)
"""How often a simulated process looks for others' commits: each look costs real time, 5 a second are too many."""
HEALING_POLL = timedelta(seconds=45)
"""The same while a world heals and nobody changes anything from outside any more."""
_ENDINGS_MAX = 10
HEAL_S_MAX = 6 * 3600.0
_CALLER = Caller(door="simulation")


class World:
    """A world at rest until `run`; `heal` then ends every fault and lets it finish what it owes."""

    def __init__(
        self,
        seed: int,
        *,
        weather: Weather | None = None,
        perils: Perils | None = None,
        agents: int | None = None,
        base: datetime = BASE,
        timezone: str = "UTC",
    ) -> None:
        self.seed = seed
        self.base = base
        self.rng = random.Random(f"world {seed}")
        self.loop = VirtualLoop()
        self.clock = SimClock(self.loop, base)
        self.store = stores.take(SimChance(f"store {seed}").token())
        self.events: list[str] = []
        self.perils = perils or Perils()
        self.agents = [f"agent-{number}" for number in range(1, 1 + (agents or self.rng.randint(1, 3)))]
        self.letta = SimLetta(
            rng=random.Random(f"letta {seed}"),
            weather=weather or Weather(),
            agents=list(self.agents),
            now_s=self.loop.time,
            background=self._background,
            log=self.log,
        )
        self.processes: list[SimProcess] = []
        self.clock_steps: list[timedelta] = []
        self.is_healing = False
        self.defaults = Defaults(timezone=timezone, target="letta", targets=frozenset({"letta"}))
        self._made = 0
        self._uids = SimChance(f"uids {seed}")
        self._kept: set[asyncio.Task[Any]] = set()
        self._faults: list[BaseException] = []
        self.loop.set_exception_handler(self._note_fault)

    # -- running --------------------------------------------------------------------------------------------

    def drive(self, coro: Coroutine[Any, Any, T], *, look_every: timedelta = CHANGE_POLL) -> T:
        """Run the world until `coro` has finished."""
        poll, limits.CHANGE_POLL_EVERY = limits.CHANGE_POLL_EVERY, look_every  # type: ignore[misc]  # see CHANGE_POLL
        try:
            answer = self.loop.run_until_complete(coro)
        except AssertionError as fault:
            raise AssertionError(self.failure([str(fault)])) from fault
        finally:
            limits.CHANGE_POLL_EVERY = poll  # type: ignore[misc]  # see CHANGE_POLL
        if self._faults:
            raise AssertionError(self.failure([repr(fault) for fault in self._faults])) from self._faults[0]
        return answer

    def heal(self) -> Self:
        """End every fault, and let everything that was promised arrive."""
        self.drive(self._heal(), look_every=HEALING_POLL)
        return self

    def close(self) -> None:
        """End every process and forget the database."""
        self.loop.callbacks_max += self.loop.callbacks_max
        for process in self.processes:
            process.on_death = lambda _process: None
            process.kill()
        self.drive(self._end())
        self.loop.close()
        stores.give_back(self.store)

    def failure(self, complaints: list[str]) -> str:
        """Return what a test says when it fails: the seed first, for it replays the world."""
        tail = "\n".join(self.events[-60:])
        shown = "\n".join(complaints[:10])
        return f"replay: --seed {self.seed}\n{shown}\n-- the last of what happened --\n{tail}"

    def log(self, text: str) -> None:
        self.events.append(f"{self.loop.time():10.3f} {text}")

    # -- processes ------------------------------------------------------------------------------------------

    def process(self, *, interval: timedelta = timedelta(seconds=60)) -> SimProcess:
        """Return a new process, not yet started."""
        self._made += 1
        name = f"p{self._made}"
        rng = random.Random(f"{name} {self.seed}")
        made = SimProcess(world=self, id=name, rng=rng, on_death=self.on_death, interval=interval)
        self.processes.append(made)
        return made

    def on_death(self, process: SimProcess) -> None:
        """A process has ended; nobody starts another unless the world's story does."""

    def serving(self) -> SimProcess:
        """Start an executor and return it."""
        made = self.process()
        made.serve()
        self.log(f"{made.id} serves")
        return made

    @property
    def living(self) -> list[SimProcess]:
        return [process for process in self.processes if not process.is_dead]

    # -- callers --------------------------------------------------------------------------------------------

    def register(self, *requests: ScheduleRequest) -> list[Schedule]:
        """Register as the CLI does, in a process of its own; several in one transaction."""
        now, made = self.clock.now(), []
        try:
            with self.store.transaction() as tx:
                for request in requests:
                    uid = self._uids.token()
                    stored = schedules.register(tx, request, caller=_CALLER, defaults=self.defaults, uid=uid, now=now)
                    made.append(stored.schedule)
        except PromptyoselfError as error:  # what a story registers is right
            raise AssertionError(f"REFUSED: {error}") from error
        self.log(f"registered {made[0].id} to {made[-1].id}")
        return made

    def change(self, what: str, act: Callable[[Any], object]) -> bool:
        """Let a caller do something; False when it was refused."""
        try:
            with self.store.transaction() as tx:
                act(tx)
        except PromptyoselfError as error:
            self.log(f"{what}: refused, {error.code}")
            return False
        self.log(what)
        return True

    def update(self, schedule_id: int, request: ScheduleRequest) -> bool:
        return self.change(
            f"update {schedule_id}",
            lambda tx: schedules.update(
                tx, schedule_id, request, caller=_CALLER, defaults=self.defaults, now=self.clock.now()
            ),
        )

    def pause(self, schedule_id: int, until: datetime | None = None) -> bool:
        return self.change(
            f"pause {schedule_id} until {until}",
            lambda tx: schedules.pause(tx, schedule_id, caller=_CALLER, reason=None, until=until, now=self.clock.now()),
        )

    def resume(self, schedule_id: int) -> bool:
        return self.change(
            f"resume {schedule_id}",
            lambda tx: schedules.resume(tx, schedule_id, caller=_CALLER, now=self.clock.now()),
        )

    def cancel(self, schedule_id: int) -> bool:
        return self.change(
            f"cancel {schedule_id}",
            lambda tx: schedules.cancel(tx, schedule_id, caller=_CALLER, now=self.clock.now()),
        )

    def run_now(self, schedule_id: int) -> bool:
        return self.change(
            f"run now {schedule_id}",
            lambda tx: schedules.run_now(
                tx, schedule_id, caller=_CALLER, store_uid=self.store.uid, now=self.clock.now()
            ),
        )

    def skip(self, schedule_id: int, count: int) -> Skipped | None:
        done: list[Skipped] = []
        self.change(
            f"skip {count} of {schedule_id}",
            lambda tx: done.append(
                skips.skip(
                    tx,
                    schedule_id,
                    count=count,
                    reason=None,
                    caller=_CALLER,
                    store_uid=self.store.uid,
                    now=self.clock.now(),
                )
            ),
        )
        return done[0] if done else None

    def snooze(self, schedule_id: int, until: datetime) -> Snoozed | None:
        done: list[Snoozed] = []
        self.change(
            f"snooze {schedule_id} until {until:%H:%M:%S}",
            lambda tx: done.append(
                snoozes.snooze(
                    tx,
                    schedule_id,
                    lasting=None,
                    until=until,
                    caller=_CALLER,
                    store_uid=self.store.uid,
                    now=self.clock.now(),
                )
            ),
        )
        return done[0] if done else None

    def retry(self, delivery_id: int) -> bool:
        return self.change(
            f"retry {delivery_id}",
            lambda tx: deliveries.retry_by_hand(tx, delivery_id, caller=_CALLER, now=self.clock.now()),
        )

    # -- what is claimed ------------------------------------------------------------------------------------

    def claims(self) -> list[Delivery]:
        """Return every delivery as recorded, oldest first."""
        with self.store.transaction() as tx:
            return tx.deliveries(DeliveryFilter(limit=limits.LIST_MAX))[::-1]

    def stored(self) -> list[Schedule]:
        with self.store.transaction() as tx:
            return tx.schedules(ScheduleFilter(limit=limits.LIST_MAX))

    def held_lanes(self) -> list[str]:
        """Return lanes of known deliveries that somebody holds."""
        lanes = sorted({claim.lane for claim in self.claims()})
        with self.store.transaction() as tx:
            return [lane for lane in lanes if tx.lane_holder(lane, now=self.clock.now()) is not None]

    # -- healing --------------------------------------------------------------------------------------------

    async def _heal(self) -> None:
        self.is_healing = True
        self.log("the world heals")
        self.perils = Perils()
        self.letta.weather.clear_up()
        self.letta.spell = None
        self.letta.come_back()
        self.letta.foreign_until.clear()
        for schedule in self.stored():
            if schedule.state is ScheduleState.PAUSED:
                self.on_resumed(schedule.id)
        until_s = self.loop.time() + HEAL_S_MAX
        while not self._is_over():
            if self.loop.time() > until_s:
                raise AssertionError(f"not healed after {HEAL_S_MAX / 3600:.0f} h: {self._unfinished()}")
            if not any(process.is_serving and not process.is_stalled for process in self.living):
                self.serving()
            await asyncio.sleep(25.0)
        await asyncio.sleep(1.0)

    def on_resumed(self, schedule_id: int) -> None:
        """Resume a schedule in the name of its caller."""
        self.resume(schedule_id)

    def _is_over(self) -> bool:
        if any(s.state is ScheduleState.ACTIVE and s.next_fire_at is not None for s in self.stored()):
            return False
        return not self._unfinished() and not self.held_lanes()

    def _unfinished(self) -> list[str]:
        with self.store.transaction() as tx:
            states = [state for state in DeliveryState if not state.is_final]
            found = tx.deliveries(DeliveryFilter(states=states, limit=10))
        return [f"delivery {one.id} of schedule {one.schedule_id}: {one.state}, {one.reason}" for one in found]

    async def _end(self) -> None:
        """Let every task come to its end, so that none is left to the garbage collector."""
        for _ in range(_ENDINGS_MAX):
            left = asyncio.all_tasks() - {asyncio.current_task()}
            if not left:
                break
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=60.0)

    # -- parts ----------------------------------------------------------------------------------------------

    def wall(self, second: float) -> datetime:
        """Return the wall clock at a second of a world whose clock was never set."""
        return self.base + timedelta(seconds=second)

    def _background(self, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self.loop.create_task(coro, context=outside())
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)
        return task

    def _note_fault(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        fault = context.get("exception")
        if isinstance(fault, BaseException) and not isinstance(fault, asyncio.CancelledError):
            self._faults.append(fault)
