"""The engine on one machine: sleeps until something is due, plans it, and runs ready lanes as tasks.

No polling for work: it sleeps until the earliest of the next fire time, the next retry and the next lease end.
A look at the database's change mark five times a second (microseconds each) notices other processes, and
the same look notices a clock that was set or a machine that slept. `interval` is the safety pass behind it all.

The lease row a lane keeps a second process off. At most LANES_PREFETCH lanes a target wait for a slot and
LANES_ACTIVE_MAX run at once; the rest wait in the database, so a burst of any size takes bounded memory.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Protocol

from promptyoself.domain import limits
from promptyoself.domain.errors import StoreError, StoreGone, StoreMoved
from promptyoself.domain.models import Executor
from promptyoself.domain.ports import Clock, Store, Tx, Writer
from promptyoself.domain.values import dataclass, replace
from promptyoself.lanes.retention import prune

_log = logging.getLogger(__name__)

_STORE_RETRY_FIRST_S = 0.5
_STORE_RETRY_MAX_S = 15.0
_PASS_GAP_S = 0.002
"""Between two passes: wake-ups that come close together share one."""


class Timers(Protocol):
    """Timers on the event loop."""

    def start(self) -> None:
        """Begin."""
        ...

    def at(self, name: str, when: datetime, act: Callable[[], Awaitable[None]]) -> None:
        """Call `act` once at `when`; the name's earlier timer is replaced."""
        ...

    def every(self, name: str, period: timedelta, act: Callable[[], Awaitable[None]]) -> None:
        """Call `act` each `period`."""
        ...

    def stop(self) -> None:
        """Drop every timer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the engine runs: the application's planner and dispatcher, as plain callables."""

    plan: Callable[[], Awaitable[int]]
    """Plans one batch of due schedules; answers how many it planned."""
    run_lane: Callable[[str], Awaitable[bool]]
    open_targets: Callable[[], list[str]]
    waiting: Callable[[str], int]
    """How many lane runners wait for a slot of this target."""
    stop: Callable[[], None]
    """Tells the dispatcher to claim nothing more."""


