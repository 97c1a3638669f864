"""What passes through to Letta is unchanged, streams, and cannot be led anywhere else."""

from __future__ import annotations

import asyncio
import base64
import gzip
import http.client
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from promptyoself.interfaces.http.letta.passage import Passage
from promptyoself.interfaces.http.letta.reception import Reception
from tests.clients.stand import TOKEN_OF_1, Keeper, Stand, standing
from tests.clients.upstream import WITHIN_S, Upstream, Wire

PASSWORD = "sesame"  # noqa: S105  it opens nothing


async def echo(wire: Wire) -> None:
    """Answer with what came."""
    seen = wire.seen
    await wire.json({"method": seen.method, "target": seen.target, "headers": seen.headers, "body": seen.body.hex()})


def test_method_path_query_headers_and_body_arrive_as_they_were_sent(stand: Stand, upstream: Upstream) -> None:
    path = "/v1/agents/a%2Fb%20%C3%BC/x:y"
    upstream.acts[path] = echo
    query = "a=1&a=2&b=%2e%2e%2f&c=%F0%9F%8D%B5&d=x+y&e=http://elsewhere/v1//"
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"):
        body = None if method == "GET" else b"\x00\xff" * 10
        answer = stand.ask(method, f"{path}?{query}", body, headers={"X-Project": "p", "Accept-Encoding": "br"})
        assert answer.status == 200, answer
        seen = upstream.last
        assert (seen.method, seen.target, seen.body) == (method, f"{path}?{query}", body or b"")
        assert (seen.header("x-project"), seen.header("accept-encoding")) == ("p", "br")
        assert seen.header("host") == upstream.url.removeprefix("http://")


def test_nothing_of_ours_is_added(stand: Stand, upstream: Upstream) -> None:
    upstream.acts["/v1/echo"] = echo
    stand.ask("GET", "/v1/echo")
    names = {name.lower() for name, _ in upstream.last.headers}
    assert names == {"host", "accept-encoding"}, "http.client sends these two"


def test_headers_of_the_connection_stay_and_all_others_pass_even_twice(stand: Stand, upstream: Upstream) -> None:
    upstream.acts["/v1/echo"] = echo
    stand.raw(
        b"GET /v1/echo HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close, X-Mine\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
        b"Proxy-Authorization: Basic eDp5\r\nX-Mine: 1\r\nX-Agent-Id: agent-1\r\nCookie: a=b\r\n"
        b"X-Two: 1\r\nX-Two: 2\r\n\r\n"
    )
    passed = [(name.lower(), value) for name, value in upstream.last.headers if name.lower() != "host"]
    assert passed == [("x-agent-id", "agent-1"), ("cookie", "a=b"), ("x-two", "1"), ("x-two", "2")]


def test_an_answers_status_headers_and_packed_body_come_back_untouched(stand: Stand, upstream: Upstream) -> None:
    packed = gzip.compress(b"letta" * 100)

    async def pack(wire: Wire) -> None:
        await wire.answer(
            418, packed, ("Content-Encoding", "gzip"), ("Set-Cookie", "a=1"), ("Connection", "X-Hop"), ("X-Hop", "1")
        )

    upstream.acts["/v1/packed"] = pack
    answer = stand.ask("GET", "/v1/packed")
    assert (answer.status, answer.body) == (418, packed)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-length"] == str(len(packed))
    assert "x-hop" not in answer.headers
    stand.ask("GET", "/v1/packed")
    assert upstream.last.header("cookie") is None, "no caller gets another's cookies"


