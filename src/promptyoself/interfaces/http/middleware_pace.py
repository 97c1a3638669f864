"""How often one caller may ask: a bucket of tokens each, refilled steadily, and few guesses at tokens.

Callers are told apart by what they present, as a digest; who presents nothing, by address. The table is bounded: when
it is full, who has been silent longest is forgotten, with a full bucket the next time.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from promptyoself.domain import limits
from promptyoself.interfaces.http.problem import problem_response
from promptyoself.interfaces.http.reach import is_near

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from promptyoself.domain.ports import Clock
    from promptyoself.interfaces.identity import Credentials, Gatekeeper, Identity

_UNAUTHENTICATED: Final = 401
_LETTA_PATHS: Final = "/v1/"


class Rate(NamedTuple):
    """So many requests a second, in the long run; so many at once."""

    per_s: float
    burst: int


OPERATOR_RATE: Final = Rate(limits.OPERATOR_REQUESTS_PER_S, limits.OPERATOR_REQUESTS_BURST)
AGENT_RATE: Final = Rate(limits.AGENT_REQUESTS_PER_S, limits.AGENT_REQUESTS_BURST)
STRANGER_RATE: Final = Rate(limits.STRANGER_REQUESTS_PER_S, limits.STRANGER_REQUESTS_BURST)
GUESS_RATE: Final = Rate(limits.GUESSES_PER_S, limits.GUESSES_BURST)


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

    def wait_s(self, key: str, rate: Rate) -> float:
        """Return in how many seconds there will be a token, and take none."""
        left, _ = self._left(key, rate)
        return 0.0 if left >= 1 else (1 - left) / rate.per_s

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
        self._guesses = Buckets(clock)
        self._known: OrderedDict[str, Rate] = OrderedDict()

    def learn(self, credentials: Credentials, identity: Identity) -> None:
        """Note whom these credentials belong to."""
        key = _digest(credentials.bearer or "")
        self._known[key] = OPERATOR_RATE if identity.is_operator else AGENT_RATE
        self._known.move_to_end(key)
        if len(self._known) > limits.CALLERS_KNOWN_MAX:
            self._known.popitem(last=False)

    def ask(self, bearer: str | None, address: str, *, is_passing: bool = False) -> float:
        """Count a request; return 0 to let it in, or in how many seconds it may come again.

        `is_passing`: made on this machine, to Letta's routes. Whether it is known is Letta's business, which could be
        asked without us: it is no stranger, and what it presents no guess.
        """
        if is_passing and (bearer is None or _digest(bearer) not in self._known):
            return self._asked.take(f"passing {address}", OPERATOR_RATE)
        if bearer is None:
            return self._asked.take(f"from {address}", STRANGER_RATE)
        key = _digest(bearer)
        rate = self._known.get(key)
        if rate is None:
            # Nobody knows this token: few may be tried from one address, whatever they are.
            return self._guesses.wait_s(address, GUESS_RATE) or self._asked.take(f"from {address}", STRANGER_RATE)
        return self._asked.take(key, rate)

    def refused(self, bearer: str | None, address: str) -> None:
        """Note that nobody is known by what was presented."""
        if bearer is not None:
            self._known.pop(_digest(bearer), None)
            self._guesses.take(address, GUESS_RATE)


class LearningGatekeeper:
    """A gatekeeper that tells the pace whom it let in, at whichever door."""

    def __init__(self, inner: Gatekeeper, pace: Pace) -> None:
        self._inner = inner
        self._pace = pace

    async def identify(self, credentials: Credentials) -> Identity:
        """Return the caller, strictly."""
        return self._learned(credentials, await self._inner.identify(credentials))

    async def admit(self, credentials: Credentials) -> Identity:
        """Return the caller; NOBODY for a Letta server's token that names no agent."""
        return self._learned(credentials, await self._inner.admit(credentials))

    async def identify_as_letta(self, credentials: Credentials) -> Identity:
        """Return the caller for Letta's own schedule routes."""
        return self._learned(credentials, await self._inner.identify_as_letta(credentials))

    async def close(self) -> None:
        """Finish what was begun on behalf of callers."""
        await self._inner.close()

    def _learned(self, credentials: Credentials, identity: Identity) -> Identity:
        if credentials.bearer is not None:
            self._pace.learn(credentials, identity)
        return identity


class Pacing:
    """Refuses who asks too often."""

    def __init__(self, app: ASGIApp, *, pace: Pace) -> None:
        self._app = app
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        bearer = next((value.decode("latin-1") for key, value in scope["headers"] if key == b"authorization"), None)
        bearer = bearer.partition(" ")[2].strip() if bearer is not None else None
        address = str((scope.get("client") or ("", 0))[0])
        is_passing = scope["path"].startswith(_LETTA_PATHS) and is_near(scope)
        wait_s = self._pace.ask(bearer, address, is_passing=is_passing)
        if wait_s:
            await _too_often(wait_s)(scope, receive, send)
            return

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == _UNAUTHENTICATED and not is_passing:
                self._pace.refused(bearer, address)
            await send(message)

        await self._app(scope, receive, watched)


def _too_often(wait_s: float) -> ASGIApp:
    seconds = max(1, math.ceil(wait_s))
    return problem_response(
        "this caller asks too often",
        status=429,
        code="limit_exceeded",
        hint=f"ask again in {seconds} s, and more slowly from then on",
        headers={"Retry-After": str(seconds)},
    )


def _digest(bearer: str) -> str:
    return hashlib.blake2b(bearer.encode(), digest_size=16).hexdigest()
