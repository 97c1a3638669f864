"""A lane's token goes after the last look, and not with it; what would heal that within bounds is off.

So do carriers that know nothing of the lane: what arrives in between finds a token there, and then nobody comes. Here
the time in between lasts until something has arrived, so that nobody has to hit it.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from promptyoself.lanes.pgqueuer import FleetLanes
from promptyoself.lanes.pgqueuer_tokens import Token
from tests.chaos.mutants.breaking import alter, put

_LOOK_EVERY_S = 0.2
_LOOKS_MAX = 300


async def run(self: FleetLanes, token: Token) -> None:
    """Carry the lane's turn; then, when something is due in it again, let its token go."""

    def is_due(tx: Any) -> bool:  # noqa: ANN401  what the transaction has of its own
        return tx.next_in_lane(token.lane, now=datetime.now(UTC)) is not None

    def drop(tx: Any) -> None:  # noqa: ANN401  as above
        tx._change("drop_token", {"id": token.id, "owner": self._owner})

    try:
        await self._work.run_lane(token.lane, set())
        for _ in range(_LOOKS_MAX):
            if await self._writer.read(is_due):
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        await self._write(drop)
    finally:
        del self._held[token.id]
        self._note_end()


async def never(_self: FleetLanes) -> None:
    """Sweep nothing."""


def carry_by_tokens(_self: FleetLanes, _target: str) -> bool:
    """Claim nothing with its plan: that is carried without a token."""
    return False


async def none_due(_self: FleetLanes, _now: datetime) -> bool:
    """Issue nothing that a plan has not issued."""
    return False


alter("drop_tokens", "WHERE", "WHERE false AND")
put(FleetLanes, "_run", run)
put(FleetLanes, "_sweep", never)
put(FleetLanes, "_issue", none_due)
put(FleetLanes, "_is_idle", carry_by_tokens)
