"""The days of a rule in words: of the week, of the month, of the year, and what is left out."""

from __future__ import annotations

from typing import Final

from promptyoself.domain.plain.said import AND, LAST, STEPPED, TO, WORKDAYS, Place, Said, accept_and, is_time
from promptyoself.domain.plain.suggestions import Refused
from promptyoself.domain.plain.tokens import Cursor
from promptyoself.domain.plain.vocabulary import MONTHS, ORDINALS, WEEKDAYS

_WEEKEND: Final = frozenset({5, 6})
_GROUPS: Final = {"weekday": WORKDAYS, "weekdays": WORKDAYS, "weekend": _WEEKEND, "weekends": _WEEKEND}


def left_out(cursor: Cursor, said: Said) -> bool:
    """Read `except sunday`, `but not on mondays`. Raises Refused for what is no day of the week."""
    is_but = cursor.word() == "but" and cursor.word(1) in {*WEEKDAYS, *_GROUPS}
    if not (
        cursor.accept_any("except", "excluding") or cursor.accept("but", "not") or (is_but and cursor.accept("but"))
    ):
        return False
    cursor.accept("for")
    cursor.accept("on")
    days = _day_list(cursor)
    if days is None:
        raise Refused(
            "only days of the week can be left out; for holidays there is --skip-on, for hours --quiet-hours",
            [_before(cursor, "except", "excluding", "but")],
        )
    said.put("left_out", days, "exceptions")
    return True


def places(cursor: Cursor, said: Said) -> bool:
    """Read `the 1st and 15th of the month`, `first monday of september`, `on the last day`."""
    cursor.accept("on")
    found: list[Place] = []
    while (place := _one_place(cursor)) is not None:
        found.append(place)
        here = cursor.place
        if not accept_and(cursor) or is_time(cursor):
            cursor.place = here
            break
    if not found:
        return False
    said.put("places", _with_nouns(found), "days of the month")
    if cursor.accept("of") or (cursor.word(1) in MONTHS and cursor.accept("in")):
        _of_month(cursor, said)
    return True


def date_of_year(cursor: Cursor, said: Said) -> bool:
    """Read `[on] december 24[th]`, `24 december`, `the 24th of december`."""
    cursor.accept("on")
    cursor.accept("the")
    month, day = MONTHS.get(cursor.word()), cursor.peek(1)
    if month is None:
        day, ahead = cursor.peek(), 2 if cursor.word(1) == "of" else 1
        month = MONTHS.get(cursor.word(ahead))
        length = ahead + 1
    else:
        length = 2
    if month is None or day is None or day.kind not in {"number", "ordinal"}:
        return False
    if cursor.peek(length) is not None and cursor.word(length) in {"am", "pm"}:
        return False
    cursor.place += length
    said.put("date", (month, day.value), "dates")
    return True


def weekdays(cursor: Cursor, said: Said) -> bool:
    """Read `on mondays`, `from monday to friday`, `mon wed fri`, `on the weekend`."""
    cursor.accept("on")
    _ = cursor.accept("every") or cursor.accept("each")
    if cursor.word() == "from" and cursor.word(1) in WEEKDAYS and cursor.word(2) in TO:
        cursor.take()
    if cursor.word() == "the" and cursor.word(1) in {"weekend", "weekends"}:
        cursor.take()
    days = _day_list(cursor)
    if days is None:
        return False
    said.put("weekdays", days, "days of the week")
    return True


def months(cursor: Cursor, said: Said) -> bool:
    """Read `in july and august`."""
    return cursor.accept("in") and _month_list(cursor, said)


def _before(cursor: Cursor, *words: str) -> str:
    """Return the phrase up to the first of these words."""
    begin = next((token.begin for token in cursor.phrase.tokens if token.text in words), 0)
    return cursor.phrase.text[:begin]


def _one_place(cursor: Cursor) -> Place | None:
    start = cursor.place
    cursor.accept("the")
    token = cursor.peek()
    if token is None or not (token.kind == "ordinal" or token.text in ORDINALS or token.text == "last"):
        cursor.place = start
        return None
    cursor.take()
    nth = token.value or ORDINALS.get(token.text, LAST)
    noun = cursor.word()
    is_day = noun in {"day", "weekday"} or noun in WEEKDAYS
    if noun in MONTHS or noun in STEPPED:
        cursor.place = start  # a date, `1st may`, or a step, `second week`
        return None
    # `every second` is a unit, and an ordinal alone is a day only when written as one.
    if not is_day and (token.text == "last" or (token.text == "second" and noun not in {"of", *AND})):
        cursor.place = start
        return None
    if not is_day:
        return Place(nth, "day", is_named=False, tokens=(token,))
    return Place(nth, noun if noun in {"day", "weekday"} else str(WEEKDAYS[noun]), is_named=True,
                 tokens=(token, cursor.take()))  # fmt: skip


def _with_nouns(found: list[Place]) -> tuple[Place, ...]:
    """Give `first` of `first and third monday` the noun of what follows it."""
    named, noun = [], ""
    for place in reversed(found):
        noun = place.noun if place.is_named else noun
        named.append(place if place.is_named or not noun else place._replace(noun=noun))
    return tuple(reversed(named))


def _of_month(cursor: Cursor, said: Said) -> None:
    if cursor.word() in MONTHS:
        said.put("period", (1, "year"), "periods")
        _month_list(cursor, said)
        return
    cursor.accept_any("the", "every", "each", "a")
    if not cursor.accept("month"):
        raise Refused(
            "of what it is the day is not said", [f"{said.phrase.text[: said.places[-1].tokens[-1].end]} of the month"]
        )
    said.put("period", (1, "month"), "periods")


def _day_list(cursor: Cursor) -> frozenset[int] | None:
    """Return the days of `monday and thursday`, `mon-fri`, `weekdays`; None when no day comes next."""
    found: set[int] = set()
    while (days := _days(cursor)) is not None:
        found |= days
        here = cursor.place
        if not accept_and(cursor) and cursor.word() not in WEEKDAYS:
            break
        cursor.accept("on")
        if cursor.word() not in WEEKDAYS and cursor.word() not in _GROUPS:
            cursor.place = here
            break
    return frozenset(found) or None


def _days(cursor: Cursor) -> frozenset[int] | None:
    if (group := _GROUPS.get(cursor.word())) is not None:
        cursor.take()
        cursor.accept_any("day", "days")
        return group
    first = WEEKDAYS.get(cursor.word())
    if first is None:
        return None
    cursor.take()
    if cursor.word() not in TO or cursor.word(1) not in WEEKDAYS:
        return frozenset({first})
    cursor.take()
    last = WEEKDAYS[cursor.take().text]
    return frozenset((first + ahead) % 7 for ahead in range((last - first) % 7 + 1))


def _month_list(cursor: Cursor, said: Said) -> bool:
    found: set[int] = set()
    while (month := MONTHS.get(cursor.word())) is not None:
        cursor.take()
        found.add(month)
        here = cursor.place
        if not accept_and(cursor) or cursor.word() not in MONTHS:
            cursor.place = here
            break
    if found:
        said.put("months", frozenset(found), "months")
    return bool(found)
