"""The JSON shape of a forecast (docs/cli.md, `simulate`); what wire.py is for everything that is stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from promptyoself.application.forecast import Tally
from promptyoself.domain.localtime import to_wall, zone
from promptyoself.interfaces import wire

if TYPE_CHECKING:
    from promptyoself.application.forecast import Ending, Forecast, Row
    from promptyoself.application.simulating import Question
    from promptyoself.interfaces.wire import Document

_SUMS = ("fires", "sent", "skipped", "held", "late", "waiting")


def document(forecast: Forecast, question: Question, *, names: Mapping[int, str | None]) -> Document:
    """Return what `simulate` answers; instants of sums are in the question's zone, of runs in their schedule's."""
    timezone = question.timezone
    total = forecast.total
    return {
        "from": wire.instant(question.begin_at, timezone),
        "until": wire.end(question.until, timezone),
        "timezone": timezone,
        "schedules": len(forecast.courses),
        "totals": {
            **_sums(total),
            "carried_over": forecast.carried_over,
            "reasons": dict(forecast.reasons.most_common()),
            "busiest_minute": _busiest(forecast, timezone),
            "longest_wait": _longest(forecast),
            "crowded_minutes": forecast.crowded_minutes,
            "by_agent": _by_agent(forecast),
            "by_schedule": [
                {
                    "schedule_id": one.id,
                    "name": names.get(one.id),
                    "agent_id": one.definition.agent_id,
                    **_sums(one.tally),
                }
                for one in sorted(forecast.courses, key=lambda one: one.id)
            ],
        },
        "days": list(_days(forecast, question)),
        "collisions": [
            {
                "at": wire.instant(one.minute, timezone),
                "agent_id": one.agent_id,
                "fires": one.fires,
                "schedule_ids": list(one.schedule_ids),
            }
            for one in forecast.crowds
        ],
        "completed": [_ending(one, timezone) for one in forecast.endings],
        "paused": [_ending(one, timezone) for one in forecast.pauses],
        "runs": [_run(one) for one in forecast.rows],
        "runs_left_out": max(0, total.fires + forecast.carried_over - len(forecast.rows)),
    }


def _sums(tally: Tally) -> Document:
    return {name: getattr(tally, name) for name in _SUMS}


def _by_agent(forecast: Forecast) -> list[Document]:
    sums: dict[str, Tally] = {}
    for one in forecast.courses:
        sums.setdefault(one.definition.agent_id, Tally()).add(one.tally)
    return [{"agent_id": agent_id, **_sums(sums[agent_id])} for agent_id in sorted(sums)]


def _days(forecast: Forecast, question: Question) -> Iterator[Document]:
    """Yield every day of the span, those without a fire time too."""
    here = zone(question.timezone)
    known = {day.day: day for day in forecast.days}
    day, last = to_wall(question.begin_at, here).date(), to_wall(question.until, here).date()
    while day <= last:
        yield {"day": day.isoformat(), **_sums(known.get(day) or Tally())}
        day += timedelta(days=1)


def _busiest(forecast: Forecast, timezone: str) -> Document | None:
    found = forecast.busiest
    return None if found is None else {"at": wire.instant(found.minute, timezone), "fires": found.fires}


def _longest(forecast: Forecast) -> Document | None:
    if forecast.latest is None:
        return None
    late, course, fire_at = forecast.latest
    return {
        "at": wire.instant(fire_at, course.definition.trigger.timezone),
        "schedule_id": course.id,
        "late_s": late.total_seconds(),
    }


def _ending(one: Ending, timezone: str) -> Document:
    return {"schedule_id": one.schedule_id, "at": wire.instant(one.at, timezone), "reason": one.reason}


def _run(row: Row) -> Document:
    timezone = row.course.definition.trigger.timezone
    return {
        **wire.run(row.fire_at, timezone),
        "schedule_id": row.course.id,
        "agent_id": row.course.definition.agent_id,
        "sent_at": wire.instant(row.sent_at, timezone),
        "outcome": row.outcome,
        "reason": row.reason,
        "held": row.is_held,
        "late_s": None if row.late is None else row.late.total_seconds(),
        "missed": row.missed,
        "delivery_id": row.delivery_id,
    }
