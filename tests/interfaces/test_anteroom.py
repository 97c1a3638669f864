"""While a node waits for its database: it lives, it is not ready, and whoever calls is told so at once."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptyoself.interfaces.anteroom import Anteroom
from promptyoself.interfaces.health_port import listen
from promptyoself.interfaces.http.problem import problem_response
from promptyoself.interfaces.small_server import word
from tests.interfaces.fleet import FakeFleet
from tests.interfaces.test_listening import make_pem
from tests.interfaces.world import Door
from tests.ports import free_port

OTHERWISE = word(503, "not yet")


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    with listen(0) as listening:
        yield listening


def asked(
    port: int, path: str, *, method: str = "GET", body: bytes = b"", tls: Path | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    if tls is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    else:
        trusted = ssl.create_default_context(cafile=tls)
        connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=trusted)
    connection.request(method, path, body or None)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def test_it_lives_and_is_not_ready(taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    with Anteroom(taken, otherwise=OTHERWISE):
        alive, _ = asked(port, "/healthz")
        ready, found = asked(port, "/readyz?verbose")
        # A body that nobody reads, larger than what fits on the way, does not cost the caller the answer.
        other, said = asked(port, "/api/v1/schedules", method="POST", body=b"x" * 8_000_000)
    assert (alive.status, ready.status, other.status) == (200, 503, 503)
    (check,) = json.loads(found)["checks"]
    assert (json.loads(found)["status"], check["name"], check["result"]) == ("unready", "database", "fail")
    assert check["cure"]
    assert said == OTHERWISE.body


def test_who_comes_after_has_the_socket(taken: socket.socket) -> None:
    with Anteroom(taken, otherwise=OTHERWISE):
        pass
    with socket.create_connection(taken.getsockname(), timeout=20):
        taken.settimeout(20)
        accepted, _ = taken.accept()
        accepted.close()


def test_it_speaks_tls_where_the_service_will(taken: socket.socket, tmp_path: Path) -> None:
    cert, key = make_pem(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with Anteroom(taken, otherwise=OTHERWISE, tls=context):
        answer, _ = asked(taken.getsockname()[1], "/readyz", tls=cert)
    assert answer.status == 503


def test_serve_and_worker_answer_while_they_wait(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.services.fleet = FakeFleet()
    door.services.delays = ["it does not answer"]
    port = free_port()
    heard: list[tuple[int, int, http.client.HTTPResponse, bytes]] = []

    def ask() -> None:
        alive, ready = (asked(port, path)[0].status for path in ("/healthz", "/readyz"))
        heard.append((alive, ready, *asked(port, "/api/v1/schedules")))

    door.services.while_waiting = ask
    door.call("worker", "--health-port", str(port))
    door.services.fleet = None  # the fake one has no notices for its streams
    door.call("serve", "--port", str(port))
    assert [one[:2] for one in heard] == [(200, 503)] * 2
    _, _, answer, content = heard[1]
    problem = json.loads(content)
    assert (answer.status, problem["status"], problem["code"]) == (503, 503, "store_unreachable")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "3"
    of_the_service = problem_response(
        problem["detail"], status=503, code="store_unreachable", hint=problem["hint"], headers={"Retry-After": "3"}
    )
    assert json.loads(bytes(of_the_service.body)) == problem
