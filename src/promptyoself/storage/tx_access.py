"""The part of a transaction that keeps tokens and claims."""

from __future__ import annotations

from datetime import datetime

from promptyoself.domain import limits
from promptyoself.domain.access import Claim, NewToken, Token, TokenKind
from promptyoself.storage.rows import Row, instant, instant_or_none, micros, micros_or_none
from promptyoself.storage.statements import ID_MAX, Statements


class AccessStatements(Statements):
    """Tokens and claims; see `AccessTx` for what each method promises."""

    def add_token(self, new: NewToken) -> Token:
        """Store a token."""
        values = {
            "digest": new.digest,
            "kind": new.kind,
            "agent_id": new.agent_id,
            "name": new.name,
            "created_by": new.created_by,
            "created_at": micros(new.created_at),
            "expires_at": micros_or_none(new.expires_at),
        }
        stored = self.token(self._insert("add_token", values) or 0)
        assert stored is not None  # noqa: S101  stored now
        return stored

    def token(self, token_id: int) -> Token | None:
        """Return the token, whatever became of it, or None."""
        return self._one("token", {"id": token_id}, _token_of) if 0 < token_id <= ID_MAX else None

    def token_by_digest(self, digest: str) -> Token | None:
        """Return the token with this digest, whatever became of it, or None."""
        return self._one("token_by_digest", {"digest": digest}, _token_of)

    def tokens(self, *, live_at: datetime | None = None) -> list[Token]:
        """List tokens by id, at most LIST_MAX; `live_at` leaves out those revoked or expired by then."""
        return self._all("tokens", {"live_at": micros_or_none(live_at), "limit": limits.LIST_MAX}, _token_of)

    def live_tokens(self, *, now: datetime) -> int:
        """Count tokens that are neither revoked nor expired."""
        return self._one("live_tokens", {"now": micros(now)}, _live) or 0

    def revoke_token(self, token_id: int, *, now: datetime) -> bool:
        """Revoke a token; False when there is none such, or it was revoked before."""
        is_id = 0 < token_id <= ID_MAX
        return is_id and self._change("revoke_token", {"id": token_id, "now": micros(now)}) == 1

    def note_token_use(self, token_id: int, *, now: datetime) -> None:
        """Write when a token was last used; an earlier instant than the one written changes nothing."""
        self._change("note_token_use", {"id": token_id, "now": micros(now)})

    def claim(self, owner: str, key: str) -> Claim | None:
        """Return what was claimed under this key, expired or not, or None."""
        return self._one("claim", {"owner": owner, "key": key}, _claim_of)

    def put_claim(self, claim: Claim) -> None:
        """Store a claim, in place of an expired one of the same owner and key."""
        values = {
            "owner": claim.owner,
            "key": claim.key,
            "claimed_at": micros(claim.claimed_at),
            "expires_at": micros(claim.expires_at),
            "delivery_id": claim.delivery_id,
        }
        self._change("put_claim", values)

    def live_claims(self, owner: str, *, now: datetime) -> int:
        """Count this owner's claims that have not expired."""
        return self._one("live_claims", {"owner": owner, "now": micros(now)}, _live) or 0


def _token_of(row: Row) -> Token:
    return Token(
        id=row["id"],
        kind=TokenKind(row["kind"]),
        agent_id=row["agent_id"],
        name=row["name"],
        created_by=row["created_by"],
        created_at=instant(row["created_at"]),
        expires_at=instant_or_none(row["expires_at"]),
        last_used_at=instant_or_none(row["last_used_at"]),
        revoked_at=instant_or_none(row["revoked_at"]),
    )


def _claim_of(row: Row) -> Claim:
    return Claim(
        owner=row["owner"],
        key=row["key"],
        claimed_at=instant(row["claimed_at"]),
        expires_at=instant(row["expires_at"]),
        delivery_id=row["delivery_id"],
    )


def _live(row: Row) -> int:
    return int(row["live"])
