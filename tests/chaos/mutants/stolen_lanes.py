"""The lane's lease is dropped: whoever asks for a lane gets it.

In a fleet this is not seen by itself: a lane's token has one owner, and what a delivery's own lease says is looked at
again before each send and each record. The lease is what keeps apart those that have no tokens (`execute`, a file).
"""

from __future__ import annotations

from datetime import datetime

from promptyoself.storage.postgres_planning import Lease
from promptyoself.storage.postgres_steps_tx import StepTx
from promptyoself.storage.rows import micros
from tests.chaos.mutants.breaking import alter, put

_GUARD = "AND (lease_token IS NULL OR leased_until <= :now OR lease_token = :token)"

_right = StepTx.lease_lane


def lease(self: StepTx, lane: str, *, token: str, executor_id: str, now: datetime, until: datetime) -> bool:
    """Take it, whoever has it."""
    mine = self._lanes.get(lane)
    if mine is None or self._is_plain:
        return _right(self, lane, token=token, executor_id=executor_id, now=now, until=until)
    self._write_lane(mine, Lease(token, micros(until), executor_id))
    return True


alter("lease_lane", _GUARD, "")
put(StepTx, "lease_lane", lease)