def test_what_letta_serves_is_no_page_of_ours_in_a_browser(stand: Stand, upstream: Upstream) -> None:
    async def page(wire: Wire) -> None:
        policy = ("Content-Security-Policy", "default-src *"), ("X-Content-Type-Options", "sniff-away")
        await wire.answer(200, b"<script>1</script>", ("Content-Type", "text/html"), *policy)

    upstream.acts["/v1/page"] = page
    answer = stand.ask("GET", "/v1/page")
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.body == b"<script>1</script>"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_foreign_page_can_send_unasked_schedules_nothing(stand: Stand, kind: str) -> None:
    order = b'{"messages": [{"role": "user", "content": "x"}], "schedule": {"cron_expression": "0 9 * * *"}}'
    answer = stand.ask("POST", "/v1/agents/agent-1/schedule", order, headers={"Content-Type": kind})
    assert (answer.status, "application/json" in answer.body.decode()) == (415, True)
    assert not stand.ask("GET", "/v1/agents/agent-1/schedule").json["scheduled_messages"]


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_an_answer_without_a_body_stays_one(stand: Stand, upstream: Upstream, method: str) -> None:
    async def bare(wire: Wire) -> None:
        await wire.write(b"HTTP/1.1 %s\r\n\r\n" % (b"204 None" if method == "GET" else b"200 OK\r\nContent-Length: 9"))

    upstream.acts["/v1/bare"] = bare
    answer = stand.ask(method, "/v1/bare")
    assert (answer.status, answer.body) == (204 if method == "GET" else 200, b"")
    assert answer.headers.get("content-length") == (None if method == "GET" else "9")


def test_a_long_upload_streams_and_is_whole(stand: Stand, upstream: Upstream) -> None:
    sizes: list[int] = []

    async def take(wire: Wire) -> None:
        async for piece in wire.chunks():
            sizes.append(len(piece))
            upstream.signal("first piece").set()
        await wire.json(sum(sizes))

    upstream.early["/v1/folders/f/upload"] = take
    connection = http.client.HTTPConnection("127.0.0.1", stand.port, timeout=WITHIN_S)

    def pieces() -> Iterator[bytes]:
        yield b"x" * 1000
        assert upstream.signal("first piece").wait(WITHIN_S), "a piece waits for nothing"
        for _ in range(24):
            yield b"y" * 1024 * 1024

    connection.request(
        "POST", "/v1/folders/f/upload", body=pieces(), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
    )
    assert connection.getresponse().read() == b"%d" % (1000 + 24 * 1024 * 1024)
    connection.close()
    assert len(sizes) > 24


def test_who_hangs_up_ends_the_request_at_letta(stand: Stand, upstream: Upstream) -> None:
    async def forever(wire: Wire) -> None:
        await wire.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await wire.chunk(b"data: 1\n\n")
        await wire.until_gone()
        upstream.signal("gone").set()

    upstream.acts["/v1/stream"] = forever
    with stand.wire() as bare:
        bare.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        came = b""
        while b"data: 1" not in came:
            came = bare.recv(4096)
            assert came, "it was cut"
    assert upstream.signal("gone").wait(WITHIN_S)


def test_who_hangs_up_before_any_answer_ends_the_request_at_letta(stand: Stand, upstream: Upstream) -> None:
    async def never(wire: Wire) -> None:
        await wire.until_gone()
        upstream.signal("gone").set()

    upstream.acts["/v1/slow"] = never
    with stand.wire() as bare:
        bare.sendall(b"POST /v1/slow HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}")
        assert upstream.signal("arrived").wait(WITHIN_S)
    assert upstream.signal("gone").wait(WITHIN_S)


def test_a_body_that_breaks_off_never_reaches_letta_as_a_whole_one(stand: Stand, upstream: Upstream) -> None:
    async def take(wire: Wire) -> None:
        upstream.signal("began").set()
        with pytest.raises(asyncio.IncompleteReadError):
            await wire.body(wire.seen)
        upstream.signal("torn").set()

    upstream.early["/v1/torn"] = take
    with stand.wire() as bare:
        bare.sendall(b"POST /v1/torn HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nhalf of it")
        assert upstream.signal("began").wait(WITHIN_S)
    assert upstream.signal("torn").wait(WITHIN_S)


