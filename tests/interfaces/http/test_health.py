"""Health, readiness and metrics: what is wrong is said in words, and to whom it concerns."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from promptyoself.application.passes import Entry
from promptyoself.domain import limits
from promptyoself.domain.errors import StoreFull
from promptyoself.domain.models import DeliveryState, Executor, StopSwitch, TargetHealth
from promptyoself.interfaces.http.app import Parts, make_app
from promptyoself.interfaces.http.parts import parts_of
from tests.factories import a_delivery, a_new_delivery, a_new_schedule, a_schedule
from tests.interfaces.fleet import FakeFleet
from tests.interfaces.http.conftest import NamedKeeper, client_of
from tests.interfaces.world import NOW, FakeServices

if TYPE_CHECKING:
    from fastapi import FastAPI

LATER = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def running(services: FakeServices) -> None:
    """This process's scheduler has stored its heartbeat, and nothing is due."""
    beat(services)


def beat(services: FakeServices, *, pid: int | None = None) -> None:
    now = services.clock.now()
    with services.store.transaction() as tx:
        tx.heartbeat(
            Executor(
                id="here",
                host="here",
                pid=os.getpid() if pid is None else pid,
                version="1",
                mode="serve",
                started_at=now,
                heartbeat_at=now,
            )
        )


def look(services: FakeServices, client: TestClient) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Ask anew; return the status, the whole answer, and its checks by name."""
    services.clock.at += limits.READINESS_KEPT_FOR
    answer = client.get("/readyz")
    found = answer.json()
    return answer.status_code, found, {check["name"]: check for check in found["checks"]}


def test_all_is_well(services: FakeServices, client: TestClient) -> None:
    status, found, checks = look(services, client)

    assert (status, found["status"]) == (200, "ready")
    assert list(checks) == ["clock", "database", "scheduler", "planner", "lanes", "breaker", "stop switch"]
    assert {check["result"] for check in checks.values()} == {"ok"}


def unready(services: FakeServices, client: TestClient, name: str) -> str:
    status, found, checks = look(services, client)
    assert (status, found["status"], checks[name]["result"]) == (503, "unready", "fail")
    assert checks[name]["cure"]
    return str(checks[name]["found"])


def degraded(services: FakeServices, client: TestClient, name: str) -> str:
    status, found, checks = look(services, client)
    assert (status, found["status"], checks[name]["result"]) == (200, "degraded", "warn"), found
    assert checks[name]["cure"]
    return str(checks[name]["found"])


def test_a_scheduler_that_no_longer_writes(services: FakeServices, client: TestClient) -> None:
    services.clock.at += limits.EXECUTOR_ALIVE_FOR

    assert "no heartbeat for 30 s" in unready(services, client, "scheduler")


def test_the_heartbeat_of_another_process_is_no_sign_of_ours(services: FakeServices, client: TestClient) -> None:
    beat(services, pid=os.getpid() + 1)

    assert "no heartbeat" in unready(services, client, "scheduler")


def test_a_planner_that_is_late(services: FakeServices, client: TestClient) -> None:
    with services.store.transaction() as tx:
        tx.add_schedule(a_new_schedule(next_fire_at=NOW - LATER))

    assert "since 61 s and not planned" in unready(services, client, "planner")


def test_lanes_that_are_stuck(services: FakeServices, client: TestClient) -> None:
    due = NOW - limits.LANE_STUCK - LATER
    with services.store.transaction() as tx:
        stored = tx.add_schedule(a_new_schedule(target="inbox"))
        tx.add_delivery(a_new_delivery(stored, target="inbox", fire_at=due), retry_until=NOW + LATER)

    assert "1 agents have had something due for 5 minutes" in unready(services, client, "lanes")


def test_a_database_that_cannot_be_written(
    services: FakeServices, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise StoreFull("the disk is full", hint="make room")

    monkeypatch.setattr(services.store, "transaction", full)

    assert unready(services, client, "database") == "the disk is full"


def test_where_no_heartbeat_can_be_stored_it_says_why(services: FakeServices, client: TestClient) -> None:
    """The lock can be had, and a row not written: of a database that was moved, or of a user who may only read."""
    with closing(sqlite3.connect(services.store.location)) as connection:
        connection.execute("CREATE TRIGGER no BEFORE INSERT ON executors BEGIN SELECT RAISE(ABORT, 'not here'); END")
    assert look(services, client)[0] == 200
    services.clock.at += limits.EXECUTOR_ALIVE_FOR

    assert "not here" in unready(services, client, "database")


def test_a_clock_that_was_set(services: FakeServices, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    look(services, client)
    steady = services.clock.monotonic()
    monkeypatch.setattr(services.clock, "monotonic", lambda: steady + 1)
    services.clock.at += timedelta(seconds=20)

    assert "set by +20 s" in degraded(services, client, "clock")


def test_an_open_breaker_and_the_switch_hold_deliveries_up(services: FakeServices, client: TestClient) -> None:
    with services.store.transaction() as tx:
        tx.save_target_health(TargetHealth(target="letta", is_open=True, reason="refused", since=NOW))
        tx.set_stop_switch(StopSwitch(reason="holiday", since=NOW, until=None))

    assert "letta refuses everybody since 09:00 UTC: refused" in degraded(services, client, "breaker")
    assert "stopped: holiday" in degraded(services, client, "stop switch")


def test_lanes_behind_an_open_breaker_are_not_stuck(services: FakeServices, client: TestClient) -> None:
    due = NOW - limits.LANE_STUCK - LATER
    with services.store.transaction() as tx:
        stored = tx.add_schedule(a_new_schedule(target="letta"))
        tx.add_delivery(a_new_delivery(stored, fire_at=due), retry_until=NOW + LATER)
        tx.save_target_health(TargetHealth(target="letta", is_open=True, reason="refused", since=NOW))

    degraded(services, client, "breaker")


def test_many_who_ask_cost_one_look(
    services: FakeServices, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(services, client)
    monkeypatch.setattr(services.store, "transaction", None)

    assert client.get("/readyz").status_code == 200


def test_who_may_see_what(services: FakeServices, app: FastAPI) -> None:
    with services.store.transaction() as tx:
        tx.set_stop_switch(StopSwitch(reason="secret plans", since=NOW, until=None))
    here = TestClient(app, "http://localhost", client=("127.0.0.1", 1))
    elsewhere, agent = client_of(app, None), client_of(app, "agent-1")

    assert here.get("/readyz").json() == {"status": "degraded"}
    assert here.get("/healthz").json() == elsewhere.get("/healthz").json() == {"status": "ok"}
    assert elsewhere.get("/readyz").status_code == 401
    assert agent.get("/readyz").json() == {"status": "degraded"}
    assert (here.get("/metrics").status_code, agent.get("/metrics").status_code) == (401, 403)


def entry(outcome: str, **changes: Any) -> Entry:  # noqa: ANN401  any field of a Delivery
    delivery = a_delivery(a_schedule(), **changes)
    return Entry(delivery=delivery, schedule=a_schedule(), outcome=outcome, attempt=1, error=None)


def test_metrics_say_what_is_stored_and_what_was_seen(services: FakeServices, app: FastAPI, client: TestClient) -> None:
    with services.store.transaction() as tx:
        stored = tx.add_schedule(a_new_schedule(next_fire_at=NOW - LATER))
        tx.add_delivery(a_new_delivery(stored, fire_at=NOW - LATER), retry_until=NOW + LATER)
        tx.save_target_health(TargetHealth(target="letta", is_open=True, reason="refused", since=NOW))
    for one in (
        entry("retrying"),
        entry("accepted", state=DeliveryState.ACCEPTED, accepted_at=NOW),
        entry(
            "delivered",
            state=DeliveryState.DELIVERED,
            planned_at=NOW - LATER,
            accepted_at=NOW,
            finished_at=NOW,
        ),
    ):
        for watch in parts_of(app).watchers:
            watch(one)

    client.get("/nowhere")
    answer = client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain")
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert found["promptyoself_schedules", ("state", "active")] == 1
    assert found["promptyoself_deliveries", ("state", "pending")] == 1
    assert found["promptyoself_lanes", ("state", "due")] == 1
    assert found["promptyoself_due_lag_seconds",] == 60
    assert found["promptyoself_breaker_open", ("target", "letta")] == 1
    assert found["promptyoself_deliveries_stopped",] == 0
    assert found["promptyoself_executors", ("mode", "serve")] == 1
    assert found["promptyoself_delivery_reports_total", ("outcome", "delivered"), ("target", "inbox")] == 1
    assert found["promptyoself_retries_total",] == 1
    assert found["promptyoself_lateness_seconds_bucket", ("le", "60.0")] == 1
    assert found["promptyoself_lateness_seconds_bucket", ("le", "30.0")] == 0
    assert found["promptyoself_lateness_seconds_count",] == 1
    assert found["promptyoself_http_requests_total", ("method", "GET"), ("status", "404")] == 1


def test_metrics_of_a_fleet_count_tokens(services: FakeServices, client: TestClient) -> None:
    services.fleet = FakeFleet()
    text = client.get("/metrics").text
    assert 'promptyoself_lane_tokens{state="picked"} 2.0' in text
    assert 'promptyoself_lane_tokens{state="queued"} 3.0' in text


def test_doors_alone_are_degraded_where_an_engine_would_be_unready(services: FakeServices) -> None:
    with services.store.transaction() as tx:
        tx.add_schedule(a_new_schedule(next_fire_at=NOW - LATER))
    with client_of(make_app(Parts(services, NamedKeeper(), delivers=False))) as client:
        assert "not planned" in degraded(services, client, "planner")
