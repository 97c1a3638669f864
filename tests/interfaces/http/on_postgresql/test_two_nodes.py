"""Two services over one PostgreSQL database: whichever is asked, it is one."""

from __future__ import annotations

import asyncio
import random  # noqa: TID251  a seed replays a reader's accidents
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from promptyoself.application import access
from promptyoself.application.access import TokenRequest
from promptyoself.application.schedules import Caller
from promptyoself.domain.access import TokenKind
from promptyoself.domain.errors import Unauthenticated
from promptyoself.interfaces.gatekeeper import TokenGatekeeper
from promptyoself.interfaces.http.app import Parts, make_app
from promptyoself.interfaces.identity import Credentials
from promptyoself.runtime import SystemClock
from promptyoself.storage.postgres import PostgresStore
from tests.factories import a_fact
from tests.interfaces.http.conftest import NamedKeeper, client_of
from tests.interfaces.http.fleet import FleetServices
from tests.interfaces.http.sse import Reader
from tests.interfaces.http.test_schedules import AT, GOOD
from tests.interfaces.world import NOW

if TYPE_CHECKING:
    from fastapi import FastAPI


@pytest.fixture
def nodes(services: FleetServices, tmp_path: Path) -> Iterator[tuple[FleetServices, FleetServices]]:
    store = PostgresStore.open(services.store._conninfo, new_uid=services.new_uid)
    other = FleetServices(tmp_path, store, uids_from=1_000_000)
    yield services, other
    other.close()
    store.close()


def apps_of(nodes: tuple[FleetServices, FleetServices]) -> tuple[FastAPI, FastAPI]:
    first, second = (make_app(Parts(one, NamedKeeper())) for one in nodes)
    return first, second


def test_what_one_has_made_the_other_shows_guards_and_repeats(nodes: tuple[FleetServices, FleetServices]) -> None:
    first, second = apps_of(nodes)
    with client_of(first) as here, client_of(second) as there:
        made = here.post(AT, json=GOOD, headers={"Idempotency-Key": "one-and-the-same"})
        tag = there.get(f"{AT}/1").headers["etag"]
        again = there.post(AT, json=GOOD, headers={"Idempotency-Key": "one-and-the-same"})
        assert (again.headers["idempotency-replayed"], again.json()["id"]) == ("true", made.json()["id"])
        assert here.patch(f"{AT}/1", json={"name": "here"}, headers={"If-Match": tag}).status_code == 200
        assert there.patch(f"{AT}/1", json={"name": "there"}, headers={"If-Match": tag}).status_code == 412
        told = [[one["event"] for one in door.get("/api/v1/journal").json()["events"]] for door in (here, there)]
        assert told[0] == told[1] == ["registered", "edited"]
        claims = [client_of(app, "agent-1").post("/api/v1/claims", json={"key": "k"}).json() for app in (first, second)]
        assert [one["claimed"] for one in claims] == [True, False]


def test_a_token_that_one_has_revoked_opens_nothing_at_the_other(nodes: tuple[FleetServices, FleetServices]) -> None:
    here, there = nodes
    with here.store.transaction() as tx:
        issued = access.create(tx, TokenRequest(kind=TokenKind.OPERATOR), secret=f"{7:043d}", caller=Caller(), now=NOW)
    bearer = Credentials(issued.text.reveal(), None, "127.0.0.1")

    async def story() -> None:
        keeper = TokenGatekeeper(there)
        assert (await keeper.identify(bearer)).is_operator
        with here.store.transaction() as tx:
            access.revoke(tx, issued.token.id, caller=Caller(), now=NOW)
        with pytest.raises(Unauthenticated, match="revoked"):
            await keeper.identify(bearer)
        await keeper.close()

    asyncio.run(story())


def test_a_reader_that_is_cut_off_and_resumes_anywhere_gets_every_event_once(
    nodes: tuple[FleetServices, FleetServices],
) -> None:
    apps, chance, facts = apps_of(nodes), random.Random(1), 120

    async def write() -> None:
        for number in range(facts):
            store = nodes[number % 2].store
            await asyncio.to_thread(_store_a_fact, store)

    async def a_part(after: int, most: int) -> list[int]:
        async with Reader(chance.choice(apps), resume_at=after) as reader:
            await reader.until(lambda: len(reader.events) >= most)
            return [event.id for event in reader.events if event.id is not None]

    async def read() -> list[int]:
        seen: list[int] = []
        while len(seen) < facts:
            seen += await a_part(seen[-1] if seen else 0, min(chance.randrange(1, 30), facts - len(seen)))
        return seen

    async def both() -> list[int]:
        async with apps[0].router.lifespan_context(apps[0]), apps[1].router.lifespan_context(apps[1]):
            seen, _ = await asyncio.gather(read(), write())
        return seen

    assert asyncio.run(asyncio.wait_for(both(), 60)) == list(range(1, facts + 1))


def test_an_event_of_one_is_told_at_the_other_within_milliseconds(
    nodes: tuple[FleetServices, FleetServices],
) -> None:
    _, app = apps_of(nodes)
    monotonic = SystemClock().monotonic

    async def story() -> list[float]:
        took_ms = []
        async with app.router.lifespan_context(app), Reader(app) as reader:
            for number in range(20):
                begun = monotonic()
                await asyncio.to_thread(_store_a_fact, nodes[0].store)
                await reader.until(lambda: len(reader.events) > number)  # noqa: B023  awaited within the round
                took_ms.append((monotonic() - begun) * 1000)
        return took_ms

    # Without news from the other node it takes up to a look's pause of 200 ms.
    took_ms = asyncio.run(asyncio.wait_for(story(), 60))
    assert sorted(took_ms)[len(took_ms) // 2] < 40, took_ms


def _store_a_fact(store: PostgresStore) -> None:
    with store.transaction() as tx:
        tx.add_fact(a_fact())
