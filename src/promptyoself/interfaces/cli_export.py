"""`export`: schedules as JSON, to be imported again, or their coming fires as a calendar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptyoself.application import schedules
from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput, UsageError
from promptyoself.domain.triggers import parse_duration
from promptyoself.interfaces import files, wire
from promptyoself.interfaces.phrases import counted

if TYPE_CHECKING:
    from datetime import datetime

    from promptyoself.domain.models import Delivery, Schedule
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document

_SPAN_OPTIONS = ("from", "until", "for", "prompts")


def export(call: Call) -> Document:
    """Write schedules to a new file, or answer with them."""
    kind = call.text("format") or "json"
    if kind not in {"json", "ics"}:
        raise InvalidInput(f"format {kind[:40]!r} is not known", hint="json (to import again) or ics (a calendar)")
    given = [name for name in _SPAN_OPTIONS if call.text(name) is not None or call.is_set(name)]
    if kind == "json" and given:
        raise UsageError(
            f"--{given[0]} is for --format ics: JSON holds schedules, not fires", hint=call.command.example
        )
    return _ics(call) if kind == "ics" else _json(call)


def _json(call: Call) -> Document:
    from promptyoself.application.transfer.exported import export_document

    services = call.services
    found, warnings = _chosen(call)
    document = export_document(found, store_uid=services.store.uid, now=services.clock.now())
    answer: Document = {"format": "json", "count": len(found), "warnings": warnings}
    if _is_to_stdout(call):
        return wire.success(**answer, export=document)
    return _written(call, wire.dumps(document, indent=2) + "\n", counted(len(found), "schedule"), answer)


def _ics(call: Call) -> Document:
    from promptyoself.application.feed import feed

    now = call.services.clock.now()
    found, warnings = _chosen(call)
    begin_at, until = _span(call, now)
    made = feed(
        found,
        waiting=_waiting(call),
        begin_at=begin_at,
        until=until,
        now=now,
        with_prompts=call.is_set("prompts"),
    )
    if made.is_cut:
        warnings.append(
            f"only the first {limits.FEED_EVENTS_MAX} fires are in it; give a shorter span, or one --agent-id"
        )
    zone = call.services.defaults.timezone
    answer: Document = {
        "format": "ics",
        "count": made.events,
        "from": wire.instant(begin_at, zone),
        "until": wire.end(until, zone),
        "warnings": warnings,
    }
    if _is_to_stdout(call):
        return wire.success(**answer, ics=made.text)
    return _written(call, made.text, counted(made.events, "fire"), answer)


def _written(call: Call, text: str, what: str, answer: Document) -> Document:
    name = call.text("to") or ""
    if files.is_same(name, call.services.store.location):
        raise InvalidInput("that is the database itself, and is not replaced", hint="choose another name")
    path = files.write_new(name, text, may_replace=call.is_set("force"))
    return wire.success(**answer, path=str(path), bytes=len(text.encode()), message=f"{what} written to {path}")


def _is_to_stdout(call: Call) -> bool:
    return call.text("to") in {None, files.STDIN}


def _chosen(call: Call) -> tuple[list[Schedule], list[str]]:
    services, number = call.services, call.number("id")
    with services.store.reading() as tx:
        if number is not None:
            return [schedules.find(tx, number, caller=call.caller)], []
        found = schedules.listed(
            tx, caller=call.caller, agent_id=call.text("agent_id"), include_finished=call.is_set("all")
        )
    if len(found) < limits.LIST_MAX:
        return found, []
    return found, [f"only the first {limits.LIST_MAX} schedules are in it; export one agent's at a time"]


def _waiting(call: Call) -> list[tuple[Delivery, Schedule]]:
    """Return what was planned already and is to come: snoozed, or held by quiet hours."""
    from promptyoself.domain.models import DeliveryState
    from promptyoself.domain.ports import DeliveryFilter

    agent_id = call.text("agent_id") if call.caller.is_operator else call.caller.owner
    where = DeliveryFilter(
        schedule_id=call.number("id"), agent_id=agent_id, states=[DeliveryState.PENDING], limit=limits.FEED_EVENTS_MAX
    )
    with call.services.store.reading() as tx:
        pairs = ((one, tx.schedule(one.schedule_id)) for one in tx.deliveries(where))
        return [(one, stored) for one, stored in pairs if stored is not None and call.caller.may_touch(stored)]


def _span(call: Call, now: datetime) -> tuple[datetime, datetime]:
    timezone = call.services.defaults.timezone
    length = call.text("for")
    if call.is_given("until") and length is not None:
        raise UsageError("--until and --for both say where the feed ends", hint="give one of them")
    begin_at = call.bound("from", timezone=timezone, now=now) or now
    if (until := call.bound("until", timezone=timezone, now=now, is_end=True)) is not None:
        return begin_at, until
    return begin_at, begin_at + (limits.FEED_SPAN_DEFAULT if length is None else parse_duration(length))
