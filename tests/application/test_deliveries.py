"""Use cases of deliveries: retry by hand, lists, the inbox."""

from __future__ import annotations

import pytest

from promptyoself.application import deliveries
from promptyoself.domain.answers import Final, Unclear, Undecided
from promptyoself.domain.errors import Conflict, DeliveryNotFound, Forbidden, LimitExceeded, NotFound
from promptyoself.domain.models import DeliveryState, FactKind, ScheduleState
from tests.application.stage import ME, OPERATOR, Stage, played
from tests.factories import AGENT, MINUTE, NOW, a_message

OTHER = "agent-22222222-2222-4222-8222-222222222222"
GONE = Final(code="no_agent", detail="no such agent", status=404)


@played
async def test_a_dead_delivery_is_retried_and_its_finished_schedule_stays_finished(stage: Stage) -> None:
    stage.register(time=(NOW + MINUTE).isoformat())
    stage.target.sends.append(GONE)
    await stage.fire()
    await stage.pass_time(days=3)
    stage.retry(1)
    await stage.deliver()
    assert stage.states() == ["delivered"]
    assert stage.schedule().state is ScheduleState.COMPLETED
    assert "Sent again on request" in (stage.target.sent[-1].envelope or "")
    assert FactKind.RETRIED in [fact.kind for fact in stage.facts(1)]


@played
async def test_an_expired_one_off_can_be_retried(stage: Stage) -> None:
    stage.register(time=(NOW + MINUTE).isoformat(), expires_after="5m")
    await stage.pass_time(hours=1)
    await stage.plan()
    assert stage.states() == ["skipped"]
    stage.retry(1)
    await stage.deliver()
    assert stage.states() == ["delivered"]


@played
async def test_one_retried_by_hand_is_not_superseded_and_leaves_the_count_alone(stage: Stage) -> None:
    stage.register(every="5m")
    await stage.due()
    await stage.pass_time(minutes=5)
    await stage.plan()
    assert (stage.states(), stage.schedule().fire_count) == (["skipped", "pending"], 1)
    await stage.deliver()
    stage.retry(1)
    await stage.pass_time(minutes=5)
    await stage.plan()
    assert (stage.states(), stage.schedule().fire_count) == (["pending", "delivered", "pending"], 2)
    await stage.deliver()
    assert stage.states() == ["delivered"] * 3


@played
async def test_one_that_ended_in_doubt_is_retried_as_a_possible_repeat(stage: Stage) -> None:
    stage.register(every="60m", retry_for="1m")
    stage.target.sends.append(Unclear(code="broken", detail="it broke"))
    stage.target.settles += [Undecided(detail="?")] * 9
    await stage.fire()
    await stage.pass_time(minutes=2)
    await stage.deliver()
    assert stage.states() == ["dead"]
    stage.retry(1)
    await stage.deliver()
    assert "may be a repeat" in (stage.target.sent[-1].envelope or "")


@played
async def test_what_was_delivered_or_is_on_its_way_is_not_retried(stage: Stage) -> None:
    stage.register(every="5m")
    await stage.due()
    with pytest.raises(Conflict, match="pending") as refused:
        stage.retry(1)
    assert refused.value.hint == "it is still on its way; nothing needs to be done"
    await stage.deliver()
    with pytest.raises(Conflict, match="delivered") as refused:
        stage.retry(1)
    assert "run-now --id 1" in (refused.value.hint or "")


@played
async def test_nothing_of_a_cancelled_schedule_is_retried(stage: Stage) -> None:
    stage.register(every="5m")
    await stage.due()
    stage.cancel(1)
    with pytest.raises(Conflict, match="schedule 1 is cancelled"):
        stage.retry(1)


@played
async def test_an_agents_retries_are_counted_with_its_deliveries(stage: Stage) -> None:
    stage.register(caller=ME, every="1d")
    stage.target.sends.append(GONE)
    await stage.fire()
    for _ in range(119):
        await stage.pass_time(seconds=1)
        stage.run_now(1, caller=ME)
    with pytest.raises(LimitExceeded):
        stage.retry(1, caller=ME)
    assert stage.retry(1).state is DeliveryState.PENDING


@played
async def test_agents_see_their_own_only(stage: Stage) -> None:
    stage.register(every="5m")
    stage.register(every="5m", agent_id=OTHER)
    await stage.due()
    mine = stage.tx(lambda tx: deliveries.listed(tx, caller=ME))
    assert [one.schedule_id for one in mine] == [1]
    assert len(stage.tx(lambda tx: deliveries.listed(tx, caller=OPERATOR))) == 2
    with pytest.raises(DeliveryNotFound):
        stage.retry(2, caller=ME)


@played
async def test_a_message_is_read_once_and_by_its_agent(stage: Stage) -> None:
    stored = stage.tx(lambda tx: tx.add_message(a_message()))
    assert stage.tx(lambda tx: deliveries.inbox(tx, AGENT, caller=ME)) == [stored]
    with pytest.raises(Forbidden):
        stage.tx(lambda tx: deliveries.inbox(tx, OTHER, caller=ME))
    first = stage.tx(lambda tx: deliveries.ack(tx, stored.id, caller=ME, now=stage.now))
    await stage.pass_time(minutes=1)
    assert stage.tx(lambda tx: deliveries.ack(tx, stored.id, caller=ME, now=stage.now)) == first
    assert stage.tx(lambda tx: deliveries.inbox(tx, AGENT, caller=ME)) == []
    with pytest.raises(NotFound):
        stage.tx(lambda tx: deliveries.ack(tx, 99, caller=ME, now=stage.now))


@played
async def test_a_delivery_to_where_the_schedule_no_longer_goes_is_not_retried(stage: Stage) -> None:
    schedule = stage.register(every="60m")
    stage.target.sends += [Final(code="agent_not_found", detail="no such agent")]
    await stage.fire()
    stage.update(schedule.id, agent_id="another-agent")
    with pytest.raises(Conflict, match="another agent"):
        stage.retry(1)
