"""Moving a database, whole, to a place of the other dialect. docs/moving.md tells it to people.

The order is the guarantee, and each step is one transaction that a crash leaves done or undone:

1. the place to move to is made, under the source's uid, and marked: nobody but the move may write there;
2. the source is drained: nothing new is sent, what is in flight is followed;
3. the source is fenced, in the transaction that has seen no request open: from here on the database itself refuses
   every write, also by a process that was started before there was such a thing as a move;
4. rows are copied in batches; what is there already is not copied again;
5. both sides are read and compared, all rows and all columns;
6. the source is given up: it can no longer be taken back into use;
7. the target goes live.

Between 3 and 7 no database takes a write, so nothing can be sent by two, or be promised in one and be missing in the
other. A move that was killed is run again and goes on; until 6 it can be undone.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from promptyoself.domain.errors import Conflict, StoreBusy, StoreError
from promptyoself.domain.ports import Clock

Row = tuple[object, ...]
Tell = Callable[[str], None]

MARK: Final = "move"
"""The row of `meta` that says where a move stands. It does not move."""
ORIGIN: Final = "moved_from"
"""The row of `meta` that says where a database came from, and what was compared. It does not move either."""
_STAYING_META: Final = frozenset({MARK, ORIGIN, "facts_pruned_to"})
"""The last is PostgreSQL's own word on which ids of facts it has given out; `Target.go_live` sees to it."""
_CHECKSUM_BYTES: Final = 16
_LOOK_EVERY_S: Final = 0.2
GO_ON: Final = "run the same command again: it goes on where it stopped"


class Table(NamedTuple):
    """A table that moves, and its primary key."""

    name: str
    key: tuple[str, ...]
    is_numbered: bool = False
    """True: its ids are given out by the database, and none may be given out again."""


TABLES: Final = (  # whoever is referred to comes first
    Table("calendars", ("key",)),
    Table("schedules", ("id",), is_numbered=True),
    Table("lanes", ("lane",)),
    Table("deliveries", ("id",), is_numbered=True),
    Table("attempts", ("id",), is_numbered=True),
    Table("facts", ("id",), is_numbered=True),
    Table("inbox", ("id",), is_numbered=True),
    Table("callbacks", ("id",), is_numbered=True),
    Table("tokens", ("id",), is_numbered=True),
    Table("requests", ("owner", "key")),
    Table("claims", ("owner", "key")),
    Table("target_health", ("target",)),
    Table("stop_switch", ("id",)),
    Table("meta", ("name",)),
)
STAYING: Final = frozenset({"executors", "migrations"})
"""What says something of this database and its processes, and not of what was promised."""
STAYING_IN_A_FLEET: Final = frozenset(
    {"shares", "pgqueuer", "pgqueuer_log", "pgqueuer_statistics", "pgqueuer_schedules"}
)
"""The same, on PostgreSQL: reserved slots, and tokens, which the first sweep issues anew."""
LEASE_COLUMNS: Final = frozenset({"lease_token", "leased_until", "executor_id"})
"""Of lanes: no runner's claim moves. What it had in flight is taken over, as after its death."""


class Phase(StrEnum):
    """Where a move stands, as the mark says; the target's is FILLING until it is live."""

    DRAINING = "draining"
    FENCED = "fenced"
    GONE = "gone"
    FILLING = "filling"


class Mark(NamedTuple):
    """What both sides remember of a move."""

    id: str
    place: str
    """Of the other side, without its password."""
    phase: Phase
    switch: Row | None = None
    """The source's own stop switch, while the move has its place."""

    def as_text(self) -> str:
        """Return it as `meta` holds it."""
        return json.dumps({**self._asdict(), "switch": self.switch and list(self.switch)})

    @classmethod
    def of_text(cls, text: str) -> Mark:
        """Read what `as_text` has written."""
        found = json.loads(text)
        switch = found["switch"]
        return cls(found["id"], found["place"], Phase(found["phase"]), None if switch is None else tuple(switch))


class Compared(NamedTuple):
    """One table, as both sides have it."""

    table: str
    rows: int
    checksum: str
    """32 hex digits over all columns of all rows, in whatever order."""


class Origin(NamedTuple):
    """Where a live database came from."""

    id: str
    place: str
    compared: tuple[Compared, ...]

    def as_text(self) -> str:
        """Return it as `meta` holds it."""
        return json.dumps(self._asdict())

    @classmethod
    def of_text(cls, text: str) -> Origin:
        """Read what `as_text` has written."""
        found = json.loads(text)
        return cls(found["id"], found["place"], tuple(Compared(*one) for one in found["compared"]))


