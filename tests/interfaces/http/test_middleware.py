"""What stands around every request: who may call by which name, how often, how much and how long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import PlainTextResponse

from promptyoself.domain import limits
from promptyoself.domain.errors import LimitExceeded, PromptyoselfError, Unauthenticated
from promptyoself.domain.models import OPERATOR
from promptyoself.interfaces.http.middleware_bounds import Bounds, Room, room_of
from promptyoself.interfaces.http.middleware_origin import Origins
from promptyoself.interfaces.http.middleware_pace import (
    AGENT_RATE,
    STRANGER_RATE,
    Buckets,
    LearningGatekeeper,
    Pace,
    Rate,
)
from promptyoself.interfaces.http.reach import Reach
from promptyoself.interfaces.identity import Credentials, Identity
from tests.interfaces.http.conftest import NamedKeeper, client_of
from tests.interfaces.world import StillClock

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.testclient import TestClient
    from starlette.types import Message, Receive, Scope, Send

App = Callable[["Scope", "Receive", "Send"], Awaitable[None]]
SOON = timedelta(milliseconds=50)
LATER = timedelta(seconds=30)


# -- names and pages ----------------------------------------------------------------------------------------


def status_of(reach: Reach, *headers: tuple[str, str], method: str = "GET") -> int:
    raw = [(key.encode(), value.encode("latin-1")) for key, value in headers]
    sent = exchange(Origins(PlainTextResponse("in"), reach=reach), headers=raw, method=method)
    return int(sent[0]["status"])


def exchange(
    app: App,
    *,
    chunks: tuple[bytes, ...] = (b"",),
    headers: list[tuple[bytes, bytes]] | None = None,
    method: str = "POST",
    ends: bool = True,
) -> list[Message]:
    """Send one request to an application; without `ends` its body never comes to an end."""
    sent: list[Message] = []
    coming = iter([{"type": "http.request", "body": one, "more_body": True} for one in chunks])
    last = {"type": "http.request", "body": b"", "more_body": False}

    async def receive() -> Message:
        message = next(coming, None)
        if message is not None:
            return message
        if not ends:
            await asyncio.Event().wait()
        return last

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": "/x", "headers": headers or [], "state": {}}

    async def run() -> None:
        await asyncio.wait_for(app(scope, receive, send), 20)

    asyncio.run(run())
    return sent


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:1", "LOCALHOST:8289", "127.0.0.1:8289", "127.8.8.8", "[::1]:8289", "localhost."]
)
def test_this_machine_is_called_by_its_own_names(host: str) -> None:
    assert status_of(Reach(), ("host", host)) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8289",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example@127.0.0.1",
        "127.0.0.1/evil.example",
        "127.0.0.1, evil.example",
        "10.0.0.1",
        "0.0.0.0",  # noqa: S104  every address, and nobody's name
        "[::1",
        "localhost:port",
        "",
        " ",
        "2130706433",
        "l\u00f6calhost",
    ],
)
def test_a_name_that_somebody_had_resolve_to_this_machine_is_refused(host: str) -> None:
    assert status_of(Reach(), ("host", host)) == 403


def test_no_name_and_two_names_are_refused() -> None:
    assert status_of(Reach()) == 403
    assert status_of(Reach(), ("host", "localhost"), ("host", "localhost")) == 403


def test_other_names_are_allowed_on_request() -> None:
    reach = Reach("0.0.0.0", ("prompts.example.org",))  # noqa: S104  said, not bound
    allowed = ["prompts.example.org", "Prompts.Example.org:443", "10.1.2.3:8289", "[2001:db8::1]", "localhost"]

    assert [status_of(reach, ("host", host)) for host in allowed] == [200] * 5
    assert status_of(reach, ("host", "evil.example")) == 403
    assert status_of(Reach("prompts.lan"), ("host", "prompts.lan:8289")) == 200


@pytest.mark.parametrize("origin", ["http://localhost:8289", "https://localhost:8289", "HTTP://LOCALHOST:8289"])
def test_our_own_page_may_ask(origin: str) -> None:
    assert status_of(Reach(), ("host", "localhost:8289"), ("origin", origin), method="POST") == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:3000",
        "http://localhost",
        "http://127.0.0.1:8289",
        "http://evil.example",
        "http://localhost:8289.evil.example",
        "http://localhost:8289@evil.example",
        "http://localhost:8289/",
        "null",
        "",
        "file://",
        "chrome-extension://localhost:8289",
        "localhost:8289",
    ],
)
def test_another_page_may_not(origin: str) -> None:
    assert status_of(Reach(), ("host", "localhost:8289"), ("origin", origin)) == 403


@pytest.mark.parametrize(
    ("site", "mode", "dest", "method", "expected"),
    [
        ("same-origin", "cors", "empty", "GET", 200),
        ("none", "navigate", "document", "GET", 200),
        ("cross-site", "navigate", "document", "GET", 200),
        ("cross-site", "navigate", "document", "POST", 403),
        ("cross-site", "navigate", "iframe", "GET", 403),
        ("cross-site", "no-cors", "image", "GET", 403),
        ("same-site", "no-cors", "script", "GET", 403),
    ],
)
def test_a_page_without_an_origin_is_told_by_its_site(
    site: str, mode: str, dest: str, method: str, expected: int
) -> None:
    headers = {"host": "localhost", "sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest}

    assert status_of(Reach(), *headers.items(), method=method) == expected


# -- pace ---------------------------------------------------------------------------------------------------


def test_a_bucket_empties_and_fills() -> None:
    clock = StillClock()
    buckets, rate = Buckets(clock), Rate(per_s=2, burst=3)

    assert [buckets.take("one", rate) for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("two", rate) == 0
    clock.at += timedelta(seconds=1)
    assert [buckets.take("one", rate) for _ in range(3)] == [0, 0, 0.5]
    clock.at += timedelta(days=1)
    assert [buckets.take("one", rate) for _ in range(4)][-1] > 0, "a long silence fills no more than the bucket"


def test_the_table_of_callers_is_bounded() -> None:
    buckets = Buckets(StillClock(), most=10)
    for number in range(1000):
        buckets.take(str(number), AGENT_RATE)

    assert len(buckets) == 10


def asks_until_refused(pace: Pace, bearer: str | None, *, most: int = 100_000) -> int:
    return next((count for count in range(most) if pace.ask(bearer, "10.0.0.1")), most)


def test_an_operator_may_ask_more_often_than_an_agent_and_that_more_often_than_a_stranger() -> None:
    pace = Pace(StillClock())
    pace.learn(Credentials(bearer="boss"), Identity(OPERATOR, "token 1"))
    pace.learn(Credentials(bearer="agent"), Identity("agent-1", "token 2"))

    assert asks_until_refused(pace, "boss") == limits.OPERATOR_REQUESTS_BURST
    assert asks_until_refused(pace, "agent") == AGENT_RATE.burst
    assert asks_until_refused(pace, None) == STRANGER_RATE.burst
    assert asks_until_refused(pace, "unknown") == 0, "whoever presents something unknown counts as a stranger"


def test_one_networks_strangers_share_a_pace_and_harm_nobody_who_is_known() -> None:
    pace = Pace(StillClock())
    pace.learn(Credentials(bearer="boss"), Identity(OPERATOR, "token 1"))

    let_in = sum(pace.ask(f"guess {number}", f"2001:db8::{number:x}") == 0 for number in range(1000))
    assert let_in == STRANGER_RATE.burst, "whoever has one address of IPv6 has 2**64"
    assert pace.ask(None, "2001:db8::1") > 0
    assert not pace.ask("boss", "2001:db8::1")
    assert not pace.ask(None, "2001:db8:0:1::1")


def test_agents_behind_one_servers_token_are_each_counted_by_themselves() -> None:
    pace = Pace(StillClock())

    def asks(agent: str | None) -> int:
        return next(count for count in range(10_000) if pace.ask("proxy", "10.0.0.1", agent_header=agent))

    for agent in ("agent-1", "agent-2"):
        pace.learn(Credentials(bearer="proxy", agent_header=agent), Identity(agent, "token 1"))
    assert asks("agent-1") == AGENT_RATE.burst
    assert asks("agent-2") == AGENT_RATE.burst, "it pays for no other"
    assert asks("made up 1") == AGENT_RATE.burst
    assert asks("made up 2") == 0, "whom nobody let in counts with the token"
    pace.forget(Credentials(bearer="proxy", agent_header="agent-2"))
    assert asks("agent-1") == STRANGER_RATE.burst, "revoked for all of them"


@pytest.mark.parametrize("refusal", [Unauthenticated("no", hint="yes"), LimitExceeded("no", hint="yes")])
def test_a_revoked_token_loses_its_pace(refusal: PromptyoselfError) -> None:
    class Refusing(NamedKeeper):
        async def identify(self, credentials: Credentials) -> Identity:  # noqa: ARG002  whoever it is
            raise refusal

    pace, credentials = Pace(StillClock()), Credentials(bearer="boss")
    pace.learn(credentials, Identity(OPERATOR, "token 1"))
    with pytest.raises(type(refusal)):
        asyncio.run(LearningGatekeeper(Refusing(), pace).identify(credentials))

    assert asks_until_refused(pace, "boss") == STRANGER_RATE.burst


def test_who_asks_too_often_is_told_when_to_come_again(app: FastAPI) -> None:
    with client_of(app, None) as stranger:
        answers = [stranger.get("/healthz") for _ in range(STRANGER_RATE.burst + 1)]

    assert {one.status_code for one in answers[:-1]} == {200}
    assert answers[-1].status_code == 429
    assert answers[-1].json()["code"] == "limit_exceeded"
    assert answers[-1].headers["retry-after"] == "1"


# -- bounds -------------------------------------------------------------------------------------------------


async def reads(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, and say how long it was."""
    size = 0
    while (message := await receive())["type"] == "http.request":
        size += len(message["body"])
        if not message["more_body"]:
            break
    await PlainTextResponse(str(size))(scope, receive, send)


