"""Who may come in, and what agents have claimed: tokens and claims. Values only.

A token's text is seen once, by whoever had it issued; here and in the store there is its SHA-256 alone: 256 random
bits cannot be guessed from it, so it needs no slow hash.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Final

from promptyoself.domain.values import dataclass

TOKEN_PREFIX = "pys_"  # noqa: S105  what every token begins with, so that people and scanners know one
TOKEN_CHARS = 47
"""The prefix and 43 url-safe characters: 256 random bits."""
_WITHIN: Final = re.compile(rf"{TOKEN_PREFIX}[A-Za-z0-9_-]{{{TOKEN_CHARS - len(TOKEN_PREFIX)}}}", re.IGNORECASE)


class TokenKind(StrEnum):
    """For whom a token speaks."""

    AGENT = "agent"
    """One agent, and nobody else."""
    OPERATOR = "operator"
    PROXY = "letta-proxy"
    """A Letta server: whichever of its agents the header x-agent-id names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token about to be stored; the store gives its id."""

    digest: str
    """64 hex digits."""
    kind: TokenKind
    agent_id: str | None
    """Set for kind AGENT, and for no other."""
    name: str | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as it is kept: everything but its text."""

    id: int
    kind: TokenKind
    agent_id: str | None
    name: str | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    """To the minute: a look at a token costs no commit."""
    revoked_at: datetime | None

    def is_live(self, *, now: datetime) -> bool:
        """Return whether it still opens anything at `now`."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)

    @property
    def label(self) -> str:
        """What people and the journal call it; never its text."""
        return f"token {self.id} ({self.name})" if self.name else f"token {self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A key that an agent has taken: whoever asks for it again, before it expires, came second."""

    owner: str
    """The agent, or `operator`."""
    key: str
    claimed_at: datetime
    expires_at: datetime
    delivery_id: int | None
    """What the agent was working on when it took the key, as far as is known."""


def is_token(text: str) -> bool:
    """Return whether a text says that it is a token of ours, true or not: nobody else is ever shown one."""
    return text[: len(TOKEN_PREFIX)].lower() == TOKEN_PREFIX


def holds_token(text: str) -> bool:
    """Return whether a whole token of ours stands anywhere in a text, in quotes or behind another key."""
    return _WITHIN.search(text) is not None


def digest_of(text: str) -> str:
    """Return what is kept of a token, or of a key that was tried: its SHA-256 as 64 hex digits."""
    from hashlib import sha256  # a command that stores a row needs none

    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


class KeyVerdict(StrEnum):
    """What a Letta server makes of a key that is not ours."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNCHECKED = "unchecked"
    """It lets everybody in, strangers too: a key proves nothing there."""
