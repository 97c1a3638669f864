"""The gate before each target: how many requests may be open at once, and none at all while it refuses everybody.

Breaker and pace are the domain's; here they meet the event loop: waiting for a slot, probing, recovery.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from promptyoself.domain import limits
from promptyoself.domain.answers import Refused, Target, Unclear
from promptyoself.domain.breaker import Breaker, Pace
from promptyoself.domain.errors import StoreError
from promptyoself.domain.models import Fact, FactKind, TargetHealth
from promptyoself.domain.ports import Clock, Tx, Writer

_log = logging.getLogger(__name__)
_PROBE_TIME = timedelta(seconds=15)
_PASSING_BY = ("execute", "doors")
"""Modes of executors that deliver nothing, or for a moment."""


@dataclass(slots=True)
class _Door:
    breaker: Breaker
    pace: Pace
    in_flight: int = 0
    waiters: deque[asyncio.Future[bool]] = field(default_factory=deque)
    mending: asyncio.Task[None] | None = None
    looking: asyncio.Task[None] | None = None
    look_from_s: float = 0.0
    """From which monotonic second on it is looked again what is recorded of it."""


class Slot:
    """Leave to have one request open. Give it back once; more often does no harm."""

    __slots__ = ("_door", "_gate", "_is_held")

    def __init__(self, gate: Gate, door: _Door) -> None:
        self._gate = gate
        self._door = door
        self._is_held = True

    def release(self) -> None:
        """Give the slot back."""
        if self._is_held:
            self._is_held = False
            self._gate.leave(self._door)


class Gate:
    """One door a target.

    `on_change` is called when a closed door opens again (work may be ready), `on_grant` with the target's name
    whenever somebody gets a slot (room for one more to wait).
    """

    def __init__(
        self,
        *,
        targets: Mapping[str, Target],
        writer: Writer,
        clock: Clock,
        on_change: Callable[[], None],
        on_grant: Callable[[str], None],
        most: int = limits.TARGET_IN_FLIGHT_DEFAULT,
    ) -> None:
        self._targets = targets
        self._writer = writer
        self._clock = clock
        self._on_change = on_change
        self._on_grant = on_grant
        self._doors = {name: _Door(Breaker(), Pace(most)) for name in targets}
        self._unknown = _Door(Breaker(), Pace(most))

    def open_targets(self) -> list[str]:
        """Return the names of the targets that would be sent to now."""
        return [name for name, door in self._doors.items() if not door.breaker.is_open]

    def waiting(self, target: str) -> int:
        """Return how many wait for a slot of this target."""
        door = self._doors.get(target)
        return len(door.waiters) if door else 0

    def in_flight(self, target: str) -> int:
        """Return how many slots of this target are held."""
        door = self._doors.get(target)
        return door.in_flight if door else 0

    def allow(self, target: str, share: int) -> None:
        """Let at most `share` requests be open at this target, of those that the setting allows.

        Whoever has a slot keeps it: with less than before, what is open goes down as answers come in. With 0 those who
        wait are sent away: nobody knows if there will be a slot here again, and others may have some for their lanes.
        """
        door = self._doors.get(target)
        if door is None:
            return
        door.pace.share = share
        if share:
            self._grant(door)
        else:
            _send_away(door)

    async def enter(self, target: str) -> Slot | None:
        """Wait for a slot; None when the target's breaker is open, or this executor's share is 0, now or meanwhile."""
        door = self._doors.get(target, self._unknown)
        if door.breaker.is_open or not door.pace.share:
            return None
        if door.in_flight >= door.pace.cap:
            waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            door.waiters.append(waiter)
            try:
                if not await waiter:
                    return None
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled() and waiter.result():
                    self.leave(door)  # the slot was ours already: it goes to the next
                elif waiter in door.waiters:
                    door.waiters.remove(waiter)
                raise
        else:
            door.in_flight += 1
        self._on_grant(target)
        return Slot(self, door)

    def enter_now(self, target: str) -> Slot | None:
        """Return a slot if one is free and nobody waits for it; None otherwise."""
        door = self._doors.get(target, self._unknown)
        if door.breaker.is_open or door.waiters or door.in_flight >= door.pace.cap:
            return None
        door.in_flight += 1
        self._on_grant(target)
        return Slot(self, door)

    def leave(self, door: _Door) -> None:
        """Give back a slot; `Slot.release` calls this. It goes to whoever waits longest."""
        door.in_flight -= 1
        self._grant(door)

    def _grant(self, door: _Door) -> None:
        while door.waiters and door.in_flight < door.pace.cap:
            waiter = door.waiters.popleft()
            if not waiter.done():
                door.in_flight += 1
                waiter.set_result(True)

    def note(self, target: str, result: object) -> None:
        """Learn from a target's answer to a send."""
        door = self._doors.get(target)
        if door is None or isinstance(result, Unclear):
            return
        if not isinstance(result, Refused):
            door.breaker.succeeded()
            door.pace.succeeded()
            self._look_at_record(target, door)
            return
        if result.is_overload:
            door.pace.overloaded()
        if result.is_target_wide and door.breaker.refused():
            door.mending = asyncio.ensure_future(self._mend(target, door, result))
            _send_away(door)

    async def close(self) -> None:
        """Stop probing. An open breaker ends with its executor: nothing is held back by it any more."""
        mending = {name: door.mending for name, door in self._doors.items() if door.mending is not None}
        looking = [door.looking for door in self._doors.values() if door.looking is not None]
        for task in (*mending.values(), *looking):
            task.cancel()
        await asyncio.gather(*mending.values(), *looking, return_exceptions=True)
        for name in mending:
            await self._forget(name)

    async def _mend(self, name: str, door: _Door, why: Refused) -> None:
        """Say once that the target refuses all, probe until it does not, then let the waiting go at once."""
        _log.error("target.breaker_opened target=%s code=%s detail=%s", name, why.code, why.detail)
        await self._record(name, is_open=True, reason=why.detail)
        probes = 0
        while True:
            await asyncio.sleep(door.breaker.probe_after_s(probes))
            if await self._probe(name) is None:
                break
            probes += 1
        door.breaker.close()
        door.pace.after_outage()
        door.mending = None
        _log.warning("target.breaker_closed target=%s probes=%d", name, probes + 1)
        await self._record(name, is_open=False, reason=None)
        self._on_change()

    async def _probe(self, name: str) -> Refused | None:
        try:
            async with asyncio.timeout(_PROBE_TIME.total_seconds()):
                return await self._targets[name].probe()
        except TimeoutError:
            return Refused(code="timeout", detail="the probe was not answered", is_target_wide=True)
        except Exception as fault:  # noqa: BLE001  a fault of an adapter must not keep its door shut for ever
            _log.exception("target.fault during=probe target=%s", name)
            return Refused(code="target_fault", detail=type(fault).__name__, is_target_wide=True)

    async def _record(self, name: str, *, is_open: bool, reason: str | None) -> None:
        now = self._clock.now()

        def act(tx: Tx) -> None:
            tx.save_target_health(TargetHealth(target=name, is_open=is_open, reason=reason, since=now))
            kind = FactKind.BREAKER_OPENED if is_open else FactKind.BREAKER_CLOSED
            tx.add_fact(Fact(kind=kind, at=now, actor="gate", detail={"target": name, "reason": reason}))
            if not is_open:
                tx.hasten_target(name, now=now)

        try:
            await self._writer.write(act)
        except StoreError as error:  # the breaker works without its record; the log above said it
            _log.warning("target.health_not_recorded target=%s code=%s", name, error.code)

    def _look_at_record(self, name: str, door: _Door) -> None:
        """See now and then that a target which takes prompts is not recorded as one that refuses everybody."""
        now_s = self._clock.monotonic()
        if now_s >= door.look_from_s and not door.breaker.is_open:
            door.look_from_s = now_s + limits.TARGET_RECORD_LOOKED_AT_EVERY.total_seconds()
            door.looking = asyncio.ensure_future(self._correct(name, door))

    async def _correct(self, name: str, door: _Door) -> None:
        """Record that a target is well: whoever recorded otherwise has died, or left it to those that go on."""
        with suppress(StoreError):  # it is looked again
            health = await self._writer.read(lambda tx: tx.target_health())
            if any(one.is_open and one.target == name for one in health) and not door.breaker.is_open:
                await self._record(name, is_open=False, reason=None)

    async def _forget(self, name: str) -> None:
        """Take an open breaker out of view, unless others deliver too: theirs may be open. The next prompt tells."""
        now = self._clock.now()
        health = TargetHealth(target=name, is_open=False, reason=None, since=now)

        def act(tx: Tx) -> None:
            others = tx.executors(alive_since=now - limits.EXECUTOR_ALIVE_FOR)
            if not any(one.mode not in _PASSING_BY for one in others):
                tx.save_target_health(health)

        with suppress(StoreError):
            await self._writer.write(act)


def _send_away(door: _Door) -> None:
    """Tell all who wait that they wait in vain."""
    while door.waiters:
        waiter = door.waiters.popleft()
        if not waiter.done():
            waiter.set_result(False)
