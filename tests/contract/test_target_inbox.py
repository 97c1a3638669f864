"""The inbox keeps what a target promises: stored once, whatever is repeated, and no doubt left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

import pytest

from promptyoself.domain.answers import Absent, Address, Done, Message, Refused, Sent, Target, Unclear, Undecided
from promptyoself.domain.errors import StoreFull
from promptyoself.domain.ports import Tx
from promptyoself.storage.sqlite import SqliteStore
from promptyoself.storage.writer import InlineWriter
from promptyoself.targets.inbox import InboxTarget

T = TypeVar("T")
NOW = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)


class StillClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class FullWriter:
    """A writer on a full disk."""

    async def write(self, act: Callable[[Tx], T], *, lane: str | None = None) -> T:  # noqa: ARG002  the port's signature
        raise StoreFull("the disk is full")

    async def read(self, act: Callable[[Tx], T]) -> T:  # noqa: ARG002  the port's signature
        raise StoreFull("the disk is full")


@pytest.fixture
def store() -> Iterator[SqliteStore]:
    opened = SqliteStore.open(":memory:", new_uid=lambda: "0" * 32)
    yield opened
    opened.close()


@pytest.fixture
def inbox(store: SqliteStore) -> Target:
    return InboxTarget(InlineWriter(store), StillClock())


def message(otid: str = "key#0") -> Message:
    return Message(
        address=Address(agent_id="test-agent"), otid=otid, prompt="water the plants", envelope="[schedule 1]",
        delivery_id=7, schedule_id=1,
    )  # fmt: skip


def sent(otid: str = "key#0") -> Sent:
    return Sent(address=Address(agent_id="test-agent"), otid=otid, run_id=None, since=NOW)


def test_a_message_is_done_once_stored_and_holds_prompt_and_envelope(store: SqliteStore, inbox: Target) -> None:
    assert asyncio.run(inbox.send(message())) == Done(run_id=None, reply_excerpt=None)
    with store.reading() as tx:
        [stored] = tx.messages("test-agent")
    assert (stored.prompt, stored.envelope, stored.delivery_id) == ("water the plants", "[schedule 1]", 7)
    assert stored.received_at == NOW


def test_a_repeated_send_stores_nothing_twice(store: SqliteStore, inbox: Target) -> None:
    for _ in range(3):
        assert asyncio.run(inbox.send(message())) == Done()
    asyncio.run(inbox.send(message("key#1")))
    with store.reading() as tx:
        assert [stored.otid for stored in tx.messages("test-agent")] == ["key#0", "key#1"]


def test_settle_leaves_no_doubt(inbox: Target) -> None:
    assert asyncio.run(inbox.settle(sent())) == Absent()
    asyncio.run(inbox.send(message()))
    assert asyncio.run(inbox.settle(sent())) == Done()


def test_follow_answers_at_once(inbox: Target) -> None:
    assert isinstance(asyncio.run(inbox.follow(sent())), Unclear)
    asyncio.run(inbox.send(message()))
    assert asyncio.run(inbox.follow(sent())) == Done()


def test_a_store_that_refuses_is_a_refusal_and_not_an_exception() -> None:
    inbox = InboxTarget(FullWriter(), StillClock())
    refused = asyncio.run(inbox.send(message()))
    assert isinstance(refused, Refused)
    assert (refused.code, refused.is_target_wide) == ("store_full", True)
    assert isinstance(asyncio.run(inbox.settle(sent())), Undecided)


def test_an_inbox_can_always_be_asked_and_has_nothing_to_cancel_or_close(inbox: Target) -> None:
    assert inbox.name == "inbox"
    assert asyncio.run(inbox.probe()) is None
    asyncio.run(inbox.cancel_run(sent()))
    asyncio.run(inbox.close())
