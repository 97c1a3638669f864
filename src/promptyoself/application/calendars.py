"""A calendar file of holidays, read into spans: once, when it is given; afterwards nobody asks the file.

Every event counts, whether it marks its time as busy or free: published holiday calendars do either. Cancelled ones do
not. Recurring events are worked out by our own rules, from the beginning of last year to the end of the ninth year
from now.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

from promptyoself.application.calendar_lines import (
    Event,
    Moment,
    day_of,
    events_in,
    moments_of,
    span_of,
    text_of,
)
from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.holidays import Holidays, Span
from promptyoself.domain.localtime import resolve, zone
from promptyoself.domain.triggers import Trigger, TriggerKind, fire_times
from promptyoself.domain.values import dataclass

_TICK: Final = timedelta(microseconds=1)
_TITLE_CHARS_MAX: Final = 80
_NAMELESS: Final = "an event without a name"


@dataclass(frozen=True, slots=True)
class _Read:
    """One event: when it begins first, how long it lasts, and what repeats it."""

    title: str
    uid: str | None
    begin: Moment
    length: timedelta
    rule: str | None
    more: tuple[Moment, ...]
    fewer: tuple[Moment, ...]
    replaces: Moment | None
    is_cancelled: bool


def read_calendar(text: str, *, name: str, now: datetime) -> Holidays:
    """Return the holidays of an iCalendar text. `name` is what people call it; `now`, aware, bounds what recurs.

    Raises InvalidInput, which names the event that it cannot read.
    """
    try:
        events = [_read(event) for event in events_in(text)]
        walls, instants, is_endless = _spans(events, now)
    except InvalidInput as error:
        raise InvalidInput(f"the calendar {name[:60]!r} cannot be used: {error.message}", hint=error.hint) from error
    days = [day_of(one.end) for one in (*walls, *instants)]
    last_day = _horizon(now).date() - timedelta(days=1) if is_endless else max(days, default=None)
    printable = "".join(one for one in name if one.isprintable())[:_TITLE_CHARS_MAX]
    return Holidays.make(printable or "calendar", walls=walls, instants=instants, last_day=last_day)


def calendar_warnings(holidays: Holidays, *, now: datetime) -> list[str]:
    """Return a sentence when the calendar says nothing about the days to come, or soon will not."""
    if holidays.last_day is None:
        return [f"{holidays.name} has no events: it skips nothing"]
    last_day, today = holidays.last_day, now.date()
    if last_day < today:
        return [f"{holidays.name} ended on {last_day}: nothing to come is skipped; give a newer one with --skip-on"]
    if last_day - today <= limits.CALENDAR_ENDS_SOON:
        return [f"{holidays.name} ends on {last_day}: nothing after it is skipped; give a newer one with --skip-on"]
    return []


def _read(event: Event) -> _Read:
    title = (text_of(event, "SUMMARY") or _NAMELESS)[:_TITLE_CHARS_MAX]
    try:
        if "EXRULE" in event:
            raise InvalidInput("EXRULE is not understood; EXDATE is")  # noqa: TRY301  named below
        (begin,) = _moments(event, "DTSTART") or (None,)
        if begin is None:
            raise InvalidInput("it has no DTSTART")  # noqa: TRY301  named below
        replaces = event.get("RECURRENCE-ID")
        if replaces and "RANGE" in replaces[0].parameters:
            raise InvalidInput("RANGE=THISANDFUTURE is not understood: end the series, and begin another")  # noqa: TRY301
        return _Read(
            title=title,
            uid=text_of(event, "UID"),
            begin=begin,
            length=_length(event, begin),
            rule=event["RRULE"][0].value if "RRULE" in event else None,
            more=_moments(event, "RDATE"),
            fewer=_moments(event, "EXDATE"),
            replaces=moments_of(replaces[0])[0] if replaces else None,
            is_cancelled=(text_of(event, "STATUS") or "").upper() == "CANCELLED",
        )
    except (InvalidInput, ValueError) as error:
        why = error.message if isinstance(error, InvalidInput) else "it has more than one DTSTART"
        raise InvalidInput(f"event {title!r}: {why}", hint=getattr(error, "hint", None)) from error


def _moments(event: Event, name: str) -> tuple[Moment, ...]:
    return tuple(moment for line in event.get(name, ()) for moment in moments_of(line))


def _length(event: Event, begin: Moment) -> timedelta:
    if "DURATION" in event:
        return span_of(event["DURATION"][0].value)
    if "DTEND" not in event:
        return timedelta(days=1) if begin.is_day else _TICK
    end = moments_of(event["DTEND"][0])[0]
    length = _instant(end) - _instant(begin)
    if begin.is_day and end == begin:  # against RFC 5545, and what many write for one day
        return timedelta(days=1)
    if end.is_day != begin.is_day or not timedelta(0) < length <= limits.INTERVAL_MAX:
        raise InvalidInput("its DTEND is not later than its DTSTART, or of another kind, or years away")
    return length


def _spans(events: Sequence[_Read], now: datetime) -> tuple[list[Span], list[Span], bool]:
    """Return the spans in walls and in instants, and whether any event goes on beyond what is worked out."""
    if sum(one.rule is not None for one in events) > limits.CALENDAR_RULES_MAX:
        raise InvalidInput(f"it has more than {limits.CALENDAR_RULES_MAX} recurring events")
    replaced: dict[str | None, set[datetime]] = {}
    for one in events:
        if one.replaces is not None:
            replaced.setdefault(one.uid, set()).add(_instant(one.replaces))
    walls: list[Span] = []
    instants: list[Span] = []
    is_endless = False
    for one in events:
        if one.is_cancelled:
            continue
        begins = _begins(one, now)
        if one.replaces is None:
            begins -= replaced.get(one.uid, set())
        is_endless = is_endless or (one.rule is not None and max(begins, default=now) > _horizon(now) - _YEAR)
        into = walls if one.begin.zone is None else instants
        into += [_span(one, at) for at in begins]
        if len(walls) + len(instants) > limits.CALENDAR_SPANS_MAX:
            raise InvalidInput(f"its events make more than {limits.CALENDAR_SPANS_MAX} days and times")
    return walls, instants, is_endless


_YEAR: Final = timedelta(days=366)


def _span(event: _Read, at: datetime) -> Span:
    begin = at if event.begin.zone is not None else at.replace(tzinfo=None)
    return Span(begin, begin + event.length, event.title)


def _begins(event: _Read, now: datetime) -> set[datetime]:
    """Return when an event begins, within what is worked out; a wall without a zone as if it were UTC."""
    since, until = datetime(now.year - 1, 1, 1, tzinfo=UTC), _horizon(now)
    first = _instant(event.begin)
    begins = {first, *map(_instant, event.more)}
    if event.rule is not None:
        begins |= set(_recurring(event, first, since=max(since - event.length, limits.INSTANT_MIN), until=until))
    begins -= set(map(_instant, event.fewer))
    return {at for at in begins if at + event.length > since and at < until}


def _recurring(event: _Read, first: datetime, *, since: datetime, until: datetime) -> Iterable[datetime]:
    trigger = Trigger(
        kind=TriggerKind.RRULE, expression=f"RRULE:{event.rule}", timezone=event.begin.zone or "UTC", anchor_at=first
    )
    most = limits.CALENDAR_SPANS_OF_EVENT_MAX
    try:
        found = list(islice(fire_times(trigger, after=max(first, since) - _TICK, until=until - _TICK), most + 1))
    except InvalidInput as error:
        raise InvalidInput(f"event {event.title!r}: {error.message}") from error
    if len(found) > most:
        raise InvalidInput(f"event {event.title!r} recurs more often than daily, as no holiday does")
    return found


def _instant(moment: Moment) -> datetime:
    return resolve(moment.wall, zone(moment.zone or "UTC"))


def _horizon(now: datetime) -> datetime:
    """Return the end of what is worked out of what recurs: the same all year, so that a calendar keeps its key."""
    return datetime(now.year + limits.CALENDAR_YEARS, 1, 1, tzinfo=UTC)
