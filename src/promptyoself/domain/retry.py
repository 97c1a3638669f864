"""A delivery's life after it is pending: what each answer of a target, and each loss of one, makes of it.

Pure. Every function takes a delivery and returns a `Step`: the delivery as it shall be, how its attempt
ended, and what the journal says. docs/architecture.md draws the states.

    surely not processed (busy, refused)   pending again; uses up no attempt, only the time of `retry_for`
    proven failure of the agent's run      pending again under a new otid, or dead after ATTEMPTS_MAX
    nobody saw the end                     unknown: asked about, then repeated and marked, or dead
    no later attempt could succeed         dead at once
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never

from promptyoself.domain import backoff, limits
from promptyoself.domain.answers import (
    Absent,
    Accepted,
    Busy,
    Done,
    Failed,
    Final,
    FollowResult,
    Refused,
    SendResult,
    SettleResult,
    Unclear,
    Undecided,
)
from promptyoself.domain.models import (
    AttemptOutcome,
    Definition,
    Delivery,
    DeliveryKind,
    DeliveryState,
    FactKind,
    Schedule,
    ScheduleState,
)
from promptyoself.domain.values import dataclass, replace

TARGET_WIDE = "target: "
"""A reason that starts so says that the target refused all: when it recovers, the wait is cut short."""

NOT_ASKED = "not_asked"
"""Code of a refusal: the target was to be asked whether it has the prompt already, and could not be."""

AnyResult = SendResult | FollowResult | SettleResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change of a delivery, with its record."""

    delivery: Delivery
    outcome: AttemptOutcome | None
    """None: the attempt's row stays as it is."""
    fact: FactKind | None
    text: str | None = None
    code: str | None = None
    status: int | None = None


def before_send(delivery: Delivery, schedule: Schedule, *, now: datetime) -> Step | None:
    """Return how a due pending delivery ends, or is held, instead of being sent; None when it is to be sent."""
    if schedule.state is ScheduleState.CANCELLED:
        return _end(delivery, DeliveryState.CANCELLED, now, "the schedule was cancelled", FactKind.SKIPPED)
    if now >= delivery.retry_until and delivery.first_sent_at is not None:
        return _give_up(delivery, now, "retry_for used up")
    # What was never tried (no executor, all stopped) gets its one try, however late: late rather than never.
    never_sent = delivery.attempts == 0 and delivery.fire_number > 0
    counted_from = delivery.snoozed_until or delivery.fire_at
    if never_sent and schedule.definition.policy.has_expired(counted_from, now=now):
        return _end(delivery, DeliveryState.SKIPPED, now, "expired: expires_after has passed", FactKind.SKIPPED)
    is_asked_for = delivery.kind is DeliveryKind.RUN_NOW or delivery.fire_number == 0  # by hand: it goes at once
    held_until = None if is_asked_for else held_by_quiet_hours(schedule.definition, now=now)
    return None if held_until is None else _hold(delivery, schedule, held_until, now=now)


def must_look_first(delivery: Delivery, *, now: datetime, in_use_until: datetime | None) -> bool:
    """Return whether the target is asked, before a due delivery is sent, if it has it already.

    What may have arrived is asked about once more: its agent was busy, perhaps with this very prompt. So is each
    occurrence whose fire time an earlier life of this database has seen, one `in_use_until` then (None: there was none
    that is known): it may have been sent there, and failed, and been sent again. So is what nothing of ours explains:
    it should have gone out by itself long ago, for the first time or again, and in a life before a restore that nobody
    told of it perhaps did. A retry that goes out when its backoff ends asks nothing.
    """
    was_never_processed = delivery.attempts == 0
    return (
        delivery.maybe_repeat
        or delivery.error_code == NOT_ASKED
        or (in_use_until is not None and delivery.fire_at <= in_use_until)
        or now - delivery.due_at > limits.LATE_FIRST_SEND
        or (was_never_processed and now - delivery.planned_at > limits.LATE_FIRST_SEND)
    )


def held_by_quiet_hours(definition: Definition, *, now: datetime) -> datetime | None:
    """Return when the quiet hours end (aware UTC) that keep anything of a schedule from going out at `now`, or None.

    Planning keeps what is due in them; this is for what was due before and is late (an outage, a retry, a busy
    agent). Hours that skip hold it as well: it was promised for a time outside of them.
    """
    quiet = definition.policy.quiet_hours
    return None if quiet is None else quiet.release_at(now, definition.trigger.timezone)


