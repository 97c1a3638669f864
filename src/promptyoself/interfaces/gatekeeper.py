"""The Gatekeeper of `serve`: our tokens, keys that Letta vouches for, and what goes together with x-agent-id.

docs/access.md says the same for people.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, assert_never

import anyio

from promptyoself.domain import limits
from promptyoself.domain.access import KeyVerdict, Token, TokenKind, digest_of, holds_token, is_token
from promptyoself.domain.agents import validate_agent_id
from promptyoself.domain.errors import Forbidden, PromptyoselfError, StoreError, Unauthenticated
from promptyoself.domain.models import OPERATOR
from promptyoself.interfaces.door import without_place
from promptyoself.interfaces.failures import Failures, is_loopback
from promptyoself.interfaces.identity import NOBODY, Credentials, Identity
from promptyoself.interfaces.letta_keys import LettaKeys

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import datetime

    from promptyoself.domain.ports import Tx
    from promptyoself.interfaces.services import Services

_HOW = "an operator issues one with promptyoself token create; send it as `Authorization: Bearer pys_...`"
_LETTA_KEY = "letta key"


class TokenGatekeeper:
    """Finds out who asks; see `Gatekeeper` for what each way in promises. For one event loop.

    A token is looked for in the database unless nothing was committed there since it was last seen: a revocation
    counts from the next request on, whichever process made it.
    """

    def __init__(self, services: Services) -> None:
        self._clock = services.clock
        self._tokens = _Tokens(services)
        self._keys = LettaKeys(services)
        self._failures = Failures(services.clock)

    async def identify(self, credentials: Credentials) -> Identity:
        """Return the caller, strictly."""
        identity = await self.admit(credentials)
        if identity.is_nobody:
            raise Forbidden(
                f"{identity.means} speaks for agents of a Letta server, and the request names none",
                hint="Letta sends x-agent-id with an agent's tool call; issue a token for one agent to do without",
            )
        return identity

    async def admit(self, credentials: Credentials) -> Identity:
        """Return the caller; NOBODY for a Letta server's token that names no agent."""
        if credentials.bearer is None:
            raise _nothing_presented(credentials)
        if is_token(credentials.bearer):
            return await self._by_token(credentials.bearer, credentials)
        verdict = await self._by_key(credentials)
        if verdict is KeyVerdict.UNCHECKED:
            self._failures.note(credentials.address)
            raise Unauthenticated("Letta lets everybody in here, so that a key of its proves nothing", hint=_HOW)
        return Identity(OPERATOR, _LETTA_KEY)

    async def identify_as_letta(self, credentials: Credentials) -> Identity:
        """Return the caller for Letta's own schedule routes."""
        if credentials.bearer is not None and is_token(credentials.bearer):
            return await self.identify(credentials)
        verdict = await self._by_key(credentials)
        if verdict is KeyVerdict.ACCEPTED:
            return Identity(OPERATOR, _LETTA_KEY)
        if not is_loopback(credentials.address):
            self._failures.note(credentials.address)
            raise Unauthenticated("Letta lets everybody in here, so that only this machine's own are let in", hint=_HOW)
        return Identity(OPERATOR, "open letta")

    async def close(self) -> None:
        """Finish what was begun on behalf of callers; bounded."""
        await self._keys.close()
        await self._tokens.close()

    async def _by_token(self, text: str, credentials: Credentials) -> Identity:
        token = await self._tokens.find(digest_of(text)) if len(text) <= limits.BEARER_CHARS_MAX else None
        now = self._clock.now()
        if token is None:
            raise self._refused("the token is none of ours", credentials)
        if not token.is_live(now=now):
            how = "was revoked" if token.revoked_at is not None else "has expired"
            raise self._refused(f"the token {how}", credentials)
        identity = _spoken_for(token, credentials.agent_header or None)
        self._tokens.note_use(token, now=now)
        return identity

    async def _by_key(self, credentials: Credentials) -> KeyVerdict:
        """Return what Letta makes of a key, or of none: ACCEPTED or UNCHECKED. Raises for one that it refuses."""
        key = credentials.bearer
        if credentials.agent_header:
            raise Forbidden(
                "x-agent-id came with a key of Letta's, which speaks for an operator: it is one or the other",
                hint="promptyoself token create --letta-proxy issues the token that belongs beside x-agent-id",
            )
        if key is not None and len(key) > limits.BEARER_CHARS_MAX:
            raise self._refused("the key is too long to be one", credentials)
        if key is not None and holds_token(key):  # in quotes, or behind another key: Letta is not shown it
            raise self._refused("there is more in Authorization than a token of ours", credentials)
        if self._keys.known(key) is None and self._failures.is_over(credentials.address):
            raise self._failures.refusal()
        verdict = await self._keys.verdict(key)
        if verdict is KeyVerdict.REFUSED:
            raise (
                _nothing_presented(credentials) if key is None else self._refused("Letta refuses the key", credentials)
            )
        return verdict

    def _refused(self, why: str, credentials: Credentials) -> PromptyoselfError:
        """Return the refusal of what was presented, having counted it; to one who fails too often, to wait."""
        if self._failures.is_over(credentials.address):
            return self._failures.refusal()
        self._failures.note(credentials.address)
        return Unauthenticated(why, hint=_HOW)


