"""Rows to models and back, for every dialect.

A row is a mapping from column to value. Instants are integer microseconds since 1970 UTC and durations integer
microseconds, in every dialect: exact, sortable, and without a driver's idea of zones.

A little over 500 lines: two short functions a model, there and back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from promptyoself.domain.models import (
    Attempt,
    AttemptOutcome,
    CatchUp,
    Definition,
    Delivery,
    DeliveryKind,
    DeliveryState,
    EnvelopeMode,
    Executor,
    Fact,
    FactKind,
    InboxMessage,
    NewDelivery,
    Overlap,
    Policy,
    Provenance,
    Replies,
    Schedule,
    ScheduleState,
    StopSwitch,
    TargetHealth,
    ZoneRecord,
)
from promptyoself.domain.ports import NewSchedule
from promptyoself.domain.quiet import QuietHours
from promptyoself.domain.triggers import Trigger, TriggerKind
from promptyoself.domain.values import replace

if TYPE_CHECKING:
    from promptyoself.domain.content import Content
    from promptyoself.domain.holidays import Holidays

Row = Mapping[str, Any]
Values = dict[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_TRIGGER_KINDS: Final = {str(kind): kind for kind in TriggerKind}
_SCHEDULE_STATES: Final = {str(state): state for state in ScheduleState}
"""Words to members: calling an enumeration costs ten times as much."""
_encoded: Final = json.JSONEncoder(separators=(",", ":")).encode


# -- instants and durations ---------------------------------------------------------------------------------


def micros(at: datetime) -> int:
    """Return an aware instant as microseconds since 1970 UTC. Raises TypeError for a naive one."""
    return (at - _EPOCH) // _MICROSECOND


def micros_or_none(at: datetime | None) -> int | None:
    """Return `micros`, or None for None."""
    return None if at is None else (at - _EPOCH) // _MICROSECOND


@lru_cache(maxsize=4096)
def instant(us: int) -> datetime:
    """Return microseconds since 1970 as an aware UTC instant.

    What fires at nine, and is planned in one batch, has most of its instants in common.
    """
    return _EPOCH + timedelta(0, 0, us)


def instant_or_none(us: int | None) -> datetime | None:
    """Return `instant`, or None for None."""
    return None if us is None else instant(us)


def _duration(us: int | None) -> timedelta | None:
    return None if us is None else _span(us)


@lru_cache(maxsize=256)
def _span(us: int) -> timedelta:
    return timedelta(microseconds=us)


def _duration_us(duration: timedelta | None) -> int | None:
    return None if duration is None else duration // _MICROSECOND


def json_array(values: Sequence[str] | Sequence[int] | None) -> str | None:
    """Return words or ids as the JSON array that `json_each` unpacks; None, as a filter, means any."""
    return None if values is None else json.dumps(list(values))


# -- schedules ----------------------------------------------------------------------------------------------


def new_schedule_values(new: NewSchedule) -> Values:
    """Return the columns of a schedule about to be stored."""
    return {
        "uid": new.uid,
        "next_fire_at": micros_or_none(new.next_fire_at),
        "created_at": micros(new.created_at),
        **_definition_values(new.definition),
        **_provenance_values(new.provenance),
    }


def schedule_values(schedule: Schedule) -> Values:
    """Return the columns of a schedule that may change, and its id."""
    return {
        "id": schedule.id,
        "revision": schedule.revision,
        "state": str(schedule.state),
        "state_reason": schedule.state_reason,
        "paused_until": micros_or_none(schedule.paused_until),
        "next_fire_at": micros_or_none(schedule.next_fire_at),
        "passed_until": micros_or_none(schedule.passed_until),
        "last_fire_at": micros_or_none(schedule.last_fire_at),
        "fire_count": schedule.fire_count,
        "finals_in_row": schedule.finals_in_row,
        "updated_at": micros(schedule.updated_at),
        **_definition_values(schedule.definition),
        **_provenance_values(schedule.provenance),
    }


def schedule_of(row: Row, skip_on: Holidays | None = None) -> Schedule:
    """Return a row of `schedules`, and the calendar it names, as a schedule. Raises ValueError kin when damaged."""
    return Schedule(
        id=row["id"],
        uid=row["uid"],
        definition=_definition_of(row, skip_on),
        provenance=_provenance_of(
            row["owner"], row["created_by"], row["origin_delivery_id"], row["root_uid"], row["depth"]
        ),
        revision=row["revision"],
        state=_SCHEDULE_STATES[row["state"]],
        state_reason=row["state_reason"],
        paused_until=instant_or_none(row["paused_until"]),
        next_fire_at=instant_or_none(row["next_fire_at"]),
        passed_until=instant_or_none(row["passed_until"]),
        last_fire_at=instant_or_none(row["last_fire_at"]),
        fire_count=row["fire_count"],
        finals_in_row=row["finals_in_row"],
        created_at=instant(row["created_at"]),
        updated_at=instant(row["updated_at"]),
    )


@lru_cache(maxsize=256)
def _provenance_of(
    owner: str, created_by: str, origin_delivery_id: int | None, root_uid: str | None, depth: int
) -> Provenance:
    """Return who made a schedule; all that one owner has made by one door share it."""
    return Provenance(
        owner=owner, created_by=created_by, origin_delivery_id=origin_delivery_id, root_uid=root_uid, depth=depth
    )


def _definition_values(definition: Definition) -> Values:
    trigger, policy = definition.trigger, definition.policy
    return {
        "agent_id": definition.agent_id,
        "prompt": definition.prompt,
        "target": definition.target,
        "conversation": definition.conversation,
        "key": definition.key,
        "name": definition.name,
        "max_repetitions": definition.max_repetitions,
        "trigger_kind": str(trigger.kind),
        "trigger_expression": trigger.expression,
        "trigger_timezone": trigger.timezone,
        "trigger_anchor_at": micros(trigger.anchor_at),
        "trigger_start_at": micros_or_none(trigger.start_at),
        "trigger_end_at": micros_or_none(trigger.end_at),
        "trigger_jitter_us": _duration_us(trigger.jitter),
        "catch_up": str(policy.catch_up),
        "catch_up_window_us": _duration_us(policy.catch_up_window),
        "overlap": str(policy.overlap),
        "retry_for_us": _duration_us(policy.retry_for),
        "expires_after_us": _duration_us(policy.expires_after),
        "envelope": str(policy.envelope),
        "quiet_hours": None if policy.quiet_hours is None else str(policy.quiet_hours),
        "skip_on": None if policy.skip_on is None else policy.skip_on.key,
        "replies": str(policy.replies),
        "content": None if definition.content is None else definition.content.text,
    }


def _provenance_values(provenance: Provenance) -> Values:
    return {
        "owner": provenance.owner,
        "created_by": provenance.created_by,
        "origin_delivery_id": provenance.origin_delivery_id,
        "root_uid": provenance.root_uid,
        "depth": provenance.depth,
    }


def _definition_of(row: Row, skip_on: Holidays | None) -> Definition:
    policy = _policy_of(
        row["catch_up"],
        row["catch_up_window_us"],
        row["overlap"],
        row["retry_for_us"],
        row["expires_after_us"],
        row["envelope"],
        row["quiet_hours"],
        row["replies"],
    )
    return Definition(
        agent_id=row["agent_id"],
        prompt=row["prompt"],
        target=row["target"],
        conversation=row["conversation"],
        key=row["key"],
        name=row["name"],
        max_repetitions=row["max_repetitions"],
        trigger=_trigger_of(row),
        policy=policy if skip_on is None else replace(policy, skip_on=skip_on),
        content=_content(row["content"]),
    )


@lru_cache(maxsize=256)
def _policy_of(
    catch_up: str,
    catch_up_window_us: int | None,
    overlap: str,
    retry_for_us: int,
    expires_after_us: int | None,
    envelope: str,
    quiet_hours: str | None,
    replies: str,
) -> Policy:
    """Return the policy of a row but for its calendar; most schedules share one of a few."""
    return Policy(
        catch_up=CatchUp(catch_up),
        catch_up_window=_duration(catch_up_window_us),
        overlap=Overlap(overlap),
        retry_for=timedelta(microseconds=retry_for_us),
        expires_after=_duration(expires_after_us),
        envelope=EnvelopeMode(envelope),
        quiet_hours=None if quiet_hours is None else QuietHours.parse(quiet_hours),
        replies=Replies(replies),
    )


def _content(text: str | None) -> Content | None:
    if text is None:
        return None
    from promptyoself.domain.content import Content  # few schedules have any

    return Content(text)


def _trigger_of(row: Row) -> Trigger:
    return Trigger(
        kind=_TRIGGER_KINDS[row["trigger_kind"]],
        expression=row["trigger_expression"],
        timezone=row["trigger_timezone"],
        anchor_at=instant(row["trigger_anchor_at"]),
        start_at=instant_or_none(row["trigger_start_at"]),
        end_at=instant_or_none(row["trigger_end_at"]),
        jitter=_span(row["trigger_jitter_us"]),
    )


# -- deliveries ---------------------------------------------------------------------------------------------


def first_delivery(delivery_id: int, new: NewDelivery, *, retry_until: datetime) -> Delivery:
    """Return a delivery as it stands when it is made: due as planned, finished already when its state is final."""
    return Delivery(
        id=delivery_id,
        schedule_id=new.schedule_id,
        revision=new.revision,
        kind=new.kind,
        target=new.target,
        lane=new.lane,
        key=new.key,
        fire_at=new.fire_at,
        planned_at=new.planned_at,
        snoozed_until=new.snoozed_until,
        fire_number=new.fire_number,
        missed=new.missed,
        state=new.state,
        reason=new.reason,
        error_code=None,
        due_at=new.planned_at,
        lease_token=None,
        attempts=0,
        refusals=0,
        failures=0,
        maybe_repeat=False,
        retry_until=retry_until,
        unknown_since=None,
        cancel_requested=False,
        run_id=None,
        reply_excerpt=None,
        first_sent_at=None,
        sent_at=None,
        accepted_at=None,
        finished_at=new.created_at if new.state.is_final else None,
        created_at=new.created_at,
    )


def begun_attempt(
    attempt_id: int, delivery_id: int, *, number: int, executor_id: str, otid: str, started_at: datetime
) -> Attempt:
    """Return an attempt as it stands when it begins."""
    return Attempt(
        id=attempt_id,
        delivery_id=delivery_id,
        number=number,
        executor_id=executor_id,
        otid=otid,
        started_at=started_at,
        finished_at=None,
        outcome=AttemptOutcome.OPEN,
        error_code=None,
        status=None,
        run_id=None,
        detail=None,
    )


def delivery_values(delivery: Delivery) -> Values:
    """Return every column of a delivery."""
    return {
        "id": delivery.id,
        "schedule_id": delivery.schedule_id,
        "revision": delivery.revision,
        "kind": str(delivery.kind),
        "target": delivery.target,
        "lane": delivery.lane,
        "key": delivery.key,
        "fire_at": micros(delivery.fire_at),
        "planned_at": micros(delivery.planned_at),
        "snoozed_until": micros_or_none(delivery.snoozed_until),
        "fire_number": delivery.fire_number,
        "missed": delivery.missed,
        "state": str(delivery.state),
        "reason": delivery.reason,
        "error_code": delivery.error_code,
        "due_at": micros(delivery.due_at),
        "lease_token": delivery.lease_token,
        "attempts": delivery.attempts,
        "refusals": delivery.refusals,
        "failures": delivery.failures,
        "maybe_repeat": int(delivery.maybe_repeat),
        "retry_until": micros(delivery.retry_until),
        "unknown_since": micros_or_none(delivery.unknown_since),
        "cancel_requested": int(delivery.cancel_requested),
        "run_id": delivery.run_id,
        "reply_excerpt": delivery.reply_excerpt,
        "first_sent_at": micros_or_none(delivery.first_sent_at),
        "sent_at": micros_or_none(delivery.sent_at),
        "accepted_at": micros_or_none(delivery.accepted_at),
        "finished_at": micros_or_none(delivery.finished_at),
        "created_at": micros(delivery.created_at),
    }


def delivery_of(row: Row) -> Delivery:
    """Return a row of `deliveries` as a delivery. Raises ValueError kin when the row is damaged."""
    return Delivery(
        id=row["id"],
        schedule_id=row["schedule_id"],
        revision=row["revision"],
        kind=DeliveryKind(row["kind"]),
        target=row["target"],
        lane=row["lane"],
        key=row["key"],
        fire_at=instant(row["fire_at"]),
        planned_at=instant(row["planned_at"]),
        snoozed_until=instant_or_none(row["snoozed_until"]),
        fire_number=row["fire_number"],
        missed=row["missed"],
        state=DeliveryState(row["state"]),
        reason=row["reason"],
        error_code=row["error_code"],
        due_at=instant(row["due_at"]),
        lease_token=row["lease_token"],
        attempts=row["attempts"],
        refusals=row["refusals"],
        failures=row["failures"],
        maybe_repeat=bool(row["maybe_repeat"]),
        retry_until=instant(row["retry_until"]),
        unknown_since=instant_or_none(row["unknown_since"]),
        cancel_requested=bool(row["cancel_requested"]),
        run_id=row["run_id"],
        reply_excerpt=row["reply_excerpt"],
        first_sent_at=instant_or_none(row["first_sent_at"]),
        sent_at=instant_or_none(row["sent_at"]),
        accepted_at=instant_or_none(row["accepted_at"]),
        finished_at=instant_or_none(row["finished_at"]),
        created_at=instant(row["created_at"]),
    )


def attempt_of(row: Row) -> Attempt:
    """Return a row of `attempts` as an attempt."""
    return Attempt(
        id=row["id"],
        delivery_id=row["delivery_id"],
        number=row["number"],
        executor_id=row["executor_id"],
        otid=row["otid"],
        started_at=instant(row["started_at"]),
        finished_at=instant_or_none(row["finished_at"]),
        outcome=AttemptOutcome(row["outcome"]),
        error_code=row["error_code"],
        status=row["status"],
        run_id=row["run_id"],
        detail=row["detail"],
    )


# -- journal, executors, health, switch, inbox --------------------------------------------------------------


def fact_values(fact: Fact) -> Values:
    """Return the columns of a fact about to be appended; its id is the store's to give."""
    return {
        "kind": str(fact.kind),
        "at": micros(fact.at),
        "schedule_id": fact.schedule_id,
        "delivery_id": fact.delivery_id,
        "actor": fact.actor,
        "detail": _encoded(fact.detail),
    }


