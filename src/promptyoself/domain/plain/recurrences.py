"""Rules in plain words, read part by part in any order: days, times of day, a period, what is left out."""

from __future__ import annotations

from typing import Final

from promptyoself.domain.plain import clocks, rule_days
from promptyoself.domain.plain.clocks import Spoken
from promptyoself.domain.plain.said import AND, STEPPED, TO, Said, accept_and, is_time
from promptyoself.domain.plain.spans import read_duration
from promptyoself.domain.plain.suggestions import Refused, near_token, unknown_words
from promptyoself.domain.plain.tokens import Cursor, Phrase
from promptyoself.domain.plain.vague import VAGUE, refuse_vague
from promptyoself.domain.plain.vocabulary import NUMBERS, ORDINALS, PERIODS, UNITS, WEEKDAYS

SHAPES: Final = (
    "45 minutes", "1h30m", "weekday at 9am", "day at 7:30pm except sunday", "monday and thursday at 18:30",
    "mon, wed, fri at 9:00 and 17:00", "first monday of every month at 10:00", "last day of the month at 18:00",
    "1st and 15th of the month at 9am", "hour at :30", "15 minutes between 9:00 and 17:00 on weekdays",
    "weekend at 11am", "year on december 24 at 18:00", "other monday at 9am", "3 days at 9am",
)  # fmt: skip
"""A phrase of each shape, for the one whose own phrase comes near none."""
_TWICE: Final = 2
_STEPS: Final = range(2, 5)
"""`every second week` is every other one, for a week has no place in a month; of a day that is not certain."""


def read_rule_words(phrase: Phrase) -> Said:
    """Return what a phrase without a zone says, `every` before it or not. Raises Refused for what is not certain."""
    cursor, said = Cursor(phrase), Said(phrase)
    _ = cursor.accept("every") or cursor.accept("each")
    if cursor.is_over():
        raise Refused("no rule is given")
    begin = cursor.place
    count = _count(cursor, said)
    refuse_vague(phrase, cursor.place)
    length = read_duration(cursor)
    if length is not None and cursor.is_over():
        said.length = length.length
        return said
    cursor.place = begin if not count else cursor.place
    while not cursor.is_over():
        _read_next(cursor, said)
    if count and count != _counted(said):
        message, *forms = VAGUE[{1: "once", _TWICE: "twice"}.get(count, "times")]
        raise Refused(message, forms)
    return said


def _count(cursor: Cursor, said: Said) -> int:
    """Read `twice a day`, `once daily`, `3 times per week`: how often in a period; 0 when it does not come next."""
    start, token = cursor.place, cursor.peek()
    count = {"once": 1, "twice": _TWICE}.get(cursor.word(), 0)
    if token is not None and not count and cursor.word(1) == "times":
        count = NUMBERS.get(token.text, token.value)
        cursor.take()
    if count:
        cursor.take()
        is_each = bool(cursor.accept_any("a", "per", "each", "every"))
        unit = UNITS.get(cursor.word()) if is_each else PERIODS.get(cursor.word())
        if unit in {"day", "week", "month", "year"}:
            cursor.take()
            said.period = (1, unit)
            return count
    cursor.place = start
    return 0


def _counted(said: Said) -> int:
    """Return how many fires were said in a period, 0 where that is not certain."""
    match said.period:
        case (1, "day"):
            days = 1
        case (1, "week"):
            days = len(said.weekdays or ())
        case (1, "month"):
            days = len(said.places)
        case _:
            days = 1 if said.date else 0
    return days * len(said.spoken)


def _read_next(cursor: Cursor, said: Said) -> None:
    if cursor.word() == "," and cursor.peek(1):
        cursor.take()
        return
    for read in (
        rule_days.left_out,
        _between,
        rule_days.places,
        rule_days.date_of_year,
        _period,
        _part,
        _past,
        rule_days.weekdays,
        rule_days.months,
        _times,
    ):
        place = cursor.place
        if read(cursor, said):
            return
        cursor.place = place
    raise _not_understood(cursor)


def _not_understood(cursor: Cursor) -> Refused:
    token, phrase = cursor.peek(), cursor.phrase
    if unknown := unknown_words(phrase):
        return Refused(f"{unknown[0]!r} is not understood", is_foreign=True)
    if token is None:
        return Refused(f"{phrase.text!r} ends too soon")
    if token.text == "or":
        return Refused(
            "'or' leaves a choice, and a rule has none",
            [phrase.text[: token.begin], phrase.replaced(token, "and"), phrase.text[token.end :]],
        )
    return Refused(f"{token.text!r} is not understood at this place", near_token(phrase, token))


