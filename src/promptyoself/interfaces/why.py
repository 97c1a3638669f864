"""`why`: the journal's facts as sentences. What is not recorded is not said; nothing is inferred from a timestamp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, assert_never

from promptyoself.domain.localtime import zone
from promptyoself.domain.models import DeliveryState, Fact, FactKind, Schedule, ScheduleState
from promptyoself.domain.outlook import next_to_send
from promptyoself.interfaces.advice import running_warnings
from promptyoself.interfaces.phrases import moment

if TYPE_CHECKING:
    from promptyoself.domain.ports import Tx


def story(facts: Sequence[Fact], timezone: str) -> list[str]:
    """Return a sentence for each fact, oldest first, each beginning with its time in the schedule's zone."""
    return [f"{_clock(fact.at, timezone)}: {sentence(fact)}" for fact in facts]


def standing(tx: Tx, stored: Schedule, *, now: datetime) -> list[str]:
    """Return how things stand now: the schedule's state, what is on its way, and what holds it up."""
    timezone = stored.definition.trigger.timezone
    sentences = [f"Now: {_state(stored, timezone, now=now)}"]
    reasons = {health.target: health.reason for health in tx.target_health() if health.is_open}
    earlier = tx.in_use_until()
    for delivery in tx.unfinished_deliveries(stored.id):
        reason = f", because {delivery.reason}" if delivery.reason else ""
        if earlier is not None and delivery.fire_at <= earlier and delivery.state is DeliveryState.PENDING:
            reason += "; it may have gone out before the database was restored, so that is asked first"
        later = delivery.snoozed_until
        if delivery.state is DeliveryState.PENDING and later is not None and later > now:
            sentences.append(f"Delivery {delivery.id} was put off; it comes {moment(later, timezone, now=now)}.")
        else:
            sentences.append(f"Delivery {delivery.id} is {_waiting(delivery.state)}{reason}.")
    if stored.definition.target in reasons and stored.state is ScheduleState.ACTIVE:
        why = reasons[stored.definition.target]
        sentences.append(
            f"Target {stored.definition.target} refuses everybody ({why}); it is probed until it recovers."
        )
    if stored.state is ScheduleState.ACTIVE:
        sentences += [f"{warning[0].upper()}{warning[1:]}." for warning in running_warnings(tx, now=now)]
    return sentences


def _state(stored: Schedule, timezone: str, *, now: datetime) -> str:
    match stored.state:
        case ScheduleState.ACTIVE:
            if stored.next_fire_at is None:
                return "it is active and does not fire again; a delivery is still on its way."
            next_at = next_to_send(stored)
            if next_at is None:
                return "it is active, and every fire time that can be seen is skipped."
            return f"it is active and fires next {moment(next_at, timezone, now=now)}."
        case ScheduleState.PAUSED:
            until = f" until {moment(stored.paused_until, timezone, now=now)}" if stored.paused_until else ""
            return f"it is paused{until}: {stored.state_reason}."
        case ScheduleState.COMPLETED:
            return f"it has completed; it fired {stored.fire_count} time{'s' if stored.fire_count != 1 else ''}."
        case ScheduleState.CANCELLED:
            return f"it is {stored.state_reason or 'cancelled'}."
        case _:
            assert_never(stored.state)


def _waiting(state: DeliveryState) -> str:
    return {
        DeliveryState.PENDING: "waiting for its turn",
        DeliveryState.LEASED: "being sent",
        DeliveryState.ACCEPTED: "with the agent, whose run has not ended",
        DeliveryState.UNKNOWN: "of unknown outcome, and being asked about",
    }.get(state, state.value)


