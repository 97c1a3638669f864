"""iCalendar text (RFC 5545) taken apart: unfolded lines, their parameters, and the events that they make up.

Our own, since all that is wanted are a few properties of events, and since the zones that a calendar may define are
rules of strangers: here a zone is the IANA database's or none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.localtime import is_timezone

_FOLD: Final = re.compile(r"\r?\n[ \t]")
_LINE_END: Final = re.compile(r"\r?\n")
_NAME: Final = re.compile(r"[A-Za-z0-9-]+")
_PARAMETER: Final = re.compile(r';([A-Za-z0-9-]+)=((?:"[^"]*"|[^";:,]*)(?:,(?:"[^"]*"|[^";:,]*))*)')
_STAMP: Final = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?", re.ASCII)
_DURATION: Final = re.compile(r"\+?P(?:(\d{1,4})W|(?:(\d{1,4})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,6})S)?)?)")
_ESCAPE: Final = re.compile(r"\\([\\;,nN])")
_WANTED: Final = frozenset(
    {
        "DTSTART",
        "DTEND",
        "DURATION",
        "SUMMARY",
        "RRULE",
        "RDATE",
        "EXDATE",
        "EXRULE",
        "STATUS",
        "RECURRENCE-ID",
        "UID",
    }
)
_REPEATED: Final = frozenset({"RDATE", "EXDATE"})


class Line(NamedTuple):
    """One property."""

    parameters: Mapping[str, str]
    value: str


Event = Mapping[str, Sequence[Line]]
"""An event's properties by name; only RDATE and EXDATE may have more than one line."""


class Moment(NamedTuple):
    """A date or a time: `wall` is naive; `zone` is an IANA name, or None for what is read in the reader's zone."""

    wall: datetime
    zone: str | None
    is_day: bool


def events_in(text: str) -> Iterator[Event]:
    """Yield the events of a calendar. Raises InvalidInput for text that is no calendar, or has too many events."""
    lines = _LINE_END.split(_FOLD.sub("", text.lstrip()))
    if lines[0].strip().upper() != "BEGIN:VCALENDAR":
        raise InvalidInput("it is no iCalendar file: it does not begin with BEGIN:VCALENDAR")
    stack: list[str] = []
    event: dict[str, list[Line]] = {}
    counts = _Counts()
    for number, raw in enumerate(lines, start=1):
        if not raw or raw.isspace():
            continue
        name, line = _line(raw, number)
        if name == "BEGIN":
            stack.append(line.value.upper())
            _check_depth(stack)
            if stack[-1] == "VEVENT":
                event = {}
        elif name == "END":
            if _ended(stack, line.value.upper()):
                counts.count_event()
                yield event
        elif stack and stack[-1] == "VEVENT" and name in _WANTED:
            counts.count(name, line)
            _keep(event, name, line)
    if stack:
        raise InvalidInput(f"it breaks off within {stack[-1][:40]!r}")


def _ended(stack: list[str], part: str) -> bool:
    """Take the part that ends here away; return whether it was an event."""
    if not stack or stack.pop() != part:
        raise InvalidInput(f"it ends a part that it has not begun: {part[:40]!r}")
    return part == "VEVENT"


class _Counts:
    """What is bounded over a whole file, counted before it costs anything. Each method raises InvalidInput."""

    def __init__(self) -> None:
        self._events = 0
        self._dates = 0
        self._zones: set[str] = set()

    def count_event(self) -> None:
        self._events += 1
        if self._events > limits.CALENDAR_EVENTS_MAX:
            raise InvalidInput(f"it has more than {limits.CALENDAR_EVENTS_MAX} events")

    def count(self, name: str, line: Line) -> None:
        if name in _REPEATED:
            self._dates += 1 + line.value.count(",")
        if "TZID" in line.parameters:
            self._zones.add(line.parameters["TZID"])
        if self._dates > limits.CALENDAR_SPANS_MAX:
            raise InvalidInput(f"its RDATE and EXDATE hold more than {limits.CALENDAR_SPANS_MAX} dates")
        if len(self._zones) > limits.CALENDAR_ZONES_MAX:
            raise InvalidInput(f"it names more than {limits.CALENDAR_ZONES_MAX} time zones")


