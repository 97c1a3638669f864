"""The commands for a database that goes to another place, or comes back from a copy."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from promptyoself.domain import limits
from promptyoself.interfaces import wire
from promptyoself.interfaces.phrases import counted, moment, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptyoself.domain.access import Token
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document


def db_move(call: Call) -> Document:
    """Move it, telling stderr how it goes; or take back what is not finished."""
    source, target = call.text("from") or "", call.text("to") or ""
    if call.is_set("undo"):
        stays, other = call.services.undo_move(source, target)
        return wire.success(
            moved_from=None, moved_to=None, rows=0, tables=[], message=f"{stays} goes on; nothing is live in {other}"
        )
    wait = timedelta(seconds=call.seconds("wait", limits.MOVE_WAIT.total_seconds()))
    report = call.services.move_database(source, target, wait=wait, tell=lambda line: _tell(call, line))
    rows = sum(one.rows for one in report.tables)
    return wire.success(
        moved_from=report.left,
        moved_to=report.live,
        rows=rows,
        tables=[{"table": one.name, "rows": one.rows, "checksum": one.checksum} for one in report.tables],
        message=f"{report.live} is live with all {rows} rows of {report.left}, which takes no writes any more. "
        "Set PROMPTYOSELF_DB to it, and start again what ran there",
    )


def db_restored(call: Call) -> Document:
    """Make a database that was restored from a copy safe to start on."""
    from promptyoself.application.restored import note_restored

    services = call.services
    timezone, location = services.defaults.timezone, services.store.location
    with services.store.transaction() as tx:
        now = services.clock.now()
        given = call.instant("in_use_until", timezone=timezone, now=now)
        done = note_restored(tx, in_use_until=given, location=location, caller=call.caller, now=now)
    due, until = done.due, moment(done.in_use_until, timezone, now=now)
    again = "" if done.was_known_until is None else " It had been said before; its ids were moved on once more."
    return wire.success(
        database=location,
        in_use_until=wire.instant(done.in_use_until, timezone),
        was_known_until=wire.instant(done.was_known_until, timezone),
        looked_for_first=due._asdict(),
        ids_left_out=[one._asdict() for one in done.ids],
        tokens=[wire.token(one, timezone, now=now) for one in done.tokens],
        message=f"{location} may be started on. What was due until {until} is looked for at its target before it is "
        f"sent: {counted(due.deliveries, 'prompt')} that waited, {counted(due.in_flight, 'prompt')} in flight, and "
        f"what {counted(due.schedules, 'schedule')} will catch up with. {_reminder(done.tokens)}{again}",
    )


def _reminder(tokens: Sequence[Token]) -> str:
    """Say what nobody but a person knows."""
    if not tokens:
        return "No token is valid."
    are = "1 token is" if len(tokens) == 1 else f"{len(tokens)} tokens are"
    return f"{are} valid: what was revoked after the copy was made is to be revoked again."


def _tell(call: Call, line: str) -> None:
    if call.stderr is not None:
        print(printable(line), file=call.stderr, flush=True)
