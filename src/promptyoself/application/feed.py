"""The calendar feed: coming fire times as an RFC 5545 calendar, for calendar programs to show.

A fire time that quiet hours skip is not in it, and one that they hold stands where they end. Jitter is left out of it:
an event stands at its fire time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from heapq import merge
from itertools import islice
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.models import Delivery, Schedule, ScheduleState
from promptyoself.domain.planning import Opening, opening_of
from promptyoself.domain.triggers import describe, fire_times
from promptyoself.domain.values import dataclass, replace

_LINE_BYTES_MAX: Final = 75
_SUMMARY_CHARS_MAX: Final = 60
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_NO_JITTER: Final = timedelta(0)
_TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A calendar's text, how many events it holds, and whether the bound cut it short."""

    text: str
    events: int
    is_cut: bool


def feed(
    schedules: Sequence[Schedule],
    *,
    waiting: Sequence[tuple[Delivery, Schedule]] = (),
    begin_at: datetime,
    until: datetime,
    now: datetime,
    with_prompts: bool = False,
) -> Feed:
    """Return the fires of `schedules` from `begin_at` to `until` (aware UTC, both inclusive), the soonest first.

    `waiting` are deliveries that stand already and come later: snoozed, or held by quiet hours. At most
    FEED_EVENTS_MAX events. Paused schedules are tentative, and finished ones have none. A summary is the
    schedule's name, else the first words of its prompt; whole prompts only `with_prompts`. Raises InvalidInput when the
    span is backwards or longer than FEED_SPAN_MAX.
    """
    if not begin_at <= until <= begin_at + limits.FEED_SPAN_MAX:
        raise InvalidInput(
            f"a feed spans up to {limits.FEED_SPAN_MAX.days} days, and ends after it begins",
            hint="give a shorter span: --for 30d, or --from and --until",
        )
    standing = [_standing(*one) for one in waiting if max(begin_at, now) <= one[0].planned_at <= until]
    standing.sort(key=lambda one: one[0].planned_at)
    fires = (_fires(one, begin_at, until, now) for one in schedules)
    coming = merge(standing, *fires, key=lambda fire: fire[0].planned_at)
    found = list(islice(coming, limits.FEED_EVENTS_MAX + 1))
    shown = found[: limits.FEED_EVENTS_MAX]
    words = {stored.id: describe(stored.definition.trigger) for stored in {one.id: one for _, one in shown}.values()}
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//promptyoself//coming prompts//EN", "CALSCALE:GREGORIAN"]
    lines += ["METHOD:PUBLISH", "X-WR-CALNAME:promptyoself"]
    for opening, stored in shown:
        lines += _event(opening, stored, words[stored.id], with_prompts=with_prompts)
    lines.append("END:VCALENDAR")
    text = "".join(f"{folded}\r\n" for line in lines for folded in _folded(line))
    return Feed(text=text, events=len(shown), is_cut=len(found) > len(shown))


def _standing(delivery: Delivery, stored: Schedule) -> tuple[Opening, Schedule]:
    is_held = delivery.snoozed_until is None and not stored.definition.trigger.jitter
    opening = Opening(delivery.fire_at, delivery.planned_at, is_held=is_held and delivery.planned_at > delivery.fire_at)
    return opening, stored


def _fires(stored: Schedule, begin_at: datetime, until: datetime, now: datetime) -> Iterator[tuple[Opening, Schedule]]:
    """Yield what will stand. Of several that quiet hours hold to one end, the newest takes the others' place."""
    begin = _first_look(stored, begin_at, now)
    definition = stored.definition
    if begin is None:
        return
    calm = replace(definition, trigger=replace(definition.trigger, jitter=_NO_JITTER))
    left = limits.FEED_EVENTS_MAX + 1
    if definition.max_repetitions is not None:
        left = min(left, definition.max_repetitions - stored.fire_count)
    coming = islice(fire_times(calm.trigger, after=begin - _TICK, until=until), limits.FEED_FIRES_MAX)
    last: Opening | None = None
    for fire_at in coming:
        opening = opening_of(calm, stored.uid, fire_at)
        if opening.skip_reason is not None:
            continue
        if last is not None and last.planned_at < opening.planned_at:
            left -= 1
            yield last, stored
        if left <= 0:
            return
        last = opening
    if last is not None and left > 0:
        yield last, stored


def _first_look(stored: Schedule, begin_at: datetime, now: datetime) -> datetime | None:
    """Return the first instant at which it may fire, no earlier than `begin_at`; None when it is over."""
    if stored.state is ScheduleState.ACTIVE:
        return None if stored.next_fire_at is None else max(begin_at, stored.next_fire_at)
    if stored.state is ScheduleState.PAUSED:
        passed = stored.passed_until + _TICK if stored.passed_until is not None else now
        return max(begin_at, now, stored.paused_until or now, passed)
    return None


def _event(opening: Opening, stored: Schedule, words: str, *, with_prompts: bool) -> list[str]:
    definition = stored.definition
    prompt = " ".join(definition.prompt.split())
    short = prompt if len(prompt) <= _SUMMARY_CHARS_MAX else f"{prompt[:_SUMMARY_CHARS_MAX]}..."
    told = [f"schedule {stored.id}: {words}", f"to {definition.agent_id} by {definition.target}"]
    if opening.is_held:
        told.append(f"held by quiet hours since {opening.fire_at:%Y-%m-%d %H:%M} UTC")
    if stored.state is ScheduleState.PAUSED:
        told.append(f"paused: {stored.state_reason or 'no reason given'}")
    if with_prompts:
        told += ["", definition.prompt]
    return [
        "BEGIN:VEVENT",
        f"UID:{stored.uid}-{opening.fire_at:%Y%m%dT%H%M%S}{_fraction(opening.fire_at)}Z@promptyoself",
        f"DTSTAMP:{stored.updated_at:{_STAMP}}",
        f"DTSTART:{opening.planned_at:{_STAMP}}",
        f"SUMMARY:{_escaped(definition.name or short)}",
        f"DESCRIPTION:{_escaped(chr(10).join(told))}",
        f"STATUS:{'TENTATIVE' if stored.state is ScheduleState.PAUSED else 'CONFIRMED'}",
        "TRANSP:TRANSPARENT",
        "END:VEVENT",
    ]


def _fraction(at: datetime) -> str:
    return f".{at.microsecond:06}" if at.microsecond else ""


def _escaped(text: str) -> str:
    """Return text as RFC 5545, section 3.3.11, writes it; control characters have no place in it."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    plain = "".join(one for one in plain if one in "\n\t" or one.isprintable())
    for one in ("\\", ";", ","):
        plain = plain.replace(one, f"\\{one}")
    return plain.replace("\n", "\\n")


def _folded(line: str) -> Iterable[str]:
    """Yield a line in pieces of at most 75 bytes, no character torn; all but the first begin with a space."""
    piece, size = "", 0
    for one in line:
        width = len(one.encode())
        if size + width > _LINE_BYTES_MAX:
            yield piece
            piece, size = " ", 1
        piece += one
        size += width
    yield piece
