"""The one home of every JSON shape (docs/cli.md). Keys are only ever added.

Instants are RFC 3339 with the offset of the schedule's zone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from promptyoself.domain.intervals import format_duration
from promptyoself.domain.localtime import zone
from promptyoself.domain.models import Attempt, Delivery, InboxMessage, Policy, Schedule, ScheduleState, agent_of
from promptyoself.domain.outlook import next_to_send

if TYPE_CHECKING:
    from promptyoself.application.claims import Claimed
    from promptyoself.application.journal import Gap
    from promptyoself.application.passes import Entry
    from promptyoself.application.requests import Understood
    from promptyoself.domain.access import Token
    from promptyoself.domain.content import Content
    from promptyoself.domain.errors import PromptyoselfError
    from promptyoself.domain.planning import Opening
    from promptyoself.domain.ports import AgentInfo
    from promptyoself.domain.ports_journal import Told
    from promptyoself.domain.triggers import Trigger

Document = dict[str, Any]
"""One JSON object."""


def success(**members: object) -> Document:
    """Return an answer."""
    return {"status": "success", **members}


def failure(error: PromptyoselfError) -> Document:
    """Return a refusal or failure."""
    return problem(error.message, code=error.code, hint=error.hint)


def problem(message: str, *, code: str, hint: str | None = None, **members: object) -> Document:
    """Return a failure that no exception stands for.

    The hint is in `error` too: SMCP shows an agent that text alone, and it has to say what to do.
    """
    return {"error": f"{message}; {hint}" if hint else message, "code": code, "hint": hint, **members}


def instant(at: datetime | None, timezone: str) -> str | None:
    """Return an instant in a zone: `2030-01-31T09:00:00+02:00`."""
    return None if at is None else at.astimezone(zone(timezone)).isoformat()


def end(at: datetime, timezone: str) -> str:
    """Return the end of a span; the last microsecond of a day is its last second to people."""
    return at.astimezone(zone(timezone)).isoformat(timespec="seconds")


def schedule(stored: Schedule, *, snoozed_until: datetime | None = None) -> Document:
    """Return a schedule as list, show, update, pause and resume give it; what was put off comes at `snoozed_until`."""
    definition = stored.definition
    trigger, policy = definition.trigger, definition.policy
    return {
        "id": stored.id,
        "key": definition.key,
        "name": definition.name,
        "agent_id": definition.agent_id,
        "prompt_text": definition.prompt,
        "schedule_type": trigger.kind.value,
        "schedule_value": trigger.expression,
        "timezone": trigger.timezone,
        "next_run": instant(next_to_send(stored), trigger.timezone),
        "last_run": instant(stored.last_fire_at, trigger.timezone),
        "active": stored.state is ScheduleState.ACTIVE,
        "state": stored.state.value,
        "state_reason": stored.state_reason,
        "created_at": instant(stored.created_at, trigger.timezone),
        "max_repetitions": definition.max_repetitions,
        "repetition_count": stored.fire_count,
        "catch_up": policy.catch_up.value,
        "overlap": policy.overlap.value,
        "target": definition.target,
        "conversation": definition.conversation,
        "skip_on": policy.skip_on.name if policy.skip_on else None,
        "created_by": stored.provenance.created_by,
        "snoozed_until": instant(snoozed_until, trigger.timezone),
    }


def calendar(policy: Policy) -> Document:
    """Return a schedule's calendar and how far it reaches, or nothing when it has none."""
    holidays = policy.skip_on
    if holidays is None:
        return {}
    last_day = holidays.last_day.isoformat() if holidays.last_day else None
    return {"skip_on": holidays.name, "skip_on_until": last_day}


def content(stored: Content | None) -> Document | None:
    """Return what a schedule sends besides one plain prompt, as it was given; None for nothing."""
    return None if stored is None else stored.members


