"""The SQLite file of PromptYoSelfFAST, read and never changed.

Two tables hold its schedules: `unified_reminders`, and `schedules` of its first version. A file with a log of another
process beside it is read with that log; one without is read as if it lay on a read-only disk, so that nothing is made
beside it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any, Final

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput
from promptyoself.storage.migrate import APPLICATION_ID
from promptyoself.storage.queries import queries
from promptyoself.storage.sqlite_errors import DRIVER_ERRORS

_MAGIC: Final = b"SQLite format 3\0"
_COMMON: Final = frozenset({"id", "agent_id", "schedule_type", "schedule_value", "next_run"})
_KNOWN: Final = {  # table: the column that holds the prompt, and the query that reads it
    "unified_reminders": ("message", "older_reminders"),
    "schedules": ("prompt_text", "older_schedules"),
}
_TABLES_SHOWN_MAX: Final = 12
_TEXT_BYTES_MAX: Final = 4 * limits.PROMPT_BYTES_MAX
_STEP: Final = 100_000
_STEPS_MAX: Final = 1000
"""SQLite gives up after so many instructions in all: a schema may compute, and need not end."""


def read_older_rows(path: str) -> tuple[list[dict[str, Any]], bool]:
    """Return the rows of its schedules, with their `table`, and whether a log shows that the file is in use.

    At most IMPORT_ENTRIES_MAX + 1 rows of a table. Raises InvalidInput for any other file.
    """
    place = Path(path).expanduser().absolute()
    _check_header(place)
    is_in_use = any(_has_content(place.with_name(place.name + ending)) for ending in ("-wal", "-journal"))
    try:
        with closing(_opened(place, is_in_use=is_in_use)) as connection:
            return _rows(connection, place), is_in_use
    except DRIVER_ERRORS as exc:
        raise InvalidInput(
            f"{place.name} cannot be read: {exc}", hint="stop the program that uses it, and see that it can open it"
        ) from exc


def _check_header(place: Path) -> None:
    try:
        with place.open("rb") as file:
            begin = file.read(len(_MAGIC))
    except OSError as exc:
        raise InvalidInput(f"{place.name} cannot be read: {exc.strerror}") from exc
    if begin != _MAGIC:
        raise InvalidInput(
            f"{place.name} is no SQLite database", hint="name the file that PROMPTYOSELF_DB named for the older program"
        )


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _opened(place: Path, *, is_in_use: bool) -> sqlite3.Connection:
    mode = "mode=ro" if is_in_use else "mode=ro&immutable=1"
    connection = sqlite3.connect(
        f"{place.as_uri()}?{mode}", uri=True, timeout=limits.STORE_BUSY_FOR.total_seconds(), isolation_level=None
    )
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.text_factory = _text
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _TEXT_BYTES_MAX)
    steps = count()
    connection.set_progress_handler(lambda: next(steps) > _STEPS_MAX, _STEP)
    return connection


def _text(data: bytes) -> str:
    """Keep what is not UTF-8, so that its row alone is refused."""
    return data.decode("utf-8", "surrogateescape")


def _rows(connection: sqlite3.Connection, place: Path) -> list[dict[str, Any]]:
    if connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
        raise InvalidInput(
            f"{place.name} is a database of promptyoself, not of the older program",
            hint="move schedules between databases by `export` and `import json`",
        )
    tables = [name for (name,) in connection.execute(queries("sqlite")["older_tables"])]
    rows: list[dict[str, Any]] = []
    is_known = False
    for table, (prompt, query) in _KNOWN.items():
        if table in tables:
            cursor = connection.execute(queries("sqlite")[query], {"limit": limits.IMPORT_ENTRIES_MAX + 1})
            columns = [column[0] for column in cursor.description]
            if _COMMON | {prompt} <= set(columns):
                is_known = True
                rows += [{"table": table, **dict(zip(columns, row, strict=True))} for row in cursor]
    if not is_known:
        listed = ", ".join(ascii(name) for name in tables[:_TABLES_SHOWN_MAX]) or "none"
        raise InvalidInput(f"{place.name} holds no schedules of PromptYoSelfFAST; its tables: {listed}")
    return rows
