"""A fleet as a test of the doors wants it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from promptyoself.domain.errors import StoreError
from promptyoself.domain.ports_node import FleetState, NodeSeen
from tests.interfaces.world import NOW


class FakeFleet:
    """A fleet as a test wants it."""

    host = "here"

    def __init__(self) -> None:
        self.clock_offset: timedelta | None = timedelta(0)
        self.error: StoreError | None = None
        self.found = FleetState(
            server_version="18.1",
            latency_ms=0.2,
            connections=7,
            connections_max=100,
            nodes=[
                NodeSeen(id="a", host="there", mode="worker", version="1", heartbeat_at=NOW, clock_off=timedelta(0))
            ],
            tokens={"queued": 3, "picked": 2},
            lanes_without_token=0,
            tokens_without_lane=0,
            engine_fault=None,
        )

    def state(self) -> FleetState:
        if self.error is not None:
            raise self.error
        return self.found

    def change_mark(self) -> int:
        return 0

    def subscribe(self, act: Callable[[], None]) -> Callable[[], None]:
        raise AssertionError(act)
