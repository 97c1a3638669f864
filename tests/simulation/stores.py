"""Empty databases for worlds. They share one connection: compiling every statement anew takes longer than a world."""

from __future__ import annotations

from promptyoself.storage.sqlite import SqliteStore

_TABLES = (
    "attempts",
    "facts",
    "deliveries",
    "lanes",
    "schedules",
    "executors",
    "target_health",
    "stop_switch",
    "inbox",
    "sqlite_sequence",
)
"""In the order in which they can be emptied."""
_idle: list[SqliteStore] = []


def take(uid: str) -> SqliteStore:
    """Return an empty database in memory with this uid."""
    if not _idle:
        return SqliteStore.open(":memory:", new_uid=lambda: uid)
    store = _idle.pop()
    connection = store._writer()
    for table in _TABLES:
        connection.execute(f"DELETE FROM {table}")  # noqa: S608  our own names
    connection.execute("UPDATE meta SET value = ? WHERE name = 'store_uid'", (uid,))
    store._uid = uid
    return store


def give_back(store: SqliteStore) -> None:
    """Keep a database for the next world."""
    _idle.append(store)
