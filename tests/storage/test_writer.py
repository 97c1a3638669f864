"""Writers: many callers share one commit, and each hears of its own act only when it is durable."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from promptyoself.domain import limits
from promptyoself.domain.errors import Conflict, StoreBusy, StoreError, StoreFull
from promptyoself.domain.ports import ScheduleFilter, Tx, Writer
from promptyoself.storage.sqlite import SqliteStore
from promptyoself.storage.sqlite_tx import SqliteTx
from promptyoself.storage.writer import InlineWriter, ThreadWriter
from tests.factories import a_fact, a_new_schedule
from tests.storage.conftest import SOON, OpenStore


class Oops(Exception):
    """What an act raises."""


class Watched(SqliteStore):
    """A store that counts its transactions, can hold them up, and can fail their commits."""

    gate: threading.Event
    is_asked: threading.Event
    commits: int = 0
    fail_with: str | None = None

    @contextmanager
    def transaction(self) -> Iterator[SqliteTx]:
        self.is_asked.set()
        self.gate.wait(timeout=30)
        with super().transaction() as tx:
            yield tx
            if self.fail_with:
                tx._execute(self.fail_with, {})
        self.commits += 1


@pytest.fixture
def store(path: Path) -> Iterator[Watched]:
    store = Watched.open(path, new_uid=lambda: "1" * 32, busy_for=SOON)
    assert isinstance(store, Watched)
    store.gate, store.is_asked = threading.Event(), threading.Event()
    store.gate.set()
    yield store
    store.close()


def run(store: SqliteStore, test: Callable[[ThreadWriter], Awaitable[None]]) -> None:
    async def main() -> None:
        writer = ThreadWriter(store)
        try:
            async with asyncio.timeout(60):
                await test(writer)
        finally:
            await writer.close()

    asyncio.run(main())


def add(uid: str, **changes: object) -> Callable[[Tx], int]:
    return lambda tx: tx.add_schedule(a_new_schedule(uid, **changes)).id


def oops(tx: Tx) -> None:
    tx.add_schedule(a_new_schedule("undone"))
    raise Oops


def uids(tx: Tx) -> list[str]:
    return [schedule.uid for schedule in tx.schedules(ScheduleFilter())]


async def held(store: Watched, writer: ThreadWriter) -> asyncio.Future[int]:
    """Hold the writer up in a first act, so that all that follow wait and go together."""
    store.gate.clear()
    store.is_asked.clear()
    first = asyncio.ensure_future(writer.write(add("first")))
    assert await asyncio.to_thread(store.is_asked.wait, 30)
    return first


@pytest.mark.parametrize("make", [ThreadWriter, InlineWriter])
def test_both_writers_keep_the_same_promises(
    open_store: OpenStore, make: Callable[[SqliteStore], ThreadWriter | InlineWriter]
) -> None:
    async def main() -> None:
        writer = make(open_store())
        port: Writer = writer
        assert await port.write(add("a")) == 1
        with pytest.raises(Oops):
            await port.write(oops)
        with pytest.raises(StoreError):
            await port.read(add("b"))
        assert await port.read(uids) == ["a"]
        await writer.close()

    asyncio.run(main())


def test_one_acts_failure_undoes_it_alone(store: Watched) -> None:
    async def test(writer: ThreadWriter) -> None:
        acts = [add("a", key="k"), oops, add("b"), add("c", key="k"), add("d")]
        answers = await asyncio.gather(*(writer.write(act) for act in acts), return_exceptions=True)
        assert [type(answer) for answer in answers] == [int, Oops, int, Conflict, int]
        assert await writer.read(uids) == ["a", "b", "d"]

    run(store, test)


def test_acts_that_come_at_once_share_a_commit_though_nothing_holds_them_up(store: Watched) -> None:
    async def test(writer: ThreadWriter) -> None:
        await writer.write(add("warm"))
        commits = store.commits
        await asyncio.gather(*(writer.write(add(str(number))) for number in range(20)))
        assert store.commits - commits == 1

    run(store, test)


def test_acts_that_wait_share_a_commit(store: Watched) -> None:
    async def test(writer: ThreadWriter) -> None:
        await writer.write(add("warm"))
        first = await held(store, writer)
        rest = asyncio.gather(*(writer.write(add(str(number))) for number in range(100)))
        await asyncio.sleep(0)
        commits = store.commits
        store.gate.set()
        await first
        await rest
        assert store.commits - commits == 2

    run(store, test)


def test_a_commit_takes_a_bounded_number_of_acts(store: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WRITES_PER_COMMIT_MAX", 10)

    async def test(writer: ThreadWriter) -> None:
        first = await held(store, writer)
        rest = asyncio.gather(*(writer.write(add(str(number))) for number in range(25)))
        await asyncio.sleep(0)
        store.gate.set()
        await first
        await rest
        assert store.commits == 4

    run(store, test)


def test_an_answer_comes_after_its_commit(store: Watched) -> None:
    """Another connection must see it already: what was answered survives a crash."""

    async def test(writer: ThreadWriter) -> None:
        other = sqlite3.connect(store.location)
        for number in range(20):
            await writer.write(add(str(number)))
            assert other.execute("SELECT count(*) FROM schedules").fetchone() == (number + 1,)
        other.close()

    run(store, test)


def test_a_commit_that_fails_fails_all_its_acts_and_none_is_stored(store: Watched) -> None:
    async def test(writer: ThreadWriter) -> None:
        first = await held(store, writer)
        store.fail_with = "SELECT * FROM nothing_such"
        rest = asyncio.gather(*(writer.write(add(str(number))) for number in range(3)), return_exceptions=True)
        await asyncio.sleep(0)
        store.gate.set()
        with pytest.raises(StoreError):
            await first
        assert [type(answer) for answer in await rest] == [StoreError] * 3
        store.fail_with = None
        await writer.write(add("after"))
        assert await writer.read(uids) == ["after"]

    run(store, test)


def test_a_full_disk_fails_every_act_of_the_commit_also_those_before_it(store: Watched) -> None:
    """SQLite undoes the whole transaction then: an act that had gone well must not be answered as stored."""

    async def test(writer: ThreadWriter) -> None:
        await writer.write(add("kept"))
        assert store._writing is not None
        first = await held(store, writer)
        acts = [add("small"), add("big", prompt="x" * 1_000_000), add("after")]
        rest = asyncio.gather(*(writer.write(act) for act in acts), return_exceptions=True)
        await asyncio.sleep(0)
        store._writing.execute("PRAGMA cache_size = 5")
        store._writing.execute("PRAGMA max_page_count = 80")
        store.gate.set()
        answers = [*await asyncio.gather(first, return_exceptions=True), *await rest]
        stored = await writer.read(uids)
        names = ["first", "small", "big", "after"]
        heard = [name for name, answer in zip(names, answers, strict=True) if isinstance(answer, int)]
        assert stored == ["kept", *heard]
        assert isinstance(answers[2], StoreFull)
        store._writing.execute("PRAGMA max_page_count = 100000")
        await writer.write(add("big", prompt="x" * 1_000_000))

    run(store, test)


def test_a_locked_database_fails_what_waits_and_then_all_is_well(store: Watched) -> None:
    async def test(writer: ThreadWriter) -> None:
        other = sqlite3.connect(store.location, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy):
            await writer.write(add("a"))
        assert await writer.read(uids) == []
        other.execute("ROLLBACK")
        other.close()
        await writer.write(add("b"))

    run(store, test)


def test_readers_do_not_wait_for_writers(store: Watched) -> None:
    async def test(writer: ThreadWriter) -> None:
        await writer.write(add("a"))
        first = await held(store, writer)
        assert await writer.read(uids) == ["a"]
        store.gate.set()
        await first

    run(store, test)


def test_callers_beyond_the_bound_wait_their_turn(store: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WRITES_QUEUED_MAX", 5)

    async def test(writer: ThreadWriter) -> None:
        first = await held(store, writer)
        rest = [asyncio.ensure_future(writer.write(add(str(number)))) for number in range(50)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(writer._writes._line) == 46  # the first has one of five places
        for gone in (rest[3], rest[10]):  # one that has a place, and one that waits for it
            gone.cancel()
        store.gate.set()
        await first
        assert len(await asyncio.gather(*rest, return_exceptions=True)) == 50
        assert writer._writes._open == 0
        assert set(await writer.read(uids)) == {"first", *map(str, range(50))} - {"10"}

    run(store, test)


def test_a_cancelled_caller_does_not_stop_the_others(store: Watched) -> None:
    async def test(writer: ThreadWriter) -> None:
        first = await held(store, writer)
        gone = asyncio.ensure_future(writer.write(add("gone")))
        stays = asyncio.ensure_future(writer.write(add("stays")))
        await asyncio.sleep(0)
        gone.cancel()
        store.gate.set()
        await asyncio.gather(first, stays)
        assert gone.cancelled()
        assert await writer.read(uids) == ["first", "gone", "stays"]

    run(store, test)


def test_closing_finishes_what_waits_and_takes_nothing_more(store: Watched) -> None:
    async def test(writer: ThreadWriter) -> None:
        first = await held(store, writer)
        rest = asyncio.gather(*(writer.write(add(str(number))) for number in range(5)))
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(writer.close())
        await asyncio.sleep(0)
        with pytest.raises(StoreError, match="closed"):
            await writer.write(add("late"))
        store.gate.set()
        await asyncio.gather(first, rest, closing)
        await writer.close()
        with pytest.raises(StoreError, match="closed"):
            await writer.read(uids)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("promptyoself-")]

    run(store, test)
    with store.reading() as tx:
        assert len(uids(tx)) == 6


def test_a_writer_that_was_never_used_closes_too(store: Watched) -> None:
    async def test(writer: ThreadWriter) -> None:
        await writer.close()

    run(store, test)


def test_a_database_in_memory_serves_both_threads(open_store: OpenStore) -> None:
    async def test(writer: ThreadWriter) -> None:
        await asyncio.gather(*(writer.write(lambda tx: tx.add_fact(a_fact())) for _ in range(50)))
        found = await asyncio.gather(*(writer.read(lambda tx: len(tx.facts(limit=99))) for _ in range(5)))
        assert found == [50] * 5

    run(open_store(":memory:"), test)
