"""Who asks at a door that serves many: what was presented, who that is, and who finds out."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from promptyoself.domain.models import OPERATOR


class Credentials(NamedTuple):
    """What a request presents of its sender; none of it is believed before a Gatekeeper has looked."""

    bearer: str | None = None
    """The text after `Authorization: Bearer`."""
    agent_header: str | None = None
    """Letta's `x-agent-id`; honoured beside a token issued for that only."""


class Identity(NamedTuple):
    """A caller that was recognised."""

    owner: str
    """`operator`, or the id of the agent for whom alone this caller may act."""
    means: str
    """By what it was recognised, for records and limits, never secret: `token 7`, `letta key`, `stdio`."""

    @property
    def is_operator(self) -> bool:
        """True when no agent stands behind the request."""
        return self.owner == OPERATOR


class Gatekeeper(Protocol):
    """Finds out who asks."""

    async def identify(self, credentials: Credentials) -> Identity:
        """Return the caller. Raises Unauthenticated (nobody, unknown, expired, revoked) and Forbidden (a conflict)."""
        ...
