"""One server behind all nodes of a test: it receives prompts, and remembers what was wrong with how they came.

Nodes may run in loops of several threads; a lock of threads guards what they share.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable

from promptyoself.domain.answers import Absent, Done, FollowResult, Message, Refused, SendResult, Sent, SettleResult

Answer = SendResult | threading.Event | Callable[[], None]
DOWN = Refused(code="connect", detail="nobody listens", is_target_wide=True)


class Post:
    """Takes a prompt after `takes_s`, or answers what it was told to answer for an agent."""

    def __init__(self) -> None:
        self.takes_s = 0.0
        self.opens: asyncio.Event | None = None
        """Nobody is answered before; of the loop of the one node that there is then."""
        self.answers: defaultdict[str, deque[Answer]] = defaultdict(deque)
        """By agent. An event is waited for, and a callable called, before the next answer."""
        self.is_down = False
        self.prompts: list[tuple[str, str]] = []
        """Agent and prompt, in the order in which they came."""
        self.by_node: Counter[str] = Counter()
        self.overlaps: list[str] = []
        """Agents that were sent a prompt while they had another."""
        self.refused = 0
        self.open_now = 0
        self.open_most = 0
        self.otids: set[str] = set()
        self.asked: list[str] = []
        """Otids after which somebody has asked."""
        self._open: Counter[str] = Counter()
        self._changed = threading.Condition()

    def target(self, node: str, name: str = "inbox") -> PostTarget:
        """Return the target of one node."""
        return PostTarget(self, node, name)

    def of(self, agent: str) -> list[str]:
        """Return an agent's prompts in the order in which they came."""
        return [prompt for to, prompt in self.prompts if to == agent]

    async def until(self, holds: Callable[[], bool], *, within_s: float = 20) -> None:
        """Wait until something holds of what has come, or fail."""
        assert await asyncio.to_thread(self._wait_for, holds, within_s), self.prompts[-20:]

    async def received(self, count: int, *, within_s: float = 20) -> None:
        """Wait until so many prompts have come and been answered."""
        await self.until(lambda: len(self.prompts) >= count and not self.open_now, within_s=within_s)

    async def take(self, message: Message, node: str) -> SendResult:
        """Take one prompt."""
        agent = message.address.agent_id
        if self.is_down:
            with self._changed:
                self.refused += 1
                self._changed.notify_all()
            return DOWN
        self._begin(agent, message, node)
        try:
            if self.opens is not None:
                await self.opens.wait()
            if self.takes_s:
                await asyncio.sleep(self.takes_s)
            return await self._answer(agent)
        finally:
            self._end(agent)

    def tell(self, otid: str) -> SettleResult:
        """Say whether a prompt has come under this otid."""
        with self._changed:
            self.asked.append(otid)
            self._changed.notify_all()
            return Done() if otid in self.otids else Absent()

    def _begin(self, agent: str, message: Message, node: str) -> None:
        with self._changed:
            self._open[agent] += 1
            self.open_now += 1
            self.open_most = max(self.open_most, self.open_now)
            if self._open[agent] > 1:
                self.overlaps.append(agent)
            self.prompts.append((agent, message.prompt))
            self.by_node[node] += 1
            self.otids.add(message.otid)
            self._changed.notify_all()

    def _end(self, agent: str) -> None:
        with self._changed:
            self._open[agent] -= 1
            self.open_now -= 1
            self._changed.notify_all()

    async def _answer(self, agent: str) -> SendResult:
        script = self.answers[agent]
        while script:
            answer = script.popleft()
            if isinstance(answer, threading.Event):
                await asyncio.to_thread(answer.wait, 30)
            elif callable(answer):
                answer()
            else:
                return answer
        return Done()

    def _wait_for(self, holds: Callable[[], bool], within_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(holds, within_s)


class PostTarget:
    """What one node knows of it."""

    def __init__(self, post: Post, node: str, name: str) -> None:
        self._post = post
        self._node = node
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    async def send(self, message: Message) -> SendResult:
        return await self._post.take(message, self._node)

    async def follow(self, sent: Sent) -> FollowResult:  # noqa: ARG002  the port's signature
        return Done()

    async def settle(self, sent: Sent) -> SettleResult:
        return self._post.tell(sent.otid)

    async def cancel_run(self, sent: Sent) -> None:
        """Do nothing: no run goes on here."""

    async def probe(self) -> Refused | None:
        return DOWN if self._post.is_down else None

    async def close(self) -> None:
        """Do nothing: there are no connections."""
