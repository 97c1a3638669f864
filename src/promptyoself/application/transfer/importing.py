"""The import: each entry becomes a schedule, an edit of the one it was before, or nothing at all.

One transaction of the caller's for all entries, so that a dry run is the real thing, taken back. Nothing fires for
times before the import. A schedule that is here keeps its state, and what its source says nothing about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from promptyoself.application import schedules
from promptyoself.application.requests import Defaults, define, redefine
from promptyoself.application.schedules import LIVE_STATES, Caller
from promptyoself.application.transfer.crontab import PREFIX as CRONTAB_PREFIX
from promptyoself.application.transfer.crontab import matched
from promptyoself.application.transfer.entries import Entry, Reading, Refusal
from promptyoself.domain import limits
from promptyoself.domain.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    InvalidTrigger,
    PromptyoselfError,
    StoreError,
    TriggerNeverFires,
    UsageError,
)
from promptyoself.domain.models import Definition, Fact, FactKind, Schedule, ScheduleState
from promptyoself.domain.planning import first_fire_at
from promptyoself.domain.ports import ScheduleFilter, Tx
from promptyoself.domain.triggers import TriggerKind, next_fire_at
from promptyoself.domain.values import dataclass, replace

_TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """An entry, and the schedule it is now."""

    entry: Entry
    schedule: Schedule
    changed: tuple[str, ...] = ()
    """What an update changed, in the definition's names."""
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an import did, or would do."""

    created: tuple[Landed, ...]
    updated: tuple[Landed, ...]
    unchanged: tuple[Landed, ...]
    refused: tuple[Refusal, ...]
    missing: tuple[Schedule, ...]
    """Live schedules that an earlier import of this kind made and that this source does not hold; left as they are."""


def resolved(
    reading: Reading, defaults: Defaults, *, agent_id: str | None, timezone: str | None, target: str | None
) -> Reading:
    """Return the entries with what the caller says for those that say nothing: agent, zone, target."""
    entries = [
        replace(
            entry,
            request=replace(
                entry.request,
                agent_id=entry.request.agent_id or agent_id or defaults.agent_id,
                timezone=entry.request.timezone or timezone or defaults.timezone,
                target=entry.request.target or target,
            ),
        )
        for entry in reading.entries
    ]
    return replace(reading, entries=tuple(entries))


def import_entries(
    tx: Tx,
    reading: Reading,
    *,
    caller: Caller,
    defaults: Defaults,
    new_uid: Callable[[], str],
    now: datetime,
    refused_agents: Mapping[str, str],
) -> Outcome:
    """Store what `resolved` gave. One entry that cannot be stored does not stop the others.

    `refused_agents` says why schedules of an agent are not to be taken. Raises StoreError kin; then nothing is stored.
    """
    work = _Import(tx, caller, defaults, new_uid, now, refused_agents)
    entries: Iterable[Entry] = reading.entries
    if reading.key_prefix == CRONTAB_PREFIX:
        entries = matched(reading.entries, work.by_key)
    for entry in entries:
        work.take(entry)
    return Outcome(
        created=tuple(work.created),
        updated=tuple(work.updated),
        unchanged=tuple(work.unchanged),
        refused=tuple(sorted((*reading.refused, *work.refused), key=lambda one: one.line or 0)),
        missing=tuple(work.missing(reading.key_prefix)),
    )


class _Import:
    def __init__(
        self,
        tx: Tx,
        caller: Caller,
        defaults: Defaults,
        new_uid: Callable[[], str],
        now: datetime,
        refused_agents: Mapping[str, str],
    ) -> None:
        self._tx = tx
        self._caller = caller
        self._defaults = defaults
        self._new_uid = new_uid
        self._now = now
        self._refused_agents = refused_agents
        self.created: list[Landed] = []
        self.updated: list[Landed] = []
        self.unchanged: list[Landed] = []
        self.refused: list[Refusal] = []
        self._ids: set[int] = set()
        self._agents: set[str] = set()

    def take(self, entry: Entry) -> None:
        """Import one entry; what speaks against it becomes a refusal."""
        if entry.request.agent_id is not None:
            self._agents.add(entry.request.agent_id)
        try:
            self._land(entry)
        except StoreError:
            raise
        except PromptyoselfError as error:
            reason = f"{error.message}; {error.hint}" if error.hint else error.message
            self.refused.append(Refusal(source=entry.source, line=entry.line, reason=reason))

    def by_key(self, entry: Entry, key: str) -> Schedule | None:
        """Return the schedule of the entry's agent with this key."""
        agent_id = entry.request.agent_id
        return None if agent_id is None else self._tx.schedule_by_key(agent_id, key)

    def missing(self, prefix: str | None) -> list[Schedule]:
        """Return live schedules of the agents seen whose keys begin with `prefix` and that no entry was."""
        if prefix is None:
            return []
        found: list[Schedule] = []
        for agent_id in sorted(self._agents):
            where = ScheduleFilter(agent_id=agent_id, states=LIVE_STATES, limit=limits.LIST_MAX)
            found += [
                one
                for one in self._tx.schedules(where)
                if one.id not in self._ids and (one.definition.key or "").startswith(prefix)
            ]
        return found

    def _land(self, entry: Entry) -> None:
        known = self._known(entry)
        if known is not None and known.id in self._ids:
            raise Conflict(f"it is schedule {known.id}, which another entry of this source is already")
        if known is None:
            landed = self._made(entry)
            self.created.append(landed)
        else:
            # Also when it is refused: it is not missing at the source.
            self._ids.add(known.id)
            landed = self._edited(entry, known)
        self._ids.add(landed.schedule.id)

    def _known(self, entry: Entry) -> Schedule | None:
        """Find what an earlier import made, or the very schedule that was exported."""
        by_key = self.by_key(entry, entry.key) if entry.key is not None else None
        by_uid = self._tx.schedule_by_uid(entry.uid) if entry.uid is not None else None
        if by_uid is not None and by_key is not None and by_uid.id != by_key.id:
            raise Conflict(
                f"its key {entry.key!r} is schedule {by_key.id}'s here, and its uid is schedule {by_uid.id}'s"
            )
        return by_uid or by_key

    def _made(self, entry: Entry) -> Landed:
        self._check_agent(entry)
        definition = self._definition(entry, None, now=self._now)
        if next_fire_at(definition.trigger, after=self._now) is None:
            raise TriggerNeverFires("it does not fire any more")
        if definition.max_repetitions is not None and entry.fire_count >= definition.max_repetitions:
            raise InvalidInput(f"all its {definition.max_repetitions} repetitions are used up")
        registered = schedules.put(
            self._tx,
            definition,
            caller=self._caller,
            uid=entry.uid or self._new_uid(),
            now=self._now,
            source=entry.source,
        )
        return Landed(entry=entry, schedule=self._as_it_stood(entry, registered.schedule))

    def _as_it_stood(self, entry: Entry, made: Schedule) -> Schedule:
        """Give a new schedule the count, the pause and the owner that it had at its source."""
        stood = replace(
            made,
            fire_count=entry.fire_count,
            state=entry.state,
            state_reason=entry.state_reason,
            paused_until=entry.paused_until if entry.state is ScheduleState.PAUSED else None,
            provenance=entry.provenance or made.provenance,
            passed_until=entry.passed_until,
        )
        if entry.passed_until is not None:
            stood = replace(stood, next_fire_at=first_fire_at(stood, now=self._now))
        if stood == made:
            return made
        self._tx.save_schedule(stood)
        if stood.state is ScheduleState.PAUSED:
            self._tx.add_fact(
                Fact(
                    kind=FactKind.PAUSED,
                    at=self._now,
                    schedule_id=stood.id,
                    actor=self._caller.label,
                    detail={"reason": stood.state_reason or "it was paused where it came from", "until": None},
                )
            )
        return stood

    def _edited(self, entry: Entry, known: Schedule) -> Landed:
        if not self._caller.may_touch(known):
            raise Forbidden("it belongs to another's schedule")
        if known.state is ScheduleState.CANCELLED:
            landed = Landed(entry=entry, schedule=known, note="it was cancelled here, and stays so")
            self.unchanged.append(landed)
            return landed
        try:
            definition = self._definition(entry, known.definition, now=self._now)
        except InvalidTrigger:
            # Its time has come and gone since the last import: nothing to do, when it is still the same.
            if self._is_same(known, self._definition(entry, known.definition, now=known.created_at - _TICK)):
                return self._left(entry, known)
            raise
        if self._is_same(known, definition):
            return self._left(entry, known)
        self._check_agent(entry)
        edited = schedules.put(
            self._tx, definition, caller=self._caller, uid=known.uid, now=self._now, known=known
        ).schedule
        changed = tuple(
            name for name in Definition.__slots__ if getattr(known.definition, name) != getattr(edited.definition, name)
        )
        landed = Landed(entry=entry, schedule=edited, changed=changed)
        self.updated.append(landed)
        return landed

    def _left(self, entry: Entry, known: Schedule) -> Landed:
        note = None if known.state is ScheduleState.ACTIVE else f"it is {known.state} here"
        landed = Landed(entry=entry, schedule=known, note=note)
        self.unchanged.append(landed)
        return landed

    def _definition(self, entry: Entry, old: Definition | None, *, now: datetime) -> Definition:
        """Return what the entry asks for; of `old`, what the source says nothing about stays."""
        request = replace(entry.request, key=entry.key)
        if old is None or entry.is_whole:
            made = define(request, self._defaults, now=now)
        else:
            made = redefine(old, request, self._defaults, now=now)
        if entry.trigger is not None:
            made = replace(made, trigger=entry.trigger)
        elif entry.anchor_at is not None and made.trigger.kind is TriggerKind.INTERVAL:
            made = replace(made, trigger=replace(made.trigger, anchor_at=entry.anchor_at))
        return made

    def _is_same(self, known: Schedule, definition: Definition) -> bool:
        """Whether the source still says what is stored. When a recurring rule began to count is no part of that."""
        trigger, old = definition.trigger, known.definition.trigger
        if trigger.kind is not TriggerKind.ONCE:
            trigger = replace(trigger, anchor_at=old.anchor_at)
        return replace(definition, trigger=trigger) == known.definition

    def _check_agent(self, entry: Entry) -> None:
        agent_id = entry.request.agent_id
        if agent_id is None:
            raise UsageError("it names no agent", hint="give --agent-id, or set LETTA_AGENT_ID")
        if agent_id in self._refused_agents:
            raise InvalidInput(self._refused_agents[agent_id])
