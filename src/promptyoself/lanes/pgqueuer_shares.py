"""This executor's shares of what each target may be asked at once: reserved in the store, and held to by the gate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Final, Protocol, cast

from promptyoself.domain.errors import StoreError
from promptyoself.domain.ports import Clock, Writer
from promptyoself.domain.ports_fleet import FleetTx

_TRIES: Final = 5
_TRY_AGAIN_S: Final = 0.02


class _Gate(Protocol):
    @property
    def in_flight(self) -> Callable[[str], int]: ...

    @property
    def allow(self) -> Callable[[str, int], None]: ...

    @property
    def most(self) -> Mapping[str, int]: ...


class Shares:
    """Grows after the store has reserved, and shrinks before: at no moment does the fleet allow more than the cap."""

    NOTICE: Final = "shares"
    """What is told to all nodes when a share has shrunk, or is too small: let them divide anew."""

    def __init__(self, *, writer: Writer, clock: Clock, work: _Gate, executor_id: str, lease: timedelta) -> None:
        self._writer = writer
        self._clock = clock
        self._work = work
        self._executor_id = executor_id
        self._lease = lease
        self._shares = dict.fromkeys(work.most, 0)
        self._reserved = dict.fromkeys(work.most, 0)
        """At most so much, which is more than the share as long as more is open."""
        self._turn = asyncio.Lock()
        self._is_ending = False
        self._dividing: asyncio.Task[None] | None = None
        self._is_asked_again = False

    def of(self, target: str) -> int:
        """Return this executor's share of a target."""
        return self._shares.get(target, 0)

    def hold_back(self) -> None:
        """Let nothing be open before the first division."""
        for target in self._shares:
            self._allow(target, 0)

    def divide_soon(self, on_more: Callable[[], None]) -> None:
        """Divide anew, besides what is going on; `on_more` is called when a share has grown."""
        if self._dividing is not None and not self._dividing.done():
            self._is_asked_again = True
        elif not self._is_ending:
            self._dividing = asyncio.ensure_future(self._divide_quietly(on_more))

    def free_what_is_over(self, on_more: Callable[[], None]) -> None:
        """Divide anew where more is reserved than this executor's share, and is no longer open."""
        for target, share in self._shares.items():
            if self._reserved[target] > share >= self._work.in_flight(target):
                self.divide_soon(on_more)

    async def end(self) -> None:
        """Divide no more because others ask for it: what is given up must not be taken again."""
        self._is_ending = True
        if self._dividing is not None:
            await asyncio.wait({self._dividing})

    async def divide(self) -> bool:
        """Ask the store for each share, and hold to it; True when one has grown. Raises StoreError."""
        async with self._turn:
            was = dict(self._shares)
            for target, most in sorted(self._work.most.items()):
                await self._divide(target, most)
                # What was reserved until now, and is not needed, can be freed: others wait for it.
                if self._reserved[target] > max(self.of(target), self._work.in_flight(target)):
                    await self._divide(target, most)
            return any(share > was[target] for target, share in self._shares.items())

    async def _divide(self, target: str, most: int) -> None:
        for _ in range(_TRIES):
            using = max(self.of(target), self._work.in_flight(target))
            now = self._clock.now()

            def act(tx: FleetTx) -> int | None:
                return tx.share_of_target(
                    target,
                    executor_id=self._executor_id,
                    most=most,
                    using=using,  # noqa: B023  the act ends within this turn of the loop
                    now=now,  # noqa: B023  as above
                    until=now + self._lease,  # noqa: B023  as above
                )

            share = await self._writer.write(lambda tx: act(cast("FleetTx", tx)))
            if share is not None:
                self._reserved[target] = max(share, using)
                self._allow(target, share)
                return
            await asyncio.sleep(_TRY_AGAIN_S)

    async def _divide_quietly(self, on_more: Callable[[], None]) -> None:
        self._is_asked_again = True
        while self._is_asked_again and not self._is_ending:
            self._is_asked_again = False
            with suppress(StoreError):  # the next sign of life divides again
                if await self.divide():
                    on_more()

    def _allow(self, target: str, share: int) -> None:
        self._shares[target] = share
        self._work.allow(target, share)
