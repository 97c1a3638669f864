"""Fills a database with as many rows as a busy year leaves, quickly: by a few statements, on both dialects.

Ten schedules are one agent's; some are paused or cancelled; half of them the agents own.
Every fifth has had a delivery that is over, every fiftieth has one that waits for its retry. All fire daily at the time
of day of `now`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

SCHEDULES_AN_AGENT: Final = 10
FIRST_AHEAD: Final = timedelta(days=1)
"""From now to the next fire time of the first schedule; each next one's is a second later."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SERIES: Final = {
    "postgres": "generate_series(CAST(1 AS bigint), {rows}) AS series (n)",
    "sqlite": "(WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted LIMIT {rows})"
    " SELECT n FROM counted)",
}
_HEX: Final = {"postgres": "lpad(to_hex(n), 32, '0')", "sqlite": "printf('%032x', n)"}
_STATEMENTS: Final = (
    """
    INSERT INTO schedules (
        uid, agent_id, target, trigger_kind, trigger_expression, trigger_timezone, trigger_anchor_at, trigger_jitter_us,
        catch_up, overlap, retry_for_us, envelope, owner, created_by, depth, revision, state, next_fire_at, fire_count,
        finals_in_row, created_at, updated_at, prompt)
    SELECT {hex}, 'agent-' || (n % {agents}), 'inbox', 'interval', '1d', 'UTC', {now} - 864000000000, 0,
        'latest', 'skip', 86400000000, 'brief', CASE n % 2 WHEN 0 THEN 'operator' ELSE 'agent-' || (n % {agents}) END,
        'operator via cli', 0, 1,
        CASE n % 100 WHEN 0 THEN 'paused' WHEN 1 THEN 'cancelled' ELSE 'active' END,
        CASE WHEN n % 100 > 1 THEN {ahead} + n * 1000000 END, 0,
        0, {now} - n * 1000000, {now}, 'stretch'
    FROM {series_of_schedules}
    """,
    "INSERT INTO lanes (lane, target) SELECT 'inbox agent-' || n, 'inbox' FROM {series_of_agents}",
    "INSERT INTO lanes (lane, target) VALUES ('inbox agent-0', 'inbox')",
    """
    INSERT INTO deliveries (
        schedule_id, revision, kind, target, lane, key, fire_at, planned_at, fire_number, missed, state, due_at,
        attempts, refusals, failures, maybe_repeat, retry_until, cancel_requested, finished_at, created_at)
    SELECT n * 5, 1, 'scheduled', 'inbox', 'inbox agent-' || ((n * 5) % {agents}), {hex}, {now} - n * 1000000 - 1,
        {now} - n * 1000000, 1, 0, 'delivered', {now} - n * 1000000, 1,
        0, 0, 0, {now}, 0, {now} - n * 1000000, {now} - n * 1000000
    FROM {series_of_deliveries}
    """,
    """
    INSERT INTO deliveries (
        schedule_id, revision, kind, target, lane, key, fire_at, planned_at, fire_number, missed, state, due_at,
        attempts, refusals, failures, maybe_repeat, retry_until, cancel_requested, created_at, is_head)
    SELECT n * 50, 1, 'scheduled', 'inbox', 'inbox agent-' || ((n * 50) % {agents}), {hex}, {now} - n * 1000000,
        {now} - n * 1000000, 1, 0, 'pending', {ahead}, 1, 1, 0, 0, {ahead} + 86400000000, 0, {now} - n * 1000000, 1
    FROM {series_of_waiting}
    """,
    """
    UPDATE lanes SET next_due_at = {ahead} WHERE lane IN (SELECT lane FROM deliveries WHERE state = 'pending')
    """,
    """
    INSERT INTO attempts (delivery_id, number, executor_id, otid, started_at, finished_at, outcome)
    SELECT n, 1, 'e', {hex}, {now} - n * 1000000, {now} - n * 1000000, 'delivered' FROM {series_of_deliveries}
    """,
    """
    INSERT INTO facts (kind, at, schedule_id, delivery_id, actor, detail)
    SELECT 'delivered', {now} - ({deliveries} - n) * 1000000, n * 5, n, 'e', '{{}}' FROM {series_of_deliveries}
    """,
)


def fill(
    run: Callable[[str], object], dialect: str, *, schedules: int, now: datetime, waiting: int | None = None
) -> None:
    """Store so many schedules, and what belongs to them, by statements that `run` executes.

    `waiting` deliveries wait for their retry; a fiftieth of the schedules, when it is not given.
    """
    micros = (now - _EPOCH) // timedelta(microseconds=1)
    agents, deliveries = schedules // SCHEDULES_AN_AGENT, schedules // 5
    series = _SERIES[dialect]
    for statement in _STATEMENTS:
        run(
            statement.format(
                hex=_HEX[dialect],
                now=micros,
                ahead=micros + FIRST_AHEAD // timedelta(microseconds=1),
                agents=agents,
                deliveries=deliveries,
                series_of_schedules=series.format(rows=schedules),
                series_of_agents=series.format(rows=agents - 1),
                series_of_deliveries=series.format(rows=deliveries),
                series_of_waiting=series.format(rows=schedules // 50 if waiting is None else waiting),
            )
        )
    run("ANALYZE")
