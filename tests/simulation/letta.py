"""A Letta server and its agents, modelled: what reaches an agent, what is answered, and what nobody ever learns.

The model keeps the truth (every run with its begin and end), which the oracle reads. What it answers is no more than
a real server and its adapter could know: an otid shows only once its run is stored, a run that vanished with the
server stays `created` for ever, and absence is a proof only where the world says that it can be had.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum, auto
from typing import Any

from promptyoself.domain.answers import (
    Absent,
    Accepted,
    Busy,
    Done,
    Failed,
    Final,
    FollowResult,
    Message,
    Refused,
    SendResult,
    Sent,
    SettleResult,
    Unclear,
    Undecided,
)

CLIENT_PATIENCE_S = 45.0
"""How long the adapter waits for an answer that never comes."""
KNOWABLE_AFTER_S = 8.0
"""A run that was stored this long ago is found by whoever asks: repeating it then is a fault."""


class RunState(StrEnum):
    """What became of a run."""

    ACTIVE = auto()
    STORED = auto()
    FAILED = auto()
    LOST = auto()
    CANCELLED = auto()


@dataclass(slots=True, eq=False)
class Run:
    """One run of an agent on a prompt of ours."""

    id: str
    agent_id: str
    otid: str
    prompt: str
    envelope: str
    delivery_id: int
    schedule_id: int
    sent_s: float
    began_s: float
    ended_s: float | None = None
    state: RunState = RunState.ACTIVE
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def key(self) -> str:
        return _key(self.otid)


@dataclass(frozen=True, slots=True)
class Try:
    """One call of `send`, whatever became of it."""

    at_s: float
    delivery_id: int
    agent_id: str
    otid: str
    executor: str
    is_repeat_marked: bool


@dataclass(slots=True, kw_only=True)
class Weather:
    """How this world's server and network behave. Fractions are chances a request."""

    run_s: tuple[float, float] = (1.0, 2.0)
    latency_s: tuple[float, float] = (0.02, 0.1)
    is_blocking: bool = False
    """Answers only when the agent has finished."""
    dedupes: bool = False
    """Background streaming: a repeated otid replays its run."""
    tells_runs: bool = True
    """A run under way can be recognised by its otid."""
    tells_lost: bool = True
    """A run that vanished with the server is noticed as such."""
    proves_absence: bool = True
    lost_request: float = 0.0
    lost_answer: float = 0.0
    silent: float = 0.0
    """The answer never comes, though the request was processed."""
    run_fails: float = 0.0
    throttles: float = 0.0
    """429 to this one request."""

    def clear_up(self) -> None:
        """No faults any more."""
        self.lost_request = self.lost_answer = self.silent = self.run_fails = self.throttles = 0.0


