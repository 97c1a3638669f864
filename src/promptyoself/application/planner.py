"""The planner: makes due schedules into deliveries, in one transaction a batch.

A fire time becomes a delivery and the schedule moves on in the same commit, so a crash between the two cannot
happen; the delivery's UNIQUE key makes a second planner's attempt harmless.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from promptyoself.application.ends import complete_if_over
from promptyoself.domain import guard, limits
from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.keys import idempotency_key
from promptyoself.domain.models import (
    OPERATOR,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Fact,
    FactKind,
    NewDelivery,
    Schedule,
    ScheduleState,
)
from promptyoself.domain.planning import Opening, Plan, fire_after_pause, plan
from promptyoself.domain.ports import Clock, Tx, Writer
from promptyoself.domain.values import dataclass, replace

_log = logging.getLogger(__name__)

ACTOR = "planner"


@dataclass(frozen=True, slots=True)
class PassReport:
    """What one pass did."""

    planned: int
    opened: int


async def plan_pass(writer: Writer, clock: Clock, *, store_uid: str) -> PassReport:
    """Plan every schedule that is due now; batches of SCHEDULES_PER_PASS_MAX, each one transaction.

    The time is read once, so a pass ends: what comes due meanwhile is the next pass's.
    """
    now = clock.now()
    planned = opened = 0
    while True:
        batch = await writer.write(lambda tx: plan_batch(tx, now=now, store_uid=store_uid))
        planned += batch.planned
        opened += batch.opened
        if batch.planned < limits.SCHEDULES_PER_PASS_MAX:
            break
    if planned:
        _log.info("planner.pass planned=%d opened=%d", planned, opened)
    return PassReport(planned, opened)


async def plan_due(
    writer: Writer,
    clock: Clock,
    *,
    store_uid: str,
    most: int = limits.SCHEDULES_PER_PASS_MAX,
    looks_first: bool = True,
    first: Callable[[Tx], object] | None = None,
    then: Callable[[Tx], object] | None = None,
) -> int:
    """Plan a batch of due schedules, at most `most`, and say how many it held.

    `first` is run before and `then` after it, in the same transaction.
    With `looks_first` there is a look without a write when none is due: at a file a writing transaction keeps others
    waiting. Where it does not, the look would only make what is due later.
    """
    now = clock.now()
    if looks_first and not await writer.read(lambda tx: tx.schedules_due(now=now, limit=1)):
        return 0

    def act(tx: Tx) -> int:
        if first is not None:
            first(tx)
        planned = plan_batch(tx, now=now, store_uid=store_uid, most=most).planned
        if then is not None:
            then(tx)
        return planned

    return await writer.write(act)


def plan_batch(tx: Tx, *, now: datetime, store_uid: str, most: int = limits.SCHEDULES_PER_PASS_MAX) -> PassReport:
    """Plan one batch of due schedules, at most `most`, in the caller's transaction."""
    due = tx.schedules_due(now=now, limit=most)
    opened = 0
    for schedule in due:
        try:
            opened += _plan_or_resume(tx, schedule, now=now, store_uid=store_uid)
        except InvalidInput as error:  # its zone left the machine's data, say: the others must not wait for it
            _pause(tx, replace(schedule, updated_at=now), f"its rule cannot be read: {error}", actor=ACTOR, now=now)
    return PassReport(len(due), opened)


def bring_up_to_date(tx: Tx, schedule: Schedule, *, now: datetime, store_uid: str) -> Schedule:
    """Do for one schedule in the caller's transaction what a pass would now, if it is due; return it as it is then."""
    _plan_or_resume(tx, schedule, now=now, store_uid=store_uid)
    return tx.schedule(schedule.id) or schedule


def _plan_or_resume(tx: Tx, schedule: Schedule, *, now: datetime, store_uid: str) -> int:
    if schedule.state is ScheduleState.PAUSED:
        schedule = resume(tx, schedule, now=now, actor=ACTOR)
    is_due = schedule.next_fire_at is not None and schedule.next_fire_at <= now
    return _plan_one(tx, schedule, now=now, store_uid=store_uid) if is_due else 0


def _pause(tx: Tx, schedule: Schedule, reason: str, *, actor: str, now: datetime) -> None:
    reason = reason[: limits.REASON_CHARS_MAX]
    tx.save_schedule(replace(schedule, state=ScheduleState.PAUSED, state_reason=reason, paused_until=None))
    detail: dict[str, str | int | bool | None] = {"reason": reason}
    tx.add_fact(Fact(kind=FactKind.PAUSED, at=now, schedule_id=schedule.id, actor=actor, detail=detail))


