"""Whether this process can do its work, looked at once a second at most, for whichever door is asked."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from promptyoself.application.readiness import ClockWatch, Look, fleet_looks, looks, write_and_undo
from promptyoself.domain import limits
from promptyoself.domain.errors import StoreError

if TYPE_CHECKING:
    from promptyoself.interfaces.services import Services

Status = Literal["ready", "degraded", "unready"]


class Readiness:
    """What was looked at lately; many may ask. Of one event loop."""

    def __init__(self, services: Services, *, delivers: bool = True) -> None:
        """`delivers`: whether planning and delivering are this process's own part."""
        self._services = services
        self._delivers = delivers
        self._clock_watch = ClockWatch(services.clock)
        self._lock = asyncio.Lock()
        self._at_s = float("-inf")
        self._looks: list[Look] = []

    async def looks(self) -> list[Look]:
        """Return what every look found."""
        async with self._lock:
            now_s = self._services.clock.monotonic()
            if now_s - self._at_s >= limits.READINESS_KEPT_FOR.total_seconds():
                self._looks = [self._clock_watch.look(), *await asyncio.to_thread(self._stored)]
                self._at_s = now_s
            return self._looks

    def _stored(self) -> list[Look]:
        services = self._services
        fleet = services.fleet
        try:
            with services.store.transaction():
                pass  # the lock can be had; that it can be written to, the heartbeat shows
            with services.store.reading() as tx:
                found = list(
                    looks(
                        tx,
                        now=services.clock.now(),
                        pid=os.getpid(),
                        host=None if fleet is None else fleet.host,
                        targets=services.defaults.targets,
                        delivers=self._delivers,
                    )
                )
            if fleet is not None:
                found += fleet_looks(fleet.state(), host=fleet.host, offset=fleet.clock_offset)
            if found[0].result == "fail":  # no heartbeat: that of a row shows what keeps one from being stored
                write_and_undo(services.store, now=services.clock.now(), by="readyz")
        except StoreError as error:
            return [Look("database", "fail", error.message, error.hint)]
        said = "it can be read and locked for writing" if fleet is None else "it answers"
        return [Look("database", "ok", said), *found]


def status_of(found: Sequence[Look]) -> Status:
    """Return the word for all looks: `degraded` when deliveries are held up by something else."""
    results = {look.result for look in found}
    return "unready" if "fail" in results else "degraded" if "warn" in results else "ready"
