"""Use cases of tokens: issue, list, revoke, and keep one in a file. Each is one transaction of the caller's.

Only operators issue, see and revoke them. The text of a token exists in the answer to whoever had it issued, and
nowhere else.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from promptyoself.application.schedules import Caller
from promptyoself.domain import limits
from promptyoself.domain.access import TOKEN_PREFIX, NewToken, Token, TokenKind, digest_of
from promptyoself.domain.agents import validate_agent_id
from promptyoself.domain.errors import Forbidden, InvalidInput, LimitExceeded, NotFound
from promptyoself.domain.models import Fact, FactKind
from promptyoself.domain.ports import Tx
from promptyoself.domain.secret import Secret
from promptyoself.domain.values import dataclass

FILED_AS = "operator token file"
"""The name of the token that the service keeps in a file for its own machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """For whom a token is to be: exactly one of the three. `expires_at` is aware UTC, None: never."""

    kind: TokenKind
    agent_id: str | None = None
    name: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A token, and its text: to be shown once."""

    token: Token
    text: Secret


class TokenFile(Protocol):
    """A file of this machine's that only its owner can read."""

    def read(self) -> str | None:
        """Return the text in it; None when there is none, or none that could be a token. Raises ConfigError."""
        ...

    def write(self, text: str) -> None:
        """Put a text in it, whole and readable by its owner alone from the first moment. Raises ConfigError."""
        ...


def create(tx: Tx, request: TokenRequest, *, secret: str, caller: Caller, now: datetime) -> Issued:
    """Issue a token. `secret` is fresh: 43 url-safe characters. Raises InvalidInput, Forbidden and LimitExceeded."""
    _operators_only(caller)
    agent_id = validate_agent_id(request.agent_id) if request.agent_id is not None else None
    if (request.kind is TokenKind.AGENT) != (agent_id is not None):
        raise InvalidInput(f"a token of kind {request.kind} and the agent {agent_id} do not go together")
    _check_end(request.expires_at, now=now)
    if tx.live_tokens(now=now) >= limits.TOKENS_LIVE_MAX:
        raise LimitExceeded(
            f"{limits.TOKENS_LIVE_MAX} tokens are in use, which is the most there may be",
            hint="promptyoself token list shows them; revoke those that nobody uses",
        )
    text = f"{TOKEN_PREFIX}{secret}"
    new = NewToken(
        digest=digest_of(text),
        kind=request.kind,
        agent_id=agent_id,
        name=_checked_name(request.name),
        created_by=caller.label,
        created_at=now,
        expires_at=request.expires_at,
    )
    token = tx.add_token(new)
    _note(tx, FactKind.TOKEN_CREATED, token, caller=caller, now=now)
    return Issued(token=token, text=Secret(text))


def listed(tx: Tx, *, caller: Caller, include_ended: bool, now: datetime) -> list[Token]:
    """Return tokens by id; those revoked or expired only on request."""
    _operators_only(caller)
    return tx.tokens(live_at=None if include_ended else now)


def revoke(tx: Tx, token_id: int, *, caller: Caller, now: datetime) -> Token:
    """Let a token open nothing any more, from the next request on. Revoking twice is one revocation.

    Raises NotFound.
    """
    _operators_only(caller)
    if tx.revoke_token(token_id, now=now):
        revoked = tx.token(token_id)
        assert revoked is not None  # noqa: S101  revoked just now
        _note(tx, FactKind.TOKEN_REVOKED, revoked, caller=caller, now=now)
        return revoked
    token = tx.token(token_id)
    if token is None:
        raise NotFound(f"token {token_id} was not found", hint="promptyoself token list --all shows every token")
    return token


def filed(tx: Tx, file: TokenFile, *, secret: str, caller: Caller, now: datetime) -> Token:
    """Return the operator's token that the file holds, having put a fresh one there when it holds none that is live.

    The file is written within the transaction on purpose: it holds the one lock of the database, so that of two
    services that start at once the second finds what the first has written. Should the commit fail, the file holds a
    token of nobody's, which the next start replaces. Raises ConfigError for a file that cannot be used.
    """
    text = file.read()
    known = tx.token_by_digest(digest_of(text)) if text is not None else None
    if known is not None and known.kind is TokenKind.OPERATOR and known.is_live(now=now):
        return known
    request = TokenRequest(kind=TokenKind.OPERATOR, name=FILED_AS)
    issued = create(tx, request, secret=secret, caller=caller, now=now)
    file.write(issued.text.reveal())
    return issued.token


def _note(tx: Tx, kind: FactKind, token: Token, *, caller: Caller, now: datetime) -> None:
    detail: dict[str, str | int | bool | None] = {
        "token": token.id,
        "kind": token.kind.value,
        "agent_id": token.agent_id,
        "name": token.name,
    }
    tx.add_fact(Fact(kind=kind, at=now, actor=caller.label, detail=detail))


def _check_end(expires_at: datetime | None, *, now: datetime) -> None:
    if expires_at is None:
        return
    if expires_at <= now:
        raise InvalidInput("a token's end must lie in the future", hint="--expires 90d, or leave it out")
    if expires_at - now > limits.TOKEN_LIFE_MAX:
        raise InvalidInput(
            f"a token's end may lie {limits.TOKEN_LIFE_MAX.days} days ahead at most",
            hint="leave --expires out for a token that lives until it is revoked",
        )


def _checked_name(name: str | None) -> str | None:
    if not name:
        return None
    if len(name) > limits.NAME_CHARS_MAX:
        raise InvalidInput(f"the name has {len(name)} characters; at most {limits.NAME_CHARS_MAX} are allowed")
    if not name.isprintable():
        raise InvalidInput("the name holds control characters", hint="use plain printable text")
    if TOKEN_PREFIX in name:
        raise InvalidInput(
            "the name holds what looks like a token", hint="a name is shown to everybody; choose another"
        )
    return name


def _operators_only(caller: Caller) -> None:
    if not caller.is_operator:
        raise Forbidden("tokens are for operators to issue, see and revoke", hint="ask an operator")
