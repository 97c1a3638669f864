"""Server-sent events: every fact of the journal once, in order, to whom it may be told."""

from __future__ import annotations

import asyncio
import random  # noqa: TID251  a seed replays a reader's accidents
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import pytest

from promptyoself.application.journal import Tail, page_after
from promptyoself.domain import limits
from promptyoself.domain.errors import StoreUnreachable, Unauthenticated
from promptyoself.domain.models import OPERATOR, FactKind
from promptyoself.domain.ports import Tx
from promptyoself.interfaces.http.app import Parts, make_app, parts_of
from promptyoself.interfaces.identity import Credentials, Identity
from promptyoself.storage.sqlite import SqliteStore
from tests.factories import a_fact
from tests.interfaces.http.conftest import client_of
from tests.interfaces.http.sse import Reader
from tests.interfaces.world import NOW, Door

if TYPE_CHECKING:
    from fastapi import FastAPI

T = TypeVar("T")
WORDS = "the words of a prompt that no event may carry"


pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Gate:
    """Lets in `operator` and agents by their ids, until told otherwise."""

    def __init__(self) -> None:
        self.revoked: set[str] = set()

    async def identify(self, credentials: Credentials) -> Identity:
        name = credentials.bearer
        if name is None or name in self.revoked:
            raise Unauthenticated("nobody knows you")
        return Identity(OPERATOR if name == "operator" else name, f"token of {name}")

    admit = identify_as_letta = identify

    async def close(self) -> None:
        """Hold nothing."""


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def app(door: Door, gate: Gate) -> FastAPI:
    return make_app(Parts(door.services, gate))


@pytest.fixture
def others(door: Door) -> Iterator[SqliteStore]:
    """The same database as another process has it."""
    assert door.services.store.uid
    store = SqliteStore.open(door.services.path, new_uid=door.services.new_uid)
    yield store
    store.close()


def write(store: SqliteStore, count: int = 1, **changes: object) -> None:
    with store.transaction() as tx:
        for _ in range(count):
            tx.add_fact(a_fact(**changes))


def journal_ids(store: SqliteStore) -> list[int]:
    with store.reading() as tx:
        return [fact.id for fact in tx.facts(limit=limits.LIST_MAX)]


async def test_what_happens_is_told_within_a_moment_and_nothing_from_before(app: FastAPI, others: SqliteStore) -> None:
    write(others, 3)
    async with Reader(app) as reader:
        write(others, kind=FactKind.FIRED, schedule_id=None, detail={"missed": 2})
        await reader.until(lambda: reader.events)
    (event,) = reader.events
    assert (event.name, event.id, event.data["event"], event.data["id"]) == ("fired", 4, "fired", 4)
    assert event.data["sentence"] == "it fired, as delivery None; it also stands for 2 missed before it."
    assert reader.headers[b"content-type"].startswith(b"text/event-stream")
    assert "retry: 2000\n\n" in reader.text


@pytest.mark.parametrize("seed", range(3))
async def test_a_reader_that_is_cut_off_at_random_gets_every_fact_once(
    seed: int, app: FastAPI, others: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "EVENTS_PER_PAGE", 5)
    monkeypatch.setattr(limits, "EVENTS_KEPT", 70)  # readers fall behind what is kept, and read the database
    chance = random.Random(seed)
    seen: list[int] = []
    last: int | None = 0
    is_written = False

    async def write_all() -> None:
        nonlocal is_written
        for _ in range(60):
            try:
                with others.transaction() as tx:
                    for _ in range(chance.randint(1, 9)):
                        tx.add_fact(a_fact(kind=chance.choice([FactKind.FIRED, FactKind.ACCEPTED])))
                    if chance.random() < 0.2:
                        raise LookupError  # noqa: TRY301  undoes the transaction
            except LookupError:
                pass
            await asyncio.sleep(0)
        is_written = True

    writing = asyncio.ensure_future(write_all())
    async with Reader(app):  # keeps the tail alive, so that the others find facts kept
        while not (is_written and last == journal_ids(others)[-1]):
            reader = Reader(app, resume_at=last)
            wanted = chance.randint(0, 25)
            async with reader:
                await reader.until(
                    lambda reader=reader, wanted=wanted: (
                        len(reader.events) >= wanted or (is_written and reader.last_id == journal_ids(others)[-1])
                    )
                )
            assert not [one for one in reader.events if one.name == "gap"]
            seen += [one.data["id"] for one in reader.events]
            last = reader.last_id
    await writing
    assert seen == journal_ids(others), f"seed={seed}"


