"""The store on PostgreSQL, where many nodes write at once.

Connections are made when they are first needed and kept in a list of our own: a command of the command line makes one,
without the threads of a pool. One that breaks is dropped; the next transaction makes another, so that a service goes on
by itself when the server is back.

Writing transactions are READ COMMITTED, and lock what they read (postgres_statements.py). Reading ones see one state.
"""

from __future__ import annotations

import select
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg.types.numeric import Int8Dumper

from promptyoself.domain import limits
from promptyoself.domain.errors import StoreCorrupt, StoreError
from promptyoself.domain.values import dataclass
from promptyoself.storage.migrate import Migration, migrations
from promptyoself.storage.postgres_errors import (
    DRIVER_ERRORS,
    RESTORE,
    another,
    closed,
    crowded,
    not_connected,
    read_only,
    refuse_unfit,
    translated,
    unreadable_address,
)
from promptyoself.storage.postgres_migrate import migrate
from promptyoself.storage.postgres_queries import placed
from promptyoself.storage.postgres_statements import Connection
from promptyoself.storage.postgres_tx import PostgresTx

K = TypeVar("K", bound=PostgresTx)

WRITING: Final = b"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
READING: Final = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
GLANCING: Final = b"BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"
_PREPARED_MAX: Final = 500
"""More than there are statements: none is ever prepared twice."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the server bounds for each connection: see limits.py, POSTGRES_..._FOR."""

    lock: timedelta = limits.POSTGRES_LOCK_FOR
    statement: timedelta = limits.POSTGRES_STATEMENT_FOR
    idle_in_transaction: timedelta = limits.POSTGRES_IDLE_IN_TRANSACTION_FOR


BOUNDS: Final = Bounds()


class _Number(Int8Dumper):
    """A number as text, whose type the statement says: one prepared statement for each, whatever is None in it."""

    oid = 0