def resume(tx: Tx, schedule: Schedule, *, now: datetime, actor: str) -> Schedule:
    """Let a paused schedule go on: fire times of the pause are gone, a one-off arrives late (planning says from when).

    What was due and unsent when the pause began goes out now, with its time for retries anew.
    """
    active = replace(
        schedule,
        state=ScheduleState.ACTIVE,
        state_reason=None,
        paused_until=None,
        finals_in_row=0,
        next_fire_at=fire_after_pause(schedule, paused_until=schedule.paused_until, now=now),
        updated_at=now,
    )
    tx.save_schedule(active)
    for delivery in tx.unfinished_deliveries(schedule.id):
        if delivery.state is DeliveryState.PENDING:
            retry_until = max(now, delivery.planned_at) + schedule.definition.policy.retry_for
            fresh = replace(delivery, retry_until=retry_until)
            tx.save_delivery(fresh, was=delivery)
    tx.add_fact(Fact(kind=FactKind.RESUMED, at=now, schedule_id=schedule.id, actor=actor))
    return complete_if_over(tx, active, now=now)


def _plan_one(tx: Tx, schedule: Schedule, *, now: datetime, store_uid: str) -> int:
    unfinished = tx.unfinished_deliveries(schedule.id)
    decided = plan(schedule, unfinished=unfinished, now=now, allowance=_allowance(tx, schedule, now=now))
    _supersede(tx, decided, now=now)
    opened = 0
    number = max(0, schedule.fire_count - len(decided.superseded))
    for opening in decided.openings:
        number += opening.skip_reason is None
        opened += _open(tx, schedule, opening, number=number, now=now, store_uid=store_uid)
    _note_passed_over(tx, schedule, decided, now=now)
    moved = replace(
        schedule,
        next_fire_at=decided.next_fire_at,
        last_fire_at=decided.openings[-1].fire_at if decided.openings else schedule.last_fire_at,
        fire_count=decided.fire_count,
        updated_at=now,
    )
    if decided.pause_reason is not None:
        _pause(tx, moved, decided.pause_reason, actor="guard", now=now)
        return opened
    tx.save_schedule(moved)
    complete_if_over(tx, moved, now=now)
    return opened


def _allowance(tx: Tx, schedule: Schedule, *, now: datetime) -> int | None:
    owner = schedule.provenance.owner
    if owner == OPERATOR:
        return None
    return guard.allowance(tx.guard_usage(owner, since=now - timedelta(hours=1)))


def _supersede(tx: Tx, decided: Plan[Delivery], *, now: datetime) -> None:
    for old in decided.superseded:
        gone = replace(
            old, state=DeliveryState.SKIPPED, reason="superseded by the next fire time", finished_at=now, due_at=now
        )
        tx.save_delivery(gone, was=old)
        tx.add_fact(
            Fact(kind=FactKind.SUPERSEDED, at=now, schedule_id=old.schedule_id, delivery_id=old.id, actor=ACTOR)
        )


def _open(tx: Tx, schedule: Schedule, opening: Opening, *, number: int, now: datetime, store_uid: str) -> int:
    """Store one occurrence; answer 1 when it is to be delivered."""
    is_skipped = opening.skip_reason is not None
    new = NewDelivery(
        schedule_id=schedule.id,
        revision=schedule.revision,
        kind=DeliveryKind.SCHEDULED,
        target=schedule.definition.target,
        lane=schedule.lane,
        key=idempotency_key(
            store_uid,
            schedule.uid,
            revision=schedule.revision,
            kind=DeliveryKind.SCHEDULED,
            fire_at=opening.fire_at,
        ),
        fire_at=opening.fire_at,
        planned_at=opening.planned_at,
        fire_number=max(1, number),
        missed=opening.missed,
        state=DeliveryState.SKIPPED if is_skipped else DeliveryState.PENDING,
        reason=opening.skip_reason,
        created_at=now,
    )
    retry_until = max(now, opening.planned_at) + schedule.definition.policy.retry_for
    delivery = tx.add_delivery(new, retry_until=retry_until)
    if delivery is None:  # there already: an earlier pass of another process made it
        return 0
    tx.add_fact(
        Fact(
            kind=FactKind.SKIPPED if is_skipped else FactKind.FIRED,
            at=now,
            schedule_id=schedule.id,
            delivery_id=delivery.id,
            actor=ACTOR,
            detail={"reason": opening.skip_reason} if is_skipped else {"missed": opening.missed},
        )
    )
    return 0 if is_skipped else 1


def _note_passed_over(tx: Tx, schedule: Schedule, decided: Plan[Delivery], *, now: datetime) -> None:
    if not decided.passed_over:
        return
    tx.add_fact(
        Fact(
            kind=FactKind.SKIPPED,
            at=now,
            schedule_id=schedule.id,
            actor=ACTOR,
            detail={"reason": decided.passed_over_reason, "count": decided.passed_over},
        )
    )
