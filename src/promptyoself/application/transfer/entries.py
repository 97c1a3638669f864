"""What a source holds, in our words: entries that could be read, and lines that could not."""

from __future__ import annotations

from datetime import datetime

from promptyoself.application.requests import ScheduleRequest
from promptyoself.domain.models import Provenance, ScheduleState
from promptyoself.domain.triggers import Trigger
from promptyoself.domain.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One schedule as its source names it. What the source does not say is None in `request`."""

    source: str
    """Where it stands, as people find it again: `line 4`, `task 1a2b3c4d`."""
    line: int | None = None
    key: str | None = None
    """The key it is imported under: the same for the same thing at the source, also after an edit there."""
    uid: str | None = None
    """The schedule's own uid, which only our own export knows."""
    request: ScheduleRequest
    trigger: Trigger | None = None
    """The trigger to the letter (our own export), once `request` has been found to be in order."""
    anchor_at: datetime | None = None
    """The phase of an interval (aware UTC), so that it keeps the source's beat."""
    fire_count: int = 0
    state: ScheduleState = ScheduleState.ACTIVE
    state_reason: str | None = None
    paused_until: datetime | None = None
    passed_until: datetime | None = None
    """Fire times up to it were skipped or put off by hand, ahead of their time (aware UTC)."""
    provenance: Provenance | None = None
    warnings: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """True when the source says everything about it: then what it leaves out is none, not unknown."""
        return self.trigger is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What cannot be imported, and the sentence that says why."""

    source: str
    line: int | None = None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All that a source holds, in its order."""

    entries: tuple[Entry, ...]
    refused: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()
    """About the source as a whole: lines left out, a scheduler that may be running there."""
    store_uid: str | None = None
    """The database that our own export was made of."""
    key_prefix: str | None = None
    """What the keys of this kind of source begin with; None when they are not ours to derive."""
