"""Time and chance of a simulated world: all of it follows from the loop's virtual time and one seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from tests.simulation.loop import VirtualLoop

BASE = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
"""The wall clock when a world begins, unless it is about a clock change or a midnight."""


class SimClock:
    """A wall clock that can be set, and a steady one that cannot."""

    def __init__(self, loop: VirtualLoop, base: datetime = BASE) -> None:
        self._loop = loop
        self._base = base
        self._offset = timedelta(0)
        self.latest = base
        """The latest instant that it has ever shown."""

    def now(self) -> datetime:
        shown = self._base + timedelta(microseconds=round(self._loop.time() * 1e6)) + self._offset
        self.latest = max(self.latest, shown)
        return shown

    def monotonic(self) -> float:
        return self._loop.time()

    def step(self, by: timedelta) -> None:
        self.now()
        self._offset += by


class SimChance:
    """Seeded chance."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def fraction(self) -> float:
        return self._random.random()

    def token(self) -> str:
        return f"{self._random.getrandbits(128):032x}"

    def secret(self) -> str:
        return f"{self._random.getrandbits(172):043x}"


class SimTimers:
    """Timers of one process, on the virtual loop: what ApTimers does on a real one."""

    def __init__(self, loop: VirtualLoop, clock: SimClock) -> None:
        self._loop = loop
        self._clock = clock
        self._set: dict[str, asyncio.TimerHandle] = {}

    def start(self) -> None:
        """Do nothing: timers run from the moment they are set."""

    def at(self, name: str, when: datetime, act: Callable[[], Awaitable[None]]) -> None:
        self._drop(name)
        delay_s = max(0.0, (when - self._clock.now()).total_seconds())
        self._set[name] = self._loop.call_later(delay_s, lambda: _begin(act))

    def every(self, name: str, period: timedelta, act: Callable[[], Awaitable[None]]) -> None:
        self._drop(name)

        def fire() -> None:
            _begin(act)
            self._set[name] = self._loop.call_later(period.total_seconds(), fire)

        self._set[name] = self._loop.call_later(period.total_seconds(), fire)

    def stop(self) -> None:
        for name in list(self._set):
            self._drop(name)

    def _drop(self, name: str) -> None:
        handle = self._set.pop(name, None)
        if handle is not None:
            handle.cancel()


def _begin(act: Callable[[], Awaitable[None]]) -> None:
    asyncio.ensure_future(act())  # noqa: RUF006  the process keeps its tasks