def fact_of(row: Row) -> Fact:
    """Return a row of `facts` as a fact."""
    return Fact(
        id=row["id"],
        kind=FactKind(row["kind"]),
        at=instant(row["at"]),
        schedule_id=row["schedule_id"],
        delivery_id=row["delivery_id"],
        actor=row["actor"],
        detail=json.loads(row["detail"]),
    )


def executor_values(executor: Executor) -> Values:
    """Return the columns of an executor."""
    return {
        "id": executor.id,
        "host": executor.host,
        "pid": executor.pid,
        "version": executor.version,
        "mode": executor.mode,
        "started_at": micros(executor.started_at),
        "heartbeat_at": micros(executor.heartbeat_at),
        "address": executor.address,
    }


def executor_of(row: Row) -> Executor:
    """Return a row of `executors` as an executor."""
    return Executor(
        id=row["id"],
        host=row["host"],
        pid=row["pid"],
        version=row["version"],
        mode=row["mode"],
        started_at=instant(row["started_at"]),
        heartbeat_at=instant(row["heartbeat_at"]),
        address=row["address"],
    )


def health_of(row: Row) -> TargetHealth:
    """Return a row of `target_health` as what is known of a target."""
    return TargetHealth(
        target=row["target"], is_open=bool(row["is_open"]), reason=row["reason"], since=instant(row["since"])
    )


