"""What the log says of deliveries that another executor had in hand when it died or was stopped.

The journal has each of them. Of a node with hundreds of lanes the log has one line, once all of them have come.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.models import DeliveryState

_log = logging.getLogger(__name__)

TOLD: Final = frozenset({DeliveryState.LEASED, DeliveryState.ACCEPTED})
"""What an executor had in hand. What is unknown waits to be asked about, by whoever comes."""


class TakeOvers:
    """Counts what was taken over, by who had it. Of one event loop."""

    def __init__(self) -> None:
        self._taken: Final[defaultdict[str, Counter[DeliveryState]]] = defaultdict(Counter)

    def note(self, begun_by: str, state: DeliveryState) -> None:
        """Count a delivery that `begun_by` had in this state; it is told within TAKE_OVERS_TOLD_WITHIN."""
        if not self._taken:
            asyncio.get_running_loop().call_later(limits.TAKE_OVERS_TOLD_WITHIN.total_seconds(), self._tell)
        self._taken[begun_by][state] += 1

    def _tell(self) -> None:
        for begun_by, counts in self._taken.items():
            in_doubt, accepted = counts[DeliveryState.LEASED], counts[DeliveryState.ACCEPTED]
            _log.warning("executor.took_over begun_by=%s in_doubt=%d accepted=%d", begun_by, in_doubt, accepted)
        self._taken.clear()