async def test_an_agent_hears_of_its_own_schedules_only_and_never_a_prompt(door: Door, app: FastAPI) -> None:
    for agent in ("agent-1", "agent-2"):
        door.ok("register", "--agent-id", agent, "--prompt", WORDS, "--every", "1h", "--target", "inbox")
    door.ok("pause", "--all", "--reason", "lunch")
    async with Reader(app, "after=0", token="agent-2") as mine, Reader(app, "after=0") as all_of_it:
        await all_of_it.until(lambda: all_of_it.last_id == 3)
        await mine.until(lambda: mine.last_id == 3)
    assert [(one.name, one.data["agent_id"]) for one in mine.events] == [("registered", "agent-2")]
    assert [one.name for one in all_of_it.events] == ["registered", "registered", "all_paused"]
    assert WORDS not in mine.text + all_of_it.text


async def test_filters_choose_by_agent_schedule_and_event(door: Door, app: FastAPI) -> None:
    for agent in ("agent-1", "agent-2"):
        door.ok("register", "--agent-id", agent, "--prompt", "p", "--every", "1h", "--target", "inbox")
    door.ok("pause", "--id", "2")

    async def told(query: str) -> list[int]:
        async with Reader(app, f"after=0&{query}") as reader:
            await reader.until(lambda: reader.last_id == 3)
        return [one.data["id"] for one in reader.events]

    assert await told("agent_id=agent-1") == [1]
    assert await told("schedule_id=2") == [2, 3]
    assert await told("events=paused,fired") == [3]
    assert await told("schedule_id=2&events=registered") == [2]


async def test_what_retention_has_deleted_is_said_once_and_reading_goes_on(
    door: Door, app: FastAPI, others: SqliteStore
) -> None:
    write(others, 5, at=NOW - timedelta(days=40), schedule_id=None)
    write(others, 2, schedule_id=None)
    with others.transaction() as tx:
        assert tx.prune(before=NOW - timedelta(days=30), limit=100) == 5
    async with Reader(app, resume_at=2) as reader:
        await reader.until(lambda: reader.last_id == 7)
    assert [(one.name, one.id) for one in reader.events] == [("gap", None), ("registered", 6), ("registered", 7)]
    assert reader.events[0].data == {"after": 2, "until": 7, "missing": 3}
    assert door.ok("journal", "--after", "2")["gap"] == {"after": 2, "until": 7, "missing": 3}


async def test_when_all_is_deleted_or_the_id_is_anothers_the_gap_says_so(app: FastAPI, others: SqliteStore) -> None:
    write(others, 5, at=NOW - timedelta(days=40), schedule_id=None)
    with others.transaction() as tx:
        tx.prune(before=NOW - timedelta(days=30), limit=100)
    async with Reader(app, resume_at=3) as reader:
        await reader.until(lambda: reader.last_id == 5)
    assert [one.data for one in reader.events] == [{"after": 3, "until": 5, "missing": 2}]
    async with Reader(app, resume_at=900) as reader:
        await reader.until(lambda: reader.last_id == 5)
        write(others)
        await reader.until(lambda: reader.last_id == 6)
    assert [one.data.get("missing", "fact") for one in reader.events] == [0, "fact"]


async def test_the_header_counts_before_the_address(app: FastAPI, others: SqliteStore) -> None:
    write(others, 4)
    async with Reader(app, "after=0", resume_at=3) as reader:
        await reader.until(lambda: reader.last_id == 4)
    assert [one.id for one in reader.events] == [4]


@pytest.mark.parametrize(
    ("query", "resume"), [("after=-1", None), ("events=fried", None), ("schedule_id=0", None), ("", "a7"), ("", "-1")]
)
async def test_what_cannot_be_meant_is_refused(query: str, resume: str | None, app: FastAPI) -> None:
    async with Reader(app, query, resume_at=resume) as reader:
        pass
    assert reader.status == 422


async def test_nobody_follows_without_a_token(app: FastAPI, gate: Gate) -> None:
    gate.revoked.add("operator")
    async with Reader(app) as reader:
        pass
    assert reader.status == 401


async def test_a_stream_ends_when_its_token_is_revoked(
    door: Door, app: FastAPI, gate: Gate, others: SqliteStore
) -> None:
    async with Reader(app) as reader:
        gate.revoked.add("operator")
        door.services.clock.at += limits.EVENTS_BEAT_EVERY
        write(others)
        await reader.ended()
    assert "the token is not valid any more" in reader.comments


