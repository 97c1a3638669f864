"""Use cases of schedules: register, update, pause, resume, cancel, run now. Each is one transaction of the caller's.

Rules of edits in flight (DESIGN.md): a cancel ends what is pending and lets the attempt in flight be the last;
an edit that changes what would be sent does the same and moves what was due to the new revision; a pause keeps
what is unsent until it is resumed.

A little over 500 lines: the rules that several use cases share stand once, below them.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from promptyoself.application.ends import complete_if_over
from promptyoself.application.reopening import reopen
from promptyoself.application.requests import Defaults, ScheduleRequest, Understood, define, exact, redefine
from promptyoself.domain import guard, limits
from promptyoself.domain.errors import Conflict, Forbidden, InvalidInput, RevisionConflict, ScheduleNotFound
from promptyoself.domain.keys import idempotency_key
from promptyoself.domain.models import (
    OPERATOR,
    Definition,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Fact,
    FactKind,
    NewDelivery,
    Provenance,
    Schedule,
    ScheduleState,
    StopSwitch,
    agent_of,
)
from promptyoself.domain.planning import first_fire_at
from promptyoself.domain.ports import DeliveryFilter, NewSchedule, ScheduleFilter, Tx
from promptyoself.domain.triggers import next_fire_at, period_hint
from promptyoself.domain.values import dataclass, replace

LIVE_STATES = (ScheduleState.ACTIVE, ScheduleState.PAUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, and through which door. An agent sees and changes its own schedules only."""

    owner: str = OPERATOR
    door: str = "cli"

    @property
    def is_operator(self) -> bool:
        """True when no agent stands behind the request."""
        return self.owner == OPERATOR

    @property
    def label(self) -> str:
        """The caller as the journal and people read it."""
        return f"{self.owner} via {self.door}"

    def may_touch(self, schedule: Schedule) -> bool:
        """True when this caller may see and change the schedule.

        What an agent made and an operator gave to another agent is the other's: its receipts hold that one's replies.
        """
        return self.is_operator or self.owner == schedule.definition.agent_id

    def may_see(self, delivery: Delivery) -> bool:
        """True when this caller may see the delivery of a schedule that it may touch.

        What went out while the schedule was another agent's stays that one's, reply and all.
        """
        return self.is_operator or self.owner == agent_of(delivery.lane)


@dataclass(frozen=True, slots=True)
class Registered:
    """A stored schedule, and whether this call made it (False: a key was known, and it was updated)."""

    schedule: Schedule
    is_new: bool
    before: Schedule | None = None
    """As it was before this call, when it was known."""
    is_repeat: bool = False
    """True when the same request was carried out before, and this call changed nothing."""


def register(
    tx: Tx, request: ScheduleRequest, *, caller: Caller, defaults: Defaults, uid: str, now: datetime
) -> Registered:
    """Store a schedule, or update the caller's schedule of the same agent and key.

    Raises kin of InvalidInput, UsageError, Forbidden (another's agent) and LimitExceeded (guard); then nothing
    is stored. `uid` is fresh: 32 hex digits.
    """
    request = exact(request, timezone=request.timezone or defaults.timezone, now=now)
    definition = define(request, defaults, now=now)
    return put(tx, definition, caller=caller, uid=uid, now=now, given=request.understood)


