"""What became of a prompt: verdicts from runs and messages. Absence is claimed only when it is proven."""

from __future__ import annotations

from datetime import timedelta

from promptyoself.domain.answers import Absent, Accepted, Done, Failed, Refused, Sent, SettleResult, Undecided
from promptyoself.domain.ports import Clock
from promptyoself.targets.letta_answers import run_failure
from promptyoself.targets.letta_evidence import Evidence, Found, Life, Run, last_line, reply_excerpt
from promptyoself.targets.letta_runs import LettaPace, as_ended

CANCELLED_WORKS_FOR = timedelta(minutes=2)
"""A cancelled run may still finish and store the step it is in; after this it will not."""
REMEMBERED_MAX = 20_000
"""Otids and runs that one process remembers of each kind; the oldest are forgotten first."""


class Remembered:
    """A bounded memory of names, each with the monotonic second at which it came in first."""

    def __init__(self) -> None:
        self._names: dict[str, float] = {}

    def add(self, name: str, at_s: float) -> float:
        """Remember `name`, and return when it came in first."""
        first_s = self._names.setdefault(name, at_s)
        if len(self._names) > REMEMBERED_MAX:
            del self._names[next(iter(self._names))]
        return first_s

    def discard(self, name: str) -> None:
        """Forget `name`."""
        self._names.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._names


class Verdicts:
    """Judges runs and settles attempts, by evidence alone."""

    def __init__(self, evidence: Evidence, clock: Clock, pace: LettaPace) -> None:
        self._evidence = evidence
        self._clock = clock
        self._pace = pace
        self._missed = Remembered()
        self.lost = Remembered()
        """Runs that died with their server, or were cancelled by us: what Letta says of them proves nothing."""
        self.are_tags_kept = False
        """True once this server was seen to keep the tag of a run: only then does a missing tag prove anything."""

    def note_tag(self, run: Run, otid: str) -> None:
        """Learn from a run that is surely ours whether this server keeps tags."""
        self.are_tags_kept = run.otid == otid

    async def settle(self, sent: Sent) -> SettleResult:
        """Look for the run by its id, then by its tag, then for the message by its otid."""
        run = None if sent.run_id is None else await self._evidence.run(sent.run_id)
        if isinstance(run, Refused):
            return _unasked(run)
        if run is not None and not run.is_never_started:
            return await self.of_run(run, sent.otid)
        by_tag = await self._evidence.find_run(sent.address.agent_id, sent.otid, since=sent.since)
        if isinstance(by_tag, Refused):
            return _unasked(by_tag)
        if by_tag.run is not None:
            return await self.of_run(by_tag.run, sent.otid)
        by_message = await self._evidence.find_message(sent.address.agent_id, sent.otid, since=sent.since)
        if isinstance(by_message, Refused):
            return _unasked(by_message)
        if by_message.has_message:
            return await self._of_message(by_message, sent.otid)
        return self._of_nothing(sent.otid, is_complete=by_tag.is_complete and by_message.is_complete)

    async def of_run(self, run: Run, otid: str) -> SettleResult:
        """Judge a run as Letta lists it."""
        if run.is_active and run.may_stay_created:
            life = await self._evidence.life(run.id)
            if life in {Life.ENDED, Life.BROKEN}:
                run = as_ended(run, Life.ENDED if life is Life.ENDED else Life.BROKEN)
        match run.status:
            case "completed":
                return await self._done(run.id)
            case "failed":
                code, detail = run_failure(run.error, run.stop_reason)
                return Failed(code=code, detail=detail, run_id=run.id)
            case "cancelled":
                return await self._of_cancelled(run, otid)
            case _ if run.id in self.lost:
                return await self._of_lost(run, otid)
            case _:
                return Accepted(run_id=run.id)

    async def _done(self, run_id: str | None) -> Done:
        messages = [] if run_id is None else await self._evidence.messages(run_id)
        if isinstance(messages, Refused):
            return Done(run_id=run_id)
        return Done(run_id=run_id, reply_excerpt=reply_excerpt(messages), last_line=last_line(messages))

    async def _of_message(self, found: Found, otid: str) -> SettleResult:
        """The prompt is stored, so the agent has it; only its run may still be going."""
        run = None if found.run_id is None else await self._evidence.run(found.run_id)
        if isinstance(run, Run) and run.is_active:
            return await self.of_run(run, otid)
        return await self._done(found.run_id)

    async def _of_cancelled(self, run: Run, otid: str) -> SettleResult:
        """Somebody stopped it: delivered when the prompt is stored, failed when no step can store it any more."""
        if await self._is_stored(run, otid):
            return await self._done(run.id)
        life = await self._evidence.life(run.id)
        if isinstance(life, Refused):
            return _unasked(life)
        cancelled_at = run.completed_at or self._clock.now()
        if life is Life.WORKING and self._clock.now() - cancelled_at < CANCELLED_WORKS_FOR:
            return Undecided(detail="the run was cancelled and may still store its last step")
        return Failed(code="run_cancelled", detail="the run was cancelled before it stored the prompt", run_id=run.id)

    async def _of_lost(self, run: Run, otid: str) -> SettleResult:
        if await self._is_stored(run, otid):
            return await self._done(run.id)
        return Undecided(detail="Letta was down during the run, which has shown nothing since")

    async def _is_stored(self, run: Run, otid: str) -> bool:
        messages = await self._evidence.messages(run.id)
        return not isinstance(messages, Refused) and any(message.get("otid") == otid for message in messages)

    def _of_nothing(self, otid: str, *, is_complete: bool) -> SettleResult:
        """Letta stores a run before all else: none in two complete looks, well apart, means that nothing arrived."""
        now_s = self._clock.monotonic()
        if not (is_complete and self.are_tags_kept):
            return Undecided(detail="Letta shows neither run nor message, which proves nothing here")
        if now_s - self._missed.add(otid, now_s) < self._pace.absent_after_s:
            return Undecided(detail="Letta shows neither run nor message yet")
        self._missed.discard(otid)
        return Absent()


def _unasked(refused: Refused) -> Undecided:
    return Undecided(detail=refused.detail, is_unreachable=refused.is_target_wide)
