"""Obeying what an agent said at the end of its answer, in the transaction that records the delivery.

Once a delivery: it is recorded as delivered once, whoever asks about it later. All of a reply is obeyed or none of it.
An operator's word counts for more: of a schedule that was paused or cancelled meanwhile nothing is brought back.
"""

from __future__ import annotations

from datetime import datetime

from promptyoself.application import schedules
from promptyoself.application.requests import instant_option
from promptyoself.application.schedules import Caller
from promptyoself.domain import limits
from promptyoself.domain.answers import Done
from promptyoself.domain.errors import Conflict, Forbidden, InvalidInput, LimitExceeded, UsageError
from promptyoself.domain.keys import otid_of
from promptyoself.domain.models import Delivery, Fact, FactKind, Replies, Schedule, ScheduleState
from promptyoself.domain.ports import Tx
from promptyoself.domain.replies import Directive, Reply, Verb, nonce_of, read_reply
from promptyoself.domain.triggers import TriggerKind, make_trigger, zone
from promptyoself.domain.values import replace

DOOR = "reply"


def nonce_for(tx: Tx, schedule: Schedule, delivery: Delivery) -> str | None:
    """Return the nonce that the envelope of the next attempt carries; None where replies are not obeyed."""
    if schedule.definition.policy.replies is not Replies.OBEY:
        return None
    return nonce_of(tx.reply_secret(), otid_of(delivery))


def heard(tx: Tx, schedule: Schedule, delivery: Delivery, done: Done) -> Reply | None:
    """Return what the agent asked for at the end of its answer to a delivery still in flight, None for nothing."""
    nonce = nonce_for(tx, schedule, delivery)
    return None if nonce is None else read_reply(done.last_line, nonce=nonce)


def obey(tx: Tx, schedule: Schedule, delivery: Delivery, reply: Reply, *, uid: str, now: datetime) -> Schedule:
    """Do what a reply asks for, journal it, and return the schedule; `delivery` has just been recorded as delivered.

    `uid` is fresh. What cannot be done (a limit, a time that cannot be read) is journaled with its reason.
    """
    agent = Caller(owner=delivery.lane.split(" ")[1], door=DOOR)
    detail: dict[str, str | int | bool | None] = {"said": reply.said, "text": reply.problem}
    kind = FactKind.REPLY_IGNORED
    if reply.problem is None:
        try:
            schedule, made = _carry_out_all(tx, schedule, delivery, reply, agent=agent, uid=uid, now=now)
        except (Conflict, Forbidden, InvalidInput, UsageError) as error:  # a limit is a kin of Forbidden
            detail["text"] = error.message[: limits.REASON_CHARS_MAX]
        else:
            kind, detail = FactKind.REPLY_OBEYED, detail | made
    tx.add_fact(
        Fact(kind=kind, at=now, schedule_id=schedule.id, delivery_id=delivery.id, actor=agent.label, detail=detail)
    )
    return schedule


def _carry_out_all(
    tx: Tx, schedule: Schedule, delivery: Delivery, reply: Reply, *, agent: Caller, uid: str, now: datetime
) -> tuple[Schedule, dict[str, str | int | bool | None]]:
    detail: dict[str, str | int | bool | None] = {}
    steps = [_understood(schedule, one, agent=agent, now=now) for one in reply.directives]
    for directive, at in sorted(steps, key=lambda step: _ORDER.index(step[0].verb)):
        schedule, made = _carry_out(tx, schedule, delivery, directive, at, agent=agent, uid=uid, now=now)
        detail |= made
    return schedule, detail


_ORDER = (Verb.AGAIN, Verb.PAUSE_UNTIL, Verb.DONE, Verb.SILENT)
"""What may be refused by a limit comes first: nothing was written before it then."""


def _understood(
    schedule: Schedule, directive: Directive, *, agent: Caller, now: datetime
) -> tuple[Directive, datetime | None]:
    """Return a directive with its instant. Raises kin of InvalidInput, and Conflict where it has no place."""
    if directive.verb is not Verb.SILENT and not agent.may_touch(schedule):
        raise Forbidden("the schedule is another agent's now")
    if directive.verb in {Verb.AGAIN, Verb.PAUSE_UNTIL} and schedule.state in _HELD:
        raise Conflict(f"the schedule is {schedule.state}")
    if directive.verb is Verb.PAUSE_UNTIL and schedule.state is not ScheduleState.ACTIVE:
        raise Conflict("the schedule has no fire time left")
    if not directive.verb.takes_time:
        return directive, None
    timezone = schedule.definition.trigger.timezone
    at, _ = instant_option(directive.when, option=str(directive.verb), timezone=timezone, now=now)
    if at <= now:
        raise InvalidInput("its time has passed")
    if directive.verb is Verb.AGAIN and at - now < limits.AGENT_PERIOD_MIN:
        raise LimitExceeded("it comes again too soon: an agent may be woken once a minute")
    return directive, at


_HELD = frozenset({ScheduleState.PAUSED, ScheduleState.CANCELLED})


def _carry_out(
    tx: Tx,
    schedule: Schedule,
    delivery: Delivery,
    directive: Directive,
    at: datetime | None,
    *,
    agent: Caller,
    uid: str,
    now: datetime,
) -> tuple[Schedule, dict[str, str | int | bool | None]]:
    match directive.verb:
        case Verb.AGAIN:
            assert at is not None, "again takes a time"  # noqa: S101  as _understood has seen to
            made = _again(tx, schedule, delivery, at, agent=agent, uid=uid, now=now)
            comes_at = at.astimezone(zone(schedule.definition.trigger.timezone)).isoformat(timespec="seconds")
            return schedule, {"made_id": made.id, "text": f"schedule {made.id} repeats it at {comes_at}"}
        case Verb.PAUSE_UNTIL:
            paused = schedules.pause(tx, schedule.id, caller=agent, reason=None, until=at, now=now)
            return paused, {}
        case Verb.DONE:
            return schedules.complete(tx, schedule, reason="its agent said that it is done", caller=agent, now=now), {}
        case Verb.SILENT:
            return schedule, {}


def _again(
    tx: Tx, schedule: Schedule, delivery: Delivery, at: datetime, *, agent: Caller, uid: str, now: datetime
) -> Schedule:
    """Make a one-off of the same prompt, the agent's own. Raises LimitExceeded."""
    old = schedule.definition
    trigger = make_trigger(TriggerKind.ONCE, at.isoformat(), timezone=old.trigger.timezone, now=now)
    definition = replace(old, agent_id=agent.owner, trigger=trigger, key=None, max_repetitions=None)
    return schedules.put(tx, definition, caller=agent, uid=uid, now=now, origin=delivery, source=DOOR).schedule