async def hangs(_scope: Scope, _receive: Receive, _send: Send) -> None:
    await asyncio.Event().wait()


async def stalls_while_answering(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await asyncio.Event().wait()


def bounded(app: App, *, body_for: timedelta = LATER, answer_for: timedelta | None = LATER) -> Bounds:
    return Bounds(app, rooms=lambda _path: Room(10, body_for, answer_for))


CHUNKED = [(b"transfer-encoding", b"chunked")]


def test_a_body_within_its_bound_is_read() -> None:
    sent = exchange(bounded(reads), chunks=(b"12345", b"67890"), headers=CHUNKED)

    assert (sent[0]["status"], sent[1]["body"]) == (200, b"10")


def test_a_body_that_is_announced_too_large_reaches_nobody() -> None:
    sent = exchange(bounded(hangs), headers=[(b"content-length", b"11")])

    assert (sent[0]["status"], len(sent)) == (413, 2)
    assert b'"code": "too_large"' in sent[1]["body"]


@pytest.mark.parametrize("headers", [CHUNKED, [(b"content-length", b"5")]])
def test_a_body_that_turns_out_too_large_is_cut_off(headers: list[tuple[bytes, bytes]]) -> None:
    sent = exchange(bounded(reads), chunks=(b"12345", b"678901", b"x"), headers=headers)

    assert [one["status"] for one in sent if "status" in one] == [413]


def test_a_body_that_never_ends_is_given_up() -> None:
    sent = exchange(bounded(reads, body_for=SOON), chunks=(b"1",), headers=CHUNKED, ends=False)

    assert [one["status"] for one in sent if "status" in one] == [408]
    assert b'"code": "too_slow"' in sent[1]["body"]


def test_an_answer_that_does_not_come_is_given_up() -> None:
    sent = exchange(bounded(hangs, answer_for=SOON))

    assert [one["status"] for one in sent if "status" in one] == [503]
    assert b'"code": "timed_out"' in sent[1]["body"]


def test_an_answer_in_time_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SENDING_FOR", SOON)
    sent = exchange(bounded(stalls_while_answering))

    assert [one["type"] for one in sent] == ["http.response.start"], "a reader that is too slow is let go"


def test_a_cancelled_request_stays_cancelled() -> None:
    async def run() -> None:
        task = asyncio.ensure_future(bounded(hangs)({"type": "http", "path": "/", "headers": []}, never, ignored))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())


