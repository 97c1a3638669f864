"""What happens in a seeded world: its climate, its callers, its accidents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Self

from promptyoself.application.requests import ScheduleRequest
from promptyoself.domain.models import DeliveryKind, DeliveryState
from promptyoself.domain.planning import opening_of
from promptyoself.domain.values import replace
from tests.simulation import draws
from tests.simulation.letta import Weather
from tests.simulation.process import Perils, SimProcess
from tests.simulation.promises import Change, Promise, PutOff, Rule
from tests.simulation.world import World

_KILLS_MAX = 4
_SCHEDULES_MAX = 4
_STEP_S = (1, 7)
"""Whole seconds between two events: callers act on whole seconds, so that fire times lie on whole seconds too."""


class StoryWorld(World):
    """A world whose story follows from its seed. `promises` is what its callers know; the oracle reads it."""

    def __init__(self, seed: int) -> None:
        self.place, base = draws.place_of(seed)
        super().__init__(seed, base=base, timezone=self.place.timezone)
        rng = self.rng
        self.is_calm = rng.random() < 0.2
        self.has_clock_steps = not self.is_calm and rng.random() < 0.15
        self.promises: dict[int, Promise] = {}
        self.outages: list[tuple[float, float]] = []
        self.disagreements: list[str] = []
        """Where an answer differs from what its caller has worked out by hand."""
        self._ends_at = base
        self._kills = 0
        self._server_fault_until = 0.0
        self.letta.weather = _weather(self)
        self.perils = _perils(self)
        self.executors = rng.choice([1, 1, 1, 2, 2, 2, 3])

    def run(self, steps: int = 16) -> Self:
        """Let `steps` events happen, a few seconds apart."""
        self._ends_at = self.base + timedelta(seconds=steps * 4)
        self.drive(self._tell(steps))
        return self

    def on_death(self, process: SimProcess) -> None:
        if not process.is_serving:
            return
        self._kills += 1
        if self._kills >= _KILLS_MAX:
            self.perils = replace(self.perils, kill=0.0)
        self.loop.call_later(self.rng.choice([0.5, 3.0, 10.0, 45.0, 70.0]), self._restart)

    def _restart(self) -> None:
        if sum(process.is_serving for process in self.living) < self.executors:
            self.serving()

    @property
    def accidents(self) -> int:
        """How often a process was killed or stopped: each may have hidden an attempt's end."""
        return sum(" is killed" in event or " is stopped" in event for event in self.events)

    # -- the story ------------------------------------------------------------------------------------------

    async def _tell(self, steps: int) -> None:
        for _ in range(self.rng.randint(1, 2)):
            self._register()
        for _ in range(self.executors):
            self.serving()
        acts = self._acts()
        for _ in range(steps):
            await asyncio.sleep(self.rng.randint(*_STEP_S))
            act = self.rng.choices([act for act, _ in acts], [weight for _, weight in acts])[0]
            if act is not None:
                act()

    def _acts(self) -> list[tuple[Callable[[], None] | None, float]]:
        callers: list[tuple[Callable[[], None] | None, float]] = [
            (None, 40.0),
            (self._register, 6.0),
            (self._run_now, 3.0),
            (self._edit_text, 3.0),
            (self._edit_rule, 2.0),
            (self._pause, 2.0),
            (self._resume, 4.0),
            (self._cancel, 0.8),
            (self._execute, 2.0),
            (self._skip, 6.0),
            (self._snooze, 7.0),
            (self._look, 3.0),
            (self._hesitate, 1.0),
        ]
        if self.is_calm:
            return callers
        accidents: list[tuple[Callable[[], None] | None, float]] = [
            (self._retry, 3.0),
            (self._kill, 2.0),
            (self._stop, 1.5),
            (self._stall, 1.5),
            (self._server_fault, 5.0),
            (self._foreign_run, 4.0),
        ]
        if self.has_clock_steps:
            accidents.append((self._step_clock, 6.0))
        return callers + accidents

    # -- callers --------------------------------------------------------------------------------------------

    def _register(self) -> None:
        if len(self.promises) >= _SCHEDULES_MAX:
            return
        rng = self.rng
        rule = self._new_rule()
        catch_up = rng.choice(["latest"] * 6 + ["skip", "all"])
        overlap = rng.choice(["skip", "skip", "queue"])
        retry_for = timedelta(minutes=3) if rng.random() < 0.05 and not self.is_calm else timedelta(hours=24)
        expires = timedelta(seconds=40) if rng.random() < 0.08 and not self.is_calm else None
        agent_id = rng.choice(self.agents)
        if rng.random() < 0.03 and not self.is_calm:
            agent_id = "agent-unknown"
        night = draws.night(rng, self.place, base=self.base) if rng.random() < 0.3 else None
        jitter = timedelta(seconds=rng.choice([3, 8, 20, 45]) if rng.random() < 0.25 else 0)
        number = len(self.promises) + 1
        [made] = self.register(
            replace(
                rule.request(),
                agent_id=agent_id,
                prompt=f"schedule {number} text 0",
                catch_up=catch_up,
                overlap=overlap,
                retry_for=f"{retry_for // timedelta(minutes=1)}m",
                expires_after=f"{expires // timedelta(seconds=1)}s" if expires else None,
                jitter=f"{jitter // timedelta(seconds=1)}s" if jitter else None,
                quiet_hours=night.text if night else None,
            )
        )
        self.promises[made.id] = Promise(
            schedule_id=made.id,
            agent_id=agent_id,
            rules=[(self.loop.time(), rule)],
            catch_up=catch_up,
            overlap=overlap,
            retry_for=retry_for,
            expires_after=expires,
            jitter=jitter,
            night=night,
        )

    def _new_rule(self) -> Rule:
        return draws.rule(self.rng, self.place, now=self.clock.now(), ends_at=self._ends_at)

    def _any(self) -> Promise | None:
        live = [promise for promise in self.promises.values() if not promise.is_cancelled]
        return self.rng.choice(live) if live else None

    def _noted(self, promise: Promise, change: Change) -> None:
        promise.changes.append((self.loop.time(), self.clock.now(), change))

    def _run_now(self) -> None:
        promise = self._any()
        if promise is not None and self.run_now(promise.schedule_id):
            self._noted(promise, Change.RAN_NOW)

    def _edit_text(self) -> None:
        promise = self._any()
        if promise is not None and self._is_live(promise):
            self._edit_text_of(promise)

    def _edit_text_of(self, promise: Promise) -> None:
        text = promise.text + 1
        if self.update(promise.schedule_id, ScheduleRequest(prompt=f"schedule {promise.schedule_id} text {text}")):
            promise.text = text
            self._noted(promise, Change.EDITED_TEXT)

    def _edit_rule(self) -> None:
        promise = self._any()
        if promise is None or not self._is_live(promise):
            return
        rule = self._new_rule()
        request = rule.request()
        if rule.at is not None or not rule.is_start:
            request = replace(request, start_at="")
        if rule.at is not None:
            request = replace(request, end_at="")
        if self.update(promise.schedule_id, request):
            promise.rules.append((self.loop.time(), rule))
            promise.passed_until = None
            promise.looks.clear()
            self._noted(promise, Change.EDITED_RULE)
        else:
            self.disagreements.append(f"REFUSED: schedule {promise.schedule_id} as {request}")

    def _is_live(self, promise: Promise) -> bool:
        """An edit of a finished schedule starts it anew, which is a story of its own."""
        stored = {schedule.id: schedule.state for schedule in self.stored()}
        return stored[promise.schedule_id] in {"active", "paused"}

    def _pause(self) -> None:
        promise = self._any()
        until = self.clock.now() + timedelta(seconds=self.rng.randint(5, 50)) if self.rng.random() < 0.4 else None
        if promise is not None and self.pause(promise.schedule_id, until):
            self._noted(promise, Change.PAUSED)

    def _resume(self) -> None:
        promise = self._any()
        if promise is not None:
            self.on_resumed(promise.schedule_id)

    def on_resumed(self, schedule_id: int) -> None:
        if self.resume(schedule_id):
            self._noted(self.promises[schedule_id], Change.RESUMED)

    def _cancel(self) -> None:
        promise = self._any()
        if promise is not None and self.cancel(promise.schedule_id):
            promise.is_cancelled = True
            self._noted(promise, Change.CANCELLED)

    def _skip(self) -> None:
        promise, count = self._any(), self.rng.randint(1, 2)
        done = self.skip(promise.schedule_id, count) if promise is not None else None
        if promise is None or done is None:
            return
        by_hand = promise.coming_sent(self.clock.now(), count)
        if not self.clock_steps and by_hand is not None and list(done.fire_times) != by_hand:
            self.disagreements.append(f"schedule {promise.schedule_id}: skipped {done.fire_times}, not {by_hand}")
        promise.skipped |= dict.fromkeys(done.fire_times, self.loop.time())
        promise.passed_until = done.fire_times[-1]
        self._noted(promise, Change.SKIPPED)
        if self.rng.random() < 0.3:
            self._hesitate_about(promise)

    def _snooze(self) -> None:
        promise, until = self._any(), self.clock.now() + timedelta(seconds=self.rng.randint(3, 60))
        done = self.snooze(promise.schedule_id, until) if promise is not None else None
        if promise is None or done is None:
            return
        fire_at, is_apart = done.delivery.fire_at, done.delivery.kind is DeliveryKind.RUN_NOW
        promise.put_off.append(PutOff(at_s=self.loop.time(), fire_at=fire_at, until=until, is_apart=is_apart))
        if done.what == "next":
            by_hand = promise.coming_sent(self.clock.now(), 1)
            if not self.clock_steps and by_hand is not None and [fire_at] != by_hand:
                self.disagreements.append(f"schedule {promise.schedule_id}: put off {fire_at}, not {by_hand}")
            promise.passed_until = fire_at
        self._noted(promise, Change.SNOOZED)
        if done.what == "in_flight":
            self._noted(promise, Change.RAN_NOW)

    def _look(self) -> None:
        """Look at when the next fire times would be sent, as a preview does."""
        promise = self._any()
        if promise is None:
            return
        stored = next(one for one in self.stored() if one.id == promise.schedule_id)
        for fire_at in promise.coming(self.clock.now(), 3):
            opening = opening_of(stored.definition, stored.uid, fire_at)
            shown = opening.planned_at, opening.skip_reason is not None
            known = promise.looks.setdefault(fire_at, shown)
            if known != shown:
                self.disagreements.append(f"JITTER: {fire_at:%H:%M:%S} was shown as {known}, then as {shown}")

    def _hesitate(self) -> None:
        """Write the prompt anew, stop all, and let it go on at once: nothing that was decided may be forgotten."""
        promise = self._any()
        if promise is not None:
            self._hesitate_about(promise)

    def _hesitate_about(self, promise: Promise) -> None:
        if not self._is_live(promise):
            return
        self._edit_text_of(promise)
        if self.pause(promise.schedule_id):
            self._noted(promise, Change.PAUSED)
            self.on_resumed(promise.schedule_id)

    def _retry(self) -> None:
        ended = [c for c in self.claims() if c.state in {DeliveryState.DEAD, DeliveryState.SKIPPED}]
        if ended:
            claim = self.rng.choice(ended)
            if self.retry(claim.id):
                self._noted(self.promises[claim.schedule_id], Change.RETRIED)

    # -- processes ------------------------------------------------------------------------------------------

    def _execute(self) -> None:
        process = self.process()
        self.log(f"{process.id} executes")
        process.execute(timedelta(seconds=self.rng.choice([0, 5, 30])))

    def _victim(self) -> SimProcess | None:
        return self.rng.choice(self.living) if self.living else None

    def _kill(self) -> None:
        victim = self._victim()
        if victim is not None and self._kills < _KILLS_MAX:
            victim.kill()

    def _stop(self) -> None:
        victim = self._victim()
        if victim is not None:
            victim.stop()

    def _stall(self) -> None:
        victim = self._victim()
        if victim is not None:
            victim.stall(self.rng.uniform(1.0, 120.0))

    def _step_clock(self) -> None:
        by = timedelta(seconds=self.rng.choice([-90, -20, -3, 3, 20, 90, 300]))
        self.clock_steps.append(by)
        self.log(f"the clock is set by {by.total_seconds():.0f} s")
        self.clock.step(by)

    # -- the server -----------------------------------------------------------------------------------------

    def _server_fault(self) -> None:
        if self._server_fault_until > self.loop.time():
            return
        for_s = self.rng.choice([2.0, 15.0, 40.0, 120.0])
        self._server_fault_until = self.loop.time() + for_s
        kind = self.rng.choice(["away", "killed", "401", "429", "503"])
        self.log(f"letta: {kind} for {for_s:.0f} s")
        self.outages.append((self.loop.time(), self.loop.time() + for_s))
        if kind in {"away", "killed"}:
            self.letta.go_away(is_killed=kind == "killed")
        else:
            self.letta.spell = kind
        self.loop.call_later(for_s, self._server_well)

    def _server_well(self) -> None:
        self.log("letta: well")
        self.letta.spell = None
        self.letta.come_back()

    def _foreign_run(self) -> None:
        agent_id = self.rng.choice(self.agents)
        self.letta.foreign_until[agent_id] = self.loop.time() + self.rng.uniform(1.0, 60.0)


