"""When the time zone database changes, next fires are worked out anew, once, and the journal says so.

The version that stored next fires were worked out with is in the store. An executor compares it with what its own
machine has when it starts, and again before it plans. A newer one wins; an older one changes nothing and says so
loudly, so that two machines of different age cannot undo each other's work for ever (docs/decisions/0012).
"""

from __future__ import annotations

import logging
from datetime import datetime

from promptyoself.application.ends import complete_if_over
from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput, StoreError
from promptyoself.domain.localtime import zone
from promptyoself.domain.models import Fact, FactKind, Schedule, ScheduleState, ZoneRecord
from promptyoself.domain.ports import Clock, ScheduleFilter, Tx, Writer, ZoneData
from promptyoself.domain.rezoning import rezoned
from promptyoself.domain.values import dataclass, replace
from promptyoself.domain.zone_versions import is_newer

_log = logging.getLogger(__name__)

ACTOR = "promptyoself"
_LIVE = (ScheduleState.ACTIVE, ScheduleState.PAUSED)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction did."""

    last_id: int
    moved: int
    is_last: bool


class ZoneWatch:
    """Looks for a new zone database on behalf of one executor."""

    def __init__(self, *, writer: Writer, clock: Clock, zones: ZoneData) -> None:
        self._writer = writer
        self._clock = clock
        self._zones = zones
        self._known: str | None = None
        """The version that this process works with; None before its first look."""
        self._is_owed = False
        """True while next fires may be of older data than ours: a failure in the middle is made up at the next look."""
        self._looked_s: float | None = None
        self._said: str | None = None

    async def before_pass(self) -> None:
        """Look, unless the last look was less than ZONE_LOOK_EVERY ago. A store that fails is the pass's to report."""
        now_s = self._clock.monotonic()
        if self._looked_s is None or now_s - self._looked_s >= limits.ZONE_LOOK_EVERY.total_seconds():
            self._looked_s = now_s
            await self.look()

    async def look(self) -> None:
        """Compare, and work out what must be worked out anew. A failure of the store is logged and made up later."""
        ours = self._zones.version()
        is_first, is_changed = self._known is None, self._known not in {None, ours}
        if is_changed:
            self._zones.forget()
        self._known = ours
        try:
            record = await self._writer.read(lambda tx: tx.zone_record())
            stored = record.version if record else None
            # What this process planned with its older data has to be looked through too, whoever noted the new version.
            self._is_owed = self._is_owed or is_changed or self._is_new(ours, stored, is_first=is_first)
            if not self._is_older(ours, stored) and self._is_owed:
                await self._work_out_anew(ours, stored)
            self._is_owed = False
        except StoreError as error:
            self._is_owed = True
            _log.error("zone_data.failed code=%s error=%s", error.code, error)

    def _is_new(self, ours: str, stored: str | None, *, is_first: bool) -> bool:
        if stored is None:
            return True
        newer = is_newer(ours, stored)
        # Nobody can tell which of two fingerprints is newer: whoever starts later is believed, and only when it starts.
        return ours != stored and (is_first if newer is None else newer)

    def _is_older(self, ours: str, stored: str | None) -> bool:
        is_older = stored is not None and is_newer(stored, ours) is True
        if is_older and self._said != stored:
            self._said = stored
            _log.error(
                "zone_data.older ours=%r stored=%r: update this machine's tzdata; its next fires may be wrong",
                ours,
                stored,
            )
        return is_older

    async def _work_out_anew(self, ours: str, stored: str | None) -> None:
        after_id = moved = 0
        for _ in range(limits.ZONE_BATCHES_MAX):
            batch = await self._writer.write(
                lambda tx, after_id=after_id: rezone_batch(  # type: ignore[misc]  # bound now, not when it runs
                    tx, after_id=after_id, before=stored, after=ours, now=self._clock.now()
                )
            )
            after_id, moved = batch.last_id, moved + batch.moved
            if batch.is_last:
                break
        await self._writer.write(lambda tx: _note_version(tx, ours, moved=moved, now=self._clock.now()))
        level = logging.WARNING if stored not in {None, ours} or moved else logging.INFO
        _log.log(level, "zone_data.changed before=%r after=%r schedules_moved=%d", stored, ours, moved)


def rezone_batch(tx: Tx, *, after_id: int, before: str | None, after: str, now: datetime) -> Batch:
    """Work out the next fires of one batch in the caller's transaction; done twice, the second changes nothing."""
    where = ScheduleFilter(states=_LIVE, after_id=after_id, limit=limits.ZONE_BATCH)
    found = tx.schedules(where)
    moved = sum(_rezone(tx, schedule, before=before, after=after, now=now) for schedule in found)
    last_id = found[-1].id if found else after_id
    return Batch(last_id, moved, is_last=len(found) < limits.ZONE_BATCH)


def _rezone(tx: Tx, schedule: Schedule, *, before: str | None, after: str, now: datetime) -> bool:
    try:
        changed = rezoned(schedule, now=now)
    except InvalidInput as error:  # its zone is gone: the planner pauses it when it is due, and says why
        _log.warning("zone_data.unreadable schedule_id=%d error=%s", schedule.id, error)
        return False
    if changed is schedule:
        return False
    changed = replace(changed, updated_at=now)
    tx.save_schedule(changed)
    tx.add_fact(
        Fact(
            kind=FactKind.ZONE_DATA_CHANGED,
            at=now,
            schedule_id=schedule.id,
            actor=ACTOR,
            detail={
                "before": before,
                "after": after,
                "was": _shown(schedule.next_fire_at, schedule),
                "next": _shown(changed.next_fire_at, schedule),
            },
        )
    )
    complete_if_over(tx, changed, now=now)
    return True


def _note_version(tx: Tx, version: str, *, moved: int, now: datetime) -> None:
    """Store the version, at the end of all: until then a start that follows a crash does it all again."""
    record = tx.zone_record()
    before = record.version if record else None
    if before == version:
        return
    tx.set_zone_record(ZoneRecord(version=version, since=now))
    if before is not None or moved:
        detail: dict[str, str | int | bool | None] = {"before": before, "after": version, "count": moved}
        tx.add_fact(Fact(kind=FactKind.ZONE_DATA_CHANGED, at=now, actor=ACTOR, detail=detail))


def _shown(at: datetime | None, schedule: Schedule) -> str | None:
    return (
        None if at is None else at.astimezone(zone(schedule.definition.trigger.timezone)).isoformat(timespec="seconds")
    )
