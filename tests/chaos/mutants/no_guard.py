"""The ownership guard is dropped: before a send nobody looks whether the lane is still this runner's."""

from __future__ import annotations

from promptyoself.application.dispatcher import Dispatcher
from tests.chaos.mutants.breaking import put


async def certainly(_self: Dispatcher, _claim: object, _turn: object) -> bool:
    """Believe it."""
    return True


put(Dispatcher, "_is_still_ours", certainly)
