"""Many schedules in one request: all as `register` would store each, or none."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from promptyoself.domain import limits
from promptyoself.domain.errors import AgentNotFound, TargetUnreachable
from promptyoself.domain.models import Schedule
from promptyoself.domain.ports import ScheduleFilter
from tests.interfaces.http.conftest import client_of
from tests.interfaces.world import Door, FakeServices

if TYPE_CHECKING:
    from fastapi import FastAPI
    from httpx2 import Response
    from starlette.testclient import TestClient

BULK = "/api/v1/schedules/bulk"
ENTRY = {"agent_id": "agent-1", "prompt": "stretch", "every": "1h", "target": "inbox"}


def stored(services: FakeServices) -> list[Schedule]:
    with services.store.reading() as tx:
        return tx.schedules(ScheduleFilter(limit=limits.LIST_MAX))


def send(client: TestClient, *entries: object) -> dict[str, Any]:
    document = client.post(BULK, json={"schedules": entries}).json()
    assert isinstance(document, dict)
    return document


def test_ten_thousand_are_stored_in_one_request(client: TestClient, services: FakeServices) -> None:
    entries = [{**ENTRY, "agent_id": f"agent-{n % 7}", "name": f"number {n}"} for n in range(10_000)]
    answer = send(client, *entries)
    assert (answer["status"], answer["count"], answer["created"], answer["updated"]) == ("success", 10_000, 10_000, 0)
    with services.store.reading() as tx:
        for n in range(0, 10_000, 997):
            one = tx.schedule(answer["ids"][n])
            assert one is not None
            assert one.definition.name == f"number {n}"
        assert tx.newest_fact_id() == tx.counts()["schedules_active"] == 10_000


RULES: list[dict[str, object]] = [
    {"every": "1h"},
    {"every": "1h", "timezone": "Europe/Riga", "jitter": "5m", "start_at": "2030-01-01T00:00"},
    {"every": "weekday at 9am"},
    {"cron": "0 9 * * mon-fri", "timezone": "Asia/Tokyo", "quiet_hours": "22:00-07:00", "max_repetitions": 3},
    {"time": "tomorrow 9am", "expires_after": "2h", "envelope": "full"},
    {"time": "2030-01-31T09:00", "conversation": "new", "retry_for": "1h", "catch_up": "all:6h", "overlap": "queue"},
    {"rrule": "FREQ=MONTHLY;BYDAY=1MO;BYHOUR=9", "name": "monthly", "key": "m", "target": ""},
    {"every": "2h", "end_at": "next friday 9am", "agent_id": "agent-9", "name": "", "key": ""},
]


def test_each_is_stored_as_register_stores_it(client: TestClient, services: FakeServices, tmp_path: Path) -> None:
    plain = {"agent_id": "agent-1", "prompt": "stretch", "target": "inbox"}
    entries = [{**plain, **rule} for rule in (*RULES, *RULES[:6])]
    assert send(client, *[{**one, "skip_validation": True} for one in entries])["created"] == len(entries)
    alone = Door(tmp_path / "alone")
    for entry in entries:
        words = [word for key, value in entry.items() for word in (f"--{key.replace('_', '-')}", str(value))]
        alone.ok("register", *words, "--skip-validation")
    each = stored(alone.services)
    alone.services.close()
    provenance = replace(each[0].provenance, created_by="operator via http, token operator")
    assert [replace(one, uid="") for one in stored(services)] == [
        replace(one, uid="", provenance=provenance) for one in each
    ]


def test_one_bad_entry_refuses_all_and_each_bad_one_is_named(client: TestClient, services: FakeServices) -> None:
    answer = send(
        client,
        ENTRY,
        {**ENTRY, "every": "soonish"},
        {**ENTRY, "prompt": " "},
        {**ENTRY, "cron": "* * * * *"},
        {"prompt": "p", "every": "1h"},
        {**ENTRY, "evry": "1h"},
        {**ENTRY, "max_repetitions": 1.5},
        {**ENTRY, "max_repetitions": 0},
        {**ENTRY, "timezone": "Mars/Olympus"},
        "no object",
        {**ENTRY, "name": "a\0b"},
        {**ENTRY, "skip_on": "/etc/passwd"},
    )
    assert (answer["code"], answer["status"], answer["refused"]) == ("batch_refused", 422, 11)
    assert [one["index"] for one in answer["errors"]] == list(range(1, 12))
    assert [one["code"] for one in answer["errors"]][:4] == [
        "invalid_interval",
        "invalid_input",
        "usage",
        "usage",
    ]
    assert all(one["error"] for one in answer["errors"])
    assert "root:" not in json.dumps(answer)
    assert stored(services) == []
    with services.store.reading() as tx:
        assert tx.newest_fact_id() == 0


def test_of_many_bad_entries_the_first_are_named_and_all_counted(client: TestClient) -> None:
    answer = send(client, *[{**ENTRY, "cron": "x"}] * 500)
    assert (len(answer["errors"]), answer["refused"]) == (limits.BULK_FAULTS_SHOWN_MAX, 500)


def test_keys_update_what_is_there_and_are_given_once(client: TestClient, services: FakeServices) -> None:
    first = send(client, {**ENTRY, "key": "a"}, {**ENTRY, "key": "b"})
    again = send(client, {**ENTRY, "key": "b", "every": "2h"}, {**ENTRY, "key": "c"}, {**ENTRY, "key": "a"})
    assert again["ids"] == [first["ids"][1], 3, first["ids"][0]]
    assert (again["created"], again["updated"]) == (1, 2)
    assert [(one.definition.trigger.expression, one.revision) for one in stored(services)] == [
        ("1h", 1),
        ("2h", 2),
        ("1h", 1),
    ]
    twice = send(client, {**ENTRY, "key": "d"}, {**ENTRY, "key": "e"}, {**ENTRY, "key": "d"})
    assert [(one["index"], one["code"]) for one in twice["errors"]] == [(2, "conflict")]
    assert len(stored(services)) == 3


def test_an_agents_limits_hold_over_the_whole_batch(app: FastAPI, services: FakeServices) -> None:
    with client_of(app, "agent-1") as client:
        mine = {key: value for key, value in ENTRY.items() if key != "agent_id"}
        beyond = send(client, *[mine] * (limits.AGENT_CREATIONS_PER_HOUR_MAX + 2))
        assert [(one["index"], one["code"]) for one in beyond["errors"]] == [
            (limits.AGENT_CREATIONS_PER_HOUR_MAX + n, "limit_exceeded") for n in range(2)
        ]
        assert stored(services) == []
        assert send(client, *[mine] * limits.AGENT_CREATIONS_PER_HOUR_MAX)["created"] == 60
        assert [one["code"] for one in send(client, mine)["errors"]] == ["limit_exceeded"]
        others = send(client, {**ENTRY, "agent_id": "agent-2"}, {**mine, "every": "30s"})
        assert [one["code"] for one in others["errors"]] == ["forbidden", "limit_exceeded"]


def test_an_agent_that_letta_does_not_know_is_refused_by_entry(client: TestClient, services: FakeServices) -> None:
    services.letta = AgentNotFound("no such agent", hint="promptyoself agents lists them")
    letta = {**ENTRY, "target": "letta"}
    answer = send(client, ENTRY, letta, {**letta, "skip_validation": True}, letta)
    assert [(one["index"], one["code"]) for one in answer["errors"]] == [
        (1, "agent_not_found"),
        (3, "agent_not_found"),
    ]
    assert services.asked == ["agent-1"]
    services.letta = TargetUnreachable("nobody answers")
    assert "the agents were not checked" in send(client, letta)["warnings"][1]


def test_a_request_that_is_sent_again_makes_nothing_new(client: TestClient, services: FakeServices) -> None:
    def again(*entries: object) -> Response:
        return client.post(BULK, json={"schedules": entries}, headers={"Idempotency-Key": "k-1"})

    assert again({**ENTRY, "every": "soonish"}).json()["code"] == "batch_refused"  # what stored nothing is not kept
    first, second = again(ENTRY, ENTRY), again(ENTRY, ENTRY)
    assert (first.json()["ids"], first.headers.get("Idempotency-Replayed")) == ([1, 2], None)
    assert (second.json()["ids"], second.headers.get("Idempotency-Replayed")) == ([1, 2], "true")
    assert (second.json()["created"], len(stored(services))) == (2, 2)
    assert again(ENTRY).json()["code"] == "key_reused"
    assert len(stored(services)) == 2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("[]", "invalid_input"),
        ("{}", "invalid_input"),
        ('{"schedules": []}', "invalid_input"),
        ('{"schedules": {}}', "invalid_input"),
        ('{"schedules": [], "more": 1}', "invalid_input"),
        ('{"schedules": [', "usage"),
        ('{"schedules": [NaN]}', "usage"),
        ('{"schedules": [{"every": "1h", "every": "2h"}]}', "usage"),
        ("[" * 100_000, "usage"),
        ('{"schedules": [1' + "0" * 5000 + "]}", "usage"),
        (b'{"schedules": ["\xff"]}', "usage"),
        ('{"schedules": [' + ",".join(["1"] * 10_001) + "]}", "invalid_input"),
        ('{"schedules": [{"prompt": "\\ud800", "every": "1h", "agent_id": "a"}]}', "batch_refused"),
    ],
)
def test_what_is_no_list_of_schedules_is_refused(body: str | bytes, code: str, client: TestClient) -> None:
    answer = client.post(BULK, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400 if code == "usage" else 422, code)


def test_a_body_that_does_not_say_that_it_is_json_is_not_read(client: TestClient) -> None:
    assert client.post(BULK, content="{}", headers={"Content-Type": "text/plain"}).status_code == 415


def test_reading_without_end_is_cut_short(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BULK_READ_FOR", timedelta(seconds=-1))
    assert "send fewer schedules at once" in send(client, ENTRY)["error"]


def test_warnings_are_said_once_and_bounded(client: TestClient) -> None:
    answer = send(client, *[{**ENTRY, "cron": f"{n} 9 13 * fri", "every": None} for n in range(50)])
    assert len(answer["warnings"]) == limits.BULK_WARNINGS_MAX
    assert len(set(answer["warnings"])) == limits.BULK_WARNINGS_MAX


def test_the_command_reads_a_file_and_an_agent_may_not(door: Door, tmp_path: Path) -> None:
    path = tmp_path / "schedules.json"
    path.write_text(json.dumps({"schedules": [ENTRY]}))
    assert door.ok("register-all", str(path))["ids"] == [1]
    door.services.owner = "agent-1"
    assert door.refused("register-all", str(path))["code"] == "forbidden"
