"""Asking a target: what answers at once needs no timer, and what waits is bounded and cancelled as ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from promptyoself.application.asking import Begun, within_bounds
from promptyoself.domain.answers import Unclear
from tests.application.stage import Stage, played

SOON = timedelta(seconds=5)


async def answer(first_waits: int) -> int:
    for _ in range(first_waits):
        await asyncio.sleep(1)
    return 7


async def fault(first_waits: int) -> int:
    await answer(first_waits)
    raise ValueError


async def word(first_waits: int) -> int:
    """Wait for a future, and give what it was told."""
    told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(first_waits, told.set_result, 7)
    return await told


@pytest.mark.parametrize("waits", [0, 1, 3])
@pytest.mark.parametrize(
    ("asked", "expected"), [(answer, 7), (word, 7), (fault, Unclear(code="target_fault", detail="send: ValueError"))]
)
def test_what_is_begun_answers_as_it_would_have(
    asked: Callable[[int], Coroutine[Any, Any, int]], expected: object, waits: int
) -> None:
    @played
    async def scene(stage: Stage) -> None:
        del stage
        begun = Begun(asked(waits))
        assert begun.is_over == (waits == 0 and asked is not word)
        assert await within_bounds(begun, SOON, "send") == expected

    scene()


@played
async def test_what_is_begun_is_bounded(stage: Stage) -> None:
    del stage
    late = await within_bounds(Begun(answer(6)), SOON, "send")
    assert late == Unclear(code="timeout", detail="send: no answer within 5 s")


@played
async def test_a_cancellation_reaches_what_is_begun(stage: Stage) -> None:
    seen = []

    async def waits() -> int:
        try:
            return await answer(3)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def asks() -> int | Unclear:
        return await within_bounds(Begun(waits()), SOON, "send")

    asking = stage.begin(asks())
    await asyncio.sleep(1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert seen == ["cancelled"]
