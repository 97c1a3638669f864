"""What the callers of a world asked for, and the fire times that follow from it, worked out by hand.

Nothing here asks promptyoself: an interval fires at start + k x period, a once at its instant, a daily cron at its
hour and minute of each day (worlds live in UTC).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum, auto

from promptyoself.application.requests import ScheduleRequest


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
    """A trigger, in a form that takes no library to evaluate. Exactly one of every, daily_at and at is given."""

    since: datetime
    """Registered or edited then: nothing at or before it fires."""
    end_at: datetime
    every: timedelta | None = None
    anchor: datetime | None = None
    """k = 0; it fires itself when it is a start."""
    is_start: bool = False
    daily_at: timedelta | None = None
    at: datetime | None = None

    def fires(self) -> list[datetime]:
        """Return every fire time, by hand."""
        if self.at is not None:
            return [self.at]
        found: list[datetime] = []
        if self.every is not None and self.anchor is not None:
            k = 0 if self.is_start else 1
            while (fire_at := self.anchor + k * self.every) <= self.end_at:
                found.append(fire_at)
                k += 1
        elif self.daily_at is not None:
            day = self.since.replace(hour=0, minute=0, second=0, microsecond=0)
            while (fire_at := day + self.daily_at) <= self.end_at:
                found.append(fire_at)
                day += timedelta(days=1)
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
        assert self.daily_at is not None
        minutes = self.daily_at // timedelta(minutes=1)
        return ScheduleRequest(cron=f"{minutes % 60} {minutes // 60} * * *", end_at=end_at)


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
