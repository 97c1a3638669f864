"""Plain requests are what h11 takes them for, and are answered as h11 would; all others are left to it."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from promptyoself.domain import limits
from promptyoself.interfaces.http import connection, plain
from promptyoself.interfaces.http.listening import listen
from promptyoself.interfaces.http.plain import BODY_BYTES_MAX, HEAD_BYTES_MAX, read_head
from promptyoself.interfaces.http.server import keep_open
from tests.interfaces.http.test_server import HEALTH, WITHIN_S, Streams, asked, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

POST = b"POST /whole?a=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"
AS_H11 = b"X-Folded: a\r\n b\r\n"
"""A line that h11 takes, and which is not plain."""
LINES = [
    b"Host: localhost",
    b"host:a",
    b"Content-Length: 5",
    b"content-length: 05",
    b"Content-Length: 5, 5",
    b"Content-Length: +5",
    b"Content-Length: \xb2",
    b"Content-Length : 5",
    b"Transfer-Encoding: chunked",
    b"Connection: keep-alive",
    b"Connection: close",
    b"Upgrade: websocket",
    b"Expect: 100-continue",
    b"X: a\tb",
    b"X:  two",
    b"X: ends ",
    b"X:",
    b"X: a\x00b",
    b"X: \xe9",
    b" folded",
    b": nameless",
    b"X Y: 1",
    b"X\rY: 1",
    b"",
]
BEGINS = [
    b"POST /a?b HTTP/1.1",
    b"GET / HTTP/1.1",
    b"get / HTTP/1.1",
    b"GET  / HTTP/1.1",
    b"GET * HTTP/1.1",
    b"GET /\xe9 HTTP/1.1",
]
BEGINS += [b"GET / HTTP/1.0", b"GET / HTTP/2.0", b"GET http://a/ HTTP/1.1", b"\r\nGET / HTTP/1.1", b"GET / HTTP/1.1 "]
ENDS = st.sampled_from([b"\r\n"] * 7 + [b"\n"])
HEADS = st.builds(
    lambda lines: b"".join(line + end for line, end in lines),
    st.builds(
        lambda begin, lines, last: [begin, *lines, (b"", last)],
        st.tuples(st.sampled_from(BEGINS), ENDS),
        st.lists(st.tuples(st.sampled_from(LINES), ENDS), max_size=5),
        ENDS,
    ),
)


@given(
    st.one_of(
        HEADS,
        st.tuples(HEADS, st.integers(0, 200), st.binary(max_size=2)).map(
            lambda it: it[0][: it[1]] + it[2] + it[0][it[1] :]
        ),
    )
)
@example(POST)
@example(HEALTH)
@settings(max_examples=120, deadline=None)
def test_what_is_plain_h11_reads_alike(data: bytes) -> None:
    head = read_head(data)
    if head is None:
        return
    judge = h11.Connection(h11.SERVER)
    judge.receive_data(data[: head.size])
    request = judge.next_event()
    assert isinstance(request, h11.Request)
    assert (request.method.decode(), request.target, request.http_version) == (head.method, head.target, b"1.1")
    assert [(name, value) for name, value in request.headers] == head.headers
    assert not judge.they_are_waiting_for_100_continue
    if head.length:
        assert judge.next_event() is h11.NEED_DATA
        judge.receive_data(b"x" * head.length)
        assert isinstance(judge.next_event(), h11.Data)
    assert isinstance(judge.next_event(), h11.EndOfMessage)
    assert judge.their_state is h11.DONE, "the connection goes on"


def test_a_usual_request_is_plain() -> None:
    head = read_head(POST)
    assert head is not None
    assert (head.method, head.target, head.size, head.length) == ("POST", b"/whole?a=1", len(POST) - 5, 5)
    assert head.headers == [(b"host", b"localhost"), (b"content-length", b"5")]


@pytest.mark.parametrize(
    "data",
    [
        HEALTH[:-1],
        HEALTH.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * HEAD_BYTES_MAX + b"\r\n\r\n"),
        POST.replace(b" 5", b" %d" % (BODY_BYTES_MAX + 1)),
        *(b"GET / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n" for line in LINES[4:9] + LINES[10:15]),
        b"GET / HTTP/1.1\r\nX: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
    ],
)
def test_what_is_doubtful_is_left_to_h11(data: bytes) -> None:
    assert read_head(data) is None


# -- over a socket ------------------------------------------------------------------------------------------


@pytest.fixture
def plainly(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a list that gets a member for each head that is read: whether it was plain."""
    read: list[bool] = []

    def noted(data: bytes) -> plain.Head | None:
        found = read_head(data)
        read.append(found is not None)
        return found

    monkeypatch.setattr(connection, "read_head", noted)
    return read


async def whole(request: Request) -> Response:
    return PlainTextResponse(await request.body(), headers={"x-method": request.method})


async def early(_request: Request) -> Response:
    return PlainTextResponse("no", 403)


async def nothing(_request: Request) -> Response:
    return Response(status_code=204)


async def closing(_request: Request) -> Response:
    return PlainTextResponse("bye", headers={"connection": "close"})


