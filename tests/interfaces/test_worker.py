"""`worker`: hands without doors, for a fleet alone; whoever watches it may ask at a port of this machine."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from promptyoself.application.passes import Entry
from promptyoself.domain import limits
from promptyoself.domain.errors import ConfigError, StoreError
from promptyoself.domain.models import DeliveryState, Executor
from promptyoself.interfaces.health_port import HealthPort, listen, url_of
from promptyoself.interfaces.http.metrics import Snapshot, exposition
from promptyoself.interfaces.http.traffic import Traffic
from promptyoself.interfaces.readiness import Readiness
from promptyoself.interfaces.seen import Deliveries
from tests.factories import NOW, a_delivery, a_schedule
from tests.interfaces.fleet import FakeFleet
from tests.interfaces.world import Door, FakeServices


def beat(services: FakeServices, *, host: str = "here") -> None:
    now = services.clock.now()
    with services.store.transaction() as tx:
        tx.heartbeat(
            Executor(id="me", host=host, pid=os.getpid(), version="1", mode="worker", started_at=now, heartbeat_at=now)
        )


@pytest.fixture
def services(tmp_path: Path) -> FakeServices:
    services = FakeServices(tmp_path)
    services.fleet = FakeFleet()
    beat(services)
    return services


def asked(services: FakeServices, *requests: str, delivers: bool = True) -> list[tuple[int, str]]:
    """Return status and word of the answer to each request, which stands as it is sent."""

    def read(answer: bytes) -> tuple[int, str]:
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), json.loads(body)["status"] if body else ""

    return [read(answer) for answer in answers(services, *requests, delivers=delivers)]


def answers(
    services: FakeServices, *requests: str, delivers: bool = True, seen: Deliveries | None = None
) -> list[bytes]:
    """Return the answer to each request, whole."""

    async def ask(port: int, request: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request.encode())
        try:
            return await reader.read()
        finally:
            writer.close()

    async def all_of_them() -> list[bytes]:
        health = HealthPort(Readiness(services, delivers=delivers), seen or Deliveries())
        listening = listen(0)
        await health.open(listening)
        try:
            return [await ask(int(url_of(listening).rpartition(":")[2]), request) for request in requests]
        finally:
            await health.close()

    return asyncio.run(asyncio.wait_for(all_of_them(), 30))


def ready(services: FakeServices, *, delivers: bool = True) -> tuple[int, str]:
    (answer,) = asked(services, "GET /readyz HTTP/1.1\r\n\r\n", delivers=delivers)
    return answer


def test_it_answers_its_questions_and_nothing_else(services: FakeServices) -> None:
    assert asked(
        services,
        "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        "HEAD /healthz HTTP/1.0\r\n\r\n",
        "GET /readyz?verbose HTTP/1.1\r\n\r\n",
        "GET /dashboard HTTP/1.1\r\n\r\n",
        "POST /healthz HTTP/1.1\r\n\r\n",
        "nonsense\r\n\r\n",
    ) == [(200, "ok"), (200, ""), (200, "ready"), (404, "not found"), (405, "method not allowed"), (400, "bad request")]


def test_it_is_ready_as_serve_is(services: FakeServices) -> None:
    fleet = services.fleet
    assert isinstance(fleet, FakeFleet)
    assert ready(services) == (200, "ready")
    fleet.clock_offset = limits.HOST_CLOCK_OFF_MAX + timedelta(seconds=1)
    assert ready(services) == (200, "degraded")
    fleet.error = StoreError("the database is away")
    assert ready(services) == (503, "unready")


def test_another_hosts_heartbeat_under_our_pid_is_not_ours(services: FakeServices) -> None:
    beat(services, host="another")
    assert ready(services) == (503, "unready")


def test_its_metrics_are_what_serve_says_of_the_same_deliveries(services: FakeServices) -> None:
    seen, schedule = Deliveries(), a_schedule()
    arrived = {"planned_at": NOW - timedelta(minutes=1), "accepted_at": NOW}
    for outcome, changes in (
        ("retrying", {"target": 'the "old" C:\\new\n'}),
        ("accepted", {"state": DeliveryState.ACCEPTED, **arrived}),
        ("delivered", {"state": DeliveryState.DELIVERED, **arrived}),
    ):
        delivery = a_delivery(schedule, **changes)
        took_s = 0.3 if outcome == "accepted" else None
        entry = Entry(
            delivery=delivery, schedule=schedule, outcome=outcome, attempt=1, error=None, recorded_in_s=took_s
        )
        seen.note(entry)
    (answer,) = answers(services, "GET /metrics HTTP/1.1\r\n\r\n", seen=seen)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"HTTP/1.1 200 " in head
    assert b"\r\nContent-Type: text/plain; version=0.0.4" in head
    nothing = Snapshot(rows={}, lanes={}, due_lag_s=0, breakers={}, is_stopped=False, executors={}, tokens=None)
    there = bytes(exposition(nothing, seen, Traffic()).body).decode()
    families = {family.name: family for family in text_string_to_metric_families(there)}
    for family in text_string_to_metric_families(body.decode()):
        assert family == families[family.name]
    assert {
        'promptyoself_lateness_seconds_bucket{le="60.0"} 1.0', "promptyoself_retries_total 1.0",
        'promptyoself_record_seconds_bucket{le="0.25"} 0.0', 'promptyoself_record_seconds_bucket{le="0.5"} 1.0',
        "promptyoself_record_seconds_count 1.0", "promptyoself_record_seconds_sum 0.3",
    } <= set(body.decode().splitlines())  # fmt: skip


def test_a_port_in_use_is_refused_before_anything_else(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.services.fleet = FakeFleet()
    door.services.delays = ["it was asked for a database"]
    with listen(0) as taken:
        answer = door.call("worker", "--health-port", str(taken.getsockname()[1]))
    assert (answer.code, answer.json["code"]) == (1, "config")
    assert "--health-port" in answer.json["error"]
    assert answer.err == ""
    assert door.services.ran is None


def test_a_number_that_is_no_port_is_refused() -> None:
    with pytest.raises(ConfigError, match="is no port"):
        listen(70_000)


def test_a_worker_is_for_a_fleet(tmp_path: Path) -> None:
    refused = Door(tmp_path).refused("worker")
    assert refused["code"] == "config"
    assert "serve" in refused["error"]
    assert "postgresql://" in refused["error"]


def test_it_says_why_it_waits(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.services.fleet = FakeFleet()
    door.services.delays = ["it does not answer"]
    for words in (("worker",), ("execute", "--loop"), ("serve", "--port", "0")):
        assert door.call(*words).err.startswith(f"{words[0]}.waiting reason='it does not answer'")


def test_it_says_what_it_did(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.services.fleet = FakeFleet()
    answer = door.call("worker", "--concurrency", "7", "--health-port", "0")
    assert (answer.code, answer.json["clean"], answer.json["count"]) == (0, True, 0)
    assert door.services.ran == ("worker", True, 7)
    first, second = answer.err.splitlines()
    assert first.startswith("worker.health url=http://127.0.0.1:")
    assert second.startswith("worker.started host=here database=")


def test_it_does_not_say_that_it_has_started_when_it_has_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(tmp_path)
    door.services.fleet = FakeFleet()

    def fail(*_: object, **__: object) -> None:
        raise ConfigError("another PgQueuer is installed")

    monkeypatch.setattr(door.services, "run_with_doors", fail)
    answer = door.call("worker")
    assert answer.code == 1
    assert "worker.started" not in answer.err
