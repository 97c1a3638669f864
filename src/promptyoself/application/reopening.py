"""An edit must not lose what was due: it is opened again under the new revision."""

from __future__ import annotations

from datetime import datetime

from promptyoself.domain.keys import idempotency_key
from promptyoself.domain.models import Delivery, NewDelivery, Schedule
from promptyoself.domain.ports import Tx
from promptyoself.domain.values import replace


def reopen(tx: Tx, schedule: Schedule, old: Delivery, *, now: datetime) -> None:
    """Open `old`, which has ended, again under the schedule's revision; what may have arrived is still marked so."""
    key = idempotency_key(tx.store_uid(), schedule.uid, revision=schedule.revision, kind=old.kind, fire_at=old.fire_at)
    opened = tx.add_delivery(
        NewDelivery(
            schedule_id=schedule.id,
            revision=schedule.revision,
            kind=old.kind,
            target=schedule.definition.target,
            lane=schedule.lane,
            key=key,
            fire_at=old.fire_at,
            planned_at=old.planned_at,
            snoozed_until=old.snoozed_until,
            fire_number=old.fire_number,
            missed=old.missed,
            created_at=now,
        ),
        retry_until=old.retry_until,
    )
    if opened is not None and (old.attempts or old.maybe_repeat):
        tx.save_delivery(replace(opened, attempts=old.attempts, maybe_repeat=old.maybe_repeat), was=opened)
