"""A target for the demo and for trying things out: it fails the first attempt of each delivery, then delivers."""

from __future__ import annotations

from promptyoself.domain.answers import Failed, FollowResult, Message, Refused, SendResult, Sent, SettleResult, Target


class FlakyTarget:
    """Wraps a target; the first attempt (otid `key#0`) fails as an agent's run that ended in an error does."""

    def __init__(self, inner: Target) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        """`flaky`."""
        return "flaky"

    async def send(self, message: Message) -> SendResult:
        """Fail the first attempt, hand on the later ones."""
        if message.otid.endswith("#0"):
            return Failed(code="llm_error", detail="the model did not answer (this target fails each first attempt)")
        return await self._inner.send(message)

    async def follow(self, sent: Sent) -> FollowResult:
        """As the wrapped target."""
        return await self._inner.follow(sent)

    async def settle(self, sent: Sent) -> SettleResult:
        """As the wrapped target."""
        return await self._inner.settle(sent)

    async def cancel_run(self, sent: Sent) -> None:
        """As the wrapped target."""
        await self._inner.cancel_run(sent)

    async def probe(self) -> Refused | None:
        """As the wrapped target."""
        return await self._inner.probe()

    async def close(self) -> None:
        """As the wrapped target."""
        await self._inner.close()
