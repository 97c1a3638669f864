"""Whose turn it is: agents share a door's threads, and none of them can have all.

A rule that is slow to read, or a look years ahead, keeps a thread busy for seconds after its caller was told to wait no
longer. An agent is held to a few at once, and so to a part of the processor; operators have a room of their own, which
no agent can fill.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from promptyoself.domain import limits
from promptyoself.domain.errors import LimitExceeded
from promptyoself.domain.models import OPERATOR


class Turns:
    """The threads of one door, by who may have how many. For one event loop."""

    def __init__(self) -> None:
        self._operators = anyio.CapacityLimiter(limits.DOOR_THREADS_MAX)
        self._agents = anyio.CapacityLimiter(limits.DOOR_THREADS_MAX)
        self._of_agent: dict[str, _Turn] = {}

    @asynccontextmanager
    async def of(self, owner: str) -> AsyncIterator[anyio.CapacityLimiter]:
        """Wait for the owner's turn, and lend the room in which its thread is to be had.

        Raises LimitExceeded for an agent of whom AGENT_CALLS_MAX are here already.
        """
        if owner == OPERATOR:
            yield self._operators
            return
        turn = self._of_agent.setdefault(owner, _Turn())
        if turn.here >= limits.AGENT_CALLS_MAX:
            raise LimitExceeded(
                f"{limits.AGENT_CALLS_MAX} requests of agent {owner} are at work or wait already, which is the most",
                hint="wait for answers before you ask again",
            )
        turn.here += 1
        try:
            async with turn.room:
                yield self._agents
        finally:
            turn.here -= 1
            if not turn.here:
                del self._of_agent[owner]


class _Turn:
    """One agent's."""

    def __init__(self) -> None:
        self.here = 0
        """At work, and waiting."""
        self.room = anyio.CapacityLimiter(limits.AGENT_THREADS_MAX)
