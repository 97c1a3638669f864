"""Use cases of tokens and claims."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from promptyoself.application import access, claims
from promptyoself.application.access import FILED_AS, Issued, TokenRequest
from promptyoself.application.schedules import Caller
from promptyoself.domain import limits
from promptyoself.domain.access import TOKEN_CHARS, TokenKind, digest_of
from promptyoself.domain.errors import (
    ConfigError,
    Forbidden,
    InvalidAgentId,
    InvalidInput,
    LimitExceeded,
    NotFound,
    UsageError,
)
from promptyoself.domain.models import DeliveryState, FactKind
from promptyoself.domain.ports import Store
from promptyoself.storage.sqlite import SqliteStore
from promptyoself.token_file import OperatorTokenFile, token_path
from tests.contract.lane_suite import add_delivery, add_schedule
from tests.factories import AGENT, MINUTE, NOW

OPERATOR = Caller()
ME = Caller(owner=AGENT, door="http")
OTHER = Caller(owner="agent-2", door="http")
HOUR = 60 * MINUTE


@pytest.fixture
def store() -> Iterator[SqliteStore]:
    opened = SqliteStore.open(":memory:", new_uid=lambda: "1" * 32)
    yield opened
    opened.close()


def issue(store: Store, kind: TokenKind = TokenKind.OPERATOR, *, secret: str = "s" * 43, **changes: object) -> Issued:
    request = TokenRequest(kind=kind, **changes)  # type: ignore[arg-type]  # the names are TokenRequest's
    with store.transaction() as tx:
        return access.create(tx, request, secret=secret, caller=OPERATOR, now=NOW)


def test_a_token_is_kept_as_its_digest_and_known_by_its_text(store: SqliteStore) -> None:
    issued = issue(store, TokenKind.AGENT, agent_id=AGENT, name="laptop", expires_at=NOW + HOUR)
    text = issued.text.reveal()
    assert text == "pys_" + "s" * 43
    assert len(text) == TOKEN_CHARS
    assert text not in repr(issued)
    with store.reading() as tx:
        found = tx.token_by_digest(digest_of(text))
        assert found == issued.token
        assert found.label == "token 1 (laptop)"
        assert [fact.kind for fact in tx.facts(limit=9)] == [FactKind.TOKEN_CREATED]
        assert "s" * 43 not in repr(tx.facts(limit=9))
    assert (found.is_live(now=NOW), found.is_live(now=NOW + HOUR)) == (True, False)
    connection = store._writing
    assert connection is not None
    assert text not in "".join(connection.iterdump())


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"kind": TokenKind.AGENT}, InvalidInput),
        ({"kind": TokenKind.OPERATOR, "agent_id": AGENT}, InvalidInput),
        ({"kind": TokenKind.AGENT, "agent_id": "a/b"}, InvalidAgentId),
        ({"kind": TokenKind.AGENT, "agent_id": "operator"}, InvalidAgentId),
        ({"kind": TokenKind.AGENT, "agent_id": "Operator"}, InvalidAgentId),
        ({"expires_at": NOW}, InvalidInput),
        ({"expires_at": NOW + limits.TOKEN_LIFE_MAX + MINUTE}, InvalidInput),
        ({"name": "x" * 201}, InvalidInput),
        ({"name": "a\x1bb"}, InvalidInput),
        ({"name": "pys_" + "s" * 43}, InvalidInput),
    ],
    ids=str,
)
def test_a_token_that_cannot_be_is_refused(
    store: SqliteStore, changes: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        issue(store, **changes)  # type: ignore[arg-type]  # the names are TokenRequest's
    with store.reading() as tx:
        assert tx.tokens() == []


def test_there_is_a_most_of_live_tokens(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TOKENS_LIVE_MAX", 1)
    first = issue(store)
    with pytest.raises(LimitExceeded, match="1 tokens"):
        issue(store, secret="t" * 43)
    with store.transaction() as tx:
        access.revoke(tx, first.token.id, caller=OPERATOR, now=NOW)
    issue(store, secret="t" * 43)


def test_revoking_twice_is_one_revocation_and_an_unknown_id_is_said(store: SqliteStore) -> None:
    token = issue(store).token
    with store.transaction() as tx:
        revoked = access.revoke(tx, token.id, caller=OPERATOR, now=NOW + MINUTE)
        assert access.revoke(tx, token.id, caller=OPERATOR, now=NOW + HOUR) == revoked
        assert [fact.kind for fact in tx.facts(limit=9)] == [FactKind.TOKEN_CREATED, FactKind.TOKEN_REVOKED]
        assert access.listed(tx, caller=OPERATOR, include_ended=False, now=NOW) == []
        assert access.listed(tx, caller=OPERATOR, include_ended=True, now=NOW) == [revoked]
        with pytest.raises(NotFound, match="99"):
            access.revoke(tx, 99, caller=OPERATOR, now=NOW)


def test_no_agent_issues_sees_or_revokes_tokens(store: SqliteStore) -> None:
    with store.transaction() as tx:
        with pytest.raises(Forbidden):
            access.create(tx, TokenRequest(kind=TokenKind.OPERATOR), secret="s" * 43, caller=ME, now=NOW)
        with pytest.raises(Forbidden):
            access.listed(tx, caller=ME, include_ended=True, now=NOW)
        with pytest.raises(Forbidden):
            access.revoke(tx, 1, caller=ME, now=NOW)
        assert tx.tokens() == []


# -- the operator's token in a file -------------------------------------------------------------------------


def file_of(folder: Path) -> OperatorTokenFile:
    numbers = iter(range(99))
    return OperatorTokenFile(token_path(folder / "p.db"), new_uid=lambda: str(next(numbers)))


def put(store: Store, file: OperatorTokenFile, secret: str) -> int:
    with store.transaction() as tx:
        return access.filed(tx, file, secret=secret, caller=Caller(door="serve"), now=NOW).id


def test_the_token_in_the_file_is_issued_once_and_readable_by_its_owner_alone(
    store: SqliteStore, tmp_path: Path
) -> None:
    file = file_of(tmp_path)
    assert put(store, file, "a" * 43) == put(store, file, "b" * 43) == 1
    assert file.path == tmp_path / "p.db.operator-token"
    assert file.path.read_text() == "pys_" + "a" * 43 + "\n"
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file.path]
    with store.reading() as tx:
        (token,) = tx.tokens()
    assert (token.kind, token.name, token.created_by) == (TokenKind.OPERATOR, FILED_AS, "operator via serve")


@pytest.mark.parametrize("content", ["", "pys_", "nonsense", "pys_" + "z" * 43, "pys_" + "a" * 44, "\0" * 4096])
def test_what_is_no_live_token_in_the_file_is_replaced(store: SqliteStore, tmp_path: Path, content: str) -> None:
    file = file_of(tmp_path)
    file.path.touch(mode=0o600)
    file.path.write_text(content)
    put(store, file, "a" * 43)
    assert file.read() == "pys_" + "a" * 43


def test_a_revoked_token_and_an_agents_in_the_file_are_replaced(store: SqliteStore, tmp_path: Path) -> None:
    file = file_of(tmp_path)
    first = put(store, file, "a" * 43)
    with store.transaction() as tx:
        access.revoke(tx, first, caller=OPERATOR, now=NOW)
    assert put(store, file, "b" * 43) == first + 1
    file.write(issue(store, TokenKind.AGENT, secret="c" * 43, agent_id=AGENT).text.reveal())
    put(store, file, "d" * 43)
    assert file.read() == "pys_" + "d" * 43


def test_a_file_that_others_can_read_is_refused_and_so_is_a_link(store: SqliteStore, tmp_path: Path) -> None:
    file = file_of(tmp_path)
    put(store, file, "a" * 43)
    file.path.chmod(0o640)
    with pytest.raises(ConfigError, match="other users may read") as refused:
        put(store, file, "b" * 43)
    assert "a" * 43 not in str(refused.value)
    file.path.rename(tmp_path / "elsewhere")
    file.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError):
        put(store, file, "b" * 43)
    file.path.unlink()
    file.path.mkdir()
    with pytest.raises(ConfigError):
        put(store, file, "b" * 43)
    with store.reading() as tx:
        assert len(tx.tokens()) == 1


def test_a_folder_that_cannot_be_written_leaves_no_token(store: SqliteStore, tmp_path: Path) -> None:
    file = OperatorTokenFile(tmp_path / "nowhere" / "p.db.operator-token", new_uid=lambda: "1")
    with pytest.raises(ConfigError, match="cannot be used"):
        put(store, file, "a" * 43)
    with store.reading() as tx:
        assert tx.tokens() == []


# -- claims -------------------------------------------------------------------------------------------------


def claim(store: Store, key: str = "invoice 17", *, caller: Caller = ME, **changes: object) -> claims.Claimed:
    asked = {"agent_id": None, "now": NOW} | changes
    with store.transaction() as tx:
        return claims.claim_once(tx, key, caller=caller, **asked)  # type: ignore[arg-type]  # its own names


def test_the_first_claim_wins_until_it_ends(store: SqliteStore) -> None:
    first = claim(store, lasts=HOUR)
    assert first.is_first
    again = claim(store, now=NOW + HOUR - MINUTE, lasts=timedelta(days=1))
    assert not again.is_first
    assert again.claim == first.claim
    assert claim(store, now=NOW + HOUR).is_first


def test_claims_of_different_agents_and_keys_are_apart(store: SqliteStore) -> None:
    assert claim(store).is_first
    assert claim(store, caller=OTHER).is_first
    assert claim(store, "invoice 18").is_first
    assert not claim(store, caller=OPERATOR, agent_id=AGENT).is_first


def test_a_claim_names_the_delivery_that_the_agent_works_on(store: SqliteStore) -> None:
    delivery = add_delivery(store, add_schedule(store))
    with store.transaction() as tx:
        found = tx.delivery(delivery.id)
        assert found is not None
        leased = replace(found, state=DeliveryState.LEASED, lease_token="t", first_sent_at=NOW, sent_at=NOW)
        assert tx.save_delivery(leased, was=found)
    assert claim(store).claim.delivery_id == delivery.id
    assert claim(store, caller=OTHER).claim.delivery_id is None


@pytest.mark.parametrize(
    ("key", "changes", "error"),
    [
        ("", {}, InvalidInput),
        (" ", {}, InvalidInput),
        ("k" * 201, {}, InvalidInput),
        ("a\nb", {}, InvalidInput),
        ("k", {"lasts": limits.CLAIM_FOR_MAX + MINUTE}, InvalidInput),
        ("k", {"lasts": timedelta(0)}, InvalidInput),
        ("k", {"agent_id": "agent-2"}, Forbidden),
        ("k", {"caller": OPERATOR}, UsageError),
        ("k", {"caller": OPERATOR, "agent_id": "operator"}, InvalidAgentId),
    ],
    ids=str,
)
def test_a_claim_that_cannot_be_is_refused(
    store: SqliteStore, key: str, changes: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        claim(store, key, **changes)  # type: ignore[arg-type]  # its own names


def test_an_agent_holds_so_many_keys_at_once(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLAIMS_LIVE_MAX", 2)
    claim(store, "1", lasts=HOUR)
    claim(store, "2")
    with pytest.raises(LimitExceeded, match="2 keys"):
        claim(store, "3")
    assert not claim(store, "2").is_first
    assert claim(store, "3", caller=OTHER).is_first
    assert claim(store, "3", now=NOW + HOUR).is_first
