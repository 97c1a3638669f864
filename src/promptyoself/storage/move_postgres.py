"""A PostgreSQL database at one end of a move.

A fence stands on every table, at either end: a trigger that refuses the write unless the session goes by the move's
name. The target's stands from before the first row until it is live.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any, Final, cast

import psycopg
from psycopg import sql

from promptyoself.domain import limits
from promptyoself.domain.errors import Conflict, StoreError
from promptyoself.domain.models import MOVING_TO
from promptyoself.storage.move import MARK, ORIGIN, TABLES, Mark, Origin, Phase, Row, Table
from promptyoself.storage.postgres import PostgresStore
from promptyoself.storage.postgres_errors import DRIVER_ERRORS, FILLING, MOVED, not_connected, translated
from promptyoself.storage.queries import queries
from promptyoself.storage.rows import micros

_FENCED: Final = (*(table.name for table in TABLES), "executors")
_STOP_SWITCH: Final = next(table for table in TABLES if table.name == "stop_switch")


class _Side:
    """One connection, the move's alone; see `Side`."""

    def __init__(self, store: PostgresStore, batch: int) -> None:
        self.place: Final = store.location
        self.uid: Final = store.uid
        self._batch: Final = batch
        self._sql: Final = queries("postgres", "move")
        self._connection: psycopg.Connection[Row] = _connected(store)
        lock_ms = str(int(limits.POSTGRES_LOCK_FOR.total_seconds() * 1000))
        try:
            self._run("settle", {"lock_ms": lock_ms})
            is_alone = self._run("take_lock") == [(True,)]
        except BaseException:
            self.close()
            raise
        if not is_alone:
            self.close()
            raise Conflict(f"another move is at work at {self.place}", hint="wait until it has ended")

    def columns(self, table: Table) -> Sequence[str]:
        """Return the table's columns by their names."""
        return [str(name) for (name,) in self._run("columns", {"table": table.name})]

    def rows(self, table: Table, columns: Sequence[str], *, after: Row | None = None) -> Iterator[Sequence[Row]]:
        """Yield the rows in the order of their keys, from behind one key on, in batches."""
        names = {"columns": _listed(columns), "table": sql.Identifier(table.name), "key": _listed(table.key)}
        name = "all_rows"
        if after is not None:
            name, names["after"] = "rows", sql.SQL(", ").join(map(sql.Literal, after))
        with self._translating(), self._connection.transaction(), self._connection.cursor(name="moving") as cursor:
            cursor.execute(self._statement(name, names))
            while batch := cursor.fetchmany(self._batch):
                yield batch

    def close(self) -> None:
        """Close the connection; the lock goes with it."""
        self._connection.close()

    def _mark(self) -> Mark | None:
        text = self._meta(MARK)
        return None if text is None else Mark.of_text(text)

    def _meta(self, name: str) -> str | None:
        found = self._run("meta", {"name": name})
        return str(found[0][0]) if found else None

    def _put_meta(self, name: str, value: str) -> None:
        self._run("put_meta", {"name": name, "value": value})

    def _fence(self, mark: Mark, code: str, place: str) -> None:
        """Refuse everybody else's writes with an error of this code, which names this place."""
        self._run("fence_function")
        texts = {"id": sql.Literal(mark.id), "code": sql.Literal(code), "place": sql.Literal(place)}
        for table in _FENCED:
            self._run("fence", names={"table": sql.Identifier(table), **texts})
        self._run("go_by", {"id": mark.id})

    def _keep_writers_out(self) -> None:
        self._run("keep_writers_out", names={"tables": _listed(_FENCED)})

    def _run(
        self,
        name: str,
        values: Mapping[str, object] | Row | None = None,
        *,
        names: Mapping[str, sql.Composable] | None = None,
    ) -> list[Row]:
        """Run a named statement, with `names` in its braces; return its rows."""
        with self._translating():
            cursor = self._connection.execute(self._statement(name, names), values)
            return cursor.fetchall() if cursor.description else []

    def _statement(self, name: str, names: Mapping[str, sql.Composable] | None) -> sql.SQL | sql.Composed:
        statement = sql.SQL(self._sql[name])
        return statement if names is None else statement.format(**names)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._translating(), self._connection.transaction():
            yield

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except DRIVER_ERRORS as exc:
            raise translated(exc, self.place) from exc


