"""The lines of a recurrence rule as calendars write them: one RRULE, and DTSTART, RDATE and EXDATE beside it.

RFC 5545, sections 3.1 (lines, folded or not), 3.8.2.4, 3.8.5.1 and 3.8.5.2. Names and values are read in any case.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidTrigger
from promptyoself.domain.localtime import resolve, zone
from promptyoself.domain.values import dataclass

HINT: Final = "such as FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=9;BYMINUTE=0;BYSECOND=0 (RFC 5545)"
_NAMES: Final = "DTSTART", "RRULE", "RDATE", "EXDATE", "EXRULE"
_FOLD: Final = re.compile(rf"\n[ \t]+(?!(?:[ \t]|{'|'.join((*_NAMES, 'FREQ='))}))")
_STAMP: Final = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(?P<utc>Z)?)?", re.ASCII)
_TAKES: Final = "it takes one RRULE, one DTSTART, and any RDATE and EXDATE"


@dataclass(frozen=True, slots=True)
class Lines:
    """What the lines say; instants are aware UTC, each list ascending and without doubles."""

    rule: str
    """The one RRULE's parts, in capitals."""
    start_at: datetime | None
    """DTSTART."""
    added: tuple[datetime, ...]
    """RDATE."""
    left_out: tuple[datetime, ...]
    """EXDATE with a time of day."""
    left_out_days: tuple[date, ...]
    """EXDATE without one: days on the wall clock."""


def read_lines(expression: str, timezone: str) -> Lines:
    """Return the lines of `expression`, read on the wall clock of `timezone`.

    Raises InvalidTrigger, whose message names the line and what it takes.
    """
    found = _split(expression)
    _check_counts(found)
    start_at = None
    for parameters, value in found["DTSTART"]:
        _check_parameters("DTSTART", parameters, timezone)
        start_at = stamp("DTSTART", value, timezone, is_end=False)
    added, days_added = _moments("RDATE", found["RDATE"], timezone)
    if days_added:
        raise InvalidTrigger(
            f"rrule's RDATE {days_added[0]:%Y%m%d} is a date without a time of day",
            hint=f"write RDATE:{days_added[0]:%Y%m%d}T090000",
        )
    left_out, left_out_days = _moments("EXDATE", found["EXDATE"], timezone)
    if (count := len(added) + len(left_out) + len(left_out_days)) > limits.RRULE_DATES_MAX:
        raise InvalidTrigger(
            f"rrule has {count} dates in RDATE and EXDATE; the most is {limits.RRULE_DATES_MAX}",
            hint="make two schedules of it",
        )
    return Lines(found["RRULE"][0][1], start_at, added, left_out, left_out_days)


def _split(expression: str) -> dict[str, list[tuple[str, str]]]:
    """Return the (parameters, value) pairs of each property, folded lines put together."""
    if not expression.isascii():
        raise InvalidTrigger("rrule holds a character that RFC 5545 does not know", hint=HINT)
    text = expression.upper().replace("\\N", "\n").replace("\r\n", "\n")
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in _NAMES}
    for line in _FOLD.sub("", text).split("\n"):
        head, colon, value = (part.strip() for part in line.strip().rpartition(":"))
        if not value and not colon:
            continue
        name, _, parameters = (head or "RRULE").partition(";")
        if name not in found:
            raise InvalidTrigger(f"rrule line {line.strip()[:80]!r} is not understood: {_TAKES}", hint=HINT)
        found[name].append((parameters, value))
    return found


def _check_counts(found: dict[str, list[tuple[str, str]]]) -> None:
    if found["EXRULE"]:
        raise InvalidTrigger(
            "rrule has an EXRULE, which RFC 5545 no longer knows",
            hint="name what is left out by EXDATE, or say it in the rule",
        )
    for name in ("RRULE", "DTSTART"):
        if len(found[name]) > 1:
            raise InvalidTrigger(f"rrule has {len(found[name])} {name} lines: {_TAKES}", hint=HINT)
    if not found["RRULE"]:
        what = "has no RRULE line" if any(found.values()) else "is empty"
        raise InvalidTrigger(f"rrule {what}: it needs at least FREQ", hint=HINT)


def _check_parameters(name: str, parameters: str, timezone: str) -> None:
    for parameter in filter(None, parameters.split(";")):
        key, _, value = parameter.partition("=")
        if key == "TZID" and value.strip('"') != timezone.upper():
            raise InvalidTrigger(
                f"rrule's {name} has TZID={value[:80]!r}, which is not the schedule's timezone {timezone}",
                hint="give the same timezone beside the rule",
            )
        if key not in {"TZID", "VALUE"} or (key == "VALUE" and value not in {"DATE", "DATE-TIME"}):
            raise InvalidTrigger(f"rrule's {name} parameter {parameter[:80]!r} is not understood", hint=HINT)


def _moments(name: str, lines: list[tuple[str, str]], timezone: str) -> tuple[tuple[datetime, ...], tuple[date, ...]]:
    """Return the instants and the days that RDATE or EXDATE lines name, each ascending and without doubles."""
    instants: set[datetime] = set()
    days: set[date] = set()
    for parameters, value in lines:
        _check_parameters(name, parameters, timezone)
        for item in map(str.strip, value.split(",")):
            instant = stamp(name, item, timezone, is_end=False)
            if "T" in item:
                instants.add(instant)
            else:
                days.add(date(int(item[:4]), int(item[4:6]), int(item[6:8])))
    return tuple(sorted(instants)), tuple(sorted(days))


def stamp(name: str, value: str, timezone: str, *, is_end: bool) -> datetime:
    """Return the instant (aware UTC) of `19970902T090000`, in UTC with a Z behind it, or of a date alone."""
    found = _STAMP.fullmatch(value)
    years = f"{limits.INSTANT_MIN.year} to {limits.RECURRENCE_END.year - 1}"
    if found is None or not limits.INSTANT_MIN.year <= int(found[1]) < limits.RECURRENCE_END.year:
        raise InvalidTrigger(
            f"rrule's {name} {value[:80]!r} is not a date and time such as 20270328T090000, from {years}", hint=HINT
        )
    year, month, day, hour, minute, second = map(int, found.groups("0")[:6])
    try:
        wall = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - a wall
    except ValueError as exc:
        raise InvalidTrigger(f"rrule's {name} {value[:80]!r} is not a date and time: {exc}", hint=HINT) from exc
    if found["utc"]:
        return wall.replace(tzinfo=UTC)
    if is_end and found[4] is None:
        return resolve(wall + timedelta(days=1), zone(timezone)) - timedelta(seconds=1)
    return resolve(wall, zone(timezone), last_pass=is_end)
