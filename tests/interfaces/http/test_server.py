"""The server on a socket: it keeps to its bounds before a request is understood, and closes in time."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.responses import StreamingResponse
from starlette.routing import Route

from promptyoself.domain import limits
from promptyoself.interfaces.http.app import Parts, make_app
from promptyoself.interfaces.http.listening import listen
from promptyoself.interfaces.http.parts import lives
from promptyoself.interfaces.http.server import DoorsFailed, keep_open
from tests.interfaces.http.conftest import NamedKeeper
from tests.interfaces.test_listening import make_pem
from tests.interfaces.world import FakeServices

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

WITHIN_S = 20
SOON = timedelta(milliseconds=100)
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def serving(app: FastAPI, test: Callable[[Callable[[], Awaitable[Streams]]], Awaitable[None]]) -> None:
    """Serve while a test runs, which is given a way to connect."""

    async def main() -> None:
        stopping, listening = asyncio.Event(), listen(port=0)
        writers: list[asyncio.StreamWriter] = []

        async def connect() -> Streams:
            reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
            writers.append(writer)
            return reader, writer

        open_for = asyncio.ensure_future(keep_open(app, listening, stopping))
        try:
            await asyncio.wait_for(test(connect), WITHIN_S)
        finally:
            stopping.set()
            await asyncio.wait_for(open_for, WITHIN_S)
            for writer in writers:
                writer.close()

    asyncio.run(main())


async def asked(streams: Streams, request: bytes) -> bytes:
    """Send a request and return what comes until its body has come."""
    reader, writer = streams
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return head + await reader.readexactly(length)


def test_a_request_that_never_comes_is_given_up(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEAD_FOR", SOON)

    async def test(connect: Callable[[], Awaitable[Streams]]) -> None:
        silent, slow, patient = await connect(), await connect(), await connect()
        slow[1].write(HEALTH[:20])
        assert b"200 OK" in await asked(patient, HEALTH)
        assert await silent[0].read() == b""
        assert await slow[0].read() == b""
        assert b"200 OK" in await asked(patient, HEALTH), "who has asked once is kept for KEEP_ALIVE_FOR"
        patient[1].write(HEALTH[:20])
        assert await patient[0].read() == b"", "but not with half a request"

    serving(app, test)


@pytest.mark.parametrize(
    "request_", [b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"]
)
def test_what_is_no_request_is_refused_in_the_same_shape(app: FastAPI, request_: bytes) -> None:
    async def test(connect: Callable[[], Awaitable[Streams]]) -> None:
        answer = await asked(await connect(), request_)
        assert b"application/problem+json" in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "usage"

    serving(app, test)


def test_headers_without_end_are_refused(app: FastAPI) -> None:
    async def test(connect: Callable[[], Awaitable[Streams]]) -> None:
        reader, writer = await connect()
        writer.write(HEALTH[:-2] + b"X-Long: " + b"x" * limits.REQUEST_HEAD_BYTES_MAX)
        assert b"400 Bad Request" in await reader.readline()

    serving(app, test)


def test_no_more_connections_than_there_may_be(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONNECTIONS_MAX", 2)

    async def test(connect: Callable[[], Awaitable[Streams]]) -> None:
        held = [await connect(), await connect()]
        for one in held:
            assert b"200 OK" in await asked(one, HEALTH)
        third = await connect()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asked(third, HEALTH)
        assert b"200 OK" in await asked(held[0], HEALTH)

    serving(app, test)


def test_an_open_stream_does_not_hold_the_end(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DOORS_STOP_FOR", timedelta(seconds=1))

    async def never(_request: Request) -> StreamingResponse:
        async def lines() -> AsyncIterator[bytes]:
            yield b": begun\n\n"
            await asyncio.Event().wait()

        return StreamingResponse(lines(), media_type="text/event-stream")

    app.router.routes.insert(0, Route("/never", never))

    async def test(connect: Callable[[], Awaitable[Streams]]) -> None:
        reader, writer = await connect()
        writer.write(HEALTH.replace(b"/healthz", b"/never"))
        assert b"200 OK" in await reader.readline()

    serving(app, test)


def test_it_speaks_tls_and_the_newer_family_of_addresses(services: FakeServices, tmp_path: Path) -> None:
    cert, key = make_pem(tmp_path)
    trusting = ssl.create_default_context(cafile=cert)
    stopping = asyncio.Event()

    async def main() -> None:
        secured, newer = listen(port=0, tls_cert=str(cert), tls_key=str(key)), listen(port=0, host="::1")
        apps = [make_app(Parts(services, NamedKeeper())) for _ in range(2)]
        doors = zip(apps, (secured, newer), strict=True)
        kept_open = [asyncio.ensure_future(keep_open(app, one, stopping)) for app, one in doors]
        try:
            over_tls = await asyncio.open_connection("localhost", secured.port, ssl=trusting, family=socket.AF_INET)
            assert b"200 OK" in await asked(over_tls, HEALTH.replace(b"localhost", b"localhost:%d" % secured.port))
            plain = await asyncio.open_connection("127.0.0.1", secured.port)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await asked(plain, HEALTH)
            over_ipv6 = await asyncio.open_connection("::1", newer.port)
            assert b"200 OK" in await asked(over_ipv6, HEALTH.replace(b"localhost", b"[::1]:%d" % newer.port))
            for _, writer in (over_tls, plain, over_ipv6):
                writer.close()
        finally:
            stopping.set()
            await asyncio.gather(*kept_open)

    asyncio.run(asyncio.wait_for(main(), WITHIN_S))


def test_a_part_that_cannot_start_fails_the_doors(app: FastAPI) -> None:
    @asynccontextmanager
    async def broken(app: FastAPI) -> AsyncIterator[None]:
        if app.state.parts is not None:
            raise OSError("no")
        yield

    lives(app).append(broken)
    with pytest.raises(DoorsFailed):
        asyncio.run(keep_open(app, listen(port=0), asyncio.Event()))
