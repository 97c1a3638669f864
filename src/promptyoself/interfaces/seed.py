"""What the project's first functions mean in terms of this package: the SMCP plugin's modules are doors to these.

Schedules come out as plain objects with the attributes those functions had; naive datetimes are read as UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from promptyoself.application import schedules
from promptyoself.application.requests import ScheduleRequest
from promptyoself.application.schedules import Caller
from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput, PromptyoselfError, TargetError
from promptyoself.domain.models import Schedule, ScheduleState
from promptyoself.domain.triggers import TriggerKind, make_trigger, next_fire_at
from promptyoself.interfaces import wire
from promptyoself.interfaces.cli import answer

if TYPE_CHECKING:
    from promptyoself.interfaces.call import OpenServices
    from promptyoself.interfaces.services import Services
    from promptyoself.interfaces.wire import Document

DOOR: Final = "smcp"
_OPTIONS: Final = {"once": "time", "cron": "cron", "interval": "every", "rrule": "rrule"}
_TICK: Final = timedelta(microseconds=1)


def answered(command: str, args: Mapping[str, object], *, services: OpenServices) -> Document:
    """Return what a command answers to these options (`agent-id` or `agent_id`); a failure is a document too."""
    try:
        return answer([command, *_words(args)], services=services, door=DOOR)
    except PromptyoselfError as error:
        return wire.failure(error)


def _words(args: Mapping[str, object]) -> list[str]:
    words: list[str] = []
    for name, value in args.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            words += [option, str(value)]
    return words


def next_run(expression: str, kind: str, *, timezone: str, base_time: datetime) -> datetime | None:
    """Return the first fire time later than `base_time`, None when there is none; naive in, naive UTC out."""
    after = _aware(base_time)
    if kind == TriggerKind.ONCE:
        return None
    trigger = make_trigger(kind, expression, timezone=timezone, now=after)
    found = next_fire_at(trigger, after=after)
    return found.replace(tzinfo=None) if found is not None and base_time.tzinfo is None else found


def add(services: Services, request: ScheduleRequest) -> int:
    """Store a schedule and return its id; its agent is not checked. Raises PromptyoselfError."""
    with services.store.transaction() as tx:
        made = schedules.register(
            tx,
            request,
            caller=Caller(owner=services.owner, door=DOOR),
            defaults=services.defaults,
            uid=services.new_uid(),
            now=services.clock.now(),
        )
    return made.schedule.id


def request_of(kind: str, value: str, *, first: datetime | None, **options: Any) -> ScheduleRequest:  # noqa: ANN401  options of any type, passed on
    """Return a request by type and value; `first`, when given, is when it fires first."""
    if kind not in _OPTIONS:
        raise InvalidInput(f"schedule type {kind!r} is not known", hint=f"one of: {', '.join(_OPTIONS)}")
    options[_OPTIONS[kind]] = value
    if first is not None:
        options["time" if kind == "once" else "start_at"] = _aware(first).isoformat()
    return ScheduleRequest(**options)


def due(services: Services) -> list[SimpleNamespace]:
    """Return the schedules that are due now and were not planned yet."""
    with services.store.reading() as tx:
        found = tx.schedules_due(now=services.clock.now(), limit=limits.SCHEDULES_PER_PASS_MAX)
    return [plain(one) for one in found]


def change(services: Services, schedule_id: int, fields: Mapping[str, Any]) -> SimpleNamespace:
    """Change a schedule: any option of `update`, `active` (False pauses, True resumes), and `next_run`.

    `last_run` and `repetition_count` are facts that the engine keeps: naming them changes nothing.
    """
    caller, now = Caller(owner=services.owner, door=DOOR), services.clock.now()
    wanted = {name: value for name, value in fields.items() if name not in {"last_run", "repetition_count"}}
    active, first = wanted.pop("active", None), wanted.pop("next_run", None)
    with services.store.transaction() as tx:
        stored = schedules.find(tx, schedule_id, caller=caller)
        request = _changes(stored, wanted, first)
        if request != ScheduleRequest():
            stored = schedules.update(tx, schedule_id, request, caller=caller, defaults=services.defaults, now=now)
        if active is True:
            stored = schedules.resume(tx, schedule_id, caller=caller, now=now)
        if active is False and stored.state is ScheduleState.ACTIVE:
            stored = schedules.pause(tx, schedule_id, caller=caller, reason="set inactive", until=None, now=now)
    return plain(stored)


def _changes(stored: Schedule, wanted: dict[str, Any], first: datetime | None) -> ScheduleRequest:
    trigger = stored.definition.trigger
    kind, value = wanted.pop("schedule_type", None), wanted.pop("schedule_value", None)
    options = {"prompt" if name == "prompt_text" else name: given for name, given in wanted.items()}
    unknown = options.keys() - set(ScheduleRequest.__annotations__)
    if unknown:
        raise InvalidInput(f"a schedule has no {', '.join(sorted(unknown))}", hint="see docs/smcp.md")
    if kind is None and value is None and first is None:
        return ScheduleRequest(**options)
    return request_of(kind or trigger.kind.value, value or trigger.expression, first=first, **options)


def send(services: Services, agent_id: str, prompt: str, *, wait: timedelta) -> bool:
    """Deliver one prompt now, in its lane, and return whether the agent's server accepted it.

    It is stored as a one-off and delivered by a pass, with whatever else is due: nothing overtakes anything, and no
    two prompts meet at one agent. What was not accepted is withdrawn: False means that it will not come later.
    """
    caller, now = Caller(owner=services.owner, door=DOOR), services.clock.now()
    request = ScheduleRequest(agent_id=agent_id, prompt=prompt, time=now.isoformat(), name="sent at once")
    with services.store.transaction() as tx:
        # A one-off lies in the future when it is made; this one was made a moment before it is due.
        made = schedules.register(
            tx, request, caller=caller, defaults=services.defaults, uid=services.new_uid(), now=now - _TICK
        )
    entries = services.execute(wait=wait)
    if any(entry.is_delivered for entry in entries if entry.schedule.id == made.schedule.id):
        return True
    with services.store.transaction() as tx:
        stored = schedules.find(tx, made.schedule.id, caller=caller)
        if stored.state is not ScheduleState.COMPLETED:
            schedules.cancel(tx, stored.id, caller=caller, now=services.clock.now())
    return False


def is_reachable(services: Services) -> bool:
    """Return whether Letta answers us and lets us in."""
    try:
        services.ping()
    except TargetError:
        return False
    return True


def plain(stored: Schedule) -> SimpleNamespace:
    """Return a schedule as an object with the JSON's names and aware datetimes."""
    shape = wire.schedule(stored)
    del shape["snoozed_until"]  # nobody has asked the deliveries
    shape |= {"next_run": stored.next_fire_at, "last_run": stored.last_fire_at, "created_at": stored.created_at}
    return SimpleNamespace(**shape)


def _aware(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
