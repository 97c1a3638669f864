"""The six fields of a cron expression: their ranges and names, and which numbers a field that was read takes."""

from __future__ import annotations

from typing import Final

from promptyoself.domain.values import dataclass


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an expression: its name and unit, its range (inclusive), and the names of its values."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


SECOND: Final = Field("second", 0, 59)
MINUTE: Final = Field("minute", 0, 59)
HOUR: Final = Field("hour", 0, 23)
DAY: Final = Field("day-of-month", 1, 31)
_MONTHS: Final = ("", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
MONTH: Final = Field("month", 1, 12, _MONTHS)
WEEKDAY: Final = Field("day-of-week", 0, 7, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))
FIELDS: Final = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)


def values(field: str, of: Field) -> list[int]:
    """Return the plain numbers that a field of a Cron takes, ascending; `L`, `LW`, `15W`, `5L` and `5#2` give none."""
    found: set[int] = set()
    for term in field.split(","):
        base, _, step = term.partition("/")
        if "L" in base or "#" in base or "W" in base:
            continue
        low, dash, high = base.partition("-")
        if base == "*":
            low, high = str(of.low), str(of.high)
        elif not dash:
            high = str(of.high) if step else low
        found.update(range(int(low), int(high) + 1, int(step or 1)))
    return sorted(found)
