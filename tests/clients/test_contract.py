"""Letta's official clients, Python's two and TypeScript's, against our routes: what they send, parse and raise."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import letta_client
import pytest

from promptyoself.application.schedules import Caller, run_now
from promptyoself.domain.models import OPERATOR as IDENTITY_OPERATOR
from promptyoself.domain.ports import AgentInfo
from promptyoself.interfaces.door import Door
from promptyoself.interfaces.identity import Identity
from promptyoself.interfaces.parse import OptionValue
from tests.clients.drivers import CLIENTS, Client, Refused, TypeScript, why_absent
from tests.clients.stand import TOKEN_OF_1, TOKEN_OF_2, TOKEN_OF_3, Stand
from tests.clients.upstream import WITHIN_S, Wire
from tests.interfaces.world import NOW

OPERATOR = Caller(owner=IDENTITY_OPERATOR, door="test")
SOON = NOW + timedelta(hours=1)
SOON_MS = int(SOON.timestamp() * 1000)
ONCE = {"type": "one-time", "scheduled_at": SOON_MS}
DAILY = {"type": "recurring", "cron_expression": "0 9 * * *"}
HELLO = [{"role": "user", "content": "hello, me"}]
PASSWORD = "sesame"  # noqa: S105  it opens nothing
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture(scope="module", params=sorted(CLIENTS))
def running_client(request: pytest.FixtureRequest, running_stand: Stand) -> Iterator[Client]:
    absent = why_absent(request.param)
    if absent is not None:
        pytest.skip(absent)
    client = CLIENTS[request.param](running_stand.url)
    yield client
    client.close()


@pytest.fixture
def client(running_client: Client, stand: Stand) -> Client:
    assert stand.port
    return running_client


@pytest.fixture
def agent(request: pytest.FixtureRequest) -> str:
    """An agent of this test's own, in the database that the module shares."""
    name = "".join(char if char.isalnum() else "-" for char in request.node.name)
    return f"agent-{name}"


def messages_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [{key: one[key] for key in ("role", "content")} for one in found["message"]["messages"]]


def test_agents_are_listed_by_letta_itself(client: Client, stand: Stand) -> None:
    async def agents(wire: Wire) -> None:
        await wire.json([{"id": "agent-5", "name": "Ada"}])

    stand.upstream.acts["/v1/agents/"] = agents
    assert [one["name"] for one in client.agents()] == ["Ada"]
    assert stand.upstream.last.header("x-stainless-package-version") == "1.12.1"


