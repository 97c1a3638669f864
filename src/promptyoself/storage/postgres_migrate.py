"""Numbered migrations on PostgreSQL: each in a transaction of its own, under one lock for all nodes.

Nodes of an older promptyoself go on writing while a newer one migrates, and after it. So a migration is written in two
releases: the first expands (a new table, a new column that may be NULL or has a default, a new index), and its code
still writes what the old one reads; the next one contracts (drops what nobody reads any more).

Whatever is asked of a table queues up behind a migration that waits for it. So it waits a moment, lets them pass, and
comes back, a few times; then it gives up, has changed nothing, and the next start tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import psycopg

from promptyoself.domain import limits
from promptyoself.domain.errors import StoreCorrupt
from promptyoself.storage.migrate import Migration, missing
from promptyoself.storage.postgres_queries import placed

MIGRATIONS_LOCK: Final = "promptyoself/migrations"
_OURS: Final = 4

Connection = psycopg.Connection[dict[str, Any]]


def migrate(connection: Connection, location: str, steps: Sequence[Migration], *, new_uid: Callable[[], str]) -> None:
    """Bring a database up to the last of `steps`, making it when it is empty; costs two SELECTs when it is there.

    Other nodes that start meanwhile wait their turn, at most MIGRATIONS_FOR. Raises StoreTooNew when it has steps that
    we do not know, StoreCorrupt when it was made by other texts, or is another program's. The driver's exceptions are
    the caller's to translate: LockNotAvailable when a table was not to be had in MIGRATION_TRIES.
    """
    if not missing(_recorded(connection, location), steps, location):
        return
    with connection.transaction():
        _bound(connection, "lock_timeout", limits.MIGRATIONS_FOR)
        _bound(connection, "statement_timeout", limits.MIGRATIONS_FOR)
        connection.execute(placed("lock_name"), {"name": MIGRATIONS_LOCK})
        _bound(connection, "lock_timeout", limits.MIGRATION_LOCK_FOR)
        for left in reversed(range(limits.MIGRATION_TRIES)):
            try:
                # All of them together: what an earlier step has locked is free again while a later one waits its turn.
                with connection.transaction():
                    # Again under the lock: another node may have been quicker.
                    for step in missing(_recorded(connection, location), steps, location):
                        _apply(connection, step, new_uid)
                return
            except psycopg.errors.LockNotAvailable:
                if not left:
                    raise
            connection.execute(placed("pause"), {"s": limits.MIGRATION_PAUSE.total_seconds()})


def _bound(connection: Connection, setting: str, span: timedelta) -> None:
    """Bound a wait until the end of the transaction."""
    connection.execute(f"SET LOCAL {setting} = {span // timedelta(milliseconds=1)}".encode())


def _recorded(connection: Connection, location: str) -> list[tuple[int, str]]:
    """Return number and checksum of each migration that the database has had."""
    if not _is_ours(connection):
        foreign = connection.execute(placed("any_object")).fetchone()
        if foreign is None:
            return []
        if not _is_ours(connection):  # another node may have made it between the two looks
            raise StoreCorrupt(
                f"{location} holds tables of another program ({foreign['name']})",
                hint="name an empty database with PROMPTYOSELF_DB, or a schema of our own "
                "(?options=-csearch_path%3Dname)",
            )
    rows = connection.execute(placed("recorded_migrations")).fetchall()
    return [(row["number"], row["checksum"]) for row in rows]


def _is_ours(connection: Connection) -> bool:
    found = connection.execute(placed("our_columns")).fetchone()
    return found is not None and found["ours"] == _OURS


def _apply(connection: Connection, step: Migration, new_uid: Callable[[], str]) -> None:
    connection.execute(step.text.encode())
    if step.number == 1:
        connection.execute(placed("set_store_uid"), {"uid": new_uid()})
    recorded = {"number": step.number, "name": step.name, "checksum": step.checksum}
    connection.execute(placed("record_migration"), recorded)
