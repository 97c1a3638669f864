"""What Letta makes of keys that are not ours, remembered for a while: nobody waits for Letta at every request."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio

from promptyoself.domain import limits
from promptyoself.domain.access import KeyVerdict, digest_of
from promptyoself.domain.errors import CannotVerify
from promptyoself.domain.secret import Secret

if TYPE_CHECKING:
    from promptyoself.interfaces.services import Services


class LettaKeys:
    """Verdicts by the SHA-256 of the key, at most KEYS_CACHED_MAX; one question at a time about each key.

    For one event loop. No key is kept in clear longer than it is being asked about.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._known: OrderedDict[str, tuple[KeyVerdict, float]] = OrderedDict()
        self._asked: dict[str, asyncio.Task[KeyVerdict]] = {}
        self._room = anyio.CapacityLimiter(limits.KEYS_ASKED_MAX)

    def known(self, key: str | None) -> KeyVerdict | None:
        """Return the verdict that still holds, or None when Letta has to be asked."""
        verdict, until_s = self._known.get(_name(key), (None, 0.0))
        return verdict if self._services.clock.monotonic() < until_s else None

    async def verdict(self, key: str | None) -> KeyVerdict:
        """Return what Letta makes of `key`, or of none, asking when need be. Raises CannotVerify."""
        verdict = self.known(key)
        if verdict is not None:
            return verdict
        name = _name(key)
        asking = self._asked.get(name)
        if asking is None:
            if len(self._asked) >= limits.KEYS_ASKED_MAX:
                raise CannotVerify(
                    f"Letta is being asked about {limits.KEYS_ASKED_MAX} keys already", hint="try again in a second"
                )
            asking = asyncio.ensure_future(self._ask(name, key))
            self._asked[name] = asking
            asking.add_done_callback(lambda done: self._answered(name, done))
        # Whoever goes away leaves the question to the others who wait for it.
        return await asyncio.shield(asking)

    async def close(self) -> None:
        """Wait for the questions that are open; each is bounded."""
        for asking in [*self._asked.values()]:
            with suppress(Exception):  # its askers have heard of it
                await asking

    async def _ask(self, name: str, key: str | None) -> KeyVerdict:
        secret = None if key is None else Secret(key)
        verdict = await anyio.to_thread.run_sync(self._services.check_letta_key, secret, limiter=self._room)
        lasts = limits.KEYS_KNOWN_FOR if verdict is KeyVerdict.ACCEPTED else limits.KEYS_REFUSED_FOR
        self._known[name] = (verdict, self._services.clock.monotonic() + lasts.total_seconds())
        self._known.move_to_end(name)
        while len(self._known) > limits.KEYS_CACHED_MAX:
            self._known.popitem(last=False)
        return verdict

    def _answered(self, name: str, asking: asyncio.Task[KeyVerdict]) -> None:
        self._asked.pop(name, None)
        if not asking.cancelled():
            asking.exception()  # looked at, also when every asker has gone


def _name(key: str | None) -> str:
    return "" if key is None else digest_of(key)
