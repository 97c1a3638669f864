"""Which names may stand for an agent or a conversation.

They become segments of a URL and words of a lane's name, so nothing in them may end a segment (`/ ? #`), start an
escape (`%`), climb (`.`, `..`) or part words (spaces). Letta's own are `agent-<uuid>` and `conv-<uuid>`.
"""

from __future__ import annotations

import re

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidAgentId, InvalidInput
from promptyoself.domain.models import OPERATOR

CONVERSATION_NEW = "new"
"""The conversation of a schedule that wants a fresh one for each delivery."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]*", re.ASCII)
_RULE = "a letter or digit first, then letters, digits and . _ : @ + -"
_SHOWN_CHARS_MAX = 60


def validate_agent_id(agent_id: str) -> str:
    """Return `agent_id` as it is when it can name an agent: 1 to AGENT_ID_CHARS_MAX characters of `_RULE`.

    `operator` is no agent's id: whoever is called so may do everything. Raises InvalidAgentId; the message quotes the
    value (shortened, escaped) and the rule.
    """
    problem = _problem(agent_id, chars_max=limits.AGENT_ID_CHARS_MAX)
    if agent_id.lower() == OPERATOR:
        problem = "that is what operators are called"
    if problem is None:
        return agent_id
    raise InvalidAgentId(
        f"{_shown(agent_id)} cannot be an agent id: {problem}",
        hint="a Letta agent's id looks like agent-5f1d...; `promptyoself agents` lists them",
    )


def validate_conversation(conversation: str) -> str:
    """Return `conversation` as it is when it is `new` or can name a conversation (CONVERSATION_CHARS_MAX characters).

    Raises InvalidInput; the message quotes the value (shortened, escaped) and the rule.
    """
    problem = _problem(conversation, chars_max=limits.CONVERSATION_CHARS_MAX)
    if problem is None:
        return conversation
    raise InvalidInput(
        f"{_shown(conversation)} cannot be a conversation: {problem}",
        hint="leave it out for the agent's own thread, say new, or name one like conv-5f1d...",
    )


def _problem(name: str, *, chars_max: int) -> str | None:
    if not name:
        return "it is empty"
    if len(name) > chars_max:
        return f"it has {len(name)} characters, at most {chars_max} are allowed"
    if _NAME.fullmatch(name) is None:
        return f"it may have {_RULE}"
    return None


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN_CHARS_MAX else name[:_SHOWN_CHARS_MAX] + "...")
