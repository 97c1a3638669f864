"""Claims that a node makes in the transaction in which it plans: they are sent as soon as that is stored.

Nobody has to be woken, and no second transaction stands between a fire time and its send. A slot of the target is in
hand before each claim: nothing that is claimed waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from promptyoself.application.dispatcher import Dispatcher
from promptyoself.application.gate import Gate, Slot
from promptyoself.application.turns import Turn, target_of
from promptyoself.domain.ports import Clock
from promptyoself.domain.ports_fleet import FleetTx


class Ahead:
    """Slots for the claims of one transaction, and the turns that it has claimed."""

    def __init__(self, dispatcher: Dispatcher, *, gate: Gate, clock: Clock, targets: Sequence[str], most: int) -> None:
        """Take up to `most` slots of each target, as many as are free."""
        self._dispatcher: Final = dispatcher
        self._clock: Final = clock
        self._slots: Final[dict[str, list[Slot]]] = {target: [] for target in targets}
        for target, slots in self._slots.items():
            while len(slots) < most and (slot := gate.enter_now(target)) is not None:
                slots.append(slot)
        self._turns: list[Turn] = []

    def claim(self, tx: FleetTx) -> None:
        """Claim what the transaction has planned and may claim; in whichever thread it runs."""
        for lane in tx.lanes_to_claim(now=self._clock.now()):
            slots = self._slots.get(target_of(lane))
            if slots:
                turn = self._dispatcher.claim_ahead(tx, lane, slots[-1])
                self._turns.append(turn)
                if turn.ahead is not None:
                    slots.pop()

    def runs(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """Return each lane that was claimed and what carries it, when that is stored; let go of the slots left over."""
        turns, self._turns = self._turns, []
        self._let_go()
        return [(turn.lane, self._dispatcher.run_ahead(turn)) for turn in turns]

    async def give_up(self) -> None:
        """Give back what was claimed, where it is not known whether that was stored."""
        turns, self._turns = self._turns, []
        self._let_go()
        await asyncio.gather(*[self._dispatcher.give_up(turn) for turn in turns])

    def _let_go(self) -> None:
        for slots in self._slots.values():
            while slots:
                slots.pop().release()
