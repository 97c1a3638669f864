"""Rules in plain words, read part by part in any order: days, times of day, a period, what is left out.

What was said is gathered in Said, each thing at most once; `compiling` makes the simplest exact rule of it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

from promptyoself.domain.plain import clocks
from promptyoself.domain.plain.clocks import Spoken
from promptyoself.domain.plain.spans import read_duration
from promptyoself.domain.plain.suggestions import Refused, near_token, unknown_words
from promptyoself.domain.plain.tokens import Cursor, Phrase, Token
from promptyoself.domain.plain.vocabulary import MONTHS, NUMBERS, ORDINALS, PERIODS, UNITS, WEEKDAYS

SHAPES: Final = (
    "45 minutes", "1h30m", "weekday at 9am", "day at 7:30pm except sunday", "monday and thursday at 18:30",
    "mon, wed, fri at 9:00 and 17:00", "first monday of every month at 10:00", "last day of the month at 18:00",
    "1st and 15th of the month at 9am", "hour at :30", "15 minutes between 9:00 and 17:00 on weekdays",
    "weekend at 11am", "year on december 24 at 18:00", "other monday at 9am", "3 days at 9am",
)  # fmt: skip
"""A phrase of each shape, for the one whose own phrase comes near none."""
WORKDAYS: Final = frozenset(range(5))
WEEKEND: Final = frozenset({5, 6})
ALL_DAYS: Final = frozenset(range(7))
LAST: Final = -1
_GROUPS: Final = {"weekday": WORKDAYS, "weekdays": WORKDAYS, "weekend": WEEKEND, "weekends": WEEKEND}
_AND: Final = {",", "and"}
_TO: Final = {"to", "-", "through", "until", "till"}
_TWICE: Final = 2
_STEPPED: Final = {"hour", "week"}
_STEPS: Final = range(2, 5)
"""`every second week` is every other one, for a week has no place in a month; of a day that is not certain."""


class Place(NamedTuple):
    """A day by its place in the month: `the 15th` (noun `day`), `the last friday` (noun `4`), `the first weekday`."""

    nth: int
    noun: str
    """`day`, `weekday`, or the weekday's number, 0 = Monday."""
    is_named: bool
    """False when only the ordinal was said: a day of the month."""
    tokens: tuple[Token, ...]


class Said:
    """What a phrase has said so far, each thing at most once."""

    def __init__(self, phrase: Phrase) -> None:
        self.phrase = phrase
        self.length: timedelta | None = None
        """A duration, when that is all."""
        self.period: tuple[int, str] | None = None
        self.weekdays: frozenset[int] | None = None
        self.left_out: frozenset[int] = frozenset()
        self.places: tuple[Place, ...] = ()
        self.date: tuple[int, int] | None = None
        self.months: frozenset[int] = frozenset()
        self.spoken: list[Spoken] = []
        self.past: list[int] = []
        self.between: tuple[Spoken, Spoken] | None = None
        self.part = ""

    def put(self, name: str, value: object, what: str) -> None:
        """Keep a part; raises Refused when it was said before."""
        if getattr(self, name):
            raise Refused(f"{what} are given twice; make a rule of each")
        setattr(self, name, value)


def read_rule_words(phrase: Phrase) -> Said:
    """Return what a phrase without a zone says, `every` before it or not. Raises Refused for what is not certain."""
    cursor, said = Cursor(phrase), Said(phrase)
    _ = cursor.accept("every") or cursor.accept("each")
    if cursor.is_over():
        raise Refused("no rule is given")
    begin = cursor.place
    count = _count(cursor, said)
    _refuse_vague(phrase, cursor.place)
    length = read_duration(cursor)
    if length is not None and cursor.is_over():
        said.length = length.length
        return said
    cursor.place = begin if not count else cursor.place
    while not cursor.is_over():
        _read_next(cursor, said)
    if count and count != _counted(said):
        message, *forms = _VAGUE[{1: "once", _TWICE: "twice"}.get(count, "times")]
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
    for read in (_left_out, _between, _places, _date, _period, _part, _past, _weekdays, _months, _times):
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


# -- parts --------------------------------------------------------------------------------------------------


def _left_out(cursor: Cursor, said: Said) -> bool:
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


def _before(cursor: Cursor, *words: str) -> str:
    """Return the phrase up to the first of these words."""
    begin = next((token.begin for token in cursor.phrase.tokens if token.text in words), 0)
    return cursor.phrase.text[:begin]


def _between(cursor: Cursor, said: Said) -> bool:
    if not cursor.accept_any("between", "from"):
        return False
    first = clocks.read_spoken(cursor)
    if first is None or not cursor.accept_any("and", *_TO):
        return False
    last = clocks.read_spoken(cursor)
    if last is None:
        return False
    said.put("between", (first, last), "hours")
    return True


def _places(cursor: Cursor, said: Said) -> bool:
    """Read `the 1st and 15th of the month`, `first monday of september`, `on the last day`."""
    cursor.accept("on")
    found: list[Place] = []
    while (place := _one_place(cursor)) is not None:
        found.append(place)
        here = cursor.place
        if not _accept_and(cursor) or _is_time(cursor):
            cursor.place = here
            break
    if not found:
        return False
    said.put("places", _with_nouns(found), "days of the month")
    if cursor.accept("of") or (cursor.word(1) in MONTHS and cursor.accept("in")):
        _of_month(cursor, said)
    return True


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
    if noun in MONTHS or noun in _STEPPED:
        cursor.place = start  # a date, `1st may`, or a step, `second week`
        return None
    # `every second` is a unit, and an ordinal alone is a day only when written as one.
    if not is_day and (token.text == "last" or (token.text == "second" and noun not in {"of", *_AND})):
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


