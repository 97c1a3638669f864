"""Times of day: what is certain about `9am`, `18:30`, `at 8` and `noon`, and what is not."""

from __future__ import annotations

from datetime import time
from typing import Final, NamedTuple

from promptyoself.domain.plain.suggestions import Refused
from promptyoself.domain.plain.tokens import Cursor, Phrase, Token
from promptyoself.domain.plain.vocabulary import NUMBERS, PARTS
from promptyoself.domain.values import dataclass

HOURS: Final = 24
NOON: Final = 12
_MINUTES: Final = 60
_SPANS: Final = {"morning": range(12), "afternoon": range(12, 18), "evening": range(16, 24), "night": range(18, 24)}
"""Hours of a part of the day."""


class Spoken(NamedTuple):
    """A time of day as it was said; with a part of the day it may mean another hour."""

    token: Token
    hour: int
    minute: int | None
    second: int = 0
    half: str = ""
    is_midnight: bool = False
    shift: int = 0
    """Minutes beyond the hour, by a clock of twelve hours: 30 for `half past nine`, -15 for `quarter to nine`."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day that is certain. `is_midnight`: said as midnight, so that its day may not be."""

    at: time
    is_midnight: bool = False


def read_spoken(cursor: Cursor) -> Spoken | None:
    """Return the time of day that comes next, or None."""
    token = cursor.peek()
    if token is None:
        return None
    if (shifted := _shifted(cursor)) is not None:
        return shifted
    if token.text in {"noon", "midday"}:
        return Spoken(cursor.take(), NOON, 0, half="24")
    if token.text == "midnight":
        return Spoken(cursor.take(), 0, 0, half="24", is_midnight=True)
    if token.kind == "clock":
        cursor.take()
        cursor.accept("oclock")
        return Spoken(token, token.hour, token.minute, token.second, token.half)
    hour = token.value if token.kind == "number" else NUMBERS.get(token.text, HOURS)
    if token.kind == "number" or hour <= NOON:
        cursor.take()
        cursor.accept("oclock")
        half = cursor.accept_any("am", "pm")
        return Spoken(token, hour, 0 if half else None, half=half)
    return None


def _shifted(cursor: Cursor) -> Spoken | None:
    """Read `half past nine`, `quarter to 9pm`, `10 past nine`. Raises Refused for `half nine`."""
    start = cursor.place
    cursor.accept("a")
    token = cursor.phrase.tokens[start]
    minutes = {"half": 30, "quarter": 15}.get(cursor.word(), NUMBERS.get(cursor.word(), 0))
    if not cursor.is_over():
        minutes = minutes or cursor.phrase.tokens[cursor.place].value
        word = cursor.take().text
        is_half = word == "half"
        # `2 to 3pm` are hours from one to the other.
        sign = {"past": 1, "to": -1 if word == "quarter" else 0}.get(cursor.accept_any("past", "to"), 0)
        place = cursor.place
        spoken = _of_twelve(cursor)
        if spoken is not None and is_half and not sign and place == start + 1:
            _refuse_half(cursor.phrase, token, spoken)
        if spoken is not None and sign and 0 < minutes < _MINUTES:
            end = cursor.phrase.tokens[cursor.place - 1].end
            said = token._replace(text=cursor.phrase.text[token.begin : end], end=end)
            return spoken._replace(token=said, shift=sign * minutes)
    cursor.place = start
    return None


def _of_twelve(cursor: Cursor) -> Spoken | None:
    """Read an hour from 1 to 12 without minutes."""
    token = cursor.peek()
    if token is None:
        return None
    if token.kind == "clock" and token.half and not token.minute and ":" not in token.text:
        cursor.take()
        return Spoken(token, token.hour, None, half=token.half)
    hour = token.value if token.kind == "number" else NUMBERS.get(token.text, 0)
    if not 1 <= hour <= NOON:
        return None
    cursor.take()
    cursor.accept("oclock")
    return Spoken(token, hour, None, half=cursor.accept_any("am", "pm"))


def _refuse_half(phrase: Phrase, token: Token, spoken: Spoken) -> None:
    said = token._replace(end=spoken.token.end, text=phrase.text[token.begin : spoken.token.end])
    hours = (spoken.hour, (spoken.hour - 2) % NOON + 1)
    raise Refused(
        f"{said.text!r} is half past the hour to some and half an hour before it to others",
        [
            phrase.replaced(said, f"{hour}:30{half}")
            for half in (("am", "pm") if not spoken.half else ("",))
            for hour in hours
        ],
    )


def read_part(cursor: Cursor) -> str:
    """Return the part of the day that comes next (`in the morning`, `at night`, `evening`), or nothing."""
    ahead = 0
    if cursor.word() == "at" and cursor.word(1) == "night":
        ahead = 1
    elif cursor.word() == "in" and cursor.word(1) == "the":
        ahead = 2
    if cursor.word(ahead) == "tonight" or cursor.word(ahead) not in PARTS:
        return ""
    cursor.place += ahead
    return PARTS[cursor.take().text]


