"""A simulation says what the real planner, dispatcher and store then do: the same fires, skips, reasons, instants."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta

import pytest

from promptyoself.application import schedules
from promptyoself.application.forecast import Forecast
from promptyoself.application.simulating import scene_of
from promptyoself.application.simulation import Outage, Simulation
from tests.application.rehearsal import Happened, Record, Rehearsal, rehearsed
from tests.application.stage import ME, OPERATOR
from tests.factories import MINUTE, NOW

RUN_TIME = timedelta(seconds=37, microseconds=313_713)
"""Nothing fires at such an instant: what happens first when a prompt ends as another fires, nobody can say."""
SPRING = datetime(2026, 3, 27, 21, tzinfo=UTC)
"""28 hours before the clocks of Europe/Riga change, at 01:00 UTC on 29 March."""
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def register_mixed(stage: Rehearsal) -> None:
    """One or more of every kind, with every policy; several to one agent, so that they wait for each other."""
    riga = {"timezone": "Europe/Riga"}
    for options in (
        {"cron": "0 9 * * *", "agent_id": "a", "quiet_hours": "22:00-07:00"},
        {"cron": "0 9 * * *", "agent_id": "a"},
        {"cron": "30 3 * * *", "agent_id": "a", "jitter": "10m"},
        {"cron": "*/20 * * * *", "agent_id": "a", "quiet_hours": "23:00-06:30"},
        {"cron": "15 * * * *", "agent_id": "a", "quiet_hours": "22:00-07:00 sat,sun skip"},
        {"cron": "0 */6 * * *", "agent_id": "a", "quiet_hours": "17:30-20:00", "catch_up": "all"},
        {"every": "20s", "agent_id": "b", "end_at": "2026-03-27T23:42:00"},
        {"every": "25s", "agent_id": "b", "overlap": "queue", "end_at": "2026-03-27T23:42:00"},
        {"every": "17m", "agent_id": "c", "catch_up": "all", "overlap": "queue"},
        {"every": "47m", "agent_id": "c", "catch_up": "all:3h", "jitter": "45m"},
        {"every": "13m", "agent_id": "c", "catch_up": "skip"},
        {"every": "29m", "agent_id": "d", "catch_up": "latest:20m", "expires_after": "10m"},
        {"every": "2h", "agent_id": "d", "jitter": "1h", "quiet_hours": "12:00-13:15", "expires_after": "30m"},
        {"every": "55m", "agent_id": "d", "max_repetitions": 20},
        {"every": "40s", "agent_id": "d", "max_repetitions": 15, "overlap": "skip"},
        {"every": "31m", "agent_id": "e", "max_repetitions": 40, "catch_up": "all"},
        {"rrule": "FREQ=DAILY;BYHOUR=3,9,15;BYMINUTE=30", "agent_id": "e", "jitter": "30m"},
        {"rrule": "FREQ=HOURLY;COUNT=30", "agent_id": "e"},
        {"time": "2026-03-29T03:30", "agent_id": "e"},
        {"time": "2026-03-28T12:00", "agent_id": "e"},
        {"time": "2026-03-28T11:00", "agent_id": "e", "expires_after": "10m"},
        {"time": "2026-03-28T23:30", "agent_id": "a", "quiet_hours": "22:00-07:00"},
    ):  # fmt: skip
        stage.register(**(riga | options))


def simulated(stage: Rehearsal, until: datetime, run_time: timedelta, outages: list[Outage]) -> Record:
    scene = stage.tx(lambda tx: scene_of(tx, caller=OPERATOR, agent_id=None, ids=None, now=stage.now).scene)
    forecast = Forecast(begin_at=stage.now, timezone="Europe/Riga", rows_max=10**6)
    Simulation(scene, forecast, run_time=run_time, outages=outages).run(until)
    record = Record()
    for row in forecast.rows:
        if row.delivery_id is not None:
            continue
        key = row.course.id, row.fire_at
        assert key not in record.fires
        if row.outcome == "missed":
            over = row.course.id, row.reason or ""
            record.passed_over[over] = record.passed_over.get(over, 0) + 1
        else:
            reason = row.reason if row.outcome in {"skipped", "superseded"} else None
            record.fires[key] = Happened(row.outcome, reason, row.sent_at, row.missed)
    record.completed = {one.schedule_id for one in forecast.endings}
    record.paused = {one.schedule_id: one.reason or "" for one in forecast.pauses}
    _check_sums(forecast, stage.now)
    return record


def _check_sums(forecast: Forecast, begin_at: datetime) -> None:
    total, rows = forecast.total, [row for row in forecast.rows if row.delivery_id is None and row.fire_at >= begin_at]
    assert len(forecast.rows) - len(rows) == forecast.carried_over
    assert total.fires == len(rows) == total.sent + total.skipped + total.waiting
    assert total.sent == sum(row.outcome == "sent" for row in rows)
    assert total.held == sum(row.is_held for row in rows)
    assert total.fires == sum(course.tally.fires for course in forecast.courses)
    assert total.skipped == sum(course.tally.skipped for course in forecast.courses) == sum(forecast.reasons.values())


def differences(real: Record, told: Record) -> list[str]:
    found = []
    for key in sorted(real.fires.keys() | told.fires.keys()):
        one, other = real.fires.get(key), told.fires.get(key)
        if one is None or other is None or one != other:
            found.append(f"{key[0]} {key[1]:%d %H:%M:%S}: real {one}, told {other}")
    pairs = {name: (getattr(real, name), getattr(told, name)) for name in ("passed_over", "completed", "paused")}
    return found + [f"{name}: real {one}, told {other}" for name, (one, other) in pairs.items() if one != other]


SHORT = Outage(begin_at=SPRING + HOUR / 2 + timedelta(seconds=3), end_at=SPRING + HOUR / 2 + timedelta(seconds=63))
NIGHT = Outage(begin_at=SPRING + 26 * HOUR, end_at=SPRING + 31 * HOUR + timedelta(minutes=8, seconds=9))
"""The clocks change in it."""
BEFORE = Outage(begin_at=SPRING + 10 * HOUR + timedelta(seconds=7), end_at=SPRING + 20 * HOUR + timedelta(seconds=11))
IS_LONG = "PROMPTYOSELF_ORACLE_ROUNDS" in os.environ
WORLDS = [("two outages", [SHORT, NIGHT])]
if IS_LONG:
    WORLDS += [("all is well", []), ("an outage", [BEFORE])]


@pytest.mark.parametrize(("name", "outages"), WORLDS)
def test_days_around_a_clock_change_go_as_told(
    monkeypatch: pytest.MonkeyPatch, name: str, outages: list[Outage]
) -> None:
    days = 7 if IS_LONG else 33 / 24

    async def scene(stage: Rehearsal) -> None:
        stage.clock.step(SPRING - NOW)
        register_mixed(stage)
        stage.pause(9, until=SPRING + 27 * HOUR)  # within an outage: what came after it is catch-up's
        until = SPRING + days * DAY + timedelta(seconds=5)
        told = simulated(stage, until, RUN_TIME, outages)
        await stage.go_on(until, outages)
        real = stage.record(since=0)
        assert len(real.fires) > 500, name
        assert {one.outcome for one in real.fires.values()} == {"sent", "skipped", "superseded", "waiting"}
        assert real.completed
        assert differences(real, told) == []

    rehearsed(monkeypatch, scene, run_time=RUN_TIME)


def test_fires_that_come_a_moment_after_another_was_sent_go_out_as_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(stage: Rehearsal) -> None:
        for number in range(5):
            stage.register(every="10m", agent_id=f"agent-{number}")
            await asyncio.sleep(0.3)
        until = NOW + timedelta(minutes=25)
        told = simulated(stage, until, RUN_TIME, [])
        await stage.go_on(until, [])
        real = stage.record(since=0)
        assert len(real.fires) == 10
        assert differences(real, told) == []

    rehearsed(monkeypatch, scene, run_time=RUN_TIME)


def test_what_comes_late_into_quiet_hours_waits_for_their_end_as_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a busy agent, and behind an outage; hours that skip hold it too, for its time was before them."""

    async def scene(stage: Rehearsal) -> None:
        for quiet in (None, "10:00-10:30", "10:00-10:45 skip", None):
            stage.register(cron="40 59 9 * * *", agent_id="a", quiet_hours=quiet)
            stage.register(cron="30 9 * * *", agent_id="b", quiet_hours=quiet)
        until = NOW + 2 * HOUR
        outage = [
            Outage(begin_at=NOW + HOUR / 4, end_at=NOW + 3 * HOUR / 4),
            Outage(begin_at=NOW + 46 * MINUTE, end_at=NOW + 47 * MINUTE),
        ]
        stage.register(cron="44 9 * * *", agent_id="c", quiet_hours="09:45-10:15")
        told = simulated(stage, until, RUN_TIME, outage)
        await stage.go_on(until, outage)
        real = stage.record(since=0)
        assert differences(real, told) == []
        sent = {key[0]: one.sent_at for key, one in real.fires.items()}
        assert (sent[3], sent[5]) == (NOW + 90 * MINUTE, NOW + 105 * MINUTE)
        assert sent[9] == NOW + 75 * MINUTE

    rehearsed(monkeypatch, scene, run_time=RUN_TIME)


