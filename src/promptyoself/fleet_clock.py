"""The time of a fleet is its database's: a node measures how far it is off, and tells the time by its monotonic clock.

Hosts disagree about the time, and set their clocks; what is due, and whose lease has ended, must not depend on which
host asks. So the host's wall clock is not used but for two things: to say how far it is off, and to notice that the
machine slept (a monotonic clock stands still meanwhile on Linux, and a wall clock does not).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from promptyoself.domain import limits
from promptyoself.domain.ports import Clock

_log = logging.getLogger(__name__)

_STEP_S: Final = limits.CLOCK_STEP_MIN.total_seconds()

Ask = Callable[[], datetime]
"""Returns the database's time: one round trip. Raises StoreError."""


class _Anchor(NamedTuple):
    """What was measured: at the monotonic instant `steady` the database's clock showed `at`, and the host's `wall`."""

    at: datetime
    steady: float
    wall: datetime
    error_s: float
    """The true difference is at most this far away: half of the round trip."""


class FleetClock:
    """The database's time on one node; safe to use from several threads.

    Before the first measurement it is the host's. While the database is away the last one holds.
    """

    def __init__(self, clock: Clock, *, host: str) -> None:
        """`clock` is the host's own, `host` its name, for the log."""
        self._host: Final = clock
        self._name: Final = host
        self._lock = threading.Lock()
        self._anchor: _Anchor | None = None
        self._again: Callable[[], None] | None = None
        self._is_told_off = False

    def now(self) -> datetime:
        """Return the database's time: aware UTC with microseconds.

        After a sleep of the machine it is measured again first, where somebody keeps it (`keep`); that takes
        CLOCK_MEASURE_FOR at most.
        """
        anchor = self._anchor
        if anchor is None:
            return self._host.now()
        steady = self._host.monotonic()
        if self._again is not None and abs(self._parted_s(anchor, steady)) >= _STEP_S:
            anchor = self._measured_again(anchor)
            steady = self._host.monotonic()
        return anchor.at + timedelta(0, steady - anchor.steady)

    def monotonic(self) -> float:
        """Return the host's seconds that never step back."""
        return self._host.monotonic()

    @property
    def offset(self) -> timedelta | None:
        """How far the host's own clock is ahead of the database's (negative: behind); None before a measurement."""
        anchor = self._anchor
        if anchor is None:
            return None
        return self._host.now() - (anchor.at + timedelta(seconds=self._host.monotonic() - anchor.steady))

    @property
    def error(self) -> timedelta | None:
        """How far the last measurement may be wrong; None before there is one."""
        return None if self._anchor is None else timedelta(seconds=self._anchor.error_s)

    def keep(self, again: Callable[[], None] | None) -> None:
        """Let `again` be called, from any thread, when the machine has slept: it has `measure` called soon.

        It returns when that was done, or could not be, within CLOCK_MEASURE_FOR. None: nobody keeps the clock any more.
        """
        self._again = again

    def measure(self, ask: Ask) -> None:
        """Ask the database CLOCK_SAMPLES times; the answer with the shortest round trip counts. Raises StoreError."""
        found = min((self._sample(ask) for _ in range(limits.CLOCK_SAMPLES)), key=lambda one: one.error_s)
        with self._lock:
            self._anchor = found if self._anchor is None else self._closer(self._anchor, found)
        self._tell_when_off()

    def _sample(self, ask: Ask) -> _Anchor:
        wall, begun = self._host.now(), self._host.monotonic()
        at = ask()
        half_s = (self._host.monotonic() - begun) / 2
        return _Anchor(at.astimezone(UTC), begun + half_s, wall + timedelta(seconds=half_s), half_s)

    @staticmethod
    def _closer(old: _Anchor, new: _Anchor) -> _Anchor:
        """Return what to go by. An answer that agrees with the old line, as far as it can know, moves nothing."""
        expected = old.at + timedelta(seconds=new.steady - old.steady)
        if abs(new.at - expected) <= timedelta(seconds=new.error_s):
            return new._replace(at=expected)
        return new

    def _parted_s(self, anchor: _Anchor, steady: float) -> float:
        """How far the wall clock has gone ahead of the monotonic one, in seconds (negative: behind)."""
        return (self._host.now() - anchor.wall).total_seconds() - (steady - anchor.steady)

    def _measured_again(self, anchor: _Anchor) -> _Anchor:
        """Have the time measured: the wall clock was set, or the machine slept, and which cannot be told from here."""
        again = self._again
        if again is not None:
            again()
        with self._lock:
            if self._anchor is None or self._anchor is anchor:
                # The database is away: nothing can be decided without it, and whoever reaches it again measures first.
                parted_s = self._parted_s(anchor, self._host.monotonic())
                self._anchor = anchor._replace(wall=anchor.wall + timedelta(seconds=parted_s))
            return self._anchor

    def _tell_when_off(self) -> None:
        offset = self.offset
        is_off = offset is not None and abs(offset) > limits.HOST_CLOCK_OFF_MAX
        if is_off and offset is not None and not self._is_told_off:
            _log.warning(
                "clock.host_off host=%s by_s=%+.1f: set it by NTP; the database's time is used",
                self._name,
                offset.total_seconds(),
            )
        self._is_told_off = is_off
