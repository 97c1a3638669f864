"""The commands that make and change schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from promptyoself.application import schedules
from promptyoself.application.requests import ScheduleRequest, define, exact, has_phrases, redefine
from promptyoself.domain import limits
from promptyoself.domain.errors import TargetError, UsageError
from promptyoself.domain.models import ScheduleState
from promptyoself.domain.outlook import Outlook, hold_of, next_to_send, outlook, warnings_of
from promptyoself.domain.ports import ScheduleFilter
from promptyoself.domain.tags import refuse_changed, tag
from promptyoself.domain.triggers import TriggerKind, describe, warnings_for
from promptyoself.interfaces import wire
from promptyoself.interfaces.advice import running_warnings, zone_warnings
from promptyoself.interfaces.pages import LISTED, page, place, rows_of, words
from promptyoself.interfaces.phrases import moment

if TYPE_CHECKING:
    from datetime import datetime

    from promptyoself.application.idempotency import Asked
    from promptyoself.domain.content import Content
    from promptyoself.domain.holidays import Holidays
    from promptyoself.domain.models import Definition, Schedule
    from promptyoself.domain.ports import Tx
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document

_LETTA = "letta"


def register(call: Call) -> Document:
    """Store a schedule, or update the one of the same key; say when it fires and what may surprise."""
    services, asked = call.services, call.asked()
    request, warnings = ScheduleRequest(), list[str]()
    made = None
    if asked is not None:
        with services.store.reading() as tx:
            made = _recalled(tx, call, asked, now=services.clock.now())
    if made is None:
        request = exact_request_of(call)
        warnings = _check_agent_of(call, request)
    with services.store.transaction() if made is None else services.store.reading() as tx:
        now = services.clock.now()
        # Another may have been quicker with the same key meanwhile.
        made = made or _recalled(tx, call, asked, now=now) or _register(tx, call, request, asked, now=now)
        warnings += running_warnings(tx, now=now)
        put_off = None if made.is_new and not made.is_repeat else schedules.snoozed_until(tx, made.schedule.id, now=now)
    stored = made.schedule
    warnings = zone_warnings(services, call.text("timezone")) + warnings
    what = f"Prompt scheduled with ID {stored.id}" if made.is_new else f"Prompt updated, ID {stored.id}"
    return wire.success(
        id=stored.id,
        next_run=wire.instant(next_to_send(stored), stored.definition.trigger.timezone),
        message=f"{what}.{_lost(made.before, stored, now=now)} {next_sentence(stored, put_off, now=now)}",
        timezone=stored.definition.trigger.timezone,
        created=made.is_new,
        **outlook_of(stored, warnings + phrase_notes(request), now=now),
        **wire.understood(request.understood, stored.definition.trigger),
        **({"replayed": True} if made.is_repeat else {}),
        etag=tag(stored, snoozed_until=put_off),
        database=call.database,
    )


def _recalled(tx: Tx, call: Call, asked: Asked | None, *, now: datetime) -> schedules.Registered | None:
    """Return what the same request has made already."""
    if asked is None:
        return None
    from promptyoself.application import idempotency

    known = idempotency.recall(tx, asked, caller=call.caller, now=now)
    if known is None:
        return None
    stored = schedules.find(tx, known["id"], caller=call.caller)
    return schedules.Registered(stored, is_new=known["created"], is_repeat=True)


def _register(
    tx: Tx, call: Call, request: ScheduleRequest, asked: Asked | None, *, now: datetime
) -> schedules.Registered:
    """Store it, and with it what is needed to answer the same request again."""
    services = call.services
    made = schedules.register(
        tx, request, caller=call.caller, defaults=services.defaults, uid=services.new_uid(), now=now
    )
    if asked is not None:
        from promptyoself.application import idempotency

        result = {"id": made.schedule.id, "created": made.is_new}
        idempotency.remember(tx, asked, result, caller=call.caller, now=now)
    return made


def list_schedules(call: Call) -> Document:
    """List schedules, with what people need to know to trust the list."""
    services, limit, is_soonest = call.services, call.number("limit"), call.is_set("soonest")
    if is_soonest and call.text("cursor") is not None:
        raise UsageError("--soonest has no pages", hint="give --limit, or leave one of --soonest and --cursor out")
    with services.store.reading() as tx:
        now = services.clock.now()
        wanted, agent_id, is_all = _wanted(call, limit, now=now), call.text("agent_id"), call.is_set("all")
        count = None
        if is_soonest:
            from promptyoself.application.soonest import soonest

            found, count = soonest(
                tx, caller=call.caller, agent_id=agent_id, include_finished=is_all, wanted=wanted, limit=limit
            )
        else:
            found = schedules.listed(tx, caller=call.caller, agent_id=agent_id, include_finished=is_all, wanted=wanted)
        warnings = running_warnings(tx, now=now)
        put_off = tx.snoozed(now=now)
    shown, next_cursor = page(found, None if is_soonest else limit, kind=LISTED, ids=[one.id for one in found])
    if limit is None and next_cursor is not None:
        warnings.append(f"only the first {limits.LIST_MAX} are listed; name an agent with --agent-id")
    return wire.success(
        schedules=[
            wire.schedule(one, snoozed_until=put_off.get(one.id)) | _besides(call, one, now=now) for one in shown
        ],
        count=len(shown) if count is None else count,
        next_cursor=next_cursor,
        now=wire.instant(now, services.defaults.timezone),
        timezone=services.defaults.timezone,
        warnings=warnings,
        database=call.database,
    )


def _besides(call: Call, stored: Schedule, *, now: datetime) -> Document:
    """Return what a list tells of a schedule on request only."""
    content = {"content": wire.content(stored.definition.content)} if call.is_set("full_content") else {}
    return content | (_coming(stored, now=now) if call.is_set("outlook") else {})


def _wanted(call: Call, limit: int | None, *, now: datetime) -> ScheduleFilter:
    """Return which schedules are asked for, and one more than shown: it tells whether there is a next page."""
    timezone = call.services.defaults.timezone
    return ScheduleFilter(
        owner=call.text("owner"),
        states=words(call.text("state"), ScheduleState, "state"),
        kinds=words(call.text("type"), TriggerKind, "type"),
        target=call.text("target"),
        key=call.text("key"),
        name_part=call.text("name"),
        next_from=call.bound("next_from", timezone=timezone, now=now),
        next_until=call.bound("next_until", timezone=timezone, now=now, is_end=True),
        after_id=place(call.text("cursor"), kind=LISTED) or 0,
        limit=rows_of(limit),
    )


def show(call: Call) -> Document:
    """Show one schedule in full."""
    services = call.services
    with services.store.reading() as tx:
        now = services.clock.now()
        stored = schedules.find(tx, call.id, caller=call.caller)
        warnings = running_warnings(tx, now=now)
        put_off = schedules.snoozed_until(tx, stored.id, now=now)
    return wire.success(
        schedule=wire.schedule(stored, snoozed_until=put_off),
        details=wire.details(stored),
        etag=tag(stored, snoozed_until=put_off),
        **outlook_of(stored, warnings, now=now),
    )


def cancel(call: Call) -> Document:
    """Cancel a schedule for good."""
    services = call.services
    with services.store.transaction() as tx:
        now = services.clock.now()
        check_match(tx, call)
        stored = schedules.cancel(tx, call.id, caller=call.caller, now=now)
    return wire.success(
        cancelled_id=stored.id,
        message=f"Schedule {stored.id} is cancelled",
        schedule=wire.schedule(stored),
        **outlook_of(stored, [], now=now),
    )


def update(call: Call) -> Document:
    """Change what is named of a schedule."""
    services, request = call.services, request_of(call)
    warnings: list[str] = []
    if has_phrases(request):
        with services.store.reading() as tx:
            known = schedules.find(tx, call.id, caller=call.caller).definition.trigger.timezone
        request = exact(request, timezone=request.timezone or known, now=services.clock.now())
    if request.agent_id is not None or request.target is not None:
        with services.store.reading() as tx:
            old = schedules.find(tx, call.id, caller=call.caller).definition
        warnings = _check_agent(call, redefine(old, request, services.defaults, now=services.clock.now()))
    with services.store.transaction() as tx:
        now = services.clock.now()
        check_match(tx, call)
        before = schedules.find(tx, call.id, caller=call.caller)
        stored = schedules.update(
            tx,
            call.id,
            request,
            caller=call.caller,
            defaults=services.defaults,
            now=now,
            revision=call.number("revision"),
        )
        warnings += running_warnings(tx, now=now)
        put_off = schedules.snoozed_until(tx, stored.id, now=now)
    told = f"{_lost(before, stored, now=now)} {next_sentence(stored, put_off, now=now)}"
    return wire.success(
        schedule=wire.schedule(stored, snoozed_until=put_off),
        message=f"Schedule {stored.id} is updated.{told}",
        etag=tag(stored, snoozed_until=put_off),
        **outlook_of(stored, warnings + phrase_notes(request), now=now),
        **wire.understood(request.understood, stored.definition.trigger),
    )


def pause(call: Call) -> Document:
    """Pause one schedule, or stop every delivery."""
    services, reason = call.services, call.text("reason")
    is_all = _is_for_all(call)
    with services.store.transaction() as tx:
        now = services.clock.now()
        if is_all:
            until_at = call.instant("until", timezone=services.defaults.timezone, now=now)
            switch = schedules.stop_all(tx, caller=call.caller, reason=reason, until=until_at, now=now)
            ends = wire.instant(switch.until, services.defaults.timezone)
            return wire.success(
                schedule=None,
                message="All deliveries are stopped; `resume --all` lets them go on",
                reason=switch.reason,
                until=ends,
            )
        check_match(tx, call)
        timezone = schedules.find(tx, call.id, caller=call.caller).definition.trigger.timezone
        until_at = call.instant("until", timezone=timezone, now=now)
        stored = schedules.pause(tx, call.id, caller=call.caller, reason=reason, until=until_at, now=now)
        put_off = schedules.snoozed_until(tx, stored.id, now=now)
        warnings = running_warnings(tx, now=now)
    return wire.success(
        schedule=wire.schedule(stored, snoozed_until=put_off),
        message=f"Schedule {stored.id} is paused: {stored.state_reason}",
        until=wire.instant(stored.paused_until, timezone),
        etag=tag(stored, snoozed_until=put_off),
        **outlook_of(stored, warnings, now=now),
    )


def resume(call: Call) -> Document:
    """Resume one schedule, or let deliveries go on."""
    services, is_all = call.services, _is_for_all(call)
    with services.store.transaction() as tx:
        now = services.clock.now()
        if is_all:
            schedules.start_all(tx, caller=call.caller, now=now)
            return wire.success(schedule=None, message="Deliveries go on")
        check_match(tx, call)
        stored = schedules.resume(tx, call.id, caller=call.caller, now=now)
        put_off = schedules.snoozed_until(tx, stored.id, now=now)
        warnings = running_warnings(tx, now=now)
    return wire.success(
        schedule=wire.schedule(stored, snoozed_until=put_off),
        message=f"Schedule {stored.id} is {stored.state}. {next_sentence(stored, put_off, now=now)}",
        etag=tag(stored, snoozed_until=put_off),
        **outlook_of(stored, warnings, now=now),
    )


def run_now(call: Call) -> Document:
    """Open a delivery of the prompt now."""
    services = call.services
    uid = services.store.uid
    with services.store.transaction() as tx:
        now = services.clock.now()
        opened = schedules.run_now(tx, call.id, caller=call.caller, store_uid=uid, now=now)
        stored = schedules.find(tx, call.id, caller=call.caller)
        warnings = running_warnings(tx, now=now)
    return wire.success(
        delivery=wire.delivery(opened, stored.definition.trigger.timezone),
        message=f"Delivery {opened.id} of schedule {opened.schedule_id} is due now",
        timezone=stored.definition.trigger.timezone,
        **outlook_of(stored, warnings, now=now),
    )


def check_match(tx: Tx, call: Call) -> None:
    """Refuse an edit of what is no longer as the caller saw it. Raises RevisionConflict, ScheduleNotFound."""
    wanted = call.text("if_match")
    if wanted is not None:
        refuse_changed(schedules.find(tx, call.id, caller=call.caller), wanted)


def request_of(call: Call) -> ScheduleRequest:
    """Return the options of register and update as a request."""
    return ScheduleRequest(
        agent_id=call.text("agent_id"),
        prompt=call.text("prompt"),
        time=call.text("time"),
        cron=call.text("cron"),
        every=call.text("every"),
        rrule=call.text("rrule"),
        timezone=call.text("timezone"),
        start_at=call.text("start_at"),
        end_at=call.text("end_at"),
        max_repetitions=call.number("max_repetitions"),
        jitter=call.text("jitter"),
        name=call.text("name"),
        key=call.text("key"),
        target=call.text("target"),
        conversation=call.text("conversation"),
        catch_up=call.text("catch_up"),
        overlap=call.text("overlap"),
        quiet_hours=call.text("quiet_hours"),
        skip_on=_skip_on(call),
        retry_for=call.text("retry_for"),
        expires_after=call.text("expires_after"),
        envelope=call.text("envelope"),
        replies=call.text("replies"),
        content=_content(call),
    )


def exact_request_of(call: Call) -> ScheduleRequest:
    """Return the options of register as a request without plain words; `understood` tells what they became."""
    services, request = call.services, request_of(call)
    return exact(request, timezone=request.timezone or services.defaults.timezone, now=services.clock.now())


def phrase_notes(request: ScheduleRequest) -> list[str]:
    """Return what the phrases of a request may also mean."""
    return [note for phrase in request.understood for note in phrase.notes]


def _content(call: Call) -> Content | Literal[""] | None:
    """Read the JSON of --content; an empty text clears what is stored."""
    text = call.text("content")
    if text is None:
        return None
    if not text.strip():
        return ""
    from promptyoself.domain.content import parse_content

    return parse_content(text)


def _skip_on(call: Call) -> Holidays | Literal[""] | None:
    """Read the calendar that --skip-on names, now and never again; an empty name clears the one that is stored."""
    name = call.text("skip_on")
    if name is None:
        return None
    if not name.strip():
        return ""
    from promptyoself.interfaces.holiday_files import read_holidays

    return read_holidays(name, now=call.services.clock.now())


def _check_agent_of(call: Call, request: ScheduleRequest) -> list[str]:
    """Ask Letta about the agent of a new schedule, once the whole request is known to be sound. Raises as define."""
    defaults = call.services.defaults
    if (request.target or defaults.target) != _LETTA or call.is_set("skip_validation"):
        return []  # storing it looks through the request anyway
    return _check_agent(call, define(request, defaults, now=call.services.clock.now()))


def _check_agent(call: Call, definition: Definition) -> list[str]:
    """Ask Letta about the agent. Raises AgentNotFound and ConfigError; an answer that cannot be had is a warning."""
    from promptyoself.domain.errors import AgentNotFound

    if definition.target != _LETTA or call.is_set("skip_validation"):
        return []
    try:
        call.services.check_agent(definition.agent_id)
    except AgentNotFound as error:
        raise AgentNotFound(error.message, hint=f"{error.hint}; --skip-validation stores it all the same") from error
    except TargetError as error:
        return [f"the agent was not checked, and prompts wait until Letta answers: {error.message}"]
    return []


def outlook_of(stored: Schedule, warnings: list[str], *, now: datetime) -> Document:
    """Return what lies ahead of a schedule: now, its rule in words, its next fires, what may surprise.

    A pause leaves out what comes before it ends.
    """
    trigger = stored.definition.trigger
    coming = _ahead(stored, now=now)
    return {
        "now": wire.instant(now, trigger.timezone),
        **_in_words(stored, coming),
        "warnings": warnings_of(coming)
        + hold_of(coming, stored.definition)
        + warnings
        + warnings_for(trigger, now=now)
        + holiday_warnings(stored.definition, now=now),
        **wire.calendar(stored.definition.policy),
    }


def _coming(stored: Schedule, *, now: datetime) -> Document:
    """Return a schedule's rule in words and its next fires."""
    return _in_words(stored, _ahead(stored, now=now))


