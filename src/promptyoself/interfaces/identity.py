"""Who asks at a door that serves many: what was presented, who that is, and who finds out."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from promptyoself.domain.models import OPERATOR

NOBODY: Final = ""
"""The owner of a caller that may look at what there is to be asked for, and ask for nothing."""


class Credentials(NamedTuple):
    """What a request presents of its sender; none of it is believed before a Gatekeeper has looked."""

    bearer: str | None = None
    """The text after `Authorization: Bearer`."""
    agent_header: str | None = None
    """Letta's `x-agent-id`; honoured beside a token issued for that only."""
    address: str | None = None
    """The sender's network address, as the connection shows it; whoever fails too often from one is made to wait."""


class Identity(NamedTuple):
    """A caller that was recognised."""

    owner: str
    """`operator`, or the id of the agent for whom alone this caller may act; NOBODY after `admit` only."""
    means: str
    """By what it was recognised, for records and limits, never secret: `token 7 (laptop)`, `letta key`, `stdio`."""

    @property
    def is_operator(self) -> bool:
        """True when no agent stands behind the request."""
        return self.owner == OPERATOR

    @property
    def is_nobody(self) -> bool:
        """True for a Letta server's own questions, which name none of its agents."""
        return self.owner == NOBODY


class Gatekeeper(Protocol):
    """Finds out who asks."""

    async def identify(self, credentials: Credentials) -> Identity:
        """Return the caller: the strict way, for /api/v1 and every tool call.

        Raises Unauthenticated (nobody, unknown, expired, revoked; a key at a Letta that checks none), Forbidden (a
        conflict; a Letta server's token without an agent), LimitExceeded (too many failures of this address), and
        CannotVerify when Letta would have to be asked and does not answer.
        """
        ...

    async def admit(self, credentials: Credentials) -> Identity:
        """Return the caller as `identify` does; NOBODY for a Letta server's token that names no agent.

        For MCP: Letta registers a server and lists its tools without naming an agent. A Door carries nothing out for
        NOBODY.
        """
        ...

    async def identify_as_letta(self, credentials: Credentials) -> Identity:
        """Return the caller for Letta's own schedule routes under /v1: whom Letta lets in is let in.

        Our tokens count as in `identify`. Where Letta checks nobody, everybody on this machine's loopback is the
        operator, with a key or without; others are refused. Raises as `identify`.
        """
        ...

    async def close(self) -> None:
        """Finish what was begun on behalf of callers; bounded. The application does this when it ends."""
        ...
