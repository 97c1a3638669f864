"""A plain answer is read as it is; anything else is asked for again in another way."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from promptyoself.targets.letta_check import check_agent
from promptyoself.targets.letta_settings import LettaSettings
from promptyoself.targets.plain_http import PlainAnswer, get

AGENT = b'{"id": "agent-1", "name": "one"}'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(AGENT), AGENT)


@contextmanager
def server(*answers: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Answer each connection with the next of `answers`; yield the port and what was asked."""
    asked: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(20)

    def serve() -> None:
        for answer in answers:
            connection, _ = listening.accept()
            with connection:
                asked.append(connection.recv(65536))
                connection.sendall(answer)

    thread = Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1], asked
    finally:
        thread.join(20)
        listening.close()


def ask(port: int, *, bytes_max: int = 1000) -> PlainAnswer | None:
    return get("127.0.0.1", port, "/v1/x", {"Authorization": "Bearer k"}, timeout_s=5, bytes_max=bytes_max)


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nContent-Length: 2", b"HTTP/1.0 200 OK\r\ncontent-length: 2", b"HTTP/1.0 200 OK"]
)
def test_a_plain_answer_is_read(head: bytes) -> None:
    with server(head + b"\r\n\r\n{}") as (port, asked):
        assert ask(port) == PlainAnswer(200, b"{}")
    assert asked[0].startswith(b"GET /v1/x HTTP/1.0\r\nHost: 127.0.0.1:")
    assert b"\r\nAuthorization: Bearer k\r\n" in asked[0]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n{}",
        CHUNKED,
    ],
)
def test_what_is_not_plain_is_none(answer: bytes) -> None:
    with server(answer) as (port, _):
        assert ask(port) is None


def test_too_much_is_none() -> None:
    with server(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 100_000) as (port, _):
        assert ask(port, bytes_max=10) is None


def test_a_server_that_sends_chunks_all_the_same_is_understood() -> None:
    with server(CHUNKED, CHUNKED) as (port, asked):
        found = check_agent(LettaSettings(base_url=f"http://127.0.0.1:{port}/prefix"), "agent-1", timeout_s=10)
    assert found.id == "agent-1"
    assert [request.split(b"\r\n")[0][-3:] for request in asked] == [b"1.0", b"1.1"]
    assert all(request.startswith(b"GET /prefix/v1/agents/agent-1 ") for request in asked)
