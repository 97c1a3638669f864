"""The dispatcher: carries one lane's deliveries, one at a time, and records what became of each.

The order in every step is the guarantee: claim the delivery in a transaction, send outside of any, record in a
second transaction that checks the claim still stands. What happens between two steps, a kill included, leaves
a row that says so: a leased delivery without a runner is asked about before anything is sent again.

A little over 500 lines: the steps of one delivery are read together, and their order is what matters.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from itertools import chain, repeat
from typing import TypeVar

from promptyoself.application import obeying
from promptyoself.application.asking import within_bounds
from promptyoself.application.ends import after_delivery
from promptyoself.application.gate import Gate
from promptyoself.domain import limits, retry
from promptyoself.domain.answers import (
    Absent,
    Accepted,
    Address,
    Done,
    FollowResult,
    Message,
    Refused,
    SendResult,
    Sent,
    SettleResult,
    Target,
    Unclear,
    Undecided,
)
from promptyoself.domain.callbacks import callback_for
from promptyoself.domain.envelope import compose
from promptyoself.domain.errors import StoreError
from promptyoself.domain.keys import otid_of
from promptyoself.domain.models import (
    Attempt,
    AttemptOutcome,
    Delivery,
    DeliveryState,
    Fact,
    Schedule,
)
from promptyoself.domain.ports import Chance, Clock, Tx, Writer

_log = logging.getLogger(__name__)
T = TypeVar("T")

_RECORD_WAITS_S = (0.1, 0.5, 2.0, 5.0, 10.0)
"""Pauses between tries to record an answer that only this process knows."""

AnyResult = SendResult | FollowResult | SettleResult


class _Duty(Enum):
    SEND = auto()
    FOLLOW = auto()
    SETTLE = auto()
    LOOK_FIRST = auto()
    """Send, but ask first whether an earlier life of this database has sent it already."""


@dataclass(frozen=True, slots=True)
class _Claim:
    duty: _Duty
    delivery: Delivery
    schedule: Schedule
    attempt: Attempt | None
    claimed_at: datetime
    nonce: str | None = None
    """Told to the agent where its reply is obeyed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one step of a delivery came to, for whoever watches a pass."""

    delivery: Delivery
    schedule: Schedule
    outcome: AttemptOutcome | None
    attempt: int
    error: str | None


Watch = Callable[[Report], None]


class _StillRunning:
    """The bound on following is over; the run goes on and its delivery stays accepted."""


@dataclass(slots=True, kw_only=True)
class _Turn:
    """One lane's turn: its lease token, and what it has carried so far."""

    lane: str
    token: str
    carried: set[int]
    follow_until_s: float | None
    """Monotonic second at which following stops; None: the run-time limit alone bounds it."""
    is_leased: bool = False
    is_refused: bool = False
    """True when another runner holds the lane."""
    reports: list[Report] = field(default_factory=list)
    """Of the transaction under way: handed to the watcher when it is durable."""


