"""How often one caller may ask: a bucket of tokens each, refilled steadily.

Callers are told apart by what they present, as a digest; who presents nothing, or something unknown, by the network
that the address stands for. The table is bounded: when it is full, who has been silent longest is forgotten, with a
full bucket the next time. Who presents what is refused again and again is the gatekeeper's to hold back.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.datastructures import Headers

from promptyoself.domain import limits
from promptyoself.domain.access import is_token
from promptyoself.domain.errors import LimitExceeded, PromptyoselfError, Unauthenticated
from promptyoself.interfaces.failures import origin_of
from promptyoself.interfaces.http.asking import credentials_of
from promptyoself.interfaces.http.problem import problem_response
from promptyoself.interfaces.http.reach import is_near

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from promptyoself.domain.ports import Clock
    from promptyoself.interfaces.identity import Credentials, Gatekeeper, Identity

_LETTA_PATHS: Final = "/v1/"


class Rate(NamedTuple):
    """So many requests a second, in the long run; so many at once."""

    per_s: float
    burst: int


OPERATOR_RATE: Final = Rate(limits.OPERATOR_REQUESTS_PER_S, limits.OPERATOR_REQUESTS_BURST)
AGENT_RATE: Final = Rate(limits.AGENT_REQUESTS_PER_S, limits.AGENT_REQUESTS_BURST)
STRANGER_RATE: Final = Rate(limits.STRANGER_REQUESTS_PER_S, limits.STRANGER_REQUESTS_BURST)


class Buckets:
    """Buckets by key, at most so many."""

    def __init__(self, clock: Clock, *, most: int = limits.CALLERS_KNOWN_MAX) -> None:
        self._clock = clock
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """How full each was, and when (monotonic seconds); the longest silent first."""

    def take(self, key: str, rate: Rate) -> float:
        """Take one token; return 0, or in how many seconds there will be one."""
        left, now = self._left(key, rate)
        wait_s = 0.0 if left >= 1 else (1 - left) / rate.per_s
        self._buckets[key] = (left - 1 if wait_s == 0 else left, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return wait_s

    def __len__(self) -> int:
        """Return how many are known."""
        return len(self._buckets)

    def _left(self, key: str, rate: Rate) -> tuple[float, float]:
        now = self._clock.monotonic()
        left, seen = self._buckets.get(key, (float(rate.burst), now))
        return min(float(rate.burst), left + (now - seen) * rate.per_s), now


class Pace:
    """What is known of the callers' rates. It stands before the gatekeeper, and learns from it who somebody was."""

    def __init__(self, clock: Clock) -> None:
        self._asked = Buckets(clock)
        self._known: OrderedDict[str, Rate] = OrderedDict()

    def learn(self, credentials: Credentials, identity: Identity) -> None:
        """Note whom these credentials belong to; an agent behind a Letta server's token is a caller of its own."""
        bearer, agent = credentials.bearer or "", credentials.agent_header
        for key in (_digest(bearer),) if agent is None else (_digest(bearer), _digest(bearer, agent)):
            self._known[key] = OPERATOR_RATE if identity.is_operator else AGENT_RATE
            self._known.move_to_end(key)
        while len(self._known) > limits.CALLERS_KNOWN_MAX:
            self._known.popitem(last=False)

    def ask(
        self, bearer: str | None, address: str, *, agent_header: str | None = None, is_passing: bool = False
    ) -> float:
        """Count a request; return 0 to let it in, or in how many seconds it may come again.

        An agent that was let in behind its server's token is counted by itself; one that was not, with the token.
        `is_passing`: made on this machine, to Letta's routes. Whether it is known is Letta's business, which could be
        asked without us: it is no stranger, and what it presents no guess.
        """
        key = _digest(bearer) if bearer is not None else ""
        rate = self._known.get(key)
        if rate is not None:
            of_agent = _digest(bearer or "", agent_header)
            return self._asked.take(of_agent if of_agent in self._known else key, rate)
        if is_passing:
            return self._asked.take(f"passing {address}", OPERATOR_RATE)
        return self._asked.take(f"from {origin_of(address)}", STRANGER_RATE)

    def forget(self, credentials: Credentials) -> None:
        """Note that nobody is known by these credentials any more."""
        self._known.pop(_digest(credentials.bearer or ""), None)

    def knows(self, bearer: str | None) -> bool:
        """Return whether this was presented before, and belonged to somebody."""
        return bearer is not None and _digest(bearer) in self._known


class LearningGatekeeper:
    """A gatekeeper that tells the pace whom it let in, at whichever door."""

    def __init__(self, inner: Gatekeeper, pace: Pace) -> None:
        self._inner = inner
        self._pace = pace

    async def identify(self, credentials: Credentials) -> Identity:
        """Return the caller, strictly."""
        return await self._learned(credentials, self._inner.identify(credentials))

    async def admit(self, credentials: Credentials) -> Identity:
        """Return the caller; NOBODY for a Letta server's token that names no agent."""
        return await self._learned(credentials, self._inner.admit(credentials))

    async def identify_as_letta(self, credentials: Credentials) -> Identity:
        """Return the caller for Letta's own schedule routes."""
        return await self._learned(credentials, self._inner.identify_as_letta(credentials))

    async def close(self) -> None:
        """Finish what was begun on behalf of callers."""
        await self._inner.close()

    async def _learned(self, credentials: Credentials, identifying: Awaitable[Identity]) -> Identity:
        try:
            identity = await identifying
        except (Unauthenticated, LimitExceeded):
            self._pace.forget(credentials)
            raise
        if credentials.bearer is not None:
            self._pace.learn(credentials, identity)
        return identity


class Pacing:
    """Refuses who asks too often."""

    def __init__(self, app: ASGIApp, *, pace: Pace, gatekeeper: Gatekeeper) -> None:
        self._app = app
        self._pace = pace
        self._gatekeeper = gatekeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        bearer, agent_header = _first(scope, b"authorization"), _first(scope, b"x-agent-id")
        bearer = bearer.partition(" ")[2].strip() if bearer is not None else None
        address = str((scope.get("client") or ("", 0))[0])
        is_passing = scope["path"].startswith(_LETTA_PATHS) and is_near(scope)
        wait_s = self._pace.ask(bearer, address, agent_header=agent_header, is_passing=is_passing)
        if wait_s and not self._pace.knows(bearer) and await self._is_right(bearer, address, scope):
            wait_s = self._pace.ask(bearer, address, agent_header=agent_header, is_passing=is_passing)
        if wait_s:
            await _too_often(wait_s)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _is_right(self, bearer: str | None, address: str, scope: Scope) -> bool:
        """Return whether a token that was not seen yet is a right one: others' guesses must not keep it out.

        A look at the database, as for any token; Letta is not asked on behalf of somebody who is held back.
        """
        if bearer is None or not is_token(bearer):
            return False
        try:
            await self._gatekeeper.admit(credentials_of(Headers(scope=scope), address))
        except PromptyoselfError:
            return False
        return True


def _too_often(wait_s: float) -> ASGIApp:
    seconds = max(1, math.ceil(wait_s))
    return problem_response(
        "this caller asks too often",
        status=429,
        code="limit_exceeded",
        hint=f"ask again in {seconds} s, and more slowly from then on",
        headers={"Retry-After": str(seconds)},
    )


def _first(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


def _digest(bearer: str, agent: str | None = None) -> str:
    whole = bearer if agent is None else f"{bearer}\0{agent}"
    return hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()