async def test_all_streams_end_at_once_when_the_process_stops(app: FastAPI) -> None:
    async with app.router.lifespan_context(app), Reader(app) as one, Reader(app, "after=0") as two:
        parts_of(app).stopping.set()
        await one.ended()
        await two.ended()
        assert app.state.streams.tail.readers == 0
    assert one.comments[-1] == two.comments[-1] == "closing; resume with the last id"


async def test_a_stuck_reader_is_let_go_and_resumes_where_it_was(
    app: FastAPI, others: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "EVENTS_SEND_FOR", timedelta(milliseconds=20))
    async with Reader(app) as stuck, Reader(app) as quick:
        stuck.is_stuck = True
        write(others, 3)
        await stuck.ended()
        await quick.until(lambda: len(quick.events) == 3)
    async with Reader(app, resume_at=stuck.last_id) as again:
        write(others)
        await again.until(lambda: again.last_id == 4)
    assert [one.id for one in (*stuck.events, *again.events)] == [1, 2, 3, 4]


async def test_streams_are_capped_for_all_and_for_each(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EVENT_STREAMS_PER_CALLER_MAX", 1)
    monkeypatch.setattr(limits, "EVENT_STREAMS_MAX", 2)
    async with Reader(app, token="agent-1"):
        async with Reader(app, token="agent-1") as second_of_one:
            pass
        async with Reader(app, token="agent-2"), Reader(app, token="agent-3") as third_of_all:
            pass
    async with Reader(app, token="agent-1") as again:
        pass
    assert (second_of_one.status, third_of_all.status, again.status) == (429, 429, 200)


async def test_a_quiet_stream_says_that_it_lives(app: FastAPI, others: SqliteStore) -> None:
    async with asyncio.timeout(5):
        write(others, 2)
        tail: Tail = app.state.streams.tail
        pages = tail.follow(None, beat=timedelta(milliseconds=5))
        found = [await anext(pages) for _ in range(3)]
        await pages.aclose()
    assert [(one.told, one.until) for one in found] == [((), 2)] * 3


async def test_a_database_that_is_away_is_told_of_once_and_not_at_each_look(
    others: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    looks, back = 0, asyncio.Event()

    async def read(act: Callable[[Tx], T]) -> T:
        nonlocal looks
        looks += 1
        if 1 < looks < 5:  # the first is the reader's own
            raise StoreUnreachable("it does not answer")
        if looks == 5:
            back.set()
        with others.reading() as tx:
            return act(tx)

    tail = Tail(read=read, mark=others.change_mark)
    pages = tail.follow(None)
    await anext(pages)
    async with asyncio.timeout(10):
        while not back.is_set():
            tail.wake()
            await asyncio.sleep(0)
    await pages.aclose()
    assert caplog.messages == ["events.store_failed code=store_unreachable error=it does not answer"]


async def test_nobody_looks_at_the_database_while_nobody_listens(app: FastAPI) -> None:
    before = asyncio.all_tasks()
    async with Reader(app):
        assert app.state.streams.tail._looking is not None
    assert app.state.streams.tail._looking is None
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


def test_a_transaction_that_is_undone_leaves_no_hole(others: SqliteStore) -> None:
    write(others)
    with suppress(LookupError), others.transaction() as tx:
        tx.add_fact(a_fact())
        raise LookupError
    write(others)
    with others.reading() as tx:
        page = page_after(tx, 0)
    assert ([one.fact.id for one in page.told], page.gap) == ([1, 2], None)


def test_the_command_answers_page_by_page(door: Door, others: SqliteStore) -> None:
    write(others, 5)
    write(others, kind=FactKind.FIRED)
    first = door.ok("journal", "--after", "0", "--limit", "4")
    rest = door.ok("journal", "--after", str(first["next_after"]))
    assert [one["id"] for one in (*first["events"], *rest["events"])] == [1, 2, 3, 4, 5, 6]
    assert rest["next_after"] == rest["newest"] == 6
    assert [one["id"] for one in door.ok("journal", "--limit", "2")["events"]] == [5, 6]
    assert [one["id"] for one in door.ok("journal", "--after", "0", "--events", "fired")["events"]] == [6]
    door.refused("journal", "--events", "fried")


def test_the_journal_is_read_page_by_page_over_http(app: FastAPI, others: SqliteStore) -> None:
    write(others, 3)
    with client_of(app) as client:
        page = client.get("/api/v1/journal?after=1&limit=1").json()
        assert ([one["id"] for one in page["events"]], page["next_after"], page["newest"]) == ([2], 2, 3)
        assert client.get("/api/v1/journal?later=1").json()["code"] == "invalid_input"
        assert client.get("/api/v1/events?later=1").json()["code"] == "invalid_input"
