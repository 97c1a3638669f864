"""Posting callbacks, beside the engine and never in its way: a hung receiver holds up its own callback alone.

At least once: a callback is stored with the end of its delivery, taken for a while, posted, and recorded. Whoever dies
between posting and recording leaves one that is posted again, under the same idempotency key.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from promptyoself.domain import limits
from promptyoself.domain.addresses import NOTHING, Allowed, read_url
from promptyoself.domain.callbacks import (
    Callback,
    CallbackState,
    NotPosted,
    Outcome,
    PostResult,
    after_post,
    body_of,
    wanted_types,
)
from promptyoself.domain.errors import InvalidInput, StoreError
from promptyoself.domain.models import Fact, FactKind
from promptyoself.domain.ports import Chance, Clock, Tx, Writer
from promptyoself.domain.ports_callbacks import Poster

_log = logging.getLogger(__name__)
ResultOf = Callable[[str, list[str] | None], Awaitable[dict[str, Any] | None]]
"""Asks a target for a run's result, as Letta tells it; None when it cannot be had."""
_STORE_RETRY_S = 5.0


class Callbacks:
    """Posts what is due, for one executor. Make it, use it and close it in one event loop."""

    def __init__(
        self,
        *,
        writer: Writer,
        make_poster: Callable[[], Poster],
        results: Mapping[str, ResultOf],
        clock: Clock,
        chance: Chance,
        actor: str,
        allowed: Allowed = NOTHING,
    ) -> None:
        self._writer = writer
        self._make_poster = make_poster
        self._poster: Poster | None = None  # made for the first callback: few schedules have any
        self._results = results
        self._clock = clock
        self._chance = chance
        self._actor = actor
        self._allowed = allowed
        self._due = asyncio.Event()
        self._posting: set[asyncio.Task[None]] = set()
        self._away_since_s: float | None = None
        """Since when the database has not been reached: said once, and once when it is back."""

    def wake(self) -> None:
        """A delivery with a callback has ended: look now. From the event loop only."""
        self._due.set()

    async def run(self) -> None:
        """Start what is due until cancelled; `finish` waits for it."""
        while True:  # as long as the executor lives
            self._due.clear()
            wait_s = await self._look()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), wait_s)

    async def finish(self) -> None:
        """Post what is due now, once, wait CALLBACK_DRAIN_FOR at most, and close.

        What is not answered by then is posted again by the next executor, under the same key.
        """
        try:
            async with asyncio.timeout(limits.CALLBACK_DRAIN_FOR.total_seconds()):
                for _ in range(limits.LIST_MAX // limits.CALLBACKS_AT_ONCE):
                    is_more = await self._start()
                    if not self._posting and not is_more:
                        break
                    await asyncio.gather(*self._posting)
        except TimeoutError:
            _log.warning("callback.left open=%d", len(self._posting))
        except StoreError as error:
            _log.error("callback.store_failed code=%s error=%s", error.code, error)
        finally:
            for task in self._posting:
                task.cancel()
            await asyncio.gather(*self._posting, return_exceptions=True)
            if self._poster is not None:
                await self._poster.close()

    async def _look(self) -> float:
        """Start what is due and there is room for; return in how many seconds to look again."""
        try:
            started = await self._start()
            next_at = await self._writer.read(lambda tx: tx.next_callback_at())
        except StoreError as error:
            if self._away_since_s is None:
                self._away_since_s = self._clock.monotonic()
                _log.error("callback.store_failed code=%s error=%s", error.code, error)
            return _STORE_RETRY_S
        if self._away_since_s is not None:
            _log.warning("callback.store_is_back after_s=%.1f", self._clock.monotonic() - self._away_since_s)
            self._away_since_s = None
        longest_s = limits.CALLBACK_LOOK_EVERY.total_seconds()
        if next_at is None or not started:
            # Nothing due, no room (a post that ends wakes us), or all deliveries are stopped.
            until = longest_s if next_at is None else (next_at - self._clock.now()).total_seconds()
            return longest_s if until <= 0 else min(longest_s, until)
        return max(0.0, min(longest_s, (next_at - self._clock.now()).total_seconds()))

    async def _start(self) -> int:
        room = limits.CALLBACKS_AT_ONCE - len(self._posting)
        if room <= 0:
            return 0
        now = self._clock.now()
        next_at = await self._writer.read(lambda tx: tx.next_callback_at())
        if next_at is None or next_at > now:
            return 0  # a look costs no commit

        def take(tx: Tx) -> list[Callback]:
            switch = tx.stop_switch()
            if switch is not None and switch.is_on(now=now):
                return []
            return list(tx.take_callbacks(now=now, until=now + limits.CALLBACK_LEASE, limit=room))

        taken = await self._writer.write(take)
        for callback in taken:
            task = asyncio.ensure_future(self._post(callback))
            self._posting.add(task)
            task.add_done_callback(self._ended)
        return len(taken)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._posting.discard(task)
        self.wake()

    async def _post(self, callback: Callback) -> None:
        result = await self._posted(callback)
        outcome = after_post(callback, result, now=self._clock.now(), fraction=self._chance.fraction())
        _log.info("callback.posted delivery_id=%d state=%s", callback.delivery_id, outcome.state)
        try:
            await self._writer.write(lambda tx: self._record(tx, callback, outcome))
        except StoreError as error:  # its lease runs out, and it is posted again
            _log.error("callback.record_failed delivery_id=%d error=%s", callback.delivery_id, error)

    async def _posted(self, callback: Callback) -> PostResult:
        try:
            url = read_url(callback.url, self._allowed)
        except InvalidInput as error:  # an operator has taken its place off the allowed ones
            return NotPosted(error.message, is_final=True)
        body = body_of(callback, await self._result_of(callback))
        headers = {"Content-Type": "application/json", "Idempotency-Key": callback.idempotency_key}
        if self._poster is None:
            self._poster = self._make_poster()
        return await self._poster.post(url, body, headers)

    async def _result_of(self, callback: Callback) -> dict[str, Any] | None:
        ask, run_id = self._results.get(callback.target), callback.run_id
        if ask is None or run_id is None:
            return None
        try:
            async with asyncio.timeout(limits.CALLBACK_TIME_MAX.total_seconds()):
                return await ask(run_id, wanted_types(callback))
        except TimeoutError:
            return None

    def _record(self, tx: Tx, callback: Callback, outcome: Outcome) -> None:
        if not tx.end_callback(callback, state=outcome.state, due_at=outcome.due_at):
            return
        if outcome.state is CallbackState.DUE:
            return
        tx.add_fact(
            Fact(
                kind=FactKind.CALLBACK_SENT if outcome.state is CallbackState.SENT else FactKind.CALLBACK_FAILED,
                at=self._clock.now(),
                schedule_id=callback.schedule_id,
                delivery_id=callback.delivery_id,
                actor=self._actor,
                detail={"status": outcome.status, "text": outcome.reason, "attempts": callback.attempts},
            )
        )