class PostgresStore:
    """A database on a server. Safe to use from several threads, whose transactions run at the same time."""

    def __init__(self, address: dict[str, Any], *, busy_for: timedelta, bounds: Bounds) -> None:
        """Prepare a store at an address that libpq has read; `open` makes it usable."""
        self._bounds = bounds
        self._conninfo = make_conninfo("", **_with_bounds(address))
        self._location = _location(address)
        self._busy_s = busy_for.total_seconds()
        self._uid = ""
        self._is_closed = False
        self._connections_made = 0
        self._room = threading.Semaphore(limits.POSTGRES_CONNECTIONS_MAX)
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        """Those that nobody uses, the one used last at the end."""
        self._watching: Connection | None = None
        self._watching_lock = threading.Lock()

    @classmethod
    def open(
        cls,
        url: str,
        *,
        new_uid: Callable[[], str],
        busy_for: timedelta = limits.STORE_BUSY_FOR,
        bounds: Bounds = BOUNDS,
        steps: Sequence[Migration] | None = None,
    ) -> PostgresStore:
        """Open the database at `url` (`postgresql://...`), making or upgrading our tables when needed.

        `new_uid` is called for a new database only; `busy_for` bounds the wait for a connection of this process's,
        `bounds` what the server lets a transaction wait for; `steps` are the migrations (all of ours). Several nodes
        may open at once.

        Raises StoreUnreachable, StoreTooNew, StoreCorrupt, StoreReadOnly, StoreBusy, or plain StoreError.
        """
        try:
            address = conninfo_to_dict(url)
        except psycopg.Error as exc:
            raise unreadable_address(str(exc)) from None  # its text may quote a password
        store = cls(address, busy_for=busy_for, bounds=bounds)
        try:
            store._start(migrations("postgres") if steps is None else steps, new_uid)
        except BaseException:
            store.close()
            raise
        return store

    @property
    def uid(self) -> str:
        """The uid that this database was given when it was made."""
        return self._uid

    @property
    def conninfo(self) -> str:
        """What psycopg connects with, for connections of another kind than ours. It may hold a password."""
        return self._conninfo

    @property
    def location(self) -> str:
        """Where it is, as people read it: user, host and database, without a password."""
        return self._location

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called: it can be used no more."""
        return self._is_closed

    @property
    def connections_made(self) -> int:
        """How many connections were made since it was opened: with another one may come another server."""
        return self._connections_made

    @contextmanager
    def transaction(self) -> Iterator[PostgresTx]:
        """Open a writing transaction: commits at the end, rolls back on any exception.

        Raises StoreBusy when no connection comes free within the bound, and when another transaction holds what this
        one needs for longer than POSTGRES_LOCK_FOR.
        """
        with self._lent(WRITING) as connection:
            yield from _bracketed(connection, PostgresTx(connection, self._location))

    @contextmanager
    def bracket(self, make: Callable[[Connection, str], K]) -> Iterator[K]:
        """Open a writing transaction of another kind, made for its connection and our location; as `transaction`.

        It begins with its first statement, a trip less. What has silently broken is noticed there, so this is for those
        who come again by themselves.
        """
        with self._lent(None) as connection:
            tx = make(connection, self._location)
            tx.begin_with_first(WRITING)
            yield from _bracketed(connection, tx)

    @contextmanager
    def reading(self) -> Iterator[PostgresTx]:
        """Open a transaction that sees one state of the database; a write within raises StoreReadOnly."""
        with self._lent(READING) as connection:
            yield from _bracketed(connection, PostgresTx(connection, self._location, is_reading=True))

    @contextmanager
    def glancing(self) -> Iterator[PostgresTx]:
        """Open a transaction that writes nothing for one look by an index: it waits for nobody, but for the network.

        One at a time, on a connection of its own; nobody may take his time within.
        """
        with self._watching_lock:
            connection = self._watcher(GLANCING)
            yield from _bracketed(connection, PostgresTx(connection, self._location, is_reading=True))

    def change_mark(self) -> int:
        """Return a number that differs after a commit, by whichever connection of whichever node; a round trip."""
        with self._watching_lock:
            connection = self._watcher(None)
            with self._translating():
                row = connection.execute(placed("snapshot")).fetchone()
        text = "" if row is None else row["snapshot"]
        return zlib.crc32(text.encode())

    def backup(self, to_path: str | Path) -> Path:
        """Raise StoreError: PostgreSQL has its own tools, which copy all of it."""
        raise StoreError(
            f"promptyoself makes no backups of {self._location} (to {to_path})",
            hint="use pg_dump --format=custom, or pg_basebackup with an archive of the WAL for any point in time",
        )

    def problems(self) -> list[str]:
        """Return what is wrong with the tables: nothing, or indexes that are not valid."""
        with self._lent(READING) as connection:
            try:
                with self._translating():
                    found = connection.execute(placed("problems")).fetchall()
                return [str(row["problem"]) for row in found]
            finally:
                _roll_back(connection)

    def close(self) -> None:
        """Close every connection. Closing twice does nothing; those in use are closed by who gives them back."""
        self._is_closed = True
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            _close(connection)
        with self._watching_lock:
            if self._watching is not None:
                _close(self._watching)
                self._watching = None

    # -- connections ----------------------------------------------------------------------------------------

    def _start(self, steps: Sequence[Migration], new_uid: Callable[[], str]) -> None:
        connection = self._connected()
        try:
            with self._translating():
                migrate(connection, self._location, steps, new_uid=new_uid)
            self._uid = self._uid_at(connection)
        except BaseException:
            _close(connection)
            raise
        self._give_back(connection)

    def _uid_at(self, connection: Connection) -> str:
        with self._translating():
            row = connection.execute(placed("store_uid")).fetchone()
        if row is None:
            raise StoreCorrupt(f"{self._location} is damaged: it has lost its uid", hint=RESTORE)
        return str(row["value"])

    @contextmanager
    def _lent(self, begin: bytes | None) -> Iterator[Connection]:
        """Yield a connection that nobody else uses, with a transaction begun on it if asked for."""
        if not self._room.acquire(timeout=self._busy_s):
            raise crowded(self._location)
        try:
            connection = self._begun(begin)
            try:
                yield connection
            finally:
                self._give_back(connection)
        finally:
            self._room.release()

    def _begun(self, begin: bytes | None) -> Connection:
        """Begin on a connection that is there, or on a new one: one that has broken since it was used is no failure."""
        while (connection := self._kept()) is not None:
            if begin is None and _is_quiet(connection):
                return connection
            try:
                self._begin(connection, begin or b"")
            except psycopg.OperationalError:
                _close(connection)
            else:
                return connection
        connection = self._connected()
        if begin is not None:
            with self._translating():
                self._begin(connection, begin)
        return connection

    def _begin(self, connection: Connection, begin: bytes) -> None:
        try:
            connection.execute(begin)
        except psycopg.errors.FeatureNotSupported:
            # A standby reads, and refuses a transaction that is to write.
            _close(connection)
            raise read_only(self._location) from None

    def _kept(self) -> Connection | None:
        if self._is_closed:
            raise closed(self._location)
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: Connection) -> None:
        if connection.closed or connection.pgconn.transaction_status != TransactionStatus.IDLE:
            _close(connection)
            return
        with self._lock:
            if not self._is_closed:
                self._idle.append(connection)
                return
        _close(connection)

    def _watcher(self, begin: bytes | None) -> Connection:
        """Return the connection for looks, with a transaction begun on it if asked for."""
        if self._is_closed:
            raise closed(self._location)
        if self._watching is not None:
            try:
                self._watching.execute(begin or b"")
            except psycopg.OperationalError:
                _close(self._watching)
                self._watching = None
            else:
                return self._watching
        self._watching = self._connected()
        with self._translating():
            self._watching.execute(begin or b"")
        return self._watching

    def _connected(self) -> Connection:
        """Connect, and see that what answers is the database that was opened."""
        if self._is_closed:
            raise closed(self._location)
        try:
            connection: Connection = psycopg.connect(self._conninfo, autocommit=True, row_factory=dict_row)
        except psycopg.OperationalError as exc:
            raise not_connected(exc, self._location) from None  # its context holds the address as it was given
        except (psycopg.Error, UnicodeError) as exc:  # the latter of Python's, that looks up the host for psycopg
            raise unreadable_address(str(exc)) from None
        try:
            connection.prepared_max = _PREPARED_MAX
            connection.adapters.register_dumper(int, _Number)
            self._settle(connection)
            self._refuse_another(connection)
        except BaseException:
            _close(connection)
            raise
        with self._lock:
            self._connections_made += 1
        return connection

    def _refuse_another(self, connection: Connection) -> None:
        if self._uid and self._uid != self._uid_at(connection):
            raise another(self._location)

    def _settle(self, connection: Connection) -> None:
        """Set the bounds of waiting, and refuse what is no database for us."""
        bounds = {
            "lock_ms": _ms(self._bounds.lock),
            "statement_ms": _ms(self._bounds.statement),
            "idle_ms": _ms(self._bounds.idle_in_transaction),
        }
        with self._translating():
            found = connection.execute(placed("settle"), bounds).fetchone()
        assert found is not None  # noqa: S101  a SELECT without FROM has one row
        refuse_unfit(found, self._location)

    @contextmanager
    def _translating(self) -> Iterator[None]:
        """Let no exception of the driver out."""
        try:
            yield
        except DRIVER_ERRORS as exc:
            raise translated(exc, self._location) from exc


def _bracketed(connection: Connection, tx: K) -> Iterator[K]:
    """Yield a transaction that has begun; COMMIT at the end, ROLLBACK when anything is raised, also by COMMIT."""
    try:
        yield tx
        tx.commit()
    except BaseException:
        tx.leave()
        _roll_back(connection)
        raise
    finally:
        tx.end()


def _with_bounds(address: dict[str, Any]) -> dict[str, Any]:
    """Add what every connection has, unless the address says otherwise; text is always UTF-8."""
    silent_s = int(limits.POSTGRES_SILENT_FOR.total_seconds())
    ours = {
        "application_name": "promptyoself",
        "connect_timeout": int(limits.POSTGRES_CONNECT_FOR.total_seconds()),
        "tcp_user_timeout": silent_s * 1000,
        "keepalives_idle": silent_s // 3,
        "keepalives_interval": silent_s // 3,
        "keepalives_count": 2,
    }
    return {**ours, **address, "client_encoding": "UTF8"}


def _location(address: dict[str, Any]) -> str:
    """Return the address without what nobody may read."""
    user = f"{address['user']}@" if address.get("user") else ""
    host, port, name = (str(address.get(one) or "") for one in ("host", "port", "dbname"))
    if "/" in host:  # the folder of a Unix socket
        return f"postgresql://{user}/{name}?host={host}" + (f"&port={port}" if port else "")
    hosts, ports = host.split(","), port.split(",")
    if len(ports) != len(hosts):
        ports = [port] * len(hosts)
    places = (f"{one}:{its_port}" if its_port else one for one, its_port in zip(hosts, ports, strict=True))
    return f"postgresql://{user}{','.join(places)}/{name}"


def _is_quiet(connection: Connection) -> bool:
    """Whether nothing has come since the last answer: a server that ends a connection says so, or closes it."""
    if connection.closed:
        return False
    poll = select.poll()  # select() takes no file beyond the 1024th
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


def _ms(span: timedelta) -> str:
    return str(span // timedelta(milliseconds=1))


def _close(connection: Connection) -> None:
    # Nothing can be lost here: what was committed is stored.
    with suppress(*DRIVER_ERRORS):
        connection.close()


def _roll_back(connection: Connection) -> None:
    # A connection that is broken has nothing left to undo.
    with suppress(*DRIVER_ERRORS):
        if connection.pgconn.transaction_status not in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN):
            connection.execute(b"ROLLBACK")
