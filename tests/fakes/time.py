"""Time that takes no time, and chance that is no chance."""

from __future__ import annotations

import asyncio
import heapq
from datetime import datetime, timedelta
from itertools import count

from tests.factories import NOW


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop that jumps to its next timer in place of sleeping. Nothing outside of it is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0

    def time(self) -> float:
        return self._now_s

    def _run_once(self) -> None:
        timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]  # the base class's own
        while timers and timers[0].cancelled():
            heapq.heappop(timers)._scheduled = False  # type: ignore[attr-defined]  # as the base class marks it
        if not self._ready and not self._stopping:  # type: ignore[attr-defined]  # the base class's own
            assert timers, "nothing is ready and no timer is set: everybody waits"
            self._now_s = max(self._now_s, timers[0].when())
        super()._run_once()  # type: ignore[misc]  # the base class's own

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Do nothing: it is dropped when its time comes."""


class FakeClock:
    """NOW when the loop begins; goes with the loop, and can be set."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._set_by = timedelta(0)

    def now(self) -> datetime:
        return NOW + timedelta(microseconds=round(self._loop.time() * 1e6)) + self._set_by

    def monotonic(self) -> float:
        return self._loop.time()

    def step(self, by: timedelta) -> None:
        self._set_by += by


class FakeChance:
    """Waits are drawn in the middle; tokens are numbered."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers = count(1)

    def fraction(self) -> float:
        return 0.5

    def token(self) -> str:
        return f"{self._name}-{next(self._numbers)}"

    def secret(self) -> str:
        return f"{next(self._numbers):a>43}"
