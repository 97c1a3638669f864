"""The commands about deliveries, receipts, the journal and the mailbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptyoself.application import deliveries as use
from promptyoself.application import schedules
from promptyoself.domain.errors import UsageError
from promptyoself.domain.models import DeliveryState
from promptyoself.interfaces import wire
from promptyoself.interfaces.pages import DELIVERED, page, place, rows_of, words
from promptyoself.interfaces.phrases import moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from promptyoself.domain.models import Delivery
    from promptyoself.domain.ports import Tx
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document

LIMIT_DEFAULT = 100


def history(call: Call) -> Document:
    """Show the deliveries of a schedule with every attempt, newest first."""
    limit = _limit(call)
    with call.services.store.reading() as tx:
        stored = schedules.find(tx, call.id, caller=call.caller)
        before_id = place(call.text("cursor"), kind=DELIVERED)
        found = use.listed(tx, caller=call.caller, schedule_id=call.id, before_id=before_id, limit=rows_of(limit))
        found, next_cursor = page(found, limit, kind=DELIVERED, ids=[one.id for one in found])
        timezone = stored.definition.trigger.timezone
        receipts = [wire.receipt(one, tx.attempts(one.id), timezone) for one in found]
    return wire.success(
        id=stored.id, deliveries=receipts, count=len(receipts), timezone=timezone, next_cursor=next_cursor
    )


def explain(call: Call) -> Document:
    """Tell the story of a schedule from its journal."""
    from promptyoself.interfaces.why import standing, story

    services = call.services
    with services.store.reading() as tx:
        now = services.clock.now()
        stored = schedules.find(tx, call.id, caller=call.caller)
        facts = use.facts(tx, call.id, limit=_limit(call))
        sentences = story(facts, stored.definition.trigger.timezone)
        sentences += standing(tx, stored, now=now)
    return wire.success(id=stored.id, sentences=sentences, count=len(sentences))


def deliveries(call: Call) -> Document:
    """List deliveries, newest first."""
    limit = _limit(call)
    with call.services.store.reading() as tx:
        found = use.listed(
            tx,
            caller=call.caller,
            agent_id=call.text("agent_id"),
            schedule_id=call.number("schedule_id"),
            states=words(call.text("state"), DeliveryState, "state"),
            before_id=place(call.text("cursor"), kind=DELIVERED),
            limit=rows_of(limit),
        )
        found, next_cursor = page(found, limit, kind=DELIVERED, ids=[one.id for one in found])
        zones = _zones(tx, found)
    shown = [wire.delivery(one, zones.get(one.schedule_id, "UTC")) for one in found]
    return wire.success(deliveries=shown, count=len(shown), next_cursor=next_cursor)


def retry(call: Call) -> Document:
    """Try a delivery again."""
    services = call.services
    with services.store.transaction() as tx:
        now = services.clock.now()
        revived = use.retry_by_hand(tx, call.id, caller=call.caller, now=now)
        zones = _zones(tx, [revived])
    timezone = zones.get(revived.schedule_id, "UTC")
    when = "now" if revived.due_at <= now else f"again at its time, {moment(revived.due_at, timezone, now=now)}"
    return wire.success(delivery=wire.delivery(revived, timezone), message=f"Delivery {revived.id} is due {when}")


def inbox(call: Call) -> Document:
    """Read a mailbox."""
    services = call.services
    agent_id = call.text("agent_id") or services.defaults.agent_id
    if agent_id is None:
        raise UsageError("inbox needs --agent-id", hint="or set LETTA_AGENT_ID")
    with services.store.reading() as tx:
        found = use.inbox(tx, agent_id, caller=call.caller, include_acked=call.is_set("all"), limit=_limit(call))
        now = services.clock.now()
    timezone = services.defaults.timezone
    return wire.success(
        messages=[wire.message(one, timezone) for one in found],
        count=len(found),
        agent_id=agent_id,
        now=wire.instant(now, timezone),
        timezone=timezone,
    )


def ack(call: Call) -> Document:
    """Acknowledge a message."""
    services = call.services
    with services.store.transaction() as tx:
        now = services.clock.now()
        message = use.ack(tx, call.id, caller=call.caller, now=now)
    timezone = services.defaults.timezone
    return wire.success(message=wire.message(message, timezone), now=wire.instant(now, timezone), timezone=timezone)


def _limit(call: Call) -> int:
    return call.number("limit") or LIMIT_DEFAULT


def _zones(tx: Tx, found: Iterable[Delivery]) -> dict[int, str]:
    """Return the time zone of each schedule that has a delivery here."""
    stored = (tx.schedule(schedule_id) for schedule_id in {one.schedule_id for one in found})
    return {one.id: one.definition.trigger.timezone for one in stored if one is not None}
