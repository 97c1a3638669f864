"""Round trips of one transaction: which statements share one, and what goes out before the first.

The driver's way to end a pipeline (Sync, then Flush) stops the server's count of how long a transaction stands still,
until the next statement: a process that is stopped there keeps its locks for ever. So where anything is thought about
between two trips, the pipeline stays open from the first to the last, and each trip ends with a Sync alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from promptyoself.storage.postgres_errors import DRIVER_ERRORS

if TYPE_CHECKING:
    import psycopg

C = TypeVar("C")


class Trips:
    """The trips of one transaction on one connection. Exceptions of the driver come out as they are."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._begin: bytes | None = None
        self._begun: psycopg.Cursor[Any] | None = None
        self._is_under_way = False
        self._pipeline: psycopg.Pipeline | None = None
        self._open = ExitStack()

    @property
    def has_begun(self) -> bool:
        """False as long as the transaction is to begin with its first statement, and none was asked for."""
        return self._begin is None

    @property
    def are_open(self) -> bool:
        """Whether one pipeline lasts until the end of the transaction."""
        return self._pipeline is not None

    @property
    def is_under_way(self) -> bool:
        """Whether answers to what is asked come later."""
        return self._is_under_way

    @property
    def is_refused(self) -> bool:
        """Whether the server has refused to begin."""
        return self._begun is not None and self._begun.pgresult is None

    def begin_with_first(self, begin: bytes) -> None:
        """Send `begin` before the first statement, in one trip with it; the pipeline stays open from there."""
        self._begin = begin

    def keep_open(self) -> None:
        """Keep one pipeline open until the end of the transaction: each statement is awaited, unless within a trip."""
        if self._pipeline is None:
            self._pipeline = self._open.enter_context(self._connection.pipeline())

    def ask(self, execute: Callable[[], C]) -> C:
        """Execute a statement; within a trip its answer comes at the end of that, else it is there on return."""
        if self._begin is not None and not self._is_under_way:
            with self.one():
                return execute()
        cursor = execute()
        if self._pipeline is not None and not self._is_under_way:
            self._arrive(self._pipeline)
        return cursor

    @contextmanager
    def one(self, *, is_last: bool = False) -> Iterator[None]:
        """Send statements without waiting for each; what is looked at is waited for. Raises what failed first.

        Within another trip it is part of that one. After the last the pipeline is closed.
        """
        if self._is_under_way:
            yield
            return
        self._is_under_way = True
        try:
            if self._begin is not None:
                self._send_begin(self._begin)
            if self._pipeline is None:
                with self._connection.pipeline():
                    yield
                return
            try:
                yield
            except BaseException:
                self._drain(self._pipeline)
                raise
            if is_last:
                self.leave()
            else:
                self._arrive(self._pipeline)
        finally:
            self._is_under_way = False

    def leave(self) -> None:
        """Close the pipeline, if there is one: what comes next on this connection is executed as ever."""
        self._pipeline = None
        self._open.close()

    def _send_begin(self, begin: bytes) -> None:
        self._begin = None
        self.keep_open()
        self._begun = self._connection.execute(begin)

    def _arrive(self, pipeline: psycopg.Pipeline) -> None:
        try:
            pipeline.sync()
        except BaseException:
            self._drain(pipeline)
            raise

    def _drain(self, pipeline: psycopg.Pipeline) -> None:
        """Take what comes after a failure, so that what is asked next is answered."""
        with suppress(*DRIVER_ERRORS):
            pipeline.sync()