def _weather(world: StoryWorld) -> Weather:
    rng = world.rng
    if world.is_calm:
        return Weather(run_s=(0.1, 0.8), is_blocking=rng.random() < 0.3)
    bad = rng.choice([0.0, 0.1, 0.3])
    return Weather(
        run_s=rng.choice([(0.5, 3.0)] * 5 + [(2.0, 10.0)] * 3 + [(5.0, 50.0), (60.0, 200.0)]),
        latency_s=rng.choice([(0.02, 0.1), (0.02, 0.1), (0.1, 2.0)]),
        is_blocking=rng.random() < 0.25,
        dedupes=rng.random() < 0.3,
        tells_runs=rng.random() < 0.6,
        tells_lost=rng.random() < 0.93,
        proves_absence=rng.random() < 0.5,
        lost_request=bad * rng.random(),
        lost_answer=bad * rng.random(),
        silent=bad * rng.random() / 2,
        run_fails=bad * rng.random(),
        throttles=bad * rng.random() / 2,
    )


def _perils(world: StoryWorld) -> Perils:
    rng = world.rng
    if world.is_calm:
        return Perils(slow_commit=0.1)
    return Perils(
        kill=rng.choice([0.0, 0.005, 0.02, 0.05]),
        stall=rng.choice([0.0, 0.0, 0.01, 0.04]),
        claim_stall=rng.choice([0.0, 0.0, 0.1, 0.3]),
        stall_s=(1.0, 150.0),
        slow_commit=rng.choice([0.0, 0.1]),
    )