def _date(cursor: Cursor, said: Said) -> bool:
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
        if cursor.word(1) in {*_AND, *_TO}:
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
    is_each = cursor.place_before("every", "each") and cursor.word(1) in _STEPPED
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
        if not _accept_and(cursor):
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


def _weekdays(cursor: Cursor, said: Said) -> bool:
    cursor.accept("on")
    _ = cursor.accept("every") or cursor.accept("each")
    if cursor.word() == "from" and cursor.word(1) in WEEKDAYS and cursor.word(2) in _TO:
        cursor.take()
    if cursor.word() == "the" and cursor.word(1) in {"weekend", "weekends"}:
        cursor.take()
    days = _day_list(cursor)
    if days is None:
        return False
    said.put("weekdays", days, "days of the week")
    return True


def _months(cursor: Cursor, said: Said) -> bool:
    return cursor.accept("in") and _month_list(cursor, said)


def _times(cursor: Cursor, said: Said) -> bool:
    cursor.accept("at")
    found: list[Spoken] = []
    while (spoken := clocks.read_spoken(cursor)) is not None:
        found.append(spoken)
        here = cursor.place
        if not _accept_and(cursor):
            break
        cursor.accept("at")
        if not _is_time(cursor):
            cursor.place = here
            break
    if found:
        said.put("spoken", found, "times of day")
    return bool(found)


# -- lists --------------------------------------------------------------------------------------------------


def _day_list(cursor: Cursor) -> frozenset[int] | None:
    """Return the days of `monday and thursday`, `mon-fri`, `weekdays`; None when no day comes next."""
    found: set[int] = set()
    while (days := _days(cursor)) is not None:
        found |= days
        here = cursor.place
        if not _accept_and(cursor) and cursor.word() not in WEEKDAYS:
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
    if cursor.word() not in _TO or cursor.word(1) not in WEEKDAYS:
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
        if not _accept_and(cursor) or cursor.word() not in MONTHS:
            cursor.place = here
            break
    if found:
        said.put("months", frozenset(found), "months")
    return bool(found)


def _accept_and(cursor: Cursor) -> bool:
    """Go past `,`, `and` or `, and`."""
    is_comma = cursor.accept(",")
    return cursor.accept("and") or is_comma


def _is_time(cursor: Cursor) -> bool:
    token = cursor.peek()
    return token is not None and (token.kind in {"clock", "number"} or token.text in {"noon", "midday", "midnight"})


def _refuse_vague(phrase: Phrase, begin: int) -> None:
    """Refuse words of which nobody can say what they mean, each with what it may mean."""
    text = phrase.text
    for word, (message, *forms) in _VAGUE.items():
        if any(
            token.text == word and not _is_certain(phrase, place)
            for place, token in enumerate(phrase.tokens[begin:], start=begin)
        ):
            before, rest = text[: text.index(word)], text.replace(word, "").strip()
            raise Refused(message, [form.replace("<", before).replace("...", rest) for form in forms])


def _is_certain(phrase: Phrase, place: int) -> bool:
    """Say whether a vague word is plain where it stands, as in `quarter past nine` and `monday till friday`."""
    words = ["", *(token.text for token in phrase.tokens), ""]
    before, word, after = words[place : place + 3]
    if word == "quarter":
        return after in {"past", "to"}
    if word in {"until", "till"}:
        is_from = any(token.text in {"from", "between"} for token in phrase.tokens[:place])
        return (after in WEEKDAYS and before in WEEKDAYS) or is_from
    return word == "for" and before in {"except", "excluding"}


_VAGUE: Final = {
    "biweekly": ("'biweekly' is twice a week to some and every two weeks to others",
                 "other week ...", "other monday at 9am", "monday and thursday at 9am"),
    "bimonthly": ("'bimonthly' is twice a month to some and every two months to others",
                  "2 months ...", "2 months on the 1st at 9am", "1st and 15th of the month at 9am"),
    "quarterly": ("'quarterly' names no day", "3 months ...", "3 months on the 1st at 9am"),
    "quarter": ("'quarter' is read neither as a quarter of an hour nor as one of a year",
                "3 months on the 1st at 9am", "15 minutes"),
    "twice": ("'twice' does not say when", "day at 9am and 9pm", "12 hours", "monday and thursday at 9am"),
    "once": ("'once' does not say when", "day at 9am", "monday at 9am", "1st of the month at 9am"),
    "times": ("how many times is said, but not when", "day at 9am, 1pm and 5pm", "8 hours"),
    "until": ("an end belongs to --end-at", "<"), "till": ("an end belongs to --end-at", "<"),
    "for": ("an end belongs to --end-at, a count to --max-repetitions", "<"),
    "starting": ("a beginning belongs to --start-at", "<"),
    "tomorrow": ("that names one day: a moment belongs to --time, the beginning of a rule to --start-at",),
    "today": ("that names one day: a moment belongs to --time, the beginning of a rule to --start-at",),
    "tonight": ("that names one evening: a moment belongs to --time", "day at 8 in the evening"),
    "next": ("'next' names one day: a moment belongs to --time",),
}  # fmt: skip
"""Word: why it is not certain, and what it may mean; `...` is the rest of the phrase, `<` what comes before."""
