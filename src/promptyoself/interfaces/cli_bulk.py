"""`register-all`: many schedules of one JSON document, all or none."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache, partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from promptyoself.application.bulk import Asked, Fault, ManyRefused, Stored, read_entries, store_entries
from promptyoself.application.idempotency import recall, remember
from promptyoself.domain import limits
from promptyoself.domain.errors import (
    AgentNotFound,
    Forbidden,
    InvalidInput,
    PromptyoselfError,
    TargetError,
    UsageError,
)
from promptyoself.domain.triggers import warnings_for
from promptyoself.interfaces import files, wire
from promptyoself.interfaces.advice import running_warnings, zone_warnings
from promptyoself.interfaces.call import Call
from promptyoself.interfaces.cli_schedules import request_of
from promptyoself.interfaces.commands import find_command
from promptyoself.interfaces.parse import JSON_OPTIONS, shown
from promptyoself.interfaces.phrases import counted
from promptyoself.interfaces.table import Option

if TYPE_CHECKING:
    from datetime import datetime

    from promptyoself.application.requests import ScheduleRequest
    from promptyoself.interfaces.parse import OptionValue
    from promptyoself.interfaces.wire import Document

_LETTA: Final = "letta"
_SHAPE: Final = '{"schedules": [{"agent_id": ..., "prompt": ..., "every": ...}, ...]}'
_LEFT_OUT: Final = frozenset({"skip_on", "idempotency_key"})
"""Options of `register` that name a file of one machine, or stand for the request as a whole."""


def register_all(call: Call) -> Document:
    """Store every schedule of the document, or none; say of the first bad entries what is wrong."""
    try:
        return _register_all(call)
    except ManyRefused as refused:
        return wire.problem(
            refused.message,
            code=refused.code,
            hint=refused.hint,
            errors=[{"index": one.index, **wire.failure(one.error)} for one in refused.faults],
            refused=refused.count,
        )


def _register_all(call: Call) -> Document:
    services, text = call.services, _text_of(call)
    now, asked_before = services.clock.now(), call.asked()
    if asked_before is not None:
        with services.store.reading() as tx:
            done = recall(tx, asked_before, caller=call.caller, now=now)
        if done is not None:
            return _again(call, done)
    entries = _entries(text)
    requests = [_request(call, entry) for entry in entries]
    asked = read_entries(requests, caller=call.caller, defaults=services.defaults, now=now, clock=services.clock)
    warnings = _ask_letta(call, entries, asked)
    with services.store.transaction() as tx:
        # Another may have been quicker with the same key meanwhile.
        if asked_before is not None and (done := recall(tx, asked_before, caller=call.caller, now=now)) is not None:
            return _again(call, done)
        stored = store_entries(tx, asked, caller=call.caller, new_uid=services.new_uid, now=now)
        if asked_before is not None:
            result = {"ids": stored.ids, "created": stored.created, "updated": stored.updated}
            remember(tx, asked_before, result, caller=call.caller, now=now)
        running = running_warnings(tx, now=now)
    if any(isinstance(one, PromptyoselfError) or one.timezone is None for one in requests):
        warnings += zone_warnings(services, None)
    return _answer(call, stored, asked, [*running, *warnings, *_surprises(asked, now=now)], now=now)


def _again(call: Call, done: Document) -> Document:
    """Answer the same request again: what it made, as it was."""
    ids = done["ids"]
    return wire.success(
        **done,
        count=len(ids),
        next_run=None,
        now=wire.instant(call.services.clock.now(), call.services.defaults.timezone),
        message=f"{counted(len(ids), 'schedule')}, stored by this very request before",
        warnings=[],
        database=call.database,
        replayed=True,
    )


def _answer(call: Call, stored: Stored, asked: list[Asked], warnings: list[str], *, now: datetime) -> Document:
    zone = call.services.defaults.timezone
    done = [f"{count} {what}" for count, what in ((stored.created, "created"), (stored.updated, "updated")) if count]
    return wire.success(
        ids=list(stored.ids),
        count=len(stored.ids),
        created=stored.created,
        updated=stored.updated,
        next_run=wire.instant(min((one.next_fire_at for one in asked if one.next_fire_at), default=None), zone),
        now=wire.instant(now, zone),
        message=f"{counted(len(stored.ids), 'schedule')}: {', '.join(done)}",
        warnings=list(dict.fromkeys(warnings))[: limits.BULK_WARNINGS_MAX],
        database=call.database,
    )


def _surprises(asked: list[Asked], *, now: datetime) -> Iterator[str]:
    """Say what the first few rules may surprise with, each rule once."""
    rules = {one.definition.trigger: index for index, one in reversed(list(enumerate(asked)))}
    for trigger, index in islice(sorted(rules.items(), key=lambda rule: rule[1]), limits.BULK_WARNINGS_MAX):
        notes = [note for phrase in asked[index].given for note in phrase.notes]
        for warning in (*warnings_for(trigger, now=now), *notes):
            yield f"entry {index}: {warning}"


# -- what was sent ------------------------------------------------------------------------------------------


def _text_of(call: Call) -> str:
    """Return the document's text: what came with the call, else the file's. Raises InvalidInput and Forbidden."""
    if call.content is None:
        if not call.caller.is_operator:
            raise Forbidden("register-all reads a file, which is for operators", hint="register one after the other")
        call.content = files.read_text(call.text("file") or "", most=limits.IMPORT_BYTES_MAX)
    return call.content


def _entries(text: str) -> list[Any]:
    """Return the entries of the document. Raises InvalidInput and UsageError."""
    from promptyoself.application.transfer.documents import names_of, parse_json

    try:
        document = parse_json(text)
    except InvalidInput as error:
        raise UsageError(f"the schedules cannot be read: {error.message}", hint=_SHAPE) from error
    entries = document.get("schedules") if isinstance(document, dict) and len(document) == 1 else None
    if not isinstance(entries, list):
        raise InvalidInput(f"schedules are sent in one object, not in {names_of(document)}", hint=_SHAPE)
    if not 1 <= len(entries) <= limits.BULK_SCHEDULES_MAX:
        raise InvalidInput(
            f"{len(entries)} schedules cannot be stored at once", hint=f"send 1 to {limits.BULK_SCHEDULES_MAX}"
        )
    return entries


def _request(call: Call, entry: object) -> ScheduleRequest | PromptyoselfError:
    """Return what one entry asks for, read by the very handler that reads `register`; or what is wrong with it."""
    try:
        options = _options(entry)
        register = find_command("register")
        assert register is not None  # noqa: S101  it is in the table
        return request_of(Call(register, options, open_services=lambda _: call.services, door=""))
    except PromptyoselfError as error:
        return error


def _options(entry: object) -> dict[str, OptionValue]:
    """Return an entry as parse.py makes it of the same words. Raises InvalidInput."""
    if not isinstance(entry, dict):
        raise InvalidInput("it is no object", hint=_SHAPE)
    known = _known()
    found: dict[str, OptionValue] = {}
    for key, value in entry.items():
        option = known.get(key)
        if option is None:
            raise InvalidInput(f"the key {shown(key)} is not known here", hint=f"known are {', '.join(known)}")
        if value is None or value is False:
            continue
        found[key] = _checked(option, value)
    return found


@cache
def _known() -> Mapping[str, Option]:
    """Return by key what an entry may say."""
    register = find_command("register")
    assert register is not None  # noqa: S101  it is in the table
    return {one.key: one for one in register.options if one.key not in _LEFT_OUT}


def _checked(option: Option, value: object) -> OptionValue:
    match option.kind:
        case "flag":
            if value is True:
                return True
            what = "true or false"
        case "count" | "id":
            least = 0 if option.allows_zero else 1
            if isinstance(value, int) and not isinstance(value, bool) and least <= value < 10**18:
                return value
            what = f"a whole number, {least} or more"
        case _:
            if isinstance(value, str):
                return _text(option, value)
            if isinstance(value, dict) and option.key in JSON_OPTIONS:
                return json.dumps(value)
            what = "text"
    raise InvalidInput(f"{option.key} must be {what}")


def _text(option: Option, value: str) -> str:
    if "\0" in value:
        raise InvalidInput(f"{option.key} holds a NUL character", hint="leave it out")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidInput(f"{option.key} is not valid Unicode text", hint="send it as UTF-8")
    return value


def _ask_letta(call: Call, entries: list[Any], asked: list[Asked]) -> list[str]:
    """Ask Letta about each agent, once. Raises ManyRefused for those that are not there."""
    wanted: dict[str, list[int]] = {}
    for index, (entry, one) in enumerate(zip(entries, asked, strict=True)):
        if one.definition.target == _LETTA and entry.get("skip_validation") is not True:
            wanted.setdefault(one.definition.agent_id, []).append(index)
    faults: list[Fault] = []
    for agent_id in islice(wanted, limits.IMPORT_AGENTS_CHECKED_MAX):
        try:
            call.services.check_agent(agent_id)
        except AgentNotFound as error:
            refusal = partial(AgentNotFound, hint=f"{error.hint}; skip_validation stores it all the same")
            faults += [Fault(index, refusal(error.message)) for index in wanted[agent_id]]
        except TargetError as error:
            return [f"the agents were not checked, and prompts wait until Letta answers: {error.message}"]
    if faults:
        raise ManyRefused(sorted(faults, key=lambda fault: fault.index), entries=len(asked))
    if len(wanted) > limits.IMPORT_AGENTS_CHECKED_MAX:
        return [f"only the first {limits.IMPORT_AGENTS_CHECKED_MAX} of {len(wanted)} agents were checked"]
    return []
