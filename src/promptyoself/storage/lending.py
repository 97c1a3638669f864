"""One commit for the transactions of several threads: each is held apart by a savepoint, and returns once it is stored.

One commit to a disk takes milliseconds however much is in it. So a thread that has done its part hands the open
transaction to the next that waits, and only the last commits, for all. Who finds nobody waiting is alone, and pays what
it would have paid without this. The bodies run in their own threads, one at a time.

A thread that has many bodies to run one after the other need not wait in between: `together` leaves the transaction
open from one to the next, for whoever wants it meanwhile, and waits for the commits of all of them at the end.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Generic, Protocol, Self, TypeVar

from promptyoself.domain import limits
from promptyoself.domain.errors import PromptyoselfError, StoreBusy, StoreError
from promptyoself.domain.ports import Clock, Tx
from promptyoself.storage.writer import GroupTx

T = TypeVar("T")
_LOOK_EVERY_S: Final = 0.5
"""How often those who wait look whether somebody has kept the transaction for too long."""


class LendableTx(GroupTx, Protocol):
    """A transaction that can be lent to one body after the other."""

    def lend(self) -> Self:
        """Open a savepoint and return a transaction for one body."""
        ...

    def take_back(self, lent: Self, *, is_kept: bool) -> None:
        """End what was lent: nothing more of it is executed; keep or undo what was written in it."""
        ...


class LendableStore(Protocol):
    """A store whose transaction may be begun in one thread and ended in another."""

    @property
    def uid(self) -> str:
        """The uid that this database was given when it was made."""
        ...

    @property
    def location(self) -> str:
        """Where it is, as people read it."""
        ...

    def transaction(self) -> AbstractContextManager[LendableTx]:
        """Open a writing transaction."""
        ...

    def reading(self) -> AbstractContextManager[Tx]:
        """Open a transaction that writes nothing."""
        ...

    def glancing(self) -> AbstractContextManager[Tx]:
        """Open a transaction for one look by an index, of microseconds."""
        ...

    def change_mark(self) -> int:
        """Return a number that differs after any commit."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


@dataclass(slots=True, eq=False)
class _Round:
    """One shared transaction, and those who wait for its commit."""

    bracket: AbstractContextManager[LendableTx]
    tx: LendableTx
    begun_s: float
    members: int = 0
    error: BaseException | None = None
    """Why nothing of it was stored."""
    settled: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class Outcome(Generic[T]):
    """What became of a body: its value, or what it raised, or why nothing of it is stored."""

    value: T | None = None
    error: BaseException | None = None


class _Together(threading.local):
    """Whether this thread waits for its commits later, and for which: those of the body that runs now."""

    rounds: list[tuple[_Round, bool]] | None = None
    """Each with whether something was to be kept there. A refusal, too, waits until what it saw is durable."""


@dataclass(slots=True, eq=False)
class _Loan:
    """One body's turn."""

    thread: int
    granted: threading.Event = field(default_factory=threading.Event)
    round: _Round | None = None
    tx: LendableTx | None = None
    until_s: float = float("inf")
    is_over: bool = False
    """Set once, by the thread that ends it: the body's own, or one that waited for too long."""


