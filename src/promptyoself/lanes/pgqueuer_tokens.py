"""The tokens in this process's hands: picked and kept alive by PgQueuer's statements."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypedDict, cast
from uuid import UUID

from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.types import JobId, QueueEntrypoint, QueueManagerId

from promptyoself.domain.values import dataclass
from promptyoself.lanes.pgqueuer_driver import TokenDriver
from promptyoself.lanes.pgqueuer_guard import OwnedBuilder

if TYPE_CHECKING:
    from pgqueuer.ports.driver import Driver

CHANNEL: Final = "ch_pgqueuer"
"""On which PgQueuer's trigger tells of every change to the tokens."""
_NEVER: Final = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Token:
    """A token in our hands, for one lane."""

    id: int
    lane: str


class _Picked(TypedDict):
    id: int
    payload: bytes | None


class Tokens:
    """Picks tokens for one owner. A target is an entrypoint of PgQueuer: one that refuses all is not picked for."""

    def __init__(self, conninfo: str, owner: UUID, lease: timedelta) -> None:
        self._driver = TokenDriver(conninfo)
        self._lease: Final = lease
        self._owner: Final = QueueManagerId(owner)
        self._builder: Final = OwnedBuilder(owner)
        self._queries = Queries(cast("Driver", self._driver), qbq=self._builder)

    async def pick(self, target: str, *, most: int, with_abandoned: bool) -> list[Token]:
        """Pick up to `most` tokens of a target, those that have waited longest first.

        With abandoned ones: those whose owner has given no sign of life for the length of a lease.
        """
        # Not by PgQueuer's own `dequeue`: it makes a validated model of each row.
        query = self._builder.build_dequeue_query(
            batch_size=most,
            entrypoints=[QueueEntrypoint(target)],
            concurrency_limits=[0],  # none
            queue_manager_id=self._owner,
            global_concurrency_limit=None,
            heartbeat_timeout=self._lease if with_abandoned else _NEVER,
        )
        rows = cast("list[_Picked]", await self._driver.fetch(query.sql, *query.args))
        return [Token(row["id"], (row["payload"] or b"").decode()) for row in rows]

    async def say_alive(self, tokens: Collection[int]) -> None:
        """Keep these tokens, as far as they are still ours."""
        if tokens:
            await self._queries.update_heartbeat([JobId(token) for token in tokens])

    async def renew(self) -> None:
        """Ask on another connection from here on."""
        await self._driver.renew()

    async def close(self) -> None:
        """Close the connection."""
        await self._driver.close()


def is_issue(notice: str) -> bool:
    """Return whether a notice of PgQueuer's trigger may tell of a new token."""
    return '"insert"' in notice
