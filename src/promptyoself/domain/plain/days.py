"""Days: what `tomorrow`, `next friday`, `5 december` and `the 15th` mean, seen from today."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.plain.suggestions import Refused
from promptyoself.domain.plain.tokens import Cursor, Phrase, Token
from promptyoself.domain.plain.vocabulary import MONTH_NAMES, MONTHS, NUMBERS, WEEKDAY_NAMES, WEEKDAYS
from promptyoself.domain.values import dataclass

_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(days=7)
_YEARS: Final = range(limits.INSTANT_MIN.year, limits.INSTANT_MAX.year + 1)
_MONTHS_A_YEAR: Final = 12
_YEAR_CHARS: Final = 4
_NO_DAY: Final = 32
"""Stands for every number that no month has: `date` says of it what it says of those that fit a C integer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day that was named.

    `rolls_to` is the day to take when the time of day has passed on `at` (`the 15th` on the 15th), None where a past
    time is refused. `also` is another day that the words could mean, which a note names; `is_doubtful`: they could as
    well mean it when the time of day is still to come on `at` (`monday`, said on a Monday morning).
    """

    at: date
    rolls_to: date | None = None
    also: date | None = None
    is_doubtful: bool = False
    is_tonight: bool = False
    is_weekday: bool = False
    """Only the weekday was said, so that a date may come with it."""


def read_day(cursor: Cursor, today: date) -> Day | None:
    """Return the day that comes next in the phrase, or None. Raises Refused for one that is not certain."""
    readers: tuple[Callable[[Cursor, date], Day | None], ...] = (_relative, _weekday, _written, _of_month, _digits)
    for read in readers:
        place = cursor.place
        if (day := read(cursor, today)) is not None:
            return day
        cursor.place = place
    return None


def weekday_from(today: date, weekday: int) -> date:
    """Return the first such weekday later than `today`."""
    return today + timedelta(days=(weekday - today.weekday() - 1) % 7 + 1)


def _relative(cursor: Cursor, today: date) -> Day | None:
    if cursor.accept("today"):
        return Day(at=today)
    if cursor.word() == "end" or (cursor.word() == "the" and cursor.word(1) == "end"):
        raise _no_end(cursor.phrase.text, today)
    if cursor.accept("tonight"):
        return Day(at=today, is_tonight=True)
    if cursor.word() == "this" and cursor.word(1) in {"morning", "afternoon", "evening"}:
        cursor.take()  # the part of the day is read by its own
        return Day(at=today)
    if cursor.accept("tomorrow"):
        return Day(at=today + _DAY)
    if cursor.accept("the", "day", "after", "tomorrow") or cursor.accept("day", "after", "tomorrow"):
        return Day(at=today + 2 * _DAY)
    return _counted_from(cursor, today)


def _no_end(text: str, today: date) -> Refused:
    last = today
    if "month" in text:
        last = today.replace(day=monthrange(today.year, today.month)[1])
    elif "year" in text:
        last = date(today.year, 12, 31)
    elif "week" in text:
        last = today + timedelta(days=(4 - today.weekday()) % 7)
    return Refused("'end' names no time", [f"{last} at 17:00", f"{last} at 18:00", f"{last} at 23:59"])


def _of_next_week(cursor: Cursor, today: date, weekday: int, *, length: int) -> Day:
    """Return `friday next week`: of the week from the coming Monday, or Sunday. Raises Refused if they differ.

    Its words are the `length` tokens that were read last.
    """
    of_monday = today + timedelta(days=7 - today.weekday() + weekday)
    of_sunday = today + timedelta(days=7 - (today.weekday() + 1) % 7 + (weekday + 1) % 7)
    if of_monday != of_sunday:
        tokens, text = cursor.phrase.tokens, cursor.phrase.text
        head, tail = text[: tokens[cursor.place - length].begin], text[tokens[cursor.place - 1].end :]
        raise Refused(
            "a week begins on Monday to some and on Sunday to others",
            [f"{head}{day}{tail}" for day in sorted((of_monday, of_sunday))],
        )
    return Day(at=of_monday)


def _counted_from(cursor: Cursor, today: date) -> Day | None:
    """Read `a week from friday`, `3 days after tomorrow`."""
    token = cursor.peek()
    if token is None:
        return None
    number = 1 if token.text in {"a", "an", "one"} else NUMBERS.get(token.text, token.value)
    unit = {"day": _DAY, "days": _DAY, "week": _WEEK, "weeks": _WEEK}.get(cursor.word(1))
    if unit is None or cursor.word(2) not in {"from", "after"} or cursor.word(3) == "now":
        return None
    if not 1 <= number <= limits.INTERVAL_MAX.days // unit.days:
        raise Refused(f"{token.text} {cursor.word(1)} is too far, or nothing")
    cursor.place += 3
    base = _relative(cursor, today) if cursor.word() in {"today", "tomorrow"} else _weekday(cursor, today)
    if base is None:
        raise Refused(f"from which day {token.text} {cursor.word(-2)} are counted is not said")
    if base.rolls_to is not None:
        name = WEEKDAY_NAMES[base.at.weekday()]
        raise Refused(
            f"today is {name}, so it is not certain from which {name} it counts",
            [f"{base.at + number * unit} at 09:00", f"{base.rolls_to + number * unit} at 09:00"],
        )
    also = base.also + number * unit if base.also else None
    return Day(at=base.at + number * unit, also=also)


def _weekday(cursor: Cursor, today: date) -> Day | None:
    said = cursor.accept_any("next", "this", "coming") or ("coming" if cursor.accept("the", "coming") else "")
    if said == "next" and cursor.word() == "week":
        ahead = 2 if cursor.word(1) in {"on", ","} else 1
        if (weekday := WEEKDAYS.get(cursor.word(ahead))) is not None:
            cursor.place += ahead + 1
            return _of_next_week(cursor, today, weekday, length=ahead + 2)
    weekday = WEEKDAYS.get(cursor.word())
    if weekday is None:
        if said and cursor.word() in {"week", "weekend", "month", "year"}:
            last = cursor.take()
            days = ("saturday", "sunday") if last.text == "weekend" else ("monday", "friday")
            raise Refused(f"'{said} {last.text}' names no day", [cursor.phrase.replaced(last, day) for day in days])
        return None
    token = cursor.take()
    if token.text in {f"{name}s" for name in WEEKDAY_NAMES}:
        raise Refused(
            f"{token.text!r} are many days, and one is needed", [cursor.phrase.replaced(token, token.text[:-1])]
        )
    if not said and cursor.accept("next", "week"):
        return _of_next_week(cursor, today, weekday, length=3)
    coming = weekday_from(today, weekday)
    is_this_week = coming.weekday() > today.weekday()
    if said == "next":
        return Day(at=coming, also=coming + _WEEK if is_this_week else None)
    if said == "this":
        return Day(at=today + timedelta(days=weekday - today.weekday()))
    if said or weekday != today.weekday():
        return Day(at=coming, is_weekday=not said)
    return Day(at=today, rolls_to=coming, is_doubtful=True, is_weekday=True)


def _written(cursor: Cursor, today: date) -> Day | None:
    """Read `2026-12-05`, `5 december [2026]`, `the 5th of december`, `dec 5[th], 2026`."""
    token = cursor.peek()
    if token is not None and token.kind == "date":
        cursor.take()
        return Day(at=_date(token, *(int(part) for part in token.text.split("-"))))
    cursor.accept("the")
    if (month := MONTHS.get(cursor.word())) is not None and not cursor.is_over():
        cursor.take()
        cursor.accept("the")
        day = _number(cursor)
    else:
        day = _number(cursor)
        cursor.accept("of")
        month = MONTHS.get(cursor.word())
        if day is not None and month is not None:
            cursor.take()
    if day is None or month is None:
        return None
    year = _year(cursor)
    if year is not None:
        return Day(at=_date(day, year, month, day.value))
    return _next_date(day, month, today, cursor.phrase)


def _of_month(cursor: Cursor, today: date) -> Day | None:
    """Read `the 15th [of the month | of this month | of next month]`."""
    cursor.accept("the")
    token = cursor.peek()
    if token is None or token.kind != "ordinal":
        return None
    cursor.take()
    months = [(today.year * 12 + today.month - 1 + ahead) for ahead in (0, 1)]
    if cursor.accept("of", "this", "month"):
        return Day(at=_in_month(token, months[0], cursor.phrase))
    if cursor.accept("of", "next", "month"):
        return Day(at=_in_month(token, months[1], cursor.phrase))
    this = _in_month(token, months[0], cursor.phrase) if token.value >= today.day else None
    if this is not None and this > today:
        return Day(at=this)
    if this is None:
        return Day(at=_in_month(token, months[1], cursor.phrase))
    return Day(at=this, rolls_to=_in_month(token, months[1], cursor.phrase))


def _digits(cursor: Cursor, today: date) -> Day | None:
    """Read `13/12/2026` where only one order of day and month is possible, and refuse it where two are."""
    token = cursor.peek()
    if token is None or token.kind != "digits":
        return None
    cursor.take()
    parts = [part for part in token.text.replace(".", "/").replace("-", "/").split("/") if part]
    found = {made for order in ("ymd", "dmy", "mdy") if (made := _ordered(parts, order, today))}
    is_whole = any(len(part) == _YEAR_CHARS for part in parts)
    if len(found) == 1 and is_whole:
        return Day(at=found.pop())
    ways = (
        "no date" if not found else "a date in more than one way" if found - {min(found)} else "a date without a year"
    )
    raise Refused(
        f"{token.text!r} is {ways}",
        [
            cursor.phrase.replaced(token, f"{made.day} {MONTH_NAMES[made.month - 1]} {made.year}")
            for made in sorted(found)
        ],
    )


def _ordered(parts: list[str], order: str, today: date) -> date | None:
    is_whole = len(parts) == len(order)
    if not is_whole:
        order, parts = order.replace("y", "") + "y", [*parts, str(today.year)]
    by_name = dict(zip(order, parts, strict=True))
    if len(by_name["y"]) not in {2, _YEAR_CHARS} or (order == "ymd" and len(by_name["y"]) != _YEAR_CHARS):
        return None
    year = int(by_name["y"]) + (2000 if len(by_name["y"]) != _YEAR_CHARS else 0)
    try:
        made = date(year, int(by_name["m"]), int(by_name["d"]))
    except ValueError:
        return None
    return made if is_whole or made >= today else _later_year(made, today)


def _later_year(made: date, today: date) -> date | None:
    return made.replace(year=today.year + 1) if made.year == today.year and made.day < 29 else None  # noqa: PLR2004


def _number(cursor: Cursor) -> Token | None:
    token = cursor.peek()
    if token is None or token.kind not in {"number", "ordinal"} or cursor.word(1) in {"am", "pm"}:
        return None
    return cursor.take()


def _year(cursor: Cursor) -> int | None:
    ahead = 1 if cursor.word() == "," else 0
    token = cursor.peek(ahead)
    if token is None or token.kind != "number" or len(token.text) != _YEAR_CHARS:
        return None
    cursor.place += ahead + 1
    return token.value


def _date(token: Token, year: int, month: int, day: int) -> date:
    try:
        made = date(year, month, min(day, _NO_DAY))
    except ValueError as exc:
        last = monthrange(year, month)[1] if year in _YEARS and month in range(1, _MONTHS_A_YEAR + 1) else 0
        forms = [f"{date(year, month, last)} at 09:00"] if last else []
        raise Refused(f"{token.text!r} names a day that does not exist: {exc}", forms) from exc
    if year not in _YEARS:
        raise Refused(f"{token.text!r} is outside the years {_YEARS[0]} to {_YEARS[-1]}")
    return made


def _next_date(day: Token, month: int, today: date, phrase: Phrase) -> Day:
    """Return the next day of this name; one that this year and the next may not have is refused."""
    name = MONTH_NAMES[month - 1]
    if not 1 <= day.value <= monthrange(2000, month)[1]:
        last = monthrange(2000, month)[1]
        raise Refused(f"{name} has no day {day.value}: its days go from 1 to {last}", [phrase.replaced(day, str(last))])
    if (month, day.value) == (2, 29):
        leap = next(year for year in range(today.year + 1, today.year + 10) if monthrange(year, 2)[1] == day.value)
        raise Refused(f"not every year has a 29 february: name the year, such as {leap}", [f"{leap}-02-29 at 09:00"])
    this = date(today.year, month, day.value)
    later = this.replace(year=today.year + 1)
    if this == today:
        return Day(at=this, rolls_to=later)
    return Day(at=this if this > today else later)


def _in_month(token: Token, month: int, phrase: Phrase) -> date:
    year, zero_month = divmod(month, _MONTHS_A_YEAR)
    last = monthrange(year, zero_month + 1)[1]
    if 1 <= token.value <= last:
        return date(year, zero_month + 1, token.value)
    name = MONTH_NAMES[zero_month]
    following = MONTH_NAMES[(zero_month + 1) % _MONTHS_A_YEAR]
    raise Refused(
        f"{name} {year} has no {token.text}: its last day is {last}",
        [phrase.replaced(token, f"{number} {of}") for number, of in ((last, name), (token.value, following))],
    )
