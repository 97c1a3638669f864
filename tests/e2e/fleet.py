"""A stage over PostgreSQL: the same folder, receiver and processes, and one database for all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from promptyoself.storage.postgres import PostgresStore
from tests.e2e.service import program_of
from tests.e2e.stage import Process, Stage, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEALTH: Final = re.compile(r"worker\.health url=(\S+)")


class FleetStage(Stage):
    """Starts workers beside what every stage starts."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder)
        self.url = url

    @property
    def operator_token(self) -> str:
        """The token that a service of this stage has filed."""
        (file,) = self.folder.glob(".local/share/promptyoself/postgresql-*/promptyoself.operator-token")
        return file.read_text(encoding="ascii").strip()

    def worker(self, *words: str, program: str = "", env: Mapping[str, str] | None = None) -> Worker:
        """Start a worker; `program` is Python that runs before it."""
        return Worker(self.start("worker", "--health-port", "0", *words, program=program_of(program), env=env))

    def wait_for_workers(self, *workers: Worker) -> None:
        """Wait until their heartbeats are stored."""
        pids = {one.process.pid for one in workers}
        wait_for("the workers' heartbeats", lambda: pids <= self._executor_pids(), within_s=60)

    @contextmanager
    def store(self) -> Iterator[PostgresStore]:  # type: ignore[override]  # used as the other is
        """Open the database in this process."""
        store = PostgresStore.open(self.url, new_uid=lambda: "ab" * 16)
        try:
            yield store
        finally:
            store.close()

    def _env(self) -> dict[str, str]:
        return {**super()._env(), "PROMPTYOSELF_DB": self.url}

    def _executor_pids(self) -> set[int]:
        with self.store() as store, store.reading() as tx:
            return {executor.pid for executor in tx.executors(alive_since=datetime.now(UTC) - timedelta(seconds=30))}


def skewed(by: str) -> dict[str, str]:
    """Return an environment in which a process's wall clock is off `by` (`-5m`): an empty one without libfaketime."""
    found = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
    return {} if found is None else {"LD_PRELOAD": str(found), "FAKETIME": by, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


class Worker:
    """A running worker."""

    def __init__(self, process: Process) -> None:
        self.process = process

    @property
    def health(self) -> str:
        """The URL of its health."""
        return wait_for("the worker's health", self._said, within_s=30)

    def _said(self) -> str | None:
        found = _HEALTH.search(self.process.stderr)
        return found and found[1]
