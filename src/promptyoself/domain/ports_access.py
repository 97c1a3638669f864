"""The part of the port `Tx` that keeps tokens and claims."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from promptyoself.domain.access import Claim, NewToken, Token


class AccessTx(Protocol):
    """What a transaction can do about tokens and claims."""

    def add_token(self, new: NewToken) -> Token:
        """Store a token."""
        ...

    def token(self, token_id: int) -> Token | None:
        """Return the token, whatever became of it, or None."""
        ...

    def token_by_digest(self, digest: str) -> Token | None:
        """Return the token with this digest, whatever became of it, or None."""
        ...

    def tokens(self, *, live_at: datetime | None = None) -> list[Token]:
        """List tokens by id, at most LIST_MAX; `live_at` leaves out those revoked or expired by then."""
        ...

    def live_tokens(self, *, now: datetime) -> int:
        """Count tokens that are neither revoked nor expired."""
        ...

    def revoke_token(self, token_id: int, *, now: datetime) -> bool:
        """Revoke a token; False when there is none such, or it was revoked before."""
        ...

    def note_token_use(self, token_id: int, *, now: datetime) -> None:
        """Write when a token was last used; an earlier instant than the one written changes nothing."""
        ...

    def claim(self, owner: str, key: str) -> Claim | None:
        """Return what was claimed under this key, expired or not, or None."""
        ...

    def put_claim(self, claim: Claim) -> None:
        """Store a claim, in place of an expired one of the same owner and key."""
        ...

    def live_claims(self, owner: str, *, now: datetime) -> int:
        """Count this owner's claims that have not expired."""
        ...
