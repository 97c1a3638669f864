"""Who is let in, as whom: tokens, keys that Letta vouches for, and x-agent-id beside them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import wraps
from typing import Any

import pytest

from promptyoself.application import access
from promptyoself.application.access import TokenRequest
from promptyoself.application.schedules import Caller
from promptyoself.domain import limits
from promptyoself.domain.access import KeyVerdict, TokenKind
from promptyoself.domain.errors import (
    CannotVerify,
    Forbidden,
    InvalidAgentId,
    LimitExceeded,
    PromptyoselfError,
    Unauthenticated,
)
from promptyoself.domain.models import OPERATOR
from promptyoself.domain.secret import Secret
from promptyoself.interfaces.door import Door as ServedDoor
from promptyoself.interfaces.gatekeeper import TokenGatekeeper, stdio_identity
from promptyoself.interfaces.identity import NOBODY, Credentials, Identity
from promptyoself.storage.sqlite import SqliteStore
from tests.interfaces.fleet import FakeFleet
from tests.interfaces.world import NOW, Door, FakeServices

A, B = "agent-a", "agent-b"
HERE, THERE = "127.0.0.1", "192.0.2.7"
UNKNOWN = "pys_" + "u" * 43


class Hall:
    """A gatekeeper, and tokens for those who come."""

    def __init__(self, services: FakeServices) -> None:
        self.services = services
        self.keeper = TokenGatekeeper(services)
        self._secrets = iter(f"{number:043d}" for number in range(100))

    def token(self, kind: TokenKind = TokenKind.OPERATOR, **changes: Any) -> str:  # noqa: ANN401  of a TokenRequest
        request = TokenRequest(kind=kind, **changes)
        with self.services.store.transaction() as tx:
            issued = access.create(tx, request, secret=next(self._secrets), caller=Caller(), now=self.now)
        return issued.text.reveal()

    def revoke(self, token_id: int) -> None:
        with self.services.store.transaction() as tx:
            access.revoke(tx, token_id, caller=Caller(), now=self.now)

    @property
    def now(self) -> Any:  # noqa: ANN401  mypy knows no property of a fake's
        return self.services.clock.now()

    async def enter(self, bearer: str | None = None, header: str | None = None, address: str = HERE) -> Identity:
        return await self.keeper.identify(Credentials(bearer, header, address))

    async def as_letta(self, bearer: str | None = None, header: str | None = None, address: str = HERE) -> Identity:
        return await self.keeper.identify_as_letta(Credentials(bearer, header, address))


Entered = Callable[[Hall], Coroutine[None, None, None]]


def entered(test: Entered) -> Callable[[Door], None]:
    """Run a test that is a coroutine, with a hall whose gatekeeper is closed in the end."""

    @wraps(test)
    def run(door: Door) -> None:
        async def play() -> None:
            hall = Hall(door.services)
            try:
                await test(hall)
            finally:
                await hall.keeper.close()

        asyncio.run(play())

    del run.__wrapped__  # pytest would ask for a fixture `hall`
    return run


# -- tokens -------------------------------------------------------------------------------------------------


@entered
async def test_a_token_makes_its_bearer_whom_it_speaks_for(hall: Hall) -> None:
    of_agent = hall.token(TokenKind.AGENT, agent_id=A, name="laptop")
    assert await hall.enter(of_agent) == Identity(A, "token 1 (laptop)")
    assert await hall.enter(of_agent, header=A) == Identity(A, "token 1 (laptop)")
    assert await hall.enter(hall.token()) == Identity(OPERATOR, "token 2")
    proxy = hall.token(TokenKind.PROXY)
    assert await hall.enter(proxy, header=B) == Identity(B, "token 3")


@entered
async def test_contradictions_are_refused(hall: Hall) -> None:
    of_agent, operators, proxy = hall.token(TokenKind.AGENT, agent_id=A), hall.token(), hall.token(TokenKind.PROXY)
    with pytest.raises(Forbidden, match="names another"):
        await hall.enter(of_agent, header=B)
    with pytest.raises(Forbidden, match="operator"):
        await hall.enter(operators, header=A)
    with pytest.raises(Forbidden, match="Letta's"):
        await hall.enter("letta-password", header=A)
    with pytest.raises(Forbidden, match="names none"):
        await hall.enter(proxy)
    assert hall.services.keys_asked == []


@pytest.mark.parametrize("header", ["operator", "Operator", "a, b", "a/b", "..", "a b", "x" * 201, "\x00", "ä"])
def test_a_letta_server_cannot_name_what_is_no_agent(door: Door, header: str) -> None:
    async def test(hall: Hall) -> None:
        with pytest.raises(InvalidAgentId):
            await hall.keeper.admit(Credentials(hall.token(TokenKind.PROXY), header, HERE))

    entered(test)(door)


@entered
async def test_a_letta_server_that_names_nobody_may_look_and_not_touch(hall: Hall) -> None:
    nobody = await hall.keeper.admit(Credentials(hall.token(TokenKind.PROXY), None, HERE))
    assert nobody == Identity(NOBODY, "token 1")
    assert nobody.is_nobody
    assert not nobody.is_operator
    with pytest.raises(Forbidden, match="names none"):
        ServedDoor(hall.services, name="mcp").answer("list", {}, nobody)


@entered
async def test_nobody_comes_in_without_a_token_whatever_the_header_says(hall: Hall) -> None:
    hall.services.is_letta_open = True
    for header in (None, A):
        with pytest.raises(Unauthenticated, match="without a token") as refused:
            await hall.enter(None, header=header)
        assert "token create" in (refused.value.hint or "")
    with pytest.raises(Forbidden):
        await hall.as_letta(None, header=A)


@entered
async def test_unknown_expired_and_revoked_tokens_open_nothing(hall: Hall) -> None:
    ends = hall.token(expires_at=NOW + timedelta(hours=1))
    lasts = hall.token()
    for text in (UNKNOWN, "pys_", lasts[:-1], lasts + "x", lasts.upper(), f"{lasts}, {lasts}", "pys_" + "é" * 43):
        with pytest.raises(Unauthenticated, match="none of ours"):
            await hall.enter(text)
    assert (await hall.enter(ends)).is_operator
    hall.services.clock.at += timedelta(hours=1)
    with pytest.raises(Unauthenticated, match="expired"):
        await hall.enter(ends)
    hall.revoke(2)
    with pytest.raises(Unauthenticated, match="revoked"):
        await hall.enter(lasts)
    assert hall.services.keys_asked == [], "what says that it is ours is never shown to Letta"


@entered
async def test_a_revocation_counts_from_the_next_request_on_in_this_process_and_from_another(hall: Hall) -> None:
    first, second = hall.token(), hall.token()
    for text in (first, second):
        assert (await hall.enter(text)).is_operator
        assert (await hall.enter(text)).is_operator
    hall.revoke(1)
    with pytest.raises(Unauthenticated, match="revoked"):
        await hall.enter(first)
    other = SqliteStore.open(hall.services.path, new_uid=hall.services.new_uid)
    with other.transaction() as tx:
        access.revoke(tx, 2, caller=Caller(), now=NOW)
    other.close()
    with pytest.raises(Unauthenticated, match="revoked"):
        await hall.enter(second)


@entered
async def test_a_use_is_noted_once_a_minute_and_waited_for_by_nobody(hall: Hall) -> None:
    text = hall.token()
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with hall.services.store.transaction():
            locked.set()
            assert done.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    assert locked.wait(10)
    try:
        assert (await asyncio.wait_for(hall.enter(text), 5)).is_operator
    finally:
        done.set()
        holder.join()
    await hall.keeper.close()
    assert last_used(hall) == NOW
    hall.services.clock.at += timedelta(seconds=59)
    await hall.enter(text)
    await hall.keeper.close()
    assert last_used(hall) == NOW
    hall.services.clock.at += timedelta(seconds=1)
    await hall.enter(text)
    await hall.keeper.close()
    assert last_used(hall) == NOW + timedelta(minutes=1)


def last_used(hall: Hall) -> object:
    with hall.services.store.reading() as tx:
        found = tx.token(1)
    assert found is not None
    return found.last_used_at


@entered
async def test_a_token_that_is_refused_is_not_noted_as_used(hall: Hall) -> None:
    text = hall.token(TokenKind.AGENT, agent_id=A)
    with pytest.raises(Forbidden):
        await hall.enter(text, header=B)
    await hall.keeper.close()
    assert last_used(hall) is None


@entered
async def test_the_cache_of_tokens_is_bounded(hall: Hall) -> None:
    monkey = pytest.MonkeyPatch()
    monkey.setattr(limits, "TOKENS_CACHED_MAX", 3)
    try:
        for _ in range(10):
            await hall.enter(hall.token())
    finally:
        monkey.undo()
    assert len(hall.keeper._tokens._known) <= 3
    assert len(hall.keeper._tokens._noted) <= 3


# -- Letta's keys -------------------------------------------------------------------------------------------


@entered
async def test_a_key_that_letta_vouches_for_acts_as_operator_and_is_asked_about_once_a_minute(hall: Hall) -> None:
    for _ in range(3):
        assert await hall.enter("letta-password", address=THERE) == Identity(OPERATOR, "letta key")
        assert await hall.as_letta("letta-password", address=THERE) == Identity(OPERATOR, "letta key")
    assert hall.services.keys_asked == ["letta-password"]
    hall.services.clock.at += limits.KEYS_KNOWN_FOR
    hall.services.letta_key = "another"
    with pytest.raises(Unauthenticated, match="refuses the key"):
        await hall.enter("letta-password")


@entered
async def test_a_key_that_letta_refuses_is_forgotten_sooner(hall: Hall) -> None:
    for _ in range(2):
        with pytest.raises(Unauthenticated, match="refuses the key"):
            await hall.enter("new-password")
    assert hall.services.keys_asked == ["new-password"]
    hall.services.letta_key = "new-password"
    hall.services.clock.at += limits.KEYS_REFUSED_FOR
    assert (await hall.enter("new-password")).is_operator


@entered
async def test_a_token_of_ours_is_shown_to_letta_in_no_wrapping(hall: Hall) -> None:
    token = hall.token()
    for text in (f'"{token}"', f"<{token}>", f"key, Bearer {token}", f"Bearer {token}", f"token={token.upper()}"):
        for enter in (hall.enter, hall.as_letta):
            with pytest.raises(Unauthenticated, match="a token of ours"):
                await enter(text, address=f"192.0.2.{len(text)}")
    assert hall.services.keys_asked == []


@entered
async def test_a_letta_that_lets_everybody_in_vouches_for_nobody(hall: Hall) -> None:
    hall.services.is_letta_open = True
    for address in (HERE, THERE):
        with pytest.raises(Unauthenticated, match="proves nothing"):
            await hall.enter("any", address=address)
        with pytest.raises(Unauthenticated, match="proves nothing"):
            await hall.keeper.admit(Credentials("any", None, address))


@entered
async def test_on_lettas_own_routes_whom_an_open_letta_lets_in_is_let_in_from_this_machine(hall: Hall) -> None:
    hall.services.is_letta_open = True
    for bearer in (None, "any"):
        for address in (HERE, "127.8.9.1", "::1", "::ffff:127.0.0.1"):
            assert await hall.as_letta(bearer, address=address) == Identity(OPERATOR, "open letta")
        for address in (THERE, "2001:db8::1", "", "testclient", "127.0.0.1.example"):
            with pytest.raises(Unauthenticated, match="this machine"):
                await hall.as_letta(bearer, address=address)
    with pytest.raises(Unauthenticated, match="this machine"):
        await hall.keeper.identify_as_letta(Credentials("any", None, None))


@entered
async def test_on_lettas_own_routes_a_locked_letta_wants_its_key(hall: Hall) -> None:
    with pytest.raises(Unauthenticated, match="without a token"):
        await hall.as_letta(None)
    with pytest.raises(Unauthenticated, match="refuses the key"):
        await hall.as_letta("wrong")
    assert await hall.as_letta(hall.token(TokenKind.AGENT, agent_id=A)) == Identity(A, "token 1")
    with pytest.raises(Unauthenticated, match="none of ours"):
        await hall.as_letta(UNKNOWN)
    with pytest.raises(Forbidden, match="names none"):
        await hall.as_letta(hall.token(TokenKind.PROXY))
    assert hall.services.keys_asked == [None, "wrong"]


@entered
async def test_a_letta_that_does_not_answer_is_no_refusal_and_is_asked_again(hall: Hall) -> None:
    hall.services.letta = CannotVerify("Letta does not answer", hint="wait")
    for way in (hall.enter, hall.as_letta):
        with pytest.raises(CannotVerify) as refused:
            await way("letta-password")
        assert refused.value.http_status == 503
    assert len(hall.services.keys_asked) == 2


@entered
async def test_of_many_who_come_with_one_key_letta_is_asked_by_one(hall: Hall) -> None:
    asked, go = threading.Event(), threading.Event()

    def slowly(key: Secret | None) -> KeyVerdict:
        hall.services.keys_asked.append(key.reveal() if key else None)
        asked.set()
        assert go.wait(10)
        return KeyVerdict.ACCEPTED

    hall.services.check_letta_key = slowly  # type: ignore[method-assign]
    waiting = [asyncio.ensure_future(hall.enter("letta-password")) for _ in range(20)]
    await asyncio.to_thread(asked.wait, 10)
    waiting[0].cancel()
    go.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [Identity(OPERATOR, "letta key")] * 19
    assert hall.services.keys_asked == ["letta-password"]


@entered
async def test_the_questions_and_answers_about_keys_are_bounded(hall: Hall) -> None:
    monkey = pytest.MonkeyPatch()
    monkey.setattr(limits, "KEYS_CACHED_MAX", 3)
    monkey.setattr(limits, "FAILURES_PER_ADDRESS_MAX", 1000)
    try:
        answers = await asyncio.gather(*(hall.enter(f"k{n}") for n in range(30)), return_exceptions=True)
    finally:
        monkey.undo()
    assert sum(isinstance(one, CannotVerify) for one in answers) == 30 - limits.KEYS_ASKED_MAX
    assert len(hall.keeper._keys._known) <= 3
    assert hall.keeper._keys._asked == {}


# -- failures -----------------------------------------------------------------------------------------------


@entered
async def test_an_address_that_fails_too_often_waits_and_asks_letta_nothing_meanwhile(hall: Hall) -> None:
    right = hall.token()
    for number in range(limits.FAILURES_PER_ADDRESS_MAX):
        with pytest.raises(Unauthenticated):
            await hall.enter(UNKNOWN if number % 2 else f"key {number}", address=THERE)
    asked = len(hall.services.keys_asked)
    for bearer in (UNKNOWN, "letta-password"):
        with pytest.raises(LimitExceeded) as refused:
            await hall.enter(bearer, address=THERE)
        assert refused.value.http_status == 429
    assert len(hall.services.keys_asked) == asked
    assert (await hall.enter(right, address=THERE)).is_operator, "a right token needs no patience"
    assert (await hall.enter("letta-password", address="192.0.2.8")).is_operator
    assert (await hall.enter("letta-password", address=THERE)).is_operator, "what is known is not asked about"
    hall.services.clock.at += limits.FAILURES_FORGOTTEN_AFTER
    with pytest.raises(Unauthenticated):
        await hall.enter(UNKNOWN, address=THERE)


def test_the_log_hears_of_an_address_once_and_of_no_secret(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def test(hall: Hall) -> None:
        for number in range(3 * limits.FAILURES_PER_ADDRESS_MAX):
            for bearer in (f"pys_canary{number}", f"canary{number}"):
                with pytest.raises(PromptyoselfError) as refused:
                    await hall.enter(bearer, address=f"2001:db8::{number:x}")
                assert "canary" not in f"{refused.value!r} {refused.value.hint}"

    entered(test)(door)
    told = [one for one in caplog.records if one.name.startswith("promptyoself")]
    assert [one.getMessage() for one in told] == [
        f"access.held_back address=2001:db8::/64 failures={limits.FAILURES_PER_ADDRESS_MAX}"
    ]
    assert "canary" not in caplog.text


@entered
async def test_the_memory_for_failures_is_bounded(hall: Hall) -> None:
    monkey = pytest.MonkeyPatch()
    monkey.setattr(limits, "ADDRESSES_WATCHED_MAX", 5)
    try:
        for number in range(20):
            with pytest.raises(Unauthenticated):
                await hall.enter(UNKNOWN, address=f"192.0.2.{number}")
    finally:
        monkey.undo()
    assert len(hall.keeper._failures._counts) == 5


# -- stdio --------------------------------------------------------------------------------------------------


def test_over_a_pipe_the_agent_is_the_environments() -> None:
    assert stdio_identity(A) == Identity(A, "stdio")
    for nobody in (None, ""):
        with pytest.raises(Unauthenticated, match="which agent"):
            stdio_identity(nobody)
    with pytest.raises(InvalidAgentId):
        stdio_identity("operator")


class FarStore:
    """Notes on whose thread it was asked."""

    def __init__(self, store: SqliteStore) -> None:
        self.location = store.location
        self.asked_on: list[int] = []
        self._store = store

    def reading(self) -> Any:  # noqa: ANN401  what the store gives
        return self._asked(self._store.reading)

    def glancing(self) -> Any:  # noqa: ANN401  as above
        return self._asked(self._store.glancing)

    def transaction(self) -> Any:  # noqa: ANN401  as above
        return self._asked(self._store.transaction)

    def change_mark(self) -> Any:  # noqa: ANN401  as above
        return self._asked(self._store.change_mark)

    def _asked(self, ask: Callable[[], Any]) -> Any:  # noqa: ANN401  as above
        self.asked_on.append(threading.get_ident())
        return ask()


def test_a_database_that_is_far_away_is_never_asked_on_the_event_loop(door: Door) -> None:
    token = Hall(door.services).token()
    far = FarStore(door.services.store)

    class Node(FakeServices):
        store = far  # type: ignore[assignment]  # as much of a store as a gatekeeper asks for

    node: Any = Node(door.services.path.parent)
    node.fleet = FakeFleet()

    async def story() -> None:
        keeper = TokenGatekeeper(node)
        for _ in range(3):
            assert (await keeper.identify(Credentials(token, None, HERE))).is_operator
        await keeper.close()

    asyncio.run(story())
    assert len(far.asked_on) >= 3
    assert threading.get_ident() not in far.asked_on
