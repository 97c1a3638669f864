"""Where a running service answers: its heartbeat says so, to people and to the commands that call it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from promptyoself.domain.models import Executor
from promptyoself.interfaces.advice import running_warnings, service_address
from tests.interfaces.world import NOW

if TYPE_CHECKING:
    from tests.interfaces.world import Door


def beat(door: Door, uid: str, *, address: str | None, ago: timedelta = timedelta(0)) -> None:
    at = NOW - ago
    one = Executor(
        id=uid, host="h", pid=1, version="0.1.0", mode="serve", started_at=at, heartbeat_at=at, address=address
    )
    with door.services.store.transaction() as tx:
        tx.heartbeat(one)


def test_nobody_answers_where_nothing_runs(door: Door) -> None:
    beat(door, "loop", address=None)
    beat(door, "gone", address="http://127.0.0.1:1", ago=timedelta(hours=1))
    assert service_address(door.services) is None


def test_doctor_and_the_commands_that_call_it_find_a_service(door: Door) -> None:
    beat(door, "older", address="http://127.0.0.1:2", ago=timedelta(seconds=5))
    beat(door, "newer", address="http://127.0.0.1:3")
    assert service_address(door.services) == "http://127.0.0.1:3"
    checks = {one["name"]: one["found"] for one in door.call("doctor").json["checks"]}
    assert "the service answers at http://127.0.0.1:3" in checks["executor"]


def test_doors_without_an_engine_are_found_and_deliver_nothing(door: Door) -> None:
    now = door.services.clock.now()
    with door.services.store.transaction() as tx:
        doors = Executor(
            id="d", host="h", pid=1, version="1", mode="doors", started_at=now, heartbeat_at=now, address="http://d"
        )
        tx.heartbeat(doors)
        assert "nothing is running" in running_warnings(tx, now=now)[0]
    assert service_address(door.services) == "http://d"
