"""Triggers: the rules that yield fire times, and all that is asked of them.

Pure: `now` and `after` come in, fire times go out, all of them aware UTC. The kinds live in modules of their own:
intervals, cron, rrules (with rrule_text); localtime maps wall clocks to instants; words puts a rule in words.
docs/time.md says the same for users.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Final, assert_never

from promptyoself.domain import limits
from promptyoself.domain.cron import parse_cron
from promptyoself.domain.errors import InvalidTrigger, TriggerNeverFires
from promptyoself.domain.intervals import Phase, format_duration, parse_duration
from promptyoself.domain.localtime import MICROSECOND, check_timezone, instants_of, parse_instant, zone
from promptyoself.domain.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Trigger",
    "TriggerKind",
    "Walk",
    "check_timezone",
    "count_fires",
    "describe",
    "fire_times",
    "format_duration",
    "jitter_for",
    "last_fire_at",
    "make_trigger",
    "next_fire_at",
    "parse_duration",
    "parse_instant",
    "period_hint",
    "warnings_for",
    "zone",
]

_NO_TIME: Final = timedelta(0)


class TriggerKind(StrEnum):
    """What a trigger's expression is."""

    ONCE = "once"
    CRON = "cron"
    INTERVAL = "interval"
    RRULE = "rrule"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A rule that yields fire times; make_trigger checks one, a store may rebuild one it has kept.

    `expression` is verbatim what the caller gave, `timezone` an IANA name. `anchor_at` is an interval's phase zero
    (`start_at`, else the moment of creation), the instant itself of a once, and the DTSTART of an rrule that gives
    none. Nothing fires before `start_at` or after `end_at` (both inclusive). `jitter` does not move fire times;
    jitter_for says by how much a delivery waits beyond one. All instants are aware UTC.
    """

    kind: TriggerKind
    expression: str
    timezone: str
    anchor_at: datetime
    start_at: datetime | None = None
    end_at: datetime | None = None
    jitter: timedelta = _NO_TIME


def make_trigger(
    kind: TriggerKind | str,
    expression: str,
    *,
    timezone: str,
    now: datetime,
    start_at: datetime | None = None,
    end_at: datetime | None = None,
    jitter: timedelta = _NO_TIME,
) -> Trigger:
    """Return a trigger that will fire at least once later than `now`, or refuse it with a sentence that says why.

    Instants must be aware. Raises InvalidTimezone, InvalidInterval, InvalidTrigger (a past time, an expression that
    cannot be read, bounds that contradict each other, a jitter outside 0..limits.JITTER_MAX) or TriggerNeverFires.
    """
    kind = TriggerKind(kind)
    if len(expression) > limits.EXPRESSION_CHARS_MAX:
        raise InvalidTrigger(f"{kind} expression is longer than {limits.EXPRESSION_CHARS_MAX} characters")
    check_timezone(timezone)
    now, start_at, end_at = _utc(now, "now"), _utc_or_none(start_at, "start_at"), _utc_or_none(end_at, "end_at")
    _check_bounds(now=now, start_at=start_at, end_at=end_at, jitter=jitter)
    anchor_at = start_at or now
    if kind is TriggerKind.ONCE:
        anchor_at = parse_instant(expression, timezone=timezone)
        if anchor_at <= now:
            raise InvalidTrigger(
                f"{expression.strip()!r} is not in the future: it is {_shown(now, timezone)} now",
                hint="give a time in the future",
            )
    trigger = Trigger(
        kind=kind,
        expression=expression,
        timezone=timezone,
        anchor_at=anchor_at,
        start_at=start_at,
        end_at=end_at,
        jitter=jitter,
    )
    if next_fire_at(trigger, after=now) is None:
        bounds = " between its start and its end" if start_at or end_at else ""
        raise TriggerNeverFires(
            f"{kind} {expression.strip()[: limits.NAME_CHARS_MAX]!r} never fires{bounds}",
            hint="no instant of the next 50 years matches; preview shows when a rule fires",
        )
    return trigger


def next_fire_at(trigger: Trigger, *, after: datetime) -> datetime | None:
    """Return the first fire time strictly later than `after`, or None when the trigger has ended.

    `after` and the answer are aware UTC. A fixed time in a skipped hour moves to the first instant that exists; in a
    repeated hour it fires once, also when `after` lies in its second pass.
    """
    return next(fire_times(trigger, after=after), None)


def fire_times(trigger: Trigger, *, after: datetime, until: datetime | None = None) -> Iterator[datetime]:
    """Yield the fire times (aware UTC, ascending) strictly later than `after`, up to and including `until`.

    Without `until` it may be endless. A wait of more than limits.TRIGGER_HORIZON counts as the end.
    """
    floor = max(_utc(after, "after"), limits.INSTANT_MIN)
    if trigger.start_at is not None:
        floor = max(floor, trigger.start_at - MICROSECOND)
    ends = [end_at for end_at in (until, trigger.end_at) if end_at is not None]
    last = min(ends, default=limits.INSTANT_MAX)
    for fire_at in _unbounded(trigger, after=floor):
        if fire_at > last:
            return
        yield fire_at


class Walk:
    """The fire times of one trigger for whoever asks for one after another: each costs one step, not a new search.

    Any question gets the answer that next_fire_at gives. Not for several threads.
    """

    __slots__ = ("_at", "_fires", "_since", "_trigger")

    def __init__(self, trigger: Trigger) -> None:
        self._trigger = trigger
        self._fires: Iterator[datetime] | None = None
        self._since = self._at = limits.INSTANT_MAX
        """`_at` is the first fire time later than `_since`: INSTANT_MAX when there is none."""

    def next_after(self, after: datetime) -> datetime | None:
        """Return the first fire time strictly later than `after`, or None; both are aware UTC."""
        if self._since <= after < self._at:
            return self._at if self._at is not limits.INSTANT_MAX else None
        if self._fires is None or after < self._since:
            self._begin(after)
        steps = 0
        while self._at <= after:
            if steps == limits.WALK_STEPS_MAX:  # far ahead: a search is cheaper than the way
                self._begin(after)
                break
            steps += 1
            self._since = self._at
            self._at = self._step()
        return self._at if self._at is not limits.INSTANT_MAX else None

    def is_fire(self, instant: datetime) -> bool:
        """Return whether the trigger fires at this very instant (aware UTC)."""
        return self._at == instant or self.next_after(instant - MICROSECOND) == instant

    def _begin(self, after: datetime) -> None:
        self._fires = fire_times(self._trigger, after=after)
        self._since = after
        self._at = self._step()

    def _step(self) -> datetime:
        assert self._fires is not None, "it has begun"  # noqa: S101  for the type checker
        return next(self._fires, limits.INSTANT_MAX)


def _unbounded(trigger: Trigger, *, after: datetime) -> Iterator[datetime]:
    match trigger.kind:
        case TriggerKind.ONCE:
            return iter([trigger.anchor_at] if trigger.anchor_at > after else [])
        case TriggerKind.INTERVAL:
            return _phase(trigger).fires(after=after)
        case TriggerKind.CRON:
            return instants_of(parse_cron(trigger.expression), zone(trigger.timezone), after=after)
        case TriggerKind.RRULE:
            from promptyoself.domain.rrule_fires import rrule_fires  # schedules of other kinds need none of it

            return rrule_fires(trigger.expression, trigger.timezone, trigger.anchor_at, after=after)
        case _:
            assert_never(trigger.kind)


def _phase(trigger: Trigger) -> Phase:
    """Return an interval's period and phase: a start is its first fire, else that comes one period after creation."""
    return Phase(trigger.anchor_at, _period(trigger.expression), first_k=0 if trigger.start_at is not None else 1)


