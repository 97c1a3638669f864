"""The use case of a restore: say until when the old database was in use, and have no id given out twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from promptyoself.application.schedules import Caller
from promptyoself.domain import limits
from promptyoself.domain.access import Token
from promptyoself.domain.errors import Conflict, Forbidden, InvalidInput
from promptyoself.domain.models import Fact, FactKind
from promptyoself.domain.ports import Tx
from promptyoself.domain.ports_restored import DueBefore, IdsLeftOut


class Restored(NamedTuple):
    """A database that is ready for its first node."""

    in_use_until: datetime
    was_known_until: datetime | None
    """What an earlier call had written; None when this is the first since the database was made."""
    due: DueBefore
    ids: Sequence[IdsLeftOut]
    tokens: Sequence[Token]
    """Those that are valid now, by id, at most LIST_MAX."""


def note_restored(tx: Tx, *, in_use_until: datetime | None, location: str, caller: Caller, now: datetime) -> Restored:
    """Make a database that was restored from a copy safe to start on; to say so twice does no harm. Operators only.

    `in_use_until` is an instant at which no node used it any more (aware UTC; None: now), and no later than `now`. What
    the journal tells, or an earlier call has said, may move it on, never back. `location` is for sentences. Raises
    InvalidInput, Forbidden, and Conflict while an executor may be at work or when nothing was ever stored.
    """
    if not caller.is_operator:
        raise Forbidden("a restore is for operators to tell of", hint="ask an operator")
    if in_use_until is not None and in_use_until > now:
        raise InvalidInput(
            f"the old database cannot have been in use until {in_use_until.isoformat()}, which is still to come",
            hint="give the instant at which its last node was stopped, or leave --in-use-until out: now",
        )
    tx.keep_executors_out()
    _refuse_while_at_work(tx, now=now)
    last_used_at = tx.newest_fact_at()
    if last_used_at is None:
        raise Conflict(
            f"nothing has ever been stored in {location}: it is not the database that was restored",
            hint="promptyoself config shows which database is meant; set PROMPTYOSELF_DB, or give --db",
        )
    known = tx.in_use_until()
    until = max(in_use_until or now, last_used_at, known or last_used_at)
    tx.set_in_use_until(until)
    ids = tx.leave_ids_out(least=limits.IDS_LEFT_OUT_MIN, most=limits.IDS_LEFT_OUT_MAX)
    due = tx.due_before(until)
    detail: dict[str, str | int | bool | None] = {"until": until.isoformat(), "count": due.deliveries}
    tx.add_fact(Fact(kind=FactKind.RESTORED, at=now, actor=caller.label, detail=detail))
    return Restored(until, known, due, ids, tx.tokens(live_at=now))


def _refuse_while_at_work(tx: Tx, *, now: datetime) -> None:
    gone_at = tx.lanes_held(now=now)
    for one in tx.executors(alive_since=now - limits.EXECUTOR_ALIVE_FOR):
        gone_at[one.id] = max(one.heartbeat_at + limits.EXECUTOR_ALIVE_FOR, gone_at.get(one.id, now))
    if gone_at:
        raise Conflict(
            f"{_named(gone_at)} may be at work: it gave a sign of life not long ago",
            hint="stop every node, then say this again. What was stopped, or runs on another database, counts as gone "
            f"after {_second_after(max(gone_at.values())).isoformat()}",
        )


def _named(executors: Mapping[str, datetime]) -> str:
    first, *others = sorted(executors)
    return f"executor {first}" + (f", with {len(others)} more," if others else "")


def _second_after(at: datetime) -> datetime:
    return at.replace(microsecond=0) + timedelta(seconds=1)
