"""What tests/interfaces/http/test_idempotency.py holds of a file holds of PostgreSQL."""

from __future__ import annotations

from tests.interfaces.http.test_idempotency import (
    test_a_refused_request_leaves_its_key_free,
    test_of_many_at_once_one_makes_it_and_all_have_it,
    test_the_key_of_another_request_is_refused,
    test_the_same_request_again_is_answered_again,
)

__all__ = [
    "test_a_refused_request_leaves_its_key_free",
    "test_of_many_at_once_one_makes_it_and_all_have_it",
    "test_the_key_of_another_request_is_refused",
    "test_the_same_request_again_is_answered_again",
]
