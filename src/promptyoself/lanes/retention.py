"""What grows old goes, in bounded batches: the same for every engine."""

from __future__ import annotations

import logging
from datetime import timedelta

from promptyoself.domain import limits
from promptyoself.domain.errors import StoreError
from promptyoself.domain.ports import Clock, Writer

_log = logging.getLogger(__name__)


async def prune(writer: Writer, clock: Clock, *, retention: timedelta) -> None:
    """Forget answered requests, and what ended longer ago than `retention`. What is left goes with the next call."""
    now = clock.now()
    before, unheard = now - retention, now - limits.IDEMPOTENCY_FOR
    try:
        for _ in range(limits.RETENTION_BATCHES_MAX):
            if not await writer.write(lambda tx: tx.forget_requests(before=unheard, limit=limits.RETENTION_BATCH)):
                break
        for _ in range(limits.RETENTION_BATCHES_MAX):
            if not await writer.write(lambda tx: tx.prune(before=before, limit=limits.RETENTION_BATCH)):
                break
    except StoreError as error:
        _log.warning("retention.failed code=%s error=%s", error.code, error)
