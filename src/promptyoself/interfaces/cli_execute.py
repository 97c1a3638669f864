"""Delivering: one pass, or for as long as it runs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from promptyoself.domain import limits
from promptyoself.domain.errors import UsageError
from promptyoself.interfaces import wire

if TYPE_CHECKING:
    from promptyoself.application.passes import Entry
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document


def execute(call: Call) -> Document:
    """Make one pass, or deliver until a signal."""
    log_to_stderr(call)
    return _loop(call) if call.is_set("loop") else _once(call)


def _once(call: Call) -> Document:
    if call.seconds("interval", 0):
        raise UsageError("--interval belongs to --loop", hint="promptyoself execute --loop --interval 60")
    _refuse_what_was_moved(call)
    wait = timedelta(seconds=call.seconds("wait", limits.WAIT_DEFAULT_S))
    entries = call.services.execute(wait=wait, on_entry=lambda entry: call.say(sentence(entry)))
    prompts = "1 prompt" if len(entries) == 1 else f"{len(entries)} prompts"
    return wire.success(executed=[wire.executed(entry) for entry in entries], message=f"{prompts} executed")


def _refuse_what_was_moved(call: Call) -> None:
    """Raise StoreMoved on a database that was left: nothing is ever due there, and that would pass for success."""
    services = call.services
    with services.store.reading() as tx:
        switch = tx.stop_switch()
    if switch is not None and switch.moves_to is not None:
        from promptyoself.application.readiness import write_and_undo

        write_and_undo(services.store, now=services.clock.now(), by="execute")  # a move that is under way lets it pass


def _loop(call: Call) -> Document:
    interval = timedelta(seconds=call.seconds("interval", limits.INTERVAL_DEFAULT_S))
    call.services.open_in_time(lambda reason: tell_waiting(call, "execute", reason))
    call.say(f"Delivering from {call.services.store.location}. Ctrl-C ends it in good order.")
    report = call.services.run_loop(interval=interval, mode="loop", on_entry=lambda entry: call.say(sentence(entry)))
    return wire.success(
        count=report.accepted,
        reports=report.deliveries,
        clean=report.is_clean,
        message=f"Scheduler stopped; {report.accepted} prompts executed",
    )


def sentence(entry: Entry) -> str:
    """Return what became of one delivery, for a person."""
    about = f"#{entry.schedule.id} to {entry.schedule.definition.agent_id}: {entry.outcome}"
    lateness = entry.delivery.lateness
    late = f", {lateness.total_seconds():.1f} s late" if lateness is not None else ""
    if entry.is_delivered:
        return f"{about} (delivery {entry.delivery.id}{late})"
    return f"{about} (delivery {entry.delivery.id}, attempt {entry.attempt}): {entry.error}"


def tell_waiting(call: Call, command: str, reason: str) -> None:
    """Say why a service does not begin: to a person on the terminal, else on stderr, where a service's log is."""
    if call.person is not None:
        call.say(f"Waiting: {reason}")
    elif call.stderr is not None:
        print(f"{command}.waiting reason={reason!r}", file=call.stderr, flush=True)


def log_to_stderr(call: Call) -> None:
    """Send this process's log to stderr, from the level that PROMPTYOSELF_LOG says."""
    import logging

    levels = {one.name: one.value for one in call.services.settings}
    logging.basicConfig(
        stream=call.stderr,
        level=levels.get("PROMPTYOSELF_LOG", "warning").upper(),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
