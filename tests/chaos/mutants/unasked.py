"""What a lost runner may have sent is sent again without asking."""

from __future__ import annotations

from promptyoself.application.dispatcher import Dispatcher
from promptyoself.domain.answers import Absent
from tests.chaos.mutants.breaking import put


async def never_there(_self: Dispatcher, _claim: object) -> Absent:
    """Say that nothing arrived, whatever did."""
    return Absent()


put(Dispatcher, "_bounded_settle", never_there)
