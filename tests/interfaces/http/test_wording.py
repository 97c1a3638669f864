"""What callers of the HTTP API are told: addresses and keys, never a command to type or an option."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from promptyoself.interfaces.commands import COMMANDS
from promptyoself.interfaces.http.wording import _ADDRESSES, _BASE, _FOR_ALL, for_http

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.testclient import TestClient

SCHEDULE = {"agent_id": "agent-1", "prompt": "Look.", "every": "1h", "target": "inbox"}


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("promptyoself list --all shows every id", "GET /api/v1/schedules?all=true shows every id"),
        ("promptyoself run-now --id 7 sends it", "POST /api/v1/schedules/7/run-now sends it"),
        ("`promptyoself retry --id 9` revives it", "`POST /api/v1/deliveries/9/retry` revives it"),
        ("`promptyoself resume --all` lets them go on", "`POST /api/v1/resume` lets them go on"),
        (
            "promptyoself resume --id 7, or pause it --until a time",
            "POST /api/v1/schedules/7/resume, or pause it until a time",
        ),
        ("promptyoself token list --all shows them", "GET /api/v1/tokens?all=true shows them"),
        ("promptyoself deliveries --state pending shows", "GET /api/v1/deliveries?state=pending shows"),
        ("give --agent-id, or set LETTA_AGENT_ID", "give agent_id"),
        ("pause --all is for operators", "POST /api/v1/pause is for operators"),
        ("snooze --id 7 --for 30m", "GET /openapi.json describes each request, with examples"),
        ("start `promptyoself execute --loop`", "start `promptyoself execute --loop`"),
        (
            "an operator issues one with promptyoself token create",
            "an operator issues one with promptyoself token create",
        ),
        ("promptyoself test-all", "promptyoself test-all"),
    ],
)
def test_commands_become_addresses_and_options_keys(sentence: str, said: str) -> None:
    assert for_http(sentence) == said


def test_every_address_that_is_named_is_one(app: FastAPI) -> None:
    known = {command.name for command in COMMANDS}
    paths = app.openapi()["paths"].items()
    bare = {(method.upper(), re.sub(r"\{\w+\}", "{}", path)) for path, methods in paths for method in methods}
    for name, address in (*_ADDRESSES.items(), *_FOR_ALL.items()):
        method, path = address.split(" ")
        assert name in known
        assert (method, re.sub(r"\{\w+\}", "{}", _BASE + path)) in bare, name


def test_refusals_and_warnings_name_no_command_and_no_option(client: TestClient) -> None:
    made = client.post("/api/v1/schedules", json=SCHEDULE).json()
    client.post("/api/v1/pause", json={})
    answers = [
        client.get("/api/v1/schedules/99"),
        client.post(f"/api/v1/schedules/{made['id']}/snooze", json={}),
        client.post("/api/v1/deliveries/99/retry", json={}),
        client.delete("/api/v1/tokens/99"),
        client.get("/api/v1/inbox"),
        client.post("/api/v1/schedules/bulk", json={"schedules": [{"prompt": "x"}]}),
        client.get("/api/v1/schedules"),
        client.get(f"/api/v1/schedules/{made['id']}"),
    ]
    for answer in answers:
        said = answer.json()
        told = [said.get("error") or "", said.get("hint") or "", *said.get("warnings", [])]
        told += [one["error"] for one in said.get("errors", [])]
        told = [one for one in told if not one.startswith("nothing is running")]
        assert not any(re.search(r"promptyoself [a-z]|--[a-z]|LETTA_AGENT_ID", one) for one in told), told
    assert any("/api/v1/resume" in one for one in answers[-1].json()["warnings"])


def test_what_a_route_does_is_said_of_the_route_alone(app: FastAPI) -> None:
    operations = [one for methods in app.openapi()["paths"].values() for one in methods.values()]
    summaries = [one["summary"] for one in operations]
    assert len(set(summaries)) == len(summaries)
    assert not [one for one in summaries if re.search(r"JSON file|\bwith (all|loop)\b|--", one)]


def test_an_agent_is_told_whose_its_token_is(app: FastAPI) -> None:
    from tests.interfaces.http.conftest import client_of

    refused = client_of(app, "agent-1").post("/api/v1/pause", json={}).json()
    assert refused["detail"] == "POST /api/v1/pause is for operators; this token acts for agent agent-1"
