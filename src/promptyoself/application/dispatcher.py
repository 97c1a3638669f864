"""The dispatcher: carries one lane's deliveries, one at a time, and records what became of each.

The order in every step is the guarantee: claim the delivery in a transaction, send outside of any, record in a
second transaction that checks the claim still stands. What happens between two steps, a kill included, leaves
a row that says so: a leased delivery without a runner is asked about before anything is sent again.

The transaction that records one delivery claims the next, or gives the lane back: a commit for each, not two.

About 500 lines: the steps of one delivery are read together, and their order is what matters.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import chain, repeat
from typing import Any, TypeVar

from promptyoself.application import obeying
from promptyoself.application.asking import Begun, within_bounds
from promptyoself.application.earlier_life import EarlierLife
from promptyoself.application.ends import after_delivery
from promptyoself.application.gate import Gate, Slot
from promptyoself.application.takeovers import TOLD, TakeOvers
from promptyoself.application.turns import (
    AnyResult,
    Claim,
    Duty,
    Recorded,
    Report,
    StillRunning,
    Turn,
    Watch,
    address_of,
    target_of,
)
from promptyoself.domain import limits, retry
from promptyoself.domain.answers import (
    Absent,
    Accepted,
    Done,
    Message,
    Refused,
    Sent,
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
from promptyoself.domain.values import replace

__all__ = ["Dispatcher", "Report", "Watch"]

_log = logging.getLogger(__name__)
T = TypeVar("T")

_RECORD_WAITS_S = (0.1, 0.5, *repeat(2.0, 60))
"""Pauses between tries to record an answer that only this process knows: a database may be away for a minute or two."""

_LEASE_LOST = Unclear(code="lease_lost", detail="the lane's lease was lost before the send")
_CALLED_OFF = Refused(code="called_off", detail="it was cancelled before it was sent")


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
        self._margin = min(limits.LEASE_MARGIN, lease / 2)
        self._earlier = EarlierLife(clock)
        self._take_overs = TakeOvers()
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
        turn = Turn(
            lane=lane,
            token=self._chance.token(),
            carried=set() if carried is None else carried,
            follow_until_s=follow_until_s,
        )
        await self._run(turn, most)
        return not turn.is_refused

    def claim_ahead(self, tx: Tx, lane: str, slot: Slot) -> Turn:
        """Claim a lane and what it must do now in the caller's transaction; `run_ahead` carries it when that is stored.

        Raises StoreError kin. Whether it is stored or not, `give_up` is for a turn that is not run.
        """
        turn = Turn(lane=lane, token=self._chance.token(), carried=set(), follow_until_s=None, is_leased=True)
        claim = self._claim(tx, turn)
        if claim is not None:
            turn.ahead = (claim, slot)
        return turn

    async def run_ahead(self, turn: Turn) -> None:
        """Carry what was claimed ahead, and what else is due in its lane, as `run_lane` does."""
        self._tell(turn)
        if turn.ahead is not None:
            await self._run(turn, limits.DELIVERIES_PER_TURN)

    async def give_up(self, turn: Turn) -> None:
        """Free the lane of a turn that is not run, if it was stored that it is ours.

        Where nobody has answered the commit, a lane that is new may come to be there later: it is freed again then.
        """
        if turn.ahead is not None:
            turn.ahead[1].release()
        await self._give_back(turn.lane, turn.token)
        self._owe(self._give_back_once_more(turn.lane, turn.token))

    async def _give_back_once_more(self, lane: str, token: str) -> None:
        await asyncio.sleep(self._lease_for.total_seconds())
        await self._give_back(lane, token)

    async def _run(self, turn: Turn, most: int) -> None:
        try:
            for left in range(most, 0, -1):
                turn.is_last = left == 1
                is_told_to_stop = self._stopping.is_set() and turn.ahead is None
                if is_told_to_stop or not await self._carry_next(turn):
                    break
        finally:
            if turn.is_leased:
                await asyncio.shield(self._give_back(turn.lane, turn.token))

    async def _give_back(self, lane: str, token: str) -> None:
        """Free the lane. Its lease would not run out by itself: this executor's heartbeat renews all it holds."""
        try:
            await self._writer.write(lambda tx: tx.release_lane(lane, token=token), lane=lane)
        except StoreError as error:
            _log.error("lane.release_failed lane=%r code=%s error=%s", lane, error.code, error)
            self._owe(self._give_back_later(lane, token))

    def _owe(self, act: Coroutine[Any, Any, None]) -> None:
        owed = asyncio.ensure_future(act)
        self._owed.add(owed)
        owed.add_done_callback(self._owed.discard)

    async def _give_back_later(self, lane: str, token: str) -> None:
        for wait_s in chain(_RECORD_WAITS_S, repeat(_RECORD_WAITS_S[-1])):  # as long as this process lives
            await asyncio.sleep(wait_s)
            with suppress(StoreError):
                await self._writer.write(lambda tx: tx.release_lane(lane, token=token), lane=lane)
                return

    async def _carry_next(self, turn: Turn) -> bool:
        """Claim and carry one delivery; False when the turn is over."""
        if turn.ahead is not None:
            (claim, slot), turn.ahead = turn.ahead, None
            return await self._carry(claim, turn, slot)
        entered = await self._gate.enter(target_of(turn.lane))
        if entered is None:  # the breaker is open, or nothing may be open here
            return False
        try:
            if self._stopping.is_set():  # it was told so while it waited for the slot
                return False
            turn.is_leased = True  # from here on the lane may be ours, also when the answer to the claim is lost
            claimed = await self._write_and_tell(turn, lambda tx: self._claim(tx, turn))
            if claimed is None:
                turn.is_leased = False
                return False
            return await self._carry(claimed, turn, entered)
        finally:
            entered.release()

    async def _carry(self, claim: Claim, turn: Turn, slot: Slot) -> bool:
        try:
            result = await self._perform(claim, turn, release_slot=slot.release)
        finally:
            slot.release()
        return await self._conclude(claim, turn, result)

    # -- claim ----------------------------------------------------------------------------------------------

    def _claim(self, tx: Tx, turn: Turn) -> Claim | None:
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
                turn.claimed_id = delivery.id
                return claim
        tx.release_lane(turn.lane, token=turn.token)
        return None

    def _lease(self, tx: Tx, turn: Turn, *, now: datetime) -> bool:
        until = now + self._lease_for
        return tx.lease_lane(turn.lane, token=turn.token, executor_id=self._executor_id, now=now, until=until)

    def _claim_one(self, tx: Tx, delivery: Delivery, schedule: Schedule, turn: Turn, *, now: datetime) -> Claim | None:
        """Claim a delivery for its next duty; None when it ended instead of being sent."""
        if delivery.state is not DeliveryState.PENDING:
            return self._claim_in_flight(tx, delivery, schedule, turn, now=now)
        ending = retry.before_send(delivery, schedule, now=now)
        if ending is not None:
            written = self._write(tx, delivery, ending, schedule, attempt=None, now=now)
            self._note(turn, ending, written, attempt=None)
            return None
        must_look = retry.must_look_first(delivery, now=now, in_use_until=self._earlier.ended_at(tx))
        leased = retry.lease(delivery, token=turn.token, now=now)
        if not tx.save_delivery(leased, was=delivery):
            return None
        attempt = tx.add_attempt(delivery.id, executor_id=self._executor_id, otid=otid_of(delivery), started_at=now)
        nonce = obeying.nonce_for(tx, schedule, leased)
        return Claim(Duty.LOOK_FIRST if must_look else Duty.SEND, leased, schedule, attempt, now, nonce)

    def _claim_in_flight(
        self, tx: Tx, delivery: Delivery, schedule: Schedule, turn: Turn, *, now: datetime
    ) -> Claim | None:
        attempt = next(iter(tx.attempts(delivery.id)[-1:]), None)
        step = retry.take_over(delivery, token=turn.token, now=now)
        if self._write(tx, delivery, step, schedule, attempt=attempt, now=now) is None:
            return None
        if attempt is not None and delivery.state in TOLD and attempt.executor_id != self._executor_id:
            turn.taken_over = attempt.executor_id, delivery.state
        duty = Duty.FOLLOW if step.delivery.state is DeliveryState.ACCEPTED else Duty.SETTLE
        return Claim(duty, step.delivery, schedule, attempt, now)

    # -- perform --------------------------------------------------------------------------------------------

    async def _perform(self, claim: Claim, turn: Turn, *, release_slot: Callable[[], None]) -> AnyResult | StillRunning:
        """Do what the claim is for; the slot is given back as soon as the target has answered."""
        match claim.duty:
            case Duty.SEND:
                return await self._send(claim, turn, release_slot)
            case Duty.LOOK_FIRST:
                found = await self._bounded_settle(claim)
                if isinstance(found, Undecided) and found.is_unreachable:
                    refused = Refused(code=retry.NOT_ASKED, detail=found.detail, is_target_wide=True)
                    self._gate.note(claim.delivery.target, refused)
                    return refused
                is_settled = not isinstance(found, Undecided | Absent)
                return found if is_settled else await self._send(claim, turn, release_slot)
            case Duty.SETTLE:
                return await self._bounded_settle(claim)
            case Duty.FOLLOW:
                release_slot()
                return await self._follow(claim, turn)

    async def _send(self, claim: Claim, turn: Turn, release_slot: Callable[[], None]) -> AnyResult:
        turn.is_called_off = False
        if not await self._is_still_ours(claim, turn):
            return _CALLED_OFF if turn.is_called_off else _LEASE_LOST
        delivery, schedule = claim.delivery, claim.schedule
        target = self._targets.get(delivery.target)
        if target is None:
            detail = f"this executor has no target {delivery.target!r}"
            return Refused(code="unknown_target", detail=detail)  # another executor may have it
        message = Message(
            address=address_of(delivery),
            otid=otid_of(delivery),
            prompt=schedule.definition.prompt,
            content=schedule.definition.content,
            envelope=compose(schedule, delivery, now=self._clock.now(), nonce=claim.nonce),
            delivery_id=delivery.id,
            schedule_id=schedule.id,
            may_go=lambda: self._is_still_ours(claim, turn),
        )
        # A request that stays open (an agent that thinks for minutes on a blocking route) stops counting
        # against the target's pace, so that one hung agent holds up nobody else's.
        started_s = self._clock.monotonic()
        sending = Begun(target.send(message))
        if sending.is_over:
            result = await within_bounds(sending, limits.RUN_TIME_MAX, "send")
        else:
            timer = asyncio.get_running_loop().call_later(limits.SLOT_HELD_MAX.total_seconds(), release_slot)
            try:
                result = await within_bounds(sending, limits.RUN_TIME_MAX, "send")
            finally:
                timer.cancel()
        if turn.is_called_off:
            result = _CALLED_OFF  # the target knows only that it might not go, and has sent nothing
        self._gate.note(delivery.target, result)
        if _log.isEnabledFor(logging.INFO):
            _log.info(
                "delivery.sent delivery_id=%d attempt=%d result=%s took_ms=%d",
                delivery.id,
                claim.attempt.number if claim.attempt else 0,
                type(result).__name__.lower(),
                (self._clock.monotonic() - started_s) * 1000,
            )
        return result

    async def _is_still_ours(self, claim: Claim, turn: Turn) -> bool:
        """Renew the lease before a send when little of it is left (a stopped process, a slow disk, a long look first).

        What was cancelled meanwhile is not ours to send any more either.
        """
        if abs(self._clock.now() - claim.claimed_at) < self._margin:
            return True
        return await self._writer.write(lambda tx: self._renew(tx, claim, turn), lane=turn.lane)

    def _renew(self, tx: Tx, claim: Claim, turn: Turn) -> bool:
        """Renew the lease, if the delivery is still in our hands.

        The lane alone does not tell: who took it over may have carried the delivery and given the lane back.
        """
        current = tx.delivery(claim.delivery.id)
        if current is None or current.lease_token != turn.token or current.state is not claim.delivery.state:
            return False
        turn.is_called_off = current.cancel_requested
        return not turn.is_called_off and self._lease(tx, turn, now=self._clock.now())

    async def _follow(self, claim: Claim, turn: Turn) -> AnyResult | StillRunning:
        delivery = claim.delivery
        target = self._targets.get(delivery.target)
        if target is None:
            return StillRunning()
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
                return StillRunning()
        finally:
            following.cancel()
            stopping.cancel()
            await asyncio.gather(following, stopping, return_exceptions=True)
        await within_bounds(target.cancel_run(sent), timedelta(seconds=10), "cancel")
        minutes = limits.RUN_TIME_MAX // timedelta(minutes=1)
        return Unclear(
            code="run_time", detail=f"the agent's run did not end within {minutes} minutes and was cancelled"
        )

    async def _bounded_settle(self, claim: Claim) -> AnyResult:
        target = self._targets.get(claim.delivery.target)
        if target is None:
            return Undecided(detail="this executor has no such target", is_unreachable=True)
        result = await within_bounds(target.settle(self._sent(claim)), timedelta(seconds=60), "settle")
        if isinstance(result, Unclear):
            return Undecided(detail=result.detail, is_unreachable=True)
        return result

    def _sent(self, claim: Claim) -> Sent:
        delivery = claim.delivery
        return Sent(
            address=address_of(delivery),
            otid=otid_of(delivery),
            run_id=delivery.run_id,
            since=delivery.fire_at if claim.duty is Duty.LOOK_FIRST else (delivery.first_sent_at or delivery.fire_at),
        )

    # -- record ---------------------------------------------------------------------------------------------

    async def _conclude(self, claim: Claim, turn: Turn, result: AnyResult | StillRunning) -> bool:
        """Record the result, follow what was accepted, and say whether the turn may go on."""
        if isinstance(result, StillRunning):
            return False
        recorded = await self._record(claim, turn, result)
        if recorded is None or recorded.delivery is None:
            return False
        if isinstance(result, Accepted) and recorded.delivery.state is DeliveryState.ACCEPTED:
            following = replace(claim, duty=Duty.FOLLOW, delivery=recorded.delivery)
            return await self._conclude(following, turn, await self._follow(following, turn))
        turn.is_leased = not recorded.is_given_back
        return turn.is_leased

    async def _record(self, claim: Claim, turn: Turn, result: AnyResult) -> Recorded | None:
        """Write what became of the attempt, and look on in the lane; None when no store could be written to.

        A store that cannot write (full disk, lock) is tried again: the answer is known here and nowhere else. What
        comes next is looked at in the first try only: no trouble with it may keep this answer from being recorded.
        """
        since_s = self._clock.monotonic()
        recorded = await self._record_until_done(claim, turn, result, since_s)
        took_s = self._clock.monotonic() - since_s
        if recorded is not None and took_s >= limits.RECORD_LATE.total_seconds():
            _log.warning("delivery.record_late delivery_id=%d took_ms=%.0f", claim.delivery.id, took_s * 1000)
        return recorded

    async def _record_until_done(self, claim: Claim, turn: Turn, result: AnyResult, since_s: float) -> Recorded | None:
        recorded = await self._record_and_look_on(claim, turn, result, since_s)
        if recorded is not None:
            return recorded

        def act(tx: Tx) -> Delivery | None:
            return self._record_in(tx, claim, turn, result)

        for wait_s in (0.0, *_RECORD_WAITS_S):
            await asyncio.sleep(wait_s)
            try:
                return Recorded(await self._write_and_tell(turn, act, of=claim, since_s=since_s))
            except StoreError as error:
                _tell_of_failure(claim, error)
        return None

    async def _record_and_look_on(self, claim: Claim, turn: Turn, result: AnyResult, since_s: float) -> Recorded | None:
        """Record, and claim the next with a slot that is free just now; None when that could not be written."""
        goes_on = not (turn.is_last or isinstance(result, Accepted) or self._stopping.is_set())
        slot = self._gate.enter_now(target_of(turn.lane)) if goes_on else None
        is_kept = False
        try:
            recorded = await self._write_and_tell(
                turn,
                lambda tx: self._record_and_look_on_in(tx, claim, turn, result, may_claim=slot is not None),
                of=claim,
                since_s=since_s,
            )
            if recorded.next_claim is not None and slot is not None:
                turn.ahead, is_kept = (recorded.next_claim, slot), True
        except Exception as error:  # noqa: BLE001  perhaps what comes next is at fault: recording alone will tell
            turn.forget_claimed()
            _tell_of_failure(claim, error)
            return None
        finally:
            if slot is not None and not is_kept:
                slot.release()
        return recorded

    def _record_and_look_on_in(
        self, tx: Tx, claim: Claim, turn: Turn, result: AnyResult, *, may_claim: bool
    ) -> Recorded:
        """Record; then claim the next, or give the lane back where nothing is due or the turn is over.

        A delivery that was accepted keeps its lane. So does one that found no slot: it waits for one in line.
        """
        recorded = self._record_in(tx, claim, turn, result)
        if recorded is None or recorded.state is DeliveryState.ACCEPTED:
            return Recorded(recorded)
        if may_claim:
            claimed = self._claim(tx, turn)
            return Recorded(recorded, claimed, is_given_back=claimed is None)
        coming = None if turn.is_last else tx.next_in_lane(turn.lane, now=self._clock.now())
        if coming is not None and coming.id not in turn.carried:
            return Recorded(recorded)
        tx.release_lane(turn.lane, token=turn.token)
        return Recorded(recorded, is_given_back=True)

    def _record_in(self, tx: Tx, claim: Claim, turn: Turn, result: AnyResult) -> Delivery | None:
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

    async def _write_and_tell(
        self, turn: Turn, act: Callable[[Tx], T], *, of: Claim | None = None, since_s: float = 0.0
    ) -> T:
        """Write, then tell the watcher: what was rolled back is never reported.

        `since_s`: when the target answered what is recorded `of` a claim (monotonic).
        """
        turn.claimed_id = None

        def afresh(tx: Tx) -> T:
            turn.begin()
            return act(tx)

        answer = await self._writer.write(afresh, lane=turn.lane)
        self._tell(turn, of=of, since_s=since_s)
        return answer

    def _tell(self, turn: Turn, *, of: Claim | None = None, since_s: float = 0.0) -> None:
        if turn.taken_over is not None:
            (begun_by, state), turn.taken_over = turn.taken_over, None
            self._take_overs.note(begun_by, state)
        if self._watch is None:
            return
        for report in turn.reports:
            is_answer = of is not None and report.delivery.id == of.delivery.id
            took_s = self._clock.monotonic() - since_s
            self._watch(replace(report, recorded_in_s=took_s) if is_answer else report)

    def _note(self, turn: Turn, step: retry.Step, schedule: Schedule | None, *, attempt: Attempt | None) -> None:
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


def _tell_of_failure(claim: Claim, error: Exception) -> None:
    code = error.code if isinstance(error, StoreError) else type(error).__name__
    _log.error("delivery.record_failed delivery_id=%d code=%s error=%s", claim.delivery.id, code, error)