def test_what_the_database_holds_already_goes_as_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pending, in flight, paused until a time, stopped until a time, an agent over its limit within the hour."""
    quick = RUN_TIME / 5

    async def scene(stage: Rehearsal) -> None:
        stage.register(every="10m", agent_id="a", catch_up="all")
        stage.register(every="7m", agent_id="a", quiet_hours="10:00-11:00")
        stage.register(every="15m", agent_id="b", overlap="queue")
        stage.register(every="25m", agent_id="b", catch_up="all")
        for seconds in (65, 70, 75):
            stage.register(every=f"{seconds}s", caller=ME)
        begun = NOW + timedelta(minutes=45, seconds=11)
        await stage.go_on(begun, [])
        stage.pause(3, until=stage.now + timedelta(minutes=80))
        await asyncio.sleep(timedelta(minutes=30).total_seconds())
        stage.run_now(4)
        stage.tx(
            lambda tx: schedules.stop_all(
                tx, caller=OPERATOR, reason="maintenance", until=stage.now + timedelta(minutes=12), now=stage.now
            )
        )
        since = stage.deliveries(limit=100_000)[-1].id
        until = stage.now + 3 * HOUR + timedelta(seconds=3)
        told = simulated(stage, until, quick, [])
        await stage.go_on(until, [])
        real = stage.record(since=since)
        assert len(real.fires) > 100
        assert len(real.paused) >= 1
        assert differences(real, told) == []

    rehearsed(monkeypatch, scene, run_time=quick)