def test_an_early_refusal_of_a_long_body_comes_back(stand: Stand, upstream: Upstream) -> None:
    async def too_large(wire: Wire) -> None:
        await wire.answer(413, b"too large", ("Connection", "close"))

    upstream.early["/v1/large"] = too_large
    with stand.wire() as bare:
        bare.sendall(b"POST /v1/large HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
        assert b" 413 " in bare.recv(4096)


def test_a_letta_that_is_down_is_a_502_that_may_be_repeated(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gone = Upstream(url=f"http://127.0.0.1:{taken.getsockname()[1]}")
    with standing(gone, tmp_path) as stand:
        answer = stand.ask("POST", "/v1/agents/a/messages", {})
    assert (answer.status, answer.headers["x-should-retry"]) == (502, "true")
    assert "Letta cannot be reached" in answer.json["detail"]


@pytest.mark.parametrize(("method", "may_repeat"), [("POST", "false"), ("GET", "true")])
def test_a_letta_that_dies_before_its_answer_is_a_502(
    stand: Stand, upstream: Upstream, method: str, may_repeat: str
) -> None:
    async def die(wire: Wire) -> None:
        wire.drop()

    upstream.acts["/v1/die"] = die
    answer = stand.ask(method, "/v1/die")
    assert (answer.status, answer.headers["x-should-retry"]) == (502, may_repeat)
    assert "may have acted all the same" in answer.json["detail"]


async def passed(passage: Passage, method: str, body: bytes | AsyncIterator[bytes] | None = None) -> httpx.Response:
    """Return what a passage with bounds of the test's own answers."""
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(passage), timeout=WITHIN_S) as client:
            return await client.request(method, "http://127.0.0.1/v1/x", content=body)
    finally:
        await passage.close()


def narrow(stand: Stand, url: str, **bounds: float) -> Passage:
    return Passage(url, Reception(Keeper(stand.upstream)), **bounds)


@pytest.mark.parametrize(("method", "may_repeat"), [("POST", "false"), ("GET", "true")])
def test_a_letta_that_stays_silent_is_a_504(stand: Stand, upstream: Upstream, method: str, may_repeat: str) -> None:
    async def silent(wire: Wire) -> None:
        await wire.until_gone()
        upstream.signal("gone").set()

    upstream.acts["/v1/x"] = silent
    answer = asyncio.run(passed(narrow(stand, upstream.url, idle_s=0.1), method))
    assert (answer.status_code, answer.headers["x-should-retry"]) == (504, may_repeat)
    assert "silent for too long" in answer.json()["detail"]
    assert upstream.signal("gone").wait(WITHIN_S)


def test_a_letta_that_stops_taking_the_body_is_a_504(stand: Stand, upstream: Upstream) -> None:
    async def take_nothing(wire: Wire) -> None:
        await upstream.heard("answered")
        await wire.until_gone()
        upstream.signal("gone").set()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"x" * 1024 * 1024
        raise AssertionError("somebody took all of it")

    upstream.early["/v1/x"] = take_nothing

    async def scene() -> httpx.Response:
        try:
            return await passed(narrow(stand, upstream.url, idle_s=0.3), "POST", endless())
        finally:
            upstream.signal("answered").set()
            assert await asyncio.to_thread(upstream.signal("gone").wait, WITHIN_S)

    answer = asyncio.run(scene())
    assert (answer.status_code, answer.headers["x-should-retry"]) == (504, "false")


def test_a_letta_that_takes_no_connection_is_a_502_that_may_be_repeated(stand: Stand) -> None:
    with ExitStack() as held:
        full = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):  # the kernel keeps one more than the backlog, and then answers nothing
            waiting = held.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        answer = asyncio.run(passed(narrow(stand, url, connect_s=0.1), "POST", b"{}"))
    assert (answer.status_code, answer.headers["x-should-retry"]) == (502, "true")
    assert "cannot be reached" in answer.json()["detail"]


