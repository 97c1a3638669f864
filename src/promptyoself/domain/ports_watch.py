"""The part of the port `Tx` by which a running service is watched."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol


class WatchTx(Protocol):
    """What a transaction can tell of the work at hand."""

    def lane_counts(self, *, now: datetime) -> Mapping[str, int]:
        """Count lanes: `held` (somebody works on them), `due` (free, and something to do), `waiting`, `idle`."""
        ...
