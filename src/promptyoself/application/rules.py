"""Whatever text a caller gives for a rule, read: cron, duration, ISO 8601, RFC 5545, or plain words."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from promptyoself.domain.errors import InvalidInterval, InvalidTrigger
from promptyoself.domain.triggers import TriggerKind, check_timezone, make_trigger, parse_duration, parse_instant
from promptyoself.domain.values import dataclass

OPTIONS: Final = {
    TriggerKind.ONCE: "--time",
    TriggerKind.CRON: "--cron",
    TriggerKind.INTERVAL: "--every",
    TriggerKind.RRULE: "--rrule",
}
"""The option that takes each kind of expression as it is."""
_RRULE: Final = re.compile(r"\s*(?:RRULE|DTSTART|RDATE|EXDATE|FREQ)\b", re.IGNORECASE)
_CRON_FIELD: Final = re.compile(r"[0-9*?/,LW-]+", re.IGNORECASE)
_CRON_FIELDS: Final = (5, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule that was read: what make_trigger takes, and how it came about."""

    kind: TriggerKind
    expression: str
    """What is stored, and can be typed back as the value of `option`."""
    timezone: str
    """The IANA zone: the one that the words name, else the one given to the reader."""
    given: str
    """The text as it was given."""
    option: str
    """`--time`, `--cron`, `--every` or `--rrule`."""
    is_phrase: bool = False
    """True when it was given in plain words and compiled."""
    notes: tuple[str, ...] = ()
    """Sentences about what the words may also mean, for the answer's warnings."""


def read_rule(text: str, *, timezone: str, now: datetime, is_timezone_given: bool = False) -> Rule:  # noqa: ARG001  phrases will need it
    """Return the rule that `text` means, whatever way it is written.

    That is cron (five or six fields, or an alias), a duration, an ISO 8601 date and time, RFC 5545 lines, or a phrase:
    one that begins with `every` recurs, any other names one instant.

    `now` is aware; `timezone` is where walls are read unless the phrase names a zone, which is refused when
    `is_timezone_given` and the two differ. Raises InvalidTrigger, InvalidInterval or InvalidTimezone, whose hint holds
    the nearest forms that would be understood.
    """
    check_timezone(timezone)
    kind = _kind(text, timezone)
    if kind is None:
        raise InvalidTrigger(f"{text[:200]!r} is neither a time nor a rule")
    make_trigger(kind, text.strip(), timezone=timezone, now=now)
    return Rule(kind=kind, expression=text.strip(), timezone=timezone, given=text, option=OPTIONS[kind])


def _kind(text: str, timezone: str) -> TriggerKind | None:
    """Return what kind of expression `text` is; None for what can only be words."""
    fields = text.split()
    if _RRULE.match(text):
        return TriggerKind.RRULE
    if text.lstrip().startswith("@") or (
        len(fields) in _CRON_FIELDS and all(_CRON_FIELD.fullmatch(field) for field in fields[:2])
    ):
        return TriggerKind.CRON
    try:
        parse_duration(text)
    except InvalidInterval:
        pass
    else:
        return TriggerKind.INTERVAL
    try:
        parse_instant(text, timezone=timezone)
    except InvalidTrigger:
        return None
    return TriggerKind.ONCE
