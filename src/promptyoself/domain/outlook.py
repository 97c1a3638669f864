"""What lies ahead of a schedule: its coming fire times as planning would open them, and those it would skip. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from promptyoself.domain import limits
from promptyoself.domain.models import Definition
from promptyoself.domain.planning import Opening, Planned, opening_of, silence_around
from promptyoself.domain.triggers import fire_times

_TICK = timedelta(microseconds=1)


class Outlook(NamedTuple):
    """The next fire times that are to be sent, and what is skipped among them."""

    openings: tuple[Opening, ...]
    skipped: int
    """How many fire times were passed over on the way to the last of them."""
    reason: str | None
    """Why the first of those is skipped."""
    last_seen_at: datetime | None
    """The last fire time that was looked at."""


def outlook(schedule: Planned, *, now: datetime, count: int) -> Outlook:
    """Return the next `count` fire times later than `now` that are to be sent; fewer when there are fewer.

    Looks at LOOKS_AHEAD_MAX fire times: when all of them are skipped, it has no openings.
    """
    definition = schedule.definition
    repetitions = definition.max_repetitions
    left = count if repetitions is None else max(0, min(count, repetitions - schedule.fire_count))
    standing: list[Opening] = []
    passed: list[Opening] = []
    last_seen_at = None
    for opening in coming_openings(schedule, after=now):
        if len(standing) >= left:
            break
        last_seen_at = opening.fire_at
        (standing if opening.skip_reason is None else passed).append(opening)
    reason = passed[0].skip_reason if passed else None
    return Outlook(tuple(standing), len(passed), reason, last_seen_at)


def next_to_send(schedule: Planned) -> datetime | None:
    """Return the next fire time that is to be sent, as lists announce it; None when none is, or every one is skipped.

    One that has come due and is not planned yet is the next.
    """
    first = schedule.next_fire_at
    if first is None or opening_of(schedule.definition, schedule.uid, first).skip_reason is None:
        return first
    coming = coming_openings(schedule, after=first)
    return next((opening.fire_at for opening in coming if opening.skip_reason is None), None)


def warnings_of(found: Outlook) -> list[str]:
    """Return a sentence about what is skipped; a loud one when all is."""
    if not found.skipped or found.last_seen_at is None:
        return []
    if found.openings:
        if found.skipped >= limits.LOOKS_IN_A_STRETCH_MAX:
            return [f"{found.skipped} and more fire times are skipped before these: {found.reason}"]
        seen = found.skipped + len(found.openings)
        are = "is" if found.skipped == 1 else "are"
        return [f"{found.skipped} of the next {seen} fire times {are} skipped, and left out here: {found.reason}"]
    which = f"all of the next {found.skipped} fire times, up to {found.last_seen_at:%Y-%m-%d}"
    return [f"NOTHING WOULD EVER BE SENT: {which}, are skipped: {found.reason}"]


def hold_of(found: Outlook, definition: Definition) -> list[str]:
    """Return a sentence when quiet hours hold one of what fires next: it goes out later than it is announced for."""
    held = next((opening for opening in found.openings if opening.is_held), None)
    if held is None:
        return []
    from promptyoself.domain.phrases import moment  # few schedules have quiet hours

    timezone = definition.trigger.timezone
    fires, goes_out = moment(held.fire_at, timezone), moment(held.planned_at, timezone)
    return [f"quiet hours {definition.policy.quiet_hours}: what fires {fires} goes out {goes_out} ({timezone})"]


def coming_openings(schedule: Planned, *, after: datetime) -> Iterator[Opening]:
    """Yield what the coming fire times (from next_fire_at, later than `after`) come to; at most LOOKS_AHEAD_MAX.

    Of a long stretch that skips, the fire times after LOOKS_IN_A_STRETCH_MAX are left out.
    """
    first = schedule.next_fire_at
    if first is None:
        return
    definition, in_a_row = schedule.definition, 0
    fires = fire_times(definition.trigger, after=max(after, first - _TICK))
    for _ in range(limits.LOOKS_AHEAD_MAX):
        fire_at = next(fires, None)
        if fire_at is None:
            return
        opening = opening_of(definition, schedule.uid, fire_at)
        yield opening
        in_a_row = in_a_row + 1 if opening.skip_reason is not None else 0
        if in_a_row >= limits.LOOKS_IN_A_STRETCH_MAX:
            fires = fire_times(definition.trigger, after=max(fire_at, silence_around(definition, opening)[1] - _TICK))
