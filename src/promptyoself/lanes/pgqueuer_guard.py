"""PgQueuer's statements as this engine runs them: by owner, without a log, and asserted to be the known ones.

PgQueuer finds a job by its id alone when it says that its owner lives. A process that was stopped and comes back says
so of jobs that others have taken over meanwhile: here the statement asks for the owner too.
"""

from __future__ import annotations

import dataclasses
import re
from hashlib import sha256
from importlib.metadata import version
from typing import TYPE_CHECKING, Final
from uuid import UUID

from pgqueuer.adapters.persistence.qb import QueryQueueBuilder
from pgqueuer.domain.settings import DBSettings, Durability
from pgqueuer.domain.types import Channel, QueueEntrypoint, QueueManagerId

from promptyoself.domain import limits
from promptyoself.domain.errors import ConfigError

if TYPE_CHECKING:
    from pgqueuer.adapters.persistence.composer import ComposedQuery

_VERSION: Final = re.compile(r"1\.6\.\d+")
_KNOWN: Final = {
    "picks": "816ec3dd12d7f881",
    "says that an owner lives": "498103b786d8cdc3",
}
"""Digests of the statements that this engine was written for and tried with."""
_LOGGING: Final = re.compile(
    r",\n\n-- Record the pick in the log table\.\nlog_pick AS \(\n.*?\n\)\n(?=SELECT \* FROM claimed)", re.DOTALL
)
_ANSWER: Final = "SELECT * FROM claimed "
_SHORT_ANSWER: Final = "SELECT id, payload FROM claimed "
_NOBODY: Final = QueueManagerId(UUID(int=0))


def token_settings() -> DBSettings:
    """Return the names of PgQueuer's tables as our migration made them, whatever PGQUEUER_* says in the environment.

    What may be lost in a crash (the log, which this engine does not fill) is not written twice.
    """
    return DBSettings(
        prefix="",
        db_schema=None,
        channel=Channel("ch_pgqueuer"),
        function="fn_pgqueuer_changed",
        statistics_table="pgqueuer_statistics",
        queue_status_type="pgqueuer_status",
        queue_table="pgqueuer",
        queue_table_log="pgqueuer_log",
        trigger="tg_pgqueuer_changed",
        schedules_table="pgqueuer_schedules",
        durability=Durability.balanced,
    )


def assert_fits(*, installed: str | None = None, builder: QueryQueueBuilder | None = None) -> None:
    """Raise ConfigError unless the installed PgQueuer runs the statements that this engine relies upon."""
    installed = installed or version("pgqueuer")
    statements = _statements(builder or QueryQueueBuilder(settings=token_settings()))
    strange = [what for what, text in statements.items() if _digest(text) != _KNOWN[what]]
    if strange or not _VERSION.fullmatch(installed):
        what = f"the statement that {strange[0]} is another" if strange else "it was tried with 1.6 alone"
        raise ConfigError(
            f"PgQueuer {installed} is installed, and the engine of a fleet does not know it: {what}",
            hint="install promptyoself with its extra again: pip install 'promptyoself[fleet]'",
        )


class OwnedBuilder(QueryQueueBuilder):
    """PgQueuer's statements for one owner of tokens."""

    def __init__(self, owner: UUID) -> None:
        super().__init__(settings=token_settings())
        self._owner = owner

    def build_update_heartbeat_query(self) -> str:
        """Say that the owner lives, of tokens that are still its own.

        One that is locked is being given back by a transaction of lanes, which may hold several: waiting for it, with
        others locked already, would be waiting in a circle.
        """
        table = self.qualified.queue_table
        return (
            f"UPDATE {table} SET heartbeat = NOW() WHERE id IN ("  # noqa: S608  names and a number of our own
            f"SELECT id FROM {table} WHERE id = ANY($1::bigint[]) AND queue_manager_id = '{self._owner}' "
            "ORDER BY id FOR UPDATE SKIP LOCKED)"
        )

    def build_dequeue_query(self, **asked: object) -> ComposedQuery:
        """Pick tokens, and write no log of it: our journal says what became of each delivery.

        Of each its id and its lane are answered: reading the other columns took longer than all else at a pick.
        """
        query = super().build_dequeue_query(**asked)  # type: ignore[arg-type]  # passed on as they are
        return dataclasses.replace(query, sql=_LOGGING.sub("\n", query.sql).replace(_ANSWER, _SHORT_ANSWER))


def _statements(builder: QueryQueueBuilder) -> dict[str, str]:
    picks = builder.build_dequeue_query(
        batch_size=1,
        entrypoints=[QueueEntrypoint("any")],
        concurrency_limits=[0],
        queue_manager_id=_NOBODY,
        global_concurrency_limit=None,
        heartbeat_timeout=limits.FLEET_LEASE,
    )
    return {"picks": picks.sql, "says that an owner lives": builder.build_update_heartbeat_query()}


def _digest(text: str) -> str:
    return sha256(" ".join(text.split()).encode()).hexdigest()[:16]
