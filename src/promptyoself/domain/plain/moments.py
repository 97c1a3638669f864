"""One instant in plain words: a day, a time of day and a zone in any order, or a span from now."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.intervals import format_duration
from promptyoself.domain.localtime import MICROSECOND, SECOND, offset_at, resolve, to_wall, zone
from promptyoself.domain.plain import clocks
from promptyoself.domain.plain.clocks import Clock, Spoken
from promptyoself.domain.plain.days import Day, read_day
from promptyoself.domain.plain.spans import Span, read_duration, read_span
from promptyoself.domain.plain.suggestions import Refused, near_token, unknown_words, with_time
from promptyoself.domain.plain.tokens import Cursor, Phrase, Token
from promptyoself.domain.plain.vocabulary import WEEKDAY_NAMES
from promptyoself.domain.values import dataclass

_DAY: Final = timedelta(days=1)
SHAPES: Final = (
    "in 45 minutes", "in 1h30m", "tomorrow at 9am", "today at 23:59", "tonight at 8", "monday at 9:00",
    "next friday at 15:00", "5 december at 3pm", "the 15th at 10:00", "in 3 days at 9am", "a week from friday at 9am",
    "noon",
)  # fmt: skip
"""A phrase of each shape, for the one whose own phrase comes near none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The instant (aware UTC) that a phrase names. `is_span`: counted from now, and so no wall time of its zone."""

    at: datetime
    is_span: bool = False
    notes: tuple[str, ...] = ()


class _Said:
    """What a phrase has said so far, each thing at most once."""

    def __init__(self, phrase: Phrase) -> None:
        self.phrase = phrase
        self.day: Day | None = None
        self.span: Span | None = None
        self.spoken: Spoken | None = None
        self.part = ""

    def put_day(self, day: Day) -> None:
        if self.day is not None:
            day = _same_day(self.day, day)
        self.day = day
        if day.is_tonight:
            self.put_part("night")

    def put_spoken(self, spoken: Spoken) -> None:
        if self.spoken is not None:
            both = (self.spoken.token, spoken.token)
            raise Refused("two times of day are given, and one is needed", [_dropped(self.phrase, one) for one in both])
        self.spoken = spoken

    def put_part(self, part: str) -> None:
        if self.part and self.part != part:
            raise Refused(f"{self.part} and {part} contradict each other")
        self.part = part


def read_moment(phrase: Phrase, *, timezone: str, now: datetime) -> Moment:
    """Return the instant later than `now` (aware) that a phrase without a zone certainly names in `timezone`.

    Raises Refused.
    """
    here = zone(timezone)
    today = to_wall(now, here).date()
    said = _read(phrase, today)
    if said.span is not None and said.day is None and said.spoken is None:
        if said.part:
            raise Refused(f"a span from now and the {said.part} contradict each other, or say the same twice")
        return _from_now(said.span, timezone=timezone, now=now)
    if said.span is not None:
        said.put_day(Day(at=_days_later(today, said.span, phrase)))
    if said.spoken is None:
        late = [f"{phrase.text} at 18:00"] if said.part in {"", "evening", "night"} else []
        raise Refused(f"{phrase.text!r} names no time of day", [with_time(phrase.text), *late])
    clock = clocks.settle(said.spoken, said.part, phrase)
    return _on_day(said, clock, timezone=timezone, now=now, today=today)


def _read(phrase: Phrase, today: date) -> _Said:
    cursor, said = Cursor(phrase), _Said(phrase)
    if cursor.is_over():
        raise Refused("no time is given")
    while not cursor.is_over():
        _read_next(cursor, said, today)
    return said


def _read_next(cursor: Cursor, said: _Said, today: date) -> None:
    if cursor.word() in {",", "then"} and cursor.peek(1):
        cursor.take()
        return
    span = read_span(cursor)
    if span is not None:
        if said.span is not None or said.day is not None:
            raise Refused("a span from now and a day are both given")
        said.span = span
        return
    if part := clocks.read_part(cursor):
        said.put_part(part)
        return
    if cursor.word() == "on" and cursor.word(1) not in {"", "at", "on"}:
        cursor.take()
    if (day := read_day(cursor, today)) is not None:
        said.put_day(day)
        return
    if read_duration(cursor) is not None:
        raise _no_direction(cursor)
    cursor.accept("at")
    if (spoken := clocks.read_spoken(cursor)) is not None:
        said.put_spoken(spoken)
        return
    raise _not_understood(cursor)


def _same_day(first: Day, second: Day) -> Day:
    """Return the date of `friday 27 november`, when it is a Friday."""
    weekday, dated = (first, second) if first.is_weekday else (second, first)
    if not weekday.is_weekday or dated.is_weekday:
        raise Refused("two days are named, and one is needed")
    if weekday.at.weekday() != dated.at.weekday():
        raise Refused(
            f"{dated.at} is a {WEEKDAY_NAMES[dated.at.weekday()]}, not a {WEEKDAY_NAMES[weekday.at.weekday()]}"
        )
    return dated


def _no_direction(cursor: Cursor) -> Refused:
    text = cursor.phrase.text
    if cursor.word() == "ago":
        return Refused("that is past, and a time in the future is needed", [f"in {text.replace('ago', '')}"])
    return Refused("a span from now begins with 'in'", [f"in {text}"])


def _not_understood(cursor: Cursor) -> Refused:
    token, phrase = cursor.peek(), cursor.phrase
    unknown = unknown_words(phrase)
    if token is None or unknown:
        what = f"{unknown[0]!r} is not understood" if unknown else f"{phrase.text!r} ends too soon"
        return Refused(what, is_foreign=bool(unknown))
    if token.text == "now":
        return Refused("that is now, and a time in the future is needed: run-now sends at once", ["in 1 minute"])
    if token.text in {"or", "between", "around"}:
        return Refused(f"{token.text!r} leaves a choice, and one instant is needed", _sides(phrase, token))
    if token.text in {"every", "each"} or token.text in {f"{name}s" for name in WEEKDAY_NAMES}:
        return Refused("that recurs, and one instant is needed")
    return Refused(f"{token.text!r} is not understood at this place", near_token(phrase, token))


def _sides(phrase: Phrase, token: Token) -> list[str]:
    return [phrase.text[: token.begin], phrase.text[token.end :]]


def _dropped(phrase: Phrase, token: Token) -> str:
    return phrase.replaced(token, "")


# -- spans --------------------------------------------------------------------------------------------------


def _from_now(span: Span, *, timezone: str, now: datetime) -> Moment:
    """Return the instant a span from now, never earlier than asked: parts of a second are rounded up."""
    here = zone(timezone)
    at = (now + span.length - MICROSECOND).astimezone(UTC).replace(microsecond=0) + SECOND
    if span.has_days and offset_at(here, at) != offset_at(here, now):
        on_wall = to_wall(now, here).replace(microsecond=0) + span.length
        raise Refused(
            f"clocks in {timezone} change before then, so {format_duration(span.length)} from now "
            "and the same time of day are not the same",
            [f"in {span.length // SECOND} seconds", f"{on_wall:%Y-%m-%d at %H:%M:%S}"],
        )
    return Moment(at=at, is_span=True)


def _days_later(today: date, span: Span, phrase: Phrase) -> date:
    if not span.has_days or span.length % _DAY:
        raise Refused(f"{phrase.text!r} gives a span of hours and a time of day, and only one can hold")
    return today + span.length


# -- days ---------------------------------------------------------------------------------------------------


def _on_day(said: _Said, clock: Clock, *, timezone: str, now: datetime, today: date) -> Moment:
    here, phrase, day = zone(timezone), said.phrase, said.day
    wall_now = to_wall(now, here)
    if clock.is_midnight and day is not None and not day.is_tonight:
        raise Refused(
            f"midnight of {day.at} may be its begin or its end",
            [f"{day.at} at 0:00", f"{day.at + _DAY} at 0:00"],
        )
    if day is None or (day.is_tonight and clock.is_midnight):
        at = datetime.combine(today, clock.at)
        chosen = at if at > wall_now else at + _DAY
        has_passed = at <= wall_now and not clock.is_midnight
        notes = [f"{clocks.shown(clock.at)} has passed today, so it is tomorrow's"] if has_passed else []
        return _certain(chosen, notes, timezone=timezone, now=now)
    wall = datetime.combine(day.at, clock.at)
    if day.is_doubtful and wall > wall_now:
        name = WEEKDAY_NAMES[day.at.weekday()]
        raise Refused(
            f"today is {name}: it is not certain whether today or the next {name} is meant",
            [f"today at {clocks.shown(clock.at)}", f"next {name} at {clocks.shown(clock.at)}"],
        )
    if wall <= wall_now and day.rolls_to is not None:
        wall = datetime.combine(day.rolls_to, clock.at)
    if wall <= wall_now:
        raise Refused(
            f"that is {wall:%Y-%m-%d %H:%M}, which is not in the future: it is {wall_now:%Y-%m-%d %H:%M} now",
            [f"tomorrow at {clocks.shown(clock.at)}"] if day.at == today else _later(day.at, today, clock),
        )
    notes = [_also(wall, day.also, clock, phrase, timezone)] if day.also else []
    return _certain(wall, notes, timezone=timezone, now=now)


def _also(wall: datetime, also: date, clock: Clock, phrase: Phrase, timezone: str) -> str:
    here = f" {timezone}" if timezone.lower() in phrase.text else ""
    return (
        f"it was read as the coming {wall:%A}, {wall:%Y-%m-%d}; "
        f'for the one after write "{also} at {clocks.shown(clock.at)}{here}"'
    )


def _later(day: date, today: date, clock: Clock) -> list[str]:
    if today - day < 7 * _DAY:
        return [f"next {WEEKDAY_NAMES[day.weekday()]} at {clocks.shown(clock.at)}"]
    return [f"tomorrow at {clocks.shown(clock.at)}"]


def _certain(wall: datetime, notes: list[str], *, timezone: str, now: datetime) -> Moment:
    """Return the instant of a wall time that exists once. Raises Refused for one that is skipped or comes twice."""
    here = zone(timezone)
    first, last = resolve(wall, here), resolve(wall, here, last_pass=True)
    if to_wall(first, here) != wall:
        before = first - timedelta(hours=1)
        raise Refused(
            f"{wall:%Y-%m-%d %H:%M} does not exist in {timezone}, whose clocks skip it",
            [_iso(first, timezone), _iso(before, timezone)],
        )
    if first != last:
        raise Refused(
            f"{wall:%Y-%m-%d %H:%M} comes twice in {timezone}, whose clocks are set back",
            [_iso(first, timezone, is_exact=True), _iso(last, timezone, is_exact=True)],
        )
    if not now < first <= limits.INSTANT_MAX:
        raise Refused(f"{wall:%Y-%m-%d %H:%M} is not in the future")
    return Moment(at=first, notes=tuple(notes))


def _iso(at: datetime, timezone: str, *, is_exact: bool = False) -> str:
    local = at.astimezone(zone(timezone))
    return local.isoformat() if is_exact else f"{local:%Y-%m-%dT%H:%M}"
