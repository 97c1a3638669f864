"""Letta's official clients speak to `promptyoself serve` in front of a real Letta: everything works, prompts arrive."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.drivers import CLIENTS, Refused, why_absent
from tests.letta.desk import APART, PASSWORD, Desk, Service, until
from tests.letta.test_outgoing_real import IMAGE
from tests.letta_server.server import LettaServer

pytestmark = pytest.mark.letta

ARRIVES_S = 120.0
LEAD_S = 5.0
"""How far ahead a prompt is put: a request takes that long on a busy machine, and a time that is past is refused."""


PICTURED = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE]},
]


def arrived(server: LettaServer, agent: str) -> list[Any]:
    """Return what the user said to the agent: texts, or lists of parts."""
    messages = server.call("GET", f"/v1/agents/{agent}/messages?limit=100&order=asc")
    return [one["content"] for one in messages if one["message_type"] == "user_message"]


def assert_arrives(server: LettaServer, agent: str, text: str) -> None:
    until(lambda: text in arrived(server, agent), within_s=ARRIVES_S)


@pytest.fixture(scope="module")
def service(running_letta: LettaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Desk(running_letta, tmp_path_factory.mktemp("serve")).serving() as service:
        yield service


@pytest.fixture
def url(service: Service) -> str:
    return service.url


@pytest.mark.parametrize("kind", sorted(CLIENTS))
def test_a_client_lists_schedules_streams_and_its_prompt_arrives(
    letta_server: LettaServer, url: str, kind: str
) -> None:
    if (absent := why_absent(kind)) is not None:
        pytest.skip(absent)
    agent = letta_server.create_agent(f"letta-api-{kind}")
    client = CLIENTS[kind](url)
    try:
        assert agent in {one["id"] for one in client.agents()}
        assert client.list(agent)["scheduled_messages"] == []
        text = f"said by {kind}"
        at_ms = int((time.time() + LEAD_S) * 1000)
        made = client.create(agent, messages=[{"role": "user", "content": text}], schedule={"scheduled_at": at_ms})
        pictured = client.create(agent, messages=PICTURED, schedule={"scheduled_at": at_ms + 500})
        daily = client.create(
            agent,
            messages=[{"role": "user", "content": "daily"}],
            schedule={"type": "recurring", "cron_expression": "0 9 * * *"},
        )
        ids = [made["id"], pictured["id"], daily["id"]]
        assert [one["id"] for one in client.list(agent)["scheduled_messages"]] == ids
        assert client.retrieve(agent, pictured["id"])["message"]["messages"] == PICTURED
        assert client.retrieve(agent, daily["id"])["schedule"]["cron_expression"] == "0 9 * * *"
        assert client.delete(agent, daily["id"]) == {"success": True}
        until(lambda: len(arrived(letta_server, agent)) == 2, within_s=ARRIVES_S)
        first, second = arrived(letta_server, agent)
        assert first == text
        assert [part["type"] for part in second] == ["text", "image"]
        until(lambda: client.list(agent)["scheduled_messages"] == [], within_s=ARRIVES_S)
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


@pytest.mark.parametrize("path", ["/api/v1/schedules", "/mcp"])
def test_at_a_letta_that_asks_nobody_a_bearer_proves_nothing(service: Service, path: str) -> None:
    for bearer, why in ((None, "without a token"), ("guess", "lets everybody in")):
        status, answer = service.call("POST", path, {}, bearer=bearer)
        assert status == 401
        assert why in json.dumps(answer)
        assert "promptyoself token create" in json.dumps(answer)


@APART
def test_a_password_works_for_everything_and_without_it_nothing_does(letta_server: LettaServer, tmp_path: Path) -> None:
    agent = letta_server.create_agent("letta-api-secure")
    with Desk(letta_server, tmp_path).serving() as service:
        url = service.url
        for kind in ("python", "typescript"):
            if why_absent(kind) is not None:
                continue
            client = CLIENTS[kind](url, PASSWORD)
            assert agent in {one["id"] for one in client.agents()}
            said = [{"role": "user", "content": kind}]
            made = client.create(agent, messages=said, schedule={"scheduled_at": time.time() + LEAD_S})
            assert client.retrieve(agent, made["id"])["id"] == made["id"]
            assert_arrives(letta_server, agent, kind)
            client.close()
        for key in (None, "guess"):
            stranger = CLIENTS["python"](url, key)
            for act in (stranger.agents, lambda asks=stranger: asks.list(agent)):
                with pytest.raises(Refused) as refused:
                    act()
                assert refused.value.name == "AuthenticationError"
            stranger.close()
        assert_letta_is_asked_about_keys(service, agent)


def assert_letta_is_asked_about_keys(service: Service, agent: str) -> None:
    """On our own API and MCP, too, the password makes an operator, and nothing else of Letta's does."""
    wanted = {"agent_id": agent, "prompt": "by password", "every": "1d"}
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    for bearer, statuses in ((PASSWORD, (201, 200)), ("guess", (401, 401)), (None, (401, 401))):
        made, shown = service.call("POST", "/api/v1/schedules", wanted, bearer=bearer)
        listed, _ = service.call("POST", "/mcp", listing, bearer=bearer)
        assert (made, listed) == statuses, shown
        if made == 201:
            _, found = service.call("GET", f"/api/v1/schedules/{shown['id']}", bearer=PASSWORD)
            assert found["schedule"]["created_by"] == "operator via http, letta key"
