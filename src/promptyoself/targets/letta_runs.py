"""Waiting for runs to end: one poller for all of them, so that a thousand waits are not a thousand polling loops.

A run is looked at often while it is young and seldom when it is old, so that its end is noticed within about a tenth of
its age. While many are waited for, their looks fall on common instants: one list of active runs, a few pages long, then
answers for all that are still going.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field, replace
from enum import Enum

from promptyoself.domain.answers import Refused
from promptyoself.domain.ports import Clock
from promptyoself.targets.letta_answers import of_read
from promptyoself.targets.letta_evidence import Evidence, Life, Run, run_of
from promptyoself.targets.letta_http import Broken, LettaHttp, segment

LIST_RUNS_MAX = 1000
LIST_PAGES_MAX = 20
_TROUBLE = frozenset({"unreachable", "unauthorized", "overloaded"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LettaPace:
    """How the poller paces itself. Seconds."""

    look_first_s: float = 0.25
    look_last_s: float = 10.0
    look_per_age: float = 0.1
    """The pause between two looks, as a part of the wait so far."""
    outage_pause_s: float = 1.0
    """The pause while the server cannot be asked; doubles up to look_last_s."""
    lost_after_s: float = 120.0
    """How long a run may show no progress after its server was down before it is called lost."""
    quiet_for_s: float = 15.0
    """How long a run that Letta never finishes on paper must have had no step at work to count as ended."""
    absent_after_s: float = 30.0
    """How far apart the first and the last look are that prove together that a prompt never arrived."""
    at_once_max: int = 8
    """Runs asked for one by one, and requests open at once; when more are due, a list is asked for first."""


class Loss(Enum):
    """Why a run cannot be followed any more."""

    VANISHED = "vanished"
    STALLED = "stalled"


@dataclass(eq=False, slots=True)
class _Watch:
    run_id: str
    ended: asyncio.Future[Run | Loss]
    began_s: float
    next_at_s: float
    downs: int
    waiters: int = 1
    suspect_since_s: float | None = None
    quiet_since_s: float | None = None
    mark: object = field(default=None)


class RunPoller:
    """Follows runs on one server. Never raises but cancellation; during an outage it waits."""

    def __init__(self, http: LettaHttp, evidence: Evidence, clock: Clock, pace: LettaPace) -> None:
        self._http = http
        self._evidence = evidence
        self._clock = clock
        self._pace = pace
        self._watches: dict[str, _Watch] = {}
        self._changed = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._outage_pause_s = 0.0

    async def wait(self, run_id: str) -> Run | Loss:
        """Return the run once it has ended, or why that cannot be learnt any more."""
        watch = self._watches.get(run_id)
        if watch is None:
            now_s = self._clock.monotonic()
            ended = asyncio.get_running_loop().create_future()
            watch = _Watch(run_id, ended, now_s, now_s + self._pace.look_first_s, self._http.downs)
            self._watches[run_id] = watch
        else:
            watch.waiters += 1
        self._changed.set()
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._run(), name="letta-runs")
        try:
            return await asyncio.shield(watch.ended)
        finally:
            watch.waiters -= 1
            if watch.waiters == 0:
                self._drop(watch)

    async def close(self) -> None:
        """Stop looking; whoever still waits is cancelled."""
        for watch in list(self._watches.values()):
            watch.ended.cancel()
        self._watches.clear()
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            self._loop = None

    async def _run(self) -> None:
        while self._watches:
            self._changed.clear()
            now_s = self._clock.monotonic()
            due = [watch for watch in self._watches.values() if watch.next_at_s <= now_s]
            if due:
                await self._look(due)
                continue
            pause_s = max(0.0, min(watch.next_at_s for watch in self._watches.values()) - now_s)
            try:
                async with asyncio.timeout(min(pause_s, self._pace.look_last_s)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _look(self, due: list[_Watch]) -> None:
        """Look at those due; when there are many, ask one by one only for what the list does not show as going on."""
        if len(due) > self._pace.at_once_max and not self._outage_pause_s:
            due = await self._not_listed(due)
        gate = asyncio.Semaphore(self._pace.at_once_max)

        async def look_at(watch: _Watch) -> None:
            async with gate:
                # The first failure of a look is the answer for all: no thousand time-outs against a dead server.
                if not failed.is_set() and not await self._look_at(watch):
                    failed.set()

        failed = asyncio.Event()
        await asyncio.gather(*(look_at(watch) for watch in due))
        if failed.is_set():
            self._put_off(due)

    async def _not_listed(self, due: list[_Watch]) -> list[_Watch]:
        going = await self._listed({watch.run_id for watch in due})
        if going is None:
            return due[: self._pace.at_once_max]
        open_ones = {watch for watch in due if watch.run_id in going and not self._is_suspect(watch)}
        for watch in open_ones:
            self._next(watch)
        return [watch for watch in due if watch not in open_ones]

    async def _listed(self, wanted: set[str]) -> set[str] | None:
        """Return which of these runs the server lists as active, newest first; None when it cannot be asked.

        Ends where so few are missing that asking for each costs less than another page.
        """
        query = f"background=true&statuses=created&statuses=running&limit={LIST_RUNS_MAX}&order=desc"
        before, found = "", set[str]()
        for _ in range(LIST_PAGES_MAX):
            reply = await self._http.ask("GET", f"/v1/runs/?{query}{before}")
            if isinstance(reply, Broken) or of_read(reply):
                return None
            page = [run_of(item).id for item in reply.items]
            found |= wanted.intersection(page)
            if len(page) < LIST_RUNS_MAX or len(wanted) - len(found) <= self._pace.at_once_max:
                break
            before = f"&before={segment(page[-1])}"
        return found

    async def _look_at(self, watch: _Watch) -> bool:
        """Look at one run; False when the server could not be asked."""
        found = await self._evidence.run(watch.run_id)
        if isinstance(found, Refused):
            if found.code in _TROUBLE or found.status in {502, 503}:
                return False
            self._next(watch)  # one run that Letta cannot show must not keep the others waiting
            return True
        self._outage_pause_s = 0.0
        suspect_since_s = self._suspect_since_s(watch)
        if found is None:
            self._end(watch, Loss.VANISHED)
        elif not found.is_active:
            self._end(watch, found)
        elif suspect_since_s is not None and await self._is_stalled(watch, suspect_since_s):
            self._end(watch, Loss.STALLED)
        elif found.may_stay_created and (ended := await self._ended_on_the_quiet(watch, found)):
            self._end(watch, ended)
        else:
            self._next(watch)
        return True

    def _is_suspect(self, watch: _Watch) -> bool:
        return watch.suspect_since_s is not None or watch.downs != self._http.downs

    def _suspect_since_s(self, watch: _Watch) -> float | None:
        """Suspect the run when its server was down meanwhile: Letta forgets at its end what it was doing."""
        if watch.downs != self._http.downs:
            watch.downs = self._http.downs
            watch.suspect_since_s = self._clock.monotonic()
            watch.mark = None
        return watch.suspect_since_s

    async def _is_stalled(self, watch: _Watch, since_s: float) -> bool:
        """Return True when the suspect has shown nothing new for `lost_after_s`."""
        life, messages = await self._evidence.life(watch.run_id), await self._evidence.messages(watch.run_id)
        if isinstance(life, Refused) or isinstance(messages, Refused):
            return False
        mark = (life, len(messages))
        if watch.mark is None:
            watch.mark = mark
        elif watch.mark != mark:
            watch.suspect_since_s = None  # it moves: it survived
            return False
        return self._clock.monotonic() - since_s >= self._pace.lost_after_s

    async def _ended_on_the_quiet(self, watch: _Watch, run: Run) -> Run | None:
        """Return the run as ended when its last step ended long enough ago; only for runs that stay `created`."""
        life = await self._evidence.life(run.id)
        if life not in {Life.ENDED, Life.BROKEN}:
            watch.quiet_since_s = None
            return None
        now_s = self._clock.monotonic()
        watch.quiet_since_s = watch.quiet_since_s or now_s
        if now_s - watch.quiet_since_s < self._pace.quiet_for_s:
            return None
        return as_ended(run, life)

    def _put_off(self, due: list[_Watch]) -> None:
        self._outage_pause_s = min(
            max(self._pace.outage_pause_s, self._outage_pause_s * 2), max(self._pace.look_last_s, 0.0)
        )
        later_s = self._clock.monotonic() + self._outage_pause_s
        for watch in due:
            watch.next_at_s = max(watch.next_at_s, later_s)

    def _next(self, watch: _Watch) -> None:
        now_s = self._clock.monotonic()
        pause_s = min(
            max((now_s - watch.began_s) * self._pace.look_per_age, self._pace.look_first_s), self._pace.look_last_s
        )
        is_alone = len(self._watches) <= self._pace.at_once_max
        watch.next_at_s = now_s + pause_s if is_alone else self._common_instant(now_s, pause_s)

    def _common_instant(self, now_s: float, pause_s: float) -> float:
        """Return an instant half a pause to one and a half from now that many looks share."""
        first_s = self._pace.look_first_s
        grid_s = first_s * 2.0 ** int(math.log2(pause_s / first_s)) if pause_s > first_s > 0 else pause_s
        return math.ceil((now_s + grid_s / 2) / grid_s) * grid_s if grid_s > 0 else now_s

    def _end(self, watch: _Watch, outcome: Run | Loss) -> None:
        if not watch.ended.done():
            watch.ended.set_result(outcome)
        self._drop(watch)

    def _drop(self, watch: _Watch) -> None:
        if self._watches.get(watch.run_id) is watch:
            del self._watches[watch.run_id]
            if not self._watches:
                self._changed.set()


def as_ended(run: Run, life: Life) -> Run:
    """Return a run that stays `created` on paper with the status that its steps show."""
    return replace(run, status="failed" if life is Life.BROKEN else "completed")