_SENTENCES: Final[dict[FactKind, str]] = {
    FactKind.REGISTERED: "{actor} registered it ({trigger}){given}.",
    FactKind.EDITED: "{actor} changed {changed}{given}; it is revision {revision} now.",
    FactKind.PAUSED: "{actor} paused it{until}: {reason}.",
    FactKind.RESUMED: "{actor} resumed it.",
    FactKind.CANCELLED: "{actor} cancelled it.",
    FactKind.COMPLETED: "it completed: {completed}.",
    FactKind.FIRED: "it fired, as {delivery}{missed}.",
    FactKind.HELD: "{delivery} came late and is held until its quiet hours end{because}.",
    FactKind.SKIPPED: "{skipped}{because}.",
    FactKind.SUPERSEDED: "{delivery} was never sent and gave way to the next fire time.",
    FactKind.SKIPPED_BY_HAND: "{actor} skipped the fire time of {moment} ({delivery}){because}.",
    FactKind.SNOOZED: "{actor} put off {put_off} until {moment}, as {delivery}.",
    FactKind.RUN_NOW: "{actor} asked for it to be run at once, as {delivery}.",
    FactKind.RETRIED: "{actor} asked for {delivery} to be tried again.",
    FactKind.ACCEPTED: "{attempt} was accepted by the target.",
    FactKind.DELIVERED: "{delivery} arrived, and the agent has finished.",
    FactKind.REFUSED: "{attempt} was not processed{because}; it waits and is tried again.",
    FactKind.BUSY: "{attempt} waits for its turn{because}.",
    FactKind.FAILED: "{attempt} failed{because}; it is tried again unless it was cancelled.",
    FactKind.UNKNOWN: "{attempt} ended without an answer{because}; the target is asked before anything is repeated.",
    FactKind.SETTLED: "{delivery} was asked about{because}.",
    FactKind.DEAD: "{delivery} was given up{because}; `promptyoself retry --id {delivery_id}` revives it.",
    FactKind.REPLY_OBEYED: "{actor} ended its answer to {delivery} with {said}, which was obeyed{because}.",
    FactKind.REPLY_IGNORED: "{actor} ended its answer to {delivery} with {said}, which was not obeyed{because}.",
    FactKind.CALLBACK_SENT: "how {delivery} ended was posted to its callback ({status}).",
    FactKind.CALLBACK_FAILED: "how {delivery} ended could not be posted to its callback{because}.",
    FactKind.BREAKER_OPENED: "target {target} refused everybody{because}.",
    FactKind.BREAKER_CLOSED: "target {target} takes deliveries again.",
    FactKind.ALL_PAUSED: "{actor} stopped all deliveries{because}.",
    FactKind.ALL_RESUMED: "{actor} let all deliveries go on.",
    FactKind.ZONE_DATA_CHANGED: "the time zone data changed from {before} to {after}{moved}.",
    FactKind.RESTORED: "{actor} said that the database was restored from a copy, and had been in use{until}; what was "
    "due by then is looked for at its target before it is sent.",
    FactKind.TOKEN_CREATED: "{actor} issued token {token}.",
    FactKind.TOKEN_REVOKED: "{actor} revoked token {token}.",
}


Detail = Mapping[str, str | int | bool | None]


def sentence(fact: Fact) -> str:
    """Return what a fact tells, in a sentence without its time."""
    detail = fact.detail
    delivery = f"delivery {fact.delivery_id}"
    text = detail.get("text") or detail.get("reason")
    missed, count = detail.get("missed"), detail.get("count")
    return _SENTENCES[fact.kind].format(
        actor=fact.actor,
        delivery=delivery,
        delivery_id=fact.delivery_id,
        attempt=f"attempt {detail['attempt']} of {delivery}" if detail.get("attempt") else delivery,
        because=f": {text}" if text else "",
        reason=text or "no reason given",
        until=f" until {detail['until']}" if detail.get("until") else "",
        missed=f"; it also stands for {missed} missed before it" if missed else "",
        skipped=f"{delivery} was skipped" if fact.delivery_id else f"missed fire times without a delivery: {count}",
        trigger=detail.get("trigger"),
        given=f" by the words {detail['given']}" if detail.get("given") else "",
        changed=detail.get("changed"),
        revision=detail.get("revision"),
        target=detail.get("target"),
        token=detail.get("token"),
        moment=detail.get("moment"),
        completed=text or "nothing of it is left to fire or to deliver",
        said=repr(detail.get("said")),
        status=f"HTTP {detail.get('status')}",
        put_off=_PUT_OFF.get(str(detail.get("reason")), "it"),
        before=detail.get("before") or "an unknown version",
        after=detail.get("after"),
        moved=_moved(detail),
    )


_PUT_OFF: Final = {
    "waiting": "what was waiting to be sent",
    "in_flight": "what the agent was dealing with, to come again,",
    "next": "the next fire time",
}


def _moved(detail: Detail) -> str:
    """Say what a new zone database did to a schedule, or to how many."""
    if "count" in detail:
        return f"; {detail['count']} schedules fire at another instant now"
    return f": it fires next at {detail.get('next') or 'no time'}, in place of {detail.get('was')}"


def _clock(at: datetime, timezone: str) -> str:
    return f"{at.astimezone(zone(timezone)):%a %Y-%m-%d %H:%M:%S}"
