"""The service as a process: it answers and delivers, ends in good order, and fails as a whole."""

from __future__ import annotations

import json
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.stage import Process, Stage, assert_each_arrived_once, one_object, wait_for

pytestmark = pytest.mark.slow

_LISTENING = re.compile(r"serve\.listening url=(\S+)")


def serving(stage: Stage, *words: str) -> tuple[Process, str]:
    """Start `serve`; return it and its URL once it answers."""
    made = stage.start("serve", "--port", "0", *words)
    url = wait_for("serve listens", lambda: _url(made), within_s=30)
    assert ask(url, "/healthz")["status"] == "ok"
    return made, url


def _url(made: Process) -> str | None:
    assert made.is_alive, made.stderr
    found = _LISTENING.search(made.stderr)
    return found and found[1]


def ask(url: str, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(url + path, timeout=20) as answer:  # noqa: S310  ours, on loopback
        return one_object(answer.read().decode())


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    place = urlsplit(url)
    assert place.hostname
    assert place.port
    with closing(socket.create_connection((place.hostname, place.port), timeout=20)) as one:
        yield one


def test_it_delivers_and_ends_in_good_order_whatever_is_open(stage: Stage) -> None:
    receiver = stage.receiver()
    stage.add_due([("agent-1", "hello")], first=datetime.now(UTC) - timedelta(seconds=5), apart=timedelta(seconds=1))
    process, url = serving(stage)
    wait_for("the prompt", lambda: receiver.arrivals(), within_s=30)  # noqa: PLW0108  read anew each time

    with connected(url) as idle, connected(url) as slow:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(15) == b"HTTP/1.1 200 OK"
        slow.sendall(b"POST /api/v1/schedules HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        process.signal(signal.SIGTERM)
        assert process.wait(within_s=20) == 0, process.stderr

    answer = one_object(process.stdout)
    assert (answer["status"], answer["url"], answer["count"]) == ("success", url, 1)
    assert "Traceback" not in process.stderr
    assert_each_arrived_once(receiver.arrivals(), ["hello"])


def test_two_serve_one_database_and_a_killed_one_is_taken_over(stage: Stage) -> None:
    receiver = stage.receiver(manners={"*": {"run_s": 0.3}})
    first, _ = serving(stage)
    second, url = serving(stage)
    texts = [f"prompt {number}" for number in range(40)]
    due = [(f"agent-{number % 20}", text) for number, text in enumerate(texts)]
    stage.add_due(due, first=datetime.now(UTC) - timedelta(seconds=5), apart=timedelta(milliseconds=1))
    wait_for("both at work", lambda: receiver.count("read") > 5, within_s=30)
    first.signal(signal.SIGKILL)

    wait_for("all delivered", lambda: stage.states() == {"delivered": 40} or None, within_s=90)
    assert ask(url, "/healthz")["status"] == "ok"
    second.signal(signal.SIGINT)
    assert second.wait(within_s=30) == 0, second.stderr
    assert_each_arrived_once(receiver.arrivals(), texts)


def test_a_port_in_use_is_refused_before_anything_starts(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        answer = stage.call("serve", "--port", str(taken.getsockname()[1]))

    assert answer["code"] == "config"
    assert "in use" in answer["error"]
    assert "--port" in answer["hint"]
    assert not stage.db.exists()


def test_an_insecure_bind_is_refused(stage: Stage) -> None:
    answer = stage.call("serve", "--host", "0.0.0.0", "--port", "0")  # noqa: S104  to be refused

    assert answer["code"] == "config"
    assert json.dumps(answer).count("--allow-plain-http")
