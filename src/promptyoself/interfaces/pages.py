"""Pages of lists: where one ends the next begins, whatever is added or deleted between."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, TypeVar

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput
from promptyoself.interfaces.parse import DIGITS_MAX, shown

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

LISTED: Final = "s"
"""Cursors of lists of schedules begin with it."""
DELIVERED: Final = "d"
"""Cursors of lists of deliveries begin with it."""
_CURSOR_CHARS_MAX: Final = 64


def rows_of(limit: int | None, *, default: int = limits.LIST_MAX) -> int:
    """Return how many rows to read for a page: one more than it shows."""
    return min((default if limit is None else limit) + 1, limits.LIST_MAX)


def page(
    found: Sequence[T], limit: int | None, *, kind: str, ids: Sequence[int], default: int = limits.LIST_MAX
) -> tuple[Sequence[T], str | None]:
    """Return what a page shows of what `rows_of` said to read, and the cursor of the next page, if there is one."""
    most = min(default if limit is None else limit, limits.LIST_MAX - 1)
    if len(found) <= most:
        return found, None
    return found[:most], cursor(kind, ids[most - 1])


def place(cursor: str | None, *, kind: str) -> int | None:
    """Return the id behind which a page begins. Raises InvalidInput for what is no cursor of such a list."""
    if cursor is None:
        return None
    from base64 import urlsafe_b64decode  # few lists are longer than a page

    try:
        text = urlsafe_b64decode(cursor[:_CURSOR_CHARS_MAX].encode() + b"==").decode("ascii")
    except ValueError:  # binascii.Error is one
        text = ""
    number = text.removeprefix(kind)
    if len(cursor) > _CURSOR_CHARS_MAX or number == text or not (number.isdigit() and len(number) <= DIGITS_MAX):
        raise InvalidInput(
            f"cursor {shown(cursor)} is none of this list", hint="give next_cursor of the page before, or none"
        )
    return int(number)


def cursor(kind: str, id: int) -> str:
    """Return the cursor of what comes behind `id` in a list."""
    from base64 import urlsafe_b64encode  # few lists are longer than a page

    return urlsafe_b64encode(f"{kind}{id}".encode()).decode().rstrip("=")


def words(text: str | None, kind: type[E], option: str) -> tuple[E, ...] | None:
    """Return the words of a list such as `active,paused`. Raises InvalidInput for one that is not known."""
    if text is None:
        return None
    given = [word.strip().lower() for word in text.split(",")]
    known = [one.value for one in kind]
    wrong = next((word for word in given if word not in known), None)
    if wrong is not None:
        raise InvalidInput(f"{option} {wrong[:60]!r} is not known", hint=f"one of: {', '.join(known)}")
    return tuple(dict.fromkeys(kind(word) for word in given))
