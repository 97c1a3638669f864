"""The engine on many machines: a lane that is due and free has one token in PostgreSQL, and whoever picks it runs it.

PgQueuer carries the tokens: its table, its statement that picks, its signs of life, its NOTIFY (lanes/pgqueuer_tokens).
Its own runner is not used: that one looks four times for each wake-up, keeps a task a token alive besides ours, deletes
a token a moment after its end (what arrived in between would lie still), and ends with its connection.

- A token is issued in the transaction that makes a lane due, and goes in the one that gives the lane back, which looks
  a last time with the lane's row in hand; what is due then goes to the back of the queue. The store sees to both.
- A token is never dated ahead. What comes due later is found by a timer, here and on every node at once: harmless.
- A token that its owner forgets, or dies with, is picked again after its lease. The lane's lease decides who sends.
- What an accident has dropped, a sweep issues again.

Between a commit that makes a prompt due and its send stands the planner's transaction. With slots free, a planner
claims what it plans right there, if nothing else is to be done in its lane; where it has none, or others wait already,
a token, its picking and the claim come in between. What has to be looked at after a plan (what else is due, what comes
next) is looked at once lanes have started.

Over 500 lines: loops and signals of one event loop, which wake one another. Shares, tokens and connections stand in
modules of their own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, TypeVar, cast
from uuid import UUID

from promptyoself.domain import limits
from promptyoself.domain.errors import StoreBusy, StoreError, StoreMoved
from promptyoself.domain.models import Executor
from promptyoself.domain.ports import Clock, Tx, Writer
from promptyoself.domain.ports_fleet import FleetTx
from promptyoself.domain.values import dataclass, replace
from promptyoself.lanes.local import Timers
from promptyoself.lanes.outage import Outage
from promptyoself.lanes.pgqueuer_driver import Listener
from promptyoself.lanes.pgqueuer_guard import assert_fits
from promptyoself.lanes.pgqueuer_shares import Shares
from promptyoself.lanes.pgqueuer_tokens import CHANNEL, Token, Tokens, is_issue
from promptyoself.lanes.retention import prune

_log = logging.getLogger(__name__)
T = TypeVar("T")

CHANGES: Final = "promptyoself"
"""The channel on which the store tells that something has changed."""
FACTS: Final = "f"
"""What it says when nothing but the journal has grown: nothing comes due of that."""
_PASS_GAP_S: Final = 0.002
"""Between two passes of the planner: what comes due close together shares one."""
_RETRY_FIRST_S: Final = 0.1
_FAULT_PAUSE_S: Final = 15.0


class Ahead(Protocol):
    """Claims made in a transaction that plans."""

    def claim(self, tx: FleetTx) -> None:
        """Claim what the transaction has planned and may claim; in whichever thread it runs."""
        ...

    def runs(self) -> Sequence[tuple[str, Coroutine[Any, Any, None]]]:
        """Return each lane that was claimed and what carries it, when that is stored."""
        ...

    async def give_up(self) -> None:
        """Give back what was claimed, where it is not known whether that was stored."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetWork:
    """What the engine runs: the application's planner, dispatcher and gate, as plain callables."""

    plan: Callable[[Callable[[Tx], object], Callable[[Tx], object]], Awaitable[int]]
    """Plans one batch of due schedules, FLEET_PLANNED_MAX at most; answers how many it planned.

    It is given what is to be run before and after it, in the same transaction.
    """
    run_lane: Callable[[str, set[int]], Awaitable[bool]]
    """Takes a lane's turn and adds what it carried to the set; False when another runner holds the lane."""
    ahead: Callable[[Sequence[str]], Ahead]
    """Makes ready for claims at these targets in a transaction that plans."""
    open_targets: Callable[[], list[str]]
    waiting: Callable[[str], int]
    """How many lane runners wait for a slot of this target."""
    in_flight: Callable[[str], int]
    """How many slots of this target are held."""
    allow: Callable[[str, int], None]
    """Lets at most so many requests be open at this target."""
    stop: Callable[[], None]
    """Tells the dispatcher to claim nothing more."""
    most: Mapping[str, int]
    """How many requests may be open at each target, over the whole fleet."""
    lanes_max: int = limits.LANES_ACTIVE_MAX
    """How many lanes may run here at once; the rest wait for whichever node has room."""
    started: Callable[[], None] | None = None
    """Called once, when this node has said that it lives and begins to claim."""


