"""Snooze: what is next comes later, once, and the schedule goes on as if it had come."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from promptyoself.application.schedules import Caller
from promptyoself.application.snoozes import PutOff
from promptyoself.domain import limits
from promptyoself.domain.answers import Accepted, Busy
from promptyoself.domain.errors import Conflict, InvalidInput, LimitExceeded, ScheduleNotFound
from promptyoself.domain.models import DeliveryKind, DeliveryState, FactKind, ScheduleState
from tests.application.stage import ME, Stage, played
from tests.factories import MINUTE, NOW

HOUR = 60 * MINUTE
FIRST, SECOND = NOW + HOUR, NOW + 2 * HOUR


async def came(stage: Stage, *, minutes: int) -> list[tuple[str, str]]:
    """Let time pass, planning and delivering each minute; return fire time and arrival of what was delivered."""
    for _ in range(minutes):
        await stage.pass_time(minutes=1)
        await stage.plan()
        await stage.deliver()
    return [
        (f"{one.fire_at:%H:%M}", f"{one.accepted_at:%H:%M}")
        for one in stage.deliveries()
        if one.state is DeliveryState.DELIVERED and one.accepted_at is not None
    ]


@played
async def test_the_next_fire_time_comes_later_and_counts_once(stage: Stage) -> None:
    stage.register(every="1h", max_repetitions=2)
    done = stage.snooze(lasting=20 * MINUTE)
    assert (done.what, done.delivery.fire_at, done.delivery.due_at) == (PutOff.NEXT, FIRST, FIRST + 20 * MINUTE)
    assert (done.schedule.next_fire_at, done.schedule.fire_count) == (SECOND, 1)
    assert await came(stage, minutes=121) == [("10:00", "10:20"), ("11:00", "11:00")]
    assert stage.schedule().state is ScheduleState.COMPLETED
    assert [one.fire_number for one in stage.deliveries()] == [1, 2]
    assert [one.lateness for one in stage.deliveries()] == [timedelta(0)] * 2


@played
async def test_neither_resume_nor_an_edit_of_the_prompt_brings_its_first_time_back(stage: Stage) -> None:
    stage.register(every="1h")
    stage.snooze(lasting=20 * MINUTE)
    stage.pause(1)
    await stage.pass_time(minutes=1)
    assert stage.resume(1).next_fire_at == SECOND
    edited = stage.update(1, prompt="breathe")
    assert edited.next_fire_at == SECOND
    assert await came(stage, minutes=120) == [("10:00", "10:20"), ("11:00", "11:00")]
    assert stage.deliveries()[-2].snoozed_until == FIRST + 20 * MINUTE


@played
async def test_an_edit_of_the_rule_ends_it(stage: Stage) -> None:
    stage.register(every="1h")
    stage.snooze(lasting=20 * MINUTE)
    anew = stage.update(1, every="30m", start_at=FIRST.isoformat())
    assert (anew.next_fire_at, anew.passed_until, anew.fire_count) == (FIRST, None, 0)
    assert await came(stage, minutes=60) == [("10:00", "10:00")]


@played
async def test_a_cancel_ends_it(stage: Stage) -> None:
    stage.register(every="1h")
    stage.snooze(lasting=20 * MINUTE)
    stage.cancel(1)
    assert await came(stage, minutes=90) == []


@played
async def test_what_waits_unsent_is_put_off_and_tried_as_if_it_were_new(stage: Stage) -> None:
    stage.register(every="1h", retry_for="10m", expires_after="5m")
    stage.target.sends.append(Busy(detail="talks"))
    await stage.fire()
    done = stage.snooze(lasting=30 * MINUTE)
    assert (done.what, done.delivery.id, done.delivery.due_at) == (PutOff.WAITING, 1, stage.now + 30 * MINUTE)
    assert await came(stage, minutes=31) == [("10:00", "10:30")]


@played
async def test_a_pause_meanwhile_leaves_it_its_time_for_retries(stage: Stage) -> None:
    stage.register(every="1h", retry_for="10m")
    stage.target.sends.append(Busy(detail="talks"))
    await stage.fire()
    stage.snooze(lasting=30 * MINUTE)
    stage.pause(1)
    stage.resume(1)
    assert await came(stage, minutes=31) == [("10:00", "10:30")]


@played
async def test_one_held_for_the_night_counts_from_the_end_of_its_night(stage: Stage) -> None:
    stage.register(time="2026-03-02T23:00", quiet_hours="22:00-07:00")
    await stage.pass_time(hours=14, minutes=5)
    await stage.plan()
    done = stage.snooze(lasting=30 * MINUTE)
    assert done.delivery.due_at == NOW + timedelta(hours=22, minutes=30)


@played
async def test_what_the_agent_is_dealing_with_comes_again_outside_of_the_schedule(stage: Stage) -> None:
    stage.register(every="1h", caller=ME)
    stage.target.sends.append(Accepted(run_id="run-1"))
    stage.target.follows.append(asyncio.Event())
    await stage.due()
    run = stage.begin(stage.dispatcher.run_lane(stage.schedule().lane))
    await stage.in_flight(lambda: stage.states() == ["accepted"])
    before = stage.schedule()
    done = stage.snooze(lasting=30 * MINUTE, caller=ME)
    assert (done.what, done.delivery.kind) == (PutOff.IN_FLIGHT, DeliveryKind.RUN_NOW)
    assert done.delivery.due_at == stage.now + 30 * MINUTE
    assert stage.schedule() == before
    assert not run.done()


@played
async def test_it_is_refused_where_the_next_fire_time_would_replace_it(stage: Stage) -> None:
    stage.register(every="1h")
    for lasting in (HOUR, 3 * HOUR):
        with pytest.raises(InvalidInput, match=r"11:00:00\+00:00, whose fire would replace it"):
            stage.snooze(lasting=lasting)
    assert stage.schedule().fire_count == 0
    stage.register(every="1h", catch_up="all")
    assert stage.snooze(2, lasting=3 * HOUR).delivery.due_at == NOW + 4 * HOUR


@played
async def test_one_not_sent_in_time_gives_way_to_the_next_fire_time_as_any_other(stage: Stage) -> None:
    stage.register(every="1h")
    stage.snooze(lasting=59 * MINUTE)
    await stage.pass_time(hours=2, minutes=1)
    await stage.plan()
    await stage.deliver()
    assert stage.states() == ["skipped", "delivered"]
    assert (stage.deliveries()[1].missed, stage.schedule().fire_count) == (1, 1)


@played
async def test_quiet_hours_hold_it_or_refuse_it(stage: Stage) -> None:
    stage.register(time="2026-03-02T21:00", quiet_hours="22:00-07:00")
    assert stage.snooze(lasting=2 * HOUR).delivery.due_at == NOW + timedelta(hours=22)
    stage.register(time="2026-03-02T21:00", quiet_hours="22:00-07:00 skip")
    with pytest.raises(InvalidInput, match="quiet hours") as refused:
        stage.snooze(2, lasting=2 * HOUR)
    assert "2026-03-03T07:00:00" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("until", "match"),
    [
        (NOW, "no later than"),
        (FIRST, "no later than"),
        (NOW - HOUR, "no later than"),
        (FIRST + limits.SNOOZE_MAX + MINUTE, "more than 30 days"),
    ],
)
def test_it_goes_forward_and_not_too_far(until: datetime, match: str) -> None:
    @played
    async def scene(stage: Stage) -> None:
        stage.register(time="2026-03-02T10:00")
        with pytest.raises(InvalidInput, match=match):
            stage.snooze(until=until)

    scene()


@played
async def test_it_is_refused_while_paused_after_the_end_and_to_others(stage: Stage) -> None:
    stage.register(time="2026-03-02T10:00")
    with pytest.raises(ScheduleNotFound):
        stage.snooze(lasting=HOUR, caller=Caller(owner="agent-other"))
    stage.pause(1)
    with pytest.raises(Conflict, match="paused"):
        stage.snooze(lasting=HOUR)
    stage.resume(1)
    await stage.fire()
    with pytest.raises(Conflict, match="completed"):
        stage.snooze(lasting=HOUR)


@played
async def test_a_one_off_that_was_put_off_keeps_its_schedule_alive_and_can_be_paused(stage: Stage) -> None:
    stage.register(time="2026-03-02T10:00", retry_for="1m")
    stage.snooze(lasting=2 * HOUR)
    stage.pause(1)
    await stage.pass_time(minutes=30)
    stage.resume(1)
    stage.update(1, prompt="breathe")
    assert await came(stage, minutes=151) == [("10:00", "12:00")]
    done = stage.schedule()
    assert (done.state, done.last_fire_at) == (ScheduleState.COMPLETED, FIRST)


@played
async def test_an_edit_in_flight_does_not_lose_it(stage: Stage) -> None:
    stage.register(every="1h")
    stage.snooze(lasting=20 * MINUTE)

    def edit() -> None:
        stage.update(1, prompt="breathe")

    stage.target.sends.extend([edit, Busy(detail="talks")])
    assert await came(stage, minutes=85) == [("10:00", "10:20")]
    assert stage.states() == ["cancelled", "delivered"]


@played
async def test_expiry_counts_from_when_it_comes(stage: Stage) -> None:
    stage.register(time="2026-03-02T10:00", expires_after="10m")
    stage.snooze(lasting=HOUR)
    await stage.pass_time(hours=2, minutes=5)
    await stage.deliver()
    assert stage.states() == ["delivered"]
    stage.register(time="2026-03-02T12:00", expires_after="10m")
    stage.snooze(2, lasting=HOUR)
    await stage.pass_time(hours=2, minutes=15)
    await stage.deliver()
    assert stage.states() == ["delivered", "skipped"]


@played
async def test_put_off_again_it_counts_from_when_it_would_have_come(stage: Stage) -> None:
    stage.register(time="2026-03-02T10:00")
    stage.snooze(lasting=HOUR)
    again = stage.snooze(lasting=HOUR)
    assert (again.what, again.delivery.due_at) == (PutOff.WAITING, FIRST + 2 * HOUR)
    facts = [fact.detail["reason"] for fact in stage.facts(1) if fact.kind is FactKind.SNOOZED]
    assert facts == ["next", "waiting"]


@played
async def test_a_run_now_that_was_put_off_holds_up_no_later_one(stage: Stage) -> None:
    stage.register(time="2026-03-03T10:00")
    stage.run_now(1)
    put_off = stage.snooze(lasting=HOUR)
    assert (put_off.what, put_off.delivery.due_at) == (PutOff.WAITING, NOW + HOUR)
    await stage.pass_time(minutes=1)
    stage.run_now(1)
    assert await came(stage, minutes=60) == [("10:00", "10:00"), ("09:01", "09:02")]
    assert stage.states() == ["cancelled", "delivered", "delivered"]


@played
async def test_an_agent_at_its_limit_of_deliveries_cannot_open_one_more(
    stage: Stage,
) -> None:
    stage.register(time="2026-03-02T12:00", caller=ME)
    for _ in range(limits.AGENT_DELIVERIES_PER_HOUR_MAX):
        stage.run_now(1, caller=ME)
        await stage.pass_time(seconds=1)
        await stage.deliver()
    with pytest.raises(LimitExceeded):
        stage.snooze(lasting=HOUR, caller=ME)


@played
async def test_instants_in_words_have_no_parts_of_a_second(stage: Stage) -> None:
    await stage.pass_time(seconds=0.123456)
    stage.register(every="1h")
    with pytest.raises(InvalidInput, match=r"12:00:00\+00:00 is not before 2026-03-02T11:00:00\+00:00, whose"):
        stage.snooze(lasting=2 * HOUR)
    stage.snooze(lasting=HOUR / 2)
    assert stage.facts(1)[-1].detail["moment"] == "2026-03-02T10:30:00+00:00"


@played
async def test_what_quiet_hours_skip_is_neither_put_off_nor_in_the_way(stage: Stage) -> None:
    stage.register(every="10m", quiet_hours="09:00-09:15 skip")
    done = stage.snooze(lasting=5 * MINUTE)
    assert (done.delivery.fire_at, done.delivery.due_at) == (NOW + 20 * MINUTE, NOW + 25 * MINUTE)
    assert await came(stage, minutes=31) == [("09:20", "09:25"), ("09:30", "09:30")]
    assert stage.states()[0] == DeliveryState.SKIPPED
    stage.register(every="10m", quiet_hours="09:50-10:15 skip")  # fires from 09:41 on
    await stage.pass_time(minutes=9)
    put_off = stage.snooze(2, until=NOW + 80 * MINUTE)
    assert put_off.delivery.fire_at == NOW + 41 * MINUTE, "those at 09:51, 10:01 and 10:11 take no one's place"
    with pytest.raises(InvalidInput, match=r"10:21:00.*would replace it"):
        stage.snooze(2, until=NOW + 81 * MINUTE)