def _between(cursor: Cursor, said: Said) -> bool:
    if not cursor.accept_any("between", "from"):
        return False
    first = clocks.read_spoken(cursor)
    if first is None or not cursor.accept_any("and", *TO):
        return False
    last = clocks.read_spoken(cursor)
    if last is None:
        return False
    said.put("between", (first, last), "hours")
    return True


def _period(cursor: Cursor, said: Said) -> bool:
    is_first = cursor.place == 0
    is_each = cursor.accept("every") or cursor.accept("each") or cursor.place_before("every", "each")
    unit = PERIODS.get(cursor.word())
    if unit is not None:
        cursor.take()
        said.put("period", (1, unit), "periods")
        return True
    if cursor.accept_any("fortnight", "fortnightly"):
        said.put("period", (_TWICE, "week"), "periods")
        return True
    if cursor.accept("half", "hour") or cursor.accept("half", "an", "hour"):
        said.put("period", (30, "minute"), "periods")
        return True
    if not (is_first or is_each):
        return False  # `friday week` is no period, nor is `at 9am 2 weeks`
    if cursor.accept("hour", "and", "a", "half"):
        said.put("period", (90, "minute"), "periods")
        return True
    number = _period_number(cursor)
    if number == _TWICE and cursor.word() in WEEKDAYS:
        if cursor.word(1) in {*AND, *TO}:
            raise Refused(
                "of several days it is not certain what every other one is",
                [f"2 weeks on {cursor.phrase.text[cursor.phrase.tokens[cursor.place].begin :]}"],
            )
        said.put("period", (_TWICE, "week"), "periods")
        return True
    unit = UNITS.get(cursor.word())
    if unit is None or number is None:
        return False
    cursor.take()
    said.put("period", (number, unit), "periods")
    return True


def _period_number(cursor: Cursor) -> int | None:
    """Return the number before a unit: 2 of `2 weeks` and `other week`, 1 when there is none."""
    token = cursor.peek()
    if token is None:
        return None
    if cursor.accept("other"):
        return _TWICE
    is_each = cursor.place_before("every", "each") and cursor.word(1) in STEPPED
    if is_each and (step := ORDINALS.get(token.text, token.value)) in _STEPS and token.kind in {"ordinal", "word"}:
        cursor.take()
        return step
    if (token.kind == "number" or token.text in NUMBERS) and cursor.word(1) in UNITS:
        cursor.take()
        return NUMBERS.get(token.text, token.value)
    return 1 if token.text in UNITS else None


def _part(cursor: Cursor, said: Said) -> bool:
    part = clocks.read_part(cursor)
    if part:
        said.put("part", part, "parts of the day")
    return bool(part)


def _past(cursor: Cursor, said: Said) -> bool:
    """Read `at :30`, `at :00 and :30`, `at minute 15`, `on the hour`."""
    if cursor.accept("on", "the", "hour"):
        said.put("past", [0], "minutes")
        return True
    cursor.accept_any("at", "on")
    found: list[int] = []
    is_named = bool(cursor.accept_any("minute", "minutes"))
    while (token := cursor.peek()) is not None and token.kind == ("number" if is_named else "past"):
        found.append(cursor.take().value)
        here = cursor.place
        if not accept_and(cursor):
            break
        if (following := cursor.peek()) is None or following.kind != token.kind:
            cursor.place = here
            break
    if not found:
        return False
    if is_named:
        cursor.accept("past", "the", "hour")
    if max(found) > 59:  # noqa: PLR2004  the last minute
        raise Refused(
            f"minutes go from 0 to 59, not to {max(found)}", [cursor.phrase.text.replace(str(max(found)), "59")]
        )
    said.put("past", sorted(set(found)), "minutes")
    return True


def _times(cursor: Cursor, said: Said) -> bool:
    cursor.accept("at")
    found: list[Spoken] = []
    while (spoken := clocks.read_spoken(cursor)) is not None:
        found.append(spoken)
        here = cursor.place
        if not accept_and(cursor):
            break
        cursor.accept("at")
        if not is_time(cursor):
            cursor.place = here
            break
    if found:
        said.put("spoken", found, "times of day")
    return bool(found)
