"""The oracle: what must be true of a healed world, judged by what its callers asked and what its agents received.

Fire times are those of promises.py, worked out by hand. What was received is the server's own truth. Our tables are
read only as claims, which have to agree with both.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from promptyoself.domain import limits
from promptyoself.domain.models import Delivery, DeliveryKind, DeliveryState, Schedule, ScheduleState
from tests.simulation.letta import Run, RunState, Try
from tests.simulation.promises import Change, Promise
from tests.simulation.story import StoryWorld

_PLANNED = re.compile(r"planned for \w{3} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) ([\w/]+)")
_STANDS_FOR = re.compile(r"It stands for (\d+) earlier")
_REPEAT = "may be a repeat"
_SLACK_S = 14.0
"""An executor that is well for this long has looked at what is due (a look each CHANGE_POLL, and every timer)."""
_STALL_S = 155.0
"""A process may be stopped for this long between deciding to send and sending."""
_CALM_LATE_S = 30.0
_CALM_MEETING = timedelta(seconds=4)
"""Two of one schedule whose times are so near meet, also when nothing is wrong."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A prompt that an agent has received, as its messages show it."""

    run: Run
    schedule_id: int
    fire_at: datetime | None
    """None: sent on request."""
    missed: int


def complaints(world: StoryWorld) -> list[str]:
    """Return what is wrong with a healed world; nothing when all is well."""
    return list(_Oracle(world).judge())


