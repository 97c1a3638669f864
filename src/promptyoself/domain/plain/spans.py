"""Spans of time in words: `45 minutes`, `1h30m`, `an hour and a half`, `in 3 days`, `2 hours from now`."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

from promptyoself.domain import limits
from promptyoself.domain.plain.suggestions import Refused, unknown_words
from promptyoself.domain.plain.tokens import Cursor
from promptyoself.domain.plain.vocabulary import NUMBERS, UNIT_S, UNITS

_HALVES: Final = {"hour": 1800, "minute": 30}
"""Units that may be halved, and seconds of a half."""


class Span(NamedTuple):
    """A span of time; `has_days`: days or weeks were said, which may mean days of the calendar."""

    length: timedelta
    has_days: bool


def read_span(cursor: Cursor) -> Span | None:
    """Return the span from now that comes next: `in ...` or `... from now`; None when none does."""
    place = cursor.place
    is_in = cursor.accept("in")
    span = read_duration(cursor)
    if is_in and span is None and cursor.word() != "the":
        raise _no_span(cursor)
    if span is not None and (cursor.accept("from", "now") or is_in):
        return span
    cursor.place = place
    return None


def read_duration(cursor: Cursor) -> Span | None:
    """Return the duration that comes next, from its largest unit to its smallest, or None."""
    start, seconds, smallest, largest = cursor.place, 0, 0, 0
    while (found := _term(cursor)) is not None:
        amount, unit_s = found
        if smallest and unit_s >= smallest:
            raise Refused("units of a span go from large to small, each at most once")
        seconds, smallest, largest = seconds + amount, unit_s, max(largest, unit_s)
        place = cursor.place
        if cursor.accept("and") or cursor.accept(","):
            after = cursor.place
            if _term(cursor) is None:
                cursor.place = place
                break
            cursor.place = after
    if not smallest:
        cursor.place = start
        return None
    if not limits.INTERVAL_MIN.total_seconds() <= seconds <= limits.TRIGGER_HORIZON.total_seconds():
        raise Refused("a span goes from 1 second to 50 years")
    return Span(timedelta(seconds=seconds), largest >= UNIT_S["day"])


def _term(cursor: Cursor) -> tuple[int, int] | None:
    """Return seconds of `45 minutes`, `half an hour`, `an hour and a half`, and those of its unit."""
    place = cursor.place
    if cursor.accept("half", "an", "hour") or cursor.accept("half", "hour") or cursor.accept("a", "half", "hour"):
        return _HALVES["hour"], _HALVES["hour"]
    token = cursor.peek()
    if token is None or not (token.kind == "number" or token.text in NUMBERS or token.text in {"a", "an"}):
        return None
    cursor.take()
    unit = UNITS.get(cursor.word())
    if unit not in UNIT_S:
        cursor.place = place
        return None
    cursor.take()
    number = 1 if token.text in {"a", "an"} else NUMBERS.get(token.text, token.value)
    seconds = number * UNIT_S[unit]
    if unit in _HALVES and cursor.accept("and", "a", "half"):
        return seconds + _HALVES[unit], _HALVES[unit]
    return seconds, UNIT_S[unit]


def _no_span(cursor: Cursor) -> Refused:
    token = cursor.peek()
    if token is not None and token.kind == "number" and not cursor.peek(1):
        return Refused(
            f"{token.text!r} has no unit",
            [cursor.phrase.replaced(token, f"{token.text} {unit}") for unit in ("minutes", "hours")],
        )
    if token is not None and token.text == "-":
        return Refused("a span from now is not negative", [cursor.phrase.replaced(token, "")])
    if UNITS.get(cursor.word(1)) in {"month", "year"}:
        return Refused("months and years vary in length: name the date", ["5 december at 9am"])
    what = f"{token.text!r} after 'in'" if token else "'in' at the end"
    return Refused(f"{what} is not understood", is_foreign=bool(unknown_words(cursor.phrase)))
