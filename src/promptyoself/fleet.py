"""A node of a fleet: the database that it shares with the others, its clock, and the connection that hears of them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from promptyoself.domain import limits
from promptyoself.domain.errors import ConfigError, StoreBusy, StoreCorrupt, StoreUnreachable
from promptyoself.domain.ports_node import ENGINE_FAULT_CURE
from promptyoself.fleet_clock import FleetClock

if TYPE_CHECKING:
    from promptyoself.domain.ports import Clock
    from promptyoself.domain.ports_node import FleetState
    from promptyoself.postgres_url import PostgresUrl
    from promptyoself.storage.postgres import PostgresStore
    from promptyoself.storage.postgres_link import PostgresLink

_CHANNEL: Final = "promptyoself"
"""Where a commit that tells something is told of (storage/sql/postgres/queries.sql, tell)."""


class FleetNode:
    """One process's part. Nothing is imported, connected or measured before `open`."""

    def __init__(self, url: PostgresUrl, *, clock: Clock, new_uid: Callable[[], str]) -> None:
        """`clock` is this machine's own; `new_uid` is called for a new database only."""
        self.host: Final = socket.gethostname()
        self.clock: Final = FleetClock(clock, host=self.host)
        self._machine: Final = clock
        self._url: Final = url
        self._new_uid: Final = new_uid
        self._store: PostgresStore | None = None
        self._link: PostgresLink | None = None
        self._watchers: list[Callable[[], None]] = []
        self._changes = 0

    @property
    def clock_offset(self) -> timedelta | None:
        """How far this machine's clock is ahead of the database's; None before it was measured."""
        return self.clock.offset

    @property
    def conninfo(self) -> str:
        """The address with its password, for drivers alone."""
        return self._url.reveal()

    def open(self) -> PostgresStore:
        """Open the database, once, and measure its time. Raises kin of StoreError; ConfigError without the driver."""
        if self._store is None:
            try:
                from promptyoself.storage.postgres import PostgresStore
            except ImportError as exc:
                if (exc.name or "").partition(".")[0] not in {"psycopg", "psycopg_pool", "psycopg_binary"}:
                    raise
                raise not_installed(exc.name or "") from exc
            store = PostgresStore.open(self._url.reveal(), new_uid=self._new_uid)
            try:
                with store.reading() as tx:
                    self.clock.measure(tx.server_time)
            except BaseException:
                store.close()
                raise
            self._store = store
        return self._store

    def open_in_time(self, tell: Callable[[str], None], *, pause: Callable[[float], object] | None = None) -> None:
        """Open the database for a node; where its server does not answer yet, try again for POSTGRES_START_FOR.

        `tell` hears why, before each `pause` (seconds; None sleeps them). What waiting does not mend is raised at once,
        as by `open`, and StoreReadOnly for a user who may not write what a node has to.
        """
        give_up_at = self._machine.monotonic() + limits.POSTGRES_START_FOR.total_seconds()
        pause = pause or threading.Event().wait
        again_s = limits.POSTGRES_START_AGAIN.total_seconds()
        while True:
            try:
                with self.open().reading() as tx:
                    tx.refuse_without_rights()
            except (StoreUnreachable, StoreBusy) as error:
                if self._machine.monotonic() + again_s > give_up_at:
                    raise
                tell(error.message)
            else:
                return
            pause(again_s)

    def state(self) -> FleetState:
        """Look at the database server, and measure the time on the way."""
        with self.open().reading() as tx:
            self.clock.measure(tx.server_time)
            return tx.fleet_state(now=self.clock.now(), monotonic=self.clock.monotonic)

    def listen(self, executor_id: str) -> None:
        """From now on hear of other nodes' commits at once, and keep the clock. Until `deafen`.

        The others are told under `executor_id` how far this machine's clock is off. Raises StoreCorrupt when the tables
        of the lanes' tokens are not those that we made.
        """
        from promptyoself.storage.postgres_link import PostgresLink

        with self.open().reading() as tx:
            fault = tx.engine_fault()
        if fault is not None:
            raise StoreCorrupt(f"{self.open().location}: {fault}", hint=ENGINE_FAULT_CURE)
        self._link = link = PostgresLink(
            self._url.reveal(),
            measure=self.clock.measure,
            monotonic=self.clock.monotonic,
            executor_id=executor_id,
            clock_off=lambda: self.clock.offset,
        )
        link.listen(_CHANNEL, self._tell)
        self.clock.keep(link.measure_soon)
        link.start()

    def subscribe(self, act: Callable[[], None]) -> Callable[[], None]:
        """Call `act`, in another thread, after each commit that is heard of; what is returned ends that."""
        self._watchers.append(act)

        def leave() -> None:
            with suppress(ValueError):
                self._watchers.remove(act)

        return leave

    def deafen(self) -> None:
        """Stop listening."""
        self.clock.keep(None)
        if self._link is not None:
            self._link.close()
            self._link = None

    def change_mark(self) -> int:
        """Return a number that differs after each commit that was heard of; costs nothing."""
        return self._changes

    def _tell(self, _payload: str) -> None:
        self._changes += 1
        for act in tuple(self._watchers):
            act()


def not_installed(module: str) -> ConfigError:
    """Return the error for a module of the extra `fleet` that is missing."""
    return ConfigError(
        f"PROMPTYOSELF_DB names a PostgreSQL database, and what that needs is not installed: no module {module!r}",
        hint="install the extra: pip install 'promptyoself[fleet]', or in a checkout pip install '.[fleet]'",
    )
