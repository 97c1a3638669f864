"""Many schedules at once, all or none.

All reading happens before the transaction: rules are compiled, each shape once, and every entry is checked. What is
left for the transaction is to look up keys, to count what the guard counts, and to write rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from promptyoself.application.requests import Defaults, ScheduleRequest, Understood, define, exact, redefine
from promptyoself.application.schedules import Caller, check_asked, provenance_of, put, registration
from promptyoself.domain import guard, limits
from promptyoself.domain.errors import (
    BatchRefused,
    Conflict,
    Forbidden,
    InvalidInput,
    PromptyoselfError,
    StoreError,
)
from promptyoself.domain.models import Definition, Schedule
from promptyoself.domain.ports import Clock, NewSchedule, Tx
from promptyoself.domain.triggers import next_fire_at
from promptyoself.domain.values import dataclass, replace

_HOUR: Final = timedelta(hours=1)
_NO_RULE: Final = dict.fromkeys(("time", "cron", "every", "rrule", "timezone", "start_at", "end_at", "jitter"))


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one entry."""

    index: int
    error: PromptyoselfError


class ManyRefused(BatchRefused):
    """Nothing was stored: `faults` holds the first BULK_FAULTS_SHOWN_MAX of `count` bad entries, by index."""

    def __init__(self, faults: Sequence[Fault], *, entries: int) -> None:
        first = faults[0]
        super().__init__(
            f"{len(faults)} of {entries} schedules cannot be stored, so none was; the first is entry {first.index}: "
            f"{first.error.message}",
            hint="put right what `errors` lists by index (counted from 0), and send all of them again",
        )
        self.faults = tuple(faults[: limits.BULK_FAULTS_SHOWN_MAX])
        self.count = len(faults)


