"""`journal`: what happened, from any place on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptyoself.interfaces import wire

if TYPE_CHECKING:
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document

_LIMIT_DEFAULT = 100


def journal(call: Call) -> Document:
    """Return facts of the journal, each with its sentence, and the id to go on after."""
    from promptyoself.application.journal import Wanted, gather, kinds_of
    from promptyoself.domain import limits
    from promptyoself.interfaces.why import sentence

    events = call.text("events")
    wanted = Wanted(
        caller=call.caller,
        agent_id=call.text("agent_id"),
        schedule_id=call.number("id"),
        kinds=kinds_of(events) if events is not None else None,
    )
    limit = min(call.number("limit") or _LIMIT_DEFAULT, limits.JOURNAL_LOOKED_AT_MAX)
    with call.services.store.reading() as tx:
        page = gather(tx, wanted, call.number("after"), limit=limit)
    return wire.success(
        events=[wire.event(one, sentence(one.fact)) for one in page.told],
        count=len(page.told),
        next_after=page.until,
        newest=page.newest,
        gap=wire.gap(page.gap),
    )