def details(stored: Schedule) -> Document:
    """Return what only `show` tells of a schedule."""
    trigger, policy = stored.definition.trigger, stored.definition.policy
    return {
        "start_at": instant(trigger.start_at, trigger.timezone),
        "end_at": instant(trigger.end_at, trigger.timezone),
        "jitter": _duration(trigger.jitter or None),
        "catch_up_window": _duration(policy.catch_up_window),
        "quiet_hours": str(policy.quiet_hours) if policy.quiet_hours else None,
        "skip_on_until": calendar(policy).get("skip_on_until"),
        "retry_for": _duration(policy.retry_for),
        "expires_after": _duration(policy.expires_after),
        "envelope": policy.envelope.value,
        "replies": policy.replies.value,
        "content": content(stored.definition.content),
        "paused_until": instant(stored.paused_until, trigger.timezone),
        "passed_until": instant(stored.passed_until, trigger.timezone),
        "owner": stored.provenance.owner,
        "origin_delivery_id": stored.provenance.origin_delivery_id,
        "depth": stored.provenance.depth,
        "revision": stored.revision,
        "updated_at": instant(stored.updated_at, trigger.timezone),
    }


def understood(phrases: Sequence[Understood], trigger: Trigger) -> Document:
    """Return the keys that tell what phrases in plain words were understood as; none when nothing was one.

    `understood` is the rule as it is kept, `understood_bounds` holds what became of --start-at and --end-at.
    """
    shape: Document = {}
    for one in phrases:
        if one.is_rule:
            shape["understood"] = rule_read(one.given, one.option, trigger)
        else:
            shape.setdefault("understood_bounds", []).append(_bound(one))
    return shape


def rule_read(given: str, option: str, trigger: Trigger) -> Document:
    """Return what a text for a rule was understood as: `option` and `value` can be typed back."""
    from promptyoself.domain.triggers import describe

    return {
        "given": given,
        "option": option,
        "value": trigger.expression,
        "words": describe(trigger),
        "timezone": trigger.timezone,
    }


def with_bounds(document: Document, phrases: Sequence[Understood]) -> Document:
    """Return an answer with what became of instants in plain words, and of what they may also mean as warnings."""
    if not phrases:
        return document
    notes = [note for one in phrases for note in one.notes]
    bounds = {"understood_bounds": [*document.get("understood_bounds", ()), *map(_bound, phrases)]}
    return document | bounds | ({"warnings": [*document.get("warnings", ()), *notes]} if notes else {})


def _bound(one: Understood) -> Document:
    return {"given": one.given, "option": one.option, "value": one.value, "timezone": one.timezone}


def delivery(stored: Delivery, timezone: str) -> Document:
    """Return a delivery; `timezone` is its schedule's."""
    return {
        "id": stored.id,
        "schedule_id": stored.schedule_id,
        "agent_id": agent_of(stored.lane),
        "target": stored.target,
        "kind": stored.kind.value,
        "state": stored.state.value,
        "reason": stored.reason,
        "error_code": stored.error_code,
        "fire_at": instant(stored.fire_at, timezone),
        "due_at": instant(stored.due_at, timezone),
        "snoozed_until": instant(stored.snoozed_until, timezone),
        "fire_number": stored.fire_number,
        "missed": stored.missed,
        "revision": stored.revision,
        "idempotency_key": stored.key,
        "attempts_counted": stored.attempts,
        "refusals": stored.refusals,
        "may_be_repeat": stored.maybe_repeat,
        "run_id": stored.run_id,
        "reply_excerpt": stored.reply_excerpt,
        "sent_at": instant(stored.sent_at, timezone),
        "accepted_at": instant(stored.accepted_at, timezone),
        "finished_at": instant(stored.finished_at, timezone),
        "lateness_ms": _milliseconds(stored.lateness),
        "created_at": instant(stored.created_at, timezone),
    }


def receipt(stored: Delivery, attempts: Sequence[Attempt], timezone: str) -> Document:
    """Return a delivery with every attempt, first to last."""
    return {**delivery(stored, timezone), "attempts": [attempt(one, timezone) for one in attempts]}


def attempt(made: Attempt, timezone: str) -> Document:
    """Return one attempt."""
    return {
        "number": made.number,
        "outcome": made.outcome.value,
        "started_at": instant(made.started_at, timezone),
        "finished_at": instant(made.finished_at, timezone),
        "otid": made.otid,
        "executor_id": made.executor_id,
        "error_code": made.error_code,
        "status": made.status,
        "run_id": made.run_id,
        "detail": made.detail,
    }


