"""`/metrics` for Prometheus: gauges from the database as it is, counters of what this process has seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import anyio
from starlette.responses import Response
from starlette.routing import Route

from promptyoself import __version__
from promptyoself.application.readiness import due_lag
from promptyoself.domain import limits
from promptyoself.domain.errors import Forbidden
from promptyoself.interfaces.http.asking import asker
from promptyoself.interfaces.http.parts import parts_of, traffic_of
from promptyoself.interfaces.http.traffic import Traffic
from promptyoself.interfaces.seen import LATENESS, RECORD, REPORTS, RETRIES, Deliveries, Histogram

if TYPE_CHECKING:
    from fastapi import FastAPI
    from prometheus_client.metrics_core import Metric
    from starlette.requests import Request

    from promptyoself.interfaces.services import Services


def install(app: FastAPI) -> None:
    """Add /metrics, and count deliveries from now on."""
    parts = parts_of(app)
    app.state.deliveries = seen = Deliveries()
    parts.watchers.append(seen.note)
    app.router.routes.append(Route("/metrics", metrics, include_in_schema=False))


class Snapshot(NamedTuple):
    """What the database says now."""

    rows: Mapping[str, int]
    lanes: Mapping[str, int]
    due_lag_s: float
    breakers: Mapping[str, bool]
    is_stopped: bool
    executors: Mapping[str, int]
    """By mode."""
    tokens: Mapping[str, int] | None
    """Of a fleet, by state."""


async def metrics(request: Request) -> Response:
    """Answer in Prometheus's text format, to operators only."""
    if not (await asker(request)).is_operator:
        raise Forbidden("metrics are for operators", hint="give Prometheus an operator's token")
    services = parts_of(request.app).services
    snapshot = await anyio.to_thread.run_sync(_snapshot, services)
    return exposition(snapshot, request.app.state.deliveries, traffic_of(request.app))


def exposition(snapshot: Snapshot, seen: Deliveries, traffic: Traffic) -> Response:
    """Return the answer to one scrape."""
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector([*_stored(snapshot), *_seen(seen), *_asked(traffic)]))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Collector:
    """Gives what was made for one scrape."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


def _snapshot(services: Services) -> Snapshot:
    fleet = services.fleet
    tokens = None if fleet is None else fleet.state().tokens
    with services.store.reading() as tx:
        now = services.clock.now()
        switch = tx.stop_switch()
        return Snapshot(
            rows=tx.counts(),
            lanes=tx.lane_counts(now=now),
            due_lag_s=due_lag(tx, now=now).total_seconds(),
            breakers={health.target: health.is_open for health in tx.target_health()},
            is_stopped=switch is not None and switch.is_on(now=now),
            executors=Counter(one.mode for one in tx.executors(alive_since=now - limits.EXECUTOR_ALIVE_FOR)),
            tokens=tokens,
        )


def _stored(snapshot: Snapshot) -> Iterable[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    yield _one("promptyoself_info", "The version that runs.", {"version": __version__})
    for noun in ("schedules", "deliveries"):
        family = GaugeMetricFamily(f"promptyoself_{noun}", f"Stored {noun} by state.", labels=["state"])
        for what, count in sorted(snapshot.rows.items()):
            if what.startswith(f"{noun}_"):
                family.add_metric([what.removeprefix(f"{noun}_")], count)
        yield family
    yield _by("promptyoself_lanes", "Agents' queues by what becomes of them.", "state", snapshot.lanes)
    said = "For how long the schedule due the longest has waited to be planned."
    yield GaugeMetricFamily("promptyoself_due_lag_seconds", said, value=snapshot.due_lag_s)
    breakers = GaugeMetricFamily("promptyoself_breaker_open", "1 while a target refuses everybody.", labels=["target"])
    for target, is_open in sorted(snapshot.breakers.items()):
        breakers.add_metric([target], float(is_open))
    yield breakers
    said = "1 while the switch stops all deliveries."
    yield GaugeMetricFamily("promptyoself_deliveries_stopped", said, value=float(snapshot.is_stopped))
    yield _by("promptyoself_executors", "Processes whose heartbeat is fresh.", "mode", snapshot.executors)
    if snapshot.tokens is not None:
        yield _by("promptyoself_lane_tokens", "Tokens that carry lanes to workers.", "state", snapshot.tokens)


def _by(name: str, said: str, label: str, counts: Mapping[str, int]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, said, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family


def _one(name: str, said: str, labels: Mapping[str, str]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, said, labels=list(labels))
    family.add_metric(list(labels.values()), 1.0)
    return family


def _seen(seen: Deliveries) -> Iterable[Metric]:
    from prometheus_client.core import CounterMetricFamily

    outcomes = CounterMetricFamily(*REPORTS, labels=["target", "outcome"])
    for labels, count in sorted(seen.outcomes.items()):
        outcomes.add_metric(list(labels), count)
    yield outcomes
    yield CounterMetricFamily(*RETRIES, value=seen.retries)
    yield _histogram(*LATENESS, seen.lateness)
    yield _histogram(*RECORD, seen.records)


def _asked(traffic: Traffic) -> Iterable[Metric]:
    from prometheus_client.core import CounterMetricFamily

    requests = CounterMetricFamily(
        "promptyoself_http_requests", "Requests by method and status; 0: broken off.", labels=["method", "status"]
    )
    for (method, status), count in sorted(traffic.requests.items()):
        requests.add_metric([method, str(status)], count)
    yield requests
    said = "How long requests took, streams to their end."
    yield _histogram("promptyoself_http_request_seconds", said, traffic.durations)


def _histogram(name: str, said: str, histogram: Histogram) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    return HistogramMetricFamily(name, said, buckets=histogram.buckets(), sum_value=histogram.total)