class LendingStore:
    """A store for many threads. `transaction` waits for its turn, at most `busy_for`, and returns when it is durable.

    What a body raises undoes that body alone. A commit that fails undoes all who share it, and all hear of it. A body
    that keeps the transaction for longer than LOAN_FOR while others wait loses it: what it wrote is undone.
    """

    def __init__(
        self,
        store: LendableStore,
        clock: Clock,
        *,
        busy_for: timedelta = limits.STORE_BUSY_FOR,
        loan_for: timedelta = limits.LOAN_FOR,
    ) -> None:
        self._store = store
        self._clock = clock
        self._busy_s = busy_for.total_seconds()
        self._loan_s = loan_for.total_seconds()
        self._mutex = threading.Lock()
        self._loan: _Loan | None = None
        """Whose turn it is; it stays while the commit runs."""
        self._waiting: deque[_Loan] = deque()
        self._parked: _Round | None = None
        """Open, with nobody's turn: a thread that runs bodies together comes back to it, unless another was quicker."""
        self._together = _Together()

    @property
    def uid(self) -> str:
        """The uid that this database was given when it was made."""
        return self._store.uid

    @property
    def location(self) -> str:
        """Where it is, as people read it."""
        return self._store.location

    def reading(self) -> AbstractContextManager[Tx]:
        """Open a transaction that sees one state of the database and writes nothing.

        What the same body has written before is stored by then, and seen.
        """
        rounds, loan = self._together.rounds, self._loan
        if rounds and (loan is None or loan.is_over or loan.thread != threading.get_ident()):
            self._settle_parked()
            for shared, _ in rounds:
                self._wait_for(shared, matters=False)
        return self._store.reading()

    def glancing(self) -> AbstractContextManager[Tx]:
        """Open a transaction for one look by an index, of microseconds."""
        return self._store.glancing()

    def change_mark(self) -> int:
        """Return a number that differs after any commit."""
        return self._store.change_mark()

    def close(self) -> None:
        """Close every connection."""
        self._store.close()

    @contextmanager
    def transaction(self) -> Iterator[LendableTx]:
        """Open a writing transaction that shares its commit. Raises StoreBusy, and StoreError kin when it failed."""
        loan = self._borrow()
        assert loan.tx is not None  # noqa: S101  as borrowed
        try:
            yield loan.tx
        except BaseException:
            self._give_back(loan, is_kept=False)
            raise
        self._give_back(loan, is_kept=True)

    def together(self, bodies: Sequence[Callable[[], T]]) -> list[Outcome[T]]:
        """Run bodies one after the other in this thread; return when what each has written is durable, or is not.

        Each may open transactions, one at a time, and returns before they are stored: what it does after them nobody
        may see yet. None may wait for anything outside: others' commits wait for it. Raises nothing of theirs.
        """
        outcomes: list[Outcome[T]] = []
        joined: list[list[tuple[_Round, bool]]] = []
        try:
            for body in bodies:
                self._together.rounds = []
                outcomes.append(self._refused_as_before(outcomes) or _outcome(body))
                joined.append(self._together.rounds)
        finally:
            self._together.rounds = None
            self._settle_parked()
        for outcome, rounds in zip(outcomes, joined, strict=True):
            for shared, is_kept in rounds:
                try:
                    self._wait_for(shared, matters=is_kept)
                except StoreError as error:
                    outcome.error = outcome.error or error
        return outcomes

    def _refused_as_before(self, outcomes: list[Outcome[T]]) -> Outcome[T] | None:
        """Return the refusal of a body behind one that waited for the lock in vain: each would wait as long again."""
        last = outcomes[-1].error if outcomes else None
        return Outcome(error=_copied(last, self.location)) if isinstance(last, StoreBusy) else None

    # -- turns ----------------------------------------------------------------------------------------------

    def _borrow(self) -> _Loan:
        loan = _Loan(threading.get_ident())
        with self._mutex:
            if self._loan is None:
                self._loan = loan
                loan.round, self._parked = self._parked, None
                loan.granted.set()
            elif self._loan.thread == loan.thread and not self._loan.is_over:
                raise StoreError("a transaction was opened within another of the same thread")
            else:
                self._waiting.append(loan)
        try:
            is_granted = loan.granted.is_set() or self._wait(loan.granted, self._busy_s)
        except BaseException:
            # Interrupted (Ctrl-C): a turn that nobody takes would keep all others waiting, for ever.
            self._leave_queue(loan)
            raise
        if not is_granted:
            self._withdraw(loan)
        try:
            if loan.round is None:
                loan.round = self._open()
            loan.tx = loan.round.tx.lend()
        except BaseException as error:
            self._end(loan, error)
            raise
        loan.until_s = self._clock.monotonic() + self._loan_s
        return loan

    def _leave_queue(self, loan: _Loan) -> None:
        with self._mutex:
            is_granted = loan.granted.is_set()
            if not is_granted:
                self._waiting.remove(loan)
        if is_granted:
            self._end(loan, None)

    def _withdraw(self, loan: _Loan) -> None:
        with self._mutex:
            if loan.granted.is_set():
                return
            self._waiting.remove(loan)
        raise StoreBusy(
            f"the database {self.location} is busy: others have written for {self._busy_s:g} s",
            hint="try again in a moment",
        )

    def _open(self) -> _Round:
        bracket = self._store.transaction()
        return _Round(bracket, bracket.__enter__(), self._clock.monotonic())

    def _give_back(self, loan: _Loan, *, is_kept: bool) -> None:
        """End one's own loan and wait for the commit; raises when what was to be kept is not stored."""
        assert loan.round is not None  # noqa: S101  as borrowed
        if not self._claim_end(loan):
            raise StoreError(
                f"a transaction took longer than {self._loan_s:g} s while others waited: it was undone",
                hint="do less at once",
            )
        self._take_back(loan, is_kept=is_kept)
        if self._together.rounds is None:
            self._wait_for(loan.round, matters=is_kept)
        else:
            self._together.rounds.append((loan.round, is_kept))

    def _wait_for(self, shared: _Round, *, matters: bool = True) -> None:
        """Wait for the commit; raises when what was to be kept is not stored."""
        if not self._wait(shared.settled, self._loan_s + self._busy_s):
            raise StoreError(f"the commit at {self.location} hangs: what was written may be stored or not")
        if matters and shared.error is not None:
            raise _copied(shared.error, self.location) from shared.error

    def _claim_end(self, loan: _Loan) -> bool:
        """Return whether it is the caller who ends this loan; whoever asks first does."""
        with self._mutex:
            is_first, loan.is_over = not loan.is_over, True
        return is_first

    def _take_back(self, loan: _Loan, *, is_kept: bool) -> None:
        assert loan.round is not None  # noqa: S101  as borrowed
        assert loan.tx is not None  # noqa: S101  as borrowed
        shared, error = loan.round, None
        try:
            shared.tx.take_back(loan.tx, is_kept=is_kept)
            shared.members += 1
        except BaseException as failure:  # noqa: BLE001  nobody's part can be told from another's any longer: all fail
            error = failure
        self._end(loan, error)

    def _end(self, loan: _Loan, error: BaseException | None) -> None:
        """Pass the turn on within the round; or commit it, and let the next begin a new one."""
        shared = loan.round
        if shared is not None:
            shared.error = shared.error or error
            if self._passes_on(shared):
                return
            self._settle(shared)
        with self._mutex:
            self._grant_next(None)
        if shared is not None:
            shared.settled.set()

    def _passes_on(self, shared: _Round) -> bool:
        is_full = shared.members >= limits.WRITES_PER_COMMIT_MAX
        is_old = self._clock.monotonic() - shared.begun_s >= limits.ROUND_FOR.total_seconds()
        if shared.error is not None or is_full or is_old:
            return False
        with self._mutex:
            if self._together.rounds is not None and not self._waiting:
                self._parked, self._loan = shared, None
                return True
            return self._grant_next(shared)

    def _settle_parked(self) -> None:
        """Commit what was left open, unless somebody else has taken it up: he ends it."""
        with self._mutex:
            shared = self._parked
            if shared is None:
                return
            self._parked, self._loan = None, _Loan(threading.get_ident(), is_over=True)
        self._settle(shared)
        with self._mutex:
            self._grant_next(None)
        shared.settled.set()

    def _grant_next(self, shared: _Round | None) -> bool:
        if shared is not None and not self._waiting:
            return False
        self._loan = self._waiting.popleft() if self._waiting else None
        if self._loan is not None:
            self._loan.round = shared
            self._loan.granted.set()
        return True

    def _settle(self, shared: _Round) -> None:
        """Commit for all, or undo all of it."""
        error = shared.error
        try:
            if error is None:
                shared.bracket.__exit__(None, None, None)
            else:
                shared.bracket.__exit__(type(error), error, error.__traceback__)
        except BaseException as failure:  # noqa: BLE001  every member is told
            shared.error = failure

    # -- waiting --------------------------------------------------------------------------------------------

    def _wait(self, event: threading.Event, at_most_s: float) -> bool:
        """Wait for an event; take the transaction from a body that keeps it for too long meanwhile."""
        until_s = self._clock.monotonic() + at_most_s
        while not event.wait(min(_LOOK_EVERY_S, max(0.0, until_s - self._clock.monotonic()))):
            if self._clock.monotonic() >= until_s:
                return event.is_set()
            self._take_from_overdue()
        return True

    def _take_from_overdue(self) -> None:
        loan = self._loan
        if loan is not None and self._clock.monotonic() >= loan.until_s and self._claim_end(loan):
            self._take_back(loan, is_kept=False)


def _outcome(body: Callable[[], T]) -> Outcome[T]:
    try:
        return Outcome(body())
    except Exception as error:  # noqa: BLE001  it is the caller's, who gets it
        return Outcome(error=error)


def _copied(error: BaseException, location: str) -> PromptyoselfError:
    """Return the error for one more thread: an exception that several raise would gather all their traces."""
    if isinstance(error, PromptyoselfError):
        return type(error)(error.message, hint=error.hint)
    return StoreError(f"the transaction at {location} was undone: {type(error).__name__}")
