"""Letta's official clients speak to `promptyoself serve` in front of a real Letta: everything works, prompts arrive."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients.drivers import CLIENTS, Refused, why_absent
from tests.letta_server.server import LettaServer

pytestmark = pytest.mark.letta

ARRIVES_S = 120.0
PASSWORD = "sesame"  # noqa: S105  it opens a server of the test's own


@contextmanager
def serving(server: LettaServer, folder: Path) -> Iterator[str]:
    """Run `promptyoself serve` in front of the server, without any key of Letta's unless it delivers with one."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PROMPTYOSELF_DB": str(folder / "promptyoself.db"),
        "LETTA_BASE_URL": server.url,
    }
    if server.options.password is not None:
        environ["LETTA_SERVER_PASSWORD"] = server.options.password
    process = subprocess.Popen(
        [sys.executable, "-m", "promptyoself", "serve", "--port", "0"],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        said = ""
        while (found := re.search(r"url=(\S+)\n", said)) is None:
            line = process.stderr.readline()
            assert line, f"serve has ended: {said}"
            said += line
        yield found[1]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def arrived(server: LettaServer, agent: str, text: str) -> bool:
    messages = server.call("GET", f"/v1/agents/{agent}/messages?limit=100")
    return any(one["message_type"] == "user_message" and one["content"] == text for one in messages)


@pytest.fixture(scope="module")
def url(running_letta: LettaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(running_letta, tmp_path_factory.mktemp("serve")) as url:
        yield url


@pytest.mark.parametrize("kind", sorted(CLIENTS))
def test_a_client_lists_schedules_streams_and_its_prompt_arrives(
    letta_server: LettaServer, url: str, kind: str
) -> None:
    if (absent := why_absent(kind)) is not None:
        pytest.skip(absent)
    agent = letta_server.create_agent(f"letta-api-{kind}")
    client = CLIENTS[kind](url)
    try:
        assert all(one["id"].startswith("agent-") for one in client.agents())
        text = f"said by {kind}"
        at_ms = int((time.time() + 2) * 1000)
        made = client.create(agent, messages=[{"role": "user", "content": text}], schedule={"scheduled_at": at_ms})
        daily = client.create(
            agent,
            messages=[{"role": "user", "content": "daily"}],
            schedule={"type": "recurring", "cron_expression": "0 9 * * *"},
        )
        assert [one["id"] for one in client.list(agent)["scheduled_messages"]] == [made["id"], daily["id"]]
        assert client.retrieve(agent, daily["id"])["schedule"]["cron_expression"] == "0 9 * * *"
        assert client.delete(agent, daily["id"]) == {"success": True}
        end = time.monotonic() + ARRIVES_S
        while not arrived(letta_server, agent, text):
            assert time.monotonic() < end, "the prompt has not arrived"
            time.sleep(0.2)
        while client.list(agent)["scheduled_messages"]:
            assert time.monotonic() < end, "what was sent is still listed"
            time.sleep(0.2)
        # The stub LLM sleeps within a turn: what comes before it has to come at once.
        stream = client.stream(agent, "SLEEP:2 talk")
        events = [(time.monotonic(), event.get("message_type")) for event in stream]
        assert "assistant_message" in {kind for _, kind in events}
        assert events[-1][0] - events[0][0] > 1, "nothing is held back until the end"
    finally:
        client.close()


def test_an_agent_that_letta_does_not_know_is_refused(url: str) -> None:
    client = CLIENTS["python"](url)
    with pytest.raises(Refused, match="agent-00000000-0000-4000-8000-000000000000") as refused:
        client.create(
            "agent-00000000-0000-4000-8000-000000000000",
            messages=[{"role": "user", "content": "x"}],
            schedule={"type": "recurring", "cron_expression": "0 9 * * *"},
        )
    assert refused.value.name == "NotFoundError"
    client.close()


@pytest.mark.letta_alone(password=PASSWORD)
def test_a_password_works_for_everything_and_without_it_nothing_does(letta_server: LettaServer, tmp_path: Path) -> None:
    agent = letta_server.create_agent("letta-api-secure")
    with serving(letta_server, tmp_path) as url:
        for kind in ("python", "typescript"):
            if why_absent(kind) is not None:
                continue
            client = CLIENTS[kind](url, PASSWORD)
            assert client.agents()
            said = [{"role": "user", "content": kind}]
            made = client.create(agent, messages=said, schedule={"scheduled_at": time.time() + 2})
            assert client.retrieve(agent, made["id"])["id"] == made["id"]
            end = time.monotonic() + ARRIVES_S
            while not arrived(letta_server, agent, kind):
                assert time.monotonic() < end, "the prompt has not arrived"
                time.sleep(0.2)
            client.close()
        for key in (None, "guess"):
            stranger = CLIENTS["python"](url, key)
            for act in (stranger.agents, lambda asks=stranger: asks.list(agent)):
                with pytest.raises(Refused) as refused:
                    act()
                assert refused.value.name == "AuthenticationError"
            stranger.close()
