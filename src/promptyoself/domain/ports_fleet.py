"""What an engine of many machines asks of its store besides `Tx`: lane tokens, and shares of what a target may take.

A lane token wakes somebody to run a lane; it stands in the database while the lane is due, and free or in somebody's
hands. Who may send is decided by the lane's lease alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from promptyoself.domain.ports import Tx


@dataclass(slots=True)
class OwnPicks:
    """What a node that plans would run at once of what it plans; and what it was given."""

    owner: str
    targets: Sequence[str]
    """Those at which it has slots free for FLEET_PICKED_AT_ONCE_MAX more."""
    picked: list[tuple[int, str]] = field(default_factory=list)
    """Ids and lanes of tokens that are in its hands since the commit."""


class FleetTx(Tx, Protocol):
    """One transaction of a store that keeps lane tokens: every write that makes a lane due has issued its token."""

    def issue_due_tokens(self, *, after: datetime, now: datetime, limit: int) -> int:
        """Issue what is missing for free lanes due later than `after` and not later than `now`; count them.

        A lane whose lease has run out is free. One that another transaction holds is left to it. While all deliveries
        are stopped, only lanes with something in flight get one.
        """
        ...

    def pick_at_once(self, picks: OwnPicks) -> None:
        """Put tokens that this transaction issues by planning into their planner's hands from the start.

        Only where it issues few, so that all nodes have their part of many, and where no other of their target waits in
        the queue. `picks` tells after the commit which.
        """
        ...

    def drop_idle_tokens(self, *, now: datetime, limit: int) -> int:
        """Remove tokens that nobody has picked and whose lanes have nothing to do by `now`; count them."""
        ...

    def give_back_token(self, token_id: int, *, lane: str, owner: str) -> bool:
        """Take a token out of `owner`'s hands; a lane that is due and free gets a new one, at the end of the queue.

        False when it is no longer theirs: nothing has changed then.
        """
        ...

    def requeue_tokens(self, owner: str, *, but: Sequence[int]) -> int:
        """Put back in their places all tokens in `owner`'s hands except these; count them."""
        ...

    def prune_token_log(self, *, before: datetime, limit: int) -> int:
        """Delete up to `limit` rows of what the carrier of the tokens has noted, older than `before`; count them."""
        ...

    def share_of_target(
        self, target: str, *, executor_id: str, most: int, using: int, now: datetime, until: datetime
    ) -> int | None:
        """Reserve this executor's fair share of the `most` requests that may be open at a target, until `until`.

        All live reservations together never exceed `most`. `using` is what it has open, or may open at any moment: so
        much stays reserved, even when the share that is answered is smaller. None when others are dividing just now.
        """
        ...

    def give_up_shares(self, executor_id: str) -> None:
        """Free all that an executor has reserved."""
        ...
