"""`claim_once`: idempotency of an agent's own. The first who claims a key gets it; later ones hear who was first.

An agent that may be sent a prompt twice, or works on it twice, claims a key of its choosing before it acts, and acts
only when the claim was the first.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from promptyoself.application.schedules import Caller
from promptyoself.domain import limits
from promptyoself.domain.access import Claim
from promptyoself.domain.agents import validate_agent_id
from promptyoself.domain.errors import Forbidden, InvalidInput, LimitExceeded, UsageError
from promptyoself.domain.ports import Tx
from promptyoself.domain.triggers import format_duration
from promptyoself.domain.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A claim that stands, and whether this call made it."""

    claim: Claim
    is_first: bool


def claim_once(
    tx: Tx,
    key: str,
    *,
    caller: Caller,
    agent_id: str | None,
    lasts: timedelta = limits.CLAIM_FOR_DEFAULT,
    now: datetime,
) -> Claimed:
    """Claim `key` for an agent for as long as `lasts`, or return the claim that stands already, as it is.

    Keys of different agents have nothing to do with each other. The transaction holds the one write lock: of claims at
    the same instant, from whatever process, one is first. Raises InvalidInput, UsageError, Forbidden (another's agent)
    and LimitExceeded.
    """
    owner = _owner(caller, agent_id)
    _check_key(key)
    if not timedelta(0) < lasts <= limits.CLAIM_FOR_MAX:
        raise InvalidInput(
            f"a claim lasts {format_duration(limits.CLAIM_FOR_MAX)} at most, not {format_duration(lasts)}",
            hint="for example --for 24h",
        )
    known = tx.claim(owner, key)
    if known is not None and known.expires_at > now:
        return Claimed(claim=known, is_first=False)
    if tx.live_claims(owner, now=now) >= limits.CLAIMS_LIVE_MAX:
        raise LimitExceeded(
            f"{limits.CLAIMS_LIVE_MAX} keys are claimed; an agent may hold no more at once",
            hint="claim for a shorter time (--for), and wait until old claims end",
        )
    working_on = tx.delivery_in_progress(owner, since=now - limits.RUN_TIME_MAX)
    claim = Claim(
        owner=owner,
        key=key,
        claimed_at=now,
        expires_at=now + lasts,
        delivery_id=working_on.id if working_on else None,
    )
    tx.put_claim(claim)
    return Claimed(claim=claim, is_first=True)


def _owner(caller: Caller, agent_id: str | None) -> str:
    """Return whose claim it is: the agent that asks, or the one that an operator names."""
    if caller.is_operator:
        if not agent_id:
            raise UsageError("claim-once needs --agent-id", hint="or set LETTA_AGENT_ID")
        return validate_agent_id(agent_id)
    if agent_id not in {None, caller.owner}:
        raise Forbidden("an agent claims keys for itself only", hint="leave --agent-id out")
    return caller.owner


def _check_key(key: str) -> None:
    if not key.strip():
        raise InvalidInput("the key is empty", hint='name what is to be done once: --key "invoice 17 sent"')
    if len(key) > limits.CLAIM_KEY_CHARS_MAX:
        raise InvalidInput(f"the key has {len(key)} characters; at most {limits.CLAIM_KEY_CHARS_MAX} are allowed")
    if not key.isprintable():
        raise InvalidInput("the key holds control characters", hint="use plain printable text")
