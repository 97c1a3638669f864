"""What one process has seen of deliveries since it began, for /metrics: of `serve`, and of a worker's health port."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from promptyoself.application.passes import Entry

TEXT_FORMAT: Final = "text/plain; version=0.0.4; charset=utf-8"
"""The media type of `exposition`."""
REPORTS: Final = (
    "promptyoself_delivery_reports",
    "What this process reported of deliveries: one is reported when accepted and again at its end.",
)
RETRIES: Final = "promptyoself_retries", "Attempts that are to be repeated."
LATENESS: Final = "promptyoself_lateness_seconds", "Arrival minus fire time."
RECORD: Final = (
    "promptyoself_record_seconds",
    "From a target's answer to the commit of what it came to: a node that dies in between repeats what was answered.",
)
RECORD_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
LATENESS_BOUNDS_S: Final = (
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    900.0,
    3600.0,
    21600.0,
    86400.0,
)


class Histogram:
    """Counts of values by upper bounds; the last counts what is beyond all."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def note(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return the cumulated counts as Prometheus wants them: `le`, and how many were not more."""
        found: list[tuple[str, float]] = []
        so_far = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            so_far += count
            found.append((bound, float(so_far)))
        return found


class Deliveries:
    """What this process's engine has reported since it began."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """Reports by target and outcome."""
        self.retries = 0
        self.lateness = Histogram(LATENESS_BOUNDS_S)
        self.records = Histogram(RECORD_BOUNDS_S)

    def note(self, entry: Entry) -> None:
        """Count a report of the engine; cheap, for it is called in the event loop."""
        self.outcomes[entry.delivery.target, entry.outcome] += 1
        if entry.outcome == "retrying":
            self.retries += 1
        if entry.recorded_in_s is not None:
            self.records.note(entry.recorded_in_s)
        lateness = entry.delivery.lateness
        if entry.delivery.state.is_final and lateness is not None:
            self.lateness.note(max(0.0, lateness.total_seconds()))


def exposition(seen: Deliveries) -> str:
    """Return it in Prometheus's text format (TEXT_FORMAT), without the library: a worker has not got it.

    Source: prometheus.io, "Exposition formats", version 0.0.4.
    """
    return "".join(f"{line}\n" for line in _lines(seen))


def _lines(seen: Deliveries) -> Iterator[str]:
    yield from _head(*REPORTS, kind="counter", ending="_total")
    for (target, outcome), count in sorted(seen.outcomes.items()):
        yield f'{REPORTS[0]}_total{{target="{_quoted(target)}",outcome="{_quoted(outcome)}"}} {float(count)}'
    yield from _head(*RETRIES, kind="counter", ending="_total")
    yield f"{RETRIES[0]}_total {float(seen.retries)}"
    yield from _histogram(*LATENESS, seen.lateness)
    yield from _histogram(*RECORD, seen.records)


def _histogram(name: str, said: str, values: Histogram) -> Iterator[str]:
    yield from _head(name, said, kind="histogram")
    buckets = values.buckets()
    for bound, reached in buckets:
        yield f'{name}_bucket{{le="{bound}"}} {reached}'
    yield f"{name}_count {buckets[-1][1]}"
    yield f"{name}_sum {values.total}"


def _head(name: str, said: str, *, kind: str, ending: str = "") -> Iterator[str]:
    yield f"# HELP {name}{ending} {said}"
    yield f"# TYPE {name}{ending} {kind}"


def _quoted(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
