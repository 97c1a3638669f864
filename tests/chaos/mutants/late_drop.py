"""A lane's token goes a moment after the last look, and not with it; what would heal that within bounds is off.

So do carriers that know nothing of the lane: what arrives in between finds a token there, and then nobody comes.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from promptyoself.domain import limits
from promptyoself.lanes.pgqueuer import FleetLanes
from promptyoself.lanes.pgqueuer_tokens import Token
from tests.chaos.mutants.breaking import alter, put

_A_MOMENT_S = 0.3


async def run(self: FleetLanes, token: Token) -> None:
    """Carry the lane's turn; then, later, let its token go."""

    def drop(tx: Any) -> None:  # noqa: ANN401  what the transaction has of its own
        tx._change("drop_token", {"id": token.id, "owner": self._owner})

    try:
        await self._work.run_lane(token.lane, set())
        await asyncio.sleep(_A_MOMENT_S)
        await self._write(drop)
    finally:
        del self._held[token.id]
        for target in list(self._hungry):
            self.slot_granted(target)


async def never(_self: FleetLanes) -> None:
    """Sweep nothing."""


alter("drop_tokens", "WHERE", "WHERE false AND")
put(FleetLanes, "_run", run)
put(FleetLanes, "_sweep", never)
put(limits, "FLEET_LOOK_BACK", timedelta(0))
