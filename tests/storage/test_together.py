"""Bodies that one thread runs together: they share commits, and each hears of its own once it is durable."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from promptyoself.domain import limits
from promptyoself.domain.errors import Conflict, StoreBusy, StoreError, StoreFull
from promptyoself.domain.ports import ScheduleFilter, Tx
from promptyoself.runtime import SystemClock
from promptyoself.storage.lending import LendingStore, Outcome
from promptyoself.storage.sqlite import SqliteStore
from promptyoself.storage.sqlite_tx import SqliteTx
from promptyoself.storage.writer import BodyThread
from tests.factories import a_new_schedule
from tests.storage.test_lending import Oops, Watched

WITHIN_S = 30


@pytest.fixture(autouse=True)
def _no_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a round end when nobody waits, and not because this machine is slow."""
    monkeypatch.setattr(limits, "ROUND_FOR", timedelta(seconds=WITHIN_S))


@pytest.fixture
def inner(path: Path) -> Watched:
    store = Watched.open(path, new_uid=lambda: "1" * 32)
    assert isinstance(store, Watched)
    store.gate, store.began = threading.Event(), threading.Event()
    store.gate.set()
    return store


@pytest.fixture
def store(inner: Watched) -> Iterator[LendingStore]:
    lending = LendingStore(inner, SystemClock(), busy_for=timedelta(seconds=20), loan_for=timedelta(seconds=20))
    yield lending
    inner.gate.set()
    lending.close()


@pytest.fixture
def threads(inner: Watched) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool
        inner.gate.set()


def uids(store: LendingStore | Watched) -> str:
    """Return whose schedules are stored, by their first digits."""
    with store.reading() as tx:
        return "".join(sorted(schedule.uid[0] for schedule in tx.schedules(ScheduleFilter())))


def adds(store: LendingStore, digit: str, *, then: Callable[[Tx], object] | None = None) -> Callable[[], str]:
    def body() -> str:
        with store.transaction() as tx:
            tx.add_schedule(a_new_schedule(uid=digit * 32))
            if then is not None:
                then(tx)
        return digit

    return body


def refuses(error: Exception, _tx: Tx) -> None:
    raise error


def test_bodies_of_one_thread_share_one_commit(store: LendingStore, inner: Watched) -> None:
    outcomes = store.together([adds(store, digit) for digit in "123"])

    assert outcomes == [Outcome("1"), Outcome("2"), Outcome("3")]
    assert inner.commits == 1
    assert uids(inner) == "123"


def test_nobody_hears_before_the_commit(store: LendingStore, inner: Watched, threads: ThreadPoolExecutor) -> None:
    inner.gate.clear()
    ran = threading.Event()
    refused = adds(store, "2", then=partial(refuses, Conflict("taken")))
    together = threads.submit(store.together, [adds(store, "1"), refused, ran.set])

    assert ran.wait(WITHIN_S)
    with pytest.raises(TimeoutError):
        together.result(0.05)
    assert uids(inner) == ""
    inner.gate.set()
    assert [outcome.value for outcome in together.result(WITHIN_S)] == ["1", None, None]


def test_a_refusal_waits_for_another_threads_commit_of_what_it_saw(
    store: LendingStore, inner: Watched, threads: ThreadPoolExecutor
) -> None:
    inner.gate.clear()
    taken = threading.Event()

    def other_takes_it_up() -> None:
        threads.submit(adds(store, "2", then=lambda _: taken.set()))
        assert taken.wait(WITHIN_S)

    together = threads.submit(
        store.together, [adds(store, "1", then=partial(refuses, Conflict("taken"))), other_takes_it_up]
    )

    assert taken.wait(WITHIN_S)
    with pytest.raises(TimeoutError):
        together.result(0.05)
    inner.gate.set()
    assert isinstance(together.result(WITHIN_S)[0].error, Conflict)
    assert uids(inner) == "2"


def test_what_one_body_raises_undoes_that_one_alone(store: LendingStore, inner: Watched) -> None:
    bodies = [adds(store, "1"), adds(store, "2", then=partial(refuses, Oops("no"))), adds(store, "3")]

    outcomes = store.together(bodies)

    assert [outcome.value for outcome in outcomes] == ["1", None, "3"]
    assert isinstance(outcomes[1].error, Oops)
    assert (uids(inner), inner.commits) == ("13", 1)