class LocalLanes:
    """Runs until told to stop. One instance, one run."""

    def __init__(
        self,
        *,
        store: Store,
        writer: Writer,
        clock: Clock,
        timers: Timers,
        work: Work,
        executor: Executor,
        interval: timedelta,
        retention: timedelta = limits.RETENTION_DEFAULT,
    ) -> None:
        self._store = store
        self._writer = writer
        self._clock = clock
        self._timers = timers
        self._work = work
        self._executor = executor
        self._interval = interval
        self._retention = retention
        self._due = asyncio.Event()
        self._ending = asyncio.Event()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._by_target: dict[str, int] = {}
        self._hungry: set[str] = set()
        self._moved: StoreMoved | None = None
        """What a heartbeat met: whoever only looks at a database that was moved is told nothing of it."""

    def wake(self) -> None:
        """Something may have become due: look now. From the event loop only."""
        self._due.set()

    def slot_granted(self, target: str) -> None:
        """A runner got its slot: fetch more lanes when few wait and more are known to be ready."""
        if target in self._hungry and self._work.waiting(target) <= limits.LANES_PREFETCH // 4:
            self._hungry.discard(target)
            self.wake()

    async def run(self, stopping: asyncio.Event) -> bool:
        """Deliver until `stopping` is set, then finish what is in flight; True when all of it finished in time."""
        await self._beat()
        self._timers.every("heartbeat", limits.HEARTBEAT_EVERY, self._beat)
        # At least hourly, whatever the interval: a new zone database may have moved the next fire to an earlier time.
        self._timers.every("safety pass", min(self._interval, timedelta(hours=1)), self._wake_soon)
        self._timers.every("retention", timedelta(hours=1), self._prune)
        self._timers.start()
        watching = asyncio.ensure_future(self._watch_for_changes())
        ending = asyncio.ensure_future(self._wake_at_stop(stopping))
        try:
            await self._pass_until(stopping)
        finally:
            self._timers.stop()
            for task in (watching, ending):
                task.cancel()
            is_clean = await self._finish()
        return is_clean

    # -- passes ---------------------------------------------------------------------------------------------

    async def _pass_until(self, stopping: asyncio.Event) -> None:
        failures, gone_since_s = 0, math.inf
        while not stopping.is_set():
            self._due.clear()
            if self._moved is not None:
                raise self._moved
            try:
                is_more_due = await self._pass()
                failures, gone_since_s = 0, math.inf
            except StoreMoved:
                raise
            except StoreError as error:
                # A full disk or a long lock must not end the service: it says so and tries again. A file that is gone
                # does not come back by itself: whoever starts the service again goes on with what is there now.
                failures += 1
                now_s = self._clock.monotonic()
                gone_since_s = min(gone_since_s, now_s) if isinstance(error, StoreGone) else math.inf
                if now_s - gone_since_s >= limits.STORE_GONE_FOR.total_seconds():
                    raise
                wait_s = min(_STORE_RETRY_MAX_S, _STORE_RETRY_FIRST_S * 2.0 ** min(failures, 10))
                _log.error("executor.store_failed code=%s retry_in_s=%.1f error=%s", error.code, wait_s, error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), wait_s)
                continue
            if not is_more_due:
                await self._due.wait()
                await asyncio.sleep(_PASS_GAP_S)

    async def _pass(self) -> bool:
        """Plan one batch, start ready lanes, set the timer; True when more is due at once."""
        planned = await self._work.plan()
        self._hungry.clear()  # who still is says so now; a target whose breaker has opened meanwhile is not
        for target in self._work.open_targets():
            await self._start_ready(target)
        if planned >= limits.SCHEDULES_PER_PASS_MAX:
            return True
        now = self._clock.now()
        wake_at = await self._writer.read(lambda tx: tx.next_wake_at(now=now))
        if wake_at is not None and wake_at > now:
            self._timers.at("next due", wake_at, self._wake_soon)
        elif wake_at is not None and not self._hungry:
            # Due, but not ours to run now (its breaker is open, or it is being taken up): look again soon, and when
            # something else comes due before that.
            soon = now + limits.CLOCK_STEP_MIN
            other = await self._writer.read(lambda tx: tx.next_wake_at(now=now, due_after=now))
            self._timers.at("next due", soon if other is None else min(soon, other), self._wake_soon)
        return False

    async def _start_ready(self, target: str) -> None:
        room = min(limits.LANES_PREFETCH - self._work.waiting(target), limits.LANES_ACTIVE_MAX - len(self._running))
        if room <= 0:
            self._hungry.add(target)
            return
        now = self._clock.now()
        # Lanes whose runner waits for its slot are still free in the database: ask beyond them.
        limit = room + self._work.waiting(target)
        ready = await self._writer.read(lambda tx: tx.ready_lanes(now=now, limit=limit, targets=[target]))
        if len(ready) >= limit:
            self._hungry.add(target)
        for lane in ready:
            if lane not in self._running:
                self._running[lane] = asyncio.ensure_future(self._run(lane))

    async def _run(self, lane: str) -> None:
        try:
            if not await self._work.run_lane(lane):
                await asyncio.sleep(limits.CHANGE_POLL_EVERY.total_seconds())  # another's, as of just now
        except StoreError as error:
            _log.error("lane.store_failed lane=%r code=%s error=%s", lane, error.code, error)
            await asyncio.sleep(_STORE_RETRY_FIRST_S)
        except Exception:  # noqa: BLE001  logged with its trace; see below
            # A fault in one lane must not stop the others; its lease runs out and its row says what was open.
            _log.exception("lane.fault lane=%r", lane)
            await self._rest(_STORE_RETRY_MAX_S)
        finally:
            del self._running[lane]
            self.wake()

    async def _rest(self, for_s: float) -> None:
        """Sleep, but for no stop."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), for_s)

    # -- timers ---------------------------------------------------------------------------------------------

    async def _wake_soon(self) -> None:
        self.wake()

    async def _wake_at_stop(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self._ending.set()
        self._work.stop()
        self.wake()

    async def _beat(self) -> None:
        """Say that we live, and keep our leases. A failed beat is not the end: the lease has time for two more."""
        now = self._clock.now()
        executor = replace(self._executor, heartbeat_at=now)

        def act(tx: Tx) -> None:
            tx.heartbeat(executor)
            tx.renew_lanes(executor.id, until=now + limits.LEASE)

        try:
            await self._writer.write(act)
        except StoreError as error:
            self._moved = error if isinstance(error, StoreMoved) else None
            _log.error("executor.heartbeat_failed code=%s error=%s", error.code, error)
            self.wake()  # a pass looks what it is, though nothing may be due for an hour

    async def _prune(self) -> None:
        await prune(self._writer, self._clock, retention=self._retention)

    async def _watch_for_changes(self) -> None:
        """Notice other processes' commits, a clock that was set, and a machine that slept."""
        mark = -1
        wall, steady = self._clock.now(), self._clock.monotonic()
        while True:  # the mark is a file's and signals nobody: it has to be looked at
            await asyncio.sleep(limits.CHANGE_POLL_EVERY.total_seconds())
            now, now_steady = self._clock.now(), self._clock.monotonic()
            stepped = (now - wall) - timedelta(seconds=now_steady - steady)
            if abs(stepped) >= limits.CLOCK_STEP_MIN:
                _log.warning("clock.stepped by_s=%.1f", stepped.total_seconds())
                self.wake()
            wall, steady = now, now_steady
            with suppress(StoreError):
                seen = self._store.change_mark()
                if seen != mark:
                    mark = seen
                    self.wake()

    # -- the end --------------------------------------------------------------------------------------------

    async def _finish(self) -> bool:
        """Stop claiming, let what is in flight finish within the bound, give the rest back."""
        self._ending.set()
        self._work.stop()
        tasks = set(self._running.values())
        _log.info("executor.stopping in_flight=%d", len(tasks))
        late: set[asyncio.Task[None]] = set()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=limits.STOP_FOR.total_seconds())
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        with suppress(StoreError):
            await self._writer.write(lambda tx: tx.remove_executor(self._executor.id))
        return not late