def stdio_identity(agent_id: str | None) -> Identity:
    """Return who asks over a pipe of this machine: the agent that LETTA_AGENT_ID names.

    Raises Unauthenticated when it names none, InvalidAgentId when it cannot be one.
    """
    if not agent_id:
        raise Unauthenticated(
            "nobody knows for which agent this client asks",
            hint="in the client's settings for this server, set LETTA_AGENT_ID to the agent's id, or "
            "PROMPTYOSELF_ACT_AS=operator for a person's own client",
        )
    return Identity(validate_agent_id(agent_id), "stdio")


def _nothing_presented(credentials: Credentials) -> Unauthenticated:
    beside = "; x-agent-id alone proves nothing" if credentials.agent_header else ""
    return Unauthenticated(f"the request came without a token{beside}", hint=_HOW)


def _spoken_for(token: Token, agent_header: str | None) -> Identity:
    """Return whom a live token and the header make the caller. Raises Forbidden when they contradict each other."""
    match token.kind:
        case TokenKind.AGENT:
            assert token.agent_id is not None  # noqa: S101  the table has a CHECK
            if agent_header not in {None, token.agent_id}:
                raise Forbidden(
                    f"{token.label} is for one agent, and x-agent-id names another",
                    hint="promptyoself token create --letta-proxy issues a token for a whole Letta server",
                )
            return Identity(token.agent_id, token.label)
        case TokenKind.OPERATOR:
            if agent_header is not None:
                raise Forbidden(
                    f"{token.label} is an operator's, and x-agent-id names an agent: it is one or the other",
                    hint="promptyoself token create --letta-proxy issues the token that belongs beside x-agent-id",
                )
            return Identity(OPERATOR, token.label)
        case TokenKind.PROXY:
            return Identity(NOBODY if agent_header is None else validate_agent_id(agent_header), token.label)
        case _:
            assert_never(token.kind)


class _Tokens:
    """Live tokens, as of the last commit; and a note of their use, for which no request waits."""

    def __init__(self, services: Services) -> None:
        self._store = services.store
        self._is_far = services.fleet is not None
        self._known: OrderedDict[str, tuple[int, Token]] = OrderedDict()
        self._noted: OrderedDict[int, datetime] = OrderedDict()
        self._noting: set[asyncio.Task[None]] = set()
        self._writers = anyio.CapacityLimiter(1)
        self._readers = anyio.CapacityLimiter(limits.READERS_MAX)

    async def find(self, digest: str) -> Token | None:
        if self._is_far:
            # A round trip away, or far more when the network is slow: never on the event loop. And each time: a node
            # that hears of nothing just now must not let in whose token another node has revoked.
            return await anyio.to_thread.run_sync(self._look, digest, limiter=self._readers)
        mark = self._store.change_mark()  # before the look: what it finds is not older
        known = self._known.get(digest)
        if known is not None and known[0] == mark:
            return known[1]
        # Here, and in no thread: each creation is a commit, after which every caller's token is looked up anew.
        token = self._look(digest, self._store.glancing)
        if token is None:
            self._known.pop(digest, None)
            return None
        self._known[digest] = (mark, token)
        _trim(self._known)
        return token

    def _look(self, digest: str, opened: Callable[[], AbstractContextManager[Tx]] | None = None) -> Token | None:
        try:
            with (opened or self._store.reading)() as tx:
                return tx.token_by_digest(digest)
        except StoreError as error:  # a stranger hears of it
            raise without_place(error, self._store.location) from error

    def note_use(self, token: Token, *, now: datetime) -> None:
        last = max((at for at in (token.last_used_at, self._noted.get(token.id)) if at is not None), default=None)
        if last is not None and now - last < limits.TOKEN_USE_NOTED_EVERY:
            return
        self._noted[token.id] = now
        _trim(self._noted)
        noting = asyncio.ensure_future(self._write(token.id, now))
        self._noting.add(noting)
        noting.add_done_callback(self._noting.discard)

    async def close(self) -> None:
        await asyncio.gather(*self._noting)

    async def _write(self, token_id: int, now: datetime) -> None:
        with suppress(StoreError):  # when a token was last used is no reason to fail; the next use is noted again
            await anyio.to_thread.run_sync(self._note, token_id, now, limiter=self._writers)

    def _note(self, token_id: int, now: datetime) -> None:
        with self._store.transaction() as tx:
            tx.note_token_use(token_id, now=now)


def _trim(cache: OrderedDict[str, tuple[int, Token]] | OrderedDict[int, datetime]) -> None:
    while len(cache) > limits.TOKENS_CACHED_MAX:
        cache.popitem(last=False)
