"""A target that answers as it was told to, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import FunctionType
from typing import TypeVar, cast

from promptyoself.domain.answers import Done, FollowResult, Message, Refused, SendResult, Sent, SettleResult

T = TypeVar("T")
Meanwhile = Exception | Callable[[], None] | asyncio.Event


class ScriptedTarget:
    """Each question takes the next answer of its script; without one, all goes well.

    In a script an exception is raised; an Event is waited for; a callable is called (something happens in the
    meantime). The latter two are followed by the next answer.
    """

    def __init__(self, name: str = "inbox") -> None:
        self._name = name
        self.sends: deque[SendResult | Meanwhile] = deque()
        self.follows: deque[FollowResult | Meanwhile] = deque()
        self.settles: deque[SettleResult | Meanwhile] = deque()
        self.probes: deque[Refused | Meanwhile | None] = deque()
        self.sent: list[Message] = []
        self.asked: list[str] = []
        """Every question but sends, by name."""
        self.open_now = 0
        self.open_most = 0

    @property
    def name(self) -> str:
        return self._name

    async def send(self, message: Message) -> SendResult:
        self.sent.append(message)
        self.open_now += 1
        self.open_most = max(self.open_most, self.open_now)
        try:
            return await _next(self.sends, Done())
        finally:
            self.open_now -= 1

    async def follow(self, sent: Sent) -> FollowResult:
        self.asked.append(f"follow {sent.run_id}")
        return await _next(self.follows, Done())

    async def settle(self, sent: Sent) -> SettleResult:
        self.asked.append(f"settle {sent.otid}")
        return await _next(self.settles, Done())

    async def cancel_run(self, sent: Sent) -> None:
        self.asked.append(f"cancel_run {sent.run_id}")

    async def probe(self) -> Refused | None:
        self.asked.append("probe")
        return await _next(self.probes, None)

    async def close(self) -> None:
        """Do nothing: there are no connections."""


async def _next(script: deque[T | Meanwhile], otherwise: T) -> T:
    while script:
        answer = script.popleft()
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, asyncio.Event):
            await answer.wait()
        elif isinstance(answer, FunctionType):
            answer()
            await asyncio.sleep(0)
        else:
            return cast("T", answer)
    return otherwise
