"""One pass: plan what is due, make one attempt a due delivery, and say what became of each.

`execute` is this and nothing more, so an agent may call it from inside its own run: a lane that is busy is
reported and never waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from promptyoself.application.dispatcher import Dispatcher, Report
from promptyoself.application.gate import Gate
from promptyoself.application.planner import plan_pass
from promptyoself.domain import limits
from promptyoself.domain.errors import StoreError
from promptyoself.domain.models import AttemptOutcome, Delivery, DeliveryState, Schedule, ScheduleState
from promptyoself.domain.ports import Clock, DeliveryFilter, Tx, Writer
from promptyoself.domain.values import dataclass, replace

_OUTCOMES = {
    DeliveryState.ACCEPTED: "accepted",
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.PENDING: "retrying",
    DeliveryState.LEASED: "unknown",
    DeliveryState.UNKNOWN: "unknown",
    DeliveryState.DEAD: "dead",
    DeliveryState.SKIPPED: "dead",
    DeliveryState.CANCELLED: "dead",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a pass says about one delivery; CLI.md's entry of `executed`."""

    delivery: Delivery
    schedule: Schedule
    outcome: str
    """accepted, delivered, retrying, unknown, dead or busy."""
    attempt: int
    error: str | None
    recorded_in_s: float | None = None
    """Seconds from the target's answer to the commit of this; None where no target answered."""

    @property
    def is_delivered(self) -> bool:
        """True when the agent's server has accepted the prompt."""
        return self.outcome in {"accepted", "delivered"}


Watcher = Callable[[Entry], None]


def entry_of(report: Report) -> Entry:
    """Return what a dispatcher's report says, in the words of CLI.md."""
    outcome = _OUTCOMES[report.delivery.state]
    if report.outcome is AttemptOutcome.BUSY and outcome == "retrying":
        outcome = "busy"
    is_delivered = outcome in {"accepted", "delivered"}
    return Entry(
        delivery=report.delivery,
        schedule=report.schedule,
        outcome=outcome,
        attempt=report.attempt,
        error=None if is_delivered else report.error or report.delivery.reason or outcome,
        recorded_in_s=report.recorded_in_s,
    )


class Pass:
    """Makes one pass with a dispatcher and gate of its own."""

    def __init__(self, *, writer: Writer, clock: Clock, store_uid: str, executor_id: str) -> None:
        self._writer = writer
        self._clock = clock
        self._store_uid = store_uid
        self._executor_id = executor_id
        self._entries: dict[int, Entry] = {}
        self._carried: set[int] = set()
        self._on_entry: Watcher | None = None

    def watch(self, report: Report) -> None:
        """Take a dispatcher's report; give this method to it as `watch`."""
        entry = entry_of(report)
        self._entries[entry.delivery.id] = entry
        if self._on_entry is not None:
            self._on_entry(entry)

    async def run(
        self, dispatcher: Dispatcher, gate: Gate, *, wait: timedelta, on_entry: Watcher | None = None
    ) -> list[Entry]:
        """Plan, deliver, follow for `wait` at most; entries in the order of their fire times."""
        self._on_entry = on_entry
        started_at = self._clock.now()
        until_s = self._clock.monotonic() + wait.total_seconds()
        await plan_pass(self._writer, self._clock, store_uid=self._store_uid)
        renewing = asyncio.ensure_future(self._renew())
        try:
            await self._run_ready(dispatcher, gate, started_at=started_at, until_s=until_s)
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
        for entry in await self._writer.read(lambda tx: self._left_alone(tx, started_at)):
            self._entries[entry.delivery.id] = entry
        schedules = await self._writer.read(self._schedules_now)
        entries = [replace(entry, schedule=schedules[entry.schedule.id]) for entry in self._entries.values()]
        return sorted(entries, key=lambda entry: (entry.delivery.fire_at, entry.delivery.id))

    async def _run_ready(self, dispatcher: Dispatcher, gate: Gate, *, started_at: datetime, until_s: float) -> None:
        """Run every lane that was ready at the start, a bounded number at once."""
        seen: set[str] = set()
        running: set[asyncio.Task[bool]] = set()
        while True:
            ready = await self._ready(gate, started_at, len(seen), done=len(seen) - len(running))
            fresh = [lane for lane in ready if lane not in seen]
            for lane in fresh:
                seen.add(lane)
                turn = dispatcher.run_lane(lane, most=limits.LIST_MAX, follow_until_s=until_s, carried=self._carried)
                running.add(asyncio.ensure_future(turn))
            if not running:
                break
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def _ready(self, gate: Gate, started_at: datetime, seen: int, done: int) -> list[str]:
        targets = gate.open_targets()
        if not targets or seen >= limits.LANES_ACTIVE_MAX * 10:
            return []
        # Lanes that had their turn may still be ready (a run that goes on): ask beyond them.
        limit = limits.LANES_PREFETCH + done
        return await self._writer.read(lambda tx: tx.ready_lanes(now=started_at, limit=limit, targets=targets))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(limits.LEASE_RENEW_EVERY.total_seconds())
            with suppress(StoreError):  # a lease has time for two more tries
                await self._writer.write(self._renew_in)

    def _renew_in(self, tx: Tx) -> int:
        return tx.renew_lanes(self._executor_id, until=self._clock.now() + limits.LEASE)

    def _left_alone(self, tx: Tx, started_at: datetime) -> list[Entry]:
        """Say of every due delivery that got no attempt why it got none."""
        waiting = tx.deliveries(DeliveryFilter(states=(DeliveryState.PENDING,), limit=limits.LIST_MAX))
        reasons = {health.target: health.reason for health in tx.target_health() if health.is_open}
        switch = tx.stop_switch()
        is_stopped = switch is not None and switch.is_on(now=self._clock.now())
        entries: list[Entry] = []
        for delivery in waiting:
            schedule = tx.schedule(delivery.schedule_id)
            is_due = delivery.due_at <= started_at and delivery.id not in self._carried
            if schedule is None or not is_due or schedule.state is ScheduleState.PAUSED:
                continue
            holder = tx.lane_holder(delivery.lane, now=self._clock.now())
            if switch is not None and is_stopped:
                outcome, error = "retrying", f"all deliveries are paused: {switch.reason}"
            elif holder is not None:
                outcome, error = "busy", f"the agent's lane is held by executor {holder}; it will be delivered in turn"
            else:
                outcome, error = (
                    "retrying",
                    reasons.get(delivery.target) or "an earlier delivery of its lane is under way",
                )
            attempts = len(tx.attempts(delivery.id))
            entries.append(Entry(delivery=delivery, schedule=schedule, outcome=outcome, attempt=attempts, error=error))
        return entries

    def _schedules_now(self, tx: Tx) -> dict[int, Schedule]:
        ids = {entry.schedule.id for entry in self._entries.values()}
        return {found.id: found for found in (tx.schedule(schedule_id) for schedule_id in ids) if found is not None}
