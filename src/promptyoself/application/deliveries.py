"""Use cases of deliveries: list, retry by hand, the inbox, and the journal that `why` answers from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from promptyoself.application.schedules import Caller, check_allowance
from promptyoself.domain import limits, retry
from promptyoself.domain.errors import Conflict, DeliveryNotFound, Forbidden, NotFound
from promptyoself.domain.models import Delivery, DeliveryState, Fact, FactKind, InboxMessage, ScheduleState
from promptyoself.domain.ports import DeliveryFilter, Tx
from promptyoself.domain.values import replace

_BATCH = 100
_REVIVABLE = (DeliveryState.DEAD, DeliveryState.SKIPPED, DeliveryState.CANCELLED)


def listed(
    tx: Tx,
    *,
    caller: Caller,
    agent_id: str | None = None,
    schedule_id: int | None = None,
    states: Sequence[DeliveryState] | None = None,
    before_id: int | None = None,
    limit: int = 100,
) -> Sequence[Delivery]:
    """Return deliveries, newest first, those before `before_id`; an agent's own, none when it names another."""
    most = min(limit, limits.LIST_MAX)
    where = DeliveryFilter(schedule_id=schedule_id, agent_id=agent_id, states=states, before_id=before_id, limit=most)
    if caller.is_operator:
        return tx.deliveries(where)
    return _own(tx, replace(where, agent_id=caller.owner), caller) if agent_id in {None, caller.owner} else []


def _own(tx: Tx, where: DeliveryFilter, caller: Caller) -> list[Delivery]:
    """Return a full page without what went out to another agent, before the schedule was this one's."""
    found: list[Delivery] = []
    batch = max(where.limit, _BATCH)
    for _ in range(limits.LIST_MAX):
        rows = tx.deliveries(replace(where, limit=batch))
        found += [one for one in rows if caller.may_see(one)]
        if len(rows) < batch or len(found) >= where.limit:
            break
        where = replace(where, before_id=rows[-1].id)
    return found[: where.limit]


def find(tx: Tx, delivery_id: int, *, caller: Caller) -> Delivery:
    """Return a delivery the caller may touch. Raises DeliveryNotFound for others', too."""
    delivery = tx.delivery(delivery_id)
    schedule = tx.schedule(delivery.schedule_id) if delivery else None
    is_theirs = delivery is not None and schedule is not None and caller.may_touch(schedule)
    if delivery is None or not is_theirs or not caller.may_see(delivery):
        raise DeliveryNotFound(
            f"delivery {delivery_id} was not found", hint="promptyoself deliveries shows the newest and their ids"
        )
    return delivery


def retry_by_hand(tx: Tx, delivery_id: int, *, caller: Caller, now: datetime) -> Delivery:
    """Revive a dead, skipped or cancelled delivery: due at once, with all its attempts again.

    Raises Conflict for one that was delivered (run-now sends the prompt again) or is still on its way.
    """
    delivery = find(tx, delivery_id, caller=caller)
    if delivery.state not in _REVIVABLE:
        if delivery.state is DeliveryState.DELIVERED:
            hint = f"promptyoself run-now --id {delivery.schedule_id} sends the prompt again"
        else:
            hint = "it is still on its way; nothing needs to be done"
        raise Conflict(f"delivery {delivery_id} is {delivery.state} and cannot be retried", hint=hint)
    if not caller.is_operator:
        check_allowance(tx, caller.owner, now=now)
    schedule = tx.schedule(delivery.schedule_id)
    if schedule is None or schedule.state is ScheduleState.CANCELLED:
        raise Conflict(f"schedule {delivery.schedule_id} is cancelled", hint="register it again to run it")
    if delivery.lane != schedule.lane:
        raise Conflict(
            f"delivery {delivery_id} was for another agent, target or conversation than schedule {schedule.id} is now",
            hint=f"promptyoself run-now --id {schedule.id} sends the prompt as it is now",
        )
    revived = retry.revive(delivery, now=now, retry_for=schedule.definition.policy.retry_for)
    tx.save_delivery(revived, was=delivery)
    tx.add_fact(
        Fact(kind=FactKind.RETRIED, at=now, schedule_id=schedule.id, delivery_id=delivery.id, actor=caller.label)
    )
    return revived


def inbox(
    tx: Tx, agent_id: str, *, caller: Caller, include_acked: bool = False, limit: int = 100
) -> list[InboxMessage]:
    """Return an agent's messages, oldest first; read ones only on request."""
    if not caller.is_operator and caller.owner != agent_id:
        raise Forbidden("an agent may read its own inbox only", hint="leave --agent-id out")
    return tx.messages(agent_id, include_acked=include_acked, limit=min(limit, limits.LIST_MAX))


def ack(tx: Tx, message_id: int, *, caller: Caller, now: datetime) -> InboxMessage:
    """Mark a message as read; again changes nothing. Raises NotFound."""
    mine = None if caller.is_operator else caller.owner
    message = tx.ack_message(message_id, agent_id=mine, now=now)
    if message is None:
        raise NotFound(f"message {message_id} was not found", hint="promptyoself inbox shows messages and their ids")
    return message


def facts(tx: Tx, schedule_id: int, *, limit: int = 200) -> list[Fact]:
    """Return the newest facts of a schedule, oldest of them first."""
    return tx.facts(schedule_id=schedule_id, limit=limit)
