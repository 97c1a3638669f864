"""Lists by what is sent next: a page costs what it shows, however many schedules there are."""

from __future__ import annotations

from datetime import datetime

from promptyoself.application.schedules import Caller, visible
from promptyoself.domain import limits
from promptyoself.domain.models import Schedule, ScheduleState
from promptyoself.domain.outlook import next_to_send
from promptyoself.domain.ports import ScheduleFilter, Tx
from promptyoself.domain.values import replace


def soonest(
    tx: Tx,
    *,
    caller: Caller,
    agent_id: str | None,
    include_finished: bool,
    wanted: ScheduleFilter,
    limit: int | None,
) -> tuple[list[Schedule], int]:
    """Return what is to be sent next, the soonest first, then what is not, the newest first; and how many there are.

    At most `limit` of them, and LIST_MAX; so far they are counted, too. Otherwise as `listed`.
    """
    if not caller.is_operator and agent_id not in {None, caller.owner}:
        return [], 0
    where = visible(wanted, caller=caller, agent_id=agent_id, include_finished=include_finished)
    most = limits.LIST_MAX if limit is None else min(limit, limits.LIST_MAX)
    if where.agent_id is not None or where.owner is not None:
        # One agent's, or one owner's, are found by their own index, and are few.
        found = sorted(tx.schedules(replace(where, limit=limits.LIST_MAX)), key=_next_to_send)
        return found[:most], len(found)
    count = tx.schedules_counted(replace(where, limit=limits.LIST_MAX))
    is_any_active = where.states is None or ScheduleState.ACTIVE in where.states
    first = _soonest_active(tx, where, most) if is_any_active else []
    if len(first) < most and where.next_from is None and where.next_until is None:
        first += tx.schedules_resting(replace(where, limit=most - len(first)))
    return first, count


def _soonest_active(tx: Tx, where: ScheduleFilter, most: int) -> list[Schedule]:
    """Return active schedules by what each sends next: a fire time that is skipped lets others come before it."""
    room = min(2 * most + 20, limits.LIST_MAX)
    while True:
        found = tx.schedules_soonest(replace(where, limit=room))
        first = sorted(found, key=_next_to_send)[:most]
        is_all = len(found) < room or room == limits.LIST_MAX or not first
        if is_all or _next_to_send(first[-1]) <= _next_to_send_at_best(found[-1]):
            return first
        room = min(4 * room, limits.LIST_MAX)


def _next_to_send(stored: Schedule) -> tuple[bool, datetime, int]:
    at = next_to_send(stored) if stored.state is ScheduleState.ACTIVE else None
    return (True, limits.INSTANT_MIN, -stored.id) if at is None else (False, at, stored.id)


def _next_to_send_at_best(stored: Schedule) -> tuple[bool, datetime, int]:
    return False, stored.next_fire_at or limits.INSTANT_MIN, stored.id
