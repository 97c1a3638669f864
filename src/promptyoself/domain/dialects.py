"""Notations of other schedulers, known by their looks, and what to write here in their place.

None is taken as it is: what they mean by a weekday, a time zone or a first run differs too much for that. systemd's
OnCalendar as in systemd.time(7), `@every` as Go's cron packages take it, repetitions as in ISO 8601.
"""

from __future__ import annotations

import re
from typing import Final

from promptyoself.domain.cron import parse_cron
from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.intervals import parse_duration

_EVERY: Final = re.compile(r"@every\s+(.+)", re.IGNORECASE)
_REPEATED: Final = re.compile(r"R\d*/(?:.*/)?(P[0-9A-Z.,]+)", re.IGNORECASE)
_ON_CALENDAR: Final = re.compile(
    r"(?P<named>OnCalendar\s*=\s*)?"
    r"(?:(?P<weekdays>[a-z]{3,9}(?:(?:\.\.|,)[a-z]{3,9})*)\s+)?"
    r"(?:(?P<date>[\d*,./~]++(?:-[\d*,./~]++){1,2})(?:\s+|$))?"
    r"(?P<clock>[\d*,./]++(?::[\d*,./]++){1,2})?",
    re.IGNORECASE | re.ASCII,
)
"""Possessive (`++`): what a long run of digits could be split into is nobody's wish."""
_INSTEAD: Final = "write cron, such as '0 9 * * mon-fri', or words, such as \"weekday at 9am\""


def refusal(text: str) -> tuple[str, str] | None:
    """Return what notation `text` is in (`a repetition of ISO 8601`) and what to write here, or None."""
    plain = text.strip()
    if found := _EVERY.fullmatch(plain):
        return "an alias of Go's cron packages", f"give an interval: --every {_duration(found[1]) or '5m'}"
    if found := _REPEATED.fullmatch(plain):
        return "a repetition of ISO 8601", (
            f"give the interval: --every {_duration(found[1]) or 'PT45M'}, with --start-at for its beginning and "
            "--max-repetitions for its count"
        )
    found = _ON_CALENDAR.fullmatch(plain)
    if found and (found["named"] or ".." in plain or (found["date"] and found["clock"] and "*" in found["date"])):
        return "a calendar expression of systemd", _as_cron(found)
    return ("a calendar expression of systemd", _INSTEAD) if plain.lower().startswith("oncalendar=") else None


def _duration(text: str) -> str:
    try:
        parse_duration(text)
    except InvalidInput:
        return ""
    return text


def _as_cron(found: re.Match[str]) -> str:
    """Return how to write a calendar expression as cron; how cron is written, when it cannot say it surely."""
    dates = (found["date"] or "*-*").split("-")
    clocks = (found["clock"] or "").split(":")
    if dates[:-2] not in ([], ["*"]) or not all(part.isdigit() for part in clocks):
        return _INSTEAD
    hour, minute, *second = (str(int(part)) for part in clocks)
    month, day = (str(int(part)) if part.isdigit() else part for part in dates[-2:])
    weekdays = (found["weekdays"] or "*").lower().replace("..", "-")
    fields = [minute, hour, day, month, weekdays]
    text = " ".join([*second, *fields] if second not in ([], ["0"]) else fields)
    try:
        parse_cron(text)
    except InvalidInput:
        return _INSTEAD
    # Both days given mean both there, and either here.
    return f"write '{text}'" if "*" in {day, weekdays} else _INSTEAD