class PostgresSource(_Side):
    """The database that is left. It stays, and takes no writes; see `Source`."""

    def __init__(self, url: str, *, batch: int = limits.MOVE_ROWS_PER_COMMIT) -> None:
        """Open it, and bring it to this version's schema; `batch` bounds the rows read at once."""
        with closing(PostgresStore.open(url, new_uid=_no_uid)) as store:
            super().__init__(store, batch)
        mark = self._mark()
        if mark is not None:
            self._run("go_by", {"id": mark.id})

    def mark(self) -> Mark | None:
        """Return where its move stands, or None."""
        return self._mark()

    def drain(self, mark: Mark, *, now: datetime) -> Mark:
        """Stop deliveries and write the mark; return it with the stop switch that was there."""
        with self._transaction():
            there = self._mark()
            if there is not None:
                return there
            switch = self._run("stop_switch", names={"columns": _listed(self.columns(_STOP_SWITCH))})
            mark = mark._replace(phase=Phase.DRAINING, switch=switch[0] if switch else None)
            self._run("stop", {"reason": f"{MOVING_TO}{mark.place}", "since": micros(now)})
            self._put_meta(MARK, mark.as_text())
        return mark

    def fence(self, mark: Mark, *, now: datetime) -> int:
        """Refuse every write from now on, unless requests are open: then return how many."""
        del now  # the server's own counts
        is_open = self._open_requests()
        if is_open:  # nobody need be kept waiting for that
            return is_open
        with self._transaction():
            self._keep_writers_out()
            is_open = self._open_requests()
            if not is_open:
                self._put_meta(MARK, mark._replace(phase=Phase.FENCED).as_text())
                self._fence(mark, MOVED, mark.place)
        return is_open

    def give_up(self, mark: Mark) -> None:
        """Write that it can no longer be taken back."""
        with self._transaction():
            there = self._mark()
            if there is None or there.id != mark.id:
                raise Conflict(f"the move of {self.place} was taken back meanwhile", hint="begin it anew")
            self._put_meta(MARK, there._replace(phase=Phase.GONE).as_text())

    def take_back(self, mark: Mark) -> None:
        """Lift the fence, put the stop switch back as it was, and forget the move."""
        with self._transaction():
            there = self._mark()
            if there is None or there.phase is Phase.GONE:
                raise Conflict(f"{self.place} was given up meanwhile", hint="finish the move; then move back")
            self._run("lift_fence")
            self._run("go_on")
            if mark.switch is not None:
                columns = self.columns(_STOP_SWITCH)
                values = sql.SQL(", ").join(map(sql.Literal, mark.switch))
                names = {"table": sql.Identifier("stop_switch"), "columns": _listed(columns), "values": values}
                self._run("add_row", names=names)
            self._run("forget_meta", {"name": MARK})

    def given_out(self) -> Mapping[str, int]:
        """Return by table the highest id that was ever given out."""
        found: dict[str, int] = {}
        for table in TABLES:
            if table.name == "facts":
                found["facts"] = _number(self._run("newest_fact")[0][0])
            elif table.is_numbered:
                last = self._run("newest", names={"table": sql.Literal(table.name)})[0][0]
                found |= {} if last is None else {table.name: _number(last)}
        return found

    def _open_requests(self) -> int:
        return _number(self._run("open_requests")[0][0])


