"""`import`: schedules of other programs, or of our own export, as a dry run or for good."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from promptyoself.application.transfer.importing import Outcome, import_entries, resolved
from promptyoself.domain import limits
from promptyoself.domain.errors import AgentNotFound, InvalidInput, TargetError
from promptyoself.domain.triggers import describe, fire_times
from promptyoself.interfaces import files, wire
from promptyoself.interfaces.advice import running_warnings
from promptyoself.interfaces.parse import shown
from promptyoself.interfaces.phrases import counted

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from promptyoself.application.transfer.entries import Reading
    from promptyoself.application.transfer.importing import Landed
    from promptyoself.domain.models import Schedule
    from promptyoself.domain.ports import Tx
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document

_LETTA = "letta"
_MISSING_SHOWN_MAX = 10
_PROMPT_SHOWN_CHARS = 40


class _TakenBack(Exception):
    """Undoes the transaction of a dry run."""


def import_crontab(call: Call) -> Document:
    """Import a user's crontab."""
    from promptyoself.application.transfer.crontab import read_crontab

    return _import(call, lambda name: read_crontab(_text(call, name)))


def import_letta_cron(call: Call) -> Document:
    """Import Letta Code's crons.json."""
    from promptyoself.application.transfer.letta_cron import read_letta_cron

    return _import(call, lambda name: read_letta_cron(_json(call, name)))


def import_older(call: Call) -> Document:
    """Import PromptYoSelfFAST's database."""
    from promptyoself.application.transfer.older import read_older

    def read(name: str) -> Reading:
        if name == files.STDIN:
            raise InvalidInput("a database cannot come by stdin", hint="name the file")
        return read_older(call.services.read_older(str(files.checked_file(name))))

    return _import(call, read)


def import_json(call: Call) -> Document:
    """Import what `export` wrote."""
    from promptyoself.application.transfer.exported import read_exported

    return _import(call, lambda name: read_exported(_json(call, name)))


def _json(call: Call, name: str) -> object:
    from promptyoself.application.transfer.documents import parse_json

    return parse_json(_text(call, name))


def _text(call: Call, name: str) -> str:
    """Return the file's text, or what a door took in its place."""
    if call.content is not None:
        return files.checked_text(call.content, "the content", most=limits.IMPORT_BYTES_MAX)
    return files.read_text(name, most=limits.IMPORT_BYTES_MAX)


def _import(call: Call, read: Callable[[str], Reading]) -> Document:
    services, name = call.services, call.text("file") or ""
    is_dry = not call.is_set("apply")
    try:
        reading = read(name)
    except InvalidInput as error:
        where = "stdin" if name == files.STDIN else shown(name)
        where = where if call.content is None else "the content"
        message = error.message if where in error.message else f"{where} cannot be imported: {error.message}"
        raise InvalidInput(message, hint=error.hint) from error
    reading = resolved(
        reading,
        services.defaults,
        agent_id=call.text("agent_id"),
        timezone=call.text("timezone"),
        target=call.text("target"),
    )
    refused_agents, warnings = _ask_letta(call, reading)
    outcome, now, running = _carried_out(call, reading, refused_agents, is_dry=is_dry)
    if outcome.created and reading.store_uid not in {None, services.store.uid}:
        warnings.append(
            "the database that this was exported from may still be running: both would deliver what is active in both"
        )
    return _answer(call, outcome, [*reading.warnings, *warnings, *running], is_dry=is_dry, now=now)


def _carried_out(
    call: Call, reading: Reading, refused_agents: dict[str, str], *, is_dry: bool
) -> tuple[Outcome, datetime, list[str]]:
    """Import in one transaction; a dry run is taken back at its end."""
    services, now = call.services, call.services.clock.now()
    done: list[tuple[Outcome, list[str]]] = []
    with suppress(_TakenBack), services.store.transaction() as tx:
        outcome = import_entries(
            tx,
            reading,
            caller=call.caller,
            defaults=services.defaults,
            new_uid=services.new_uid,
            now=now,
            refused_agents=refused_agents,
        )
        done.append((outcome, _running(tx, outcome, now)))
        if is_dry:
            raise _TakenBack
    outcome, running = done[0]
    return outcome, now, running


def _running(tx: Tx, outcome: Outcome, now: datetime) -> list[str]:
    return running_warnings(tx, now=now) if outcome.created or outcome.updated else []


