"""Use case of an agent that asks what it is working on now, how late that came, and what comes next."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from promptyoself.domain import limits
from promptyoself.domain.errors import Forbidden
from promptyoself.domain.models import IN_FLIGHT_STATES, Delivery, DeliveryState, Schedule, ScheduleState
from promptyoself.domain.outlook import next_to_send
from promptyoself.domain.ports import DeliveryFilter, ScheduleFilter

if TYPE_CHECKING:
    from promptyoself.application.schedules import Caller
    from promptyoself.domain.ports import Tx


class Coming(NamedTuple):
    """A schedule and the instant (aware UTC) at which it is sent next."""

    at: datetime
    schedule: Schedule


class OnTime(NamedTuple):
    """How an agent stands against its schedules."""

    delivery: Delivery | None
    """What the agent is working on: the newest that its target has, or may have; None when there is none."""
    schedule: Schedule | None
    late: timedelta | None
    """How long after its planned instant it arrived, so far as is known by now."""
    others: int
    """Further deliveries in flight to this agent, in other conversations or at other targets."""
    waiting: int
    """Deliveries that are due and wait for their turn; ON_TIME_WAITING_MAX at most are counted."""
    unread: int
    """Messages in its mailbox that were not acknowledged; ON_TIME_WAITING_MAX at most are counted."""
    coming: list[Coming]
    """The next fire times of all its schedules, NEXT_RUNS_SHOWN at most."""


def on_time(tx: Tx, agent_id: str, *, caller: Caller, now: datetime) -> OnTime:
    """Return how the agent stands at `now` (aware UTC). Raises Forbidden for another's agent."""
    if not caller.is_operator and caller.owner != agent_id:
        raise Forbidden("an agent may ask for itself only", hint="leave --agent-id out")
    flying = _listed(tx, agent_id, *IN_FLIGHT_STATES)
    delivery = max(flying, key=lambda one: (one.sent_at or one.due_at, one.id), default=None)
    waiting = [one for one in _listed(tx, agent_id, DeliveryState.PENDING) if one.due_at <= now]
    return OnTime(
        delivery=delivery,
        schedule=tx.schedule(delivery.schedule_id) if delivery else None,
        late=_late(delivery, now=now) if delivery else None,
        others=max(0, len(flying) - 1),
        waiting=len(waiting),
        unread=len(tx.messages(agent_id, limit=limits.ON_TIME_WAITING_MAX)),
        coming=_coming(tx, agent_id),
    )


def _listed(tx: Tx, agent_id: str, *states: DeliveryState) -> list[Delivery]:
    return tx.deliveries(DeliveryFilter(agent_id=agent_id, states=states, limit=limits.ON_TIME_WAITING_MAX))


def _late(delivery: Delivery, *, now: datetime) -> timedelta:
    """Return the lateness; before the target has said that it accepts, as if the prompt had come when it was sent."""
    if delivery.lateness is not None:
        return delivery.lateness
    return max(timedelta(0), (delivery.sent_at or now) - delivery.planned_at)


def _coming(tx: Tx, agent_id: str) -> list[Coming]:
    where = ScheduleFilter(agent_id=agent_id, states=(ScheduleState.ACTIVE,), limit=limits.LIST_MAX)
    found = ((next_to_send(one), one) for one in tx.schedules(where))
    ahead = sorted((at, one.id, one) for at, one in found if at is not None)
    return [Coming(at, one) for at, _, one in ahead[: limits.NEXT_RUNS_SHOWN]]
