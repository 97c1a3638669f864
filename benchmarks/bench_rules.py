"""Rules: what a fire time costs, as ratios within one run, so that a slow machine measures the same.

Prints the cost of the next fire with a DTSTART in 1970 beside one of today, and of ours beside cronsim's alone.

    python benchmarks/bench_rules.py
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice

from cronsim import CronSim

from promptyoself.domain.triggers import Trigger, TriggerKind, fire_times, next_fire_at

NOW = datetime(2027, 3, 24, 10, 0, tzinfo=UTC)
ZONE = "Europe/Riga"
QUESTIONS = 300
FIRES = 2000
OLD_TO_NEW_MAX = 3.0
OURS_TO_CRONSIM_MAX = 2.0
RULES = ["FREQ=MINUTELY;INTERVAL=7", "FREQ=SECONDLY;INTERVAL=7", "FREQ=DAILY;INTERVAL=7", "FREQ=MONTHLY;INTERVAL=5"]
CRONS = ["*/5 * * * *", "0 9 * * mon-fri", "30 8,17 * * *", "0 9 13 * fri", "0 9 * * 5#2", "0 0 1 * *"]


def main() -> int:
    """Print the ratios; 1 when one of them is past its bound."""
    worst_old = worst_cron = 0.0
    print("next fire, DTSTART in 1970 to DTSTART today")
    for rule in RULES:
        old, new = (_next_us(_rrule(rule, year)) for year in (1970, 2027))
        worst_old = max(worst_old, old / new)
        print(f"  {rule:28} {old:8.1f} us {new:8.1f} us   {old / new:5.2f}")
    print("cron in a zone, to cronsim on naive walls: next fire, then each fire of many")
    for expression in CRONS:
        trigger = Trigger(kind=TriggerKind.CRON, expression=expression, timezone=ZONE, anchor_at=NOW)
        ours, theirs = _next_us(trigger), _best_us(lambda text=expression: _cronsim(text, QUESTIONS), QUESTIONS)
        each = _best_us(lambda rule=trigger: _walk(rule), FIRES)
        each_theirs = _best_us(lambda text=expression: _cronsim_walk(text), FIRES)
        worst_cron = max(worst_cron, each / each_theirs)
        print(f"  {expression:28} {ours:8.1f} us {theirs:8.1f} us   {ours / theirs:5.2f}", end="")
        print(f"   {each:8.2f} us {each_theirs:8.2f} us   {each / each_theirs:5.2f}")
    return int(worst_old > OLD_TO_NEW_MAX or worst_cron > OURS_TO_CRONSIM_MAX)


def _rrule(rule: str, year: int) -> Trigger:
    text = f"DTSTART:{year}0104T003000\nRRULE:{rule}"
    return Trigger(kind=TriggerKind.RRULE, expression=text, timezone=ZONE, anchor_at=NOW)


def _next_us(trigger: Trigger) -> float:
    def ask() -> None:
        for count in range(QUESTIONS):
            next_fire_at(trigger, after=NOW + timedelta(hours=7 * count))

    return _best_us(ask, QUESTIONS)


def _walk(trigger: Trigger) -> None:
    for _ in islice(fire_times(trigger, after=NOW), FIRES):
        pass


def _cronsim(expression: str, questions: int) -> None:
    for count in range(questions):
        next(CronSim(expression, NOW.replace(tzinfo=None) + timedelta(hours=7 * count)))


def _cronsim_walk(expression: str) -> None:
    for _ in islice(CronSim(expression, NOW.replace(tzinfo=None)), FIRES):
        pass


def _best_us(what: Callable[[], None], count: int) -> float:
    """Microseconds of CPU for one of `count`: the best of three runs, after one that warms the caches."""
    what()
    best = float("inf")
    for _ in range(3):
        begin = time.process_time()
        what()
        best = min(best, time.process_time() - begin)
    return best / count * 1e6


if __name__ == "__main__":
    sys.exit(main())