def _check_depth(stack: Sequence[str]) -> None:
    if len(stack) > limits.CALENDAR_DEPTH_MAX:
        raise InvalidInput("it is nested too deep to be a calendar")


def _keep(event: dict[str, list[Line]], name: str, line: Line) -> None:
    kept = event.setdefault(name, [])
    if kept and name not in _REPEATED:
        raise InvalidInput(f"an event has {name} twice")
    kept.append(line)


def _line(raw: str, number: int) -> tuple[str, Line]:
    found = _NAME.match(raw)
    if found is None:
        raise InvalidInput(f"line {number} is no line of an iCalendar file")
    place, parameters = found.end(), {}
    while parameter := _PARAMETER.match(raw, place):
        parameters[parameter[1].upper()] = parameter[2].strip('"')
        place = parameter.end()
    if raw[place : place + 1] != ":":
        raise InvalidInput(f"line {number} is no line of an iCalendar file")
    return found[0].upper(), Line(parameters, raw[place + 1 :].strip())


def text_of(event: Event, name: str) -> str | None:
    """Return a property's text, unescaped and on one line; None when the event has none."""
    lines = event.get(name)
    if not lines:
        return None
    plain = _ESCAPE.sub(lambda found: " " if found[1] in "nN" else found[1], lines[0].value)
    return " ".join("".join(one if one.isprintable() else " " for one in plain).split())


def moments_of(line: Line) -> list[Moment]:
    """Return the dates or times of a line: one, or of RDATE and EXDATE many. Raises InvalidInput."""
    return [_moment(item.strip(), line.parameters) for item in line.value.split(",")]


def _moment(text: str, parameters: Mapping[str, str]) -> Moment:
    found = _STAMP.fullmatch(text)
    if found is None or not limits.INSTANT_MIN.year <= int(found[1]) < limits.RECURRENCE_END.year:
        raise InvalidInput(f"{text[:40]!r} is no date or time such as 20261224 or 20261224T090000Z")
    try:
        wall = datetime(*map(int, found.groups("0")[:6]))  # type: ignore[arg-type]  # noqa: DTZ001  a wall
    except ValueError:
        raise InvalidInput(f"{text[:40]!r} is no date or time") from None
    if found[4] is None:
        return Moment(wall, None, is_day=True)
    if found[7]:
        return Moment(wall, "UTC", is_day=False)
    return Moment(wall, _zone(parameters["TZID"]) if "TZID" in parameters else None, is_day=False)


@lru_cache(maxsize=limits.CALENDAR_ZONES_MAX)
def _zone(name: str) -> str:
    """Return the IANA zone that a TZID names, also behind a vendor's prefix (`/citadel.org/20210210_1/Europe/Riga`)."""
    parts = name.strip("/").split("/")
    for begin in range(min(len(parts), 6)):
        candidate = "/".join(parts[begin:])
        if is_timezone(candidate):
            return candidate
    raise InvalidInput(
        f"its zone {name[:60]!r} is none of the IANA database, such as Europe/Riga",
        hint="export it with whole days, or with a program that names zones so; Outlook's names are its own",
    )


def span_of(text: str) -> timedelta:
    """Return a DURATION as a span of time, more than nothing. Raises InvalidInput."""
    found = _DURATION.fullmatch(text)
    weeks, days, hours, minutes, seconds = map(int, found.groups("0")) if found else (0, 0, 0, 0, 0)
    span = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not timedelta(0) < span <= limits.INTERVAL_MAX:
        raise InvalidInput(f"{text[:40]!r} is no duration such as P1D")
    return span


def day_of(at: datetime) -> date:
    """Return the last day that a span which ends at `at`, exclusive, touches."""
    return (at - timedelta(microseconds=1)).date()
