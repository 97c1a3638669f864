"""Builders for tests: each makes a valid thing, and takes by keyword what the test is about."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from promptyoself.domain import limits
from promptyoself.domain.models import (
    Definition,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Fact,
    FactKind,
    InboxMessage,
    NewDelivery,
    Provenance,
    Schedule,
    ScheduleState,
)
from promptyoself.domain.ports import NewSchedule
from promptyoself.domain.triggers import Trigger, TriggerKind

NOW: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""A Monday, nine o'clock UTC: the hour at which tests begin."""
AGENT: Final = "agent-11111111-1111-4111-8111-111111111111"
MINUTE: Final = timedelta(minutes=1)


def a_trigger(**changes: Any) -> Trigger:  # noqa: ANN401  any field of a Trigger
    """Every five minutes from NOW."""
    trigger = Trigger(kind=TriggerKind.INTERVAL, expression="5m", timezone="UTC", anchor_at=NOW)
    return replace(trigger, **changes)


def a_definition(**changes: Any) -> Definition:  # noqa: ANN401  any field of a Definition
    """A prompt to AGENT's inbox every five minutes."""
    return replace(Definition(agent_id=AGENT, prompt="stretch", trigger=a_trigger(), target="inbox"), **changes)


def a_new_schedule(uid: str = "uid-1", **changes: Any) -> NewSchedule:  # noqa: ANN401  fields of NewSchedule or Definition
    """A schedule about to be stored, by the operator, at NOW; fields of its definition may be given directly."""
    own = {name: changes.pop(name) for name in ("provenance", "next_fire_at", "created_at") if name in changes}
    definition = changes.pop("definition", None) or a_definition(**changes)
    new = NewSchedule(
        uid=uid, definition=definition, provenance=Provenance(), next_fire_at=NOW + 5 * MINUTE, created_at=NOW
    )
    return replace(new, **own)


def a_schedule(**changes: Any) -> Schedule:  # noqa: ANN401  any field of a Schedule
    """An active schedule, number 1, made at NOW, that fires first five minutes later."""
    schedule = Schedule(
        id=1,
        uid="uid-1",
        definition=a_definition(),
        provenance=Provenance(),
        revision=1,
        state=ScheduleState.ACTIVE,
        state_reason=None,
        paused_until=None,
        next_fire_at=NOW + 5 * MINUTE,
        last_fire_at=None,
        fire_count=0,
        finals_in_row=0,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(schedule, **changes)


def a_new_delivery(schedule: Schedule | None = None, **changes: Any) -> NewDelivery:  # noqa: ANN401  any field
    """An occurrence of `schedule` (or of a_schedule) at NOW; another `fire_at` moves planned_at and key with it."""
    schedule = schedule or a_schedule()
    fire_at = changes.get("fire_at", NOW)
    new = NewDelivery(
        schedule_id=schedule.id,
        revision=schedule.revision,
        kind=DeliveryKind.SCHEDULED,
        target=schedule.definition.target,
        lane=schedule.lane,
        key=f"key-{schedule.id}-{schedule.revision}-{fire_at:%Y%m%dT%H%M%S.%f}",
        fire_at=fire_at,
        planned_at=fire_at,
        fire_number=1,
        created_at=NOW,
    )
    return replace(new, **changes)


def a_delivery(schedule: Schedule | None = None, **changes: Any) -> Delivery:  # noqa: ANN401  any field of a Delivery
    """A pending delivery, number 1, of `schedule` (or of a_schedule), due at its fire time (NOW)."""
    schedule = schedule or a_schedule()
    fire_at = changes.get("fire_at", NOW)
    delivery = Delivery(
        id=1,
        schedule_id=schedule.id,
        revision=schedule.revision,
        kind=DeliveryKind.SCHEDULED,
        target=schedule.definition.target,
        lane=schedule.lane,
        key=f"key-{schedule.id}-{schedule.revision}-{fire_at:%Y%m%dT%H%M%S.%f}",
        fire_at=fire_at,
        planned_at=fire_at,
        fire_number=1,
        missed=0,
        state=DeliveryState.PENDING,
        reason=None,
        error_code=None,
        due_at=fire_at,
        lease_token=None,
        attempts=0,
        refusals=0,
        failures=0,
        maybe_repeat=False,
        retry_until=fire_at + limits.RETRY_FOR_DEFAULT,
        unknown_since=None,
        cancel_requested=False,
        run_id=None,
        reply_excerpt=None,
        first_sent_at=None,
        sent_at=None,
        accepted_at=None,
        finished_at=None,
        created_at=NOW,
    )
    return replace(delivery, **changes)


def a_fact(**changes: Any) -> Fact:  # noqa: ANN401  any field of a Fact
    """The registration of schedule 1 by the operator, at NOW."""
    return replace(Fact(kind=FactKind.REGISTERED, at=NOW, schedule_id=1, actor="operator via cli"), **changes)


def a_message(**changes: Any) -> InboxMessage:  # noqa: ANN401  any field of an InboxMessage
    """An unread message to AGENT, received at NOW, without an envelope."""
    message = InboxMessage(
        id=0,
        agent_id=AGENT,
        otid="key-1#0",
        delivery_id=1,
        schedule_id=1,
        envelope=None,
        prompt="stretch",
        received_at=NOW,
        acked_at=None,
    )
    return replace(message, **changes)
