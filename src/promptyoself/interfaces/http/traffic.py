"""What went in and out of the HTTP door, counted in memory for /metrics."""

from __future__ import annotations

from collections import Counter
from typing import Final

from promptyoself.interfaces.seen import Histogram

BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper ends of the histogram of durations, in seconds."""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Traffic:
    """Requests by method and status, and how long they took. Paths are left out: they would be without number."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.durations = Histogram(BOUNDS_S)

    def note(self, method: str, status: int, took_s: float) -> None:
        """Count one request; status 0: it was broken off before its answer began."""
        self.requests[method if method in METHODS else "other", status] += 1
        self.durations.note(took_s)