class PostgresTarget(_Side):
    """The database that is made; see `Target`."""

    def __init__(self, url: str, *, uid: str, batch: int = limits.MOVE_ROWS_PER_COMMIT) -> None:
        """Make our tables under the source's `uid`, unless they are there."""
        with closing(PostgresStore.open(url, new_uid=lambda: uid)) as store:
            super().__init__(store, batch)
        self._is_others: Final = self.uid != uid

    def prepare(self, mark: Mark) -> Origin | None:
        """Keep everybody else from writing; or return the origin, when this very move has made it live."""
        there, origin = self._mark(), self._meta(ORIGIN)
        if there is None and origin is not None and (live := Origin.of_text(origin)).id == mark.id:
            return live  # for good; nobody who works on it is made to wait
        with self._transaction():
            self._keep_writers_out()
            there = self._mark()
            if self._is_others or (there is None and self._is_used()):
                raise Conflict(
                    f"{self.place} is in use already",
                    hint="name a database that has nothing of promptyoself in it (createdb): the move makes its tables",
                )
            if there is not None:
                self._run("go_by", {"id": there.id})
                if there.id != mark.id:
                    self._delete_all()
            filling = mark._replace(phase=Phase.FILLING, switch=None)
            self._put_meta(MARK, filling.as_text())
            self._fence(mark, FILLING, self.place)
        return None

    def last(self, table: Table) -> Row | None:
        """Return the highest key that is there, or None."""
        down = sql.SQL(", ").join(sql.SQL("{} DESC").format(sql.Identifier(column)) for column in table.key)
        names = {"key": _listed(table.key), "key_down": down, "table": sql.Identifier(table.name)}
        found = self._run("last_key", names=names)
        return found[0] if found else None

    def add(self, table: Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Store rows, all or none."""
        with self._transaction():
            if table.name == "meta":
                for row in rows:
                    self._run("put_meta", dict(zip(columns, row, strict=True)))
                return
            names = {"table": sql.Identifier(table.name), "columns": _listed(columns)}
            try:
                with self._connection.cursor() as cursor, cursor.copy(self._statement("copy", names)) as copy:
                    for row in rows:
                        copy.write_row(row)
            except psycopg.DataError as exc:
                raise _unfit(table, columns, rows) or translated(exc, self.place) from exc

    def clear(self) -> None:
        """Delete what was copied; the uid stays."""
        with self._transaction():
            self._delete_all()

    def go_live(self, origin: Origin, given_out: Mapping[str, int]) -> None:
        """Let everybody write, in one transaction."""
        self._run("analyze", names={"tables": _listed(_FENCED)})
        with self._transaction():
            for table, last in given_out.items():
                if last:
                    self._run("give_out_from", {"last": last}, names={"table": sql.Literal(table)})
            self._put_meta("facts_pruned_to", str(given_out.get("facts", 0)))
            self._put_meta(ORIGIN, origin.as_text())
            self._run("forget_meta", {"name": MARK})
            self._run("lift_fence")

    def _is_used(self) -> bool:
        return any(
            self._run("has_rows", names={"table": sql.Identifier(table)})[0][0] for table in _FENCED if table != "meta"
        )

    def _delete_all(self) -> None:
        self._run("delete_all", names={"tables": _listed(table.name for table in TABLES if table.name != "meta")})


def _connected(store: PostgresStore) -> psycopg.Connection[Row]:
    try:
        return psycopg.connect(store.conninfo, autocommit=True)
    except psycopg.Error as exc:
        raise not_connected(exc, store.location) from None  # its context holds the address as it was given


def _unfit(table: Table, columns: Sequence[str], rows: Sequence[Row]) -> StoreError | None:
    """Return the error that names the row which PostgreSQL cannot hold."""
    for row in rows:
        for column, value in zip(columns, row, strict=True):
            if isinstance(value, str) and "\0" in value:
                named = ", ".join(f"{name} {row[columns.index(name)]!r}" for name in table.key)
                return StoreError(
                    f"{column} of {table.name} ({named}) holds a NUL character, which PostgreSQL cannot store",
                    hint="take the move back with --undo, correct it there, and move again",
                )
    return None


def _listed(names: Iterator[str] | Sequence[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _number(value: object) -> int:
    return int(cast("Any", value))


def _no_uid() -> str:
    raise StoreError(
        "there is no database of promptyoself", hint="name the one that PROMPTYOSELF_DB names; nothing was made"
    )
