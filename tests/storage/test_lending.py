"""A lent transaction: threads share one commit, and each hears of its own part only when it is durable."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from promptyoself.domain import limits
from promptyoself.domain.errors import Conflict, StoreBusy, StoreError, StoreFull
from promptyoself.domain.ports import ScheduleFilter, Tx
from promptyoself.runtime import SystemClock
from promptyoself.storage.lending import LendingStore
from promptyoself.storage.sqlite import SqliteStore
from promptyoself.storage.sqlite_tx import SqliteTx
from promptyoself.storage.writer import ThreadWriter
from tests.factories import a_new_schedule
from tests.storage.conftest import SOON, Start

WITHIN_S = 30


class Oops(Exception):
    """What a body raises."""


@pytest.fixture(autouse=True)
def _no_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a round end when nobody waits, and not because this machine is slow."""
    monkeypatch.setattr(limits, "ROUND_FOR", timedelta(seconds=WITHIN_S))


class Watched(SqliteStore):
    """A store that counts its commits, can hold them up, and can fail them."""

    gate: threading.Event
    commits: int = 0
    began: threading.Event
    failure: Exception | None = None

    @contextmanager
    def transaction(self) -> Iterator[SqliteTx]:
        with super().transaction() as tx:
            self.began.set()
            yield tx
            assert self.gate.wait(WITHIN_S)
            if self.failure is not None:
                raise self.failure
        self.commits += 1


class Bench:
    """A lending store and threads that use it."""

    def __init__(self, store: Watched, *, busy_for: timedelta, loan_for: timedelta) -> None:
        self.inner = store
        self.store = LendingStore(store, SystemClock(), busy_for=busy_for, loan_for=loan_for)
        self._threads = ThreadPoolExecutor(16)

    def begin(self, body: Callable[[Tx], object]) -> Future[None]:
        """Run a body in a transaction of a thread of its own."""

        def run() -> None:
            with self.store.transaction() as tx:
                body(tx)

        return self._threads.submit(run)

    def hold(self) -> tuple[threading.Event, Future[None]]:
        """Begin a body that keeps the transaction until the event is set; return when it has it."""
        has_it, may_end = threading.Event(), threading.Event()

        def body(tx: Tx) -> None:
            tx.add_schedule(a_new_schedule(uid="f" * 32))
            has_it.set()
            assert may_end.wait(WITHIN_S)

        held = self.begin(body)
        assert has_it.wait(WITHIN_S)
        return may_end, held

    def wait_until_waiting(self, count: int) -> None:
        """Return when so many wait for their turn."""
        deadline = threading.Event()
        for _ in range(WITHIN_S * 1000):
            if len(self.store._waiting) == count:
                return
            deadline.wait(0.001)
        raise AssertionError(len(self.store._waiting))

    def uids(self) -> set[str]:
        """Return whose schedules are stored, by their first digit."""
        with self.inner.reading() as tx:
            return {schedule.uid[0] for schedule in tx.schedules(ScheduleFilter())}

    def close(self) -> None:
        self.inner.gate.set()
        self._threads.shutdown()
        self.store.close()


@pytest.fixture
def open_bench(path: Path) -> Iterator[Callable[..., Bench]]:
    with ExitStack() as stack:

        def opened(
            *, busy_for: timedelta = timedelta(seconds=20), loan_for: timedelta = timedelta(seconds=20)
        ) -> Bench:
            store = Watched.open(path, new_uid=lambda: "1" * 32)
            assert isinstance(store, Watched)
            store.gate, store.began = threading.Event(), threading.Event()
            store.gate.set()
            bench = Bench(store, busy_for=busy_for, loan_for=loan_for)
            stack.callback(bench.close)
            return bench

        yield opened


@pytest.fixture
def bench(open_bench: Callable[..., Bench]) -> Bench:
    return open_bench()


def adds(digit: str) -> Callable[[Tx], object]:
    return lambda tx: tx.add_schedule(a_new_schedule(uid=digit * 32))


def fails(error: Exception) -> Callable[[Tx], object]:
    def body(tx: Tx) -> None:
        tx.add_schedule(a_new_schedule(uid="e" * 32))
        raise error

    return body


def test_threads_that_wait_share_one_commit(bench: Bench) -> None:
    may_end, held = bench.hold()
    others = [bench.begin(adds(digit)) for digit in "123"]
    bench.wait_until_waiting(3)
    may_end.set()
    for one in (held, *others):
        one.result(WITHIN_S)

    assert bench.inner.commits == 1
    assert bench.uids() == set("f123")


@pytest.mark.parametrize(
    ("bound", "value", "commits"), [("WRITES_PER_COMMIT_MAX", 2, 3), ("ROUND_FOR", timedelta(0), 6)]
)
def test_a_round_has_an_end_however_many_wait(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, bound: str, value: object, commits: int
) -> None:
    monkeypatch.setattr(limits, bound, value)
    before = bench.inner.commits
    may_end, held = bench.hold()
    waiting = [bench.begin(adds(digit)) for digit in "23456"]
    bench.wait_until_waiting(5)
    may_end.set()
    for one in (held, *waiting):
        one.result(WITHIN_S)
    assert bench.inner.commits - before == commits


