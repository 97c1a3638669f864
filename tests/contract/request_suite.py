"""What every store promises about requests that were answered."""

from __future__ import annotations

from datetime import timedelta

from promptyoself.domain.ports import Store
from promptyoself.domain.ports_requests import AnsweredRequest
from promptyoself.domain.values import replace
from tests.factories import NOW

ANSWERED = AnsweredRequest(owner="operator", key="k-1", fingerprint="f", result='{"id":7}', answered_at=NOW)


class RequestContract:
    """Mixed into the contract of a store."""

    def test_an_answered_request_is_remembered_for_its_caller_alone(self, store: Store) -> None:
        with store.transaction() as tx:
            tx.remember_request(ANSWERED)
        with store.reading() as tx:
            assert tx.answered_request("operator", "k-1") == ANSWERED
            assert tx.answered_request("agent-1", "k-1") is None
            assert tx.answered_request("operator", "k-2") is None

    def test_a_newer_answer_takes_the_place_of_the_older(self, store: Store) -> None:
        newer = replace(ANSWERED, fingerprint="g", result="{}", answered_at=NOW + timedelta(days=2))
        with store.transaction() as tx:
            tx.remember_request(ANSWERED)
            tx.remember_request(newer)
        with store.reading() as tx:
            assert tx.answered_request("operator", "k-1") == newer

    def test_old_requests_are_forgotten_oldest_first_and_no_more_than_asked(self, store: Store) -> None:
        with store.transaction() as tx:
            for number in range(4):
                at = NOW + timedelta(hours=number)
                tx.remember_request(replace(ANSWERED, key=f"k-{number}", answered_at=at))
            assert tx.forget_requests(before=NOW + timedelta(hours=3), limit=2) == 2
            assert tx.answered_request("operator", "k-1") is None
            assert tx.answered_request("operator", "k-2") is not None
            assert tx.forget_requests(before=NOW + timedelta(hours=3), limit=10) == 1
            assert tx.answered_request("operator", "k-3") is not None
