"""`completion`: the scripts by which shells complete, and the ids that the scripts ask for."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from promptyoself.interfaces import wire
from promptyoself.interfaces.phrases import excerpt, printable

if TYPE_CHECKING:
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document

IDS_WITHIN_S: Final = 2.0
"""Somebody waits at a prompt with the TAB key down: no ids are better than late ones."""
_NAME_CHARS_MAX: Final = 40


def completion(call: Call) -> Document:
    """Print a shell's script; or ids of schedules with their names, one a line, as the scripts ask for them."""
    shell = call.text("shell") or ""
    if shell == "ids":
        return _ids(call)
    from promptyoself.interfaces.completion import script

    text = script(shell)
    call.say(text.rstrip("\n"))
    return wire.success(shell=shell, script=text)


def _ids(call: Call) -> Document:
    # SIGALRM ends the process also where it waits inside SQLite or for a dead network disk.
    signal.setitimer(signal.ITIMER_REAL, IDS_WITHIN_S)
    try:
        found = _schedules(call)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if call.person is not None:
        for one in found:
            print(f"{one['id']}\t{printable(one['name'])}", file=call.person)
    return wire.success(schedules=found, count=len(found))


def _schedules(call: Call) -> list[Document]:
    """Return id and name of the schedules that are not finished; a look must not make a file."""
    from promptyoself.application import schedules

    if call.services.fleet is None:
        path = next(one.value for one in call.services.settings if one.name == "PROMPTYOSELF_DB")
        if not Path(path).is_file():
            return []
    with call.services.store.reading() as tx:
        found = schedules.listed(tx, caller=call.caller, agent_id=None, include_finished=False)
    names = [(one.id, one.definition.name or one.definition.prompt) for one in found]
    return [{"id": schedule_id, "name": excerpt(name, _NAME_CHARS_MAX)} for schedule_id, name in names]
