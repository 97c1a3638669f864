"""Instants and spans as people read them, and text of others made safe for a terminal."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from promptyoself.domain.localtime import zone

_SOON: Final = timedelta(days=6)
"""Within this much a weekday names the day."""
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def moment(at: datetime, timezone: str, *, now: datetime) -> str:
    """Return an instant as a person reads it: `Mon 09:00 Europe/Riga (in 14 h)`; the date too when it is far."""
    wall = at.astimezone(zone(timezone))
    is_near = abs(at - now) < _SOON
    weekday = _WEEKDAYS[wall.weekday()]
    day = weekday if is_near else f"{weekday} {wall:%Y-%m-%d}"
    clock = f"{wall:%H:%M:%S}" if wall.second else f"{wall.hour:02}:{wall.minute:02}"
    return f"{day} {clock} {timezone} ({distance(at - now)})"


def distance(span: timedelta) -> str:
    """Return how far an instant is: `in 14 h`, `3 min ago`, `now`."""
    seconds = round(abs(span).total_seconds())
    unit, size = next(((unit, size) for unit, size in _UNITS if seconds >= size), ("", 0))
    if not unit:
        return "now"
    text = f"{round(seconds / size)} {unit}"
    return f"in {text}" if span > timedelta(0) else f"{text} ago"


def excerpt(text: str, most: int = 60) -> str:
    """Return text on one line, shortened."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def printable(text: str) -> str:
    """Return text with everything that could steer a terminal replaced; line breaks stay."""
    return "".join(one if one.isprintable() or one == "\n" else "\N{REPLACEMENT CHARACTER}" for one in text)


def counted(number: int, noun: str) -> str:
    """Return a count with its noun: `1 schedule`, `3 schedules`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
