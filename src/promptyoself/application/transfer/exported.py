"""Our own format: all that makes schedules again, in JSON. Written here and read here, so that the two agree.

State, provenance and counts go with a schedule into a database that does not know it; they never change one that is
there. Deliveries, receipts, the journal and settings stay where they are; secrets are in none of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from promptyoself.application.requests import ScheduleRequest
from promptyoself.application.transfer.documents import Members, instant_in, names_of, number_in, shown, text_in
from promptyoself.application.transfer.entries import Entry, Reading, Refusal
from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.models import OPERATOR, Provenance, Schedule, ScheduleState
from promptyoself.domain.triggers import Trigger, TriggerKind, format_duration, parse_duration
from promptyoself.domain.values import replace

if TYPE_CHECKING:
    from promptyoself.domain.holidays import Holidays

E = TypeVar("E", bound=StrEnum)

FORMAT: Final = "promptyoself-schedules"
VERSION: Final = 1
_UID_CHARS: Final = 32
_HEX: Final = frozenset("0123456789abcdef")
_HINT: Final = "it is what `promptyoself export` writes"


def export_document(schedules: Iterable[Schedule], *, store_uid: str, now: datetime) -> Members:
    """Return schedules as JSON values, instants in UTC."""
    schedules = list(schedules)
    calendars = {one.definition.policy.skip_on for one in schedules} - {None}
    return {
        "format": FORMAT,
        "version": VERSION,
        "exported_at": now.isoformat(),
        "database_uid": store_uid,
        "schedules": [_written(one) for one in schedules],
        "calendars": {one.key: one.members() for one in calendars if one is not None},
    }


def _written(stored: Schedule) -> Members:
    definition = stored.definition
    trigger, policy = definition.trigger, definition.policy
    return {
        "uid": stored.uid,
        "key": definition.key,
        "name": definition.name,
        "agent_id": definition.agent_id,
        "target": definition.target,
        "conversation": definition.conversation,
        "prompt": definition.prompt,
        "trigger": {
            "kind": trigger.kind.value,
            "expression": trigger.expression,
            "timezone": trigger.timezone,
            "anchor_at": trigger.anchor_at.isoformat(),
            "start_at": _instant(trigger.start_at),
            "end_at": _instant(trigger.end_at),
            "jitter": _duration(trigger.jitter or None),
        },
        "max_repetitions": definition.max_repetitions,
        "policy": {
            "catch_up": policy.catch_up.value,
            "catch_up_window": _duration(policy.catch_up_window),
            "overlap": policy.overlap.value,
            "retry_for": _duration(policy.retry_for),
            "expires_after": _duration(policy.expires_after),
            "envelope": policy.envelope.value,
            "quiet_hours": str(policy.quiet_hours) if policy.quiet_hours else None,
            "skip_on": policy.skip_on.key if policy.skip_on else None,
            "replies": policy.replies.value,
        },
        "content": definition.content.members if definition.content else None,
        "fire_count": stored.fire_count,
        "state": stored.state.value,
        "state_reason": stored.state_reason,
        "paused_until": _instant(stored.paused_until),
        "passed_until": _instant(stored.passed_until),
        "provenance": {
            "owner": stored.provenance.owner,
            "created_by": stored.provenance.created_by,
            "root_uid": stored.provenance.root_uid,
            "depth": stored.provenance.depth,
        },
        "created_at": stored.created_at.isoformat(),
    }


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _duration(span: timedelta | None) -> str | None:
    return None if span is None else format_duration(span)


def read_exported(document: object) -> Reading:
    """Return the schedules of an export, also as the command's answer holds it. Raises InvalidInput for other files."""
    if isinstance(document, dict) and isinstance(document.get("export"), dict):
        document = document["export"]
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InvalidInput(f"it is {names_of(document)}, not an object whose format is {FORMAT}", hint=_HINT)
    if document.get("version") != VERSION:
        raise InvalidInput(
            f"its version is {shown(document.get('version'))}; only {VERSION} is known",
            hint="import it with the version of promptyoself that wrote it, or a newer one",
        )
    listed = document.get("schedules")
    if not isinstance(listed, list):
        raise InvalidInput(f"its schedules are {names_of(listed)}, not a list", hint=_HINT)
    if len(listed) > limits.IMPORT_ENTRIES_MAX:
        raise InvalidInput(f"it has {len(listed)} schedules; at most {limits.IMPORT_ENTRIES_MAX} are read")
    return replace(_all(listed, _calendars(document)), store_uid=text_in(document, "database_uid"))


def _calendars(document: Members) -> dict[str, Holidays | InvalidInput]:
    """Return the calendars by the names that schedules have for them; one that is damaged refuses its schedules."""
    given = _object(document, "calendars")
    if not given:
        return {}
    from promptyoself.domain.holidays import Holidays

    found: dict[str, Holidays | InvalidInput] = {}
    for key, members in given.items():
        try:
            found[key] = Holidays.from_members(members)
        except InvalidInput as error:
            found[key] = error
    return found


def _all(listed: Sequence[object], calendars: Mapping[str, Holidays | InvalidInput]) -> Reading:
    entries: list[Entry] = []
    refused: list[Refusal] = []
    for number, members in enumerate(listed, start=1):
        source = f"schedule {number}"
        try:
            entries.append(_entry(members, source, calendars))
        except InvalidInput as error:
            refused.append(Refusal(source=source, reason=error.message))
    return Reading(entries=tuple(entries), refused=tuple(refused))


