"""The part of a transaction that is needed once, after the database was restored from a copy: the port `RestoredTx`."""

from __future__ import annotations

from datetime import datetime

from promptyoself.domain.ports_restored import DueBefore, IdsLeftOut
from promptyoself.storage import rows
from promptyoself.storage.rows import Row, instant, instant_or_none, micros
from promptyoself.storage.statements import Statements


class RestoredStatements(Statements):
    """See `RestoredTx` for what each method promises."""

    def in_use_until(self) -> datetime | None:
        """Return until when an earlier life of this database was in use; None when it was never restored."""
        return self._one("in_use_until", {}, in_use_until_of)

    def set_in_use_until(self, at: datetime) -> None:
        """Write it; the latest word counts."""
        self._change("set_in_use_until", {"until": str(micros(at))})

    def keep_executors_out(self) -> None:
        """Nothing is to be done where a writing transaction has the one write lock."""

    def lanes_held(self, *, now: datetime) -> dict[str, datetime]:
        """Return the executors that hold a lane, and when the last of each one's leases runs out."""
        held = self._rows("lanes_held", {"now": micros(now)})
        return {str(row["executor_id"]): instant(row["leased_until"]) for row in held}

    def newest_fact_at(self) -> datetime | None:
        """Return the instant of the journal's newest fact; None when it is empty."""
        row = self._first("newest_fact_at", {})
        return None if row is None else instant_or_none(row["at"])

    def due_before(self, until: datetime) -> DueBefore:
        """Count what was due at or before an instant, and what is in flight."""
        row = self._first("due_before", {"until": micros(until)}) or {}
        return DueBefore(int(row["deliveries"]), int(row["in_flight"]), int(row["schedules"]))

    def leave_ids_out(self, *, least: int, most: int) -> list[IdsLeftOut]:
        """Move the counter of each table that numbers its rows past as many ids as it has given out."""
        from promptyoself.storage.move import TABLES

        numbered = [table.name for table in TABLES if table.is_numbered]
        found = self._rows("ids_given_out", {"tables": rows.json_array(numbered)})
        given_out = {str(row["name"]): int(row["last"]) for row in found}
        left_out = []
        for table in numbered:
            was = given_out.get(table, 0)
            left_out.append(IdsLeftOut(table, was, was + min(max(was, least), most)))
            self._give_out_from(table, left_out[-1].now)
        return left_out

    def _give_out_from(self, table: str, last: int) -> None:
        if not self._change("give_out_from", {"table": table, "last": last}):
            self._change("give_out_first", {"table": table, "last": last})


def in_use_until_of(row: Row) -> datetime:
    """Return the entry in `meta` as the instant."""
    return instant(int(row["value"]))
