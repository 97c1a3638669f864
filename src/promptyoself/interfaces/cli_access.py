"""The commands about tokens and claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptyoself.application import access, claims
from promptyoself.application.requests import is_duration
from promptyoself.domain import limits
from promptyoself.domain.access import TokenKind
from promptyoself.domain.errors import UsageError
from promptyoself.domain.intervals import parse_duration
from promptyoself.interfaces import wire
from promptyoself.interfaces.phrases import moment

if TYPE_CHECKING:
    from datetime import datetime

    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document


def token_create(call: Call) -> Document:
    """Issue a token; the answer is the one place where its text stands."""
    services = call.services
    kind = _kind(call)
    timezone, now = services.defaults.timezone, services.clock.now()
    request = access.TokenRequest(
        kind=kind, agent_id=call.text("agent_id"), name=call.text("name"), expires_at=_end(call, timezone, now=now)
    )
    with services.store.transaction() as tx:
        issued = access.create(tx, request, secret=services.new_secret(), caller=call.caller, now=services.clock.now())
    token = issued.token
    return wire.success(
        **wire.token(token, timezone, now=now),
        token=issued.text.reveal(),
        message=f"Token {token.id} is issued. It is shown this once: keep it where only its user can read it",
    )


def token_list(call: Call) -> Document:
    """List tokens, without their texts."""
    services = call.services
    with services.store.reading() as tx:
        now = services.clock.now()
        found = access.listed(tx, caller=call.caller, include_ended=call.is_set("all"), now=now)
    timezone = services.defaults.timezone
    return wire.success(tokens=[wire.token(one, timezone, now=now) for one in found], count=len(found))


def token_revoke(call: Call) -> Document:
    """Revoke a token."""
    services = call.services
    with services.store.transaction() as tx:
        now = services.clock.now()
        revoked = access.revoke(tx, call.id, caller=call.caller, now=now)
    return wire.success(
        token=wire.token(revoked, services.defaults.timezone, now=now),
        message=f"Token {revoked.id} is revoked; it opens nothing any more",
    )


def claim_once(call: Call) -> Document:
    """Claim a key, or say who did."""
    services = call.services
    agent_id = call.text("agent_id") or services.defaults.agent_id
    lasts = call.text("for")
    with services.store.transaction() as tx:
        now = services.clock.now()
        claimed = claims.claim_once(
            tx,
            call.text("key") or "",
            caller=call.caller,
            agent_id=agent_id,
            lasts=limits.CLAIM_FOR_DEFAULT if lasts is None else parse_duration(lasts, what="--for"),
            now=now,
        )
    timezone = services.defaults.timezone
    return wire.success(**wire.claim(claimed, timezone), message=_sentence(claimed, timezone, now=now))


def _kind(call: Call) -> TokenKind:
    given = {
        TokenKind.AGENT: call.is_given("agent_id"),
        TokenKind.OPERATOR: call.is_set("operator"),
        TokenKind.PROXY: call.is_set("letta_proxy"),
    }
    chosen = [kind for kind, is_given in given.items() if is_given]
    if len(chosen) != 1:
        count = "none" if not chosen else "more than one"
        raise UsageError(
            f"a token is for an agent (--agent-id), for an operator or for a Letta server; {count} was given",
            hint="give exactly one of --agent-id, --operator and --letta-proxy",
        )
    return chosen[0]


def _end(call: Call, timezone: str, *, now: datetime) -> datetime | None:
    text = call.text("expires")
    if text is None:
        return None
    if is_duration(text):
        return now + parse_duration(text, what="--expires")
    return call.instant("expires", timezone=timezone, now=now)


def _sentence(claimed: claims.Claimed, timezone: str, *, now: datetime) -> str:
    claim = claimed.claim
    until = moment(claim.expires_at, timezone, now=now)
    if claimed.is_first:
        return f"Claimed: you are the first, and nobody else until {until}. Do it now."
    by = f" by delivery {claim.delivery_id}" if claim.delivery_id is not None else ""
    return f"Claimed before, {moment(claim.claimed_at, timezone, now=now)}{by}. Do not do it again."
