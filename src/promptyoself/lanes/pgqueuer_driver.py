"""Connections to PostgreSQL for the engine's own use: one that asks, one that listens. Both come back by themselves.

PgQueuer's own driver listens on the connection that it asks with, and holds it up to a second at a time: a wake-up
waited for that long. It ends with its connection, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor, sql
from psycopg.rows import dict_row

from promptyoself.domain import limits
from promptyoself.domain.errors import StoreBusy, StoreError, StoreReadOnly, StoreUnreachable

_log = logging.getLogger(__name__)

_RETRY_FIRST_S: Final = 0.1
_GIVE_UP_S: Final = limits.FLEET_STATEMENT_FOR.total_seconds() + 1
"""The server ends a statement itself, unless nothing gets through to it."""
_ASKING: Final = {
    # What a crash takes of a pick, or of a sign of life, is picked, or said, again: the lane's lease decides who sends,
    # and its commit comes later and waits for the disk for both.
    "synchronous_commit": "off",
    # One plan for each statement, as the store has it: making one takes longer than a pick.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
}
_BUSY: Final = (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled, psycopg.errors.DeadlockDetected)


class TokenDriver:
    """Asks for PgQueuer (its `Driver`, as far as that asks), on one connection, a statement at a time.

    A connection that has failed is opened anew. Raises StoreError kin: what the statement did is not known then.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection: AsyncConnection[Any] | None = None
        self._turn = asyncio.Lock()

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        """Run a statement and return its rows."""
        async with self._cursor() as cursor:
            await cursor.execute(query.encode(), args or None)
            return await cursor.fetchall()

    async def execute(self, query: str, *args: object) -> str:
        """Run a statement and return what PostgreSQL says of it."""
        async with self._cursor() as cursor:
            await cursor.execute(query.encode(), args or None)
            return cursor.statusmessage or ""

    async def renew(self) -> None:
        """Let the next statement open another connection, once what is under way has ended."""
        async with self._turn:
            await self.close()

    async def close(self) -> None:
        """Close the connection; the next statement would open another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                await connection.close()

    @asynccontextmanager
    async def _cursor(self) -> AsyncIterator[AsyncRawCursor[dict[str, Any]]]:
        async with self._turn:
            try:
                async with asyncio.timeout(_GIVE_UP_S):
                    yield AsyncRawCursor(await self._connected(), row_factory=dict_row)
            except _BUSY as exc:
                raise StoreBusy(f"the database was busy for too long: {_said(exc)}", hint="it is tried again") from exc
            except (psycopg.Error, TimeoutError, OSError) as exc:
                await self.close()
                raise unreachable(exc) from exc
            except asyncio.CancelledError:
                # What was asked may be on its way: the answer must not become that of the next question.
                await self.close()
                raise

    async def _connected(self) -> AsyncConnection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = connection = await connect(self._conninfo)
            for name, value in _ASKING.items():
                await connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        return self._connection


class Listener:
    """Calls back for every NOTIFY of some channels, as long as it runs, on a connection that does nothing else."""

    def __init__(
        self, conninfo: str, heard: Mapping[str, Callable[[str], None]], *, on_again: Callable[[], None]
    ) -> None:
        """`heard` takes what was said on each channel; `on_again` is called whenever something may have been missed."""
        self._conninfo = conninfo
        self._heard = heard
        self._on_again = on_again

    async def run(self) -> None:
        """Listen until cancelled."""
        wait_s = _RETRY_FIRST_S
        while True:
            try:
                async with asyncio.timeout(limits.FLEET_CONNECT_FOR.total_seconds()):
                    connection = await connect(self._conninfo)
            except (psycopg.Error, TimeoutError, OSError):
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, limits.FLEET_CONNECT_GAP_MAX.total_seconds())
                continue
            wait_s = _RETRY_FIRST_S
            try:
                await self._listen(connection)
            except (psycopg.Error, TimeoutError, OSError) as exc:
                _log.warning("listener.lost error=%s", _said(exc))
            finally:
                with suppress(psycopg.Error):
                    await connection.close()
            await asyncio.sleep(wait_s)

    async def _listen(self, connection: AsyncConnection[Any]) -> None:
        for channel in self._heard:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        self._on_again()
        check_s = limits.FLEET_LISTEN_CHECK_EVERY.total_seconds()
        while True:
            async for notice in connection.notifies(timeout=check_s):
                self._heard[notice.channel](notice.payload)
            # Silence may be a cable that was pulled: only an answer tells.
            async with asyncio.timeout(check_s):
                await connection.execute("SELECT 1")


async def connect(conninfo: str) -> AsyncConnection[Any]:
    """Open a connection whose every statement commits, with bounds of ours, whatever an administrator has set."""
    bounds = {
        "statement_timeout": limits.FLEET_STATEMENT_FOR,
        "lock_timeout": limits.FLEET_LOCK_FOR,
        "idle_in_transaction_session_timeout": limits.FLEET_STATEMENT_FOR,
        "idle_session_timeout": timedelta(),  # none: whoever listens is idle
    }
    settings = {name: f"{bound.total_seconds() * 1000:.0f}" for name, bound in bounds.items()}
    settings |= {"datestyle": "ISO", "intervalstyle": "postgres"}  # psycopg reads no other
    connection = await AsyncConnection.connect(
        conninfo,
        autocommit=True,
        connect_timeout=int(limits.FLEET_CONNECT_FOR.total_seconds()),
        application_name="promptyoself engine",
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
    )
    try:
        # Set by a statement: a pooler between may refuse them as options of the connection.
        wanted = sql.SQL(", ").join(sql.SQL("set_config({}, {}, false)").format(*one) for one in settings.items())
        await connection.execute(sql.SQL("SELECT ") + wanted)
    except BaseException:  # who is cancelled here leaves nobody who would close it
        await connection.close()
        raise
    return connection


def unreachable(exc: BaseException) -> StoreError:
    """Return what a failure of a statement, or of its connection, means to whoever asked."""
    if isinstance(exc, psycopg.errors.ReadOnlySqlTransaction):
        return StoreReadOnly(
            f"the database cannot be written: {_said(exc)}",
            hint="name the primary server, not a standby, with PROMPTYOSELF_DB",
        )
    if isinstance(exc, psycopg.errors.InsufficientPrivilege):
        return StoreReadOnly(
            f"the database cannot be written: {_said(exc)}",
            hint="name a user with PROMPTYOSELF_DB who owns our tables",
        )
    return StoreUnreachable(
        f"the database does not answer: {_said(exc)}",
        hint="it is tried again; see that PostgreSQL runs and is reachable",
    )


def _said(exc: BaseException) -> str:
    lines = str(exc).strip().splitlines()
    return lines[0] if lines else type(exc).__name__