def test_a_request_that_was_given_up_does_not_leave_its_task_cancelled() -> None:
    async def run() -> int:
        scope = {"type": "http", "path": "/", "headers": []}
        await bounded(hangs, answer_for=SOON)(scope, never, ignored)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert asyncio.run(run()) == 0


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def ignored(_message: Message) -> None:
    """Nobody reads."""


def test_too_many_at_once_are_told_to_come_again_and_streams_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUESTS_AT_WORK_MAX", 2)
    may_end = asyncio.Event()

    async def answers(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["path"] == "/stream":
            start: Any = {"type": "http.response.start", "status": 200}
            await send({**start, "headers": [(b"content-type", b"text/event-stream; charset=utf-8")]})
        await may_end.wait()

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def run() -> None:
        app = Bounds(answers)
        begun = [
            asyncio.ensure_future(app({"type": "http", "path": path, "headers": []}, never, send))
            for path in ("/stream", "/stream", "/stream", "/work", "/work", "/work")
        ]
        await asyncio.sleep(0.01)
        assert [one["status"] for one in sent if "status" in one] == [200, 200, 200, 503]
        may_end.set()
        await asyncio.gather(*begun)
        sent.clear()
        await app({"type": "http", "path": "/work", "headers": []}, never, send)
        assert sent == [], "there is room again"

    asyncio.run(run())


def test_more_room_where_more_comes() -> None:
    assert room_of("/api/v1/schedules").body_bytes == limits.BODY_BYTES_MAX
    assert room_of("/api/v1/schedules/bulk").body_bytes == limits.LARGE_BODY_BYTES_MAX
    assert room_of("/v1/agents/agent-1/messages").answer_for is None


# -- marking ------------------------------------------------------------------------------------------------


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, logger="promptyoself.http"):
        yield caplog