def switch_of(row: Row) -> StopSwitch:
    """Return the row of `stop_switch` as the switch."""
    return StopSwitch(reason=row["reason"], since=instant(row["since"]), until=instant_or_none(row["until"]))


def zone_record_of(row: Row) -> ZoneRecord:
    """Return the zone database's entries in `meta` as the record."""
    return ZoneRecord(version=row["version"], since=instant(int(row["since"])))


def message_values(message: InboxMessage) -> Values:
    """Return the columns of a message about to be stored; its id is the store's to give."""
    return {
        "agent_id": message.agent_id,
        "otid": message.otid,
        "delivery_id": message.delivery_id,
        "schedule_id": message.schedule_id,
        "envelope": message.envelope,
        "prompt": message.prompt,
        "received_at": micros(message.received_at),
        "acked_at": micros_or_none(message.acked_at),
    }


def message_of(row: Row) -> InboxMessage:
    """Return a row of `inbox` as a message."""
    return InboxMessage(
        id=row["id"],
        agent_id=row["agent_id"],
        otid=row["otid"],
        delivery_id=row["delivery_id"],
        schedule_id=row["schedule_id"],
        envelope=row["envelope"],
        prompt=row["prompt"],
        received_at=instant(row["received_at"]),
        acked_at=instant_or_none(row["acked_at"]),
    )
