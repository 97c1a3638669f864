"""The part of the port `Tx` by which the journal is followed, and many schedules are stored at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from promptyoself.domain.models import Fact
from promptyoself.domain.values import dataclass

if TYPE_CHECKING:
    from promptyoself.domain.ports import NewSchedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A fact, with what its schedule is now; all None for a fact that is of no schedule."""

    fact: Fact
    agent_id: str | None
    owner: str | None
    timezone: str | None


class JournalTx(Protocol):
    """What a transaction can do with the journal as a whole."""

    def facts_after(self, after: int, *, limit: int) -> list[Told]:
        """Return the facts with a higher id than `after`, in the order of their ids; at most LIST_MAX.

        Ids grow in the order of commits: one transaction writes at a time, and takes its ids while it does. So nobody
        who has read up to an id will ever find a fact with a lower one that was not there before.
        """
        ...

    def newest_fact_id(self) -> int:
        """Return the id that was given out last, also when that fact has been deleted since; 0 before the first."""
        ...

    def add_schedules(self, new: Sequence[NewSchedule]) -> list[int]:
        """Store many schedules as `add_schedule` does each, and return their ids in the same order.

        Raises Conflict when an agent has a key already; the caller then gives its transaction up.
        """
        ...

    def add_facts(self, facts: Sequence[Fact]) -> None:
        """Append to the journal, in order."""
        ...
