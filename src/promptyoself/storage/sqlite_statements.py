"""Running named statements inside one transaction at a SQLite database, with the driver's exceptions translated."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Self

from promptyoself.domain.errors import StoreError
from promptyoself.storage.queries import queries
from promptyoself.storage.rows import Values
from promptyoself.storage.sqlite_errors import DRIVER_ERRORS, RESTORE, translated
from promptyoself.storage.statements import Statements, ended


class SqliteStatements(Statements):
    """Named statements on one connection, for as long as its transaction lasts."""

    _restore = RESTORE

    def __init__(self, connection: sqlite3.Connection, location: str) -> None:
        self._connection = connection
        self._location = location
        self._sql = queries("sqlite")
        self._is_over = False
        self._using = threading.RLock()

    @property
    def is_alive(self) -> bool:
        """False once the transaction has ended, also when SQLite ended it (a full disk undoes all of it)."""
        return not self._is_over and self._connection.in_transaction

    def commit(self) -> None:
        """Make durable what was written. Raises StoreError kin when it was not; the caller then rolls back."""
        self._execute("COMMIT", {})

    def end(self) -> None:
        """Refuse all further statements: a transaction that has ended must not go on in somebody else's.

        One that another thread executes just now ends first.
        """
        with self._using:
            self._is_over = True

    @contextmanager
    def nested(self) -> Iterator[None]:
        """Open a savepoint: what is raised within undoes what was written within, and nothing before it."""
        self._execute("SAVEPOINT act", {})
        try:
            yield
        except BaseException:
            if self.is_alive:
                self._execute("ROLLBACK TO act", {})
                self._execute("RELEASE act", {})
            raise
        self._execute("RELEASE act", {})

    def lend(self) -> Self:
        """Open a savepoint and return a transaction for one body; `take_back` ends it."""
        self._execute("SAVEPOINT loan", {})
        return type(self)(self._connection, self._location)

    def take_back(self, lent: Self, *, is_kept: bool) -> None:
        """End what was lent: nothing more of it is executed; keep or undo what was written in it."""
        lent.end()
        if not is_kept:
            self._execute("ROLLBACK TO loan", {})
        self._execute("RELEASE loan", {})

    def _change(self, name: str, values: Values) -> int:
        """Run a statement that writes; return how many rows it changed."""
        return self._execute(self._sql[name], values).rowcount

    def _insert(self, name: str, values: Values) -> int | None:
        """Run an INSERT of one row; return its id, or None when a conflict kept it out."""
        cursor = self._execute(self._sql[name], values)
        return cursor.lastrowid if cursor.rowcount else None

    def _insert_all(self, name: str, rows: Iterable[Values]) -> None:
        """Run an INSERT for each of many rows, in order; a row that cannot be stored raises, and undoes nothing."""
        with self._using:
            if not self.is_alive:
                raise ended(self._location)
            try:
                self._connection.executemany(self._sql[name], rows)
            except DRIVER_ERRORS as exc:
                raise translated(exc, self._location) from exc

    def _rows(self, name: str, values: Values) -> list[Values]:
        """Return all rows of a query as they are."""
        cursor = self._execute(self._sql[name], values)
        columns = [column[0] for column in cursor.description]
        try:
            return [dict(zip(columns, row, strict=True)) for row in cursor]
        except DRIVER_ERRORS as exc:
            raise translated(exc, self._location) from exc

    def _execute(self, statement: str, values: Values) -> sqlite3.Cursor:
        with self._using:
            if not self.is_alive:
                raise ended(self._location)
            try:
                return self._connection.execute(statement, values)
            except DRIVER_ERRORS as exc:
                raise translated(exc, self._location) from exc

    def _is_key_taken(self, error: StoreError) -> bool:
        cause = error.__cause__
        return isinstance(cause, sqlite3.IntegrityError) and "schedules.key" in str(cause)