class _Oracle:
    def __init__(self, world: StoryWorld) -> None:
        self.world = world
        self.claims = world.claims()
        self.schedules: dict[int, Schedule] = {schedule.id: schedule for schedule in world.stored()}
        fire_times = {claim.key: claim.fire_at for claim in self.claims}
        stored = [run for run in world.letta.runs if run.state is RunState.STORED]
        self.receipts = [_receipt(run, world, fire_times.get(run.key)) for run in stored]
        self.rows: dict[int, dict[datetime, list[Delivery]]] = defaultdict(lambda: defaultdict(list))
        for claim in self.claims:
            if claim.kind is DeliveryKind.SCHEDULED:
                self.rows[claim.schedule_id][claim.fire_at].append(claim)
        self.received: dict[int, set[datetime]] = defaultdict(set)
        for receipt in self.receipts:
            if receipt.fire_at is not None:
                self.received[receipt.schedule_id].add(receipt.fire_at)
        self.tries: dict[int, list[Try]] = defaultdict(list)
        for one in world.letta.tries:
            self.tries[one.delivery_id].append(one)

    def judge(self) -> Iterator[str]:
        yield from self.world.letta.complaints
        yield from self.world.disagreements
        for promise in self.world.promises.values():
            yield from self._nothing_lost(promise)
            yield from self._nothing_invented(promise)
            yield from self._asked_for(promise)
            yield from self._skipped_stays_away(promise)
            yield from self._put_off_comes_later(promise)
            yield from self._delayed_as_agreed(promise)
            yield from self._nights_are_quiet(promise)
        yield from self._nothing_doubled()
        yield from self._nothing_early()
        yield from self._claims_are_true()
        yield from self._all_is_finished()
        yield from self._in_order()
        yield from self._newest_first_hand()
        yield from self._breaker_held()
        if self.world.is_calm:
            yield from self._calm()

    # -- lost, invented -------------------------------------------------------------------------------------

    def _nothing_lost(self, promise: Promise) -> Iterator[str]:
        fires = promise.fire_times(is_steady=not self.world.clock_steps)
        rows, received = self.rows[promise.schedule_id], self.received[promise.schedule_id]
        for index, fire_at in enumerate(fires):
            if fire_at in received:
                continue
            name = f"schedule {promise.schedule_id} at {fire_at:%H:%M:%S}"
            found = rows.get(fire_at)
            if found is None:
                if fire_at in promise.skipped:
                    yield f"LOST: {name} was skipped and has no record of it"
                later = fires[index + 1 :]
                if self._was_passed_over(promise, fire_at):
                    continue
                if self._had_to_be_planned(promise, fire_at, later[0] if later else None):
                    yield f"LOST: {name} has neither arrived nor a record"
                continue
            reason = self._illegitimate(promise, found[-1])
            if reason is not None:
                yield f"LOST: {name} has not arrived: {reason}"

    def _was_passed_over(self, promise: Promise, fire_at: datetime) -> bool:
        """Say whether hours that skip left it out of an outage, of which an earlier fire time was made up."""
        if promise.is_left_out(fire_at) is False:
            return False
        earlier = [rows[-1] for at, rows in self.rows[promise.schedule_id].items() if at < fire_at]
        return any(row.created_at >= fire_at for row in earlier)

    def _had_to_be_planned(self, promise: Promise, fire_at: datetime, next_at: datetime | None) -> bool:
        """Say whether some executor was well for long enough, while this was the latest fire time, to see it."""
        if self.world.clock_steps:
            return False
        from_s = (fire_at - self.world.wall(0)).total_seconds()
        until_s = float("inf") if next_at is None else (next_at - self.world.wall(0)).total_seconds()
        if promise.catch_up == "skip":
            until_s = min(until_s, from_s + limits.MISFIRE_GRACE.total_seconds())
        elif promise.catch_up == "all":
            until_s = float("inf")
        for at_s, _, change in promise.changes:
            if change is not Change.RAN_NOW and at_s >= from_s - 0.5:
                until_s = min(until_s, at_s)
        if self._was_paused(promise, from_s):
            return False
        return self._was_well(from_s, until_s)

    def _was_well(self, from_s: float, until_s: float) -> bool:
        for health in (health for process in self.world.processes if process.is_serving for health in process.health):
            end_s = min(until_s, self.world.loop.time() if health.to_s is None else health.to_s)
            if end_s - max(from_s, health.from_s) >= _SLACK_S:
                return True
        return False

    def _was_paused(self, promise: Promise, at_s: float) -> bool:
        """Any pause before makes it uncertain when the schedule went on (it may end by itself)."""
        last = [change for when_s, _, change in promise.changes if when_s <= at_s and change in _PAUSES]
        return bool(last) and last[-1] is Change.PAUSED

    def _illegitimate(self, promise: Promise, row: Delivery) -> str | None:
        """Return why the record does not excuse that nothing arrived; None when it does."""
        match row.state:
            case DeliveryState.SKIPPED:
                return self._skip_excused(promise, row)
            case DeliveryState.DEAD:
                return self._death_excused(promise, row)
            case DeliveryState.CANCELLED:
                changes = (Change.CANCELLED, Change.EDITED_RULE, Change.EDITED_TEXT)
                return None if promise.did(*changes) else f"cancelled, though nobody did: {row.reason}"
            case _:
                return f"it is {row.state}"

    def _skip_excused(self, promise: Promise, row: Delivery) -> str | None:
        reason = row.reason or ""
        later = [at for at in self.rows[promise.schedule_id] if at > row.fire_at]
        if reason.startswith("superseded"):
            if promise.catch_up == "all" or not later:
                return f"superseded by nothing: {reason}"
            if self.tries[row.id] and not self.world.clock_steps and not promise.did(Change.RETRIED):
                sent = [one for one in self.tries[row.id] if one.otid in self.world.letta.ambiguous]
                return "superseded after it may have arrived" if sent and row.attempts else None
            return None
        if reason.startswith("overlap"):
            if promise.catch_up == "all" or promise.overlap == "queue":
                return f"against its policy: {reason}"
            earlier = [claim for claim in self.claims if claim.schedule_id == promise.schedule_id]
            is_claimed = any(one.first_sent_at and one.first_sent_at <= row.created_at for one in earlier)
            return None if is_claimed else f"nothing was in flight: {reason}"
        if reason.startswith("skipped by"):
            return None if row.fire_at in promise.skipped else f"nobody skipped it: {reason}"
        if reason.startswith("quiet hours"):
            return f"against its policy: {reason}" if promise.is_left_out(row.fire_at) is False else None
        if reason.startswith("expired"):
            return None if promise.expires_after is not None else f"against its policy: {reason}"
        return f"skipped: {reason}"

    def _death_excused(self, promise: Promise, row: Delivery) -> str | None:
        if promise.agent_id not in self.world.agents:
            return None
        if row.finished_at is not None and row.finished_at >= row.fire_at + promise.retry_for:
            return None
        unlucky = sum(run.key == row.key and run.state is not RunState.STORED for run in self.world.letta.runs)
        unlucky += self.world.letta.hidden[row.key] + self.world.accidents
        if len(self.tries[row.id]) >= limits.ATTEMPTS_MAX and unlucky >= limits.ATTEMPTS_MAX:
            return None
        return f"dead before its time, after {len(self.tries[row.id])} tries: {row.reason}"

    def _nothing_invented(self, promise: Promise) -> Iterator[str]:
        fires = set(promise.fire_times(is_steady=not self.world.clock_steps))
        # What was skipped or put off of a rule has its row also when that rule was replaced before it came.
        ahead = set(promise.skipped) | {one.fire_at for one in promise.put_off}
        # So has what hours skip before them.
        written = {fire_at for _, rule in promise.rules for fire_at in rule.fires()}
        ahead |= {at for at in written if promise.is_left_out(at) is not False and any(at < one for one in ahead)}
        received = self.received[promise.schedule_id] - (ahead if promise.did(Change.RETRIED) else set())
        for fire_at in sorted((set(self.rows[promise.schedule_id]) - ahead) | received):
            if fire_at not in fires:
                yield f"INVENTED: schedule {promise.schedule_id} at {fire_at.isoformat()} is no fire time of its rule"
        known = {f"schedule {promise.schedule_id} text {number}" for number in range(promise.text + 1)}
        for receipt in self.receipts:
            if receipt.schedule_id == promise.schedule_id and receipt.run.prompt not in known:
                yield f"ALTERED: {receipt.run.prompt!r} is no text of schedule {promise.schedule_id}"
            if receipt.schedule_id == promise.schedule_id and receipt.run.agent_id != promise.agent_id:
                yield f"MISDIRECTED: {receipt.run.prompt!r} went to {receipt.run.agent_id}"

    def _asked_for(self, promise: Promise) -> Iterator[str]:
        """Every run-now arrives, or died for a reason."""
        asked = sum(change is Change.RAN_NOW for _, _, change in promise.changes)
        rows = [c for c in self.claims if c.kind is DeliveryKind.RUN_NOW and c.schedule_id == promise.schedule_id]
        arrived = {receipt.run.key for receipt in self.receipts if receipt.schedule_id == promise.schedule_id}
        excused = sum(row.key not in arrived and self._illegitimate(promise, row) is None for row in rows)
        came = sum(row.key in arrived for row in rows)
        if came + excused < asked:
            yield f"LOST: schedule {promise.schedule_id} was run by hand {asked} times; {came} came, {excused} excused"

    def _skipped_stays_away(self, promise: Promise) -> Iterator[str]:
        """What was skipped comes only when somebody undoes that, or when the rule starts anew."""
        if promise.did(Change.RETRIED) or promise.did(Change.EDITED_RULE):
            return
        for fire_at in promise.skipped:
            if fire_at in self.received[promise.schedule_id]:
                yield f"CAME BACK: schedule {promise.schedule_id} at {fire_at:%H:%M:%S} was skipped"

    def _put_off_comes_later(self, promise: Promise) -> Iterator[str]:
        if self.world.clock_steps or promise.did(Change.RETRIED, Change.EDITED_RULE):
            return
        for one in promise.put_off:
            until_s = (one.until - self.world.wall(0)).total_seconds()
            for claim in self.claims:
                is_it = claim.schedule_id == promise.schedule_id and claim.fire_at == one.fire_at
                if not is_it or one.is_apart != (claim.kind is DeliveryKind.RUN_NOW):
                    continue
                if any(one.at_s < made.at_s < until_s for made in self.tries[claim.id]):
                    yield f"TOO SOON: delivery {claim.id} was put off until {one.until:%H:%M:%S}"

    # -- quiet hours and jitter -----------------------------------------------------------------------------

    def _own(self, promise: Promise) -> Iterator[Delivery]:
        """Yield the rows of its fire times that nobody put off, or asked for again, by hand."""
        put_off = {one.fire_at for one in promise.put_off}
        for fire_at, rows in self.rows[promise.schedule_id].items():
            if fire_at not in put_off:
                yield from (row for row in rows if row.fire_number > 0)

    def _delayed_as_agreed(self, promise: Promise) -> Iterator[str]:
        """Each is planned for an instant that jitter and quiet hours allow, the one that was shown before."""
        for row in self._own(promise):
            name = f"delivery {row.id} of {row.fire_at:%H:%M:%S} is planned for {row.planned_at:%H:%M:%S.%f}"
            if not promise.may_be_due(row.fire_at, row.planned_at):
                yield f"DELAYED: {name}, and may be from {promise.earliest(row.fire_at):%H:%M:%S} on"
            shown_at, _ = promise.looks.get(row.fire_at, (row.planned_at, False))
            if shown_at != row.planned_at and row.fire_at not in promise.skipped:
                yield f"JITTER: {name}, and was shown as {shown_at:%H:%M:%S.%f}"

    def _nights_are_quiet(self, promise: Promise) -> Iterator[str]:
        """Nothing of its fire times goes out in the hours, late or not, and what they leave out says so."""
        forward = sum((step for step in self.world.clock_steps if step > timedelta(0)), timedelta(0))
        for fire_at, (_, is_skipped) in promise.looks.items():
            if promise.is_left_out(fire_at) is (not is_skipped):
                yield f"NIGHT: {fire_at:%H:%M:%S} was shown as {'skipped' if is_skipped else 'to be sent'}"
        for row in self._own(promise):
            name = f"NIGHT: delivery {row.id} of {row.fire_at:%H:%M:%S}"
            for one in self.tries[row.id]:
                if self.world.wall(one.at_s) + forward < promise.earliest(row.fire_at):
                    yield f"{name} was sent at {self.world.wall(one.at_s):%H:%M:%S}, in hours that hold it"
                if self._is_in_the_night(promise, one.at_s):
                    yield f"{name} was sent at {self.world.wall(one.at_s):%H:%M:%S}, late and in quiet hours"
            if promise.is_left_out(row.fire_at):
                if self.tries[row.id]:
                    yield f"{name} was sent, though its time is in hours that skip it"
                if not (row.reason or "").startswith(("quiet hours", "skipped by", "expired")):
                    yield f"{name} is in hours that skip it, and says: {row.reason}"

    def _is_in_the_night(self, promise: Promise, at_s: float) -> bool:
        """Say whether a send was decided in quiet hours; only where no clock was set can that be told by hand."""
        if promise.night is None or self.world.clock_steps:
            return False
        is_stopped = any(" is stopped for" in event for event in self.world.events)
        ends_at, decided = (
            promise.night.ends_at(self.world.wall(second))
            for second in (at_s, at_s - (_STALL_S if is_stopped else 1.0))
        )
        return ends_at is not None and ends_at == decided

    # -- doubled, early, untrue -----------------------------------------------------------------------------

    def _nothing_doubled(self) -> Iterator[str]:
        by_key: dict[str, list[Receipt]] = defaultdict(list)
        by_time: dict[tuple[int, datetime, str], set[str]] = defaultdict(set)
        for receipt in self.receipts:
            by_key[receipt.run.key].append(receipt)
            if receipt.fire_at is not None:
                by_time[receipt.schedule_id, receipt.fire_at, receipt.run.prompt].add(receipt.run.key)
        for (schedule_id, fire_at, _), keys in by_time.items():
            if len(keys) > 1:
                yield f"DOUBLED: schedule {schedule_id} at {fire_at:%H:%M:%S} went out under {len(keys)} keys"
        for key, receipts in by_key.items():
            for repeat in receipts[1:]:
                name = f"{repeat.run.prompt} ({repeat.run.id} after {receipts[0].run.id})"
                if _REPEAT not in repeat.run.envelope:
                    yield f"DOUBLED: {name} came again, and does not say so"
                if not any(otid.startswith(key) for otid in self.world.letta.ambiguous):
                    yield f"DOUBLED: {name} came again, though every end was seen"

    def _nothing_early(self) -> Iterator[str]:
        forward = sum((step for step in self.world.clock_steps if step > timedelta(0)), timedelta(0))
        for receipt in self.receipts:
            latest = self.world.wall(receipt.run.sent_s) + forward
            if receipt.fire_at is not None and latest < receipt.fire_at:
                yield f"EARLY: {receipt.run.prompt} of {receipt.fire_at:%H:%M:%S} went out at {latest:%H:%M:%S}"

    def _claims_are_true(self) -> Iterator[str]:
        arrived = {receipt.run.key for receipt in self.receipts}
        for claim in self.claims:
            if claim.state is DeliveryState.DELIVERED and claim.key not in arrived:
                yield f"UNTRUE: delivery {claim.id} is marked delivered; its agent never received it"
            is_hidden = any(otid.startswith(claim.key) for otid in self.world.letta.ambiguous)
            if claim.state is not DeliveryState.DELIVERED and claim.key in arrived and not is_hidden:
                yield f"UNTRUE: delivery {claim.id} is marked {claim.state} ({claim.reason}); its agent has received it"

    # -- the end --------------------------------------------------------------------------------------------

    def _all_is_finished(self) -> Iterator[str]:
        for claim in self.claims:
            if not claim.state.is_final:
                yield f"UNFINISHED: delivery {claim.id} is {claim.state}: {claim.reason}"
        for lane in self.world.held_lanes():
            yield f"HELD: lane {lane} is still leased"
        for schedule in self.schedules.values():
            # Ten final errors in a row pause a schedule; only an agent that does not exist gives them here.
            if schedule.state is ScheduleState.PAUSED and schedule.definition.agent_id in self.world.agents:
                yield f"PAUSED: schedule {schedule.id}: {schedule.state_reason}"

    # -- order, breaker -------------------------------------------------------------------------------------

    def _in_order(self) -> Iterator[str]:
        """First tries in a lane go by fire time, among what was stored and due at that moment."""
        if self.world.clock_steps:
            return
        by_agent: dict[str, list[Delivery]] = defaultdict(list)
        for claim in self.claims:
            promise = self.world.promises[claim.schedule_id]
            if self.tries[claim.id] and not promise.did(Change.PAUSED, Change.RETRIED):
                by_agent[promise.agent_id].append(claim)
        for claims in by_agent.values():
            for late in claims:
                for early in claims:
                    if early.fire_at < late.fire_at and self._jumped(late, early):
                        yield f"ORDER: delivery {late.id} of {late.fire_at:%H:%M:%S} went before {early.id}"

    def _jumped(self, late: Delivery, early: Delivery) -> bool:
        """Say whether `late` was first tried while `early` stood ready, first of its schedule and never tried."""
        if early.schedule_id == late.schedule_id and early.kind is late.kind:
            return self._first_s(late) < self._first_s(early)
        late_at = self.world.wall(self._first_s(late))
        # A claim may be long before its first try (a look first, a process stopped between the two): what came to be
        # ready meanwhile has not been passed by.
        claimed_at = min(late_at, late.first_sent_at or late_at)
        is_ready = max(early.created_at, early.planned_at) < claimed_at - timedelta(seconds=1)
        if not is_ready or early.first_sent_at is None or self._first_s(early) <= self._first_s(late):
            return False
        if early.first_sent_at <= late_at:
            return False
        night = self.world.promises[early.schedule_id].night
        if night is not None and any(night.ends_at(at) for at in (claimed_at - timedelta(seconds=1), late_at)):
            return False  # it came late, and quiet hours hold it
        return not any(
            other.schedule_id == early.schedule_id
            and other.id != early.id
            and other.fire_at <= early.fire_at
            and (other.finished_at is None or other.finished_at >= late_at - timedelta(seconds=3))
            for other in self.claims
        )

    def _newest_first_hand(self) -> Iterator[str]:
        """What was never sent when the next fire time was opened is replaced by it; what was cancelled is not sent."""
        for claim in self.claims:
            promise = self.world.promises[claim.schedule_id]
            if claim.sent_at is None or self.world.clock_steps or promise.did(Change.RETRIED):
                continue
            cancelled = [at for _, at, change in promise.changes if change is Change.CANCELLED]
            if cancelled and claim.sent_at > cancelled[0]:
                yield f"SENT ON: delivery {claim.id} was claimed after its schedule was cancelled"
            if promise.catch_up == "all" or claim.kind is DeliveryKind.RUN_NOW or claim.first_sent_at is None:
                continue
            # What an edit opened again may have been tried before it: then it keeps its turn.
            if any(row.attempts and row.id < claim.id for row in self.rows[claim.schedule_id][claim.fire_at]):
                continue
            for fire_at, rows in self.rows[claim.schedule_id].items():
                newer = rows[-1]
                is_newer = fire_at > claim.fire_at and newer.revision == claim.revision
                if is_newer and newer.state is not DeliveryState.SKIPPED and newer.created_at < claim.first_sent_at:
                    yield f"STALE: delivery {claim.id} was first sent when {newer.id} had been opened already"

    def _first_s(self, claim: Delivery) -> float:
        return self.tries[claim.id][0].at_s

    def _breaker_held(self) -> Iterator[str]:
        """While the server refuses everybody, a process sends to find out, and then hardly at all."""
        for from_s, until_s in self.world.outages:
            counts: dict[str, int] = defaultdict(int)
            for at_s, executor in self.world.letta.refused_wide:
                if from_s <= at_s <= until_s:
                    counts[executor] += 1
            for executor, count in counts.items():
                most = limits.BREAKER_REFUSALS + len(self.world.agents) + 1
                if count > most:
                    yield f"FLOOD: {executor} was refused {count} times in an outage of {until_s - from_s:.0f} s"

    # -- calm worlds ----------------------------------------------------------------------------------------

    def _calm(self) -> Iterator[str]:
        """Without faults all arrives, soon, and nothing is said to be late, missed or repeated."""
        yield from self._calm_receipts()
        for promise in self.world.promises.values():
            yield from self._calm_promise(promise)

    def _calm_receipts(self) -> Iterator[str]:
        for receipt in self.receipts:
            if _REPEAT in receipt.run.envelope:
                yield f"CALM: {receipt.run.prompt} is marked as a repeat"
            if receipt.fire_at is None:
                continue
            promise = self.world.promises[receipt.schedule_id]
            if promise.did(Change.SNOOZED):
                continue
            late_s = (self.world.wall(receipt.run.began_s) - promise.latest(receipt.fire_at)).total_seconds()
            if late_s > _CALM_LATE_S and not promise.did(Change.PAUSED):
                yield f"CALM: {receipt.run.prompt} of {receipt.fire_at:%H:%M:%S} came {late_s:.0f} s late"
            if receipt.missed and not promise.did(Change.PAUSED) and not promise.is_delayed:
                yield f"CALM: {receipt.run.prompt} of {receipt.fire_at:%H:%M:%S} stands for {receipt.missed} missed"

    def _calm_promise(self, promise: Promise) -> Iterator[str]:
        if promise.did(Change.PAUSED, Change.CANCELLED, Change.EDITED_RULE, Change.SNOOZED):
            return
        came = self.received[promise.schedule_id] | set(promise.skipped)
        fires = promise.fire_times(is_steady=not self.world.clock_steps)
        for fire_at, next_at in pairwise([*fires, datetime.max.replace(tzinfo=UTC)]):
            if fire_at in came or promise.is_left_out(fire_at) is not False:
                continue
            # The next one replaces it where it waits still, or finds it under way.
            is_met = promise.is_delayed and promise.latest(fire_at) + _CALM_MEETING >= next_at
            is_behind = promise.is_delayed and any(at < fire_at <= promise.latest(at) + _CALM_MEETING for at in fires)
            if not is_met and not is_behind:
                yield f"CALM: schedule {promise.schedule_id} at {fire_at:%H:%M:%S} never came"


_PAUSES = (Change.PAUSED, Change.RESUMED)


def _receipt(run: Run, world: StoryWorld, recorded_at: datetime | None) -> Receipt:
    """Read what an agent was told. Of a wall that came twice the record says which, and nothing else."""
    planned = _PLANNED.search(run.envelope)
    fire_at = None
    if planned is not None:
        assert planned[2] == world.place.timezone, run.envelope
        instants = world.place.instants(datetime.fromisoformat(planned[1]))
        fire_at = recorded_at if recorded_at in instants else instants[0]
    missed = _STANDS_FOR.search(run.envelope)
    return Receipt(
        run=run,
        schedule_id=int(run.prompt.split()[1]),
        fire_at=fire_at,
        missed=int(missed[1]) if missed else 0,
    )
