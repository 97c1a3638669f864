"""What is watched of a running service: the port `WatchTx`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from promptyoself.storage.rows import micros
from promptyoself.storage.statements import Statements


class WatchStatements(Statements):
    """See `WatchTx` for what each method promises."""

    def lane_counts(self, *, now: datetime) -> Mapping[str, int]:
        """Count lanes by what becomes of them now."""
        found = {str(row["state"]): int(row["lanes"]) for row in self._rows("lane_counts", {"now": micros(now)})}
        return dict.fromkeys(("held", "due", "waiting", "idle"), 0) | found