@pytest.mark.parametrize(
    "said",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_an_answer_that_is_no_http_is_a_502(stand: Stand, upstream: Upstream, said: bytes) -> None:
    async def say(wire: Wire) -> None:
        await wire.write(said)
        wire.drop()

    upstream.acts["/v1/odd"] = say
    assert stand.ask("POST", "/v1/odd").status == 502


@pytest.mark.parametrize("framing", [b"Transfer-Encoding: chunked", b"Content-Length: 100"])
def test_a_letta_that_dies_in_mid_stream_leaves_a_torn_answer(stand: Stand, upstream: Upstream, framing: bytes) -> None:
    async def half(wire: Wire) -> None:
        await wire.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        await (wire.chunk(b"half") if b"chunked" in framing else wire.write(b"half"))
        await upstream.heard("half is here")
        wire.drop()

    upstream.acts["/v1/half"] = half
    connection = http.client.HTTPConnection("127.0.0.1", stand.port, timeout=WITHIN_S)
    connection.request("GET", "/v1/half")
    answer = connection.getresponse()
    assert answer.read(4) == b"half"
    upstream.signal("half is here").set()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        assert len(answer.read()) == 1000
    connection.close()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../secret", "/v1/%2e%2e/secret", "/v1/.%2E/secret", "/v1/x/..", "/v1/%252e%252e/secret", "/v1/./x",
        "/v1//evil.example/x", "/v1/a%2f..%2f..%2fsecret", "/v1/..;/secret/..", "/v1/a\\..\\secret", "/v1/%5c..%5cx",
        "/v1/a%0d%0aX-Injected:%201", "/v1/a%00b", "/v1/#/../x", "/v1/x?a=b#c", "/v1/%2f%2fevil.example",
        "/v1/..;/secret", "/v1/%2e%2e%3bx/secret",
    ],
)  # fmt: skip
def test_a_path_that_does_not_plainly_lie_below_v1_is_refused(stand: Stand, upstream: Upstream, path: str) -> None:
    answer = stand.raw(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ")[1] in {b"422", b"404"}, answer
    assert upstream.seen == []


@pytest.mark.parametrize("target", ["http://evil.example/v1/agents/", "//evil.example/v1/x", "evil.example:443", "*"])
def test_another_host_in_the_target_is_never_asked(stand: Stand, upstream: Upstream, target: str) -> None:
    stand.raw(f"GET {target} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode())
    assert upstream.seen == []


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5, 6", "Content-Length: +5", "Content-Length: 0x5",
        "Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: xchunked", "Transfer-Encoding:\x0bchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "Content-Length : 5", "X: a\rContent-Length: 5",
    ],
)  # fmt: skip
def test_a_body_whose_end_is_said_in_two_ways_goes_nowhere(stand: Stand, upstream: Upstream, lines: str) -> None:
    upstream.acts["/v1/echo"] = echo
    smuggled = "5\r\nhello\r\n0\r\n\r\nGET /v1/smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    answer = stand.raw(f"POST /v1/echo HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n\r\n{smuggled}".encode("latin-1"))
    assert answer.split(b" ")[1] in {b"400", b"422", b"501"}, answer[:200]
    assert upstream.seen == []


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/agents/", {"Authorization": f"Bearer {TOKEN_OF_1}"}),
        ("/v1/agents/", {"authorization": f"bearer  {TOKEN_OF_1} "}),
        ("/v1/agents/", {"Authorization": TOKEN_OF_1}),
        ("/v1/agents/", {"X-Api-Key": TOKEN_OF_1}),
        ("/v1/agents/", {"X-BARE-PASSWORD": f"password {TOKEN_OF_1}"}),
        ("/v1/agents/", {"Cookie": f"a=b; session={TOKEN_OF_1}"}),
        ("/v1/agents/", {"Authorization": "Basic " + base64.b64encode(f"me:{TOKEN_OF_1}".encode()).decode()}),
        ("/v1/agents/", {"Connection": "authorization", "Authorization": f"Bearer {TOKEN_OF_1}"}),
        (f"/v1/agents/?api_key={TOKEN_OF_1}", {}),
        (f"/v1/agents/?api_key=%70ys_{TOKEN_OF_1[4:]}", {}),
        (f"/v1/agents/{TOKEN_OF_1}", {}),
    ],
)
def test_our_own_tokens_are_refused_wherever_they_stand(
    stand: Stand, upstream: Upstream, path: str, headers: dict[str, str]
) -> None:
    answer = stand.ask("GET", path, headers=headers)
    assert answer.status == 403
    assert "is not passed on" in answer.json["detail"]
    assert TOKEN_OF_1.encode() not in answer.body
    assert upstream.seen == []


