"""What should reach the agents, worked out apart from the system: start + k x period, and the commands that were given.

The harness writes down what it registers, and every command with the instants at which it was sent and answered. What
a command means between the two nobody knows; before and after, it is certain. Nothing here reads a table of ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Final


class Need(Enum):
    """What a fire time calls for."""

    MUST = "must"
    MAY = "may"
    MUST_NOT = "must not"


class Kind(Enum):
    """What was asked of a schedule."""

    EDITED = "edited"
    """Its prompt: the next revision of the text."""
    CANCELLED = "cancelled"
    PAUSED = "paused"
    RESUMED = "resumed"
    RUN_NOW = "run now"


@dataclass(frozen=True, slots=True)
class Command:
    """One command, seconds of the machine's monotonic clock; `answered_s` inf: nobody knows whether it was done."""

    kind: Kind
    sent_s: float
    answered_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Timeline:
    """One instant on both clocks, from which each is told by the other."""

    wall: datetime
    """Aware UTC."""
    monotonic_s: float

    def seconds(self, at: datetime) -> float:
        """Return an instant in seconds of the monotonic clock."""
        return self.monotonic_s + (at - self.wall).total_seconds()

    def at(self, seconds: float) -> datetime:
        """Return an instant of the monotonic clock as aware UTC."""
        return self.wall + timedelta(seconds=seconds - self.monotonic_s)


@dataclass(slots=True, kw_only=True)
class Promise:
    """A schedule as the harness asked for it. All catch up on what was missed, and queue."""

    tag: str
    lane: str
    start_at: datetime
    """Aware UTC, whole seconds: the first fire time."""
    every_s: int | None = None
    """None: a one-off."""
    fires: int = 1
    """How many fire times there are; an interval ends after the last."""
    registered_s: float = 0.0
    """When its registration was answered; inf: never."""
    schedule_id: int = 0
    commands: list[Command] = field(default_factory=list)

    @property
    def fire_times(self) -> list[datetime]:
        """All fire times that the rule has."""
        return [self.start_at + timedelta(seconds=(self.every_s or 0) * k) for k in range(self.fires)]

    @property
    def end_at(self) -> datetime:
        """After the last fire time, and before one more would come."""
        return self.fire_times[-1] + timedelta(seconds=(self.every_s or 2) / 2)

    def did(self, *kinds: Kind) -> list[Command]:
        """Return the commands of these kinds, in the order in which they were sent."""
        return [one for one in self.commands if one.kind in kinds]

    @property
    def revision(self) -> int:
        """The newest revision of the prompt that was asked for."""
        return 1 + len(self.did(Kind.EDITED))

    def text(self, revision: int | None = None) -> str:
        """Return the prompt, as it is then."""
        return f"{self.tag}/{self.revision if revision is None else revision}"

    def needs(self, timeline: Timeline) -> Iterator[tuple[datetime, Need]]:
        """Yield each fire time with what it calls for."""
        for fire_at in self.fire_times:
            yield fire_at, self._need(timeline.seconds(fire_at))

    def _need(self, fire_s: float) -> Need:
        if any(_is_certain(one, fire_s) for one in self.did(Kind.CANCELLED)):
            return Need.MUST_NOT
        if self.did(Kind.CANCELLED):
            return Need.MAY
        if self.every_s is None:  # a one-off that comes due in a pause, or while it is registered, arrives late
            return Need.MUST if self._is_going_on and self.registered_s < math.inf else Need.MAY
        if self.registered_s >= fire_s - _CERTAIN_S:
            return Need.MAY
        return self._need_in_pauses(fire_s)

    def _need_in_pauses(self, fire_s: float) -> Need:
        """Fire times within a pause are gone; on its edges nobody can tell."""
        need = Need.MUST if self._is_going_on else Need.MAY
        for paused, resumed in self.pauses():
            if paused.answered_s + _CERTAIN_S < fire_s < resumed.sent_s - _CERTAIN_S:
                return Need.MUST_NOT
            if paused.sent_s - _CERTAIN_S <= fire_s <= resumed.answered_s + _CERTAIN_S:
                need = Need.MAY
        return need

    def pauses(self) -> list[tuple[Command, Command]]:
        """Return pauses with the resumption that ended each; one that was never ended has none that was answered."""
        never = Command(Kind.RESUMED, math.inf)
        resumed = [*self.did(Kind.RESUMED)]
        return [
            (paused, next((one for one in resumed if one.sent_s >= paused.sent_s), never))
            for paused in self.did(Kind.PAUSED)
        ]

    @property
    def _is_going_on(self) -> bool:
        """True unless a pause was never surely ended."""
        return all(resumed.answered_s < math.inf for _, resumed in self.pauses())


_CERTAIN_S: Final = 0.5
"""How far the clocks of a fleet may part: what is nearer to a command's edge is not certain."""


def _is_certain(one: Command, fire_s: float) -> bool:
    return one.answered_s + _CERTAIN_S < fire_s
