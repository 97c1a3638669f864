"""The part of the port `Tx` for a database that was restored from a copy."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple, Protocol


class IdsLeftOut(NamedTuple):
    """A counter of ids that was moved on: those in between are never given out here."""

    table: str
    was: int
    """The highest id given out before; 0 when there was none."""
    now: int
    """The next one is higher by one."""


class DueBefore(NamedTuple):
    """What an earlier life of the database may have done already."""

    deliveries: int
    """Pending ones whose fire time it has seen."""
    in_flight: int
    """Leased, accepted or unknown ones."""
    schedules: int
    """Active ones that were due in it, and are not planned here yet."""


class RestoredTx(Protocol):
    """What is asked and done once after a restore, before any executor starts."""

    def in_use_until(self) -> datetime | None:
        """Return until when an earlier life of this database was in use; None when it was never restored."""
        ...

    def set_in_use_until(self, at: datetime) -> None:
        """Write it; the latest word counts."""
        ...

    def keep_executors_out(self) -> None:
        """Let nobody say that it lives, or take a lane, until this transaction ends."""
        ...

    def lanes_held(self, *, now: datetime) -> dict[str, datetime]:
        """Return the executors that hold a lane, and when the last of each one's leases runs out."""
        ...

    def newest_fact_at(self) -> datetime | None:
        """Return the instant of the journal's newest fact; None when it is empty."""
        ...

    def due_before(self, until: datetime) -> DueBefore:
        """Count what was due at or before an instant, and what is in flight."""
        ...

    def leave_ids_out(self, *, least: int, most: int) -> list[IdsLeftOut]:
        """Move the counter of each table that numbers its rows past as many ids as it has given out.

        At least by `least`, at most by `most`. PostgreSQL's counters stay moved also when the transaction is undone.
        """
        ...