def put(
    tx: Tx,
    definition: Definition,
    *,
    caller: Caller,
    uid: str,
    now: datetime,
    known: Schedule | None = None,
    source: str | None = None,
    given: tuple[Understood, ...] = (),
    origin: Delivery | None = None,
) -> Registered:
    """Store a definition, or make `known` (else the caller's schedule of the same agent and key) into it.

    Raises as `register`. For the journal, `source` says from where it was imported, `given` in which words it came.
    `origin` is the delivery that led to it, where the caller knows.
    """
    check_asked(definition, caller, now=now)
    if known is None and definition.key is not None:
        known = tx.schedule_by_key(definition.agent_id, definition.key)
    if known is not None:
        if not caller.may_touch(known):
            raise Forbidden(f"the key {definition.key!r} belongs to another's schedule", hint="choose another key")
        kept = _keep_grid(known.definition, definition, is_phrase=bool(given), now=now)
        edited = _edit(tx, known, kept, caller=caller, now=now, given=given)
        return Registered(edited, is_new=False, before=known)
    provenance = provenance_of(tx, caller, now=now, origin=origin)
    _check_guard_of_creation(tx, provenance, caller, now=now)
    schedule = tx.add_schedule(
        NewSchedule(
            uid=uid,
            definition=definition,
            provenance=provenance,
            next_fire_at=next_fire_at(definition.trigger, after=now),
            created_at=now,
        )
    )
    tx.add_fact(registration(schedule.id, definition, caller=caller, now=now, source=source, given=given))
    return Registered(schedule, is_new=True)


def check_asked(definition: Definition, caller: Caller, *, now: datetime) -> None:
    """Refuse what this caller may not ask for, whatever is stored. Raises Forbidden and LimitExceeded."""
    _check_reach(definition, caller)
    _check_guard_of_definition(definition, caller, now=now)


def registration(
    schedule_id: int,
    definition: Definition,
    *,
    caller: Caller,
    now: datetime,
    source: str | None = None,
    given: tuple[Understood, ...] = (),
) -> Fact:
    """Return the fact that a schedule was made."""
    detail: dict[str, str | int | bool | None] = {
        "trigger": f"{definition.trigger.kind}: {definition.trigger.expression}",
        **_given(given),
    }
    if source is not None:
        detail["source"] = source
    return Fact(kind=FactKind.REGISTERED, at=now, schedule_id=schedule_id, actor=caller.label, detail=detail)


def find(tx: Tx, schedule_id: int, *, caller: Caller) -> Schedule:
    """Return a schedule the caller may touch. Raises ScheduleNotFound for others', too."""
    schedule = tx.schedule(schedule_id)
    if schedule is None or not caller.may_touch(schedule):
        raise ScheduleNotFound(
            f"schedule {schedule_id} was not found", hint="promptyoself list --all shows every schedule and its id"
        )
    return schedule


def listed(
    tx: Tx,
    *,
    caller: Caller,
    agent_id: str | None,
    include_finished: bool,
    wanted: ScheduleFilter | None = None,
) -> list[Schedule]:
    """Return schedules by id: those of one agent or of all, the finished ones only on request, as `wanted` narrows it.

    States that `wanted` names are shown, finished or not. An agent gets its own, and none when `agent_id` is another's.
    """
    if not caller.is_operator and agent_id not in {None, caller.owner}:
        return []
    return tx.schedules(visible(wanted, caller=caller, agent_id=agent_id, include_finished=include_finished))


def visible(
    wanted: ScheduleFilter | None, *, caller: Caller, agent_id: str | None, include_finished: bool
) -> ScheduleFilter:
    """Return the filter narrowed to what this caller sees, and to live schedules unless it says otherwise."""
    where = ScheduleFilter(limit=limits.LIST_MAX) if wanted is None else wanted
    live = None if include_finished else LIVE_STATES
    return replace(
        where,
        agent_id=agent_id if caller.is_operator else caller.owner,
        states=where.states if where.states is not None else live,
    )


def snoozed_until(tx: Tx, schedule_id: int, *, now: datetime) -> datetime | None:
    """Return when what was put off of a schedule comes, the first of it; None when nothing was."""
    put_off = [one.snoozed_until for one in tx.unfinished_deliveries(schedule_id) if one.state is DeliveryState.PENDING]
    return min((at for at in put_off if at is not None and at > now), default=None)


