"""Which two databases a move has at its ends, as people name them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.ports import Clock
from promptyoself.storage.move import Origin, Tell, move, undo

if TYPE_CHECKING:
    from promptyoself.storage.move import Source, Target

_POSTGRES: Final = ("postgresql://", "postgres://")
_SQLITE: Final = ("sqlite:///", "sqlite:")


def moved(
    source: str, target: str, *, new_id: Callable[[], str], clock: Clock, wait: timedelta, tell: Tell
) -> tuple[Origin, str]:
    """Move the database `source` to `target`, each a path or a URL; return what was compared, and where it is now.

    Raises InvalidInput when the two are of one kind, Conflict and StoreError kin as `move` does.
    """
    _check(source, target)
    with closing(_source(source)) as left, closing(_target(target, left.uid)) as to:
        return move(left, to, new_id=new_id, clock=clock, wait=wait, tell=tell), to.place


def undone(source: str, target: str) -> tuple[str, str]:
    """Take back the move of `source` to `target`; return both places. Raises as `undo` and `moved` do."""
    _check(source, target)
    with closing(_source(source)) as left:
        return left.place, undo(left)


def _check(source: str, target: str) -> None:
    if _is_postgres(source) and _is_postgres(target):
        raise InvalidInput(
            "both are on PostgreSQL", hint="copy it there with pg_dump, or let a replica take over: docs/moving.md"
        )
    if not _is_postgres(source) and not _is_postgres(target):
        raise InvalidInput(
            "both are SQLite files", hint="stop what uses it, copy it with `db backup --to FILE`, set PROMPTYOSELF_DB"
        )


def _source(text: str) -> Source:
    if _is_postgres(text):
        from promptyoself.storage.move_postgres import PostgresSource

        return PostgresSource(text)
    from promptyoself.storage.move_sqlite import SqliteSource

    return SqliteSource(_path(text))


def _target(text: str, uid: str) -> Target:
    if _is_postgres(text):
        from promptyoself.storage.move_postgres import PostgresTarget

        return PostgresTarget(text, uid=uid)
    from promptyoself.storage.move_sqlite import SqliteTarget

    return SqliteTarget(_path(text), uid=uid)


def _is_postgres(text: str) -> bool:
    return text.startswith(_POSTGRES)


def _path(text: str) -> Path:
    """Return the file's path: as it is, or as a URL `sqlite:PATH`, which some write as `sqlite:////PATH`."""
    for beginning in _SQLITE:
        if text.startswith(beginning):
            text = text.removeprefix(beginning)
            break
    if not text or "://" in text:
        raise InvalidInput("a database is the path of a file, or postgresql://...", hint="promptyoself db move --help")
    return Path(text).expanduser().absolute()
