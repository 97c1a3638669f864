"""The routes of schedules: the command line's JSON, and refusals that say what to do."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.interfaces.http.conftest import client_of
from tests.interfaces.world import Door, FakeServices

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.testclient import TestClient

AT = "/api/v1/schedules"
GOOD = {"agent_id": "agent-1", "prompt": "Look over the notes.", "every": "1h"}
NOW_KEYS = {"database"}


def made(client: TestClient, **more: object) -> dict[str, Any]:
    answer = client.post(AT, json={**GOOD, **more})
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


def test_a_schedule_is_made_shown_listed_changed_and_cancelled(client: TestClient) -> None:
    answer = client.post(AT, json=GOOD)
    assert (answer.status_code, answer.headers["location"]) == (201, f"{AT}/1")
    assert client.get(f"{AT}/1").json()["schedule"]["prompt_text"] == GOOD["prompt"]
    assert [one["id"] for one in client.get(AT).json()["schedules"]] == [1]
    assert client.patch(f"{AT}/1", json={"name": "notes"}).json()["schedule"]["name"] == "notes"
    assert client.post(f"{AT}/1/pause", json={"reason": "holiday"}).json()["schedule"]["state_reason"] == "holiday"
    assert client.post(f"{AT}/1/resume").json()["schedule"]["state"] == "active"
    assert client.post(f"{AT}/1/skip", json={"count": 2}).json()["skipped"][1]["utc"] == "2026-03-02T11:00:00+00:00"
    assert client.post(f"{AT}/1/snooze", json={"for": "30m"}).json()["comes_at"] == "2026-03-02T12:30:00+00:00"
    assert client.post(f"{AT}/1/run-now").json()["delivery"]["kind"] == "run_now"
    assert client.get(f"{AT}/1/history", params={"limit": 1}).json()["count"] == 1
    assert client.get(f"{AT}/1/why").json()["sentences"]
    assert client.delete(f"{AT}/1").json()["cancelled_id"] == 1
    assert client.get(AT).json()["count"] == 0
    assert client.get(AT, params={"all": "true"}).json()["count"] == 1


def test_the_answer_is_the_command_lines(client: TestClient, services: FakeServices, door: Door) -> None:
    over_http = made(client)
    door.services.close()
    door.services = services
    by_hand = door.ok("register", "--agent-id", "agent-1", "--prompt", GOOD["prompt"], "--every", "1h")
    assert over_http.keys() == by_hand.keys()
    assert client.get(f"{AT}/1").json() == door.ok("show", "--id", "1")


def test_content_comes_as_json_or_as_its_text_and_may_hold_pictures(client: TestClient) -> None:
    picture = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(bytes(100_000)).decode()}
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image", "source": picture}]
    content = {"messages": [{"role": "user", "content": parts}]}
    wanted = {"agent_id": "agent-1", "every": "1h"}
    for given in (content, json.dumps(content)):
        assert client.post(AT, json={**wanted, "content": given}).status_code == 201
        assert client.post(f"{AT}/bulk", json={"schedules": [{**wanted, "content": given}]}).status_code == 200
    assert client.patch(f"{AT}/1", json={"content": {"max_steps": 3}}).status_code == 200
    shown = [client.get(f"{AT}/{id}").json()["details"]["content"] for id in (1, 2, 3, 4)]
    assert shown == [{**content, "max_steps": 3}, content, content, content]
    refused = client.post(AT, json={**wanted, "content": [1]})
    assert (refused.status_code, "content" in refused.json()["detail"]) == (422, True)


def test_a_known_key_is_updated_and_not_made_anew(client: TestClient) -> None:
    made(client, key="notes")
    again = client.post(AT, json={**GOOD, "key": "notes", "prompt": "Other words."})
    assert (again.status_code, again.json()["created"], again.headers["location"]) == (200, False, f"{AT}/1")


WRONG: list[tuple[dict[str, object], int, str]] = [
    ({**GOOD, "promt": "x"}, 422, "did you mean prompt?"),
    ({"agent_id": "agent-1", "every": "1h"}, 400, "prompt is missing"),
    ({**GOOD, "max_repetitions": True}, 422, "max_repetitions must be a whole number"),
    ({**GOOD, "max_repetitions": 1.0}, 422, "max_repetitions must be a whole number"),
    ({**GOOD, "max_repetitions": 0}, 422, "out of range"),
    ({**GOOD, "max_repetitions": -1}, 422, "max_repetitions must be 0 or more"),
    ({**GOOD, "max_repetitions": 10**30}, 422, "max_repetitions"),
    ({**GOOD, "prompt": 7}, 422, "prompt must be text"),
    ({**GOOD, "prompt": "a\0b"}, 422, "NUL"),
    ({**GOOD, "prompt": "a\ud800"}, 422, "Unicode"),
    ({**GOOD, "skip_validation": "yes"}, 422, "true or false"),
    ({**GOOD, "skip_on": "/etc/passwd"}, 422, "not known"),
    ({**GOOD, "db": "other.db"}, 422, "not known"),
    ({**GOOD, "cron": "0 9 * * *"}, 400, "exactly one of time, cron, every and rrule"),
    ({**GOOD, "every": None, "cron": "0 9 * * 9"}, 422, "cron"),
]


@pytest.mark.parametrize(("body", "status", "words"), WRONG, ids=[words for _, _, words in WRONG])
def test_a_wrong_body_is_refused_with_a_sentence_and_stores_nothing(
    client: TestClient, body: dict[str, object], status: int, words: str
) -> None:
    answer = client.post(AT, content=json.dumps(body), headers={"Content-Type": "application/json"})
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert words in problem["error"]
    assert problem["status"] == status
    assert problem["code"]
    assert problem["type"].endswith(f"#{problem['code']}")
    assert client.get(AT, params={"all": "true"}).json()["count"] == 0


@pytest.mark.parametrize(
    ("number", "status"),
    [("9223372036854775807", 404), ("9223372036854775808", 422), ("0", 422), ("-1", 422), ("1.0", 422), ("+1", 422)],
)
def test_a_number_that_is_no_id_is_never_a_bug(client: TestClient, number: str, status: int) -> None:
    assert client.get(f"{AT}/{number}").status_code == status


def test_nobody_is_read_before_it_is_known_who_asks(app: FastAPI) -> None:
    answer = client_of(app, None).post(AT, content=b"{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[1]", "application/json", 422),
        (b"[" * 100_000, "application/json", 400),
        (b'{"prompt": "x", "max_repetitions": 1e999}', "application/json", 422),
        (b"a=1", "application/x-www-form-urlencoded", 415),
        (b"{}", "", 415),
        (b"", "", 422),
        (b'{"agent_id": "agent-1", "prompt": "x", "every": "1h", "prompt": "y"}', "application/json", 422),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(client: TestClient, content: bytes, kind: str, status: int) -> None:
    answer = client.post(AT, content=content, headers={"Content-Type": kind} if kind else {})
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]
    assert client.get(AT, params={"all": "true"}).json()["count"] == 0


@pytest.mark.parametrize("query", ["agent=agent-1", "all=yes", "all=true&all=true", "agent_id=a&agent_id=b"])
def test_a_query_that_is_not_understood_is_not_ignored(client: TestClient, query: str) -> None:
    assert client.get(f"{AT}?{query}").status_code == 422


def test_an_agent_sees_its_own_and_anothers_is_not_there(client: TestClient, app: FastAPI) -> None:
    made(client)
    other = client_of(app, "agent-2")
    assert other.get(f"{AT}/1").status_code == 404
    assert other.delete(f"{AT}/1").status_code == 404
    assert other.post(AT, json=GOOD).status_code == 403
    assert other.get(AT).json()["count"] == 0
    assert client_of(app, "agent-1").get(f"{AT}/1").status_code == 200