def test_a_websocket_is_refused_with_a_sentence(stand: Stand, upstream: Upstream) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x", "Sec-WebSocket-Version": "13"}
    answer = stand.ask("GET", "/v1/ws", headers=headers)
    assert answer.status == 422
    assert "WebSockets" in answer.json["detail"]
    assert upstream.seen == []


@pytest.mark.parametrize(
    ("given", "back"),
    [
        ("{url}/v1/agents/?a=%2F", "/v1/agents/?a=%2F"),
        ("/v1/agents/", "/v1/agents/"),
        ("//{host}/v1/agents/", "/v1/agents/"),
        ("http://evil.example/v1/agents/", None),
        ("//evil.example/v1/", None),
        ("{url}@evil.example/v1/", None),
        ("{url}/admin", None),
        ("/v1/../admin", None),
        ("agents/", None),
        ("javascript:alert(1)", None),
        ("http://[::1/v1/", None),
        ("", None),
    ],
)
def test_a_redirect_is_handed_back_as_a_path_of_ours_or_refused(
    stand: Stand, upstream: Upstream, given: str, back: str | None
) -> None:
    async def move(wire: Wire) -> None:
        host = upstream.url.removeprefix("http://")
        await wire.answer(307, b"", ("Location", given.format(url=upstream.url, host=host)))

    upstream.acts["/v1/agents"] = move
    answer = stand.ask("GET", "/v1/agents")
    assert len(upstream.seen) == 1, "it is not followed"
    assert answer.headers.get("location") == back
    assert answer.status == (502 if back is None else 307)


def test_from_elsewhere_only_whom_letta_vouches_for_is_passed_on(stand: Stand, upstream: Upstream) -> None:
    for path in ("/v1/agents/", "/v1/health/", "/v1/health"):
        upstream.acts[path] = echo
    forwarded = {"X-Forwarded-For": "203.0.113.9"}
    for sign in (
        "X-Forwarded-Proto",
        "Forwarded",
        "Via",
        "CF-Connecting-IP",
        "True-Client-IP",
        "X-Envoy-Peer",
        "CDN-Loop",
    ):
        assert stand.ask("GET", "/v1/agents/", headers={sign: "x"}).status == 401, sign
    old = stand.raw(b"GET /v1/agents/ HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    assert old.split(b" ")[1] == b"401", "nginx speaks HTTP/1.0 to what is behind it, and says nothing else"
    for path in ("/v1/agents/", "/v1/agents/a/schedule", "/v1/health/../agents/", "/v1/health/x"):
        assert stand.ask("GET", path, headers=forwarded).status in {401, 422}
    assert upstream.seen == [], "an open Letta is this machine's alone"
    assert stand.ask("GET", "/v1/health/", headers=forwarded).status == 200
    upstream.password = PASSWORD
    key = {"Authorization": f"Bearer {PASSWORD}"}
    assert stand.ask("GET", "/v1/agents/", headers=forwarded).status == 401
    assert stand.ask("GET", "/v1/agents/", headers=forwarded | key).status == 200


def test_many_streams_are_open_at_once(stand: Stand, upstream: Upstream) -> None:
    async def wait(wire: Wire) -> None:
        await wire.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await wire.chunk(b"open")
        await upstream.heard("all are open")
        await wire.write(b"0\r\n\r\n")

    upstream.acts["/v1/wait"] = wait
    opened = threading.Barrier(21, timeout=WITHIN_S)
    bodies: list[bytes] = []

    def one() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", stand.port, timeout=WITHIN_S)
        connection.request("GET", "/v1/wait")
        answer = connection.getresponse()
        first = answer.read(4)
        opened.wait()
        bodies.append(first + answer.read())
        connection.close()

    threads = [threading.Thread(target=one) for _ in range(20)]
    for thread in threads:
        thread.start()
    opened.wait()
    upstream.signal("all are open").set()
    for thread in threads:
        thread.join(WITHIN_S)
    assert bodies == [b"open"] * 20
