"""The short way of a plain creation answers as the usual way does, and lets everything that is not plain go there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from promptyoself.interfaces.http.api import schedules, shortcut
from promptyoself.storage.lending import LendingStore
from promptyoself.storage.writer import BodyThread
from tests.interfaces.http.conftest import client_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.testclient import TestClient

    from promptyoself.interfaces.http.api.forms import Form
    from tests.interfaces.world import FakeServices

T = TypeVar("T")
AT = "/api/v1/schedules"
GOOD = {"agent_id": "agent-1", "prompt": "Look over the notes.", "every": "1h"}
PLAIN = {"content-type": "application/json"}
BODIES = [
    b'{"agent_id": "agent-1", "prompt": "Look.", "every": "1h"}',
    b'{"agent_id": "agent-1", "prompt": "Look.", "every": "soon"}',
    b'{"agent_id": "agent-1", "prompt": "Look."}',
    b'{"agent_id": "agent-1", "prompt": "Look.", "evry": "1h"}',
    b'{"agent_id": "agent-1", "prompt": 7, "every": "1h"}',
    b'{"agent_id": "no agent", "prompt": "\\ud800", "every": "1h"}',
    b'{"agent_id": "agent-1", "prompt": "a\\u0000b", "every": "1h"}',
    b'{"agent_id": "agent-1", "prompt": "a", "every": "1h", "prompt": "b"}',
    b'["agent-1"]',
    b"null",
    b"{",
    b"\xff",
    b"",
    b"[" * 100_000,
]


def told(
    client: TestClient, body: bytes, content_type: str = "application/json"
) -> tuple[int, dict[str, Any], dict[str, str]]:
    answer = client.post(AT, content=body, headers={"content-type": content_type})
    document: dict[str, Any] = answer.json()
    document.pop("instance", None)
    headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    return answer.status_code, document, headers


@pytest.fixture
def by_the_way(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a list that gets a member for each request which goes the short way."""
    went: list[bool] = []

    async def register(request: Request, body: Form) -> Response:
        went.append(True)
        return await schedules.register(request, body)

    monkeypatch.setattr(shortcut, "register", register)
    return went


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("who", ["operator", "agent-1", "agent-2", None])
def test_both_ways_say_the_same(app: FastAPI, body: bytes, who: str | None) -> None:
    with client_of(app, who) as client:
        usual = told(client, body, "application/json; charset=utf-8")
        again = told(client, body)
    usual[1].pop("id", None), again[1].pop("id", None)  # the second is the second
    usual[2].pop("location", None), again[2].pop("location", None)
    for one in (usual, again):
        one[1].pop("message", None)
        one[1].pop("etag", None), one[2].pop("etag", None), one[2].pop("content-length", None)
    assert again == usual


def test_a_plain_creation_goes_the_short_way(client: TestClient, by_the_way: list[bool]) -> None:
    assert client.post(AT, json=GOOD).status_code == 201
    assert by_the_way == [True]


@pytest.mark.parametrize(
    "more",
    [
        {"headers": {"Idempotency-Key": "one"}},
        {"headers": {"Content-Type": "application/json; charset=utf-8"}},
        {"params": {"dry": "1"}},
    ],
)
def test_what_is_not_plain_goes_the_usual_way(client: TestClient, by_the_way: list[bool], more: dict[str, Any]) -> None:
    assert client.post(AT, json=GOOD, **more).status_code in {201, 422, 400}
    assert client.get(AT).status_code == 200
    assert by_the_way == []


def test_who_is_unknown_is_refused_before_the_body(app: FastAPI, by_the_way: list[bool]) -> None:
    with client_of(app, None) as client:
        answer = client.post(AT, content=b"{", headers=PLAIN)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert by_the_way == []


def test_a_creation_that_must_ask_letta_does_not_run_where_others_commits_wait(
    client: TestClient, services: FakeServices
) -> None:
    ran: list[str] = []

    class Watched(BodyThread):
        async def run(self, body: Callable[[], T]) -> T:
            ran.append("short")
            return await super().run(body)

    services.bodies = thread = Watched(LendingStore(services.store, services.clock))
    portal = client.portal
    assert portal is not None
    try:
        assert client.post(AT, json=GOOD).status_code == 201
        assert (ran, services.asked) == ([], ["agent-1"])
        assert client.post(AT, json=GOOD).status_code == 201  # it was seen just now
        assert client.post(AT, json={**GOOD, "agent_id": "agent-2", "target": "inbox"}).status_code == 201
        assert client.post(AT, json={**GOOD, "agent_id": "agent-3", "skip_validation": True}).status_code == 201
        assert ran == ["short"] * 3
        rule = {"agent_id": "agent-1", "prompt": "Look.", "rrule": "FREQ=DAILY", "target": "inbox"}
        assert client.post(AT, json=rule).status_code == 201
        assert client.patch(f"{AT}/1", json={"name": "notes"}).status_code == 200
        assert ran == ["short"] * 3
    finally:
        portal.call(thread.close)
