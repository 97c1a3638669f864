"""The commands about what comes next: leave it out, or put it off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from promptyoself.application import schedules
from promptyoself.application.skips import skip as skip_next
from promptyoself.application.snoozes import PutOff
from promptyoself.application.snoozes import snooze as put_off
from promptyoself.domain.errors import UsageError
from promptyoself.domain.outlook import next_to_send
from promptyoself.domain.triggers import parse_duration
from promptyoself.interfaces import wire
from promptyoself.interfaces.advice import running_warnings
from promptyoself.interfaces.cli_schedules import check_match, next_sentence
from promptyoself.interfaces.phrases import moment

if TYPE_CHECKING:
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document

_WHAT: Final = {
    PutOff.WAITING: "What was waiting to be sent comes",
    PutOff.IN_FLIGHT: "What the agent is dealing with now comes again",
    PutOff.NEXT: "The next fire time is put off; it comes",
}


def skip(call: Call) -> Document:
    """Pass over the next fire times."""
    services = call.services
    uid = services.store.uid
    with services.store.transaction() as tx:
        now = services.clock.now()
        check_match(tx, call)
        count = call.number("count") or 1
        done = skip_next(
            tx, call.id, count=count, reason=call.text("reason"), caller=call.caller, store_uid=uid, now=now
        )
        put_off = schedules.snoozed_until(tx, call.id, now=now)
    stored = done.schedule
    timezone = stored.definition.trigger.timezone
    times = "1 fire time" if count == 1 else f"{count} fire times"
    return wire.success(
        skipped=[wire.run(at, timezone) for at in done.fire_times],
        delivery_ids=[one.id for one in done.deliveries],
        next_run=wire.instant(next_to_send(stored), timezone),
        schedule=wire.schedule(stored, snoozed_until=put_off),
        message=f"Skipped {times} of schedule {stored.id}. {next_sentence(stored, put_off, now=now)}",
    )


def snooze(call: Call) -> Document:
    """Put off what is next."""
    services = call.services
    uid, lasting, until = services.store.uid, call.text("for"), call.text("until")
    if (lasting is None) == (until is None):
        raise UsageError("snooze needs either --for or --until", hint=call.command.example)
    with services.store.transaction() as tx:
        now = services.clock.now()
        check_match(tx, call)
        timezone = schedules.find(tx, call.id, caller=call.caller).definition.trigger.timezone
        done = put_off(
            tx,
            call.id,
            lasting=parse_duration(lasting, what="--for") if lasting is not None else None,
            until=call.instant("until", timezone=timezone, now=now),
            caller=call.caller,
            store_uid=uid,
            now=now,
        )
        warnings = running_warnings(tx, now=now)
    comes_at = done.delivery.planned_at
    return wire.success(
        put_off=done.what.value,
        delivery=wire.delivery(done.delivery, timezone),
        comes_at=wire.instant(comes_at, timezone),
        next_run=wire.instant(next_to_send(done.schedule), timezone),
        message=f"{_WHAT[done.what]} {moment(comes_at, timezone, now=now)}, as delivery {done.delivery.id}",
        warnings=warnings,
    )
