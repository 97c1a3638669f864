"""The store on SQLite: one file, or a database in memory.

Opening is part of every cold start (SMCP starts one process a call), so it costs a few milliseconds: no asyncio
here, connections for reading and for watching are made when first asked for.

WAL with synchronous=FULL: a commit that returned survives a crash of the machine. Writers take the lock at BEGIN
(IMMEDIATE): what a transaction has read cannot change before it writes. Readers never wait for them.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.errors import StoreCorrupt, StoreError
from promptyoself.storage.migrate import Migration, migrate, migrations
from promptyoself.storage.places import ReadMounts, read_mounts, refuse_network
from promptyoself.storage.queries import queries
from promptyoself.storage.sqlite_errors import (
    DRIVER_ERRORS,
    RESTORE,
    busy,
    closed,
    moved,
    refused_by_system,
    translated,
)
from promptyoself.storage.sqlite_tx import SqliteTx

MEMORY: Final = ":memory:"
_CACHED_STATEMENTS: Final = 256
_WAL_BYTES_KEPT: Final = 64 * 1024 * 1024
"""A log that grew under a burst is cut back to this at the next checkpoint."""


class SqliteStore:
    """A database in one file, or in memory (`:memory:`), which lives as long as its store.

    Safe to use from several threads: transactions wait for each other, at most STORE_BUSY_FOR. A transaction must
    not be opened within another of the same thread.
    """

    def __init__(self, path: Path | None, *, busy_for: timedelta = limits.STORE_BUSY_FOR) -> None:
        """Prepare a store at an absolute path, None for memory; `open` makes it usable."""
        self._path = path
        self._busy_for = busy_for
        self._uid = ""
        self._inode: tuple[int, int] | None = None
        self._is_closed = False
        self._lock = threading.Lock()
        """Taken by one thread and released by another where a transaction is lent on (lending.py)."""
        # In memory there is one connection for all, and one lock.
        self._reading_room = threading.Semaphore(limits.READERS_MAX) if path else self._lock
        self._writing: sqlite3.Connection | None = None
        self._readers: list[sqlite3.Connection] = []
        """Those that nobody uses."""
        self._watching: sqlite3.Connection | None = None
        self._watching_lock = threading.Lock()

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        new_uid: Callable[[], str],
        mounts: ReadMounts = read_mounts,
        busy_for: timedelta = limits.STORE_BUSY_FOR,
        steps: Sequence[Migration] | None = None,
    ) -> SqliteStore:
        """Open the database at `path` (or `:memory:`), making or upgrading it when needed.

        A new file gets mode 0600, a new folder 0700; those that are there keep theirs. `new_uid` is called for a
        new database only. `mounts` gives the mount table, `steps` the migrations (all of ours).

        Raises StoreUnsafe on a network file system, StoreTooNew, StoreCorrupt, StoreReadOnly, StoreBusy, StoreFull,
        or plain StoreError.
        """
        known = migrations("sqlite") if steps is None else steps
        if str(path) == MEMORY:
            store = cls(None, busy_for=busy_for)
        else:
            place = _resolved(Path(path))
            refuse_network(place, mounts)
            store = cls(place, busy_for=busy_for)
            if not place.exists():
                _make(place, known, new_uid, busy_for)
        try:
            store._start(known, new_uid)
        except BaseException:
            store.close()
            raise
        return store

    @property
    def uid(self) -> str:
        """The uid that this database was given when it was made."""
        return self._uid

    @property
    def location(self) -> str:
        """The file's absolute path, or `:memory:`."""
        return MEMORY if self._path is None else str(self._path)

    @contextmanager
    def transaction(self) -> Iterator[SqliteTx]:
        """Open a writing transaction: commits at the end, rolls back on any exception.

        Raises StoreBusy when another process or thread holds the lock for longer than STORE_BUSY_FOR.
        """
        with self._held(self._lock):
            self._still_there()
            connection = self._writer()
            try:
                yield from self._bracketed(connection, "BEGIN IMMEDIATE")
            finally:
                if self._is_closed:  # while this was open, and it could not be waited for
                    _close(connection)

    @contextmanager
    def reading(self) -> Iterator[SqliteTx]:
        """Open a transaction that sees one state of the database; a write within raises StoreReadOnly.

        READERS_MAX may be open at once; further ones wait their turn.
        """
        with self._held(self._reading_room):
            self._still_there()
            if self._path is not None:
                with self._lent_reader() as connection:
                    yield from self._bracketed(connection, "BEGIN")
                return
            connection = self._writer()
            connection.execute("PRAGMA query_only = ON")
            try:
                yield from self._bracketed(connection, "BEGIN")
            finally:
                connection.execute("PRAGMA query_only = OFF")

    @contextmanager
    def glancing(self) -> Iterator[SqliteTx]:
        """Open a transaction that writes nothing for one look by an index: it waits for nobody, and takes microseconds.

        So that an event loop may look, too. One at a time; nobody may take his time within.
        """
        if self._path is None:
            with self.reading() as tx:
                yield tx
            return
        with self._watching_lock:
            self._still_there()
            yield from self._bracketed(self._watcher(), "BEGIN")

    def change_mark(self) -> int:
        """Return a number that differs after a commit, by whichever connection; costs microseconds."""
        if self._path is None:
            return self._writer().total_changes
        with self._watching_lock, self._translating():
            return int(self._watcher().execute("PRAGMA data_version").fetchone()[0])

    def backup(self, to_path: str | Path) -> Path:
        """Copy the database, while it is in use, to a new file (mode 0600); return its absolute path.

        Raises StoreError when something is there already, and leaves nothing behind when it fails.
        """
        target = Path(to_path).expanduser().absolute()
        _claim(target, named=target)
        try:
            with self._apart() as source, self._translating(str(target)):
                copy = sqlite3.connect(target, isolation_level=None)
                try:
                    # In one step, on one state: between steps a busy writer would make it start over for ever.
                    source.backup(copy)
                finally:
                    copy.close()
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        return target

    def problems(self) -> list[str]:
        """Look through the whole file for damage; reads all of it. Return what was found, nothing when it is sound."""
        try:
            with self._apart() as connection, self._translating():
                found = connection.execute("PRAGMA quick_check(100)").fetchall()
        except StoreCorrupt as error:
            return [error.message]
        return [str(text) for (text,) in found if text != "ok"]

    def close(self) -> None:
        """Close every connection; the last one to leave folds the log into the file. Closing twice does nothing.

        Waits for a transaction that is open, as long as others would. One that hangs keeps its connection: what it has
        written is undone when the process ends.
        """
        self._is_closed = True
        has_lock = self._lock.acquire(timeout=self._busy_for.total_seconds())
        try:
            with self._watching_lock:
                # Those in use are closed by who uses them, when he gives them back.
                idle = [self._watching, *self._readers, self._writing if has_lock else None]
                for connection in idle:
                    if connection is not None:
                        _close(connection)
                self._watching = self._writing = None
                self._readers.clear()
        finally:
            if has_lock:
                self._lock.release()

    # -- connections ----------------------------------------------------------------------------------------

    def _start(self, steps: Sequence[Migration], new_uid: Callable[[], str]) -> None:
        self._writing = connection = self._connected()
        with self._translating():
            # First: a file of another program is refused before anything in it is changed.
            migrate(connection, self.location, steps, new_uid=new_uid)
            row = connection.execute(queries("sqlite")["store_uid"]).fetchone()
            if self._path is not None:
                connection.execute("PRAGMA journal_mode = WAL")
        if row is None:
            raise StoreCorrupt(f"{self.location} is damaged: it has lost its uid", hint=RESTORE)
        self._uid = row[0]
        self._inode = self._inode_now()

    def _still_there(self) -> None:
        """Refuse to go on in a file that was deleted or replaced: what is written there, nobody will ever read."""
        if self._path is not None and not self._is_closed and self._inode != self._inode_now():
            raise moved(self.location)

    def _inode_now(self) -> tuple[int, int] | None:
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _writer(self) -> sqlite3.Connection:
        if self._is_closed or self._writing is None:
            raise closed(self.location)
        return self._writing

    def _watcher(self) -> sqlite3.Connection:
        if self._watching is None:
            self._watching = self._connected()
        return self._watching

    @contextmanager
    def _lent_reader(self) -> Iterator[sqlite3.Connection]:
        """Yield a reading connection that nobody else uses."""
        if self._is_closed:
            raise closed(self.location)
        try:
            connection = self._readers.pop()
        except IndexError:
            connection = self._connected()
            connection.execute("PRAGMA query_only = ON")
        try:
            yield connection
        finally:
            self._give_back(connection)

    def _give_back(self, reader: sqlite3.Connection) -> None:
        self._readers.append(reader)
        if self._is_closed:
            with suppress(ValueError):  # `close` has taken it meanwhile
                self._readers.remove(reader)
            _close(reader)

    def _connected(self) -> sqlite3.Connection:
        if self._is_closed:
            raise closed(self.location)
        if self._inode is not None:
            self._still_there()
        return _connect(self.location, self._busy_for)

    @contextmanager
    def _held(self, lock: threading.Lock | threading.Semaphore) -> Iterator[None]:
        if not lock.acquire(timeout=self._busy_for.total_seconds()):
            raise busy(self.location)
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _apart(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection for long work, which nobody else waits for (but in memory, where there is only one)."""
        if self._path is None:
            with self._held(self._lock):
                yield self._writer()
            return
        connection = self._connected()
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def _translating(self, location: str | None = None) -> Iterator[None]:
        """Let no exception of the driver out."""
        try:
            yield
        except DRIVER_ERRORS as exc:
            raise translated(exc, location or self.location) from exc

    def _bracketed(self, connection: sqlite3.Connection, begin: str) -> Iterator[SqliteTx]:
        """Yield a transaction between BEGIN and COMMIT; ROLLBACK when anything is raised, also by COMMIT."""
        with self._translating():
            connection.execute(begin)
        tx = SqliteTx(connection, self.location)
        try:
            yield tx
            tx.commit()
        except BaseException:
            _roll_back(connection)
            raise
        finally:
            tx.end()


def _connect(location: str, busy_for: timedelta) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            _uri(location),
            uri=True,
            timeout=busy_for.total_seconds(),
            isolation_level=None,
            check_same_thread=False,  # a store's locks keep threads apart
            cached_statements=_CACHED_STATEMENTS,
        )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_KEPT}")
    except DRIVER_ERRORS as exc:
        raise translated(exc, location) from exc
    return connection


def _uri(location: str) -> str:
    """Return how to open a database that is there: a plain path would make an empty file where ours was moved away."""
    if location == MEMORY:
        return MEMORY
    return f"file:{location.replace('%', '%25').replace('?', '%3f').replace('#', '%23')}?mode=rw"


def _close(connection: sqlite3.Connection) -> None:
    # Nothing can be lost here: what was committed is in the log.
    with suppress(*DRIVER_ERRORS):
        connection.close()


def _roll_back(connection: sqlite3.Connection) -> None:
    # A full disk makes SQLite roll back by itself; and a ROLLBACK that fails has nothing left to undo.
    with suppress(*DRIVER_ERRORS):
        if connection.in_transaction:
            connection.execute("ROLLBACK")


# -- files --------------------------------------------------------------------------------------------------


def _resolved(path: Path) -> Path:
    """Return the absolute path without links, its folder made if need be; refuse what is no file."""
    try:
        place = path.expanduser().resolve()
        if not place.parent.exists():
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if place.exists() and not place.is_file():
            raise StoreError(
                f"the database {place} cannot be opened: it is a folder, or no file at all",
                hint="name a file with PROMPTYOSELF_DB",
            )
    except OSError as exc:
        raise refused_by_system(exc, str(path)) from exc
    except (RuntimeError, ValueError) as exc:  # no such home, links in a circle; a NUL in the name
        raise StoreError(f"the database {path!s} cannot be opened: {exc}") from exc
    return place


def _make(place: Path, steps: Sequence[Migration], new_uid: Callable[[], str], busy_for: timedelta) -> None:
    """Make a database under another name and link it to its place, complete: nobody ever sees a half-made one.

    Of two processes that make it at once, one wins, and both use the winner's.
    """
    draft = place.with_name(f".{place.name}.{new_uid()}.new")
    try:
        _claim(draft, named=place)
        store = SqliteStore(draft, busy_for=busy_for)
        try:
            store._start(steps, new_uid)  # noqa: SLF001  our own class
        finally:
            store.close()
        _publish(draft, place)
    finally:
        for ending in ("", "-wal", "-shm", "-journal"):
            with suppress(OSError):
                draft.with_name(draft.name + ending).unlink(missing_ok=True)


def _publish(draft: Path, place: Path) -> None:
    try:
        os.link(draft, place)
        _sync_folder(place.parent)
    except FileExistsError:
        return
    except OSError:
        # A file system without hard links (FAT, some FUSE): an empty file is then filled in its place.
        if not place.exists():
            _claim(place, named=place)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _claim(path: Path, *, named: Path) -> None:
    """Make an empty file that only its owner can read, before SQLite makes one by the umask. Errors name `named`."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError as exc:
        raise StoreError(f"{path} is there already", hint="choose another name, or move it away") from exc
    except OSError as exc:
        raise refused_by_system(exc, str(named)) from exc
