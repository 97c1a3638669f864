"""Rows of a step to models and back, many at once: tuples in the order of the statements' columns, arrays as text.

The same mapping as rows.py, without a dictionary for each row. Arrays are written as PostgreSQL reads them: that costs
a tenth of what a general adapter takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from promptyoself.domain.models import Attempt, Delivery, DeliveryKind, DeliveryState, Schedule
from promptyoself.storage.rows import Values, instant, instant_or_none

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_STATES: Final = {str(state): state for state in DeliveryState}
_KINDS: Final = {str(kind): kind for kind in DeliveryKind}


def delivery_of(row: tuple[Any, ...]) -> Delivery:
    """Return the 31 columns of a delivery, as `step_deliveries` lists them, as a delivery. Raises ValueError kin."""
    (
        id, schedule_id, revision, kind, target, lane, key, fire_at, planned_at, fire_number, missed, state, reason,
        error_code, due_at, lease_token, attempts, refusals, failures, maybe_repeat, retry_until, unknown_since,
        cancel_requested, run_id, reply_excerpt, first_sent_at, sent_at, accepted_at, finished_at, created_at,
        snoozed_until,
    ) = row  # fmt: skip
    return Delivery(
        id=id,
        schedule_id=schedule_id,
        revision=revision,
        kind=_KINDS[kind],
        target=target,
        lane=lane,
        key=key,
        fire_at=(fires_at := instant(fire_at)),
        planned_at=fires_at if planned_at == fire_at else instant(planned_at),
        fire_number=fire_number,
        missed=missed,
        state=_STATES[state],
        reason=reason,
        error_code=error_code,
        due_at=fires_at if due_at == fire_at else instant(due_at),
        lease_token=lease_token,
        attempts=attempts,
        refusals=refusals,
        failures=failures,
        maybe_repeat=bool(maybe_repeat),
        retry_until=instant(retry_until),
        unknown_since=instant_or_none(unknown_since),
        cancel_requested=bool(cancel_requested),
        run_id=run_id,
        reply_excerpt=reply_excerpt,
        first_sent_at=instant_or_none(first_sent_at),
        sent_at=instant_or_none(sent_at),
        accepted_at=instant_or_none(accepted_at),
        finished_at=instant_or_none(finished_at),
        created_at=instant(created_at),
        snoozed_until=instant_or_none(snoozed_until),
    )


def places(schedules: Iterable[Schedule]) -> Values:
    """Return where schedules stand, as `step_save_schedules` takes it."""
    now = list(schedules)
    return {
        "id": numbers([one.id for one in now]),
        "state": texts([one.state for one in now]),
        "state_reason": texts([one.state_reason for one in now]),
        "paused_until": instants([one.paused_until for one in now]),
        "next_fire_at": instants([one.next_fire_at for one in now]),
        "passed_until": instants([one.passed_until for one in now]),
        "last_fire_at": instants([one.last_fire_at for one in now]),
        "fire_count": numbers([one.fire_count for one in now]),
        "finals_in_row": numbers([one.finals_in_row for one in now]),
        "updated_at": instants([one.updated_at for one in now]),
    }


def new_attempts(attempts: Sequence[Attempt]) -> Values:
    """Return attempts just begun, as `step_add_attempts` takes them."""
    return {
        "id": numbers([one.id for one in attempts]),
        "delivery_id": numbers([one.delivery_id for one in attempts]),
        "number": numbers([one.number for one in attempts]),
        "executor_id": texts([one.executor_id for one in attempts]),
        "otid": texts([one.otid for one in attempts]),
        "started_at": instants([one.started_at for one in attempts]),
    }


# -- arrays -------------------------------------------------------------------------------------------------


def numbers(values: Iterable[int | None]) -> str:
    """Return numbers as an array."""
    return "{" + ",".join(["NULL" if value is None else f"{value:d}" for value in values]) + "}"


def instants(values: Iterable[datetime | None]) -> str:
    """Return aware instants as an array of microseconds."""
    return "{" + ",".join(["NULL" if at is None else str((at - _EPOCH) // _MICROSECOND) for at in values]) + "}"


def texts(values: Sequence[str | None]) -> str:
    """Return texts, words of an enumeration too, as an array."""
    all_of_them = "".join([value for value in values if value is not None])
    if "\\" in all_of_them or '"' in all_of_them:
        values = [None if value is None else _escaped(value) for value in values]
    return "{" + ",".join(["NULL" if value is None else f'"{value}"' for value in values]) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