@dataclass(frozen=True, slots=True)
class Asked:
    """An entry that was read: what it asks for, and when that fires first."""

    definition: Definition
    next_fire_at: datetime | None
    given: tuple[Understood, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """The schedules by entry, and which of them this made."""

    ids: tuple[int, ...]
    created: int
    updated: int


def read_entries(
    requests: Iterable[ScheduleRequest | PromptyoselfError],
    *,
    caller: Caller,
    defaults: Defaults,
    now: datetime,
    clock: Clock,
) -> list[Asked]:
    """Return what each entry asks for; an entry may be what was wrong with it already.

    Raises ManyRefused when any entry is refused, and InvalidInput when reading takes longer than BULK_READ_FOR.
    """
    reader = _Reader(caller, defaults, now)
    found: list[Asked] = []
    faults: list[Fault] = []
    begun, count = clock.monotonic(), 0
    for index, request in enumerate(requests):
        count += 1
        if clock.monotonic() - begun > limits.BULK_READ_FOR.total_seconds():
            raise InvalidInput(
                f"reading the rules takes more than {limits.BULK_READ_FOR.seconds} s; entry {index} was reached",
                hint="send fewer schedules at once",
            )
        try:
            if isinstance(request, PromptyoselfError):
                raise request
            found.append(reader.read(request, index))
        except PromptyoselfError as error:
            faults.append(Fault(index, error))
    if faults:
        raise ManyRefused(faults, entries=count)
    return found


class _Reader:
    """Reads entries one after the other; a rule that came before is not compiled again."""

    def __init__(self, caller: Caller, defaults: Defaults, now: datetime) -> None:
        self._caller = caller
        self._defaults = defaults
        self._now = now
        self._rules: dict[tuple[str | None, ...], tuple[Asked | None, PromptyoselfError | None]] = {}
        self._keys: dict[tuple[str, str], int] = {}

    def read(self, request: ScheduleRequest, index: int) -> Asked:
        """Return what an entry asks for. Raises PromptyoselfError."""
        read = self._read(request)
        definition = read.definition
        if definition.key is not None:
            first = self._keys.setdefault((definition.agent_id, definition.key), index)
            if first != index:
                raise Conflict(
                    f"it has the key {definition.key!r} of entry {first}",
                    hint="give each its own key, or leave one of them out",
                )
        check_asked(definition, self._caller, now=self._now)
        return read

    def _read(self, request: ScheduleRequest) -> Asked:
        agent_id = request.agent_id or self._defaults.agent_id
        if not agent_id or request.prompt is None or request.content is not None or request.max_repetitions == 0:
            return self._made(request)  # what is missing or odd is said, or read, by the one who reads all
        template = self._template(request)
        own = replace(
            request, agent_id=agent_id, target=request.target or self._defaults.target, understood=(), **_NO_RULE
        )
        return replace(template, definition=redefine(template.definition, own, self._defaults, now=self._now))

    def _template(self, request: ScheduleRequest) -> Asked:
        """Return what any schedule of this rule is, compiled once. Raises as it did the first time."""
        rule = {name: getattr(request, name) for name in _NO_RULE}
        shape = tuple(rule.values())
        if shape not in self._rules:
            bare = ScheduleRequest(agent_id="agent", prompt="prompt", **rule)
            try:
                self._rules[shape] = (self._made(bare), None)
            except PromptyoselfError as error:
                self._rules[shape] = (None, error)
        made, refusal = self._rules[shape]
        if made is None:
            assert refusal is not None  # noqa: S101  one of the two
            raise refusal
        return made

    def _made(self, request: ScheduleRequest) -> Asked:
        said = exact(request, timezone=request.timezone or self._defaults.timezone, now=self._now)
        definition = define(said, self._defaults, now=self._now)
        return Asked(definition, next_fire_at(definition.trigger, after=self._now), said.understood)


def store_entries(
    tx: Tx, entries: Sequence[Asked], *, caller: Caller, new_uid: Callable[[], str], now: datetime
) -> Stored:
    """Store all entries, updating those whose agent and key are known.

    Raises ManyRefused, and StoreError kin; the caller's transaction then undoes all of it.
    """
    known = _known(tx, entries)
    new = [index for index in range(len(entries)) if index not in known]
    faults = [*_not_ours(known, caller), *_beyond_guard(tx, new, caller, now=now)]
    ids: dict[int, int] = {}
    for index, schedule in known.items() if not faults else ():
        entry = entries[index]
        try:
            made = put(
                tx, entry.definition, caller=caller, uid=schedule.uid, now=now, known=schedule, given=entry.given
            )
        except StoreError:
            raise
        except PromptyoselfError as error:
            faults.append(Fault(index, error))
        else:
            ids[index] = made.schedule.id
    if faults:
        raise ManyRefused(sorted(faults, key=lambda fault: fault.index), entries=len(entries))
    ids |= zip(new, _added(tx, [entries[index] for index in new], caller, new_uid, now), strict=True)
    return Stored(tuple(ids[index] for index in range(len(entries))), created=len(new), updated=len(known))


def _known(tx: Tx, entries: Sequence[Asked]) -> dict[int, Schedule]:
    """Return by index the schedules that are there under an entry's agent and key."""
    found: dict[int, Schedule] = {}
    for index, entry in enumerate(entries):
        key = entry.definition.key
        schedule = tx.schedule_by_key(entry.definition.agent_id, key) if key is not None else None
        if schedule is not None:
            found[index] = schedule
    return found


def _not_ours(known: dict[int, Schedule], caller: Caller) -> list[Fault]:
    return [
        Fault(index, Forbidden("its key belongs to another's schedule", hint="choose another key"))
        for index, schedule in known.items()
        if not caller.may_touch(schedule)
    ]


def _beyond_guard(tx: Tx, new: Sequence[int], caller: Caller, *, now: datetime) -> list[Fault]:
    """Count each creation as if those before it were made already."""
    if caller.is_operator or not new:
        return []
    usage = tx.guard_usage(caller.owner, since=now - _HOUR)
    root = provenance_of(tx, caller, now=now).root_uid
    descendants = tx.live_descendants(root) if root else 0
    faults: list[Fault] = []
    for made, index in enumerate(new):
        then = replace(usage, active=usage.active + made, created_last_hour=usage.created_last_hour + made)
        try:
            guard.check_creation(then, descendants=descendants + made if root else 0)
        except PromptyoselfError as error:
            faults.append(Fault(index, error))
    return faults


def _added(tx: Tx, entries: Sequence[Asked], caller: Caller, new_uid: Callable[[], str], now: datetime) -> list[int]:
    if not entries:
        return []
    provenance = provenance_of(tx, caller, now=now)
    ids = tx.add_schedules(
        [
            NewSchedule(
                uid=new_uid(),
                definition=entry.definition,
                provenance=provenance,
                next_fire_at=entry.next_fire_at,
                created_at=now,
            )
            for entry in entries
        ]
    )
    tx.add_facts(
        [
            registration(id, entry.definition, caller=caller, now=now, given=entry.given)
            for id, entry in zip(ids, entries, strict=True)
        ]
    )
    return ids
