"""The short questions answer within their bound, and each failure says what to do."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

from promptyoself.domain.errors import (
    AgentNotFound,
    ConfigError,
    InvalidAgentId,
    InvalidInput,
    PromptyoselfError,
    TargetRefused,
    TargetUnreachable,
)
from promptyoself.domain.secret import Secret
from promptyoself.targets.letta_check import check_agent, get_client, list_agents, ping, upload_tool
from promptyoself.targets.letta_settings import LettaSettings
from tests.fakes.letta_http import FakeLetta

T = TypeVar("T")
SOURCE = 'def wave(name: str) -> str:\n    """Wave."""\n    return name\n'


def ask(fake: FakeLetta, question: Callable[[LettaSettings], T], key: str | None = None) -> T:
    """Start the fake, ask in a thread, stop the fake."""

    async def scene() -> T:
        async with asyncio.timeout(20), fake:
            settings = LettaSettings(base_url=fake.base_url, api_key=None if key is None else Secret(key))
            return await asyncio.to_thread(question, settings)

    return asyncio.run(scene())


def test_an_agent_is_found_with_name_and_description() -> None:
    found = ask(FakeLetta(), lambda settings: check_agent(settings, "agent-1"))
    assert (found.id, found.name, found.description) == ("agent-1", "AGENT-1", "an agent")


def test_an_unknown_agent_is_not_found_and_a_strange_id_never_leaves() -> None:
    fake = FakeLetta()
    with pytest.raises(AgentNotFound, match="not found"):
        ask(fake, lambda settings: check_agent(settings, "agent-2"))
    fake.requests.clear()
    with pytest.raises(InvalidAgentId):
        ask(fake, lambda settings: check_agent(settings, "../agent-1"))
    assert fake.requests == []


def test_a_url_without_letta_behind_it_is_a_refusal_and_no_missing_agent() -> None:
    with pytest.raises(TargetRefused):
        ask(FakeLetta(), lambda s: check_agent(LettaSettings(base_url=f"{s.base_url}/elsewhere"), "agent-1"))


def test_a_ping_names_version_and_latency_and_needs_the_right_key() -> None:
    status = ask(FakeLetta(password="right"), ping, "right")
    assert (status.version, status.latency_ms > 0) == ("0.16.8", True)
    for key in ("wrong", None):
        with pytest.raises(TargetRefused) as caught:
            ask(FakeLetta(password="right"), ping, key)
        assert "LETTA_API_KEY" in (caught.value.hint or "")


def test_all_agents_are_listed_over_pages() -> None:
    fake = FakeLetta(agents={f"agent-{n:03}" for n in range(250)})
    assert [agent.id for agent in ask(fake, list_agents)] == sorted(fake.agents)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://letta.invalid"])
def test_a_server_that_is_not_there_is_unreachable(url: str) -> None:
    with pytest.raises(TargetUnreachable, match="cannot be reached"):
        ping(LettaSettings(base_url=url))


def test_a_server_that_trickles_does_not_outlast_the_bound() -> None:
    is_over, trickled = asyncio.Event(), asyncio.Event()

    async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not is_over.is_set():
                writer.write(b" ")
                await asyncio.sleep(0.05)
        finally:
            writer.close()
            trickled.set()

    async def scene() -> None:
        server = await asyncio.start_server(trickle, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            settings = LettaSettings(base_url=f"http://127.0.0.1:{port}")
            with pytest.raises(TargetUnreachable, match=r"within 0\.3 s"):
                await asyncio.to_thread(check_agent, settings, "agent-1", 0.3)
            is_over.set()
            await trickled.wait()

    began = time.perf_counter()  # noqa: TID251  the bound is what is tested
    asyncio.run(asyncio.wait_for(scene(), 10))
    assert time.perf_counter() - began < 5  # noqa: TID251  as above


def test_a_tool_is_uploaded_only_with_a_key_and_under_its_functions_name() -> None:
    settings = LettaSettings()
    with pytest.raises(ConfigError, match="LETTA_API_KEY"):
        upload_tool(settings, SOURCE)
    keyed = LettaSettings(api_key=Secret("k"), base_url="http://127.0.0.1:1")
    for source, name in ((SOURCE, "other"), ("x = 1", None), ("def", None)):
        with pytest.raises(InvalidInput):
            upload_tool(keyed, source, name)
    with pytest.raises(TargetUnreachable):
        upload_tool(keyed, SOURCE, "wave")


def test_the_official_client_never_repeats_and_takes_no_key_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LETTA_API_KEY", "another-server's")
    with get_client(LettaSettings()) as client:
        assert client.max_retries == 0
        assert "another-server's" not in str(client.default_headers)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://letta", "http"),
        ("letta:8283", "http"),
        ("http://", "host"),
        ("http://user:hunter2@letta", "credentials"),
        ("http://letta:port", "malformed"),
        ("http://letta/?key=hunter2", "query"),
        ("http://letta/ x", "space"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_quoting_it(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        LettaSettings(base_url=url)
    assert "hunter2" not in f"{caught.value}{caught.value.hint}"


def test_settings_show_no_key_and_refuse_odd_ones() -> None:
    assert "s3same" not in repr(LettaSettings(api_key=Secret("s3same")))
    assert LettaSettings(base_url="https://letta.example/api/").base_url == "https://letta.example/api"
    refused: list[Callable[[], LettaSettings]] = [
        lambda: LettaSettings(api_key=Secret("two\nlines")),
        lambda: LettaSettings(mode="fast"),  # type: ignore[arg-type]  # the mistake under test
        lambda: LettaSettings(connect_timeout_s=0),
    ]
    for make in refused:
        with pytest.raises(PromptyoselfError):
            make()


def test_the_check_costs_no_heavy_import() -> None:
    code = (
        "import sys, promptyoself.targets.letta_check; print({'aiohttp', 'httpx', 'letta_client'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "set()"
