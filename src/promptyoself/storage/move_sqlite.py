"""A SQLite file at one end of a move.

As the source it gets a trigger a table and verb that refuses the write. As the target it is made under another name
beside its place, and linked there when it is complete: nobody can open it before it is live.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.errors import Conflict, StoreError
from promptyoself.domain.models import MOVING_TO
from promptyoself.storage.move import MARK, ORIGIN, TABLES, Mark, Origin, Phase, Row, Table
from promptyoself.storage.queries import queries
from promptyoself.storage.rows import micros
from promptyoself.storage.sqlite import SqliteStore
from promptyoself.storage.sqlite_errors import DRIVER_ERRORS, refused_by_system, translated

_NUMBERED: Final = frozenset(table.name for table in TABLES if table.is_numbered)
_VERBS: Final = ("INSERT", "UPDATE", "DELETE")
_FENCED: Final = (*(table.name for table in TABLES), "executors")
_STOP_SWITCH: Final = next(table for table in TABLES if table.name == "stop_switch")


class _Side:
    """Reading, and what both ends write."""

    def __init__(self, connection: sqlite3.Connection, place: str, batch: int = limits.MOVE_ROWS_PER_COMMIT) -> None:
        self._connection = connection
        self.place: Final = place
        self._batch: Final = batch
        self._sql = queries("sqlite", "move")

    def columns(self, table: Table) -> Sequence[str]:
        """Return the table's columns by their names."""
        return [str(name) for (name,) in self._run("columns", {"table": table.name})]

    def rows(self, table: Table, columns: Sequence[str], *, after: Row | None = None) -> Iterator[Sequence[Row]]:
        """Yield the rows in the order of their keys, from behind one key on, in batches."""
        names = {"columns": ", ".join(columns), "table": table.name, "key": ", ".join(table.key)}
        with self._translating(), closing(self._connection.cursor()) as cursor:
            if after is None:
                cursor.execute(self._sql["all_rows"].format(**names))
            else:
                marks = ", ".join("?" * len(after))
                cursor.execute(self._sql["rows"].format(**names, after=marks), after)
            while batch := cursor.fetchmany(self._batch):
                yield batch

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _add(self, table: Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
        if table.name == "meta":
            for row in rows:
                self._run("put_meta", dict(zip(columns, row, strict=True)))
            return
        names = {"columns": ", ".join(columns), "values": ", ".join("?" * len(columns)), "table": table.name}
        with self._translating():
            self._connection.executemany(self._sql["add_row"].format(**names), rows)

    def _mark(self) -> Mark | None:
        text = self._meta(MARK)
        return None if text is None else Mark.of_text(text)

    def _meta(self, name: str) -> str | None:
        found = self._run("meta", {"name": name})
        return str(found[0][0]) if found else None

    def _put_meta(self, name: str, value: str) -> None:
        self._run("put_meta", {"name": name, "value": value})

    def _run(self, name: str, values: Mapping[str, object] | Row = (), **names: str) -> list[Row]:
        """Run a named statement, with `names` in its braces; return its rows."""
        statement = self._sql[name].format(**names) if names else self._sql[name]
        with self._translating():
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._translating():
            self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            with self._translating():
                self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except DRIVER_ERRORS as exc:
            raise translated(exc, self.place) from exc


class SqliteSource(_Side):
    """The file that is left. It stays where it is, and takes no writes; see `Source`."""

    def __init__(self, path: Path, *, batch: int = limits.MOVE_ROWS_PER_COMMIT) -> None:
        """Open it, and bring it to this version's schema. Raises StoreError kin, also when there is no such file.

        `batch` bounds the rows read, and stored, at once.
        """
        if not path.is_file():
            raise StoreError(f"there is no database {path}", hint="name the file that PROMPTYOSELF_DB names")
        # By the store's own door first: it refuses what is not ours, and what is too new.
        with closing(SqliteStore.open(path, new_uid=_no_uid)) as store:
            self.uid: Final = store.uid
            place = store.location
        super().__init__(_connected(Path(place)), place, batch)

    def mark(self) -> Mark | None:
        """Return where its move stands, or None."""
        return self._mark()

    def drain(self, mark: Mark, *, now: datetime) -> Mark:
        """Stop deliveries and write the mark; return it with the stop switch that was there."""
        with self._transaction():
            there = self._mark()
            if there is not None:
                return there
            switch = self._run("stop_switch", columns=", ".join(self.columns(_STOP_SWITCH)))
            mark = mark._replace(phase=Phase.DRAINING, switch=switch[0] if switch else None)
            self._run("stop", {"reason": f"{MOVING_TO}{mark.place}", "since": micros(now)})
            self._put_meta(MARK, mark.as_text())
        return mark

    def fence(self, mark: Mark, *, now: datetime) -> int:
        """Refuse every write from now on, unless requests are open: then return how many."""
        with self._transaction():
            ((is_open,),) = self._run("open_requests", {"now": micros(now)})
            if is_open:
                return int(str(is_open))
            self._put_meta(MARK, mark._replace(phase=Phase.FENCED).as_text())
            place = mark.place.replace("'", "''")
            for table in _FENCED:
                for verb in _VERBS:
                    row = "OLD" if verb == "DELETE" else "NEW"
                    condition = f"{row}.name <> '{MARK}'" if table == "meta" else "TRUE"
                    self._run("fence", table=table, verb=verb, condition=condition, place=place)
        return 0

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
            for (name,) in self._run("fences"):
                self._run("lift_fence", trigger=str(name))
            self._run("go_on")
            if mark.switch is not None:
                self._add(_STOP_SWITCH, self.columns(_STOP_SWITCH), [mark.switch])
            self._run("forget_meta", {"name": MARK})

    def given_out(self) -> Mapping[str, int]:
        """Return by table the highest id that was ever given out."""
        return {str(name): int(str(last)) for name, last in self._run("given_out") if name in _NUMBERED}


class SqliteTarget(_Side):
    """A file that is made; see `Target`."""

    def __init__(self, path: Path, *, uid: str) -> None:
        """Name its place, and the uid that it is to have; nothing is made yet."""
        self._uid: Final = uid
        self._path: Final = path.expanduser().absolute()
        self._draft: Final = self._path.with_name(f".{self._path.name}.moving")
        # In memory until it is known that the draft is wanted.
        super().__init__(sqlite3.connect(":memory:", isolation_level=None), str(self._path))

    def prepare(self, mark: Mark) -> Origin | None:
        """Make the draft; or return the origin of the file that this very move has made."""
        if self._path.exists():
            return self._origin_of(mark)
        self._open()
        there = self._mark()
        if there is not None and there.id != mark.id:
            self.close()
            _delete(self._draft)
            self._open()
        self._put_meta(MARK, mark._replace(phase=Phase.FILLING).as_text())
        return None

    def last(self, table: Table) -> Row | None:
        """Return the highest key that is there, or None."""
        down = ", ".join(f"{column} DESC" for column in table.key)
        found = self._run("last_key", key=", ".join(table.key), key_down=down, table=table.name)
        return found[0] if found else None

    def add(self, table: Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Store rows, all or none."""
        with self._transaction():
            self._add(table, columns, rows)

    def clear(self) -> None:
        """Delete what was copied; the uid stays."""
        with self._transaction():
            for table in reversed(TABLES):
                if table.name != "meta":
                    self._run("delete_all", table=table.name)

    def go_live(self, origin: Origin, given_out: Mapping[str, int]) -> None:
        """Finish the draft, and link it to its place."""
        with self._transaction():
            for table, last in given_out.items():
                self._run("give_out_none_below", {"table": table})
                self._run("give_out_from", {"table": table, "last": last})
            self._put_meta(ORIGIN, origin.as_text())
            self._run("forget_meta", {"name": MARK})
        self.close()  # the last to leave folds the log into the file
        try:
            os.link(self._draft, self._path)
            _delete(self._draft)
            _sync(self._path.parent)
        except OSError as exc:
            raise refused_by_system(exc, self.place) from exc

    def _origin_of(self, mark: Mark) -> Origin:
        with closing(_connected(self._path)) as connection:
            text = _Side(connection, self.place)._meta(ORIGIN)  # noqa: SLF001  our own class
        origin = None if text is None else Origin.of_text(text)
        if origin is None or origin.id != mark.id:
            raise Conflict(f"{self.place} is there already", hint="name a file that is not there yet")
        _delete(self._draft)  # another name of the same file, when the move was killed right after the link
        return origin

    def _open(self) -> None:
        with closing(SqliteStore.open(self._draft, new_uid=lambda: self._uid)):
            pass
        self._connection.close()
        self._connection = _connected(self._draft)


def _connected(path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, timeout=limits.STORE_BUSY_FOR.total_seconds(), isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except DRIVER_ERRORS as exc:
        raise translated(exc, str(path)) from exc
    return connection


def _delete(draft: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        draft.with_name(draft.name + ending).unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _no_uid() -> str:
    raise StoreError("the database went away meanwhile")