@lru_cache(maxsize=4096)
def _period(expression: str) -> timedelta:
    return parse_duration(expression)


# -- questions about stretches of time ----------------------------------------------------------------------


def last_fire_at(trigger: Trigger, *, not_before: datetime, not_after: datetime) -> datetime | None:
    """Return the latest fire time from `not_before` to `not_after` (aware UTC, both inclusive), or None.

    Takes about as long for a century as for an hour: it halves the range, and an interval computes.
    """
    not_before, not_after = max(_utc(not_before, "not_before"), limits.INSTANT_MIN), _utc(not_after, "not_after")
    found = next(fire_times(trigger, after=not_before - MICROSECOND, until=not_after), None)
    if found is None:
        return None
    if trigger.kind is TriggerKind.INTERVAL:
        last = min(not_after, trigger.end_at or not_after)
        return _phase(trigger).latest(last)
    # `found` fires and is in range; nothing later than `beyond` does. The first looks are near the end.
    beyond, step = not_after, timedelta(minutes=1)
    while beyond > found:
        middle = max(found + (beyond - found) // 2, beyond - step)
        later = next(fire_times(trigger, after=middle, until=not_after), None)
        if later is None:
            beyond, step = middle, min(step * 8, limits.TRIGGER_HORIZON)
        else:
            found = later
    return found


def count_fires(trigger: Trigger, *, after: datetime, until: datetime, limit: int) -> int:
    """Return how many fire times lie in (`after`, `until`], at most `limit`; instants are aware UTC."""
    if trigger.kind is TriggerKind.INTERVAL:
        floor = max(_utc(after, "after"), (trigger.start_at or after) - MICROSECOND)
        last = min(_utc(until, "until"), trigger.end_at or until, limits.RECURRENCE_END - MICROSECOND)
        return min(_phase(trigger).count(after=floor, until=last), limit)
    return sum(1 for _ in islice(fire_times(trigger, after=after, until=until), limit))


def period_hint(trigger: Trigger, *, after: datetime) -> timedelta | None:
    """Return the smallest gap among the next limits.PERIOD_SAMPLE fire times, or None when fewer than two are left."""
    fires = islice(fire_times(trigger, after=after, until=after + limits.TRIGGER_HORIZON), limits.PERIOD_SAMPLE)
    return min((later - earlier for earlier, later in pairwise(fires)), default=None)


def jitter_for(trigger: Trigger, *, fire_at: datetime, schedule_uid: str) -> timedelta:
    """Return how long the delivery of this fire time waits: from 0 to `trigger.jitter`, both inclusive, evenly spread.

    Always the same for the same schedule and fire time, whichever process asks.
    """
    if not trigger.jitter:
        return _NO_TIME
    from hashlib import blake2b  # few schedules have jitter

    seed = f"{schedule_uid}\n{_utc(fire_at, 'fire_at').isoformat()}".encode()
    fraction = int.from_bytes(blake2b(seed, digest_size=8).digest())
    return (trigger.jitter // MICROSECOND + 1) * fraction // 2**64 * MICROSECOND


# -- in words -----------------------------------------------------------------------------------------------


def describe(trigger: Trigger) -> str:
    """Return the rule in words, with its zone: `at 09:00 on Monday to Friday (Europe/Riga)`."""
    from promptyoself.domain import words  # a planner pass needs no words

    return words.describe(trigger)


def warnings_for(
    trigger: Trigger, *, now: datetime, clock_changes_within: timedelta = limits.DST_WARNING_SPAN
) -> list[str]:
    """Return sentences about what may surprise: either day, uneven steps, clock changes that come soon, jitter."""
    from promptyoself.domain import surprises

    return surprises.warnings_for(trigger, now=_utc(now, "now"), clock_changes_within=clock_changes_within)


# -- checks -------------------------------------------------------------------------------------------------


def _utc(instant: datetime, name: str) -> datetime:
    if instant.tzinfo is None:
        raise InvalidTrigger(f"{name} {instant.isoformat()} has no timezone: instants are aware")
    return instant.astimezone(UTC)


def _utc_or_none(instant: datetime | None, name: str) -> datetime | None:
    return None if instant is None else _utc(instant, name)


def _check_bounds(*, now: datetime, start_at: datetime | None, end_at: datetime | None, jitter: timedelta) -> None:
    if end_at is not None and start_at is not None and end_at < start_at:
        raise InvalidTrigger(f"end {end_at.isoformat()} is before start {start_at.isoformat()}")
    if end_at is not None and end_at <= now:
        raise InvalidTrigger(f"end {end_at.isoformat()} is not in the future", hint="give an end in the future")
    if not _NO_TIME <= jitter <= limits.JITTER_MAX:
        raise InvalidTrigger(f"jitter {format_duration(jitter)} is outside 0 to {format_duration(limits.JITTER_MAX)}")


def _shown(instant: datetime, timezone: str) -> str:
    return f"{instant.astimezone(zone(timezone)).isoformat(timespec='seconds')} ({timezone})"
