"""What tests/interfaces/http/test_etag.py holds of a file holds of PostgreSQL."""

from __future__ import annotations

from tests.interfaces.http.test_etag import (
    _schedule,
    test_a_fire_in_between_refuses_nobody_but_is_news_to_a_cache,
    test_an_edit_of_what_was_edited_meanwhile_is_refused,
    test_what_has_not_changed_is_not_sent_again,
)

__all__ = [
    "_schedule",
    "test_a_fire_in_between_refuses_nobody_but_is_news_to_a_cache",
    "test_an_edit_of_what_was_edited_meanwhile_is_refused",
    "test_what_has_not_changed_is_not_sent_again",
]