def update(
    tx: Tx,
    schedule_id: int,
    request: ScheduleRequest,
    *,
    caller: Caller,
    defaults: Defaults,
    now: datetime,
    revision: int | None = None,
) -> Schedule:
    """Change what the request names; a finished schedule becomes active again when its trigger still fires.

    `revision`, when given, must be the stored one: edits never overwrite each other unseen (Conflict).
    """
    schedule = find(tx, schedule_id, caller=caller)
    if revision is not None and revision != schedule.revision:
        raise RevisionConflict(
            f"schedule {schedule_id} is at revision {schedule.revision}, not {revision}",
            hint="show it again, and repeat the edit on what it is now",
        )
    trigger = schedule.definition.trigger
    request = exact(request, timezone=request.timezone or trigger.timezone, now=now)
    definition = redefine(schedule.definition, request, defaults, now=now)
    _check_reach(definition, caller)
    _check_guard_of_definition(definition, caller, now=now)
    if definition.key is not None and definition.key != schedule.definition.key:
        known = tx.schedule_by_key(definition.agent_id, definition.key)
        if known is not None and known.id != schedule_id:
            raise Conflict(f"the key {definition.key!r} is taken by schedule {known.id}", hint="choose another key")
    return _edit(tx, schedule, definition, caller=caller, now=now, given=request.understood)


def cancel(tx: Tx, schedule_id: int, *, caller: Caller, now: datetime) -> Schedule:
    """Cancel for good: pending deliveries end, an attempt in flight is the last. Cancelling twice is one cancel."""
    schedule = find(tx, schedule_id, caller=caller)
    if schedule.state is ScheduleState.CANCELLED:
        return schedule
    if schedule.state is ScheduleState.COMPLETED and not tx.unfinished_deliveries(schedule.id):
        raise Conflict(f"schedule {schedule_id} has completed; there is nothing to cancel")
    cancelled = replace(
        schedule,
        state=ScheduleState.CANCELLED,
        state_reason=f"cancelled by {caller.label}",
        paused_until=None,
        next_fire_at=None,
        updated_at=now,
    )
    tx.save_schedule(cancelled)
    _withdraw(tx, schedule, reason="the schedule was cancelled", now=now)
    tx.add_fact(Fact(kind=FactKind.CANCELLED, at=now, schedule_id=schedule.id, actor=caller.label))
    return cancelled


def complete(tx: Tx, schedule: Schedule, *, reason: str, caller: Caller, now: datetime) -> Schedule:
    """End a schedule because its work is done: nothing more of it is sent. One that is over stays as it is."""
    if schedule.state not in LIVE_STATES:
        return schedule
    done = replace(
        schedule,
        state=ScheduleState.COMPLETED,
        state_reason=reason,
        paused_until=None,
        next_fire_at=None,
        updated_at=now,
    )
    tx.save_schedule(done)
    _withdraw(tx, schedule, reason="the schedule was completed", now=now)
    fact = Fact(kind=FactKind.COMPLETED, at=now, schedule_id=schedule.id, actor=caller.label, detail={"reason": reason})
    tx.add_fact(fact)
    return done


def pause(
    tx: Tx, schedule_id: int, *, caller: Caller, reason: str | None, until: datetime | None, now: datetime
) -> Schedule:
    """Pause, with a reason for people and an end if wanted; pausing again replaces both. `until` is aware UTC.

    What has come due is planned first, and waits for the end of the pause as what was planned before does.
    """
    schedule = find(tx, schedule_id, caller=caller)
    must_be_live(schedule, "paused")
    _check_until(until, now=now)
    with suppress(InvalidInput):  # its rule cannot be read any more: nothing comes of it
        schedule = up_to_date(tx, schedule, now=now)
    must_be_live(schedule, "paused")
    why = (reason or f"paused by {caller.label}")[: limits.REASON_CHARS_MAX]
    paused = replace(schedule, state=ScheduleState.PAUSED, state_reason=why, paused_until=until, updated_at=now)
    tx.save_schedule(paused)
    detail: dict[str, str | int | bool | None] = {
        "reason": why,
        "until": until.isoformat(timespec="seconds") if until else None,
    }
    tx.add_fact(Fact(kind=FactKind.PAUSED, at=now, schedule_id=schedule.id, actor=caller.label, detail=detail))
    return paused


