"""Writers: many callers of an event loop share one commit, each with its own success or failure.

One commit to a disk takes milliseconds however much is in it. So one thread writes: while it commits, acts queue
up; it then runs all that wait, each under a savepoint of its own, and commits once.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

from promptyoself.domain import limits
from promptyoself.domain.errors import StoreError
from promptyoself.domain.ports import Store, Tx

T = TypeVar("T")


class GroupTx(Tx, Protocol):
    """A transaction that can hold several acts apart."""

    @property
    def is_alive(self) -> bool:
        """False once the transaction has ended, whoever ended it."""
        ...

    def nested(self) -> AbstractContextManager[None]:
        """Open a savepoint: what is raised within undoes what was written within, and nothing before it."""
        ...


class GroupStore(Protocol):
    """A store whose transactions can hold several acts apart."""

    @property
    def location(self) -> str:
        """Where it is, as people read it."""
        ...

    def transaction(self) -> AbstractContextManager[GroupTx]:
        """Open a writing transaction."""
        ...

    def reading(self) -> AbstractContextManager[Tx]:
        """Open a transaction that writes nothing."""
        ...


class BodyOutcome(Protocol):
    """What became of a body."""

    @property
    def value(self) -> Any:  # noqa: ANN401  whatever the body returned
        """What it returned."""
        ...

    @property
    def error(self) -> BaseException | None:
        """What it raised, or why nothing of it is stored."""
        ...


class TogetherStore(Protocol):
    """A store that runs bodies whose transactions share commits."""

    @property
    def location(self) -> str:
        """Where it is, as people read it."""
        ...

    def together(self, bodies: Sequence[Callable[[], Any]]) -> Sequence[BodyOutcome]:
        """Run bodies one after the other; return when what each has written is durable, or is not."""
        ...


class InlineWriter:
    """The same promises without threads: each act runs at once, in a transaction of its own. For simulations."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def write(self, act: Callable[[Tx], T], *, lane: str | None = None) -> T:  # noqa: ARG002  the port's signature
        """Run `act` in a transaction; what it raises undoes it."""
        with self._store.transaction() as tx:
            return act(tx)

    async def read(self, act: Callable[[Tx], T]) -> T:
        """Run `act` on one state of the database."""
        with self._store.reading() as tx:
            return act(tx)

    async def close(self) -> None:
        """Do nothing: nothing waits."""


class ThreadWriter:
    """One writing and one reading thread for the event loop that first uses it.

    At most WRITES_QUEUED_MAX acts wait in each queue; further callers wait their turn. An act must touch nothing but
    its Tx, since it runs in another thread. A caller that is cancelled does not stop its act: it is stored or not,
    as if the caller had gone just after.
    """

    def __init__(self, store: GroupStore) -> None:
        self._writes = ActQueue("promptyoself-writer", _Writes(store), store.location)
        self._reads = ActQueue("promptyoself-reader", Reads(store), store.location)

    async def write(self, act: Callable[[Tx], T], *, lane: str | None = None) -> T:  # noqa: ARG002  the port's signature
        """Run `act` in a transaction and return when it is durable. What it raises undoes it alone.

        Raises what `act` raises, or StoreError kin when the commit that it shares fails: nothing of it is stored then.
        """
        return await self._writes.run(act)

    async def read(self, act: Callable[[Tx], T]) -> T:
        """Run `act` on one state of the database, not older than this call."""
        return await self._reads.run(act)

    async def close(self) -> None:
        """Finish what is queued, then end both threads; acts that come later raise StoreError. The store stays open."""
        for one in (self._writes, self._reads):
            one.stop()
        for one in (self._writes, self._reads):
            await one.ended()


class BodyThread:
    """One thread that runs short bodies with transactions of their own, all that wait at a time: they share commits.

    A thread for each of them costs more than what most of them do: of ten that wait for one commit, each has to be
    woken, and all want the interpreter at once.
    """

    def __init__(self, store: TogetherStore) -> None:
        self._bodies = ActQueue("promptyoself-bodies", _Bodies(store), store.location)

    async def run(self, body: Callable[[], T]) -> T:
        """Run a body and return when what it has written is durable. What it raises undoes its transaction alone.

        It may wait for nothing outside of the database. A caller that is cancelled does not stop it.
        """
        return await self._bodies.run(body)

    async def close(self) -> None:
        """Finish what is queued, then end the thread; bodies that come later raise StoreError."""
        self._bodies.stop()
        await self._bodies.ended()


# -- acts and their batches ---------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Act(Generic[T]):
    """What to do, and for whom. `answer` is set by the loop's thread only."""

    run: Callable[..., T]
    """Takes a Tx; of a body thread, nothing."""
    answer: asyncio.Future[T]
    value: T | None = None
    error: BaseException | None = field(default=None)
    lane: str = ""
    """The lane that it is about, where the writer fetches for many."""
    tries: int = 0
    """How often it could not be run, for somebody else had its rows."""

    def settle(self) -> None:
        """Tell the caller, if there is one still."""
        if self.answer.done():
            return
        if self.error is not None:
            self.answer.set_exception(self.error)
        else:
            self.answer.set_result(self.value)  # type: ignore[arg-type]  # None is a T then


Batch = Sequence[Act[Any]]


class Work(Protocol):
    """What a thread does with a batch: leaves a value or an error in each act, and raises only when all have failed."""

    def __call__(self, batch: Batch) -> Batch | None:
        """Return the acts that are to be settled later, having neither a value nor an error; None for none of them."""
        ...


class _Writes:
    """All acts of a batch in one transaction, each under its own savepoint."""

    def __init__(self, store: GroupStore) -> None:
        self._store = store

    def __call__(self, batch: Batch) -> None:
        with self._store.transaction() as tx:
            for act in batch:
                attempt(act, tx, tx.nested())
                if not tx.is_alive:
                    # SQLite has undone all of it (a full disk): nobody's act may count as stored.
                    raise act.error or StoreError(f"the transaction at {self._store.location} was undone")


