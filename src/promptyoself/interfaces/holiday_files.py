"""Calendar files of holidays, read when they are named."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePath

from promptyoself.application.calendars import read_calendar
from promptyoself.domain import limits
from promptyoself.domain.holidays import Holidays
from promptyoself.interfaces import files


def read_holidays(name: str, *, now: datetime) -> Holidays:
    """Return the calendar in a file, or of stdin for `-`. Raises InvalidInput."""
    text = files.read_text(name, most=limits.CALENDAR_BYTES_MAX)
    called = "stdin" if name == files.STDIN else PurePath(name).name
    return read_calendar(text, name=called, now=now)