class SimLetta:
    """The server. Its own work goes on in no process's context: killing a client stops nothing here."""

    def __init__(
        self,
        *,
        rng: random.Random,
        weather: Weather,
        agents: list[str],
        now_s: Callable[[], float],
        background: Callable[[Coroutine[Any, Any, Any]], object],
        log: Callable[[str], None],
    ) -> None:
        self.weather = weather
        self.agents = agents
        self.runs: list[Run] = []
        self.tries: list[Try] = []
        self.hidden: Counter[str] = Counter()
        """How often an attempt's end was hidden, by key."""
        self.ambiguous: set[str] = set()
        """otids of which an attempt's end was hidden from whoever sent it."""
        self.complaints: list[str] = []
        self.refused_wide: list[tuple[float, str]] = []
        self.foreign_until: dict[str, float] = {}
        self.hanging: set[str] = set()
        """Agents whose runs never end."""
        self.failing: set[str] = set()
        """Agents whose runs always fail."""
        self.run_s_of: dict[str, float] = {}
        self.spell: str | None = None
        self._rng = rng
        self._now_s = now_s
        self._background = background
        self._log = log
        self._up = asyncio.Event()
        self._up.set()
        self._in_transit: list[str] = []
        self._open: dict[asyncio.Future[SendResult], Run | None] = {}
        self._active: dict[str, list[Run]] = {}
        self._by_otid: dict[str, list[Run]] = {}
        self._by_id: dict[str, Run] = {}

    # -- the weather ----------------------------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        return self._up.is_set()

    def go_away(self, *, is_killed: bool) -> None:
        """The server cannot be reached from now on; killed by -9, it also loses what it was working on."""
        self._up.clear()
        for answer in list(self._open):
            _answer(answer, Unclear(code="broken", detail="the connection broke after the body was sent"))
        if is_killed:
            for run in [run for runs in self._active.values() for run in runs]:
                self._end(run, RunState.LOST)
            self.foreign_until.clear()

    def come_back(self) -> None:
        self._up.set()

    # -- what the adapter does ------------------------------------------------------------------------------

    async def send(self, message: Message, *, executor: str) -> SendResult:
        agent_id = message.address.agent_id
        is_marked = "may be a repeat" in (message.envelope or "")
        self.tries.append(Try(self._now_s(), message.delivery_id, agent_id, message.otid, executor, is_marked))
        refusal = self._refusal()
        if refusal is not None:
            await asyncio.sleep(0.01)
            self.refused_wide.append((self._now_s(), executor))
            return refusal
        await asyncio.sleep(self._latency_s())  # the adapter looks first whether the agent is busy
        known = self._known(message.otid)
        if agent_id not in self.agents:
            return Final(code="agent_not_found", detail="no such agent", status=404)
        if not (self.weather.dedupes and known):
            busy = self._busy(agent_id)
            if busy is not None:
                return busy
        if self._happens(self.weather.throttles):
            return Refused(code="throttled", detail="429", status=429, is_target_wide=True, is_overload=True)
        return await self._post(message)

    async def follow(self, sent: Sent) -> FollowResult:
        run = self._by_id.get(sent.run_id or "")
        if run is None:
            return Unclear(code="run_unknown", detail="no such run")
        await run.ended.wait()
        await self._up.wait()
        if run.state is RunState.LOST:
            self.ambiguous.add(run.otid)
            if not self.weather.tells_lost:
                await asyncio.Event().wait()  # `created` for ever
            await asyncio.sleep(2.0)
            return Unclear(code="run_lost", detail="the server was restarted", run_id=run.id)
        await asyncio.sleep(self._latency_s())
        if run.state is RunState.STORED:
            return Done(run_id=run.id, reply_excerpt="ok")
        return Failed(code="llm_error", detail=f"the run {run.state}", run_id=run.id)

    async def settle(self, sent: Sent) -> SettleResult:
        if self._refusal() is not None:
            return Undecided(detail="cannot be asked", is_unreachable=True)
        await asyncio.sleep(self._latency_s())
        if not self.is_up:
            return Undecided(detail="cannot be asked", is_unreachable=True)
        runs = self._by_otid.get(sent.otid, [])
        stored = next((run for run in runs if run.state is RunState.STORED), None)
        if stored is not None:
            return Done(run_id=stored.id, reply_excerpt="ok")
        active = next((run for run in runs if run.state is RunState.ACTIVE), None)
        if active is not None:
            is_recognised = self.weather.tells_runs or sent.run_id == active.id
            return Accepted(run_id=active.id) if is_recognised else Undecided(detail="a run is under way")
        last = runs[-1] if runs else None
        if last is not None and last.state in {RunState.FAILED, RunState.CANCELLED}:
            if self.weather.tells_runs or sent.run_id == last.id:
                return Failed(code="llm_error", detail="the run failed", run_id=last.id)
            return Undecided(detail="nothing is stored")
        if last is None and self.weather.proves_absence and sent.otid not in self._in_transit:
            return Absent()
        return Undecided(detail="nothing is stored")

    async def cancel_run(self, sent: Sent) -> None:
        run = self._by_id.get(sent.run_id or "")
        if run is not None and self.is_up:
            self.ambiguous.add(run.otid)
            if run.state is RunState.ACTIVE:
                self._end(run, RunState.CANCELLED)

    async def probe(self) -> Refused | None:
        await asyncio.sleep(0.01)
        return self._refusal()

    # -- the server -----------------------------------------------------------------------------------------

    async def _post(self, message: Message) -> SendResult:
        answer: asyncio.Future[SendResult] = asyncio.get_running_loop().create_future()
        self._open[answer] = None
        if self._happens(self.weather.lost_request):
            _answer(answer, Unclear(code="broken", detail="the connection broke"))
        else:
            self._in_transit.append(message.otid)
            self._background(self._arrive(message, answer, self._now_s()))
        try:
            async with asyncio.timeout(None if self.weather.is_blocking else CLIENT_PATIENCE_S):
                result = await answer
        except TimeoutError:
            result = Unclear(code="timeout", detail="no answer")
        except asyncio.CancelledError:
            self.ambiguous.add(message.otid)
            raise
        finally:
            self._open.pop(answer, None)
        if isinstance(result, Unclear):
            self.ambiguous.add(message.otid)
            self.hidden[_key(message.otid)] += 1
        return result

    async def _arrive(self, message: Message, answer: asyncio.Future[SendResult], sent_s: float) -> None:
        await asyncio.sleep(self._latency_s())
        self._in_transit.remove(message.otid)
        if not self.is_up:
            _answer(answer, Unclear(code="broken", detail="the connection broke"))
            return
        run = self._known(message.otid) if self.weather.dedupes else None
        if run is None:
            run = self._begin(message, sent_s)
            self._background(self._work(run))
        if answer in self._open:
            self._open[answer] = run
        if self._happens(self.weather.silent):
            return
        if self.weather.is_blocking:
            await run.ended.wait()
        if self._happens(self.weather.lost_answer):
            _answer(answer, Unclear(code="broken", detail="the answer was lost"))
        elif run.state is RunState.STORED:
            _answer(answer, Done(run_id=run.id, reply_excerpt="ok"))
        elif run.state is RunState.ACTIVE:
            _answer(answer, Accepted(run_id=run.id))
        elif run.state is RunState.LOST:
            _answer(answer, Unclear(code="broken", detail="the connection broke"))
        else:
            _answer(answer, Failed(code="llm_error", detail="the run failed", run_id=run.id))

    def _begin(self, message: Message, sent_s: float) -> Run:
        agent_id = message.address.agent_id
        run = Run(
            id=f"run-{len(self.runs) + 1}",
            agent_id=agent_id,
            otid=message.otid,
            prompt=message.prompt,
            envelope=message.envelope or "",
            delivery_id=message.delivery_id,
            schedule_id=message.schedule_id,
            sent_s=sent_s,
            began_s=self._now_s(),
        )
        for other in self._active.get(agent_id, []):
            self.complaints.append(f"{run.id} ({run.prompt}) overlaps {other.id} ({other.prompt}) of {agent_id}")
        for known in self._by_otid.get(run.otid, []):
            may_have_acted = known.state not in {RunState.FAILED, RunState.CANCELLED}
            if may_have_acted and "may be a repeat" not in run.envelope:
                self.complaints.append(
                    f"{run.id} repeats {known.id} of {agent_id} ({known.state}), and does not say so"
                )
        for known in self.runs:
            is_known = known.key == run.key and known.state is RunState.STORED and known.ended_s is not None
            if is_known and (known.ended_s or 0.0) < sent_s - KNOWABLE_AFTER_S:
                self.complaints.append(f"{run.id} repeats {known.id} of {agent_id}, stored at {known.ended_s:.1f} s")
        self.runs.append(run)
        self._active.setdefault(agent_id, []).append(run)
        self._by_otid.setdefault(run.otid, []).append(run)
        self._by_id[run.id] = run
        self._log(f"run {run.id} of {agent_id} begins: {run.prompt} otid {run.otid[:8]}{run.otid[36:]}")
        return run

    async def _work(self, run: Run) -> None:
        if run.agent_id in self.hanging:
            return
        fails = self._happens(self.weather.run_fails) or run.agent_id in self.failing
        await asyncio.sleep(self.run_s_of.get(run.agent_id) or self._rng.uniform(*self.weather.run_s))
        if run.state is RunState.ACTIVE:
            self._end(run, RunState.FAILED if fails else RunState.STORED)

    def _end(self, run: Run, state: RunState) -> None:
        run.state = state
        run.ended_s = self._now_s()
        run.ended.set()
        self._active[run.agent_id].remove(run)
        self._log(f"run {run.id} {state}")

    # -- answers --------------------------------------------------------------------------------------------

    def _refusal(self) -> Refused | None:
        if not self.is_up:
            return Refused(code="unreachable", detail="connection refused", is_target_wide=True)
        match self.spell:
            case None:
                return None
            case "401":
                return Refused(code="unauthorized", detail="401", status=401, is_target_wide=True)
            case code:
                wait = timedelta(seconds=5)
                return Refused(
                    code="overload",
                    detail=code,
                    status=int(code),
                    is_target_wide=True,
                    is_overload=True,
                    retry_after=wait,
                )

    def _busy(self, agent_id: str) -> Busy | None:
        ours = self._active.get(agent_id)
        if ours:
            return Busy(detail=f"run {ours[0].id} is under way", run_id=ours[0].id)
        if self.foreign_until.get(agent_id, 0.0) > self._now_s():
            return Busy(detail="a person is talking to it")
        return None

    def _known(self, otid: str) -> Run | None:
        """Return the run that a de-duplicating server would replay; a restart makes it forget."""
        return next((run for run in self._by_otid.get(otid, []) if run.state is not RunState.LOST), None)

    def _latency_s(self) -> float:
        return self._rng.uniform(*self.weather.latency_s)

    def _happens(self, chance: float) -> bool:
        return chance > 0 and self._rng.random() < chance


def _key(otid: str) -> str:
    return otid.partition("#")[0]


def _answer(answer: asyncio.Future[SendResult], result: SendResult) -> None:
    if not answer.done():
        answer.set_result(result)
