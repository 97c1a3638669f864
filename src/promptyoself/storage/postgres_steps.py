"""The writer of a fleet's engine: acts of many lanes share one transaction, one commit and one statement each kind.

One thread steps: while it waits for its commit, the loop sends what was claimed, and gathers the next acts. With two in
turns each batch was half as large, and all of a delivery's work cost a fifth more (benchmarks/bench_fleet.py). What is
about no lane has a transaction of its own, in another thread; and what a step could not run, in a third: an answer that
is to be recorded does not wait for planning.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar

from promptyoself.domain.errors import StoreBusy, StoreError
from promptyoself.domain.ports import Clock, Tx
from promptyoself.storage.postgres import PostgresStore
from promptyoself.storage.postgres_statements import Connection
from promptyoself.storage.postgres_steps_tx import Known, StepTx
from promptyoself.storage.postgres_tx import PostgresTx
from promptyoself.storage.writer import Act, ActQueue, Batch, Reads

T = TypeVar("T")

_AGAIN_AFTER_S: Final = 0.003
"""Before acts are tried again whose rows somebody else had: as long as a commit takes."""
_AHEAD: Final = timedelta(seconds=1)
"""How far ahead of the clock due deliveries are fetched: longer than a step takes."""
_PLAIN_MAX: Final = 4
"""Acts of a step that may go on by ordinary statements, a trip each: the records of others wait for its commit."""
_TRIES_MAX: Final = 20
"""After so many an act waits for its rows, in a transaction of its own; and after so many there it fails."""
_WAIT_ALONE: Final = "500ms"
"""Shorter than the second after which PostgreSQL looks who waits in a circle: what it then undoes may be a command."""


class StepWriter:
    """See `Writer`. An act must touch nothing but its Tx, since it runs in another thread.

    At most WRITES_QUEUED_MAX acts wait in each queue; further callers wait their turn. A caller that is cancelled does
    not stop its act. Make it, use it and close it in one event loop.
    """

    def __init__(self, store: PostgresStore, clock: Clock) -> None:
        location = store.location
        self._alone: Final = ActQueue("promptyoself-writer", _Alone(store), location)
        patient = _Patient(store)
        patient.again = self._patient = ActQueue("promptyoself-patient", patient, location)
        self._reads: Final = ActQueue("promptyoself-reader", Reads(store), location)
        steps = Steps(store, clock, self._patient)
        steps.again = self._stepper = ActQueue("promptyoself-stepper", steps, location)

    def write(self, act: Callable[[Tx], T], *, lane: str | None = None) -> Coroutine[Any, Any, T]:
        """Run `act` in a transaction and return when it is durable. What it raises undoes it alone.

        Raises what `act` raises, or StoreError kin when the commit that it shares fails: nothing of it is stored then.
        """
        if lane is None:
            return self._alone.run(act)
        if not self._patient.is_started:
            self._patient.start()  # it may be handed this one
        return self._stepper.run(act, lane=lane)

    def read(self, act: Callable[[Tx], T]) -> Coroutine[Any, Any, T]:
        """Run `act` on one state of the database, not older than this call."""
        return self._reads.run(act)

    async def close(self) -> None:
        """Finish what is queued, then end all threads; acts that come later raise StoreError. The store stays open."""
        for some in (
            [self._stepper],
            [self._patient, self._alone, self._reads],
        ):  # the stepper may hand on to the first
            for one in some:
                one.stop()
            for one in some:
                await one.ended()


class _Alone:
    """Each act in a transaction of its own, which waits for what it needs within the store's bounds."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store

    def __call__(self, batch: Batch) -> None:
        """Run them, one after the other."""
        for act in batch:
            try:
                with self._store.bracket(PostgresTx) as tx:
                    act.value = act.run(tx)
            except Exception as error:  # noqa: BLE001  it is the caller's, who gets it
                act.error = error


class _Patient:
    """The same for acts of lanes which no step could run, for somebody else had their rows for all the while.

    Steps have no order in which they take rows. So an act waits less each time, and the others go in between.
    """

    again: ActQueue
    """Its own queue."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store

    def __call__(self, batch: Batch) -> Batch:
        """Run them; return those whose rows somebody else still has."""
        return [act for act in batch if not self._is_done(act)]

    def _is_done(self, act: Act[Any]) -> bool:
        try:
            with self._store.transaction() as tx:
                tx.wait_at_most(_WAIT_ALONE)
                act.value = act.run(tx)
        except StoreBusy as error:
            act.tries += 1
            if act.tries < 2 * _TRIES_MAX:
                self.again.put_again(act)
                return False
            act.error = error
        except Exception as error:  # noqa: BLE001  it is the caller's, who gets it
            act.error = error
        return True


class Steps:
    """All acts of a batch in one transaction, each undone alone; those whose rows somebody else has come again."""

    again: ActQueue
    """Its own queue."""

    def __init__(self, store: PostgresStore, clock: Clock, patient: ActQueue) -> None:
        self._store = store
        self._clock = clock
        self._patient = patient
        self._known = Known()
        self._pause = threading.Event()

    def __call__(self, batch: Batch) -> Batch:
        """Run them; return those whose rows somebody else had, and those that the next step runs."""
        with self._store.bracket(self._tx) as tx:
            left_out, put_off = self._step(tx, batch)
        for act in put_off:
            self.again.put_again(act)
        if left_out:
            self._hand_on(left_out)
            if len(left_out) == len(batch):
                self._pause.wait(_AGAIN_AFTER_S)
        return [*left_out, *put_off]

    def _tx(self, connection: Connection, location: str) -> StepTx:
        self._known.begin(self._store.connections_made)
        return StepTx(connection, location, self._known)

    def _step(self, tx: StepTx, batch: Batch) -> tuple[list[Act[Any]], Batch]:
        """Run what can be run; return those whose rows somebody else has, and those for which this step has no time."""
        left_out: list[Act[Any]] = []
        fetched = plain = 0
        for place, act in enumerate(batch):
            if tx.plain_acts >= _PLAIN_MAX:
                return left_out, batch[place:]
            if place == fetched or tx.plain_acts != plain:
                plain = tx.plain_acts
                # Half as many each time: were all to go on by ordinary statements, fetching would be most of the work.
                fetched = place + max(1, len(batch) >> plain)
                self._fetch(tx, batch[place:fetched])
            if not tx.has(act.lane):
                left_out.append(act)
                continue
            try:
                act.value = tx.run(act.run)
            except StoreBusy:
                if not tx.is_alive:
                    raise
                left_out.append(act)
            except Exception as error:  # noqa: BLE001  it is the caller's, who gets it
                act.error = error
            if not tx.is_alive:
                raise act.error or StoreError(f"the transaction at {self._store.location} was undone")
        return left_out, ()

    def _hand_on(self, left_out: Sequence[Act[Any]]) -> None:
        for act in left_out:
            act.tries += 1
            if act.tries < _TRIES_MAX:
                self.again.put_again(act)
            else:
                self._patient.take_over(act)

    def _fetch(self, tx: StepTx, acts: Sequence[Act[Any]]) -> None:
        tx.fetch(sorted({act.lane for act in acts}), until=self._clock.now() + _AHEAD)
