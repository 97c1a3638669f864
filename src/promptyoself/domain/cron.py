"""Cron expressions: what they say, checked field by field; cronsim walks them on the wall clock.

Grammar: crontab(5) of Debian, and as cronsim extends it: seconds as a first of six fields, `L`, `LW`, `5L`, `5#2`,
and `5/15` for `5-59/15`.
"""

from __future__ import annotations

import re
from copy import copy
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidTrigger, TriggerNeverFires
from promptyoself.domain.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronsim import CronSim

ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_HINT: Final = "five fields: minute hour day-of-month month day-of-week, such as '30 9 * * mon-fri'"
_TERM: Final = re.compile(
    r"(?P<star>\*)(?:/(?P<star_step>\w+))?|(?P<low>\w+)(?:-(?P<high>\w+))?(?:/(?P<step>\w+))?|(?P<day>\w+)#(?P<nth>\w+)",
    re.ASCII,
)


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


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression that was read: its six fields as numbers (the first "0" when five were given)."""

    fields: tuple[str, str, str, str, str, str]

    @property
    def follows_clock(self) -> bool:
        """Whether minute or hour starts with `*`: then it follows the wall clock through every pass (cron(8))."""
        return self.fields[1].startswith("*") or self.fields[2].startswith("*")

    @property
    def takes_either_day(self) -> bool:
        """Whether day-of-month OR day-of-week is enough: neither starts with `*` (crontab(5))."""
        return not (self.fields[3].startswith("*") or self.fields[5].startswith("*"))

    def walls(self, after: datetime) -> Iterator[datetime]:
        """Yield the naive walls that match, ascending, strictly later than `after`; ends after 50 years without one."""
        simulation = copy(_simulation(self.fields))
        simulation.dt = after.replace(microsecond=0)
        return simulation


@lru_cache(maxsize=4096)
def _simulation(fields: tuple[str, ...]) -> CronSim:
    from cronsim import CronSim, CronSimError  # not needed for schedules of other kinds

    try:
        return CronSim(" ".join(fields), datetime(2000, 1, 1))  # noqa: DTZ001 - walls are naive
    except CronSimError as exc:
        # Every field was read before: what is left is a day that no month of the expression has.
        raise TriggerNeverFires(
            f"cron expression never fires: no month of {fields[4]} has a day of {fields[3]}",
            hint="day-of-month and month contradict each other",
        ) from exc


@lru_cache(maxsize=4096)
def parse_cron(expression: str) -> Cron:
    """Return `expression` read and checked.

    Raises InvalidTrigger, whose message holds the word cron, the field, the value and the range allowed, or
    TriggerNeverFires when no month has the day asked for.
    """
    text = _expanded(expression)
    parts = text.upper().split()
    if not text.isascii():
        raise InvalidTrigger(f"cron expression {_shown(expression)} holds a character cron does not know", hint=_HINT)
    if len(parts) == len(FIELDS) - 1:
        parts.insert(0, "0")
    if len(parts) != len(FIELDS):
        raise InvalidTrigger(
            f"cron expression {_shown(expression)} has {len(parts)} fields; it takes 5, or 6 with seconds first",
            hint=_HINT,
        )
    second, minute, hour, day, month, weekday = (
        _normal(part, field, expression) for part, field in zip(parts, FIELDS, strict=True)
    )
    cron = Cron((second, minute, hour, day, month, weekday))
    _simulation(cron.fields)
    return cron


def values(field: str, of: Field) -> list[int]:
    """Return the plain numbers that a field of a Cron matches, ascending; `L`, `LW`, `5L` and `5#2` give none."""
    found: set[int] = set()
    for term in field.split(","):
        base, _, step = term.partition("/")
        if "L" in base or "#" in base:
            continue
        low, dash, high = base.partition("-")
        if base == "*":
            low, high = str(of.low), str(of.high)
        elif not dash:
            high = str(of.high) if step else low
        found.update(range(int(low), int(high) + 1, int(step or 1)))
    return sorted(found)


def _expanded(expression: str) -> str:
    text = expression.strip()
    lowered = text.lower()
    if lowered == "@reboot":
        raise InvalidTrigger(
            "cron's @reboot is not a time: there is no reboot here that it could mean",
            hint="use a time, an interval, or one of " + " ".join(ALIASES),
        )
    if lowered.startswith("@") and lowered not in ALIASES:
        raise InvalidTrigger(
            f"cron alias {_shown(expression)} is not one of {' '.join(ALIASES)}",
            hint="for a period use an interval, such as 90s or 5m",
        )
    if lowered.startswith(("tz=", "cron_tz=")):
        raise InvalidTrigger(
            f"cron expression {_shown(expression)} names its timezone within",
            hint="give the timezone beside the expression",
        )
    return ALIASES.get(lowered, text)


def _shown(text: str) -> str:
    return repr(text[: limits.NAME_CHARS_MAX])


def _normal(part: str, field: Field, expression: str) -> str:
    """Return one field with names as numbers and every value checked."""
    terms = part.split(",")
    if len(terms) > limits.CRON_TERMS_MAX:
        raise _refusal(field, f"{len(terms)} terms are more than {limits.CRON_TERMS_MAX}", expression)
    return ",".join(_normal_term(term, field, expression) for term in terms)


def _normal_term(term: str, field: Field, expression: str) -> str:
    if field is DAY and term in {"L", "LW"}:
        return term
    if field is WEEKDAY and term.endswith("L") and len(term) > 1:
        return f"{_value(term[:-1], field, expression)}L"
    found = _TERM.fullmatch(term)
    if found is None or (found["nth"] and field is not WEEKDAY):
        raise _refusal(field, f"{term[:50]!r} cannot be read", expression)
    if found["star"]:
        return "*" + _step(found["star_step"], field, expression)
    if found["nth"]:
        day = _value(found["day"], field, expression)
        if found["nth"] not in {"1", "2", "3", "4", "5"}:
            raise _refusal(field, f"{term!r}: the week after # is outside 1-5", expression)
        return f"{day}#{found['nth']}"
    low = _value(found["low"], field, expression)
    step = _step(found["step"], field, expression)
    if not found["high"]:
        return f"{low}{step}"
    high = _value(found["high"], field, expression)
    if high < low:
        high = 7 if field is WEEKDAY and high == 0 and found["high"] == "SUN" else high
    if high < low:
        raise _refusal(field, f"range {term!r} runs backwards", expression)
    # cronsim takes 5-5/2 for 5/2, that is 5-59/2: a range of one value has no use for its step.
    return f"{low}-{high}{step}" if high > low else str(low)


def _value(text: str, field: Field, expression: str) -> int:
    if text and text in field.names:
        return field.names.index(text)
    if not text.isdigit() or len(text) > limits.CRON_DIGITS_MAX:
        raise _refusal(field, f"{text[:50]!r} is not a number", expression)
    value = int(text)
    if not field.low <= value <= field.high:
        raise _refusal(field, f"{value} is outside", expression)
    return value


def _step(text: str | None, field: Field, expression: str) -> str:
    if text is None:
        return ""
    if not text.isdigit() or len(text) > limits.CRON_DIGITS_MAX or int(text) == 0:
        raise _refusal(field, f"step {text[:50]!r} is not a number of 1 or more", expression)
    return f"/{int(text)}"


def _refusal(field: Field, what: str, expression: str) -> InvalidTrigger:
    named = [name.lower() for name in field.names if name]
    allowed = f"{field.low}-{field.high}" + (f" or {named[0]}-{named[-1]}" if named else "")
    joint = f"{what} {allowed}" if what.endswith("is outside") else f"{what}; allowed is {allowed}"
    return InvalidTrigger(f"bad cron expression {_shown(expression)}: {field.name} {joint}", hint=_HINT)
