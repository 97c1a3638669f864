"""What tests/interfaces/http/test_bulk.py holds of a file holds of PostgreSQL."""

from __future__ import annotations

from tests.interfaces.http.test_bulk import (
    test_an_agents_limits_hold_over_the_whole_batch,
    test_keys_update_what_is_there_and_are_given_once,
    test_one_bad_entry_refuses_all_and_each_bad_one_is_named,
    test_ten_thousand_are_stored_in_one_request,
)

__all__ = [
    "test_an_agents_limits_hold_over_the_whole_batch",
    "test_keys_update_what_is_there_and_are_given_once",
    "test_one_bad_entry_refuses_all_and_each_bad_one_is_named",
    "test_ten_thousand_are_stored_in_one_request",
]
