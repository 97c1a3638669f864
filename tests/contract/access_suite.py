"""What every Store must do about tokens and claims."""

from __future__ import annotations

from dataclasses import replace

import pytest

from promptyoself.domain.access import Claim, NewToken, TokenKind
from promptyoself.domain.errors import StoreError
from promptyoself.domain.ports import Store
from tests.factories import AGENT, MINUTE, NOW

HOUR = 60 * MINUTE
DIGEST = "a" * 64


def a_new_token(**changes: object) -> NewToken:
    """A token of AGENT's without an end."""
    new = NewToken(
        digest=DIGEST,
        kind=TokenKind.AGENT,
        agent_id=AGENT,
        name=None,
        created_by="operator via cli",
        created_at=NOW,
        expires_at=None,
    )
    return replace(new, **changes)  # type: ignore[arg-type]  # replace checks the names at run time


def a_claim(**changes: object) -> Claim:
    """AGENT's claim of `invoice 17` at NOW, for an hour."""
    claim = Claim(owner=AGENT, key="invoice 17", claimed_at=NOW, expires_at=NOW + HOUR, delivery_id=None)
    return replace(claim, **changes)  # type: ignore[arg-type]  # replace checks the names at run time


class AccessContract:
    """The part of the contract about tokens and claims. A subclass gives `store`."""

    def test_a_token_comes_back_as_it_was_stored_without_its_digest(self, store: Store) -> None:
        with store.transaction() as tx:
            stored = tx.add_token(a_new_token(name="laptop", expires_at=NOW + HOUR))
        with store.reading() as tx:
            assert tx.token(stored.id) == tx.token_by_digest(DIGEST) == stored
            assert tx.token_by_digest("b" * 64) is None
            assert tx.token(stored.id + 1) is None
        assert (stored.kind, stored.agent_id, stored.name) == (TokenKind.AGENT, AGENT, "laptop")
        assert (stored.created_at, stored.expires_at) == (NOW, NOW + HOUR)
        assert (stored.last_used_at, stored.revoked_at) == (None, None)
        assert DIGEST not in repr(stored)

    @pytest.mark.parametrize(
        "changes",
        [
            {"agent_id": None},
            {"kind": TokenKind.OPERATOR},
            {"kind": TokenKind.PROXY},
            {"agent_id": "operator"},
            {"digest": "pys_in_clear"},
        ],
        ids=str,
    )
    def test_a_token_that_contradicts_itself_is_refused(self, store: Store, changes: dict[str, object]) -> None:
        with pytest.raises(StoreError), store.transaction() as tx:
            tx.add_token(a_new_token(**changes))

    def test_a_token_is_revoked_once(self, store: Store) -> None:
        with store.transaction() as tx:
            token = tx.add_token(a_new_token())
            assert tx.revoke_token(token.id, now=NOW)
            assert not tx.revoke_token(token.id, now=NOW + HOUR)
            assert not tx.revoke_token(token.id + 1, now=NOW)
            assert tx.token(token.id) == replace(token, revoked_at=NOW)

    def test_live_tokens_are_neither_revoked_nor_expired(self, store: Store) -> None:
        with store.transaction() as tx:
            ends = tx.add_token(a_new_token(digest="1" * 64, expires_at=NOW + MINUTE))
            lasts = tx.add_token(a_new_token(digest="2" * 64))
            gone = tx.add_token(a_new_token(digest="3" * 64))
            tx.revoke_token(gone.id, now=NOW)
            assert [one.id for one in tx.tokens()] == [ends.id, lasts.id, gone.id]
            assert [one.id for one in tx.tokens(live_at=NOW)] == [ends.id, lasts.id]
            assert [one.id for one in tx.tokens(live_at=NOW + MINUTE)] == [lasts.id]
            assert [tx.live_tokens(now=at) for at in (NOW, NOW + MINUTE)] == [2, 1]

    def test_the_latest_use_of_a_token_stays(self, store: Store) -> None:
        with store.transaction() as tx:
            token = tx.add_token(a_new_token())
            tx.note_token_use(token.id, now=NOW + HOUR)
            tx.note_token_use(token.id, now=NOW)
            assert tx.token(token.id) == replace(token, last_used_at=NOW + HOUR)

    def test_a_claim_comes_back_and_is_its_owners_alone(self, store: Store) -> None:
        with store.transaction() as tx:
            tx.put_claim(a_claim(delivery_id=7))
        with store.reading() as tx:
            assert tx.claim(AGENT, "invoice 17") == a_claim(delivery_id=7)
            assert tx.claim("agent-2", "invoice 17") is None
            assert tx.claim(AGENT, "INVOICE 17") is None

    def test_a_later_claim_takes_the_place_of_an_expired_one(self, store: Store) -> None:
        later = a_claim(claimed_at=NOW + HOUR, expires_at=NOW + 2 * HOUR)
        with store.transaction() as tx:
            tx.put_claim(a_claim())
            tx.put_claim(later)
            assert tx.claim(AGENT, "invoice 17") == later

    def test_claims_are_counted_while_they_stand(self, store: Store) -> None:
        with store.transaction() as tx:
            tx.put_claim(a_claim())
            tx.put_claim(a_claim(key="b", expires_at=NOW + 2 * HOUR))
            tx.put_claim(a_claim(owner="agent-2"))
            assert [tx.live_claims(AGENT, now=NOW + hours * HOUR) for hours in (0, 1, 2)] == [2, 1, 0]

    def test_retention_takes_what_ended_long_ago(self, store: Store) -> None:
        with store.transaction() as tx:
            revoked = tx.add_token(a_new_token(digest="1" * 64))
            tx.revoke_token(revoked.id, now=NOW)
            tx.add_token(a_new_token(digest="2" * 64, expires_at=NOW + MINUTE))
            stays = tx.add_token(a_new_token(digest="3" * 64))
            for number in range(3):
                tx.put_claim(a_claim(key=str(number)))
            tx.put_claim(a_claim(key="stands", expires_at=NOW + 3 * HOUR))
            assert tx.prune(before=NOW, limit=100) == 0
            assert len(tx.tokens()) == 3
            assert [tx.prune(before=NOW + 2 * HOUR, limit=2) for _ in range(4)] == [2, 2, 1, 0]
            assert tx.tokens() == [stays]
            assert tx.live_claims(AGENT, now=NOW) == 1
