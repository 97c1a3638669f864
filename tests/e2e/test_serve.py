"""The service as a process: it answers and delivers, ends in good order, and fails as a whole."""

from __future__ import annotations

import json
import signal
import socket
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from promptyoself.domain import limits
from tests.e2e.service import Service, limits_of, pace_of, read_to_end
from tests.e2e.stage import Stage, assert_each_arrived_once, one_object, wait_for

pytestmark = pytest.mark.slow

SOON = limits_of(doors_stop_for=1)
HUNG = """
import threading
from promptyoself.interfaces import cli_preview
cli_preview.preview = lambda call: threading.Event().wait()
"""
QUICK = limits_of(lease=6, lease_renew_every=1, heartbeat_every=1, settle_max=1) + pace_of(absent_after_s=3)
IMPATIENT = limits_of(store_gone_for=1, heartbeat_every=0.3)
_POST = "POST {path} HTTP/1.1\nHost: localhost\n{auth}\nContent-Type: application/json\nContent-Length: {length}\n\n"


def _post(path: str, body: str, *, missing: int = 0) -> str:
    return _POST.replace("{path}", path).replace("{length}", str(len(body) + missing)) + body


def test_it_delivers_and_ends_in_good_order_whatever_is_open(stage: Stage) -> None:
    receiver = stage.receiver()
    stage.add_due([("agent-1", "hello")], first=datetime.now(UTC) - timedelta(seconds=5), apart=timedelta(seconds=1))
    service = Service(stage, program=SOON + HUNG)
    wait_for("the prompt", lambda: receiver.arrivals(), within_s=30)  # noqa: PLW0108  read anew each time

    with ExitStack() as stack:
        stream = stack.enter_context(service.events())
        slow, hung = (
            stack.enter_context(service.raw(head))
            for head in (
                _post("/api/v1/schedules", "{", missing=99),
                _post("/api/v1/preview", '{"every": "1h"}'),
            )
        )
        # Answered on a connection of its own, after both: they have been taken up.
        assert service.ask("GET", "/readyz").status == 200
        service.process.signal(signal.SIGTERM)
        begun_s = time.monotonic()
        assert b": closing" in read_to_end(stream)
        assert b"timed_out" in read_to_end(hung), "who waits for what hangs is told"
        assert service.process.wait(within_s=20) == 0, service.process.stderr
        assert time.monotonic() - begun_s < limits.END_FOR.total_seconds()
        read_to_end(slow)

    answer = one_object(service.process.stdout)
    assert (answer["status"], answer["url"], answer["count"]) == ("success", service.url, 1)
    assert "process.threads_left count=1" in service.process.stderr
    assert "Traceback" not in service.process.stderr
    assert_each_arrived_once(receiver.arrivals(), ["hello"])


def test_two_serve_one_database_and_a_killed_one_is_taken_over(stage: Stage) -> None:
    receiver = stage.receiver(manners={"*": {"run_s": 0.3}})
    first = Service(stage, program=QUICK)
    second = Service(stage, program=QUICK)
    assert first.token == second.token
    texts = [f"prompt {number}" for number in range(40)]
    due = [(f"agent-{number % 20}", text) for number, text in enumerate(texts)]
    stage.add_due(due, first=datetime.now(UTC) - timedelta(seconds=5), apart=timedelta(milliseconds=1))
    wait_for("both at work", lambda: receiver.count("read") > 5, within_s=30)
    first.process.signal(signal.SIGKILL)

    wait_for("all delivered", lambda: stage.states() == {"delivered": 40} or None, within_s=90)
    assert second.ask("GET", "/readyz").status == 200
    second.process.signal(signal.SIGINT)
    assert second.process.wait(within_s=30) == 0, second.process.stderr
    assert_each_arrived_once(receiver.arrivals(), texts)


def test_a_database_that_is_gone_ends_it_with_an_error(stage: Stage) -> None:
    service = Service(stage, program=IMPATIENT)

    stage.db.rename(stage.db.with_name("away.db"))

    answer = service.process.answer(within_s=60)
    assert (service.process.wait(), answer["code"]) == (1, "store_gone")
    assert "restart promptyoself" in answer["hint"]
    assert not stage.db.exists(), "nothing is made in its place behind anybody's back"


def test_where_it_may_not_listen_it_ends_before_anything_starts(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        started = [
            stage.start("serve", "--port", str(taken.getsockname()[1])),
            stage.start("serve", "--port", "0", "--host", "0.0.0.0"),  # noqa: S104  to be refused
        ]
        in_use, insecure = (one.answer() for one in started)

    assert (in_use["code"], insecure["code"]) == ("config", "config")
    assert "in use" in in_use["error"]
    assert "--port" in in_use["hint"]
    assert json.dumps(insecure).count("--allow-plain-http")
    assert not stage.db.exists()