def test_nobody_returns_before_the_commit(bench: Bench) -> None:
    bench.inner.gate.clear()
    may_end, held = bench.hold()
    other = bench.begin(adds("1"))
    bench.wait_until_waiting(1)
    may_end.set()

    bench.wait_until_waiting(0)
    for one in (held, other):
        with pytest.raises(TimeoutError):
            one.result(0.05)
    bench.inner.gate.set()
    for one in (held, other):
        one.result(WITHIN_S)


def test_what_one_raises_undoes_that_one_alone(bench: Bench) -> None:
    may_end, held = bench.hold()
    wrong, right = bench.begin(fails(Oops("no"))), bench.begin(adds("1"))
    bench.wait_until_waiting(2)
    may_end.set()

    with pytest.raises(Oops, match="no"):
        wrong.result(WITHIN_S)
    held.result(WITHIN_S)
    right.result(WITHIN_S)
    assert bench.uids() == set("f1")
    assert bench.inner.commits == 1


def test_a_refusal_is_told_after_what_it_saw_is_durable(bench: Bench) -> None:
    """Else a caller is told of a conflict with something that is not there after a crash."""
    bench.inner.gate.clear()
    may_end, held = bench.hold()
    refused = bench.begin(fails(Conflict("taken")))
    bench.wait_until_waiting(1)
    may_end.set()

    bench.wait_until_waiting(0)
    with pytest.raises(TimeoutError):
        refused.result(0.05)
    bench.inner.gate.set()
    held.result(WITHIN_S)
    with pytest.raises(Conflict):
        refused.result(WITHIN_S)


def test_a_commit_that_fails_reaches_all_who_share_it(bench: Bench) -> None:
    may_end, held = bench.hold()
    others = [bench.begin(adds(digit)) for digit in "12"]
    bench.wait_until_waiting(2)
    bench.inner.failure = StoreFull("the disk is full", hint="make room")
    may_end.set()

    for one in (held, *others):
        with pytest.raises(StoreFull, match="the disk is full") as raised:
            one.result(WITHIN_S)
        assert raised.value.hint == "make room"
    assert bench.uids() == set()
    bench.inner.failure = None
    bench.begin(adds("3")).result(WITHIN_S)
    assert bench.uids() == {"3"}


def test_when_sqlite_undoes_all_nobody_counts_as_stored(bench: Bench) -> None:
    may_end, held = bench.hold()

    def full(tx: Tx) -> None:
        assert isinstance(tx, SqliteTx)
        tx._execute("ROLLBACK", {})
        raise StoreFull("the disk is full")

    broken, after = bench.begin(full), bench.begin(adds("1"))
    bench.wait_until_waiting(2)
    may_end.set()

    with pytest.raises(StoreError):
        held.result(WITHIN_S)
    with pytest.raises(StoreFull):
        broken.result(WITHIN_S)
    after.result(WITHIN_S)
    assert bench.uids() == {"1"}


def test_a_long_wait_is_busy(open_bench: Callable[..., Bench]) -> None:
    bench = open_bench(busy_for=SOON)
    may_end, held = bench.hold()
    with pytest.raises(StoreBusy):
        bench.begin(adds("1")).result(WITHIN_S)
    may_end.set()
    held.result(WITHIN_S)

    assert bench.uids() == {"f"}


def test_who_keeps_the_transaction_for_too_long_loses_it(open_bench: Callable[..., Bench]) -> None:
    bench = open_bench(loan_for=SOON)
    has_lost, said = threading.Event(), list[BaseException]()

    def hangs(tx: Tx) -> None:
        tx.add_schedule(a_new_schedule(uid="e" * 32))
        assert has_lost.wait(WITHIN_S)
        try:
            tx.add_schedule(a_new_schedule(uid="d" * 32))
        except StoreError as error:
            said.append(error)

    hung = bench.begin(hangs)
    bench.begin(adds("1")).result(WITHIN_S)
    assert bench.uids() == {"1"}
    has_lost.set()

    with pytest.raises(StoreError, match="took longer than"):
        hung.result(WITHIN_S)
    assert len(said) == 1, "what it does with the transaction afterwards is refused"
    bench.begin(adds("2")).result(WITHIN_S)
    assert bench.uids() == set("12")


def test_who_takes_long_alone_keeps_it(open_bench: Callable[..., Bench]) -> None:
    bench = open_bench(loan_for=timedelta(0))
    bench.begin(adds("1")).result(WITHIN_S)

    assert bench.uids() == {"1"}


