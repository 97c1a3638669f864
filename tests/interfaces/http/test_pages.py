"""Pages: each item once, whatever is added or goes meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from promptyoself.domain import limits
from tests.interfaces.http.test_schedules import AT, made

if TYPE_CHECKING:
    from starlette.testclient import TestClient

DELIVERIES = "/api/v1/deliveries"


def test_pages_hold_each_schedule_once_though_some_come_and_go(client: TestClient) -> None:
    for _ in range(5):
        made(client)
    first = client.get(AT, params={"limit": 2})
    assert first.headers["link"] == f'<{AT}?limit=2&cursor={first.json()["next_cursor"]}>; rel="next"'
    client.delete(f"{AT}/2")
    client.delete(f"{AT}/3")
    made(client)
    seen = [one["id"] for one in first.json()["schedules"]]
    answer = first
    while link := answer.headers.get("link", ""):
        answer = client.get(link.partition(">")[0].removeprefix("<"))
        seen += [one["id"] for one in answer.json()["schedules"]]
    assert seen == [1, 2, 4, 5, 6]
    assert answer.json()["next_cursor"] is None


def test_the_last_page_names_no_other(client: TestClient) -> None:
    for _ in range(4):
        made(client)
    first = client.get(AT, params={"limit": 2}).json()
    last = client.get(AT, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert (last["count"], last["next_cursor"]) == (2, None)


def test_deliveries_come_in_pages_newest_first(client: TestClient, services: object) -> None:
    for number in range(1, 4):
        made(client)
        client.post(f"{AT}/{number}/run-now")
    first = client.get(DELIVERIES, params={"limit": 2})
    made(client)
    client.post(f"{AT}/4/run-now")
    rest = client.get(DELIVERIES, params={"limit": 2, "cursor": first.json()["next_cursor"]})
    assert [one["id"] for one in first.json()["deliveries"] + rest.json()["deliveries"]] == [3, 2, 1]
    assert 'rel="next"' in first.headers["link"]
    assert client.get(DELIVERIES, params={"schedule_id": 2}).json()["count"] == 1
    assert client.get(DELIVERIES, params={"state": "dead,pending"}).json()["count"] == 4
    assert services


@pytest.mark.parametrize(
    "cursor", ["", "x", "czE=", "ZDE", "cy0x", "c8KyMQ", "\u00e9", "A" * 100, "czk5OTk5OTk5OTk5OTk5OTk5OTk5OQ"]
)
def test_what_is_no_cursor_of_this_list_is_refused(client: TestClient, cursor: str) -> None:
    expected = 200 if cursor == "czE=" else 422
    assert client.get(AT, params={"cursor": cursor}).status_code == expected


@pytest.mark.parametrize("limit", ["0", "-1", str(limits.PAGE_MAX + 1), "1.0", "ten", "1e3", "+1", " 1"])
def test_a_page_has_bounds(client: TestClient, limit: str) -> None:
    for path in (AT, DELIVERIES, f"{AT}/1/history", f"{AT}/1/why", "/api/v1/inbox"):
        answer = client.get(path, params={"limit": limit})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), path


def test_a_list_can_be_narrowed(client: TestClient) -> None:
    made(client, name="Water the plants", key="plants")
    made(client, every=None, cron="0 9 * * *", target="inbox", agent_id="agent-2")
    made(client, every=None, time="2026-03-05T09:00")
    client.post(f"{AT}/3/pause")

    def found(**query: str) -> list[int]:
        answer = client.get(AT, params=query)
        assert answer.status_code == 200, answer.text
        return [one["id"] for one in answer.json()["schedules"]]

    assert found(name="PLANTS") == [1]
    assert found(key="plants") == [1]
    assert found(type="cron,once") == [2, 3]
    assert found(target="inbox") == [2]
    assert found(state="paused") == [3]
    assert found(agent_id="agent-2") == [2]
    assert found(owner="operator", type="interval") == [1]
    assert found(next_until="2026-03-02T23:00") == [1]
    assert found(next_from="2026-03-03", next_until="2026-03-03") == [2]
    client.delete(f"{AT}/1")
    assert found() == [2, 3]
    assert found(state="cancelled") == [1]
