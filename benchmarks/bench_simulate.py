"""A year of 1,000 schedules: what `simulate` costs, as a multiple of a bare walk over the same fire times.

python benchmarks/bench_simulate.py [SCHEDULES] [DAYS]
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice

from promptyoself.application.simulating import Gathered, Question, simulate
from promptyoself.application.simulation import Scene
from promptyoself.domain.models import Definition, Provenance, Schedule, ScheduleState
from promptyoself.domain.triggers import TriggerKind, fire_times, make_trigger

BEGIN = datetime(2027, 1, 1, tzinfo=UTC)
ZONES = ("Europe/Riga", "America/New_York", "Asia/Tokyo", "UTC")
AGENTS = 211
RATIO_MAX = 40.0


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    days = float(sys.argv[2]) if len(sys.argv) > 2 else 365
    until = BEGIN + timedelta(days=days)
    schedules = list(islice(_schedules(), count))
    walk_s, fires = _walk(schedules, until)
    began_s = time.process_time()
    total = _simulate(schedules, until).total
    took_s = time.process_time() - began_s
    tracemalloc.start()
    _simulate(schedules[::10], until)
    peak_mb = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    ratio, fire_us = took_s / walk_s, 1e6 * took_s / fires
    print(f"simulate: {count} schedules, {days:.0f} days, {fires} fires: {took_s:.1f} s, {fire_us:.1f} us a fire")
    print(f"  {ratio:.1f} times a bare walk ({walk_s:.1f} s); every tenth schedule takes {peak_mb:.1f} MB")
    return 0 if total.fires == fires and ratio < RATIO_MAX else 1


def _schedules() -> Iterator[Schedule]:
    """Of a hundred: 5 hourly, 1 each half hour, 44 daily, 30 on weekdays, 15 weekly, 5 monthly."""
    rules = ["0 * * * *"] * 5 + ["*/30 * * * *"] + ["{m} {h} * * *"] * 44 + ["{m} {h} * * mon-fri"] * 30
    rules += ["{m} {h} * * {d}"] * 15 + ["{m} {h} 1 * *"] * 5
    for number, rule in enumerate(cycle(rules)):
        expression = rule.format(m=number * 7 % 60, h=number * 5 % 24, d=number % 7)
        trigger = make_trigger(TriggerKind.CRON, expression, timezone=ZONES[number % len(ZONES)], now=BEGIN)
        definition = Definition(
            agent_id=f"agent-{number % AGENTS}", prompt="stretch", trigger=trigger, target="inbox", conversation=None
        )
        yield Schedule(
            id=number + 1,
            uid=f"{number:032x}",
            definition=definition,
            provenance=Provenance(),
            revision=1,
            state=ScheduleState.ACTIVE,
            state_reason=None,
            paused_until=None,
            next_fire_at=next(fire_times(trigger, after=BEGIN)),
            last_fire_at=None,
            fire_count=0,
            finals_in_row=0,
            created_at=BEGIN,
            updated_at=BEGIN,
        )


def _walk(schedules: list[Schedule], until: datetime) -> tuple[float, int]:
    began_s = time.process_time()
    fires = sum(sum(1 for _ in fire_times(one.definition.trigger, after=BEGIN, until=until)) for one in schedules)
    return time.process_time() - began_s, fires


def _simulate(schedules: list[Schedule], until: datetime):  # noqa: ANN202  a Forecast
    question = Question(
        begin_at=BEGIN,
        until=until,
        timezone="Europe/Riga",
        run_time=timedelta(seconds=30),
        outages=(),
        rows_max=100,
    )
    return simulate(Gathered(scene=Scene(now=BEGIN, schedules=schedules), shown=None, warnings=[]), question)


if __name__ == "__main__":
    sys.exit(main())
