"""What tells one state of a schedule from another: the tag that `show` gives, and an edit may ask for.

`3-active-9c1e...`: revision and state, and a digest of all else that is stored. Who edits is guarded against edits and
pauses that were not seen: revision and state. A fire between look and edit changes the digest alone, and refuses
nobody, or a careful caller could not edit a schedule of every second. A cache compares the whole.
"""

from __future__ import annotations

from datetime import datetime
from zlib import crc32

from promptyoself.domain.errors import RevisionConflict
from promptyoself.domain.models import Schedule

ANY = "*"


def tag(schedule: Schedule, *, snoozed_until: datetime | None) -> str:
    """Return the tag of a schedule and of what was put off of it (aware UTC)."""
    rest = (
        schedule.uid,
        schedule.updated_at,
        schedule.next_fire_at,
        schedule.last_fire_at,
        schedule.passed_until,
        schedule.paused_until,
        schedule.state_reason,
        schedule.fire_count,
        snoozed_until,
    )
    text = repr(rest).encode()
    # Two sums, from either end: they tell apart, and guard nothing. hashlib would load OpenSSL at every cold start.
    return f"{_guarded(schedule)}-{crc32(text):08x}{crc32(text[::-1]):08x}"


def refuse_changed(schedule: Schedule, wanted: str) -> None:
    """Raise RevisionConflict unless `wanted`, tags between commas or `*`, allows the schedule as it is now."""
    known = _guarded(schedule)
    tags = (one.strip() for one in wanted.split(","))
    if not any(one in {ANY, known} or one.startswith(f"{known}-") for one in tags):
        raise RevisionConflict(
            f"schedule {schedule.id} is {schedule.state} at revision {schedule.revision}, and no longer what you saw",
            hint="show it again, and repeat the edit on what it is now",
        )


def _guarded(schedule: Schedule) -> str:
    return f"{schedule.revision}-{schedule.state}"
