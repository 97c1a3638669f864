"""Whose the secrets are that an agent of Letta has by the names that attaching uses: what is its own stays its own."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from promptyoself.domain.access import digest_of, is_token
from promptyoself.domain.ports import Tx
from promptyoself.domain.ports_attach import LettaAgent

TOKEN_NAME: Final = "letta attach"  # noqa: S105  what these tokens are called, so that they are known again
SECRET_TOKEN: Final = "PROMPTYOSELF_TOKEN"  # noqa: S105  a secret's name
SECRET_URL: Final = "PROMPTYOSELF_URL"  # noqa: S105  as above


class Whose(Enum):
    """Who put there what an agent has by our secrets' names."""

    NOBODYS = auto()
    """There is nothing, or what somebody left of an attaching."""
    OURS = auto()
    OTHERS = auto()
    """An attaching to another promptyoself, or to a database that is gone."""
    FOREIGN = auto()
    """Somebody else; so is a token of ours that a person issued and put there."""


def whose(tx: Tx, agent: LettaAgent) -> Whose:
    """Return whose the agent's secrets by our names are."""
    token = agent.secrets.get(SECRET_TOKEN)
    if token is None:
        has_our_tools = any(tool.way is not None for tool in agent.tools)
        return Whose.FOREIGN if SECRET_URL in agent.secrets and not has_our_tools else Whose.NOBODYS
    if not is_token(token.reveal()):
        return Whose.FOREIGN
    known = tx.token_by_digest(digest_of(token.reveal()))
    if known is None:
        return Whose.OTHERS
    return Whose.OURS if known.name == TOKEN_NAME else Whose.FOREIGN