async def pieces(_request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    return StreamingResponse(parts())


async def piece(_request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b"all"

    return StreamingResponse(parts(), headers={"content-length": "3"})


async def split(_request: Request) -> Response:
    answer = PlainTextResponse("x")
    answer.raw_headers.append((b"x-split", b"a\r\nset-cookie: b"))
    return answer


async def lying(_request: Request) -> Response:
    answer = PlainTextResponse("x")
    answer.raw_headers[:] = [(b"content-length", b"7")]
    return answer


@pytest.fixture
def echo(app: FastAPI) -> FastAPI:
    """An application that answers in several ways."""
    for way in (whole, early, nothing, closing, pieces, piece, split, lying):
        app.router.routes.insert(0, Route(f"/{way.__name__}", way, methods=["GET", "POST", "HEAD"]))
    return app


def without_id(answer: bytes) -> bytes:
    return re.sub(rb"(x-request-id|date): [^\r]*\r\n", b"", answer)


async def all_of(streams: Streams, request: bytes) -> bytes:
    """Send a request that ends the connection, and return all that comes."""
    streams[1].write(request)
    return await asyncio.wait_for(streams[0].read(), WITHIN_S)


def test_plain_requests_are_answered_as_h11_answers(echo: FastAPI, plainly: list[bool]) -> None:
    async def test(connect: Callable[[], Awaitable[Streams]]) -> None:
        last = HEALTH.replace(b"Host", b"Connection: close\r\nHost")
        for path in (b"/whole", b"/early", b"/nothing", b"/closing", b"/pieces", b"/piece", b"/split", b"/lying"):
            for method in (b"GET", b"POST", b"HEAD"):
                request = POST.replace(b"/whole", path).replace(b"POST", method)
                plainly.clear()
                usual = await all_of(await connect(), request.replace(b"Host", AS_H11 + b"Host") + last)
                assert plainly[:1] == [False]
                plainly.clear()
                ours = await all_of(await connect(), request + last)
                assert plainly[:1] == [True]
                assert without_id(ours) == without_id(usual), request
                assert b"\r\nset-cookie" not in ours

    serving(echo, test)


def test_requests_come_in_any_pieces_and_one_after_the_other(echo: FastAPI, plainly: list[bool]) -> None:
    async def test(connect: Callable[[], Awaitable[Streams]]) -> None:
        streams = reader, writer = await connect()
        head, _, body = POST.partition(b"\r\n\r\n")
        for piece in (
            head + b"\r\n\r\n",
            body[:2],
            body[2:] + POST.replace(b"hello", b"world") + HEALTH[:10],
            HEALTH[10:],
        ):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        for said in (b"hello", b"world"):
            assert (await asked(streams, b"")).endswith(said)
        assert b"200 OK" in await asked(streams, b"")
        assert b"200 OK" in await asked(streams, HEALTH)
        assert plainly[0]
        writer.close()
        assert await reader.read() == b""

    serving(echo, test)


def test_a_body_that_comes_after_the_answer_is_no_request(echo: FastAPI, plainly: list[bool]) -> None:
    async def test(connect: Callable[[], Awaitable[Streams]]) -> None:
        streams = await connect()
        hidden = b"GET /whole HTTP/1.1\r\nHost: localhost\r\n\r\n"
        head = b"POST /early HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(hidden)
        assert b"403" in await asked(streams, head)
        assert b"200 OK" in await asked(streams, hidden + HEALTH), "only the request behind the body is answered"
        assert (await asked(streams, POST)).endswith(b"hello")
        assert plainly == [True, True, True]

    serving(echo, test)


def test_an_answer_in_pieces_begins_at_once(app: FastAPI) -> None:
    goes_on = asyncio.Event()

    async def slow(_request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            yield b"###"
            await goes_on.wait()
            yield b"two"

        return StreamingResponse(parts(), headers={"content-length": "6"})

    app.router.routes.insert(0, Route("/slow", slow))

    async def test(connect: Callable[[], Awaitable[Streams]]) -> None:
        reader, writer = await connect()
        writer.write(HEALTH.replace(b"/healthz", b"/slow"))
        assert (await reader.readuntil(b"###")).endswith(b"\r\n\r\n###")
        goes_on.set()
        assert await reader.readexactly(3) == b"two"
        assert b"200 OK" in await asked((reader, writer), HEALTH)

    serving(app, test)


def test_who_leaves_in_the_middle_is_noticed(app: FastAPI) -> None:
    seen: list[str] = []
    has_seen = asyncio.Event()

    class Waits:
        async def __call__(self, _scope: Scope, receive: Receive, _send: Send) -> None:
            for _ in range(2):
                seen.append((await receive())["type"])
                has_seen.set()

    app.router.routes.insert(0, Route("/waits", Waits()))

    async def test(connect: Callable[[], Awaitable[Streams]]) -> None:
        _, writer = await connect()
        writer.write(HEALTH.replace(b"/healthz", b"/waits"))
        await has_seen.wait()
        has_seen.clear()
        writer.close()
        await has_seen.wait()
        assert seen == ["http.request", "http.disconnect"]

    serving(app, test)


def test_the_end_waits_for_an_answer_and_closes_behind_it(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DOORS_STOP_FOR", timedelta(seconds=2 * WITHIN_S))
    has_come, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(_request: Request) -> Response:
        has_come.set()
        await may_answer.wait()
        return PlainTextResponse("late")

    app.router.routes.insert(0, Route("/slow", slow))

    async def main() -> None:
        stopping, listening = asyncio.Event(), listen(port=0)
        open_for = asyncio.ensure_future(keep_open(app, listening, stopping))
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        writer.write(HEALTH.replace(b"/healthz", b"/slow"))
        await has_come.wait()
        stopping.set()
        with suppress(ConnectionError):
            while True:  # nobody is let in once the end has begun
                (await asyncio.open_connection("127.0.0.1", listening.port))[1].close()
        may_answer.set()
        assert (await asyncio.wait_for(reader.read(), WITHIN_S)).endswith(b"late")
        await asyncio.wait_for(open_for, WITHIN_S)
        writer.close()

    asyncio.run(main())
