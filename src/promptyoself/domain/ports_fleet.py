"""What an engine of many machines asks of its store besides `Tx`: lane tokens, and shares of what a target may take.

A lane token wakes somebody to run a lane; it stands in the database while the lane is due, and free or in somebody's
hands. Who may send is decided by the lane's lease alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from promptyoself.domain.ports import Tx


class FleetTx(Tx, Protocol):
    """One transaction of a store that keeps lane tokens: every write that makes a lane due has issued its token."""

    def issue_due_tokens(self, *, after: datetime, now: datetime, limit: int) -> int:
        """Issue what is missing for free lanes due later than `after` and not later than `now`; count them.

        A lane whose lease has run out is free. One that another transaction holds is left to it. While all deliveries
        are stopped, only lanes with something in flight get one.
        """
        ...

    def claim_at(self, targets: Sequence[str]) -> None:
        """Say at which targets this transaction may claim some of what it plans: see `lanes_to_claim`."""
        ...

    def lanes_to_claim(self, *, now: datetime) -> list[str]:
        """Return lanes that are nobody's and for each of which one prompt, due by `now`, is all that there is to do.

        It was planned in this transaction, which leases and claims it as ever. Where somebody was quicker, the commit
        raises StoreBusy, and nothing is stored. None where more than FLEET_CLAIMED_AT_ONCE_MAX schedules are due, so
        that all nodes have their part of many; nor while deliveries are stopped, or tokens of their target wait in the
        queue: nobody who waits is overtaken.
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
