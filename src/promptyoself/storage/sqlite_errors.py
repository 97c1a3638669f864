"""sqlite3's exceptions put into the domain's words: what happened to which file, and what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
from typing import Final

from promptyoself.domain.errors import (
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreGone,
    StoreMoved,
    StoreReadOnly,
)

DRIVER_ERRORS: Final = (sqlite3.Error, OverflowError, UnicodeEncodeError)
"""All that a statement can raise: the last two when a value cannot be bound."""

_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_READ_ONLY: Final = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH})
_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_SHM_IS_FULL: Final = sqlite3.SQLITE_IOERR_SHMSIZE
"""The -shm file cannot grow: SQLite calls a full disk an I/O error there."""
_MOVED: Final = sqlite3.SQLITE_READONLY_DBMOVED

FENCE: Final = "moved to "
"""What the triggers of a database that was moved refuse every write with (sql/sqlite/move.sql), before the place."""
RESTORE: Final = "stop every promptyoself, keep the file for repair (sqlite3's .recover), and put a backup in its place"


def translated(exc: Exception, location: str) -> StoreError:
    """Return the error of our tree that stands for `exc`, an exception in DRIVER_ERRORS, at the database `location`."""
    if isinstance(exc, OverflowError):
        return StoreError(f"a number is too large for the database {location}", hint="use numbers below 2^63")
    if isinstance(exc, UnicodeEncodeError):
        return StoreError(
            f"a text cannot be stored in {location}: it is not valid Unicode", hint="send the text as UTF-8"
        )
    code = getattr(exc, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_CONSTRAINT_TRIGGER and str(exc).startswith(FENCE):
        return moved_to(location, str(exc).removeprefix(FENCE))
    if code is None:
        return _without_code(exc, location)
    if code == _MOVED:
        return moved(location)
    if code == _SHM_IS_FULL:
        return _full(location)
    return _by_primary_code(code & 0xFF, exc, location)


def _by_primary_code(code: int, exc: Exception, location: str) -> StoreError:
    if code in _BUSY:
        return busy(location)
    if code == sqlite3.SQLITE_FULL:
        return _full(location)
    if code in _READ_ONLY:
        return read_only(location)
    if code in _CORRUPT:
        return StoreCorrupt(f"{location} is damaged, or no database of promptyoself: {exc}", hint=RESTORE)
    if code == sqlite3.SQLITE_CANTOPEN:
        if _is_on_read_only(location):
            return read_only(location)
        return StoreError(
            f"the database {location} cannot be opened: {exc}",
            hint="check that its folder exists, and that file and folder are yours to read and write",
        )
    return StoreError(f"the database {location} failed: {exc}", hint="promptyoself doctor looks at it more closely")


def _is_on_read_only(location: str) -> bool:
    """Return whether the file is there and its folder takes no new one: WAL's own files then cannot be opened."""
    folder = os.path.dirname(location)  # noqa: PTH120  a text, `:memory:` too
    return os.path.exists(location) and not os.access(folder, os.W_OK)  # noqa: PTH110  as above


def _without_code(exc: Exception, location: str) -> StoreError:
    """Errors made by the Python module itself carry no code, only their text."""
    if "decode to UTF-8" in str(exc):
        return StoreCorrupt(f"{location} is damaged: a text in it is not UTF-8", hint=RESTORE)
    if "closed database" in str(exc):
        return closed(location)
    return StoreError(f"the database {location} failed: {exc}")


def refused_by_system(exc: OSError, location: str) -> StoreError:
    """Return the error of our tree for what the operating system says of a file or folder."""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return _full(location)
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return read_only(location)
    return StoreError(f"the database {location} cannot be opened: {exc.strerror or exc}")


def busy(location: str) -> StoreBusy:
    """Return the error for a lock that did not come free within the bound."""
    return StoreBusy(
        f"the database {location} is locked by another process",
        hint="try again; if it stays so, look for a process that holds it open (fuser, lsof)",
    )


def read_only(location: str) -> StoreReadOnly:
    """Return the error for a file or folder that may not be written."""
    return StoreReadOnly(
        f"the database {location} cannot be written",
        hint="make the file and its folder writable for this user, or name another with PROMPTYOSELF_DB",
    )


def closed(location: str) -> StoreError:
    """Return the error for the use of a store after its end."""
    return StoreError(f"the database {location} is closed already")


def moved(location: str) -> StoreGone:
    """Return the error for a file that is no longer the one that was opened."""
    return StoreGone(
        f"the database {location} was deleted, moved or replaced while in use",
        hint="put it back, or restart promptyoself to go on with what is there now",
    )


def moved_to(location: str, place: str) -> StoreMoved:
    """Return the error for a write to a database that `db move` has moved to another place."""
    return StoreMoved(
        f"the database {location} was moved to {place}",
        hint="set PROMPTYOSELF_DB to that place (with its password) and start again what ran here",
    )


def _full(location: str) -> StoreFull:
    return StoreFull(
        f"there is no room left for the database {location}",
        hint="free space on its disk, or raise the quota; nothing was half-stored",
    )