def _ask_letta(call: Call, reading: Reading) -> tuple[dict[str, str], list[str]]:
    """Ask Letta about each agent; return why some are refused, and what could not be found out."""
    default = call.services.defaults.target
    agents = dict.fromkeys(
        entry.request.agent_id
        for entry in reading.entries
        if entry.request.agent_id is not None and (entry.request.target or default) == _LETTA
    )
    refused: dict[str, str] = {}
    if call.is_set("skip_validation"):
        return refused, []
    for agent_id in islice(agents, limits.IMPORT_AGENTS_CHECKED_MAX):
        try:
            call.services.check_agent(agent_id)
        except AgentNotFound as error:
            refused[agent_id] = f"{error.message}; --skip-validation imports it all the same"
        except InvalidInput as error:
            refused[agent_id] = error.message
        except TargetError as error:
            return refused, [f"the agents were not checked, and prompts wait until Letta answers: {error.message}"]
    if len(agents) > limits.IMPORT_AGENTS_CHECKED_MAX:
        return refused, [f"only the first {limits.IMPORT_AGENTS_CHECKED_MAX} of {len(agents)} agents were checked"]
    return refused, []


def _answer(call: Call, outcome: Outcome, warnings: list[str], *, is_dry: bool, now: datetime) -> Document:
    counts = {
        "created": len(outcome.created),
        "updated": len(outcome.updated),
        "unchanged": len(outcome.unchanged),
        "refused": len(outcome.refused),
        "missing": len(outcome.missing),
    }
    warnings += _missing_warnings(outcome)
    done = ", ".join(f"{count} {name}" for name, count in counts.items() if count and name != "missing") or "no entries"
    is_change = bool(outcome.created or outcome.updated)
    rest = "; nothing is stored yet: --apply does it" if is_dry and is_change else ""
    return wire.success(
        dry_run=is_dry,
        created=[_landed(one, now, has_id=not is_dry) for one in outcome.created],
        updated=[_landed(one, now, has_id=True) for one in outcome.updated],
        unchanged=[_landed(one, now, has_id=True) for one in outcome.unchanged],
        refused=[{"source": one.source, "line": one.line, "reason": one.reason} for one in outcome.refused],
        missing=[_missing(one) for one in outcome.missing],
        counts=counts,
        timezone=call.services.defaults.timezone,
        now=wire.instant(now, call.services.defaults.timezone),
        message=f"{'Dry run' if is_dry else 'Imported'}: {done}{rest}",
        warnings=warnings,
        database=call.database,
    )


def _missing(stored: Schedule) -> Document:
    return {
        "id": stored.id,
        "key": stored.definition.key,
        "name": stored.definition.name,
        "prompt_text": stored.definition.prompt,
        "cure": f"promptyoself cancel --id {stored.id}",
    }


def _missing_warnings(outcome: Outcome) -> list[str]:
    """Say of what the source no longer holds that it goes on firing, beside what took its place, and how to end it."""
    new = {_rule(one.schedule): one.entry.source for one in outcome.created}
    warnings = []
    for one in outcome.missing[:_MISSING_SHOWN_MAX]:
        beside = new.get(_rule(one))
        both = f", BESIDE {beside}, which has the same times" if beside else ""
        prompt = " ".join(one.definition.prompt.split())[:_PROMPT_SHOWN_CHARS]
        warnings.append(
            f"schedule {one.id} ({prompt!r}) was imported before, is not in this source, and goes on{both}; when it is "
            f"no longer wanted: promptyoself cancel --id {one.id}"
        )
    more = len(outcome.missing) - _MISSING_SHOWN_MAX
    if more > 0:
        warnings.append(f"and {counted(more, 'more schedule')} likewise: `missing` in the answer of --json names each")
    return warnings


def _rule(stored: Schedule) -> tuple[str, str, str]:
    trigger = stored.definition.trigger
    return stored.lane, trigger.expression, trigger.timezone


def _landed(landed: Landed, now: datetime, *, has_id: bool) -> Document:
    """Return an entry of the answer: what it becomes, in words, and when it fires."""
    stored = landed.schedule
    trigger = stored.definition.trigger
    coming = islice(fire_times(trigger, after=now), limits.NEXT_RUNS_SHOWN) if stored.next_fire_at else ()
    return {
        "id": stored.id if has_id else None,
        "source": landed.entry.source,
        "line": landed.entry.line,
        "key": stored.definition.key,
        "name": stored.definition.name,
        "agent_id": stored.definition.agent_id,
        "prompt_text": stored.definition.prompt,
        "schedule_type": trigger.kind.value,
        "schedule_value": trigger.expression,
        "timezone": trigger.timezone,
        "state": stored.state.value,
        "description": describe(trigger),
        "next_runs": [wire.instant(at, trigger.timezone) for at in coming],
        "changed": list(landed.changed),
        "note": landed.note,
        "warnings": list(landed.entry.warnings),
    }