def settle(spoken: Spoken, part: str, phrase: Phrase) -> Clock:
    """Return the time of day that is certainly meant. Raises Refused with what could be."""
    if spoken.shift:
        return _settle_shifted(spoken, part, phrase)
    hour, minute = spoken.hour, spoken.minute or 0
    if minute >= _MINUTES or spoken.second >= _MINUTES:
        bad = max(minute, spoken.second)
        raise Refused(
            f"{spoken.token.text!r} is no time of day: minutes and seconds go from 0 to 59, not to {bad}",
            [phrase.replaced(spoken.token, f"{min(hour, 23)}:59{spoken.half if hour <= NOON else ''}")],
        )
    if spoken.half in {"am", "pm"}:
        hour = _of_half(spoken, phrase)
    elif spoken.half == "24":
        pass
    elif hour >= HOURS:
        raise Refused(
            f"{spoken.token.text!r} is no time of day: hours go from 0 to 23",
            [phrase.replaced(spoken.token, form) for form in _near(hour, minute)],
        )
    elif part and not spoken.token.text.startswith("0"):
        hour = _of_part(spoken, part, phrase)
    elif spoken.minute is None:
        raise Refused(
            f"{spoken.token.text!r} could be morning or evening, and no time of day is guessed",
            [phrase.replaced(spoken.token, form) for form in _forms(hour)],
        )
    if part and hour not in _SPANS[part] and not (spoken.is_midnight and part == "night"):
        raise Refused(
            f"{spoken.token.text!r} is not in the {part}",
            [phrase.text.replace(word, "day" if word == part else "") for word in _said(part, phrase)]
            + [phrase.replaced(spoken.token, form) for form in _forms(hour)],
        )
    # Half past midnight by a twelve-hour clock is in that night, too; only the name says nothing of the day.
    is_midnight = spoken.is_midnight or (spoken.half == "am" and (hour, minute, spoken.second) == (0, 0, 0))
    return Clock(time(hour, minute, spoken.second), is_midnight)


def _settle_shifted(spoken: Spoken, part: str, phrase: Phrase) -> Clock:
    if not (spoken.half or part):
        forms = [shown_of_twelve(spoken.hour, spoken.shift, half) for half in ("am", "pm")]
        raise Refused(
            f"{spoken.token.text!r} could be morning or evening, and no time of day is guessed",
            [phrase.replaced(spoken.token, form) for form in forms],
        )
    base = settle(spoken._replace(shift=0), part, phrase).at
    minutes = base.hour * _MINUTES + spoken.shift
    if minutes < 0:
        raise Refused(f"{spoken.token.text!r} is on the day before", [phrase.replaced(spoken.token, "23:45")])
    return Clock(time(minutes // _MINUTES, minutes % _MINUTES))


def shown_of_twelve(hour: int, shift: int, half: str) -> str:
    """Return a time of day some minutes beyond an hour of a twelve-hour clock: `9:30am`, `8:45pm`."""
    minutes = (hour * _MINUTES + shift) % (NOON * _MINUTES)
    return f"{minutes // _MINUTES or NOON}:{minutes % _MINUTES:02}{half}"


def shown(at: time) -> str:
    """Return a time of day as the grammar reads it: `09:00`, `09:00:30`."""
    return f"{at:%H:%M:%S}" if at.second else f"{at:%H:%M}"


def _near(hour: int, minute: int) -> list[str]:
    """Return times near one whose hour is no hour: `9:30` for 930, 23:00 and 17:00 for 27:00."""
    if hour == HOURS:
        return [f"0:{minute:02}", "23:59"]
    if hour >= 100 and hour // 100 < HOURS and hour % 100 < _MINUTES:  # noqa: PLR2004  hour and minute in one number
        return [f"{hour // 100:02}:{hour % 100:02}"]
    return [f"{near}:{minute:02}" for near in (23, 10 + hour % 10, hour // 10) if near < HOURS]


def _of_half(spoken: Spoken, phrase: Phrase) -> int:
    if not 1 <= spoken.hour <= NOON:
        near = [f"{spoken.hour}:{spoken.minute or 0:02}"]
        if spoken.hour >= 100:  # noqa: PLR2004  hour and minute in one number
            near = [f"{spoken.hour // 100}:{spoken.hour % 100:02}{spoken.half}"]
        near.append(f"{spoken.hour % NOON}{spoken.half}" if spoken.hour % NOON else "12:00")
        raise Refused(
            f"{spoken.token.text!r} is no time of day: with {spoken.half} hours go from 1 to 12",
            [phrase.replaced(spoken.token, form) for form in near],
        )
    return spoken.hour % NOON + (NOON if spoken.half == "pm" else 0)


def _of_part(spoken: Spoken, part: str, phrase: Phrase) -> int:
    """Return the hour that a twelve-hour clock, or one of 24, shows in this part of the day."""
    hours = {hour for hour in (spoken.hour, spoken.hour + NOON) if hour in _SPANS[part]}
    if spoken.hour == NOON and part != "afternoon":
        hours = set()
    if len(hours) == 1:
        return hours.pop()
    after_midnight = [f"tomorrow at {spoken.hour}am"] if "tonight" in phrase.text else []
    raise Refused(
        f"{spoken.token.text!r} is not certainly in the {part}",
        after_midnight
        + [phrase.text.replace(word, "day" if word == part else "") for word in _said(part, phrase)]
        + [phrase.replaced(spoken.token, form) for form in _forms(spoken.hour)],
    )


def _forms(hour: int) -> list[str]:
    if 1 <= hour < NOON:
        return [f"{hour}am", f"{hour}pm", f"{hour:02}:00"]
    return ["12:00", "0:00"] if hour == NOON else [f"{hour % HOURS}:00"]


def _said(part: str, phrase: Phrase) -> list[str]:
    forms = (f"in the {part}", *(["at night"] if part == "night" else []), part)
    return [form for form in forms if form in phrase.text][:1]
