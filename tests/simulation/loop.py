"""An event loop whose time is ours: it jumps to the next timer, never sleeps, and notices a world that hangs.

Every callback belongs to the process in whose context it was made, if any. A stopped process's callbacks are kept
back until it goes on, as SIGSTOP does.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from contextvars import Context, ContextVar
from typing import Any, Protocol

_CALLBACKS_MAX = 50_000
"""Callbacks of one small world, ten times what it needs. Beyond, it spins."""
_CALLBACKS_PER_INSTANT_MAX = 1_000_000
"""Callbacks without any time passing. Beyond, it spins on the spot."""


class Deadlock(AssertionError):
    """Nothing is ready and no timer is set, yet somebody waits."""


class Livelock(AssertionError):
    """It goes on and on, and time does not pass."""


class Owner(Protocol):
    """A simulated process."""

    is_stalled: bool
    frozen: list[asyncio.Handle]

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Take note of a task made by this process."""
        ...


PROCESS: ContextVar[Owner | None] = ContextVar("PROCESS", default=None)


class VirtualTask(asyncio.Task[Any]):
    """A task whose place in a set does not depend on its address: one seed gives one order."""

    serial = 0

    def __hash__(self) -> int:
        return self.serial

    __eq__ = object.__eq__


class VirtualLoop(asyncio.BaseEventLoop):
    """asyncio's loop without a selector: there is nothing outside of it to wait for."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _clock_resolution: float

    def __init__(self) -> None:
        super().__init__()
        self.callbacks_max = _CALLBACKS_MAX
        self._now = 0.0
        self._made = 0
        self._callbacks = 0
        self._callbacks_now = 0
        self._clock_resolution = 0.0
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        return self._now

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Any,  # noqa: ANN401  as asyncio has it
        context: Context | None = None,
    ) -> VirtualTask:
        task = VirtualTask(coro, loop=loop, context=context)
        self._made += 1
        task.serial = self._made
        owner = PROCESS.get() if context is None else context.get(PROCESS)
        if owner is not None:
            owner.adopt(task)
        return task

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False  # type: ignore[attr-defined]  # the base class's own mark
        if not ready and not self._stopping:  # type: ignore[attr-defined]  # set by stop()
            if not scheduled:
                raise Deadlock("nothing is ready and no timer is set")
            self._pass_time(scheduled[0].when())
        while scheduled and scheduled[0].when() <= self._now:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False  # type: ignore[attr-defined]  # the base class's own mark
            ready.append(handle)
        self._run_ready(len(ready))

    def _pass_time(self, until: float) -> None:
        if until > self._now:
            self._now = until
            self._callbacks_now = 0

    def _run_ready(self, count: int) -> None:
        self._callbacks += count
        self._callbacks_now += count
        if self._callbacks > self.callbacks_max or self._callbacks_now > _CALLBACKS_PER_INSTANT_MAX:
            raise Livelock(f"{self._callbacks} callbacks, {self._callbacks_now} of them at {self._now:.3f} s")
        for _ in range(count):
            handle = self._ready.popleft()
            if handle._cancelled:
                continue
            owner = handle._context.get(PROCESS)  # type: ignore[attr-defined]  # where it was made
            if owner is not None and owner.is_stalled:
                owner.frozen.append(handle)
            else:
                handle._run()

    def thaw(self, frozen: list[asyncio.Handle]) -> None:
        """Let callbacks go on that were kept back."""
        self._ready.extend(frozen)
        frozen.clear()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Do nothing: it is dropped when its time comes."""

    def _process_events(self, event_list: object) -> None:
        """Do nothing: nothing happens outside."""

    def _write_to_self(self) -> None:
        """Do nothing: there is no other thread to wake it from."""
