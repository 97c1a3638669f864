"""Entity tags: who edits what has changed meanwhile is refused, and who has it already is told so."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.interfaces.http.test_schedules import AT, made

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.interfaces.world import FakeServices


def tag_of(client: TestClient) -> str:
    tag = client.get(f"{AT}/1").headers["etag"]
    assert tag.startswith('"1-active-')
    return tag


@pytest.fixture(autouse=True)
def _schedule(client: TestClient) -> None:
    made(client)


def test_what_has_not_changed_is_not_sent_again(client: TestClient, services: FakeServices) -> None:
    tag = tag_of(client)
    services.clock.at += timedelta(minutes=1)
    again = client.get(f"{AT}/1", headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get(f"{AT}/1", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("action", ["pause", "skip", "snooze"])
def test_any_change_that_shows_changes_the_tag(client: TestClient, action: str) -> None:
    tag = tag_of(client)
    body = {"for": "30m"} if action == "snooze" else {}
    assert client.post(f"{AT}/1/{action}", json=body).status_code == 200
    assert client.get(f"{AT}/1", headers={"If-None-Match": tag}).status_code == 200


def test_an_edit_of_what_was_edited_meanwhile_is_refused(client: TestClient) -> None:
    tag = tag_of(client)
    assert client.patch(f"{AT}/1", json={"name": "first"}, headers={"If-Match": tag}).status_code == 200
    late = client.patch(f"{AT}/1", json={"name": "second"}, headers={"If-Match": tag})
    assert (late.status_code, late.json()["code"]) == (412, "conflict")
    assert client.get(f"{AT}/1").json()["schedule"]["name"] == "first"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "", {"name": "other"}),
        ("DELETE", "", None),
        ("POST", "/pause", {"reason": "other"}),
        ("POST", "/resume", None),
        ("POST", "/skip", None),
        ("POST", "/snooze", {"for": "1h"}),
    ],
)
def test_a_pause_that_was_not_seen_refuses_every_change(
    client: TestClient, method: str, path: str, body: dict[str, str] | None
) -> None:
    tag = tag_of(client)
    client.post(f"{AT}/1/pause", json={"reason": "by another"})
    before = client.get(f"{AT}/1").json()["schedule"]
    refused = client.request(method, f"{AT}/1{path}", json=body, headers={"If-Match": tag})
    assert (refused.status_code, refused.json()["code"]) == (412, "conflict")
    assert client.get(f"{AT}/1").json()["schedule"] == before


def test_a_fire_in_between_refuses_nobody_but_is_news_to_a_cache(client: TestClient, services: FakeServices) -> None:
    from promptyoself.application.planner import plan_batch

    tag = tag_of(client)
    services.clock.at += timedelta(hours=1)
    with services.store.transaction() as tx:
        plan_batch(tx, store_uid=services.store.uid, now=services.clock.at)
    assert client.get(f"{AT}/1", headers={"If-None-Match": tag}).status_code == 200
    assert client.patch(f"{AT}/1", json={"name": "x"}, headers={"If-Match": tag}).status_code == 200


def test_a_star_asks_only_that_it_exists(client: TestClient) -> None:
    assert client.patch(f"{AT}/1", json={"name": "x"}, headers={"If-Match": "*"}).status_code == 200
    assert client.patch(f"{AT}/2", json={"name": "x"}, headers={"If-Match": "*"}).status_code == 404
    assert client.get(f"{AT}/1", headers={"If-None-Match": "*"}).status_code == 304


@pytest.mark.parametrize("tag", ['"nonsense"', '"1-activ"', '"1-active0"', '""', '"11-active-0000000000000000"'])
def test_a_tag_of_another_state_is_refused(client: TestClient, tag: str) -> None:
    assert client.patch(f"{AT}/1", json={"name": "x"}, headers={"If-Match": tag}).status_code == 412


def test_null_clears_what_an_edit_may_clear(client: TestClient) -> None:
    client.patch(f"{AT}/1", json={"name": "notes", "max_repetitions": 3})
    shown = client.patch(f"{AT}/1", json={"name": None, "max_repetitions": None, "cron": None}).json()
    assert shown.get("code") == "invalid_trigger"
    shown = client.patch(f"{AT}/1", json={"name": None, "max_repetitions": None}).json()["schedule"]
    assert (shown["name"], shown["max_repetitions"]) == (None, None)
