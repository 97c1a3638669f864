"""What a node knows of its fleet: the database server, the other nodes, and the tokens that carry the lanes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from promptyoself.domain.values import dataclass

ENGINE_FAULT_CURE: Final = (
    "another PgQueuer has made or changed it: docs/operating.md says how to put it back (The tables of the tokens)"
)
"""What to do about FleetState.engine_fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSeen:
    """A process that lives, as it has told the others."""

    id: str
    host: str
    mode: str
    version: str
    heartbeat_at: datetime
    clock_off: timedelta | None
    """How far its host's clock is ahead of the database's (negative: behind); None: it has not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetState:
    """What one look at the database server found."""

    server_version: str
    latency_ms: float
    """One round trip."""
    connections: int
    """Open now, to all databases of the server."""
    connections_max: int
    nodes: Sequence[NodeSeen]
    tokens: Mapping[str, int]
    """Tokens by state: `queued` (wait for a worker), `picked` (one has them)."""
    lanes_without_token: int
    """Lanes that were due and free LANE_STUCK ago and have no token: nobody would be woken for them."""
    tokens_without_lane: int
    """Tokens of lanes that do not exist."""
    engine_fault: str | None
    """What is wrong with the tables of the tokens, in a sentence; None when all is well."""


class Fleet(Protocol):
    """The fleet that this process is of."""

    @property
    def host(self) -> str:
        """This machine's name."""
        ...

    @property
    def clock_offset(self) -> timedelta | None:
        """How far this machine's clock is ahead of the database's; None before it was measured."""
        ...

    def state(self) -> FleetState:
        """Look at the database server. Raises kin of StoreError."""
        ...

    def change_mark(self) -> int:
        """Return a number that differs after each commit that was heard of, by whichever node; costs nothing."""
        ...

    def subscribe(self, act: Callable[[], None]) -> Callable[[], None]:
        """Call `act`, in another thread, after each commit that is heard of; what is returned ends that."""
        ...
