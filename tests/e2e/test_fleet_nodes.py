"""A fleet as processes on one PostgreSQL: a worker is killed, one told to stop, the server is stopped and started."""

from __future__ import annotations

import json
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from promptyoself.domain.models import DeliveryState
from tests.e2e.fleet import FleetStage, skewed
from tests.e2e.service import Service, limits_of, pace_of
from tests.e2e.stage import assert_each_arrived_once, assert_never_two_at_once, by_agent, one_object, wait_for
from tests.postgres.server import PostgresServer

pytestmark = pytest.mark.slow

QUICK = limits_of(fleet_lease=3, settle_max=1) + pace_of(absent_after_s=3)


@pytest.fixture
def fleet(postgres_url: str, tmp_path: Path) -> Iterator[FleetStage]:
    with FleetStage(tmp_path, postgres_url) as made:
        yield made


def ready(url: str) -> tuple[int, str]:
    """Return what a worker's /readyz answers."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=30) as answer:  # noqa: S310  ours, on loopback
            return answer.status, json.load(answer)["status"]
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)["status"]


def test_many_hands_deliver_once_and_in_order_though_one_is_killed(fleet: FleetStage) -> None:
    receiver = fleet.receiver(manners={"*": {"answer_s": 0.05}})
    # The clock of one host is wrong, where this machine can pretend so: it makes no difference but what is said of it.
    wrong = skewed("-5m")
    first, second = fleet.worker(program=QUICK), fleet.worker(program=QUICK, env=wrong)
    doors = Service(fleet, "--no-deliveries")
    fleet.wait_for_workers(first, second)
    agents = [f"agent-{number}" for number in range(6)]
    prompts = [(agent, f"{agent} {number}") for number in range(8) for agent in agents]
    fleet.add_due(prompts, first=datetime.now(UTC) - timedelta(minutes=5), apart=timedelta(milliseconds=10))
    made = doors.ask("POST", "/api/v1/schedules", {"agent_id": "agent-0", "prompt": "by a door", "time": "in 1 second"})
    assert made.status == 201, made
    fleet.register("agent-0", "by hand", "--time", "in 1 second", "--skip-validation")
    texts = [text for _, text in prompts] + ["by a door", "by hand"]

    wait_for("some prompts", lambda: receiver.count("read") >= 12, within_s=60)
    first.process.signal(signal.SIGKILL)
    wait_for(
        f"all prompts; {second.process.stderr[-2000:]}",
        lambda: {one.text for one in receiver.arrivals()} >= set(texts),
        within_s=60,
    )
    wait_for("all ends", lambda: fleet.states()[DeliveryState.DELIVERED] == len(texts), within_s=60)

    arrivals = receiver.arrivals()
    assert_never_two_at_once(arrivals)
    for agent, came in by_agent(arrivals).items():
        told = list(dict.fromkeys(one.text for one in came))
        assert [text for text in told if text.startswith(agent)] == [f"{agent} {number}" for number in range(8)]
    assert ("clock.host_off" in second.process.stderr) == bool(wrong)
    second.process.signal(signal.SIGTERM)
    doors.process.signal(signal.SIGTERM)
    assert second.process.wait(within_s=30) == 0, second.process.stderr
    assert one_object(second.process.stdout)["clean"] is True
    assert doors.process.wait(within_s=30) == 0, doors.process.stderr
    assert one_object(doors.process.stdout)["count"] == 0, "doors alone deliver nothing"


def test_a_worker_that_is_told_to_stop_finishes_what_it_has_begun(fleet: FleetStage) -> None:
    receiver = fleet.receiver(manners={"*": {"answer_s": 1.0}})
    worker = fleet.worker()
    fleet.wait_for_workers(worker)
    prompts = [(f"agent-{number}", f"text {number}") for number in range(4)]
    fleet.add_due(prompts, first=datetime.now(UTC) - timedelta(minutes=1), apart=timedelta(seconds=1))
    wait_for("requests", lambda: receiver.count("begun") >= 4, within_s=30)
    worker.process.signal(signal.SIGTERM)
    assert worker.process.wait(within_s=30) == 0, worker.process.stderr
    answer = one_object(worker.process.stdout)
    assert (answer["clean"], answer["count"]) == (True, 4)
    assert re.search(r"(?s)worker\.health .*\nworker\.started host=.* database=postgresql://", worker.process.stderr)
    assert_each_arrived_once(receiver.arrivals(), [text for _, text in prompts])
    assert fleet.states().keys() <= {DeliveryState.ACCEPTED, DeliveryState.DELIVERED}


def test_a_server_that_is_stopped_and_started_is_waited_for_by_all(tmp_path: Path) -> None:
    with PostgresServer() as server, FleetStage(tmp_path, server.new_database()) as fleet:
        receiver = fleet.receiver()
        worker, service = fleet.worker(), Service(fleet)
        fleet.wait_for_workers(worker)
        server.stop()
        wait_for("the worker to say so", lambda: ready(worker.health) == (503, "unready"), within_s=20)
        refused = service.ask("GET", "/api/v1/schedules")
        assert (refused.status, refused.headers["content-type"]) == (503, "application/problem+json")
        assert refused.body["code"] == "store_unreachable"
        server.start()
        back_s = time.monotonic()
        # At once, and by itself: nobody asks any of them.
        fleet.add_due([("agent-1", "after")], first=datetime.now(UTC) - timedelta(seconds=1), apart=timedelta(0))
        wait_for(f"the prompt; {worker.process.stderr[-2000:]}", lambda: receiver.count("read"), within_s=30)
        took_s = time.monotonic() - back_s
        assert took_s < 5, took_s
        wait_for("the worker to be well", lambda: ready(worker.health)[0] == 200, within_s=20)
        assert service.ask("GET", "/api/v1/schedules").status == 200
        assert worker.process.is_alive
        assert service.process.is_alive
        assert_each_arrived_once(receiver.arrivals(), ["after"])
