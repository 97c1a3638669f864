"""The breaker and the pace of one target: when to hold everything back, and how much to have open at once.

Both are small state machines without a clock: seconds come in from a monotonic one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from promptyoself.domain import limits


@dataclass(slots=True)
class Breaker:
    """Opens when a target refuses all, and closes when a probe says that it would take a request again.

    One breaker a target. Several refusals in a row open it, one success in between starts the count again.
    """

    refusals: int = 0
    opened: int = 0
    """How often it opened without a success in between: the probes' backoff grows with it."""
    is_open: bool = False

    def refused(self) -> bool:
        """Count a target-wide refusal; True when this one opens the breaker."""
        self.refusals += 1
        if self.is_open or self.refusals < limits.BREAKER_REFUSALS:
            return False
        self.is_open = True
        self.opened += 1
        return True

    def succeeded(self) -> None:
        """Note that the target took a request."""
        self.refusals = 0
        self.opened = 0

    def close(self) -> None:
        """Let requests through again; the next refusal opens it at once."""
        self.is_open = False
        self.refusals = limits.BREAKER_REFUSALS - 1

    def probe_after_s(self, probes: int) -> float:
        """Return seconds until the next probe, after `probes` that failed: from 1 s, factor 2, cap 30 s."""
        doublings = min(probes + max(0, self.opened - 1), 10)
        longest = limits.BREAKER_PROBE_MAX.total_seconds()
        return min(longest, limits.BREAKER_PROBE_FIRST.total_seconds() * 2.0**doublings)


@dataclass(slots=True)
class Pace:
    """How many requests may be open at a target at once: halved by overload, grown by success (AIMD).

    Slow start after an outage: nine o'clock's prompts, held back until ten, do not flood a server that has just
    come up. `share` is what this executor may use of `most`, where executors divide it: never more, 0 included.
    """

    most: int = limits.TARGET_IN_FLIGHT_DEFAULT
    share: int = field(init=False)
    _paced: int = field(init=False)
    _successes: int = field(init=False, default=0)
    _is_slow_start: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.share = self._paced = self.most

    @property
    def cap(self) -> int:
        """How many may be open now."""
        return min(self._paced, self.share)

    def overloaded(self) -> None:
        """Note a 429 or 503: half as many from now, at least one."""
        self._paced = max(1, self.cap // 2)
        self._successes = 0
        self._is_slow_start = False

    def after_outage(self) -> None:
        """Start small again; the cap doubles with every cap's worth of successes."""
        self._paced = min(self.most, limits.PACE_AFTER_OUTAGE)
        self._successes = 0
        self._is_slow_start = True

    def succeeded(self) -> None:
        """Note a request that the target took: a cap's worth of them raises the cap."""
        if self._paced >= self.most:
            return
        self._successes += 1
        if self._successes >= self.cap:
            self._successes = 0
            self._paced = min(self.most, self._paced * 2 if self._is_slow_start else self._paced + 1)