class Side(Protocol):
    """A database at one end of a move. Everything here raises StoreError kin."""

    @property
    def place(self) -> str:
        """Where it is, as people read it; without secrets."""
        ...

    def columns(self, table: Table) -> Sequence[str]:
        """Return the table's columns by their names."""
        ...

    def rows(self, table: Table, columns: Sequence[str], *, after: Row | None = None) -> Iterator[Sequence[Row]]:
        """Yield the rows in the order of their keys, from behind one key on, in batches."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class Source(Side, Protocol):
    """The database that is left."""

    @property
    def uid(self) -> str:
        """The uid that moves with it."""
        ...

    def mark(self) -> Mark | None:
        """Return where its move stands, or None."""
        ...

    def drain(self, mark: Mark, *, now: datetime) -> Mark:
        """Stop deliveries and write the mark, in one transaction; return it with the stop switch that was there.

        What an earlier call has written stays, and is returned.
        """
        ...

    def fence(self, mark: Mark, *, now: datetime) -> int:
        """Let the database refuse every write from now on, unless requests are open: then return how many."""
        ...

    def give_up(self, mark: Mark) -> None:
        """Write that it can no longer be taken back. Raises Conflict when it was taken back already."""
        ...

    def take_back(self, mark: Mark) -> None:
        """Lift the fence, put the stop switch back as it was, and forget the move."""
        ...

    def given_out(self) -> Mapping[str, int]:
        """Return by table the highest id that was ever given out."""
        ...


class Target(Side, Protocol):
    """The database that is made, under the source's uid: whoever opens it meanwhile knows it by the right one."""

    def prepare(self, mark: Mark) -> Origin | None:
        """Keep everybody else from writing; or return its origin when this very move has made it live.

        What another, unfinished move of the same source has left there goes. Raises Conflict when it is in use.
        """
        ...

    def last(self, table: Table) -> Row | None:
        """Return the highest key that is there, or None."""
        ...

    def add(self, table: Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Store rows, all or none."""
        ...

    def clear(self) -> None:
        """Delete what was copied."""
        ...

    def go_live(self, origin: Origin, given_out: Mapping[str, int]) -> None:
        """Let everybody write, in one transaction."""
        ...


def move(
    source: Source, target: Target, *, new_id: Callable[[], str], clock: Clock, wait: timedelta, tell: Tell
) -> Origin:
    """Move all from `source` to `target`, or go on with what an earlier call has begun; return what was compared.

    `wait` bounds the wait for requests that are open; `tell` hears how it goes. Raises Conflict when the two cannot be
    moved or a request stays open, and StoreError kin.
    """
    mark = _begun(source, target, new_id)
    live = target.prepare(mark)
    if live is not None:
        tell(f"{target.place} is live already")
        return live
    if mark.phase in (Phase.FILLING, Phase.DRAINING):
        mark = _fenced(source, mark, clock=clock, wait=wait, tell=tell)
    tell(f"{source.place} takes no writes any more")
    _copy(source, target, mark, tell)
    origin = Origin(mark.id, source.place, tuple(_compared(source, target, mark, tell)))
    source.give_up(mark)
    target.go_live(origin, source.given_out())
    tell(f"{target.place} is live")
    return origin


def undo(source: Source) -> str:
    """Let the source go on as if nothing had been; return where it was to move. Raises Conflict when it is too late."""
    mark = source.mark()
    if mark is None:
        raise Conflict(f"no move of {source.place} is under way")
    if mark.phase is Phase.GONE:
        raise Conflict(
            f"{source.place} was given up: {mark.place} may be live",
            hint="run the move again to finish it; then move back",
        )
    source.take_back(mark)
    return mark.place


def checksum(rows: Iterable[Sequence[Row]]) -> tuple[int, int]:
    """Return the number of rows and the sum of their hashes: the same whatever their order, and wherever they are.

    A row's hash is over its values as Python writes them: whole numbers, texts and None.
    """
    from hashlib import blake2b

    count = total = 0
    for batch in rows:
        count += len(batch)
        for row in batch:
            text = repr(row).encode("utf-8", "surrogatepass")
            total += int.from_bytes(blake2b(text, digest_size=_CHECKSUM_BYTES).digest())
    return count, total % (1 << 8 * _CHECKSUM_BYTES)


# -- steps --------------------------------------------------------------------------------------------------


def _begun(source: Source, target: Target, new_id: Callable[[], str]) -> Mark:
    """Return the mark of the move that is under way, or of a new one; that is not written yet."""
    mark = source.mark()
    if mark is None:
        return Mark(new_id(), target.place, Phase.FILLING)
    if mark.phase is Phase.FILLING:
        raise Conflict(f"{source.place} is being filled by a move from {mark.place}", hint="finish that one first")
    if mark.place != target.place:
        raise Conflict(
            f"{source.place} is being moved to {mark.place}", hint="finish that move, or take it back with --undo"
        )
    return mark


def _fenced(source: Source, mark: Mark, *, clock: Clock, wait: timedelta, tell: Tell) -> Mark:
    """Drain the source and fence it; when it cannot be done in time, leave it as it was."""
    mark = source.drain(mark, now=clock.now())
    try:
        is_open = _waited(source, mark, clock=clock, wait=wait, tell=tell)
    except BaseException:
        source.take_back(mark)
        raise
    if is_open:
        source.take_back(mark)
        raise Conflict(
            f"{is_open} requests to targets are open, and their executors live",
            hint="stop the executors, or give them longer with --wait SECONDS; nothing was changed",
        )
    return mark._replace(phase=Phase.FENCED)


def _waited(source: Source, mark: Mark, *, clock: Clock, wait: timedelta, tell: Tell) -> int:
    """Fence the source as soon as no request is open; return how many still are when time is up."""
    until_s = clock.monotonic() + wait.total_seconds()
    said = 0
    while True:
        try:
            is_open = source.fence(mark, now=clock.now())
        except StoreBusy:  # those who write stood in its way
            if clock.monotonic() >= until_s:
                raise
            is_open = said
        else:
            if not is_open or clock.monotonic() >= until_s:
                return is_open
        if is_open != said:
            tell(f"waiting for {is_open} open requests")
            said = is_open
        threading.Event().wait(_LOOK_EVERY_S)


def _copy(source: Source, target: Target, mark: Mark, tell: Tell) -> None:
    for table in TABLES:
        columns = _columns(source, target, table)
        done = 0
        # What there is in `meta` was made with the target, and is written over.
        after = None if table.name == "meta" else target.last(table)
        for batch in _moving(source, table, columns, mark, after=after):
            target.add(table, columns, batch)
            done += len(batch)
            tell(f"copied {done} rows of {table.name}")


def _compared(source: Source, target: Target, mark: Mark, tell: Tell) -> Iterator[Compared]:
    for table in TABLES:
        columns = source.columns(table)
        here = checksum(_moving(source, table, columns, mark))
        there = checksum(_without_marks(table, columns, target.rows(table, columns)))
        if here != there:
            target.clear()
            raise StoreError(
                f"the copy of {table.name} differs: {here[0]} rows in {source.place}, {there[0]} in {target.place}",
                hint=f"it was deleted; {GO_ON}. If it stays so, --undo lets the source go on",
            )
        tell(f"compared {here[0]} rows of {table.name}: equal")
        yield Compared(table.name, here[0], f"{here[1]:0{2 * _CHECKSUM_BYTES}x}")


def _columns(source: Source, target: Target, table: Table) -> Sequence[str]:
    here, there = source.columns(table), target.columns(table)
    if here != there:
        odd = ", ".join(sorted(set(here) ^ set(there)))
        raise StoreError(
            f"{table.name} is not made alike in {source.place} and {target.place}: {odd}",
            hint="bring both to this version's schema with `db upgrade`",
        )
    return here


def _moving(
    source: Source, table: Table, columns: Sequence[str], mark: Mark, *, after: Row | None = None
) -> Iterator[Sequence[Row]]:
    """Yield the source's rows as they are to be in the target."""
    if table.name == "stop_switch":
        # The move's own switch stands in the source; a live one must not find it.
        return iter(() if mark.switch is None or after is not None else ((mark.switch,),))
    batches = _without_marks(table, columns, source.rows(table, columns, after=after))
    if table.name != "lanes":
        return batches
    kept = tuple(column not in LEASE_COLUMNS for column in columns)
    return (
        [tuple(value if keep else None for value, keep in zip(row, kept, strict=True)) for row in batch]
        for batch in batches
    )


def _without_marks(table: Table, columns: Sequence[str], batches: Iterable[Sequence[Row]]) -> Iterator[Sequence[Row]]:
    if table.name != "meta":
        return iter(batches)
    name = columns.index("name")
    return ([row for row in batch if row[name] not in _STAYING_META] for batch in batches)