def up_to_date(tx: Tx, schedule: Schedule, *, now: datetime) -> Schedule:
    """Return a live schedule with all planned that has come due: no answer hangs on whether an executor has looked.

    One whose pause has ended by itself goes on. Raises InvalidInput when its rule cannot be read.
    """
    due_at = schedule.paused_until if schedule.state is ScheduleState.PAUSED else schedule.next_fire_at
    if due_at is None or due_at > now:
        return schedule
    from promptyoself.application import planner  # it logs, and plans; seldom is anything due

    return planner.bring_up_to_date(tx, schedule, now=now, store_uid=tx.store_uid())


def resume(tx: Tx, schedule_id: int, *, caller: Caller, now: datetime) -> Schedule:
    """Let a paused schedule go on from now. Resuming an active one changes nothing."""
    schedule = find(tx, schedule_id, caller=caller)
    must_be_live(schedule, "resumed")
    if schedule.state is ScheduleState.ACTIVE:
        return schedule
    if not caller.is_operator:
        guard.check_active(tx.guard_usage(schedule.provenance.owner, since=now - timedelta(hours=1)))
    from promptyoself.application import planner  # it logs, and plans; nothing else here does

    return planner.resume(tx, schedule, now=now, actor=caller.label)


def run_now(tx: Tx, schedule_id: int, *, caller: Caller, store_uid: str, now: datetime) -> Delivery:
    """Open a delivery of the prompt at once, whatever the schedule's state; the schedule itself is left alone."""
    schedule = find(tx, schedule_id, caller=caller)
    if schedule.state is ScheduleState.CANCELLED:
        raise Conflict(f"schedule {schedule_id} is cancelled", hint="register it again to run it")
    if not caller.is_operator:
        check_allowance(tx, caller.owner, now=now)
    new = NewDelivery(
        schedule_id=schedule.id,
        revision=schedule.revision,
        kind=DeliveryKind.RUN_NOW,
        target=schedule.definition.target,
        lane=schedule.lane,
        key=idempotency_key(
            store_uid, schedule.uid, revision=schedule.revision, kind=DeliveryKind.RUN_NOW, fire_at=now
        ),
        fire_at=now,
        planned_at=now,
        fire_number=0,
        created_at=now,
    )
    delivery = tx.add_delivery(new, retry_until=now + schedule.definition.policy.retry_for)
    if delivery is None:
        raise Conflict(f"schedule {schedule_id} was run at this very instant already", hint="try again")
    tx.add_fact(
        Fact(kind=FactKind.RUN_NOW, at=now, schedule_id=schedule.id, delivery_id=delivery.id, actor=caller.label)
    )
    return delivery


