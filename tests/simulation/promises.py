"""What the callers of a world asked for, and the fire times that follow from it, worked out by hand.

Nothing here asks promptyoself: an interval fires at start + k x period, a once at its instant, a cron rule at the
times that places.py reads off a table of the zone's minutes. Jitter cannot be told by hand, only bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum, auto

from promptyoself.application.requests import ScheduleRequest
from tests.simulation.places import Night

_TICK = timedelta(microseconds=1)
_AHEAD_MAX = 1000


class Change(StrEnum):
    """What a caller did to a schedule after registering it."""

    EDITED_TEXT = auto()
    EDITED_RULE = auto()
    PAUSED = auto()
    RESUMED = auto()
    CANCELLED = auto()
    RAN_NOW = auto()
    RETRIED = auto()
    SKIPPED = auto()
    SNOOZED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A trigger, in a form that takes no library to evaluate. Exactly one of every, cron and at is given."""

    since: datetime
    """Registered or edited then: nothing at or before it fires."""
    end_at: datetime
    every: timedelta | None = None
    anchor: datetime | None = None
    """k = 0; it fires itself when it is a start."""
    is_start: bool = False
    cron: str | None = None
    by_table: tuple[datetime, ...] = ()
    """When the cron expression fires up to end_at."""
    at: datetime | None = None

    def fires(self) -> list[datetime]:
        """Return every fire time, by hand."""
        if self.at is not None:
            return [self.at]
        found = [fire_at for fire_at in self.by_table if fire_at <= self.end_at]
        if self.every is not None and self.anchor is not None:
            k = 0 if self.is_start else 1
            while (fire_at := self.anchor + k * self.every) <= self.end_at:
                found.append(fire_at)
                k += 1
        return [fire_at for fire_at in found if fire_at > self.since]

    def request(self) -> ScheduleRequest:
        """Return the same as a caller types it."""
        end_at = self.end_at.isoformat() if self.at is None else None
        if self.at is not None:
            return ScheduleRequest(time=self.at.isoformat())
        if self.every is not None:
            start_at = self.anchor.isoformat() if self.is_start and self.anchor else None
            seconds = self.every // timedelta(seconds=1)
            return ScheduleRequest(every=f"{seconds}s", start_at=start_at, end_at=end_at)
        return ScheduleRequest(cron=self.cron, end_at=end_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOff:
    """What a caller was told: the delivery of this fire time does not come before `until`."""

    at_s: float
    """Second of the loop at which it was put off."""
    fire_at: datetime
    until: datetime
    is_apart: bool
    """True when it comes outside of the schedule, as a run-now."""


@dataclass(slots=True, kw_only=True)
class Promise:
    """One schedule, as its caller knows it."""

    schedule_id: int
    agent_id: str
    rules: list[tuple[float, Rule]]
    """Each rule with the second (of the loop) from which it holds."""
    catch_up: str = "latest"
    overlap: str = "skip"
    retry_for: timedelta = timedelta(hours=24)
    expires_after: timedelta | None = None
    jitter: timedelta = timedelta(0)
    night: Night | None = None
    text: int = 0
    """Number of the text in force."""
    changes: list[tuple[float, datetime, Change]] = field(default_factory=list)
    paused_since: float | None = None
    pause_ends_at: datetime | None = None
    is_cancelled: bool = False
    skipped: dict[datetime, float] = field(default_factory=dict)
    """Fire times that were left out, with the second of the loop at which that was asked for."""
    put_off: list[PutOff] = field(default_factory=list)
    passed_until: datetime | None = None
    """The last fire time of the rule in force that a caller has skipped, or put off before it came."""

    looks: dict[datetime, tuple[datetime, bool]] = field(default_factory=dict)
    """What a caller was shown of fire times to come: when each would be sent, and whether it would be skipped."""

    @property
    def prompt(self) -> str:
        return f"schedule {self.schedule_id} text {self.text}"

    @property
    def rule(self) -> Rule:
        return self.rules[-1][1]

    def did(self, *changes: Change) -> bool:
        return any(change in changes for _, _, change in self.changes)

    def coming(self, now: datetime, count: int) -> list[datetime]:
        """Return the next fire times of the rule in force, by hand: none of those skipped or put off already."""
        floor = now if self.passed_until is None else max(now, self.passed_until)
        return [fire_at for fire_at in self.rule.fires() if fire_at > floor][:count]

    def coming_sent(self, now: datetime, count: int) -> list[datetime] | None:
        """Return the next of them that are not left out by quiet hours; None when that cannot be told by hand."""
        sent: list[datetime] = []
        for fire_at in self.coming(now, _AHEAD_MAX):
            if len(sent) == count:
                break
            is_left_out = self.is_left_out(fire_at)
            if is_left_out is None:
                return None
            if not is_left_out:
                sent.append(fire_at)
        return sent

    # -- quiet hours and jitter -----------------------------------------------------------------------------

    @property
    def is_delayed(self) -> bool:
        """Whether a fire time may be sent at another instant than its own, or not at all, by its policy."""
        return self.night is not None or self.jitter > timedelta(0)

    def last_due(self, fire_at: datetime) -> datetime:
        """Return the latest instant to which jitter may put off a fire time: never the next one."""
        tops = []
        for _, rule in self.rules:
            fires = rule.fires()
            if fire_at in fires:
                later = [at for at in fires if at > fire_at]
                tops.append(min(fire_at + self.jitter, later[0] - _TICK) if later else fire_at + self.jitter)
        return max(tops, default=fire_at + self.jitter)

    def earliest(self, fire_at: datetime) -> datetime:
        """Return the first instant at which a fire time may be sent: its own, or the end of the hours that hold it."""
        ends_at = self.night.ends_at(fire_at) if self.night is not None and not self.night.is_skip else None
        return ends_at or fire_at

    def latest(self, fire_at: datetime) -> datetime:
        """Return the last instant from which a fire time may be sent."""
        return self.earliest(self.last_due(fire_at))

    def may_be_due(self, fire_at: datetime, at: datetime) -> bool:
        """Say whether a fire time may be planned for `at`."""
        last_due, night = self.last_due(fire_at), self.night
        if night is None or night.is_skip:
            return fire_at <= at <= last_due
        if at in night.touches(fire_at, last_due):
            return True
        return fire_at <= at <= last_due and night.ends_at(at) is None

    def is_left_out(self, fire_at: datetime) -> bool | None:
        """Say whether quiet hours skip a fire time; None when that hangs on its jitter."""
        if self.night is None or not self.night.is_skip:
            return False
        last_due, ends_at = self.last_due(fire_at), self.night.ends_at(fire_at)
        if ends_at is not None and last_due < ends_at:
            return True
        return None if self.night.touches(fire_at, last_due) else False

    # -- what it fires at -----------------------------------------------------------------------------------

    def fire_times(self, *, is_steady: bool) -> list[datetime]:
        """Return the fire times of every rule it ever had, each while the rule held.

        Only a clock that was never set (`is_steady`) tells which came before an edit and which after it.
        """
        found: set[datetime] = set()
        for index, (_, rule) in enumerate(self.rules):
            until = self.rules[index + 1][1].since if is_steady and index + 1 < len(self.rules) else None
            found.update(fire_at for fire_at in rule.fires() if until is None or fire_at <= until)
        ends = [wall for _, wall, change in self.changes if is_steady and change is Change.CANCELLED]
        return sorted(fire_at for fire_at in found if not ends or fire_at <= ends[0])
