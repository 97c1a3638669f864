"""Asking a target something, within a bound and whatever its adapter does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Generator
from datetime import timedelta
from typing import Any, Final, Generic, TypeVar

from promptyoself.domain.answers import Unclear

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Begun(Generic[T]):
    """A coroutine of a target, run up to its first wait: one that answers without waiting needs no timer.

    `is_over` tells that it has; awaiting it goes on with the rest, or gives at once what it answered. Begin it and
    await it in one task, with no other wait between the two: what the coroutine waits for is waited for by that task.
    """

    def __init__(self, asked: Coroutine[Any, Any, T]) -> None:
        self._asked: Final = asked
        self._waits_for: Any = None
        self._answer: T | None = None
        self._fault: Exception | None = None
        self.is_over = False
        try:
            self._waits_for = asked.send(None)
        except StopIteration as answered:
            self._answer, self.is_over = answered.value, True
        except Exception as fault:  # noqa: BLE001  it is raised where the answer is awaited
            self._fault, self.is_over = fault, True

    def __await__(self) -> Generator[Any, Any, T]:
        if self._fault is not None:
            raise self._fault
        if self.is_over:
            return self._answer  # type: ignore[return-value]  # None is a T then
        waits_for = self._waits_for
        while True:  # as `yield from` would, had it begun it
            got, thrown = None, None
            try:
                got = yield waits_for
            except BaseException as error:  # noqa: BLE001  a cancellation too is the coroutine's
                thrown = error
            try:
                waits_for = self._asked.send(got) if thrown is None else self._asked.throw(thrown)
            except StopIteration as answered:
                return answered.value  # type: ignore[no-any-return]


async def within_bounds(asked: Awaitable[T], within: timedelta, what: str) -> T | Unclear:
    """Wait for a target's answer within a bound; neither silence nor a fault of the adapter stops a lane."""
    is_over = isinstance(asked, Begun) and asked.is_over
    try:
        if is_over:
            return await asked
        async with asyncio.timeout(within.total_seconds()):
            return await asked
    except TimeoutError:
        return Unclear(code="timeout", detail=f"{what}: no answer within {within.total_seconds():.0f} s")
    except Exception as fault:  # noqa: BLE001  a fault of an adapter must not stop the lane; it is logged and asked about
        _log.exception("target.fault during=%s", what)
        return Unclear(code="target_fault", detail=f"{what}: {type(fault).__name__}")