def test_a_one_time_schedule_is_created_shown_and_deleted(client: Client, agent: str) -> None:
    made: dict[str, Any] = {}
    for number in (SOON_MS, SOON_MS / 1000, SOON_MS // 1000, float(SOON_MS)):
        made = client.create(agent, messages=HELLO, schedule={"scheduled_at": number})
        assert made["next_scheduled_at"] == SOON.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    found = client.retrieve(agent, made["id"])
    assert (found["id"], found["agent_id"]) == (made["id"], agent)
    assert found["schedule"] == {"type": "one-time", "scheduled_at": SOON_MS, "timezone": "UTC"}
    assert found["next_scheduled_time"] == made["next_scheduled_at"]
    assert messages_of(found) == HELLO
    assert client.delete(agent, made["id"]) == {"success": True}


def test_a_cron_schedule_is_in_utc_unless_it_names_a_zone(client: Client, agent: str) -> None:
    made = client.create(agent, messages=HELLO, schedule=DAILY)
    assert made["next_scheduled_at"] == "2026-03-03T09:00:00.000Z"
    there = client.create(agent, messages=HELLO, schedule=DAILY | {"timezone": "Europe/Riga"})
    assert there["next_scheduled_at"] == "2026-03-03T07:00:00.000Z"
    found = client.retrieve(agent, there["id"])
    assert found["schedule"] == DAILY | {"timezone": "Europe/Riga"}


NOTATIONS = [
    ("@daily", "2026-03-03T00:00:00.000Z"),
    ("0 9 L * *", "2026-03-31T09:00:00.000Z"),
    ("30 0 9 * * mon#1", "2026-03-02T09:00:30.000Z"),
    ("@every 45m", "2026-03-02T09:45:00.000Z"),
    ("RRULE:FREQ=MONTHLY;BYDAY=1TU;BYHOUR=9;BYMINUTE=0;BYSECOND=0", "2026-03-03T09:00:00.000Z"),
]


def test_every_notation_comes_back_as_it_was_given(client: Client, agent: str) -> None:
    for said, first in NOTATIONS:
        made = client.create(agent, messages=HELLO, schedule={"type": "recurring", "cron_expression": said})
        assert made["next_scheduled_at"] == first
        found = client.retrieve(agent, made["id"])["schedule"]
        assert found == {"type": "recurring", "cron_expression": said, "timezone": "UTC"}
        again = client.create(agent, messages=HELLO, schedule=found)
        assert client.retrieve(agent, again["id"])["schedule"] == found


def test_messages_parts_images_and_options_come_back_as_they_were_given(client: Client, agent: str) -> None:
    parts = [
        {"type": "text", "text": "what is this?"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
    ]
    said = [{"role": "system", "content": "be brief"}, {"role": "user", "content": parts, "name": "Ada"}]
    made = client.create(
        agent,
        messages=said,
        schedule=ONCE,
        callback_url="https://example.com/told",
        include_return_message_types=["assistant_message"],
        max_steps=3,
    )
    found = client.retrieve(agent, made["id"])["message"]
    assert found["messages"] == said
    assert found["callback_url"] == "https://example.com/told"
    assert found["include_return_message_types"] == ["assistant_message"]
    assert found["max_steps"] == 3


def test_the_conversation_of_the_body_is_kept_and_shown(client: Client, agent: str) -> None:
    made = client.create(agent, messages=HELLO, schedule=ONCE, extra_body={"conversation_id": "conv-7"})
    assert client.retrieve(agent, made["id"])["conversation_id"] == "conv-7"


def test_pages_follow_one_another_by_after(client: Client, agent: str) -> None:
    made = [client.create(agent, messages=HELLO, schedule=DAILY)["id"] for _ in range(5)]
    seen: list[str] = []
    page = client.list(agent, limit="2")
    while True:
        seen += [one["id"] for one in page["scheduled_messages"]]
        if not page["has_next_page"]:
            break
        page = client.list(agent, limit="2", after=seen[-1])
    assert seen == made
    assert len(client.list(agent)["scheduled_messages"]) == 5


def test_what_is_deleted_is_gone_and_a_second_delete_is_a_404(client: Client, agent: str) -> None:
    made = client.create(agent, messages=HELLO, schedule=DAILY)
    client.delete(agent, made["id"])
    for act in (client.delete, client.retrieve):
        with pytest.raises(Refused, match=f"scheduled message {made['id']} was not found") as refused:
            act(agent, made["id"])
        assert (refused.value.name, refused.value.status) == ("NotFoundError", 404)
    assert client.list(agent) == {"has_next_page": False, "scheduled_messages": []}


def test_an_id_that_names_nothing_is_a_404(client: Client, agent: str) -> None:
    for schedule_id in ("999999", "0", "01", "none", "1e3", "9" * 30, "\u0661"):
        with pytest.raises(Refused) as refused:
            client.retrieve(agent, schedule_id)
        assert refused.value.name == "NotFoundError", schedule_id


def test_another_agents_id_is_a_404(client: Client, agent: str) -> None:
    made = client.create(agent, messages=HELLO, schedule=DAILY)
    for act in (client.delete, client.retrieve):
        with pytest.raises(Refused) as refused:
            act("agent-other", made["id"])
        assert refused.value.name == "NotFoundError"
    assert client.retrieve(agent, made["id"])["id"] == made["id"]


REFUSALS: list[tuple[dict[str, Any], str, str]] = [
    ({"schedule": {"scheduled_at": 1_600_000_000_000}}, "BadRequestError", "is not in the future"),
    ({"schedule": {"scheduled_at": 1_600_000_000}}, "BadRequestError", "is not in the future"),
    ({"schedule": {"scheduled_at": 0}}, "BadRequestError", "before the year 2001"),
    ({"schedule": {"scheduled_at": 5e11}}, "BadRequestError", "ambiguous"),
    ({"schedule": {"scheduled_at": SOON_MS * 1000}}, "BadRequestError", "microseconds"),
    ({"schedule": DAILY | {"cron_expression": "61 * * * *"}}, "BadRequestError", "61"),
    ({"schedule": DAILY | {"cron_expression": "rate(5 minutes)"}}, "BadRequestError", "write .*@every 5m"),
    ({"schedule": DAILY | {"timezone": "Mars/Olympus"}}, "BadRequestError", "Mars/Olympus"),
    ({"schedule": {"type": "recurring"}}, "UnprocessableEntityError", "does not say when"),
    ({"messages": []}, "UnprocessableEntityError", "messages"),
    ({"messages": [{"role": "user", "content": " "}]}, "UnprocessableEntityError", "give messages"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "UnprocessableEntityError", "tool"),
    ({"max_steps": 2.5}, "UnprocessableEntityError", "max_steps"),
]


def test_a_refusal_raises_the_right_class_with_our_sentence(client: Client, agent: str) -> None:
    for body, name, sentence in REFUSALS:
        with pytest.raises(Refused, match=sentence) as refused:
            client.create(agent, **({"messages": HELLO, "schedule": ONCE} | body))
        assert refused.value.name == name, body
        assert "--" not in refused.value.message, "it speaks of keys, not of options"
    assert client.list(agent)["scheduled_messages"] == []


def test_a_refusal_before_the_routes_raises_the_right_class_with_our_sentence(client: Client, agent: str) -> None:
    for headers, sentence in (
        ({"Host": "evil.example"}, "a name that is not its own"),
        ({"Origin": "https://evil.example"}, "page of another origin"),
    ):
        if "Host" in headers and isinstance(client, TypeScript):
            continue  # fetch writes Host by itself
        with pytest.raises(Refused, match=sentence) as refused:
            client.create(agent, messages=HELLO, schedule=DAILY, extra_headers=headers)
        assert (refused.value.name, refused.value.status) == ("PermissionDeniedError", 403)


@pytest.mark.parametrize("kind", sorted(CLIENTS))
def test_who_asks_too_often_is_told_when_to_come_again(stand: Stand, kind: str) -> None:
    if (absent := why_absent(kind)) is not None:
        pytest.skip(absent)
    hasty = CLIENTS[kind](stand.url, TOKEN_OF_3)
    hasty.list("agent-3")
    while not stand.pace.ask(TOKEN_OF_3, "127.0.0.1"):
        pass
    with pytest.raises(Refused, match="asks too often") as refused:
        hasty.list("agent-3")
    assert (refused.value.name, refused.value.status) == ("RateLimitError", 429)
    stand.services.clock.at += timedelta(minutes=1)
    hasty.close()


def test_a_stream_of_letta_comes_chunk_by_chunk(client: Client, stand: Stand) -> None:
    async def talk(wire: Wire) -> None:
        await wire.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(3):
            event = b'data: {"message_type": "assistant_message", "id": "m", "content": "%d"}\n\n' % number
            await wire.chunk(event)
            await stand.upstream.heard(f"got {number}")
        await wire.chunk(b"data: [DONE]\n\n")
        await wire.write(b"0\r\n\r\n")

    stand.upstream.acts["/v1/agents/agent-1/messages"] = talk
    for number, event in enumerate(client.stream("agent-1", "talk to me")):
        assert event["content"] == str(number)
        stand.upstream.signal(f"got {number}").set()
    assert b"talk to me" in stand.upstream.last.body


@pytest.mark.parametrize("kind", sorted(CLIENTS))
def test_a_key_works_for_everything_and_a_wrong_one_for_nothing(stand: Stand, agent: str, kind: str) -> None:
    async def agents(wire: Wire) -> None:
        await wire.json([])

    if (absent := why_absent(kind)) is not None:
        pytest.skip(absent)
    stand.upstream.password = PASSWORD
    stand.upstream.acts["/v1/agents/"] = agents
    known = CLIENTS[kind](stand.url, PASSWORD)
    assert known.agents() == []
    made = known.create(agent, messages=HELLO, schedule=DAILY)
    assert known.list(agent)["scheduled_messages"][0]["id"] == made["id"]
    known.close()
    stranger = CLIENTS[kind](stand.url, "guess")
    for act in (stranger.agents, lambda: stranger.list(agent)):
        with pytest.raises(Refused) as refused:
            act()
        assert (refused.value.name, refused.value.status) == ("AuthenticationError", 401)
    stranger.close()


def test_an_agents_token_reaches_its_own_schedules_and_nothing_else(stand: Stand) -> None:
    own, other = CLIENTS["python"](stand.url, TOKEN_OF_1), CLIENTS["python"](stand.url, TOKEN_OF_2)
    made = own.create("agent-1", messages=HELLO, schedule=DAILY)
    for act in (
        lambda: other.list("agent-1"),
        lambda: other.retrieve("agent-1", made["id"]),
        lambda: other.delete("agent-1", made["id"]),
        lambda: other.create("agent-1", messages=HELLO, schedule=DAILY),
        own.agents,
    ):
        with pytest.raises(Refused) as refused:
            act()
        assert refused.value.name == "PermissionDeniedError"
    with pytest.raises(Refused, match="was not found"):
        other.retrieve("agent-2", made["id"])
    assert own.retrieve("agent-1", made["id"])["id"] == made["id"]
    assert stand.upstream.seen == []


def test_a_refusal_is_not_repeated_by_a_client_that_repeats(stand: Stand, agent: str) -> None:
    client = CLIENTS["python"](stand.url, retries=2)
    with pytest.raises(Refused, match="after the year 9999"):
        client.create(agent, messages=HELLO, schedule={"scheduled_at": 10**20})


def test_a_client_that_gave_up_waiting_and_repeats_makes_one_schedule(
    stand: Stand, agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    again, asked = threading.Event(), []

    def slow(agent_id: str) -> AgentInfo:
        asked.append(agent_id)
        if len(asked) == 1:
            assert again.wait(WITHIN_S), "the repeat comes while the first is carried out"
        again.set()
        return AgentInfo(id=agent_id, name="one", description=None)

    monkeypatch.setattr(stand.services, "check_agent", slow)
    client = letta_client.Letta(base_url=stand.url, api_key=None, max_retries=1, timeout=0.5)
    made = client.agents.schedule.create(agent, messages=HELLO, schedule=DAILY)  # type: ignore[arg-type]  # plain JSON
    assert len(asked) == 2
    client.close()
    assert [one["id"] for one in stand.ask("GET", f"/v1/agents/{agent}/schedule").json["scheduled_messages"]] == [
        made.id
    ]


def attempt(stand: Stand, agent: str, count: str) -> str:
    """Return the id that an attempt of a client's is answered with."""
    headers = {"x-stainless-retry-count": count}
    answer = stand.ask("POST", f"/v1/agents/{agent}/schedule", {"messages": HELLO, "schedule": DAILY}, headers=headers)
    found: str = answer.json["id"]
    return found


def lost(stand: Stand, agent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an attempt whose caller has gone before it is answered."""
    asked, made = threading.Event(), threading.Event()
    gone = threading.Event()

    def slow(agent_id: str) -> AgentInfo:
        asked.set()
        assert gone.wait(WITHIN_S)
        made.set()
        return AgentInfo(id=agent_id, name="one", description=None)

    body = json.dumps({"messages": HELLO, "schedule": DAILY}).encode()
    head = f"POST /v1/agents/{agent}/schedule HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    head += "x-stainless-retry-count: 0\r\n"
    with monkeypatch.context() as patch:
        patch.setattr(stand.services, "check_agent", slow)
        with stand.wire() as bare:
            bare.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert asked.wait(WITHIN_S)
        gone.set()
        assert made.wait(WITHIN_S)


def test_a_lost_creation_stands_for_one_repeat_and_an_answered_one_for_none(
    stand: Stand, agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost(stand, agent, monkeypatch)
    first = attempt(stand, agent, "1")
    second = attempt(stand, agent, "1")
    assert first != second, "the lost one was taken"
    assert attempt(stand, agent, "0") not in {first, second}
    assert attempt(stand, agent, "2") not in {first, second}, "what was answered is no lost one"
    listed = stand.ask("GET", f"/v1/agents/{agent}/schedule").json["scheduled_messages"]
    assert len(listed) == 4


def test_a_creation_that_is_repeated_under_its_key_is_one(stand: Stand) -> None:
    headers = {"Idempotency-Key": "my own 1"}
    body = {"messages": HELLO, "schedule": DAILY}
    made = [stand.ask("POST", "/v1/agents/agent-key/schedule/", body, headers=headers).json["id"] for _ in range(2)]
    assert made[0] == made[1]
    assert len(stand.ask("GET", "/v1/agents/agent-key/schedule/").json["scheduled_messages"]) == 1


def test_the_history_of_one_comes_in_pages_newest_first(stand: Stand, agent: str) -> None:
    where = f"/v1/agents/{agent}/schedule"
    made = stand.ask("POST", where, {"messages": HELLO, "schedule": DAILY}).json["id"]
    for _ in range(3):
        stand.services.clock.at += timedelta(seconds=1)
        with stand.services.store.transaction() as tx:
            run_now(tx, int(made), caller=OPERATOR, store_uid=stand.services.store.uid, now=stand.services.clock.now())
    first = stand.ask("GET", f"{where}/{made}/history?limit=2").json
    after = first["deliveries"][-1]["id"]
    second = stand.ask("GET", f"{where}/{made}/history/?limit=2&after={after}").json
    ids = [one["id"] for one in first["deliveries"] + second["deliveries"]]
    assert ids == sorted(ids, reverse=True)
    assert (len(ids), first["has_next_page"], second["has_next_page"]) == (3, True, False)
    assert first["scheduled_message_id"] == made
    assert stand.ask("DELETE", f"{where}/{made}").status == 200
    assert stand.ask("GET", f"{where}/{made}").status == 404
    assert len(stand.ask("GET", f"{where}/{made}/history").json["deliveries"]) == 3, "receipts stay"
    assert stand.ask("GET", f"/v1/agents/agent-other/schedule/{made}/history").status == 404


def test_what_is_for_the_inbox_is_none_of_letta_s(stand: Stand, agent: str) -> None:
    identity = Identity(IDENTITY_OPERATOR, "test")
    door = Door(stand.services, name="test")
    options: dict[str, OptionValue | None] = {"agent_id": agent, "prompt": "x", "every": "1h", "target": "inbox"}
    made = door.answer("register", options, identity)
    assert stand.ask("GET", f"/v1/agents/{agent}/schedule").json["scheduled_messages"] == []
    assert stand.ask("GET", f"/v1/agents/{agent}/schedule/{made['id']}").status == 404


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=x", "limit=1.5", "after=x", "after=-1", "limit=" + "9" * 30]
)
def test_a_page_that_cannot_be_is_refused(stand: Stand, query: str) -> None:
    answer = stand.ask("GET", f"/v1/agents/agent-1/schedule?{query}")
    assert answer.status == 422
    assert query.partition("=")[0] in answer.json["detail"]


@pytest.mark.parametrize(
    "path", ["/v1/agents/agent-1/schedule", "/v1/agents/agent-1/schedule/1", "/v1/agents/a/schedule/"]
)
def test_another_method_is_a_405_and_never_reaches_letta(stand: Stand, path: str) -> None:
    answer = stand.ask("PUT", path, {})
    assert answer.status == 405
    assert answer.headers["allow"]
    assert stand.upstream.seen == []


def test_the_instants_of_this_suite_lie_ahead() -> None:
    assert datetime.fromtimestamp(SOON_MS / 1000, UTC) > NOW
