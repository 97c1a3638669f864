"""A world for the doors over PostgreSQL: the same services, another store, and what other processes' commits tell."""

from __future__ import annotations

import queue
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from promptyoself.domain.ports_node import FleetState
from promptyoself.runtime import SystemClock
from promptyoself.storage.postgres import PostgresStore
from promptyoself.storage.postgres_link import PostgresLink
from tests.interfaces.world import FakeServices


class ListeningFleet:
    """Hears of commits as a node does; the rest of a fleet is not asked for here."""

    host = "here"
    clock_offset: timedelta | None = timedelta(0)

    def __init__(self, url: str) -> None:
        self._changes = 0
        self._watchers: list[Callable[[], None]] = []
        self._heard: queue.Queue[str] = queue.Queue()
        self._link = PostgresLink(url, measure=lambda _: None, monotonic=SystemClock().monotonic)
        self._link.listen("promptyoself", self._tell)
        self._link.start()
        self._heard.get(timeout=10)  # it listens

    def change_mark(self) -> int:
        return self._changes

    def subscribe(self, act: Callable[[], None]) -> Callable[[], None]:
        self._watchers.append(act)
        return lambda: self._watchers.remove(act)

    def state(self) -> FleetState:
        raise NotImplementedError

    def close(self) -> None:
        self._link.close()

    def _tell(self, payload: str) -> None:
        self._changes += 1
        for act in tuple(self._watchers):
            act()
        self._heard.put(payload)


class FleetServices(FakeServices):
    """One node's; several may stand over one database, each with a store of its own."""

    def __init__(self, folder: Path, store: PostgresStore, *, uids_from: int = 0) -> None:
        """`uids_from` keeps the uids of several nodes apart. Whoever opened the store closes it."""
        super().__init__(folder)
        self._uids = uids_from
        self._postgres = store
        self.fleet = self._heard = ListeningFleet(store._conninfo)

    @property
    def store(self) -> PostgresStore:  # type: ignore[override]  # the doors ask for a Store, whichever
        return self._postgres

    def close(self) -> None:
        self._heard.close()
