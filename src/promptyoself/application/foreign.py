"""Instants in other languages, by dateparser; its reading counts only when every check of ours agrees.

dateparser is generous: it reads `morgen om 9 uur` as nine hours from now, gives a day without a time midnight, and
takes two orders of day and month. So a phrase is read again under changed circumstances, and what does not
come out as one certain instant is refused:

- the same in every order of day and month, and in the future;
- from another time of day it is the same instant (then a time of day was given) or moves along exactly (a span);
- from the next day it is the same date or moves along by a day, and then is the day after tomorrow at the latest; a
  weekday that is today's is refused;
- every number of the phrase is found in the instant, or in the span;
- the phrase has nothing that dateparser takes for a zone: zones are read by us.

Words it does not know make dateparser refuse a phrase, for it must find every one in its dictionary of one language.
English is left out: that is our own grammar's.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any, Final

from dateparser.date import DateDataParser
from dateparser.timezone_parser import pop_tz_offset_from_string

from promptyoself.domain import limits
from promptyoself.domain.localtime import MICROSECOND, SECOND, resolve, to_wall, zone
from promptyoself.domain.plain.moments import Moment

LANGUAGES: Final = ("de", "fr", "es", "it", "pt", "nl", "pl", "ru", "lv", "fi", "cs")
"""Languages whose phrases are tested."""
_ORDERS: Final = ("DMY", "MDY", "YMD")
_DAY: Final = timedelta(days=1)
_OTHER_TIME: Final = timedelta(hours=3, minutes=17, seconds=11)
_HOUR_WORD: Final = re.compile(r"(?<![\w:.,/-])([0-9]{1,2}) ?(?:uhr|uur|h|heures?|horas?)(?: ?([0-9]{2}))?(?![\w:])")
"""An hour by its word, `9 Uhr`, `9h30`: on a clock of 24 hours, as these languages write it."""
_CLOCK: Final = re.compile(r"(?<![\w:.,/-])([01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?(?![\w:])")
_NUMBER: Final = re.compile(r"[0-9]+")
_AMBIGUOUS: Final = re.compile(r"[0-9][./-][0-9]")
_NAMED_DAYS_MAX: Final = timedelta(days=2)
"""How far a day may be that moves along with today: languages have words up to the day after tomorrow."""
_SPAN_MAX: Final = _DAY
"""A longer span is whole days, which may be meant on the calendar."""


def read_foreign(text: str, *, timezone: str, now: datetime) -> Moment | None:
    """Return the instant that `text` (lower case, without a zone) certainly names later than `now`, else None."""
    if not text.isprintable():
        return None
    if _AMBIGUOUS.search(text) or pop_tz_offset_from_string(text)[1] is not None:
        return None
    base = to_wall(now, zone(timezone)).replace(microsecond=0)
    spelled = _HOUR_WORD.sub(lambda found: f"{found[1]}:{found[2] or '00'}", text)
    if not _CLOCK.search(text) and (span := _span(text, base)) is not None:
        # `dans 9h` is a span, though `9h` may be a time of day: as such it must mean nothing.
        at = (now + span - MICROSECOND).replace(microsecond=0) + SECOND
        return Moment(at=at, is_span=True)
    wall = _wall(spelled, base)
    if wall is None:
        return None
    first, last = resolve(wall, zone(timezone)), resolve(wall, zone(timezone), last_pass=True)
    if first != last or to_wall(first, zone(timezone)) != wall or not now < first <= limits.INSTANT_MAX:
        return None
    return Moment(at=first)


def _span(text: str, base: datetime) -> timedelta | None:
    """Return the span that `text` is, when it moves along with now and its numbers are its units."""
    reading = _Reading(text, base)
    found, moved = reading.at(base), reading.at(_other(base))
    if found is None or moved is None or found - base != moved - _other(base):
        return None
    span = found - base
    return span if timedelta(0) < span < _SPAN_MAX and _counts(text, span) else None


def _counts(text: str, span: timedelta) -> bool:
    numbers = [int(number) for number in _NUMBER.findall(text)]
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    units = [{1: n, 60: n * 60, 3600: n * 3600} for n in numbers]
    match units:
        case [one]:
            return minutes * 60 + seconds in one.values()
        case [hours, rest]:
            return minutes * 60 + seconds == hours[3600] + rest[60]
        case _:
            return False


def _wall(text: str, base: datetime) -> datetime | None:
    """Return the wall time that `text` names, when a time of day was given and its day is certain."""
    if len(_CLOCK.findall(text)) != 1:
        return None
    reading = _Reading(text, base)
    found = reading.at(base)
    if found is None or found != reading.at(_other(base)) or not _is_all_there(text, found):
        return None
    next_day = reading.at(base + _DAY)
    is_relative = next_day == found + _DAY
    has_number = len(_NUMBER.findall(_CLOCK.sub(" ", text))) > 0
    is_weekday = not is_relative and not has_number
    if next_day is None or not (is_relative or next_day == found):
        return None
    if is_relative and not _names_day(reading, found, base):
        return None
    # A weekday that is today's may mean today or in a week.
    return None if is_weekday and found.weekday() == base.weekday() else found


def _names_day(reading: _Reading, found: datetime, base: datetime) -> bool:
    """Whether a day was said, and one there is a word for.

    `la semaine prochaine 9:00` names none, whatever is made of it. Nor does `dans 9:00`, which may be a span: it is
    today's when today begins, and tomorrow's when today ends. Midnight would be either.
    """
    begin, end = (reading.at(base.replace(hour=h, minute=m, second=s)) for h, m, s in ((0, 0, 1), (23, 59, 58)))
    if begin is None or end is None or (found.hour, found.minute) == (0, 0):
        return False
    is_next_clock = (begin.date(), end.date()) == (base.date(), base.date() + _DAY)
    return not is_next_clock and found.date() - base.date() <= _NAMED_DAYS_MAX


def _is_all_there(text: str, found: datetime) -> bool:
    """Whether each number of the text is a part of the instant, and each once."""
    said = Counter(int(number) for number in _NUMBER.findall(text))
    parts = [found.year, found.month, found.day, found.hour, found.minute, found.second]
    clock = [int(number) for number in re.findall("[0-9]+", (_CLOCK.search(text) or [""])[0])]
    if clock != [found.hour, found.minute, found.second][: len(clock)]:
        return False
    rest = list((said - Counter(clock)).elements())
    return len(rest) <= len(parts[:3]) and any(
        Counter(chosen) == Counter(rest) for chosen in combinations(parts[:3], len(rest))
    )


def _other(base: datetime) -> datetime:
    """Return another time of the same day."""
    later = base + _OTHER_TIME
    return later if later.date() == base.date() else base - _OTHER_TIME


class _Reading:
    """One text, in the languages that know its words; dateparser is asked no more than it must be."""

    def __init__(self, text: str, base: datetime) -> None:
        self.text = text
        self.languages = [one for one in LANGUAGES if _parsed(text, base, one, _ORDERS[0]) is not None]
        # A single number beside the clock has no order.
        self.orders = _ORDERS if len(_NUMBER.findall(_CLOCK.sub(" ", text))) > 1 else _ORDERS[:1]

    def at(self, base: datetime) -> datetime | None:
        """Return dateparser's reading, a wall, when it is the same in every language and order of day and month."""
        found = {_parsed(self.text, base, language, order) for language in self.languages for order in self.orders}
        return found.pop() if len(found) == 1 else None


def _parsed(text: str, base: datetime, language: str, order: str) -> datetime | None:
    settings: dict[str, Any] = {
        "DATE_ORDER": order,
        "PREFER_LOCALE_DATE_ORDER": False,
        "PREFER_DATES_FROM": "future",
        "RELATIVE_BASE": base,
        "TIMEZONE": "UTC",
        "TO_TIMEZONE": "UTC",
        "RETURN_AS_TIMEZONE_AWARE": False,
    }
    try:
        found = DateDataParser(languages=[language], settings=settings).get_date_data(text).date_obj
    except (ValueError, OverflowError, TypeError):  # what its parsers raise for numbers they cannot hold
        return None
    return None if found is None else found.replace(tzinfo=None)