def _hold(delivery: Delivery, schedule: Schedule, until: datetime, *, now: datetime) -> Step:
    """Put a delivery off to the end of quiet hours; the time that it has for retries stands still meanwhile."""
    text = f"quiet hours: {schedule.definition.policy.quiet_hours}"
    held = replace(delivery, due_at=until, retry_until=delivery.retry_until + (until - now), reason=text)
    return Step(delivery=held, outcome=None, fact=FactKind.HELD, text=text)


def lease(delivery: Delivery, *, token: str, now: datetime) -> Delivery:
    """Return a pending delivery as leased, its request about to begin."""
    return replace(
        delivery,
        state=DeliveryState.LEASED,
        lease_token=token,
        sent_at=now,
        first_sent_at=delivery.first_sent_at or now,
        run_id=None,
    )


def take_over(delivery: Delivery, *, token: str, now: datetime) -> Step:
    """Return an in-flight delivery as taken over by a new runner.

    One that was leased had its request about to begin, or open, or answered without a record: unknown. An
    accepted one keeps its run, which is followed and never sent over.
    """
    taken = replace(delivery, lease_token=token)
    if delivery.state is not DeliveryState.LEASED:
        return Step(delivery=taken, outcome=None, fact=None)
    text = "its runner was lost between sending and recording"
    return _unknown(taken, now=now, code="runner_lost", text=text)


def after(delivery: Delivery, result: AnyResult, *, now: datetime, fraction: float) -> Step:
    """Return what `result` makes of a delivery in flight. `fraction` in 0..1 draws the backoff."""
    match result:
        case Accepted():
            return _accepted(delivery, result, now=now, fraction=fraction)
        case Done():
            return _delivered(delivery, result, now=now)
        case Busy():
            return _busy(delivery, result, now=now, fraction=fraction)
        case Refused():
            return _refused(delivery, result, now=now, fraction=fraction)
        case Failed():
            return _failed(delivery, result, now=now, fraction=fraction)
        case Unclear():
            code, text = result.code, result.detail
            return _unknown(replace(delivery, run_id=result.run_id or delivery.run_id), now=now, code=code, text=text)
        case Final():
            return _end(
                delivery, DeliveryState.DEAD, now, result.detail, FactKind.DEAD, AttemptOutcome.FINAL,
                code=result.code, status=result.status,
            )  # fmt: skip
        case Absent():
            return _absent(delivery, now=now)
        case Undecided():
            return _undecided(delivery, result, now=now, fraction=fraction)
        case _:
            assert_never(result)


def revive(delivery: Delivery, *, now: datetime, retry_for: timedelta) -> Delivery:
    """Return a dead, skipped or cancelled delivery as due now, with all its attempts and time again.

    One that was skipped ahead of its fire time is due when it would have been: that undoes the skip.
    It leaves its schedule's count of fires (`fire_number` 0, as a run-now has): a person asked for it, so it neither
    expires nor is superseded. One that ended in doubt says that it may be a repeat.
    """
    is_ahead = delivery.state is DeliveryState.SKIPPED and delivery.fire_at > now
    comes_at = max(now, delivery.planned_at) if is_ahead else now
    return replace(
        delivery,
        state=DeliveryState.PENDING,
        fire_number=0,
        maybe_repeat=delivery.maybe_repeat or delivery.unknown_since is not None,
        accepted_at=None,
        run_id=None,
        reason="retried by hand",
        error_code=None,
        due_at=comes_at,
        planned_at=comes_at,
        snoozed_until=None,
        attempts=0,
        refusals=0,
        retry_until=comes_at + retry_for,
        unknown_since=None,
        cancel_requested=False,
        lease_token=None,
        finished_at=None,
    )


def _accepted(delivery: Delivery, result: Accepted, *, now: datetime, fraction: float) -> Step:
    if _has_outlived_its_time(delivery, now=now):
        going_on = Undecided(detail=f"run {result.run_id} goes on beyond its time")
        return _undecided(delivery, going_on, now=now, fraction=fraction)
    moved = replace(
        delivery,
        state=DeliveryState.ACCEPTED,
        run_id=result.run_id,
        accepted_at=delivery.accepted_at or now,
        sent_at=delivery.sent_at or now,
        # Becoming unknown has used up this attempt; how its run ends decides that now.
        attempts=max(0, delivery.attempts - (delivery.state is DeliveryState.UNKNOWN)),
        unknown_since=None,
        reason=None,
        error_code=None,
        refusals=0,
        due_at=now,
    )
    return Step(delivery=moved, outcome=AttemptOutcome.ACCEPTED, fact=FactKind.ACCEPTED)


