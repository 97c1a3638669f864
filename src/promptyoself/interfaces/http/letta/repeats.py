"""Creations whose answer nobody took: Letta's clients send them again by themselves, and then mean the same schedule.

The clients number their attempts (`x-stainless-retry-count`) and send no key that would name the request. So an attempt
after the first, by the same caller and with the same body, is answered with what a first one has made whose caller had
gone before it was answered. Each such creation stands for one repeat: of two equal requests that were both lost, two
schedules remain.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from promptyoself.domain import limits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from promptyoself.domain.ports import Clock
    from promptyoself.interfaces.identity import Identity

RETRY_COUNT: Final = "x-stainless-retry-count"


class _Begun(NamedTuple):
    digest: bytes
    begun_s: float
    is_gone: Callable[[], Awaitable[bool]]


class Repeats:
    """Remembers creations until somebody took their answer; REPEATS_KEPT_MAX of them, for REPEATED_FOR."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: OrderedDict[str, _Begun] = OrderedDict()
        """By idempotency key, the oldest first."""

    def begin(self, key: str, digest: bytes, is_gone: Callable[[], Awaitable[bool]]) -> None:
        """Note a creation that is carried out under `key`; `is_gone` tells whether its caller has hung up."""
        self._open[key] = _Begun(digest, self._clock.monotonic(), is_gone)
        if len(self._open) > limits.REPEATS_KEPT_MAX:
            self._open.popitem(last=False)

    async def end(self, key: str) -> None:
        """Forget a creation that was answered, unless its caller had gone by then."""
        begun = self._open.get(key)
        if begun is not None and not await begun.is_gone():
            self._open.pop(key, None)

    def forget(self, key: str) -> None:
        """Forget a creation that has made nothing."""
        self._open.pop(key, None)

    async def take(self, digest: bytes) -> str | None:
        """Return the key of the oldest such creation whose caller has gone, once; None when there is none."""
        oldest_s = self._clock.monotonic() - limits.REPEATED_FOR.total_seconds()
        for key, begun in list(self._open.items()):
            if begun.begun_s < oldest_s:
                self._open.pop(key, None)
            elif begun.digest == digest and await begun.is_gone() and self._open.pop(key, None) is not None:
                return key
        return None


def is_repeat(retry_count: str | None) -> bool:
    """Return whether a client says that it sends a request not for the first time."""
    return retry_count is not None and retry_count.isascii() and retry_count.isdigit() and int(retry_count[:9]) > 0


def digest_of(identity: Identity, target: str, body: bytes) -> bytes:
    """Return what stands for a request: who asks, for which path and query, with which body."""
    whole = hashlib.blake2b(digest_size=32)
    for part in (identity.owner, identity.means, target):
        whole.update(len(part).to_bytes(4) + part.encode())
    whole.update(body)
    return whole.digest()
