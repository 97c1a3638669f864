"""What strangers and agents can do to others who come to the same doors: nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from promptyoself.application import access
from promptyoself.application.access import TokenRequest
from promptyoself.application.schedules import Caller
from promptyoself.domain import limits
from promptyoself.domain.access import TokenKind
from promptyoself.domain.errors import LimitExceeded, StoreBusy
from promptyoself.domain.models import OPERATOR
from promptyoself.interfaces.door import Door, without_place
from promptyoself.interfaces.gatekeeper import TokenGatekeeper
from promptyoself.interfaces.http.app import Parts, make_app
from promptyoself.interfaces.identity import Identity
from promptyoself.storage.sqlite import SqliteStore
from tests.interfaces.http.conftest import client_of
from tests.interfaces.world import NOW, FakeServices

if TYPE_CHECKING:
    from fastapi import FastAPI

AGENT = Identity("agent-1", "token 1")
BOSS = Identity(OPERATOR, "token 2")
WITHIN_S = 20.0
LIST = "/api/v1/schedules"


def token(services: FakeServices, secret: str) -> dict[str, str]:
    request = TokenRequest(kind=TokenKind.AGENT, agent_id="agent-1")
    with services.store.transaction() as tx:
        issued = access.create(tx, request, secret=secret * 43, caller=Caller(), now=NOW)
    return {"Authorization": f"Bearer {issued.text.reveal()}"}


@pytest.fixture
def guarded(services: FakeServices) -> Iterator[TestClient]:
    """Return a client of doors with the real gatekeeper; it presents nothing."""
    with TestClient(make_app(Parts(services, TokenGatekeeper(services))), "http://127.0.0.1:8289") as client:
        yield client


def test_strangers_of_the_same_address_keep_no_right_token_out(guarded: TestClient, services: FakeServices) -> None:
    fresh, wrong = token(services, "a"), {"Authorization": "Bearer pys_" + "u" * 43}
    for headers in ({}, wrong):
        while guarded.get(LIST, headers=headers).status_code != 429:
            pass
    assert guarded.get(LIST, headers=fresh).status_code == 200
    assert guarded.get(LIST, headers=wrong).status_code == 429
    assert guarded.get(LIST, headers={"Authorization": "Bearer a-key-of-lettas"}).status_code == 429
    assert not services.keys_asked, "nobody who is held back has Letta asked"


def test_no_agent_learns_where_the_database_is(
    app: FastAPI, services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(services.path.parent)
    many = {"schedules": [{"prompt": "p", "every": "1h", "target": "inbox"}]}
    with client_of(app, "agent-1") as agent:
        for replayed in (None, "true"):
            answer = agent.post(f"{LIST}/bulk", json=many, headers={"Idempotency-Key": "k"})
            assert (answer.status_code, answer.headers.get("Idempotency-Replayed")) == (200, replayed)
            assert place not in answer.text
        with failing(monkeypatch):
            assert place in client_of(app).get(LIST).json()["detail"]
            refused = agent.get(LIST)
    assert (refused.status_code, refused.json()["code"]) == (503, "store_busy")
    assert place not in refused.text


def test_no_stranger_learns_where_the_database_is(
    guarded: TestClient, services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    with failing(monkeypatch):
        for path in (LIST, "/mcp", "/metrics", "/v1/agents/agent-1/schedule"):
            method = "POST" if path == "/mcp" else "GET"
            refused = guarded.request(method, path, headers={"Authorization": "Bearer pys_" + "u" * 43})
            assert refused.status_code == 503, path
            assert str(services.path.parent) not in refused.text


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have every look at the database end as a busy one does."""

    def busy(store: SqliteStore) -> None:
        place = store.location
        raise StoreBusy(f"the database {place} is locked by another process", hint=f"see who uses {place}-wal")

    with monkeypatch.context() as patched:
        for name in ("reading", "glancing", "transaction"):
            patched.setattr(SqliteStore, name, busy)
        yield


def test_an_error_without_its_place_still_says_what_is_wrong() -> None:
    error = without_place(StoreBusy("the database /x/p.db is locked", hint="see /x/p.db-wal"), "/x/p.db")
    assert (type(error), error.message, error.hint) == (StoreBusy, "the database is locked", "see the database-wal")


def test_an_agent_that_keeps_threads_busy_takes_nobody_elses(services: FakeServices) -> None:
    door, goes_on, at_work = Door(services, name="http"), threading.Event(), threading.Semaphore(0)

    def slow() -> str:
        at_work.release()
        assert goes_on.wait(WITHIN_S)
        return "done"

    async def play() -> None:
        calls = [asyncio.ensure_future(door.in_thread(slow, AGENT)) for _ in range(limits.AGENT_CALLS_MAX)]
        for _ in range(limits.AGENT_THREADS_MAX):
            assert await asyncio.to_thread(at_work.acquire, timeout=WITHIN_S)
        with pytest.raises(LimitExceeded, match="agent agent-1"):
            await door.in_thread(lambda: "", AGENT)
        for other in (Identity("agent-2", "token 3"), BOSS):
            assert await asyncio.wait_for(door.in_thread(lambda: "at once", other), WITHIN_S) == "at once"
        assert not at_work.acquire(blocking=False), "no third of the same agent's has begun"
        goes_on.set()
        assert await asyncio.gather(*calls) == ["done"] * limits.AGENT_CALLS_MAX
        assert await door.in_thread(lambda: "again", AGENT) == "again"

    asyncio.run(play())


def test_all_agents_together_leave_operators_a_room(services: FakeServices) -> None:
    door, goes_on = Door(services, name="http"), threading.Event()

    async def play() -> None:
        many = [Identity(f"agent-{number}", "token 1") for number in range(limits.DOOR_THREADS_MAX)]
        calls = [asyncio.ensure_future(door.in_thread(lambda: goes_on.wait(WITHIN_S), one)) for one in many * 2]
        await asyncio.sleep(0)
        assert await asyncio.wait_for(door.in_thread(lambda: "at once", BOSS), WITHIN_S) == "at once"
        goes_on.set()
        assert all(await asyncio.gather(*calls))

    asyncio.run(play())


def test_no_agents_creation_goes_the_way_that_all_share(services: FakeServices) -> None:
    door = Door(services, name="http")
    rule = {"prompt": "p", "cron": "0 0 29 2 mon#5", "target": "inbox"}
    assert door._is_short("register", rule, BOSS)
    assert not door._is_short("register", rule, AGENT)