class _Bodies:
    """All acts one after the other, each with transactions of its own that share commits."""

    def __init__(self, store: TogetherStore) -> None:
        self._store = store

    def __call__(self, batch: Batch) -> None:
        for act, outcome in zip(batch, self._store.together([act.run for act in batch]), strict=True):
            act.value, act.error = outcome.value, outcome.error


class Reads:
    """All acts of a batch on one state of the database."""

    def __init__(self, store: GroupStore) -> None:
        self._store = store

    def __call__(self, batch: Batch) -> None:
        """Run them; what an act raises is its own, but where the database refuses a statement, all may fail with it."""
        with self._store.reading() as tx:
            for act in batch:
                attempt(act, tx, nullcontext())


def attempt(act: Act[Any], tx: Tx, bounds: AbstractContextManager[None]) -> None:
    """Run an act within bounds, and keep what it returns or raises."""
    try:
        with bounds:
            act.value = act.run(tx)
    except Exception as error:  # noqa: BLE001  it is the caller's, who gets it
        act.error = error


# -- threads ------------------------------------------------------------------------------------------------


class ActQueue:
    """A bounded queue of acts and the thread that works through it."""

    def __init__(self, name: str, work: Work, location: str) -> None:
        self._name: Final = name
        self._work: Final = work
        self._location: Final = location
        self._gathered: list[Act[Any]] = []
        """What has come in this turn of the loop; it goes to the thread at once, or the first would run alone."""
        self._queue: queue.SimpleQueue[list[Act[Any]] | None] = queue.SimpleQueue()
        """What was handed over; None at the end."""
        self._waiting: deque[Act[Any]] = deque()
        """What the thread has taken out of it; the thread's own."""
        self._open = 0
        """Callers whose acts are in hand; those beyond WRITES_QUEUED_MAX wait in line."""
        self._line: deque[asyncio.Future[None]] = deque()
        self._thread: threading.Thread | None = None
        self._ended: asyncio.Future[None] | None = None
        self._is_stopped = False

    async def run(self, act: Callable[..., T], *, lane: str = "") -> T:
        """Queue an act and wait for its answer."""
        if self._open >= limits.WRITES_QUEUED_MAX:
            await self._wait_in_line()
        else:
            self._open += 1
        try:
            if self._is_stopped or self._thread is None:
                self.start()
            loop = asyncio.get_running_loop()
            answer: asyncio.Future[T] = loop.create_future()
            if not self._gathered:
                loop.call_soon(self._hand_over)
            self._gathered.append(Act(act, answer, lane=lane))
            return await answer
        finally:
            self._make_room()

    async def _wait_in_line(self) -> None:
        """Wait for the place of somebody who goes; a semaphore would cost every act as much as all the rest here."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._make_room()  # the place was ours already: it goes to the next
            raise

    def _make_room(self) -> None:
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._open -= 1

    def put_again(self, act: Act[Any]) -> None:
        """Queue an act once more whose caller waits already; from this queue's own thread."""
        self._waiting.append(act)

    def take_over(self, act: Act[Any]) -> None:
        """Queue an act of another queue, which is to be closed before this one; from any thread."""
        self._queue.put([act])

    def stop(self) -> None:
        """Take nothing more; the thread finishes what is queued."""
        if not self._is_stopped:
            self._is_stopped = True
            self._hand_over()
            self._queue.put(None)

    async def ended(self) -> None:
        """Wait for the end of the thread."""
        if self._thread is not None and self._ended is not None:
            await asyncio.shield(self._ended)
            self._thread.join()

    def _hand_over(self) -> None:
        if self._gathered:
            self._queue.put(self._gathered)
            self._gathered = []

    @property
    def is_started(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None

    def start(self) -> None:
        """See to it that the thread runs. Raises StoreError when the queue is closed."""
        if self._is_stopped:
            raise StoreError(f"the writer of {self._location} is closed already")
        if self._thread is None:
            loop = asyncio.get_running_loop()
            self._ended = loop.create_future()
            # A daemon: a process that forgets to close must still be able to end.
            self._thread = threading.Thread(target=self._drain, args=(loop, self._ended), name=self._name, daemon=True)
            self._thread.start()

    def _drain(self, loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None]) -> None:
        is_ending = False
        while not is_ending or self._waiting:
            batch, is_last = self._batch()
            is_ending = is_ending or is_last
            later: AbstractSet[Act[Any]] = frozenset()
            try:
                later = frozenset(self._work(batch) or ())
            except BaseException as error:  # noqa: BLE001  the batch as a whole has failed: each caller hears of it
                for act in batch:
                    act.error = error
            _tell(loop, partial(_settle, [act for act in batch if act not in later] if later else batch))
        _tell(loop, partial(ended.set_result, None))

    def _batch(self) -> tuple[list[Act[Any]], bool]:
        """Return what waits, at most WRITES_PER_COMMIT_MAX, having waited for the first; and whether it is the last."""
        waiting, is_last = self._waiting, False
        while not is_last and len(waiting) < limits.WRITES_PER_COMMIT_MAX:
            try:
                acts = self._queue.get_nowait() if waiting else self._queue.get()
            except queue.Empty:
                break
            is_last = acts is None
            waiting.extend(acts or ())
        batch = [waiting.popleft() for _ in range(min(len(waiting), limits.WRITES_PER_COMMIT_MAX))]
        return batch, is_last


def _settle(batch: Batch) -> None:
    for act in batch:
        act.settle()


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[[], object]) -> None:
    # A loop that is closed has nobody left who waits.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(what)