def test_a_commit_that_fails_fails_every_body_that_wrote(store: LendingStore, inner: Watched) -> None:
    inner.failure = StoreFull("no room")

    outcomes = store.together([adds(store, "1"), lambda: "read", adds(store, "2")])

    assert [type(outcome.error) for outcome in outcomes] == [StoreFull, type(None), StoreFull]
    inner.failure = None
    assert store.together([adds(store, "3")]) == [Outcome("3")]
    assert uids(inner) == "3"


def test_another_thread_takes_up_what_is_open_and_stores_it(
    store: LendingStore, inner: Watched, threads: ThreadPoolExecutor
) -> None:
    """It waits for no body to come; its own commit is theirs."""
    may_end, others = threading.Event(), list[Future[str]]()

    def slow() -> str:
        others.append(threads.submit(adds(store, "2")))
        others[0].result(WITHIN_S)
        assert uids(inner) == "12"
        assert may_end.is_set() is False
        return "slow"

    outcomes = store.together([adds(store, "1"), slow])

    assert outcomes == [Outcome("1"), Outcome("slow")]
    assert inner.commits == 1


def test_a_failure_that_another_thread_meets_is_told_to_the_bodies_too(
    store: LendingStore, inner: Watched, threads: ThreadPoolExecutor
) -> None:
    def other_fails() -> str:
        inner.failure = StoreFull("no room")
        other = threads.submit(adds(store, "2"))
        assert isinstance(other.exception(WITHIN_S), StoreFull)
        inner.failure = None
        return "other"

    first, second = store.together([adds(store, "1"), other_fails])

    assert isinstance(first.error, StoreFull)
    assert second == Outcome("other")
    assert uids(inner) == ""


def test_a_body_reads_what_it_has_written(store: LendingStore) -> None:
    def body() -> str:
        adds(store, "1")()
        with store.transaction() as tx:
            tx.add_schedule(a_new_schedule(uid="2" * 32))
            with store.reading() as reading:  # as a handler might: it must not wait for itself
                assert reading.schedules(ScheduleFilter(limit=1)) is not None
        return uids(store)

    assert store.together([body]) == [Outcome("12")]


def test_a_round_that_is_full_is_stored_at_once(
    store: LendingStore, inner: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WRITES_PER_COMMIT_MAX", 2)

    assert store.together([adds(store, digit) for digit in "123"])[2] == Outcome("3")
    assert inner.commits == 2


def test_a_thread_runs_what_waits_together_and_closes(store: LendingStore, inner: Watched) -> None:
    async def main() -> None:
        thread = BodyThread(store)
        inner.gate.clear()
        first = asyncio.ensure_future(thread.run(adds(store, "1")))
        await asyncio.to_thread(inner.began.wait, WITHIN_S)
        rest = [asyncio.ensure_future(thread.run(adds(store, digit))) for digit in "2345"]
        wrong = asyncio.ensure_future(thread.run(adds(store, "6", then=partial(refuses, Oops("no")))))
        await asyncio.sleep(0)
        inner.gate.set()
        assert [await one for one in (first, *rest)] == list("12345")
        with pytest.raises(Oops, match="no"):
            await wrong
        await thread.close()
        with pytest.raises(StoreError, match="closed already"):
            await thread.run(adds(store, "7"))

    asyncio.run(asyncio.wait_for(main(), WITHIN_S))
    assert (uids(inner), inner.commits) == ("12345", 2)


def test_who_stands_behind_a_wait_in_vain_does_not_wait_as_long_again(path: Path) -> None:
    tried = 0

    class Locked(SqliteStore):
        """A database that another process keeps locked."""

        @contextmanager
        def transaction(self) -> Iterator[SqliteTx]:
            nonlocal tried
            tried += 1
            if tried:
                raise StoreBusy("the database is busy", hint="try again")
            with super().transaction() as tx:
                yield tx

    store = Locked.open(path, new_uid=lambda: "1" * 32)
    lending = LendingStore(store, SystemClock())
    outcomes = lending.together([adds(lending, digit) for digit in "abc"])
    assert [type(one.error) for one in outcomes] == [StoreBusy] * 3
    assert tried == 1
    lending.close()
