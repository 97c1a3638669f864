"""Calendars of holidays as rows: stored once under the key of their content, and kept in memory once read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.holidays import Holidays

_KEPT: Final[dict[str, Holidays]] = {}


def content_of(holidays: Holidays) -> str:
    """Return a calendar as the text of its row."""
    return json.dumps(holidays.members(), separators=(",", ":"))


def kept(key: str, content: Callable[[], str | None]) -> Holidays:
    """Return the calendar of this key; `content` reads its row. Raises ValueError when that is damaged or gone."""
    found = _KEPT.get(key)
    if found is not None:
        return found
    text = content()
    if text is None:
        raise ValueError(f"the calendar {key} is gone")
    try:
        found = Holidays.from_members(json.loads(text))
    except InvalidInput as exc:
        raise ValueError(exc.message) from exc
    if found.key != key:
        raise ValueError(f"the calendar {key} has another content than was stored")
    if len(_KEPT) >= limits.CALENDARS_KEPT_MAX:
        _KEPT.clear()
    _KEPT[key] = found
    return found