@pytest.mark.parametrize("is_granted", [False, True])
def test_who_is_interrupted_while_waiting_keeps_nobody_waiting(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, is_granted: bool
) -> None:
    may_end, held = bench.hold()
    wait, interrupts = bench.store._wait, iter([True])

    def interrupted(event: threading.Event, at_most_s: float) -> bool:
        if next(interrupts, False):
            if is_granted:
                may_end.set()
                assert event.wait(WITHIN_S)
            raise KeyboardInterrupt
        return wait(event, at_most_s)

    monkeypatch.setattr(bench.store, "_wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.begin(adds("e")).result(WITHIN_S)
    may_end.set()
    bench.begin(adds("d")).result(WITHIN_S)
    held.result(WITHIN_S)
    assert bench.uids() == {"f", "d"}


def test_a_transaction_that_hangs_does_not_hold_the_end(path: Path) -> None:
    store = SqliteStore.open(path, new_uid=lambda: "1" * 32, busy_for=SOON)
    with ExitStack() as stack:
        tx = stack.enter_context(store.transaction())
        tx.add_schedule(a_new_schedule(uid="e" * 32))
        with ThreadPoolExecutor(1) as threads:
            threads.submit(store.close).result(WITHIN_S)
    with pytest.raises(StoreError, match="closed"), store.transaction():
        pass
    with closing(SqliteStore.open(path, new_uid=lambda: "2" * 32)) as anew, anew.reading() as tx:
        assert [schedule.uid for schedule in tx.schedules(ScheduleFilter())] == ["e" * 32], "it was its own to finish"


def test_a_transaction_within_another_is_refused_at_once(bench: Bench) -> None:
    def nested(tx: Tx) -> None:
        tx.add_schedule(a_new_schedule(uid="1" * 32))
        with bench.store.transaction():
            raise AssertionError

    with pytest.raises(StoreError, match="within another"):
        bench.begin(nested).result(WITHIN_S)
    bench.begin(adds("2")).result(WITHIN_S)


def test_a_transaction_that_cannot_begin_keeps_nobody_waiting(bench: Bench, path: Path) -> None:
    path.rename(path.with_suffix(".away"))
    for _ in range(2):
        with pytest.raises(StoreError):
            bench.begin(adds("1")).result(WITHIN_S)
    path.with_suffix(".away").rename(path)
    bench.begin(adds("2")).result(WITHIN_S)

    assert bench.uids() == {"2"}


def test_nothing_can_be_done_with_a_transaction_that_is_over(bench: Bench) -> None:
    kept: list[Tx] = []
    bench.begin(kept.append).result(WITHIN_S)
    may_end, held = bench.hold()
    with pytest.raises(StoreError, match="has ended"):
        kept[0].add_schedule(a_new_schedule(uid="1" * 32))
    may_end.set()
    held.result(WITHIN_S)


def test_the_engines_writer_shares_the_commit(bench: Bench) -> None:
    import asyncio

    async def main() -> None:
        writer = ThreadWriter(bench.store)
        acts = [writer.write(adds(digit)) for digit in "23"]
        running = asyncio.gather(*acts)
        await asyncio.to_thread(bench.wait_until_waiting, 1)
        may_end.set()
        await running
        await writer.close()

    may_end, held = bench.hold()
    asyncio.run(main())
    held.result(WITHIN_S)

    assert bench.uids() == set("f23")
    assert bench.inner.commits <= 2, "the writer's two acts come in one or two batches"


def test_many_threads_lose_and_double_nothing(bench: Bench) -> None:
    def body(number: int) -> Callable[[Tx], object]:
        if number % 5 == 0:
            return fails(Oops())
        return lambda tx: tx.add_schedule(a_new_schedule(uid=f"{number:032x}"))

    begun = [bench.begin(body(number)) for number in range(500)]
    failed = [number for number, one in enumerate(begun) if one.exception(WITHIN_S) is not None]

    assert failed == list(range(0, 500, 5))
    with bench.inner.reading() as tx:
        found = [schedule.uid for schedule in tx.schedules(ScheduleFilter())]
    assert found == sorted(set(found), key=found.index)
    assert set(found) == {f"{number:032x}" for number in range(500) if number % 5}
    assert bench.inner.commits < 500


PROGRAM = """
import threading
from promptyoself.runtime import SystemClock
from promptyoself.storage.lending import LendingStore

lending = LendingStore(store, SystemClock())

def work(thread):
    for number in range(1_000_000):
        uid = f"{thread:08x}{number:024x}"
        with lending.transaction() as tx:
            tx.add_schedule(a_new_schedule(uid=uid))
        sys.stdout.write(uid + "\\n")
        sys.stdout.flush()

for thread in range(8):
    threading.Thread(target=work, args=(thread,)).start()
"""


def test_what_was_answered_survives_kill_9(path: Path, start: Start) -> None:
    process = start(PROGRAM)
    assert process.stdout is not None
    answered = [process.stdout.readline().strip() for _ in range(200)]
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read()
    answered += [line.strip() for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    process.wait(WITHIN_S)

    store = SqliteStore.open(path, new_uid=lambda: "1" * 32)
    with store.reading() as tx:
        stored = {schedule.uid for schedule in tx.schedules(ScheduleFilter(limit=1_000_000))}
    store.close()
    assert {uid for uid in answered if len(uid) == 32} <= stored
    assert len(answered) >= 200
