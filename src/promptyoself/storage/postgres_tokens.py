"""Lane tokens and shares on PostgreSQL: what the engine of a fleet asks of a transaction, besides `Tx`.

Every statement about tokens has the rows of their lanes in hand first (decision 0026). So what one transaction adds to
a lane and what another one sees at its last look can never pass each other; and of two transactions that have tokens of
the same lanes to write, one waits before it has written any.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from promptyoself.domain.shares import fair_share
from promptyoself.storage.postgres_statements import PostgresStatements
from promptyoself.storage.postgres_steps_rows import texts
from promptyoself.storage.rows import Values, micros
from promptyoself.storage.tx import page


class TokenStatements(PostgresStatements):
    """See `FleetTx` for what each method promises."""

    def issue_due_tokens(self, *, after: datetime, now: datetime, limit: int) -> int:
        """Issue what is missing for free lanes due later than `after` and not later than `now`; count them."""
        values: Values = {"after": micros(after), "now": micros(now), "limit": page(limit)}
        values["is_stopped"] = self._first("is_stopped", {"now": micros(now)}) is not None
        due = {row["lane"] for name in ("due_lanes", "due_lanes_of_ended_leases") for row in self._rows(name, values)}
        self._issue_tokens(due)
        return len(due)

    def drop_idle_tokens(self, *, now: datetime, limit: int) -> int:
        """Remove tokens that nobody has picked and whose lanes have nothing to do by `now`; count them."""
        idle = [row["lane"] for row in self._rows("idle_lanes", {"now": micros(now), "limit": page(limit)})]
        return self._change("drop_idle_tokens", {"lanes": idle, "now": micros(now)}) if idle else 0

    def claim_at(self, targets: Sequence[str]) -> None:
        """Say at which targets this transaction may claim some of what it plans."""
        self._kept.claims_at = targets

    def lanes_to_claim(self, *, now: datetime) -> list[str]:
        """Return lanes that are nobody's and in which nothing else is to be done than what was planned here."""
        planned = self._kept.planned
        return [lane for lane in planned.opened if planned.to_claim(lane, now=now) is not None]

    def give_back_token(self, token_id: int, *, lane: str, owner: str) -> bool:
        """Take a token out of `owner`'s hands; a lane that is due and free gets a new one, at the end of the queue."""
        self._execute(self._sql["lock_lanes"], {"lanes": [lane]})
        if not self._change("drop_token", {"id": token_id, "owner": owner}):
            return False
        self._kept.released.add(lane)
        return True

    def requeue_tokens(self, owner: str, *, but: Sequence[int]) -> int:
        """Put back in their places all tokens in `owner`'s hands except these; count them."""
        requeued = self._change("requeue_tokens", {"owner": owner, "but": list(but)})
        if requeued:
            self._rows("tell_of_tokens", {})
        return requeued

    def prune_token_log(self, *, before: datetime, limit: int) -> int:
        """Delete up to `limit` rows of what the carrier has noted, and of shares long run out; count them."""
        left = page(limit)
        for name in ("prune_token_log", "prune_token_statistics", "prune_shares"):
            if left:
                left -= self._change(name, {"before": micros(before), "limit": left})
        return page(limit) - left

    # -- shares ---------------------------------------------------------------------------------------------

    def share_of_target(
        self, target: str, *, executor_id: str, most: int, using: int, now: datetime, until: datetime
    ) -> int | None:
        """Reserve this executor's fair share of a target until `until`; None when others are dividing just now."""
        name = f"promptyoself/shares/{target}"
        if not self._try_names([name]):
            return None
        values: Values = {"target": target, "executor_id": executor_id, "now": micros(now), "until": micros(until)}
        others = {row["executor_id"]: int(row["reserved"]) for row in self._rows("live_shares", values)}
        left = max(0, most - sum(others.values()))
        fair = fair_share(most, executor_id, others)
        share = min(fair, left)
        had = self._first("share", values)
        reserved = min(max(share, using), left)
        self._change("keep_share", values | {"reserved": reserved, "most": most})
        # To those who wait for what was freed, or have more than their part now. Said once: it is heard here too.
        if had is None or int(had["reserved"]) != reserved:
            self._rows("tell_of_shares", {})
        return share

    def give_up_shares(self, executor_id: str) -> None:
        """Free all that an executor has reserved, and say so."""
        if self._change("give_up_shares", {"executor_id": executor_id}):
            self._rows("tell_of_shares", {})

    # -- tokens of what is written --------------------------------------------------------------------------

    def _write_lanes(self) -> None:
        """Write what was kept back of lanes; drop the tokens of those given back, and issue what is missing."""
        released = sorted(self._kept.released)
        lanes = sorted(self._kept.lanes.union(released))
        self._kept.released = set()
        super()._write_lanes()
        if released:  # their rows are in hand: giving a lane back has changed it
            self._execute(self._sql["drop_tokens"], {"lanes": texts(released)})
        known = self._wants_no_token(lanes)
        asked = [lane for lane in lanes if lane not in known]
        if asked and self._kept.planned.is_under_way:  # most are due: whether any is, is not asked before
            self._execute(self._sql["wake_lanes"], {"lanes": texts(asked)})
        elif asked:
            found = self._execute(self._sql["lanes_to_wake"], {"lanes": texts(asked)}).fetchall()
            self._issue_tokens(row["lane"] for row in found)

    def _wants_no_token(self, lanes: Sequence[str]) -> set[str]:
        """Return those lanes just written of which it is known here that they are somebody's, or not due."""
        del lanes
        return set()

    def _issue_tokens(self, lanes: Iterable[str]) -> None:
        """Issue tokens for lanes whose rows are in hand. Without any, nothing is told to anybody."""
        wanted = sorted(lanes)
        if wanted:
            self._execute(self._sql["issue_tokens"], {"lanes": wanted})
