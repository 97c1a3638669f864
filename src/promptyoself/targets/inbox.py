"""The inbox: a durable mailbox in our own database, for agents that pull instead of being called."""

from __future__ import annotations

from promptyoself.domain.answers import (
    Absent,
    Done,
    FollowResult,
    Message,
    Refused,
    SendResult,
    Sent,
    SettleResult,
    Unclear,
    Undecided,
)
from promptyoself.domain.errors import StoreError
from promptyoself.domain.models import InboxMessage
from promptyoself.domain.ports import Clock, Tx, Writer


class InboxTarget:
    """Target that stores the message: one transaction, idempotent by otid, delivered as soon as it is durable."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock

    @property
    def name(self) -> str:
        """`inbox`."""
        return "inbox"

    async def send(self, message: Message) -> SendResult:
        """Store the message. `Done` once it is durable, also when an earlier attempt stored it already.

        `Refused` when the store refused (busy, full): its transaction left nothing.
        """
        stored = InboxMessage(
            id=0,
            agent_id=message.address.agent_id,
            otid=message.otid,
            delivery_id=message.delivery_id,
            schedule_id=message.schedule_id,
            envelope=message.envelope,
            prompt=message.prompt,
            received_at=self._clock.now(),
            acked_at=None,
        )
        try:
            await self._writer.write(lambda tx: tx.add_message(stored))
        except StoreError as exc:
            return Refused(code=exc.code, detail=exc.message, is_target_wide=True)
        return Done()

    async def follow(self, sent: Sent) -> FollowResult:
        """Answer at once: nothing runs behind an inbox."""
        match await self.settle(sent):
            case Done() as done:
                return done
            case _:
                return Unclear(code="not_stored", detail="the inbox holds no message of this attempt")

    async def settle(self, sent: Sent) -> SettleResult:
        """`Done` when the message is stored, `Absent` when it is not: our own database leaves no doubt."""

        def find(tx: Tx) -> InboxMessage | None:
            return tx.message_by_otid(sent.otid)

        try:
            found = await self._writer.read(find)
        except StoreError as exc:
            return Undecided(detail=exc.message)
        return Absent() if found is None else Done()

    async def cancel_run(self, sent: Sent) -> None:
        """Do nothing: there is no run."""

    async def probe(self) -> Refused | None:
        """None: whoever can ask has the database open."""
        return None

    async def close(self) -> None:
        """Do nothing: the store is its owner's to close."""