def _has_outlived_its_time(delivery: Delivery, *, now: datetime) -> bool:
    """A run that was followed to its limit, and cancelled, is not followed again: the bound on doubt ends it."""
    accepted_at = delivery.accepted_at
    return (
        delivery.state is DeliveryState.UNKNOWN and accepted_at is not None and now - accepted_at >= limits.RUN_TIME_MAX
    )


def _delivered(delivery: Delivery, result: Done, *, now: datetime) -> Step:
    moved = replace(
        delivery,
        state=DeliveryState.DELIVERED,
        run_id=result.run_id or delivery.run_id,
        reply_excerpt=result.reply_excerpt,
        accepted_at=delivery.accepted_at or now,
        finished_at=now,
        unknown_since=None,
        reason=None,
        error_code=None,
        lease_token=None,
        due_at=now,
    )
    return Step(delivery=moved, outcome=AttemptOutcome.DELIVERED, fact=FactKind.DELIVERED)


def _busy(delivery: Delivery, result: Busy, *, now: datetime, fraction: float) -> Step:
    wait = backoff.after_busy(delivery.refusals, fraction=fraction)
    return _wait(
        delivery, now=now, wait=wait, text=f"busy: {result.detail}", outcome=AttemptOutcome.BUSY, fact=FactKind.BUSY
    )


def _refused(delivery: Delivery, result: Refused, *, now: datetime, fraction: float) -> Step:
    wait = backoff.after_failure(delivery.refusals, fraction=fraction)
    if result.retry_after is not None:
        wait = max(wait, min(result.retry_after, limits.RETRY_AFTER_MAX))
    text = f"{TARGET_WIDE if result.is_target_wide else ''}{result.detail}"
    step = _wait(delivery, now=now, wait=wait, text=text, outcome=AttemptOutcome.REFUSED, fact=FactKind.REFUSED)
    return replace(step, code=result.code, status=result.status, delivery=_coded(step.delivery, result.code))


def _wait(
    delivery: Delivery,
    *,
    now: datetime,
    wait: timedelta,
    text: str,
    outcome: AttemptOutcome,
    fact: FactKind,
) -> Step:
    """Put a surely unprocessed delivery back: it uses up time, no attempt."""
    if delivery.cancel_requested:
        return _end(delivery, DeliveryState.CANCELLED, now, "cancelled in flight; it was not processed", fact, outcome)
    if now >= delivery.retry_until:
        return _give_up(delivery, now, f"retry_for used up; last: {text}", outcome)
    moved = replace(
        delivery,
        state=DeliveryState.PENDING,
        lease_token=None,
        refusals=delivery.refusals + 1,
        # The last look is at retry_until itself, so that the end is recorded then and not a backoff later.
        due_at=min(now + wait, max(now, delivery.retry_until)),
        reason=_bounded(text),
    )
    return Step(delivery=moved, outcome=outcome, fact=fact, text=text)


def _failed(delivery: Delivery, result: Failed, *, now: datetime, fraction: float) -> Step:
    was_counted = delivery.state is DeliveryState.UNKNOWN  # becoming unknown has used up this attempt already
    counted = replace(
        delivery,
        attempts=delivery.attempts + (not was_counted),
        failures=delivery.failures + 1,
        refusals=0,
        unknown_since=None,
        accepted_at=None,
        run_id=result.run_id or delivery.run_id,
    )
    outcome, text = AttemptOutcome.FAILED, result.detail
    if delivery.cancel_requested:
        step = _end(
            counted, DeliveryState.CANCELLED, now, "cancelled in flight; the run failed", FactKind.FAILED, outcome
        )
    elif counted.attempts >= limits.ATTEMPTS_MAX:
        step = _give_up(counted, now, f"{counted.attempts} attempts failed; last: {text}", outcome)
    elif now >= delivery.retry_until:
        step = _give_up(counted, now, f"retry_for used up; last: {text}", outcome)
    else:
        wait = backoff.after_failure(counted.attempts - 1, fraction=fraction)
        moved = replace(
            counted,
            state=DeliveryState.PENDING,
            lease_token=None,
            due_at=min(now + wait, max(now, delivery.retry_until)),
            reason=_bounded(text),
        )
        step = Step(delivery=moved, outcome=outcome, fact=FactKind.FAILED, text=text)
    return replace(step, code=result.code, status=result.status, delivery=_coded(step.delivery, result.code))