def executed(entry: Entry) -> Document:
    """Return an entry of `executed`: what one pass did about one delivery."""
    stored = entry.schedule
    timezone = stored.definition.trigger.timezone
    shape: Document = {
        "id": stored.id,
        "agent_id": stored.definition.agent_id,
        "delivered": entry.is_delivered,
        "next_run": instant(next_to_send(stored), timezone),
        "repetition_count": stored.fire_count,
        "max_repetitions": stored.definition.max_repetitions,
        "completed": stored.state is ScheduleState.COMPLETED,
        "delivery_id": entry.delivery.id,
        "attempt": entry.attempt,
        "outcome": entry.outcome,
        "lateness_ms": _milliseconds(entry.delivery.lateness),
    }
    if not entry.is_delivered:
        shape["error"] = entry.error
    return shape


def message(stored: InboxMessage, timezone: str) -> Document:
    """Return a message of the mailbox."""
    return {
        "id": stored.id,
        "agent_id": stored.agent_id,
        "prompt": stored.prompt,
        "envelope": stored.envelope,
        "schedule_id": stored.schedule_id,
        "delivery_id": stored.delivery_id,
        "received_at": instant(stored.received_at, timezone),
        "acked_at": instant(stored.acked_at, timezone),
    }


def claim(claimed: Claimed, timezone: str) -> Document:
    """Return what became of a claim: whether this call was first, and of the claim that stands, when and by what."""
    stands = claimed.claim
    return {
        "claimed": claimed.is_first,
        "key": stands.key,
        "agent_id": stands.owner,
        "claimed_at": instant(stands.claimed_at, timezone),
        "expires_at": instant(stands.expires_at, timezone),
        "delivery_id": stands.delivery_id,
    }


def token(stored: Token, timezone: str, *, now: datetime) -> Document:
    """Return a token as people may see it: everything but its text."""
    state = "revoked" if stored.revoked_at is not None else "live" if stored.is_live(now=now) else "expired"
    return {
        "id": stored.id,
        "kind": stored.kind.value,
        "agent_id": stored.agent_id,
        "name": stored.name,
        "state": state,
        "created_by": stored.created_by,
        "created_at": instant(stored.created_at, timezone),
        "expires_at": instant(stored.expires_at, timezone),
        "last_used_at": instant(stored.last_used_at, timezone),
        "revoked_at": instant(stored.revoked_at, timezone),
    }


def agent(info: AgentInfo) -> Document:
    """Return an agent as Letta lists it."""
    return {"id": info.id, "name": info.name, "description": info.description}


def run(at: datetime, timezone: str) -> Document:
    """Return a fire time as `preview` gives it: in the zone, and in UTC."""
    return {"at": instant(at, timezone), "utc": instant(at, "UTC")}


def opening(of: Opening, timezone: str) -> Document:
    """Return a fire time, and what planning makes of it where that is not to send it at its instant.

    `sent_at`, and `held` when quiet hours put it off; or `skipped`, the reason.
    """
    shape = run(of.fire_at, timezone)
    if of.skip_reason is not None:
        shape["skipped"] = of.skip_reason
    elif of.planned_at != of.fire_at:
        shape |= {"sent_at": instant(of.planned_at, timezone), "held": of.is_held}
    return shape


def event(told: Told, sentence: str) -> Document:
    """Return a fact of the journal as an event; nothing of it is a prompt's text."""
    fact = told.fact
    return {
        "id": fact.id,
        "event": fact.kind.value,
        "at": instant(fact.at, told.timezone or "UTC"),
        "schedule_id": fact.schedule_id,
        "agent_id": told.agent_id,
        "delivery_id": fact.delivery_id,
        "actor": fact.actor,
        "sentence": sentence,
        "detail": fact.detail,
    }


def gap(found: Gap | None) -> Document | None:
    """Return which stretch of the journal is not there any more, or None."""
    return None if found is None else {"after": found.after, "until": found.until, "missing": found.missing}


def dumps(document: Mapping[str, object], *, indent: int | None = None) -> str:
    """Return a document as JSON in ASCII, which every terminal, pipe and locale carries."""
    import json

    return json.dumps(document, indent=indent)


def _duration(duration: timedelta | None) -> str | None:
    return None if duration is None else format_duration(duration)


def _milliseconds(duration: timedelta | None) -> int | None:
    return None if duration is None else round(duration / timedelta(milliseconds=1))
