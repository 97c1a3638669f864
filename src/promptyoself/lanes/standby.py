"""No engine: a process whose doors are open while others deliver. Its heartbeat says that it lives, and where."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from promptyoself.domain import limits
from promptyoself.domain.errors import StoreError, StoreMoved
from promptyoself.domain.models import Executor
from promptyoself.domain.ports import Clock, Tx, Writer
from promptyoself.domain.values import replace

_log = logging.getLogger(__name__)


class Standby:
    """Beats until told to stop."""

    def __init__(self, *, writer: Writer, clock: Clock, executor: Executor) -> None:
        self._writer = writer
        self._clock = clock
        self._executor = executor

    async def run(self, stopping: asyncio.Event) -> None:
        """Store a heartbeat each HEARTBEAT_EVERY, and take it away at the end. Raises StoreMoved."""
        while not stopping.is_set():
            try:
                await self._writer.write(self._beat)
            except StoreMoved:
                raise
            except StoreError as error:
                _log.error("executor.heartbeat_failed code=%s error=%s", error.code, error)
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), limits.HEARTBEAT_EVERY.total_seconds())
        with suppress(StoreError):
            await self._writer.write(lambda tx: tx.remove_executor(self._executor.id))

    def _beat(self, tx: Tx) -> None:
        tx.heartbeat(replace(self._executor, heartbeat_at=self._clock.now()))
