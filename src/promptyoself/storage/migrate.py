"""Numbered migrations, forward only, each in one transaction and recorded with its checksum.

A released migration is never edited: a database that was made by another text than ours is refused.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Final

from promptyoself.domain.errors import StoreCorrupt, StoreError, StoreTooNew
from promptyoself.domain.values import dataclass
from promptyoself.storage.queries import SQL_FOLDER, queries

APPLICATION_ID: Final = 0x50794F53
"""`PyOS` in the file's header: tells our databases from those of other programs."""
_STRICT_SINCE: Final = (3, 37)


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema. `name` is its file's, without the ending."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Return eight hex digits that differ when the text does. Against accidents, not against malice."""
        return f"{zlib.crc32(self.text.encode()):08x}"


@cache
def migrations(dialect: str) -> tuple[Migration, ...]:
    """Return the dialect's migrations in their order. Raises ValueError when a number is missing or taken twice."""
    files = sorted((SQL_FOLDER / dialect / "migrations").glob("*.sql"))
    found = tuple(Migration(int(file.stem[:4]), file.stem, file.read_text(encoding="utf-8")) for file in files)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations of {dialect} are not numbered 1, 2, 3 ...: {[one.name for one in found]}")
    return found


def migrate(
    connection: sqlite3.Connection, location: str, steps: Sequence[Migration], *, new_uid: Callable[[], str]
) -> None:
    """Bring a database up to the last of `steps`, making it when it is empty; costs one SELECT when it is there.

    Raises StoreTooNew when it has steps that we do not know, StoreCorrupt when it was made by other texts, or by
    another program. Driver's exceptions are the caller's to translate.
    """
    if missing(_recorded(connection, location), steps, location):
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Again under the lock: another process may have been quicker.
            for step in missing(_recorded(connection, location), steps, location):
                _apply(connection, step, new_uid)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _recorded(connection: sqlite3.Connection, location: str) -> list[tuple[int, str]]:
    """Return number and checksum of each migration that the database has had."""
    owner = _owner(connection)
    if owner != APPLICATION_ID:
        if not owner and not connection.execute(queries("sqlite")["any_object"]).fetchone():
            return []
        if owner or _owner(connection) != APPLICATION_ID:  # another process may have made it between the two looks
            raise StoreCorrupt(
                f"{location} is a database of another program", hint="name another file with PROMPTYOSELF_DB"
            )
    return connection.execute(queries("sqlite")["recorded_migrations"]).fetchall()


def _owner(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA application_id").fetchone()[0])


def missing(recorded: Sequence[tuple[int, str]], steps: Sequence[Migration], location: str) -> Sequence[Migration]:
    """Return the steps still to be made, having compared those that were.

    `recorded` holds number and checksum of each that the database has had. Raises StoreTooNew and StoreCorrupt.
    """
    if len(recorded) > len(steps):
        raise StoreTooNew(
            f"the database {location} is of a newer promptyoself (schema {recorded[-1][0]}, ours {len(steps)})",
            hint="use that version, or a newer one",
        )
    for (number, checksum), step in zip(recorded, steps, strict=False):
        if (number, checksum) != (step.number, step.checksum):
            raise StoreCorrupt(
                f"the database {location} was made by another text of migration {step.name}",
                hint="use the version of promptyoself that made it; a released migration is never edited",
            )
    return steps[len(recorded) :]


def _apply(connection: sqlite3.Connection, step: Migration, new_uid: Callable[[], str]) -> None:
    for statement in statements(step.text):
        connection.execute(statement)
    if step.number == 1:
        connection.execute(queries("sqlite")["set_store_uid"], {"uid": new_uid()})
    recorded = {"number": step.number, "name": step.name, "checksum": step.checksum}
    connection.execute(queries("sqlite")["record_migration"], recorded)


def statements(text: str, *, version: tuple[int, ...] = sqlite3.sqlite_version_info) -> Iterator[str]:
    """Yield the statements of a script, triggers whole; without STRICT for an SQLite (`version`) that knows none.

    sqlite3's own executescript commits first, which would tear a migration apart.
    """
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement if version >= _STRICT_SINCE else _without_strict(statement)
            statement = ""
    if any(line.strip() and not line.startswith("--") for line in statement.splitlines()):
        raise StoreError(f"a migration ends in the middle of a statement: {statement.strip()[:80]!r}")


def _without_strict(statement: str) -> str:
    return statement.replace(") STRICT, WITHOUT ROWID;", ") WITHOUT ROWID;").replace(") STRICT;", ");")
