"""Skip next: what is left out stays out, whatever else happens before it, and leaves a record that can be undone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from promptyoself.application.schedules import Caller
from promptyoself.domain import limits
from promptyoself.domain.errors import Conflict, InvalidInput, ScheduleNotFound
from promptyoself.domain.models import DeliveryState, FactKind, ScheduleState
from tests.application.stage import ME, Stage, played
from tests.factories import MINUTE, NOW

FIRST = NOW + 5 * MINUTE
SECOND, THIRD = NOW + 10 * MINUTE, NOW + 15 * MINUTE


async def fired(stage: Stage, *, minutes: int) -> list[str]:
    """Let time pass, planning and delivering each minute; return the fire times that were delivered."""
    for _ in range(minutes):
        await stage.pass_time(minutes=1)
        await stage.plan()
        await stage.deliver()
    delivered = [one for one in stage.deliveries() if one.state is DeliveryState.DELIVERED]
    return [f"{one.fire_at:%H:%M}" for one in delivered]


@played
async def test_the_next_fire_times_are_left_out_each_with_its_record(stage: Stage) -> None:
    stage.register(every="5m")
    done = stage.skip(count=2, reason="holiday")
    assert done.fire_times == (FIRST, SECOND)
    assert stage.schedule().next_fire_at == THIRD
    assert await fired(stage, minutes=16) == ["09:15"]
    rows = [(one.fire_at, str(one.state), one.reason) for one in stage.deliveries()][:2]
    reason = "skipped by operator via cli: holiday"
    assert rows == [(FIRST, "skipped", reason), (SECOND, "skipped", reason)]
    facts = [fact for fact in stage.facts(1) if fact.kind is FactKind.SKIPPED_BY_HAND]
    assert [fact.delivery_id for fact in facts] == [1, 2]
    assert stage.schedule().fire_count == 1
    assert stage.deliveries()[2].missed == 0


@played
async def test_a_pause_that_ends_before_it_does_not_bring_it_back(stage: Stage) -> None:
    stage.register(every="5m")
    stage.skip()
    stage.pause(1)
    await stage.pass_time(minutes=1)
    assert stage.resume(1).next_fire_at == SECOND
    stage.pause(1, until=stage.now + 2 * MINUTE)
    assert await fired(stage, minutes=11) == ["09:10"]


@played
async def test_an_edit_of_the_prompt_keeps_it_and_an_edit_of_the_rule_starts_anew(stage: Stage) -> None:
    stage.register(every="5m")
    stage.skip()
    assert stage.update(1, prompt="breathe").next_fire_at == SECOND
    assert stage.update(1, max_repetitions=3).next_fire_at == SECOND
    anew = stage.update(1, every="3m", start_at=FIRST.isoformat())
    assert (anew.next_fire_at, anew.passed_until) == (FIRST, None)
    assert await fired(stage, minutes=6) == ["09:05"]


@played
async def test_two_skips_add_up(stage: Stage) -> None:
    stage.register(every="5m")
    stage.skip()
    assert stage.skip().fire_times == (SECOND,)
    assert await fired(stage, minutes=16) == ["09:15"]


@played
async def test_a_retry_undoes_it_at_its_own_time(stage: Stage) -> None:
    stage.register(every="5m")
    stage.skip(count=2)
    back = stage.retry(2)
    assert (back.state, back.due_at) == (DeliveryState.PENDING, SECOND)
    assert await fired(stage, minutes=16) == ["09:10", "09:15"]


@played
async def test_a_retry_after_its_time_is_due_at_once(stage: Stage) -> None:
    stage.register(every="5m")
    stage.skip()
    await stage.pass_time(minutes=7)
    assert stage.retry(1).due_at == stage.now


@played
async def test_an_undone_skip_goes_with_its_rule(stage: Stage) -> None:
    stage.register(every="5m")
    stage.skip()
    stage.retry(1)
    stage.update(1, every="7m")
    assert stage.states() == ["cancelled"]


@played
async def test_repetitions_are_not_used_up_by_it(stage: Stage) -> None:
    stage.register(every="5m", max_repetitions=1)
    stage.skip(count=3)
    assert await fired(stage, minutes=21) == ["09:20"]
    assert stage.schedule().state is ScheduleState.COMPLETED


@played
async def test_what_is_due_already_is_no_longer_next(stage: Stage) -> None:
    stage.register(every="5m")
    await stage.pass_time(minutes=6)
    assert stage.skip().fire_times == (SECOND,)
    assert [(one.fire_at, str(one.state)) for one in stage.deliveries()] == [(FIRST, "pending"), (SECOND, "skipped")]
    assert await fired(stage, minutes=10) == ["09:05", "09:15"]


@played
async def test_it_is_refused_where_nothing_would_be_left(stage: Stage) -> None:
    stage.register(every="5m", end_at=SECOND.isoformat())
    with pytest.raises(InvalidInput, match=r"only 2 fire times are left.*after a skip of 2 none"):
        stage.skip(count=2)
    assert stage.skip().schedule.next_fire_at == SECOND
    with pytest.raises(InvalidInput, match="only 1 fire time is left"):
        stage.skip()
    stage.register(time="2026-03-02T10:00")
    with pytest.raises(InvalidInput, match="fires once"):
        stage.skip(2)


@played
async def test_it_is_refused_while_paused_and_after_the_end(stage: Stage) -> None:
    stage.register(every="5m", max_repetitions=1)
    stage.pause(1)
    with pytest.raises(Conflict, match="paused"):
        stage.skip()
    stage.resume(1)
    await stage.due()
    with pytest.raises(Conflict, match="does not fire again"):
        stage.skip()
    await stage.deliver()
    with pytest.raises(Conflict, match="completed"):
        stage.skip()


@played
async def test_it_is_bounded_and_an_agents_own(stage: Stage) -> None:
    stage.register(every="5m")
    for count in (0, limits.SKIP_MAX + 1):
        with pytest.raises(InvalidInput, match="1 to 100"):
            stage.skip(count=count)
    with pytest.raises(ScheduleNotFound):
        stage.skip(caller=Caller(owner="agent-other"))
    assert len(stage.skip(count=limits.SKIP_MAX, caller=ME).deliveries) == limits.SKIP_MAX


@played
async def test_an_outage_over_it_makes_nobody_say_that_it_was_missed(stage: Stage) -> None:
    stage.register(every="5m")
    stage.skip(count=2)
    await stage.pass_time(minutes=21)
    await stage.plan()
    newest = stage.deliveries()[-1]
    assert (newest.fire_at, newest.missed) == (NOW + 20 * MINUTE, 1)


@played
async def test_a_clock_set_back_does_not_bring_it_back(stage: Stage) -> None:
    stage.register(every="5m")
    stage.skip()
    stage.clock.step(-timedelta(minutes=30))
    stage.pause(1)
    assert stage.resume(1).next_fire_at == SECOND


@played
async def test_what_quiet_hours_skip_anyway_is_not_what_is_skipped_next(stage: Stage) -> None:
    stage.register(every="5m", quiet_hours="09:00-09:12 skip")
    done = stage.skip(reason="away")
    assert done.fire_times == (THIRD,)
    assert await fired(stage, minutes=21) == ["09:20"]
    reasons = [str(one.reason) for one in stage.deliveries()][:3]
    assert [reason.partition(":")[0] for reason in reasons] == ["quiet hours"] * 2 + ["skipped by operator via cli"]
    told = [fact.delivery_id for fact in stage.facts(1) if fact.kind is FactKind.SKIPPED]
    assert told == [1, 2]


@played
async def test_a_schedule_of_which_nothing_is_sent_has_nothing_to_skip_or_put_off(stage: Stage) -> None:
    stage.register(cron="0 10 * * *", quiet_hours="09:30-10:30 skip")
    for attempt in (stage.skip, lambda: stage.snooze(lasting=MINUTE)):
        with pytest.raises(Conflict, match=r"nothing of schedule 1 would be sent.*quiet hours"):
            attempt()
    stage.register(cron="0 10 * * *", quiet_hours="09:30-10:30 mon-sat skip")
    with pytest.raises(InvalidInput, match=r"only .* fire times are to be sent among the next 500"):
        stage.skip(2, count=100)
    assert stage.deliveries() == []


@played
async def test_a_pause_whose_end_nobody_has_seen_is_over(stage: Stage) -> None:
    stage.register(every="5m")
    stage.pause(1, until=NOW + 7 * MINUTE)
    await stage.pass_time(minutes=8)
    assert stage.skip().fire_times == (SECOND,)
    assert await fired(stage, minutes=8) == ["09:15"]
