"""The command that moves the database to another place."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from promptyoself.domain import limits
from promptyoself.interfaces import wire
from promptyoself.interfaces.phrases import printable

if TYPE_CHECKING:
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


def _tell(call: Call, line: str) -> None:
    if call.stderr is not None:
        print(printable(line), file=call.stderr, flush=True)