def _in_words(stored: Schedule, coming: Outlook) -> Document:
    trigger = stored.definition.trigger
    return {
        "next_runs": [wire.instant(one.fire_at, trigger.timezone) for one in coming.openings],
        "description": describe(trigger),
    }


def _ahead(stored: Schedule, *, now: datetime) -> Outlook:
    if stored.state is not ScheduleState.PAUSED:
        return outlook(stored, now=now, count=limits.NEXT_RUNS_SHOWN)
    if stored.paused_until is None:
        return Outlook((), 0, None, None)
    return outlook(stored, now=max(now, stored.paused_until), count=limits.NEXT_RUNS_SHOWN)


def holiday_warnings(definition: Definition, *, now: datetime) -> list[str]:
    """Return what is worth saying about a definition's calendar: that it ends soon, or has ended."""
    if definition.policy.skip_on is None:
        return []
    from promptyoself.application.calendars import calendar_warnings

    return calendar_warnings(definition.policy.skip_on, now=now)


def next_sentence(stored: Schedule, put_off: datetime | None, *, now: datetime) -> str:
    """Say what comes next of a schedule: what was put off (when it comes), then the next fire time."""
    timezone = stored.definition.trigger.timezone
    next_at = next_to_send(stored)
    if next_at is not None:
        coming = f"Next: {moment(next_at, timezone, now=now)}"
    else:
        coming = "It does not fire again." if stored.next_fire_at is None else "Every fire time is skipped."
    if put_off is None:
        return coming
    after = f"; then {moment(next_at, timezone, now=now)}" if next_at is not None else f". {coming}"
    first = f"Next: {moment(put_off, timezone, now=now)}, put off until then"
    return first + after if next_at is None or put_off < next_at else coming


def _lost(before: Schedule | None, stored: Schedule, *, now: datetime) -> str:
    """Say that a rule which starts anew has forgotten what was skipped or snoozed of the old one."""
    was = before.passed_until if before is not None else None
    if was is None or was <= now or stored.passed_until is not None:
        return ""
    until = moment(was, stored.definition.trigger.timezone, now=now)
    return f" Its rule starts anew: what was skipped or snoozed, up to {until}, is no longer."


def _is_for_all(call: Call) -> bool:
    is_all = call.is_set("all")
    if is_all == (call.number("id") is not None):
        raise UsageError(f"{call.command.name} needs either --id or --all", hint=call.command.example)
    return is_all