def check_allowance(tx: Tx, agent_id: str, *, now: datetime) -> None:
    """Refuse one more delivery to an agent that asks for it itself. Raises LimitExceeded.

    What it asks for of others' schedules counts too, or it could keep itself awake with an operator's.
    """
    since = now - timedelta(hours=1)
    newest = tx.deliveries(DeliveryFilter(agent_id=agent_id, limit=limits.LIST_MAX // 10))
    asked_for = [one for one in newest if one.kind is DeliveryKind.RUN_NOW and one.created_at >= since]
    is_at_limit = len(asked_for) >= limits.AGENT_DELIVERIES_PER_HOUR_MAX
    if is_at_limit or guard.allowance(tx.guard_usage(agent_id, since=since)) <= 0:
        raise guard.deliveries_exceeded()


def stop_all(tx: Tx, *, caller: Caller, reason: str | None, until: datetime | None, now: datetime) -> StopSwitch:
    """Stop all deliveries at once, leaving the schedules as they are. Operators only."""
    _operators_only(caller)
    _check_until(until, now=now)
    switch = StopSwitch(reason=(reason or "stopped")[: limits.REASON_CHARS_MAX], since=now, until=until)
    tx.set_stop_switch(switch)
    tx.add_fact(Fact(kind=FactKind.ALL_PAUSED, at=now, actor=caller.label, detail={"reason": switch.reason}))
    return switch


def start_all(tx: Tx, *, caller: Caller, now: datetime) -> None:
    """Let deliveries go on again. Operators only."""
    _operators_only(caller)
    tx.set_stop_switch(None)
    tx.add_fact(Fact(kind=FactKind.ALL_RESUMED, at=now, actor=caller.label))


def _keep_grid(old: Definition, new: Definition, *, is_phrase: bool, now: datetime) -> Definition:
    """Registering the same rule under the same key again must not shift its fire times to the new `now`.

    A rule that has run out (a COUNT) starts anew. `is_phrase`: the day that `other monday` counts from was taken from
    `now` when it was compiled, so that the old one stays.
    """
    same = replace(new.trigger, anchor_at=old.trigger.anchor_at)
    if is_phrase and _without_start(same.expression) == _without_start(old.trigger.expression):
        same = replace(same, expression=old.trigger.expression)
    is_same = same == old.trigger
    if is_same and next_fire_at(old.trigger, after=now) is not None:
        return replace(new, trigger=old.trigger)
    return new


def _without_start(expression: str) -> str:
    """Return an rrule without the DTSTART line that a compiled one begins with; other expressions as they are."""
    return expression.partition("\\n")[2] if expression.startswith("DTSTART") else expression


def _given(understood: tuple[Understood, ...]) -> dict[str, str]:
    """Return the phrases of a request for the journal, as they were given."""
    return {"given": "; ".join(f"{one.given_to} {one.given}" for one in understood)} if understood else {}


def _edit(
    tx: Tx,
    old: Schedule,
    definition: Definition,
    *,
    caller: Caller,
    now: datetime,
    given: tuple[Understood, ...] = (),
) -> Schedule:
    if definition == old.definition and old.state in LIVE_STATES:
        return old
    changed = _changed_names(old.definition, definition)
    is_same_rule = definition.trigger == old.definition.trigger and old.state in LIVE_STATES
    edited = replace(old, definition=definition, revision=old.revision + 1, finals_in_row=0, updated_at=now)
    if old.state is ScheduleState.CANCELLED or (old.state not in LIVE_STATES and set(changed) & _RULE_FIELDS):
        _check_guard_of_revival(tx, old, caller, now=now)
        edited = replace(edited, state=ScheduleState.ACTIVE, state_reason=None, fire_count=0)
    waiting = _withdraw(tx, old, reason="the schedule was edited", now=now) if set(changed) & _SENT_FIELDS else []
    if not is_same_rule:
        # Fires of the old rule that were never sent go with it, from the count of repetitions too; and so does a fire
        # time ahead whose skip was undone.
        unsent = [one for one in waiting if one.fire_number > 0]
        waiting = [one for one in waiting if one.fire_number == 0 and not _is_ahead(one, now=now)]
        edited = replace(edited, fire_count=max(0, edited.fire_count - len(unsent)), passed_until=None)
    is_live = edited.state in LIVE_STATES
    if is_live and (not is_same_rule or edited.is_exhausted or edited.next_fire_at is None):
        edited = replace(edited, next_fire_at=first_fire_at(edited, now=now))
    tx.save_schedule(edited)
    tx.add_fact(
        Fact(
            kind=FactKind.EDITED,
            at=now,
            schedule_id=old.id,
            actor=caller.label,
            detail={"revision": edited.revision, "changed": ", ".join(changed), **_given(given)},
        )
    )
    for one in waiting:
        reopen(tx, edited, one, now=now)
    return complete_if_over(tx, edited, now=now)


def _is_ahead(delivery: Delivery, *, now: datetime) -> bool:
    return delivery.kind is DeliveryKind.SCHEDULED and delivery.fire_at > now


_RULE_FIELDS = frozenset({"trigger", "max_repetitions"})
"""A change of any of these starts a completed schedule again."""
_SENT_FIELDS = frozenset({"agent_id", "prompt", "content", "trigger", "target", "conversation"})
"""A change of any of these changes what would be sent, or whether: unsent deliveries of the old revision end."""


def _changed_names(old: Definition, new: Definition) -> list[str]:
    return [name for name in Definition.__slots__ if getattr(old, name) != getattr(new, name)]


def _withdraw(tx: Tx, schedule: Schedule, *, reason: str, now: datetime) -> list[Delivery]:
    """End pending deliveries and let those in flight be the last; return the pending ones."""
    waiting: list[Delivery] = []
    for delivery in tx.unfinished_deliveries(schedule.id):
        if delivery.state is DeliveryState.PENDING:
            waiting.append(delivery)
            gone = replace(delivery, state=DeliveryState.CANCELLED, reason=reason, finished_at=now, due_at=now)
            tx.save_delivery(gone, was=delivery)
        else:
            tx.save_delivery(replace(delivery, cancel_requested=True), was=delivery)
    return waiting


def provenance_of(tx: Tx, caller: Caller, *, now: datetime, origin: Delivery | None = None) -> Provenance:
    """Trace an agent's new schedule to the prompt that led to it: `origin`, or the one the agent is working on."""
    if caller.is_operator:
        return Provenance(owner=OPERATOR, created_by=caller.label)
    origin = origin or tx.delivery_in_progress(caller.owner, since=now - limits.RUN_TIME_MAX)
    if origin is None:
        return Provenance(owner=caller.owner, created_by=caller.label)
    parent = tx.schedule(origin.schedule_id)
    if parent is None:
        return Provenance(owner=caller.owner, created_by=caller.label)
    return Provenance(
        owner=caller.owner,
        created_by=caller.label,
        origin_delivery_id=origin.id,
        root_uid=parent.provenance.root_uid or parent.uid,
        depth=parent.provenance.depth + 1,
    )


def _check_reach(definition: Definition, caller: Caller) -> None:
    if not caller.is_operator and definition.agent_id != caller.owner:
        raise Forbidden(
            f"agent {caller.owner} may schedule prompts for itself only",
            hint="leave --agent-id out, or ask an operator",
        )


def _check_guard_of_definition(definition: Definition, caller: Caller, *, now: datetime) -> None:
    if not caller.is_operator:
        period = period_hint(definition.trigger, after=now)
        content = definition.content
        guard.check_definition(
            prompt_bytes=len(definition.prompt.encode()),
            content_bytes=content.size if content is not None else 0,
            period=period,
        )


def _check_guard_of_creation(tx: Tx, provenance: Provenance, caller: Caller, *, now: datetime) -> None:
    if not caller.is_operator:
        usage = tx.guard_usage(caller.owner, since=now - timedelta(hours=1))
        root = provenance.root_uid
        guard.check_creation(usage, descendants=tx.live_descendants(root) if root else 0)


def _check_guard_of_revival(tx: Tx, schedule: Schedule, caller: Caller, *, now: datetime) -> None:
    if not caller.is_operator:
        guard.check_active(tx.guard_usage(schedule.provenance.owner, since=now - timedelta(hours=1)))


def must_be_live(schedule: Schedule, what: str) -> None:
    """Raise Conflict when the schedule is over and cannot be `what`."""
    if schedule.state not in LIVE_STATES:
        raise Conflict(
            f"schedule {schedule.id} is {schedule.state} and cannot be {what}",
            hint="update it with a new time, cron or interval to start it again",
        )


def _check_until(until: datetime | None, *, now: datetime) -> None:
    if until is not None and until <= now:
        raise InvalidInput("--until must lie in the future", hint="give a later time, or leave it out")


def _operators_only(caller: Caller) -> None:
    if not caller.is_operator:
        raise Forbidden("only an operator may stop or start all deliveries")
