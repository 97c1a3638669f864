"""Who has failed too often: counted by network address, in bounded memory.

Nobody guesses 256 bits. What is held back is what failures cost: questions to Letta, and lines of the log.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from promptyoself.domain import limits
from promptyoself.domain.errors import LimitExceeded

if TYPE_CHECKING:
    from promptyoself.domain.ports import Clock

_log = logging.getLogger(__name__)
_UNKNOWN: Final = "unknown"


class Failures:
    """Refused attempts of each address within FAILURES_FORGOTTEN_AFTER of the first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def is_over(self, address: str | None) -> bool:
        """Return whether this address has failed too often of late."""
        return self._count(origin_of(address)) >= limits.FAILURES_PER_ADDRESS_MAX

    def note(self, address: str | None) -> None:
        """Count a failure; the one that reaches the limit is told to the log, once."""
        origin = origin_of(address)
        count = self._count(origin) + 1
        began_s = self._counts[origin][1] if count > 1 else self._clock.monotonic()
        self._counts[origin] = (min(count, limits.FAILURES_PER_ADDRESS_MAX), began_s)
        while len(self._counts) > limits.ADDRESSES_WATCHED_MAX:
            self._counts.popitem(last=False)
        if count == limits.FAILURES_PER_ADDRESS_MAX:
            _log.warning("access.held_back address=%s failures=%d", origin, count)

    def refusal(self) -> LimitExceeded:
        """Return what an address that failed too often is told."""
        seconds = limits.FAILURES_FORGOTTEN_AFTER.total_seconds()
        return LimitExceeded(
            f"{limits.FAILURES_PER_ADDRESS_MAX} requests from this address were refused within {seconds:g} s",
            hint="wait a minute, and correct the token; a right one is let in meanwhile",
        )

    def _count(self, origin: str) -> int:
        count, began_s = self._counts.get(origin, (0, 0.0))
        if count and self._clock.monotonic() - began_s >= limits.FAILURES_FORGOTTEN_AFTER.total_seconds():
            del self._counts[origin]
            return 0
        return count


def is_loopback(address: str | None) -> bool:
    """Return whether an address is this machine's own, which no other can reach; False for what is no address."""
    found = _parsed(address)
    return found is not None and found.is_loopback


def origin_of(address: str | None) -> str:
    """Return what is counted: an IPv4 address, or the /64 of IPv6 that one machine has to itself; one for none."""
    found = _parsed(address)
    if found is None:
        return _UNKNOWN
    return f"{IPv6Address(int(found) >> 64 << 64)}/64" if isinstance(found, IPv6Address) else str(found)


def _parsed(address: str | None) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(address or "")
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found