def _unknown(delivery: Delivery, *, now: datetime, code: str, text: str) -> Step:
    moved = replace(
        delivery,
        state=DeliveryState.UNKNOWN,
        attempts=delivery.attempts + 1,
        refusals=0,
        unknown_since=now,
        # A run that is there and cannot be followed is not asked about in a tight loop.
        due_at=now + limits.SETTLE_FIRST if delivery.state is DeliveryState.ACCEPTED else now,
        reason=_bounded(text),
        error_code=code,
    )
    return Step(delivery=moved, outcome=AttemptOutcome.UNKNOWN, fact=FactKind.UNKNOWN, text=text, code=code)


def _absent(delivery: Delivery, *, now: datetime) -> Step:
    """Proven never to have arrived: send it again, unmarked, at once."""
    if delivery.cancel_requested:
        text, outcome = "cancelled; it never arrived", AttemptOutcome.ABANDONED
        return _end(delivery, DeliveryState.CANCELLED, now, text, FactKind.SETTLED, outcome)
    moved = replace(
        delivery,
        state=DeliveryState.PENDING,
        lease_token=None,
        attempts=max(0, delivery.attempts - 1),
        unknown_since=None,
        accepted_at=None,
        run_id=None,
        due_at=now,
        reason="it never arrived, and is sent again",
    )
    return Step(delivery=moved, outcome=AttemptOutcome.ABANDONED, fact=FactKind.SETTLED, text="it never arrived")


def _undecided(delivery: Delivery, result: Undecided, *, now: datetime, fraction: float) -> Step:
    since = delivery.unknown_since or now
    if now >= delivery.retry_until:
        return _give_up(delivery, now, f"its outcome could not be learnt: {result.detail}")
    if result.is_unreachable:
        moved = replace(delivery, unknown_since=now, due_at=now + limits.SETTLE_MAX)
        return Step(delivery=moved, outcome=None, fact=None, text=result.detail)
    if now - since < limits.SETTLE_FOR:
        moved = replace(delivery, due_at=now + backoff.while_unknown(now - since))
        return Step(delivery=moved, outcome=None, fact=None, text=result.detail)
    return _repeat(delivery, now=now, fraction=fraction, text=result.detail)


def _repeat(delivery: Delivery, *, now: datetime, fraction: float, text: str) -> Step:
    """The bound is over and nobody knows: send it again under the same otid, and say so."""
    if delivery.cancel_requested:
        text = "cancelled in flight; whether it arrived could not be learnt"
        return _end(delivery, DeliveryState.CANCELLED, now, text, FactKind.SETTLED)
    if delivery.attempts >= limits.ATTEMPTS_MAX:
        return _give_up(delivery, now, f"{delivery.attempts} attempts without a known outcome; last: {text}")
    moved = replace(
        delivery,
        state=DeliveryState.PENDING,
        lease_token=None,
        maybe_repeat=True,
        unknown_since=None,
        accepted_at=None,
        due_at=now + backoff.after_failure(delivery.attempts - 1, fraction=fraction),
        reason=_bounded(f"repeated, and marked as a possible repeat: {text}"),
    )
    return Step(delivery=moved, outcome=None, fact=FactKind.SETTLED, text=moved.reason)


def _give_up(delivery: Delivery, now: datetime, text: str, outcome: AttemptOutcome | None = None) -> Step:
    return _end(delivery, DeliveryState.DEAD, now, text, FactKind.DEAD, outcome)


def _end(
    delivery: Delivery,
    state: DeliveryState,
    now: datetime,
    text: str,
    fact: FactKind,
    outcome: AttemptOutcome | None = None,
    *,
    code: str | None = None,
    status: int | None = None,
) -> Step:
    moved = replace(
        delivery,
        state=state,
        reason=_bounded(text),
        error_code=code or delivery.error_code,
        finished_at=now,
        lease_token=None,
        due_at=now,
    )
    return Step(delivery=moved, outcome=outcome, fact=fact, text=text, code=code, status=status)


def _coded(delivery: Delivery, code: str) -> Delivery:
    return replace(delivery, error_code=code)


def _bounded(text: str) -> str:
    return text[: limits.ERROR_CHARS_MAX]