def test_the_log_says_what_was_asked_and_no_more(client: TestClient, log: pytest.LogCaptureFixture) -> None:
    answer = client.get("/api/v1/schedules?q=sesame", headers={"Authorization": "Bearer operator"})

    lines = [line for line in log.messages if line.startswith("http.request")]
    assert len(lines) == 1
    assert f"id={answer.headers['x-request-id']}" in lines[0]
    assert "path='/api/v1/schedules' status=" in lines[0]
    assert "sesame" not in log.text
    assert "operator" not in log.text


def test_a_path_cannot_forge_a_line_of_the_log(client: TestClient, log: pytest.LogCaptureFixture) -> None:
    client.get("/healthz%0A2026 ERROR forged%1b[31m")

    assert all("\n" not in line and "\x1b" not in line for line in log.messages)


def test_answers_carry_safe_headers_and_a_refusal_its_id(client: TestClient) -> None:
    answer = client.get("/nowhere")

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.json().get("instance") == answer.headers["x-request-id"]


def test_a_foreign_name_is_refused_everywhere(client: TestClient) -> None:
    for path in ("/healthz", "/api/v1/schedules", "/v1/agents", "/mcp", "/"):
        answer = client.get(path, headers={"Host": "evil.example"})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert "--allowed-host" in answer.json()["hint"]
