"""Where a run keeps its schedules: a file of one machine, or a PostgreSQL that can be stopped, killed and cut off."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from tests.chaos.nemesis import ANYWHERE, Deed
from tests.chaos.proxy import Proxy
from tests.postgres.server import PostgresServer


class Place(Protocol):
    """A database, and what can be done to it."""

    database: str
    """As PROMPTYOSELF_DB takes it."""

    @property
    def worker(self) -> tuple[str, ...]:
        """The words that start a process which delivers and has no door."""
        ...

    @property
    def deeds(self) -> frozenset[Deed]:
        """What can be done here."""
        ...

    def away(self, for_s: float, *, mode: str) -> None:
        """Stop the database (`fast`, `immediate`), and start it after `for_s`."""
        ...

    def cut(self) -> None:
        """End the connections."""
        ...

    def stall(self, for_s: float) -> None:
        """Let the connections go silent for `for_s`."""
        ...


class FilePlace:
    """One SQLite file. Nobody can take it away."""

    worker = ("execute", "--loop")
    deeds = ANYWHERE

    def __init__(self, folder: Path) -> None:
        self.database: str = str(folder / "data" / "p.db")

    def away(self, for_s: float, *, mode: str) -> None:
        """Refuse: a file does not go away."""
        raise NotImplementedError

    def cut(self) -> None:
        """Refuse: a file has no connections."""
        raise NotImplementedError

    def stall(self, for_s: float) -> None:
        """Refuse: a file has no connections."""
        raise NotImplementedError


class PostgresPlace:
    """A PostgreSQL server; with `is_cut` behind a proxy, which costs each statement a little."""

    worker = ("worker",)

    def __init__(self, *, is_cut: bool = False) -> None:
        self._held: Final = ExitStack()
        self._is_cut: Final = is_cut
        self._proxy: Proxy | None = None
        self.deeds: Final = frozenset(Deed) if is_cut else frozenset(Deed) - {Deed.CUT, Deed.STALL}
        self.database: str = ""

    def __enter__(self) -> Self:
        self.server = self._held.enter_context(PostgresServer())
        if self._is_cut:
            self._proxy = self._held.enter_context(Proxy(self.server.port))
        self.renew()
        return self

    def renew(self) -> None:
        """Go on with a new database of the same server."""
        self.database = self.server.new_database()
        if self._proxy is not None:
            name = self.database.partition("@/")[2].partition("?")[0]
            self.database = self.server.url(name, port=self._proxy.port)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def away(self, for_s: float, *, mode: str) -> None:
        """Stop the server, and start it after `for_s`."""
        self.server.stop(mode)
        time.sleep(for_s)
        self.server.start()

    def cut(self) -> None:
        """End every connection of the nodes."""
        assert self._proxy is not None
        self._proxy.cut()

    def stall(self, for_s: float) -> None:
        """Let nothing through for `for_s`."""
        assert self._proxy is not None
        self._proxy.stall()
        time.sleep(for_s)
        self._proxy.flow()