def _entry(members: object, source: str, calendars: Mapping[str, Holidays | InvalidInput]) -> Entry:
    if not isinstance(members, dict):
        raise InvalidInput(f"it is {names_of(members)}, not a schedule")
    state = _one_of(ScheduleState, members.get("state") or ScheduleState.ACTIVE, "state")
    if state in {ScheduleState.COMPLETED, ScheduleState.CANCELLED}:
        raise InvalidInput(f"it is {state} there: only active and paused schedules are imported")
    uid, key = _uid(members, "uid"), text_in(members, "key")
    if uid is None and key is None:
        raise InvalidInput("it has neither uid nor key by which it could be found again")
    trigger = _trigger(_object(members, "trigger"))
    return Entry(
        source=source,
        key=key,
        uid=uid,
        request=replace(_request(members, trigger), skip_on=_skip_on(members, calendars), **_said(members)),
        trigger=trigger,
        fire_count=number_in(members, "fire_count") or 0,
        state=state,
        state_reason=(text_in(members, "state_reason") or "")[: limits.REASON_CHARS_MAX] or None,
        paused_until=instant_in(members, "paused_until"),
        passed_until=instant_in(members, "passed_until"),
        provenance=_provenance(members),
    )


def _request(members: Members, trigger: Trigger) -> ScheduleRequest:
    """Return what the options of register would say: define() checks it as it checks a caller's."""
    policy = _object(members, "policy")
    catch_up, window = text_in(policy, "catch_up"), text_in(policy, "catch_up_window")
    kind, expression = trigger.kind, trigger.expression
    return ScheduleRequest(
        agent_id=text_in(members, "agent_id"),
        # An instant was fixed when it was registered, whatever the words were.
        time=trigger.anchor_at.isoformat() if kind is TriggerKind.ONCE else None,
        cron=expression if kind is TriggerKind.CRON else None,
        every=expression if kind is TriggerKind.INTERVAL else None,
        rrule=expression if kind is TriggerKind.RRULE else None,
        timezone=trigger.timezone,
        start_at=_instant(trigger.start_at),
        end_at=_instant(trigger.end_at),
        max_repetitions=number_in(members, "max_repetitions"),
        jitter=format_duration(trigger.jitter) if trigger.jitter else None,
        name=text_in(members, "name"),
        target=text_in(members, "target"),
        conversation=text_in(members, "conversation"),
        catch_up=f"{catch_up}:{window}" if catch_up and window else catch_up,
        overlap=text_in(policy, "overlap"),
        quiet_hours=text_in(policy, "quiet_hours"),
        retry_for=text_in(policy, "retry_for"),
        expires_after=text_in(policy, "expires_after"),
        envelope=text_in(policy, "envelope"),
        replies=text_in(policy, "replies"),
    )


def _said(members: Members) -> Members:
    """Return prompt and content as a caller would give them: of messages, the prompt is only the plain text."""
    given, prompt = members.get("content"), text_in(members, "prompt")
    if given is None:
        return {"prompt": prompt}
    from promptyoself.domain.content import read_content

    content = read_content(given)
    return {"prompt": None if content.messages else prompt, "content": content}


def _skip_on(members: Members, calendars: Mapping[str, Holidays | InvalidInput]) -> Holidays | None:
    key = text_in(_object(members, "policy"), "skip_on")
    if key is None:
        return None
    found = calendars.get(key)
    if found is None:
        raise InvalidInput(f"its calendar {shown(key)} is not among the file's calendars")
    if isinstance(found, InvalidInput):
        raise found
    return found


def _trigger(members: Members) -> Trigger:
    expression, timezone = text_in(members, "expression"), text_in(members, "timezone")
    anchor_at = instant_in(members, "anchor_at")
    if expression is None or timezone is None or anchor_at is None:
        raise InvalidInput("its trigger lacks one of expression, timezone and anchor_at")
    if len(expression) > limits.EXPRESSION_CHARS_MAX:
        raise InvalidInput(f"its expression is longer than {limits.EXPRESSION_CHARS_MAX} characters")
    jitter = text_in(members, "jitter")
    trigger = Trigger(
        kind=_one_of(TriggerKind, members.get("kind"), "trigger's kind"),
        expression=expression,
        timezone=timezone,
        anchor_at=anchor_at,
        start_at=instant_in(members, "start_at"),
        end_at=instant_in(members, "end_at"),
    )
    return replace(trigger, jitter=parse_duration(jitter)) if jitter else trigger


def _one_of(known: type[E], word: Any, what: str) -> E:  # noqa: ANN401  any JSON value
    try:
        return known(word)
    except ValueError:
        raise InvalidInput(f"its {what} {shown(word)} is not one of {', '.join(known)}") from None


def _provenance(members: Members) -> Provenance:
    """Keep whose schedule it is: the guard's limits for an agent's own schedules move with it."""
    given = _object(members, "provenance")
    owner, agent_id = text_in(given, "owner") or OPERATOR, text_in(members, "agent_id")
    if owner not in {OPERATOR, agent_id}:
        raise InvalidInput(f"its owner {shown(owner)} is neither operator nor its agent")
    created_by = (text_in(given, "created_by") or OPERATOR)[: limits.REASON_CHARS_MAX]
    return Provenance(
        owner=owner, created_by=created_by, root_uid=_uid(given, "root_uid"), depth=number_in(given, "depth") or 0
    )


def _uid(members: Members, name: str) -> str | None:
    uid = text_in(members, name)
    if uid is not None and (len(uid) != _UID_CHARS or not _HEX.issuperset(uid)):
        raise InvalidInput(f"its {name} {shown(uid)} is not {_UID_CHARS} hex digits")
    return uid


def _object(members: Members, name: str) -> dict[str, Any]:
    value = members.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"its {name} is {names_of(value)}, not an object")
    return value
