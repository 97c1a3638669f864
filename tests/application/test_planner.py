"""The planner: due schedules become deliveries, once, in one transaction, and no schedule holds up another."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from promptyoself.application.planner import plan_due
from promptyoself.domain import limits
from promptyoself.domain.answers import Accepted
from promptyoself.domain.models import FactKind, ScheduleState
from tests.application.stage import ME, Stage, played
from tests.factories import MINUTE, NOW


@played
async def test_a_fire_time_becomes_one_delivery_however_often_it_is_planned(stage: Stage) -> None:
    stage.register(every="5m")
    await stage.due()
    old = stage.schedule()
    assert await stage.plan() == 0
    stage.tx(lambda tx: tx.save_schedule(replace(old, next_fire_at=NOW + 5 * MINUTE)))  # as a restored backup would
    assert await stage.plan() == 0
    assert len(stage.deliveries()) == 1


@played
async def test_a_prompt_edited_after_the_clock_was_set_back_is_not_lost(stage: Stage) -> None:
    stage.register(time=(NOW + MINUTE).isoformat())
    await stage.pass_time(minutes=1)
    await stage.plan()
    stage.clock.step(-MINUTE / 2)
    stage.update(1, prompt="other words")
    await stage.pass_time(minutes=1)
    await stage.plan()
    await stage.deliver()
    assert stage.states() == ["cancelled", "delivered"]
    assert stage.schedule().state is ScheduleState.COMPLETED


@played
async def test_resumed_after_the_clock_was_set_back_a_fire_time_that_waits_is_not_lost(stage: Stage) -> None:
    stage.register(every="5m", max_repetitions=2)
    await stage.pass_time(minutes=5)
    await stage.plan()
    stage.clock.step(-MINUTE)
    stage.pause(1)
    stage.resume(1)
    await stage.pass_time(minutes=1)
    await stage.plan()
    assert (stage.states(), stage.schedule().fire_count) == (["pending"], 1)


@played
async def test_numbers_counts_and_missed_agree(stage: Stage) -> None:
    stage.register(every="5m", max_repetitions=3)
    await stage.fire()
    await stage.pass_time(minutes=17)
    await stage.plan()
    await stage.pass_time(minutes=5)
    await stage.plan()
    await stage.deliver()
    rows = [(one.fire_number, one.missed, str(one.state)) for one in stage.deliveries()]
    assert rows == [(1, 0, "delivered"), (2, 2, "skipped"), (2, 3, "delivered")]
    assert stage.schedule().fire_count == 2
    await stage.fire()
    done = stage.schedule()
    assert (done.state, done.fire_count, done.next_fire_at) == (ScheduleState.COMPLETED, 3, None)


@played
async def test_what_is_passed_over_is_in_the_journal_with_its_reason_and_number(stage: Stage) -> None:
    stage.register(every="5m", catch_up="skip")
    await stage.pass_time(minutes=18)
    await stage.plan()
    skipped = [fact.detail for fact in stage.facts(1) if fact.kind is FactKind.SKIPPED]
    assert skipped == [{"reason": "catch-up skip: they passed while nothing could fire them", "count": 3}]


@played
async def test_every_two_seconds_looked_at_now_and_then_has_no_drift(stage: Stage) -> None:
    stage.register(every="2s", catch_up="all")
    for _ in range(20):
        await stage.pass_time(seconds=20.7)
        await stage.plan()
    fires = [one.fire_at for one in stage.deliveries(limit=5000)]
    assert fires == [NOW + timedelta(seconds=2 * k) for k in range(1, len(fires) + 1)]
    assert len(fires) == 20 * 207 // 20


@played
async def test_a_pass_plans_more_than_a_batch(stage: Stage) -> None:
    for _ in range(limits.SCHEDULES_PER_PASS_MAX + 1):
        stage.register(every="5m")
    await stage.pass_time(minutes=5)
    assert await plan_due(stage.writer, stage.clock, store_uid=stage.store.uid) == limits.SCHEDULES_PER_PASS_MAX
    assert await stage.plan() == 1


@played
async def test_a_rule_that_can_no_longer_be_read_pauses_its_schedule_and_delays_nobody(stage: Stage) -> None:
    broken, well = stage.register(every="5m"), stage.register(every="5m")
    trigger = replace(broken.definition.trigger, expression="every now and then")
    stage.tx(lambda tx: tx.save_schedule(replace(broken, definition=replace(broken.definition, trigger=trigger))))
    await stage.pass_time(minutes=5)
    assert await stage.plan() == 1
    assert stage.schedule(broken.id).state is ScheduleState.PAUSED
    assert "its rule cannot be read" in (stage.schedule(broken.id).state_reason or "")
    assert [one.schedule_id for one in stage.deliveries()] == [well.id]


@played
async def test_an_agents_schedule_over_the_hours_limit_pauses_and_says_why(stage: Stage) -> None:
    stage.register(caller=ME, every="1m", catch_up="all")
    await stage.pass_time(minutes=125)
    await stage.plan()
    assert stage.states(limit=500).count("pending") == limits.AGENT_DELIVERIES_PER_HOUR_MAX
    assert stage.schedule().state is ScheduleState.PAUSED
    assert "120 deliveries in an hour" in (stage.schedule().state_reason or "")


@played
async def test_an_agents_one_off_over_the_limit_arrives_when_it_is_resumed(stage: Stage) -> None:
    stage.register(caller=ME, every="1m", catch_up="all")
    stage.register(caller=ME, time=(NOW + 126 * MINUTE).isoformat())
    await stage.pass_time(minutes=127)
    await stage.plan()
    assert stage.schedule(2).state is ScheduleState.PAUSED
    assert stage.deliveries(schedule_id=2) == []
    await stage.pass_time(hours=2)
    stage.resume(2, caller=ME)
    await stage.plan()
    assert stage.states(schedule_id=2) == ["pending"]


@pytest.mark.parametrize(("overlap", "states"), [("skip", ["accepted", "skipped"]), ("queue", ["accepted", "pending"])])
def test_while_one_is_under_way_the_next_is_skipped_or_queued(overlap: str, states: list[str]) -> None:
    @played
    async def scene(stage: Stage) -> None:
        stage.register(every="5m", overlap=overlap)
        await stage.due()
        stage.target.sends.append(Accepted(run_id="run-1"))
        stage.target.follows.append(asyncio.Event())
        await stage.execute(wait_s=0)
        await stage.pass_time(minutes=5)
        await stage.plan()
        assert stage.states() == states

    scene()


@played
async def test_quiet_hours_hold_one_and_say_so(stage: Stage) -> None:
    stage.register(cron="30 9 * * *", quiet_hours="09:00-11:00")
    await stage.due()
    await stage.deliver()
    assert stage.target.sent == []
    await stage.pass_time(minutes=90)
    await stage.deliver()
    assert "held by quiet hours until Mon 2026-03-02 11:00:00 UTC; it is on time." in (
        stage.target.sent[0].envelope or ""
    )
