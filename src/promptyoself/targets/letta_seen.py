"""Agents that Letta has just said it has: a process that serves many need not ask for each again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from promptyoself.domain import limits
from promptyoself.domain.ports import AgentInfo, Clock


class AgentsSeen:
    """Remembers for AGENT_SEEN_FOR what was found, and never that something was not: it may have been made since."""

    def __init__(self, ask: Callable[[str], AgentInfo], clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, tuple[float, AgentInfo]] = OrderedDict()

    def has(self, agent_id: str) -> bool:
        """Return whether `check` would answer without asking."""
        found = self._seen.get(agent_id)
        return found is not None and self._clock.monotonic() < found[0]

    def check(self, agent_id: str) -> AgentInfo:
        """Return the agent, asking when it was not asked for lately. Raises what asking raises."""
        with self._lock:
            found = self._seen.get(agent_id)
        if found is not None and self._clock.monotonic() < found[0]:
            return found[1]
        agent = self._ask(agent_id)
        with self._lock:
            self._seen[agent_id] = (self._clock.monotonic() + limits.AGENT_SEEN_FOR.total_seconds(), agent)
            self._seen.move_to_end(agent_id)
            if len(self._seen) > limits.AGENTS_SEEN_MAX:
                self._seen.popitem(last=False)
        return agent
