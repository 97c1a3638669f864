"""Posting to callers' URLs against a real listener on loopback: attacks that must not reach it, and one that may."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from promptyoself.domain.addresses import NOTHING, Allowed, read_allowed, read_url
from promptyoself.domain.callbacks import NotPosted, Posted, PostResult
from promptyoself.targets import callbacks
from promptyoself.targets.callbacks import HttpPoster

ALLOW = read_allowed("127.0.0.1, hooks.example")
WITHIN_S = 20


@dataclass
class Listener:
    """A server on loopback that notes what reaches it."""

    port: int = 0
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.method, request.path_qs, dict(request.headers), await request.read()))
        if request.path == "/redirect":
            raise web.HTTPTemporaryRedirect(f"http://127.0.0.1:{self.port}/inner")
        if request.path == "/endless":
            response = web.StreamResponse()
            await response.prepare(request)
            while True:  # until the reader leaves
                await response.write(b"x" * 65536)
        if request.path == "/hang":
            await asyncio.Event().wait()
        return web.Response(status=204)


def scene(play: Callable[[Listener], Awaitable[None]]) -> None:
    async def run() -> None:
        listener = Listener()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", listener.take)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        listener.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]  # it listens
        try:
            async with asyncio.timeout(WITHIN_S):
                await play(listener)
        finally:
            await runner.cleanup()

    asyncio.run(run())


async def post(url: str, allowed: Allowed, *answers: Sequence[str]) -> tuple[PostResult, list[str]]:
    """Post once. `answers` are what the resolver says, one look-up after the other; the looks are returned too."""
    looks: list[str] = []
    script = list(answers)

    async def look_up(host: str, _port: int) -> Sequence[str]:
        looks.append(host)
        if not script:
            raise OSError("no such host")
        return script.pop(0)

    poster = HttpPoster(allowed, look_up=look_up)
    try:
        headers = {"Content-Type": "application/json", "Idempotency-Key": "k/1"}
        return await poster.post(read_url(url, allowed), b"{}", headers), looks
    finally:
        await poster.close()


def test_a_callback_arrives_with_the_host_s_own_name() -> None:
    async def play(listener: Listener) -> None:
        url = f"http://Hooks.Example.:{listener.port}/a?b=%2F"
        result, looks = await post(url, ALLOW, ["127.0.0.1"])
        assert (result, looks) == (Posted(204), ["hooks.example"])
        ((method, path, headers, body),) = listener.seen
        assert (method, path, body) == ("POST", "/a?b=%2F", b"{}")
        assert headers["Host"] == f"hooks.example:{listener.port}"
        assert headers["Idempotency-Key"] == "k/1"
        assert not {"Authorization", "Cookie"} & headers.keys()

    scene(play)


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["8.8.8.8", "127.0.0.1"],
        ["127.0.0.1", "8.8.8.8"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["169.254.169.254"],
        ["10.0.0.1"],
        ["fd00::1"],
        ["fe80::1%lo"],
        ["64:ff9b::7f00:1"],
        ["0.0.0.0"],  # noqa: S104  no address to bind to
    ],
)
def test_a_name_that_stands_for_any_inner_address_is_refused(addresses: list[str]) -> None:
    async def play(listener: Listener) -> None:
        result, looks = await post(f"http://evil.example:{listener.port}/", NOTHING, addresses)
        assert isinstance(result, NotPosted)
        assert result.is_final
        assert "not public" in result.reason or "IPv4 address in an IPv6" in result.reason
        assert (listener.seen, looks) == ([], ["evil.example"])

    scene(play)


def test_a_name_that_changes_its_mind_is_looked_up_once() -> None:
    """DNS rebinding: the first answer is judged and used; the second, that of the attack, is never asked for."""

    async def play(listener: Listener) -> None:
        inner = ["127.0.0.1"]
        allowed = Allowed(blocks=read_allowed("127.9.9.9/32").blocks)
        result, looks = await post(f"http://rebind.example:{listener.port}/", allowed, ["127.9.9.9"], inner, inner)
        assert isinstance(result, NotPosted), "nobody listens at 127.9.9.9"
        assert (listener.seen, looks) == ([], ["rebind.example"])

    scene(play)


def test_each_post_is_judged_anew() -> None:
    async def play(listener: Listener) -> None:
        answers = [["127.0.0.1"], ["10.0.0.1"]]

        async def look_up(_host: str, _port: int) -> Sequence[str]:
            return answers.pop(0)

        poster = HttpPoster(read_allowed("127.0.0.1"), look_up=look_up)
        url = read_url(f"http://changing.example:{listener.port}/")
        first, second = await poster.post(url, b"{}", {}), await poster.post(url, b"{}", {})
        await poster.close()
        assert first == Posted(204)
        assert isinstance(second, NotPosted)
        assert second.is_final
        assert len(listener.seen) == 1

    scene(play)


def test_a_redirect_is_not_followed() -> None:
    async def play(listener: Listener) -> None:
        result, _ = await post(f"http://hooks.example:{listener.port}/redirect", ALLOW, ["127.0.0.1"], ["127.0.0.1"])
        assert result == Posted(307)
        assert [path for _, path, _, _ in listener.seen] == ["/redirect"]

    scene(play)


def test_a_literal_address_is_judged_at_sending_too() -> None:
    async def play(listener: Listener) -> None:
        url = read_url(f"http://127.0.0.1:{listener.port}/", ALLOW)
        poster = HttpPoster(NOTHING)  # the operator has changed their mind
        result = await poster.post(url, b"{}", {})
        await poster.close()
        assert isinstance(result, NotPosted)
        assert result.is_final
        assert listener.seen == []
        assert (await post(url.url, ALLOW))[0] == Posted(204)

    scene(play)


def test_an_answer_without_end_is_not_read() -> None:
    async def play(listener: Listener) -> None:
        assert (await post(f"http://127.0.0.1:{listener.port}/endless", ALLOW))[0] == Posted(200)

    scene(play)


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def test_time_is_bounded_and_secrets_stay_out_of_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(listener: Listener) -> None:
        monkeypatch.setattr(callbacks, "TIMEOUT_S", 0.2)
        hung, _ = await post(f"http://127.0.0.1:{listener.port}/hang?token=s3cret", ALLOW)
        unknown, _ = await post("http://gone.example/s3cret", ALLOW)
        closed, _ = await post(f"http://127.0.0.1:{_closed_port()}/s3cret", ALLOW)
        for result in (hung, unknown, closed):
            assert isinstance(result, NotPosted)
            assert not result.is_final
            assert "s3cret" not in result.reason
        assert [str(getattr(one, "reason", "")).split(" ", 1)[0] for one in (hung, unknown, closed)] == [
            "no", "its", "nobody",
        ]  # fmt: skip

    scene(play)


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(listener: Listener) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        assert (await post(f"http://127.0.0.1:{listener.port}/", ALLOW))[0] == Posted(204)

    scene(play)
