"""`serve` as a process of its own, and a caller that holds its operator's token."""

from __future__ import annotations

import http.client
import json
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final, NamedTuple

from promptyoself.domain import limits
from tests.e2e.stage import PROGRAM, Process, Stage, wait_for

CALL_S_MAX: Final = 60.0
_LISTENING: Final = re.compile(r"serve\.listening url=(\S+)")
_FRAME: Final = re.compile(r"^id: (\d+)\n(event: .+\n)?", re.MULTILINE)


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]


class Service:
    """A running `serve`. It is ended with its stage."""

    def __init__(self, stage: Stage, *words: str, env: Mapping[str, str] | None = None, program: str = "") -> None:
        """Start it and wait until it answers; `program` is Python that runs before it: smaller limits, hung parts."""
        self.process: Final[Process] = stage.start("serve", "--port", "0", *words, env=env, program=program_of(program))
        self.url: Final = wait_for("serve listens", self._url, within_s=CALL_S_MAX)
        self.port: Final = int(self.url.rpartition(":")[2])
        assert self.ask("GET", "/healthz").status == 200
        self.token: Final = stage.operator_token

    def _url(self) -> str | None:
        assert self.process.is_alive, self.process.stderr
        found = _LISTENING.search(self.process.stderr)
        return found and found[1]

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        over: http.client.HTTPConnection | None = None,
    ) -> Answer:
        """Ask as the operator (for /healthz: as nobody). Raises OSError or HTTPException when the process has gone."""
        given = {"Content-Type": "application/json"} if body is not None else {}
        if path != "/healthz":
            given["Authorization"] = f"Bearer {self.token}"
        connection = over or self.connection()
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, body=text, headers={**given, **(headers or {})})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            if over is None:
                connection.close()
        return Answer(
            answer.status,
            json.loads(content) if content else {},
            {name.lower(): value for name, value in answer.getheaders()},
        )

    def connection(self) -> http.client.HTTPConnection:
        """Return a connection for `over`."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=CALL_S_MAX)

    @contextmanager
    def raw(self, head: str) -> Iterator[socket.socket]:
        """Open a connection and send a request's beginning as it is; `{auth}` stands for the operator's header."""
        auth = f"Authorization: Bearer {self.token}"
        with closing(socket.create_connection(("127.0.0.1", self.port), timeout=CALL_S_MAX)) as one:
            one.sendall(head.replace("{auth}", auth).replace("\n", "\r\n").encode())
            yield one

    @contextmanager
    def events(self, after: int = 0) -> Iterator[socket.socket]:
        """Follow the journal after an event; the stream has begun."""
        head = f"GET /api/v1/events HTTP/1.1\nHost: localhost\n{{auth}}\nLast-Event-ID: {after}\n\n"
        with self.raw(head) as stream:
            assert stream.recv(15) == b"HTTP/1.1 200 OK"
            yield stream


def read_to_end(stream: socket.socket) -> bytes:
    """Return what comes until the other side has gone."""
    parts = []
    try:
        while part := stream.recv(65536):
            parts.append(part)
    except ConnectionError:
        pass
    return b"".join(parts)


def read_until(stream: socket.socket, end: bytes) -> bytes:
    """Return what comes until `end` has come; fails when the other side goes before."""
    found = b""
    while end not in found:
        part = stream.recv(65536)
        assert part, found[-200:]
        found += part
    return found


def told(stream: bytes) -> tuple[list[int], int]:
    """Return the ids of the events that a stream told whole, and the id from which to resume."""
    text = "".join(_chunks(stream)).rpartition("\n\n")[0]
    frames = [found for frame in text.split("\n\n") if (found := _FRAME.search(frame)) is not None]
    return [int(one[1]) for one in frames if one[2]], max((int(one[1]) for one in frames), default=0)


def _chunks(stream: bytes) -> Iterator[str]:
    """Yield the whole chunks of an answer."""
    rest = stream.partition(b"\r\n\r\n")[2]
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size or b"0", 16)
        if not length or len(rest) < length:
            return
        yield rest[:length].decode()
        rest = rest[length + 2 :]


MAIN: Final = "\nimport sys\nfrom promptyoself.__main__ import main\nsys.exit(main())\n"


def limits_of(**seconds: float) -> str:
    """Return a program's beginning that sets limits, in seconds. Raises AttributeError for one that does not exist."""
    for name in seconds:
        getattr(limits, name.upper())
    lines = [f"limits.{name.upper()} = timedelta(seconds={value})" for name, value in seconds.items()]
    return "\n".join(["from datetime import timedelta", "from promptyoself.domain import limits", *lines, ""])


def pace_of(**seconds: float) -> str:
    """Return a program's beginning that lets the Letta target look and give up sooner, in seconds."""
    words = ", ".join(f"{name}={value}" for name, value in seconds.items())
    lines = ["from functools import partial", "from promptyoself.targets import letta"]
    return "\n".join([*lines, f"letta.LettaPace = partial(letta.LettaPace, {words})", ""])


def program_of(begin: str) -> tuple[str, ...]:
    """Return what runs `promptyoself` after this beginning."""
    return (sys.executable, "-c", f"{begin}{MAIN}") if begin else PROGRAM