class Dispatcher:
    """Runs lanes for one executor. Both engines, and a single `execute`, call `run_lane`."""

    def __init__(
        self,
        *,
        writer: Writer,
        targets: Mapping[str, Target],
        gate: Gate,
        clock: Clock,
        chance: Chance,
        executor_id: str,
        watch: Watch | None = None,
        lease: timedelta = limits.LEASE,
    ) -> None:
        self._writer = writer
        self._targets = targets
        self._gate = gate
        self._clock = clock
        self._chance = chance
        self._executor_id = executor_id
        self._watch = watch
        self._lease_for = lease
        self._stopping = asyncio.Event()
        self._owed: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Claim nothing more, and stop following: accepted deliveries are left for the next executor."""
        self._stopping.set()

    async def run_lane(
        self,
        lane: str,
        *,
        most: int = limits.DELIVERIES_PER_TURN,
        follow_until_s: float | None = None,
        carried: set[int] | None = None,
    ) -> bool:
        """Take the lane, carry what is due (at most `most` deliveries), give it back.

        False when another runner holds it. Ids go into `carried`; one that is there already ends the turn, so
        that a pass which shares the set makes one attempt a delivery.
        """
        turn = _Turn(
            lane=lane,
            token=self._chance.token(),
            carried=set() if carried is None else carried,
            follow_until_s=follow_until_s,
        )
        try:
            for _ in range(most):
                if self._stopping.is_set() or not await self._carry_next(turn):
                    break
        finally:
            if turn.is_leased:
                await asyncio.shield(self._give_back(lane, turn.token))
        return not turn.is_refused

    async def _give_back(self, lane: str, token: str) -> None:
        """Free the lane. Its lease would not run out by itself: this executor's heartbeat renews all it holds."""
        try:
            await self._writer.write(lambda tx: tx.release_lane(lane, token=token), lane=lane)
        except StoreError as error:
            _log.error("lane.release_failed lane=%r code=%s error=%s", lane, error.code, error)
            owed = asyncio.ensure_future(self._give_back_later(lane, token))
            self._owed.add(owed)
            owed.add_done_callback(self._owed.discard)

    async def _give_back_later(self, lane: str, token: str) -> None:
        for wait_s in chain(_RECORD_WAITS_S, repeat(_RECORD_WAITS_S[-1])):  # as long as this process lives
            await asyncio.sleep(wait_s)
            with suppress(StoreError):
                await self._writer.write(lambda tx: tx.release_lane(lane, token=token), lane=lane)
                return

    async def _carry_next(self, turn: _Turn) -> bool:
        """Claim and carry one delivery; False when the turn is over."""
        slot = await self._gate.enter(turn.lane.split(" ", 1)[0])
        if slot is None:  # the breaker is open
            return False
        try:
            if self._stopping.is_set():  # it was told so while it waited for the slot
                return False
            turn.is_leased = True  # from here on the lane may be ours, also when the answer to the claim is lost
            claim = await self._write_and_tell(turn, lambda tx: self._claim(tx, turn))
            if claim is None:
                turn.is_leased = False
                return False
            result = await self._perform(claim, turn, release_slot=slot.release)
        finally:
            slot.release()
        return await self._conclude(claim, turn, result)

    # -- claim ----------------------------------------------------------------------------------------------

    def _claim(self, tx: Tx, turn: _Turn) -> _Claim | None:
        """Claim the lane and what it must do now; None when there is nothing, the lane then given back.

        The last look and the giving back are one transaction: what arrives later finds the lane free.
        """
        now = self._clock.now()
        if not self._lease(tx, turn, now=now):
            turn.is_refused = True
            return None
        for _ in range(limits.DELIVERIES_PER_TURN):
            delivery = tx.next_in_lane(turn.lane, now=now)
            if delivery is None or delivery.id in turn.carried:
                break
            schedule = tx.schedule(delivery.schedule_id)
            if schedule is None:
                break
            claim = self._claim_one(tx, delivery, schedule, turn, now=now)
            if claim is not None:
                turn.carried.add(delivery.id)
                return claim
        tx.release_lane(turn.lane, token=turn.token)
        return None

    def _lease(self, tx: Tx, turn: _Turn, *, now: datetime) -> bool:
        until = now + self._lease_for
        return tx.lease_lane(turn.lane, token=turn.token, executor_id=self._executor_id, now=now, until=until)

    def _claim_one(
        self, tx: Tx, delivery: Delivery, schedule: Schedule, turn: _Turn, *, now: datetime
    ) -> _Claim | None:
        """Claim a delivery for its next duty; None when it ended instead of being sent."""
        if delivery.state is not DeliveryState.PENDING:
            return self._claim_in_flight(tx, delivery, schedule, turn, now=now)
        ending = retry.before_send(delivery, schedule, now=now)
        if ending is not None:
            written = self._write(tx, delivery, ending, schedule, attempt=None, now=now)
            self._note(turn, ending, written, attempt=None)
            return None
        is_late_first = delivery.attempts == 0 and now - delivery.planned_at > limits.LATE_FIRST_SEND
        # What may have arrived is asked about once more: its agent was busy, perhaps with this very prompt.
        must_look = is_late_first or delivery.maybe_repeat
        leased = retry.lease(delivery, token=turn.token, now=now)
        if not tx.save_delivery(leased, was=delivery):
            return None
        attempt = tx.add_attempt(delivery.id, executor_id=self._executor_id, otid=otid_of(delivery), started_at=now)
        nonce = obeying.nonce_for(tx, schedule, leased)
        return _Claim(_Duty.LOOK_FIRST if must_look else _Duty.SEND, leased, schedule, attempt, now, nonce)

    def _claim_in_flight(
        self, tx: Tx, delivery: Delivery, schedule: Schedule, turn: _Turn, *, now: datetime
    ) -> _Claim | None:
        attempt = next(iter(tx.attempts(delivery.id)[-1:]), None)
        step = retry.take_over(delivery, token=turn.token, now=now)
        if self._write(tx, delivery, step, schedule, attempt=attempt, now=now) is None:
            return None
        duty = _Duty.FOLLOW if step.delivery.state is DeliveryState.ACCEPTED else _Duty.SETTLE
        return _Claim(duty, step.delivery, schedule, attempt, now)

    # -- perform --------------------------------------------------------------------------------------------

    async def _perform(
        self, claim: _Claim, turn: _Turn, *, release_slot: Callable[[], None]
    ) -> AnyResult | _StillRunning:
        """Do what the claim is for; the slot is given back as soon as the target has answered."""
        match claim.duty:
            case _Duty.SEND:
                return await self._send(claim, turn, release_slot)
            case _Duty.LOOK_FIRST:
                found = await self._bounded_settle(claim)
                if isinstance(found, Undecided) and found.is_unreachable:
                    refused = Refused(code="unreachable", detail=found.detail, is_target_wide=True)
                    self._gate.note(claim.delivery.target, refused)
                    return refused
                is_settled = not isinstance(found, Undecided | Absent)
                return found if is_settled else await self._send(claim, turn, release_slot)
            case _Duty.SETTLE:
                return await self._bounded_settle(claim)
            case _Duty.FOLLOW:
                release_slot()
                return await self._follow(claim, turn)

    async def _send(self, claim: _Claim, turn: _Turn, release_slot: Callable[[], None]) -> AnyResult:
        if not await self._is_still_ours(claim, turn):
            return Unclear(code="lease_lost", detail="the lane's lease was lost before the send")
        delivery, schedule = claim.delivery, claim.schedule
        target = self._targets.get(delivery.target)
        if target is None:
            detail = f"this executor has no target {delivery.target!r}"
            return Refused(code="unknown_target", detail=detail)  # another executor may have it
        message = Message(
            address=_address(delivery),
            otid=otid_of(delivery),
            prompt=schedule.definition.prompt,
            content=schedule.definition.content,
            envelope=compose(schedule, delivery, now=self._clock.now(), nonce=claim.nonce),
            delivery_id=delivery.id,
            schedule_id=schedule.id,
        )
        # A request that stays open (an agent that thinks for minutes on a blocking route) stops counting
        # against the target's pace, so that one hung agent holds up nobody else's.
        timer = asyncio.get_running_loop().call_later(limits.SLOT_HELD_MAX.total_seconds(), release_slot)
        started_s = self._clock.monotonic()
        try:
            result = await within_bounds(target.send(message), limits.RUN_TIME_MAX, "send")
        finally:
            timer.cancel()
        self._gate.note(delivery.target, result)
        _log.info(
            "delivery.sent delivery_id=%d attempt=%d result=%s took_ms=%d",
            delivery.id,
            claim.attempt.number if claim.attempt else 0,
            type(result).__name__.lower(),
            (self._clock.monotonic() - started_s) * 1000,
        )
        return result

    async def _is_still_ours(self, claim: _Claim, turn: _Turn) -> bool:
        """Renew the lease before a send when little of it is left (a stopped process, a slow disk)."""
        if abs(self._clock.now() - claim.claimed_at) < limits.LEASE_MARGIN:
            return True
        return await self._writer.write(lambda tx: self._renew(tx, claim, turn), lane=turn.lane)

    def _renew(self, tx: Tx, claim: _Claim, turn: _Turn) -> bool:
        """Renew the lease, if the delivery is still in our hands.

        The lane alone does not tell: who took it over may have carried the delivery and given the lane back.
        """
        current = tx.delivery(claim.delivery.id)
        if current is None or current.lease_token != turn.token or current.state is not claim.delivery.state:
            return False
        return self._lease(tx, turn, now=self._clock.now())

    async def _follow(self, claim: _Claim, turn: _Turn) -> AnyResult | _StillRunning:
        delivery = claim.delivery
        target = self._targets.get(delivery.target)
        if target is None:
            return _StillRunning()
        since = delivery.accepted_at or self._clock.now()
        left = (since + limits.RUN_TIME_MAX - self._clock.now()).total_seconds()
        left = min(left, limits.RUN_TIME_MAX.total_seconds())  # the wall clock may have stepped back
        # A run whose executor was away may have ended long ago: it is looked at before it is called too long.
        left = max(left, limits.LAST_LOOK.total_seconds())
        budget = left
        if turn.follow_until_s is not None:
            budget = min(budget, turn.follow_until_s - self._clock.monotonic())
        sent = self._sent(claim)
        following = asyncio.ensure_future(within_bounds(target.follow(sent), limits.RUN_TIME_MAX * 2, "follow"))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({following, stopping}, timeout=max(0.0, budget), return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                return following.result()
            if self._stopping.is_set() or budget < left:
                return _StillRunning()
        finally:
            following.cancel()
            stopping.cancel()
            await asyncio.gather(following, stopping, return_exceptions=True)
        await within_bounds(target.cancel_run(sent), timedelta(seconds=10), "cancel")
        minutes = limits.RUN_TIME_MAX // timedelta(minutes=1)
        return Unclear(
            code="run_time", detail=f"the agent's run did not end within {minutes} minutes and was cancelled"
        )

    async def _bounded_settle(self, claim: _Claim) -> AnyResult:
        target = self._targets.get(claim.delivery.target)
        if target is None:
            return Undecided(detail="this executor has no such target", is_unreachable=True)
        result = await within_bounds(target.settle(self._sent(claim)), timedelta(seconds=60), "settle")
        if isinstance(result, Unclear):
            return Undecided(detail=result.detail, is_unreachable=True)
        return result

    def _sent(self, claim: _Claim) -> Sent:
        delivery = claim.delivery
        return Sent(
            address=_address(delivery),
            otid=otid_of(delivery),
            run_id=delivery.run_id,
            since=delivery.fire_at if claim.duty is _Duty.LOOK_FIRST else (delivery.first_sent_at or delivery.fire_at),
        )

    # -- record ---------------------------------------------------------------------------------------------

    async def _conclude(self, claim: _Claim, turn: _Turn, result: AnyResult | _StillRunning) -> bool:
        """Record the result, follow what was accepted, and say whether the turn may go on."""
        if isinstance(result, _StillRunning):
            return False
        recorded = await self._record(claim, turn, result)
        if recorded is None:
            return False
        if isinstance(result, Accepted) and recorded.state is DeliveryState.ACCEPTED:
            following = replace(claim, duty=_Duty.FOLLOW, delivery=recorded)
            return await self._conclude(following, turn, await self._follow(following, turn))
        return True

    async def _record(self, claim: _Claim, turn: _Turn, result: AnyResult) -> Delivery | None:
        """Write what became of the attempt; None when the lease was lost meanwhile, and nothing was written.

        A store that cannot write (full disk, lock) is tried again: the answer is known here and nowhere else.
        """
        for wait_s in _RECORD_WAITS_S:
            try:
                return await self._write_and_tell(turn, lambda tx: self._record_in(tx, claim, turn, result))
            except StoreError as error:
                _log.error(
                    "delivery.record_failed delivery_id=%d code=%s error=%s", claim.delivery.id, error.code, error
                )
                await asyncio.sleep(wait_s)
        return None

    def _record_in(self, tx: Tx, claim: _Claim, turn: _Turn, result: AnyResult) -> Delivery | None:
        now = self._clock.now()
        current = tx.delivery(claim.delivery.id)
        schedule = tx.schedule(claim.delivery.schedule_id)
        if (
            current is None
            or schedule is None
            or current.lease_token != turn.token
            or current.state is not claim.delivery.state
        ):
            _log.warning("delivery.lease_lost delivery_id=%d", claim.delivery.id)
            return None
        reply = obeying.heard(tx, schedule, current, result) if isinstance(result, Done) else None
        is_silent = reply is not None and reply.is_silent
        if is_silent and isinstance(result, Done):
            result = replace(result, reply_excerpt=None)
        step = retry.after(current, result, now=now, fraction=self._chance.fraction())
        written = self._write(tx, current, step, schedule, attempt=claim.attempt, now=now, is_silent=is_silent)
        if written is None:
            return None
        if reply is not None:
            written = obeying.obey(tx, written, step.delivery, reply, uid=self._chance.token(), now=now)
        self._note(turn, step, written, attempt=claim.attempt)
        return step.delivery

    async def _write_and_tell(self, turn: _Turn, act: Callable[[Tx], T]) -> T:
        """Write, then tell the watcher: what was rolled back is never reported."""
        turn.reports.clear()
        answer = await self._writer.write(act, lane=turn.lane)
        if self._watch is not None:
            for report in turn.reports:
                self._watch(report)
        return answer

    def _note(self, turn: _Turn, step: retry.Step, schedule: Schedule | None, *, attempt: Attempt | None) -> None:
        if schedule is None:
            return
        number = attempt.number if attempt else 0
        turn.reports.append(
            Report(delivery=step.delivery, schedule=schedule, outcome=step.outcome, attempt=number, error=step.text)
        )

    def _write(
        self,
        tx: Tx,
        was: Delivery,
        step: retry.Step,
        schedule: Schedule,
        *,
        attempt: Attempt | None,
        now: datetime,
        is_silent: bool = False,
    ) -> Schedule | None:
        """Write one step: delivery, attempt, journal, and what it means for the schedule and its callback."""
        if not tx.save_delivery(step.delivery, was=was):
            return None
        if attempt is not None and step.outcome is not None:
            tx.finish_attempt(
                attempt.id,
                outcome=step.outcome,
                finished_at=None if step.outcome is AttemptOutcome.ACCEPTED else now,
                error_code=step.code,
                status=step.status,
                run_id=step.delivery.run_id,
                detail=step.text,
            )
        if step.fact is not None:
            tx.add_fact(
                Fact(
                    kind=step.fact,
                    at=now,
                    schedule_id=schedule.id,
                    delivery_id=was.id,
                    actor=self._executor_id,
                    detail={
                        "attempt": attempt.number if attempt else None,
                        "text": step.text,
                        "code": step.code,
                        "run_id": step.delivery.run_id,
                    },
                )
            )
        if step.delivery.state.is_final:
            callback = None if is_silent else callback_for(schedule, step.delivery, now=now)
            if callback is not None:
                tx.add_callback(callback)
            return after_delivery(tx, schedule, step.delivery, outcome=step.outcome, now=now)
        return schedule


def _address(delivery: Delivery) -> Address:
    """Return the address the delivery's lane was named for: an edit in flight must not redirect it."""
    agent_id, _, conversation = delivery.lane.split(" ", 1)[1].partition(" ")
    return Address(agent_id=agent_id, conversation=conversation or None)