class FleetLanes:
    """Runs until told to stop. One instance, one run."""

    def __init__(  # noqa: PLR0913  named all, and no two of a kind
        self,
        *,
        writer: Writer,
        signs: Writer,
        clock: Clock,
        timers: Timers,
        work: FleetWork,
        executor: Executor,
        owner: UUID,
        conninfo: str,
        interval: timedelta,
        retention: timedelta = limits.RETENTION_DEFAULT,
        lease: timedelta = limits.FLEET_LEASE,
    ) -> None:
        """`conninfo` reaches the store's database; `owner` is nobody else's, and new at each start.

        `lease` is the same for all nodes, and the dispatcher's: without a sign of life for so long, a node has lost
        what it holds.

        Both writers hand acts a FleetTx. `signs` writes that this node lives and what it has reserved, on a connection
        of its own: behind a batch of planning they would come late, and leases run out.

        Raises ConfigError when the installed PgQueuer is not what this is written for.
        """
        assert_fits()
        self._writer = writer
        self._signs = signs
        self._clock = clock
        self._timers = timers
        self._work = work
        self._executor = executor
        self._owner = str(owner)
        self._interval = interval
        self._retention = retention
        self._lease = lease
        self._tokens = Tokens(conninfo, owner, lease)
        self._shares = Shares(writer=signs, clock=clock, work=work, executor_id=executor.id, lease=lease)
        self._listener = Listener(
            conninfo,
            {CHANNEL: self._hear_of_tokens, CHANGES: self._hear_of_changes},
            on_again=self._listen_again,
        )
        self._due = asyncio.Event()
        """Schedules may be due: plan."""
        self._changed = asyncio.Event()
        """Look soon what is due otherwise, and what comes next."""
        self._looking = asyncio.Event()
        """Look now."""
        self._timer_at: datetime | None = None
        """For when the timer of what comes next is set."""
        self._ending = asyncio.Event()
        self._picking = asyncio.Event()
        self._held: dict[int, asyncio.Task[None]] = {}
        """Runners of the tokens in hand."""
        self._ahead: set[asyncio.Task[None]] = set()
        """Runners of what was claimed as it was planned: such a lane has no token."""
        self._hungry: set[str] = set()
        self._outage = Outage(clock.monotonic)
        self._at_once: dict[str, int] = {}
        """How many tokens of a target are picked at once, where that is more than FLEET_PICK_MIN."""
        self._is_lost = True
        """True from a failure of the database on, until what is ours has been said to be alive; and at the start."""
        self._has_started = False
        self._grace_until_s = 0.0
        self._looked_until = limits.INSTANT_MIN
        self._looked_back_s = 0.0
        self._was_stopped = False
        self._planning: asyncio.Future[int] | None = None
        """The batch that is being planned, or was last."""
        self._in_vain = 0
        """Looks in a row that found something due and could not see to it."""
        self._wall, self._steady = clock.now(), clock.monotonic()

    def wake(self) -> None:
        """Something may have become due, or a target open: look now. From the event loop only."""
        self._due.set()
        self._picking.set()

    def slot_granted(self, target: str) -> None:
        """A runner got its slot: pick more when few wait and more are known to be there."""
        if target in self._hungry and self._work.waiting(target) <= self._room(target) // 4:
            self._hungry.discard(target)
            self._picking.set()

    async def run(self, stopping: asyncio.Event) -> bool:
        """Deliver until `stopping` is set, then finish what is in flight; True when all of it finished in time."""
        self._shares.hold_back()
        self._timers.every("heartbeat", self._lease / limits.FLEET_BEATS_PER_LEASE, self._beat)
        self._timers.every("recovery", self._lease / limits.FLEET_LOOKS_PER_LEASE, self._recover)
        self._timers.every("sweep", limits.FLEET_SWEEP_EVERY, self._sweep)
        # At least hourly, whatever the interval: a new zone database may have moved the next fire to an earlier time.
        self._timers.every("safety pass", min(self._interval, timedelta(hours=1)), self._wake_soon)
        self._timers.every("retention", timedelta(hours=1), self._prune)
        self._timers.start()
        doings = (self._pick_until(stopping), self._pass_until(stopping), self._look_until(stopping))
        doing = [asyncio.ensure_future(one) for one in (*doings, self._listener.run())]
        ending = asyncio.ensure_future(self._wake_at_stop(stopping))
        try:
            ended, _ = await asyncio.wait(doing, return_when=asyncio.FIRST_COMPLETED)
            for one in ended:
                one.result()  # what ends unasked has failed, and the engine with it
        finally:
            self._timers.stop()
            for task in (*doing, ending):
                task.cancel()
            await asyncio.gather(*doing, ending, return_exceptions=True)
            is_clean = await self._finish()
        return is_clean

    # -- tokens ---------------------------------------------------------------------------------------------

    async def _pick_until(self, stopping: asyncio.Event) -> None:
        failures = 0
        while not stopping.is_set():
            self._picking.clear()
            try:
                if self._is_lost:
                    await self._regain()
                for target in self._work.open_targets():
                    await self._pick(target)
                failures = 0
            except StoreMoved:  # a sign of life meets it at the latest; there is nothing to come back to
                raise
            except StoreError as error:
                self._is_lost = True
                wait_s = min(limits.FLEET_CONNECT_GAP_MAX.total_seconds(), _RETRY_FIRST_S * 2.0 ** min(failures, 10))
                failures += 1
                self._outage.tell("executor.store_failed", error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), wait_s)
                continue
            await self._picking.wait()

    async def _regain(self) -> None:
        """Say that we live before anything else, and leave others the time to say so too.

        After a time without the database all leases have run out, ours and theirs: whoever lives still keeps what it
        holds. Tokens whose picking was answered to nobody go back.
        """
        grace = self._lease / limits.FLEET_GRACES_PER_LEASE
        self._grace_until_s = self._clock.monotonic() + grace.total_seconds()
        await self._tokens.renew()  # it may have broken unseen: a pick would be the first to meet it, and fail
        await self._say_alive()
        held = list(self._held)
        await self._write(lambda tx: tx.requeue_tokens(self._owner, but=held))
        self._is_lost = False
        self._outage.over()
        if not self._has_started:
            self._has_started = True
            if self._work.started is not None:
                self._work.started()
        self._timers.at("sweep soon", self._clock.now() + grace, self._sweep)
        self._due.set()

    async def _pick(self, target: str) -> None:
        """Pick tokens of a target as long as there are any, and room for their runners.

        Few at first, more with each pick that finds enough: of a hundred lanes two nodes have about half each, where
        the quicker one had them all; and of thousands each takes many at a time, which costs less.
        """
        with_abandoned = self._clock.monotonic() >= self._grace_until_s
        while True:
            at_once = self._at_once.get(target, limits.FLEET_PICK_MIN)
            most = min(at_once, self._room(target) - self._work.waiting(target), self._work.lanes_max - self._running)
            if most <= 0:
                self._hungry.add(target)
                return
            picked = await self._tokens.pick(target, most=most, with_abandoned=with_abandoned)
            for token in picked:
                self._start(token)
            if len(picked) < most:
                self._at_once.pop(target, None)
                self._hungry.discard(target)
                return
            self._at_once[target] = min(2 * at_once, limits.FLEET_PICK_MAX)
            await asyncio.sleep(0)  # the runners reach the gate: from there they are counted

    @property
    def _running(self) -> int:
        """How many lanes run here."""
        return len(self._held) + len(self._ahead)

    def _start(self, token: Token) -> None:
        if token.id not in self._held:  # one that we were too slow to keep may come back to ourselves
            self._held[token.id] = asyncio.ensure_future(self._run(token))

    def _room(self, target: str) -> int:
        """Return how many runners may wait for a slot: a few for each, for what waits here others cannot take."""
        return min(limits.LANES_PREFETCH, limits.FLEET_WAITING_PER_SLOT * self._shares.of(target))

    async def _run(self, token: Token) -> None:
        carried: set[int] = set()
        try:
            if not await self._work.run_lane(token.lane, carried) or not carried:
                await self._give_back(token)
        except StoreError as error:
            _log.error("lane.store_failed lane=%r code=%s error=%s", token.lane, error.code, error)
            await asyncio.sleep(_RETRY_FIRST_S)
            await self._give_back(token)
        except Exception:  # noqa: BLE001  logged with its trace; see below
            # A fault in one lane must not stop the others, nor take all of their time.
            _log.exception("lane.fault lane=%r", token.lane)
            await self._rest(_FAULT_PAUSE_S)
            await self._give_back(token)
        finally:
            del self._held[token.id]
            self._note_end()

    def _start_ahead(self, lane: str, running: Coroutine[Any, Any, None]) -> None:
        runner = asyncio.ensure_future(self._run_ahead(lane, running))
        self._ahead.add(runner)
        runner.add_done_callback(self._ahead.discard)

    async def _run_ahead(self, lane: str, running: Coroutine[Any, Any, None]) -> None:
        try:
            await running
        except StoreError as error:
            _log.error("lane.store_failed lane=%r code=%s error=%s", lane, error.code, error)
        except Exception:  # noqa: BLE001  logged with its trace; the lane was given back, and is due: its token is next
            _log.exception("lane.fault lane=%r", lane)
        finally:
            self._note_end()

    def _note_end(self) -> None:
        """Look what is due besides, and for more tokens: a runner less is there."""
        self._changed.set()
        self._shares.free_what_is_over(self._picking.set)
        for target in list(self._hungry):
            self.slot_granted(target)

    async def _rest(self, for_s: float) -> None:
        """Sleep, but for no stop."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), for_s)

    async def _give_back(self, token: Token) -> None:
        """Let go of a token that may still be there: a turn that carried nothing may not have had the lane at all."""
        with suppress(StoreError):  # it is picked again when it has been without a sign of life for long enough
            await self._write(lambda tx: tx.give_back_token(token.id, lane=token.lane, owner=self._owner))

    # -- what comes due -------------------------------------------------------------------------------------

    async def _pass_until(self, stopping: asyncio.Event) -> None:
        """Plan whenever schedules may be due. What is planned has its tokens: nothing stands before their picking."""
        while not stopping.is_set():
            await self._due.wait()
            self._due.clear()
            try:
                planned = await self._plan()
            except StoreError as error:
                await self._fail("executor.pass_failed", error)
                self._due.set()
                continue
            if planned >= limits.FLEET_PLANNED_MAX:
                self._due.set()
            elif not planned:  # it may be a lane that has come due
                self._looking.set()
            self._changed.set()
            await asyncio.sleep(_PASS_GAP_S)

    async def _plan(self) -> int:
        """Plan a batch, and run at once what of it was claimed with it: no node is asked to pick it."""
        # A stop does not end what is under way: what it claims has to be sent.
        self._planning = asyncio.ensure_future(self._plan_and_run())
        return await asyncio.shield(self._planning)

    async def _plan_and_run(self) -> int:
        targets = [] if self._is_lost else [one for one in self._work.open_targets() if self._is_idle(one)]
        if targets:
            with suppress(StoreBusy):  # somebody was quicker at a lane, say: nothing of it is stored
                return await self._plan_at(targets)
        return await self._plan_at([])

    async def _plan_at(self, targets: Sequence[str]) -> int:
        """Plan a batch, and claim of it what may be claimed at these targets."""
        ahead = self._work.ahead(targets)
        try:
            planned = await self._work.plan(
                lambda tx: cast("FleetTx", tx).claim_at(targets), lambda tx: ahead.claim(cast("FleetTx", tx))
            )
        except BaseException:
            await ahead.give_up()
            raise
        runs = ahead.runs()
        self._shares.free_what_is_over(self._picking.set)
        for lane, running in runs:
            self._start_ahead(lane, running)
        if planned > len(runs):
            self._picking.set()
        return planned

    def _is_idle(self, target: str) -> bool:
        """Whether a few more runners would find slots at once."""
        few = limits.FLEET_CLAIMED_AT_ONCE_MAX
        taken = self._work.in_flight(target) + self._work.waiting(target)
        return taken + few <= self._shares.of(target) and self._running + few <= self._work.lanes_max

    async def _look_until(self, stopping: asyncio.Event) -> None:
        """Look, after changes, what is due besides and what comes next; a moment later, when lanes have started."""
        while not stopping.is_set():
            await self._changed.wait()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._looking.wait(), limits.FLEET_LOOK_GAP.total_seconds())
            self._changed.clear()
            self._looking.clear()
            try:
                is_more_due = await self._look()
            except StoreError as error:
                await self._fail("executor.look_failed", error)
                is_more_due = True
            if is_more_due:
                self._looking.set()
                self._changed.set()

    async def _fail(self, what: str, error: StoreError) -> None:
        self._outage.tell(what, error)
        self._lose()
        await asyncio.sleep(limits.FLEET_CONNECT_GAP_MAX.total_seconds())

    async def _look(self) -> bool:
        """Issue tokens of what has come due by itself, and set the timer; True when more is due at once."""
        now = self._clock.now()
        if await self._issue(now):
            return True
        wake_at = await self._writer.read(lambda tx: tx.next_wake_at(now=now, due_after=now))
        if wake_at is not None:
            # Due already means that another node plans, or cannot: looked at again soon, and less soon each time.
            self._in_vain = 0 if wake_at > now else self._in_vain + 1
            pause = min(limits.CLOCK_STEP_MIN, limits.FLEET_LOOK_GAP * 2 ** min(self._in_vain, 10))
            self._wake_at(now + pause if self._in_vain else wake_at)
        return False

    def _wake_at(self, at: datetime) -> None:
        """Plan at that instant, or earlier: a timer that is set for an earlier one stays."""
        if at <= self._clock.now():
            self._due.set()
        elif self._timer_at is None or at < self._timer_at:
            self._timer_at = at
            self._timers.at("next due", at, self._come_due)

    async def _come_due(self) -> None:
        self._timer_at = None
        self._due.set()

    async def _issue(self, now: datetime) -> bool:
        """Issue tokens of lanes that have come due since the last look; True when there are more.

        Once a second it looks back: a lane may have come due while the transaction that said when was still open.
        """
        after, steady = self._looked_until, self._clock.monotonic()
        if steady - self._looked_back_s >= 1:
            self._looked_back_s = steady
            after -= min(limits.FLEET_LOOK_BACK, after - limits.INSTANT_MIN)
        most = limits.FLEET_SWEEP_BATCH

        def act(tx: FleetTx) -> tuple[int, bool]:
            switch = tx.stop_switch()
            is_stopped = switch is not None and (switch.until is None or switch.until > now)
            # When a stop has ended by itself, all that it held back has come due.
            since = limits.INSTANT_MIN if self._was_stopped and not is_stopped else after
            return tx.issue_due_tokens(after=since, now=now, limit=most), is_stopped

        issued, is_stopped = await self._write(act)
        if issued >= most:
            return True
        self._looked_until, self._was_stopped = now, is_stopped
        return False

    async def _sweep(self) -> None:
        """Issue what is missing, whatever the reason, and remove what has nothing to do."""
        now, most = self._clock.now(), limits.FLEET_SWEEP_BATCH
        try:
            while (
                await self._write(lambda tx: tx.issue_due_tokens(after=limits.INSTANT_MIN, now=now, limit=most)) >= most
            ):
                pass
            while await self._write(lambda tx: tx.drop_idle_tokens(now=now, limit=most)) >= most:
                pass
        except StoreError as error:
            self._outage.tell("sweep.failed", error)
            self._lose()

    # -- signals --------------------------------------------------------------------------------------------

    def _hear_of_tokens(self, notice: str) -> None:
        if is_issue(notice):
            self._picking.set()

    def _hear_of_changes(self, notice: str) -> None:
        if notice == self._shares.NOTICE:
            self._shares.divide_soon(self._picking.set)
        elif notice != FACTS:
            self._changed.set()
            at = first_due(notice)
            if at is not None:
                self._wake_at(at)

    def _listen_again(self) -> None:
        """Nobody knows what was said while nobody listened: that a node has come and waits for slots, too."""
        self.wake()
        self._shares.divide_soon(self._picking.set)

    def _lose(self) -> None:
        self._is_lost = True
        self._picking.set()

    async def _wake_soon(self) -> None:
        self.wake()

    async def _wake_at_stop(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self._ending.set()
        self._work.stop()
        self.wake()

    async def _recover(self) -> None:
        """Look for tokens whose owner has died, and notice a machine that slept: nobody signals either."""
        now, steady = self._clock.now(), self._clock.monotonic()
        stepped = (now - self._wall) - timedelta(seconds=steady - self._steady)
        if abs(stepped) >= limits.CLOCK_STEP_MIN:
            _log.warning("clock.stepped by_s=%.1f", stepped.total_seconds())
            self._lose()
        self._wall, self._steady = now, steady
        self._picking.set()

    async def _beat(self) -> None:
        """Say that we live, and keep leases, tokens and slots. One that fails is not the end: there is time for two."""
        try:
            await self._say_alive()
        except StoreError as error:
            self._outage.tell("executor.heartbeat_failed", error)
            self._lose()

    async def _say_alive(self) -> None:
        now = self._clock.now()
        executor = replace(self._executor, heartbeat_at=now)

        def act(tx: Tx) -> None:
            tx.heartbeat(executor)
            tx.renew_lanes(executor.id, until=now + self._lease)

        await self._signs.write(act)
        await self._tokens.say_alive(list(self._held))
        if await self._shares.divide():
            self._picking.set()

    async def _prune(self) -> None:
        before = self._clock.now() - self._retention
        await prune(self._writer, self._clock, retention=self._retention)
        with suppress(StoreError):
            for _ in range(limits.RETENTION_BATCHES_MAX):
                if not await self._write(lambda tx: tx.prune_token_log(before=before, limit=limits.RETENTION_BATCH)):
                    break

    async def _write(self, act: Callable[[FleetTx], T]) -> T:
        return await self._writer.write(lambda tx: act(cast("FleetTx", tx)))

    # -- the end --------------------------------------------------------------------------------------------

    async def _finish(self) -> bool:
        """Stop claiming, let what is in flight finish within the bound, give the rest back, and go."""
        self._ending.set()
        self._work.stop()
        await self._shares.end()
        beating = asyncio.ensure_future(self._beat_on())
        if self._planning is not None:
            planned, _ = await asyncio.wait({self._planning}, timeout=limits.FLEET_STATEMENT_FOR.total_seconds())
            await asyncio.gather(*planned, return_exceptions=True)  # its failure was told, or concerns nobody now
        tasks = {*self._held.values(), *self._ahead}
        _log.info("executor.stopping in_flight=%d", len(tasks))
        late: set[asyncio.Task[None]] = set()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=limits.STOP_FOR.total_seconds())
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)

        def act(tx: FleetTx) -> None:
            tx.requeue_tokens(self._owner, but=())
            tx.give_up_shares(self._executor.id)
            tx.remove_executor(self._executor.id)

        with suppress(StoreError):
            # After every sign of life: one that was under way is stored, though who waited for it was cancelled.
            await self._signs.write(lambda tx: act(cast("FleetTx", tx)))
        await self._tokens.close()
        return not late

    async def _beat_on(self) -> None:
        """Keep what is ours while it finishes: the timers have ended."""
        while True:
            await asyncio.sleep((self._lease / limits.FLEET_BEATS_PER_LEASE).total_seconds())
            await self._beat()


def first_due(notice: str) -> datetime | None:
    """Return the first instant at which the schedules that a notice tells of are due; None when it names none."""
    us = notice.partition(" ")[2]
    return limits.INSTANT_MIN + timedelta(microseconds=int(us)) if us.isdecimal() else None
