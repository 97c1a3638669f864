"""The gate before each target: slots, the breaker, probes and recovery."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from promptyoself.application.gate import Slot
from promptyoself.domain import limits
from promptyoself.domain.answers import Done, Refused, Unclear
from promptyoself.domain.models import DeliveryState, Executor, FactKind, TargetHealth
from tests.application.stage import Stage, played

DOWN = Refused(code="connect", detail="nobody listens", is_target_wide=True)
OVERLOAD = Refused(code="429", detail="slow down", is_overload=True)


def health(stage: Stage) -> list[bool]:
    return [one.is_open for one in stage.tx(lambda tx: tx.target_health())]


@played
async def test_no_more_enter_than_there_are_slots(stage: Stage) -> None:
    gate = stage.new_gate(most=2)
    slots = [await gate.enter("inbox") for _ in range(2)]
    third = stage.begin(gate.enter("inbox"))
    await asyncio.sleep(0)
    assert (third.done(), gate.waiting("inbox")) == (False, 1)
    for _ in range(2):  # giving back twice gives back once
        assert slots[0] is not None
        slots[0].release()
    assert await third is not None
    fourth = stage.begin(gate.enter("inbox"))
    await asyncio.sleep(0)
    assert not fourth.done()


@played
async def test_a_waiter_that_is_cancelled_hands_its_slot_on(stage: Stage) -> None:
    gate = stage.new_gate(most=1)
    slot = await gate.enter("inbox")
    one, two = stage.begin(gate.enter("inbox")), stage.begin(gate.enter("inbox"))
    await asyncio.sleep(0)
    assert slot is not None
    slot.release()
    one.cancel()
    assert isinstance(await two, Slot)
    assert gate.waiting("inbox") == 0


@played
async def test_a_smaller_share_takes_nobodys_slot_and_a_larger_one_lets_the_waiting_in(stage: Stage) -> None:
    gate = stage.new_gate(most=4)
    slots = [await gate.enter("inbox") for _ in range(3)]
    gate.allow("inbox", 1)
    waiters = [stage.begin(gate.enter("inbox")) for _ in range(3)]
    await asyncio.sleep(0)
    for slot in slots:
        assert slot is not None
        assert (gate.in_flight("inbox"), gate.waiting("inbox")) == (len(slots) - slots.index(slot), 3)
        slot.release()
    assert isinstance(await waiters[0], Slot)
    assert (gate.in_flight("inbox"), gate.waiting("inbox")) == (1, 2)
    gate.allow("inbox", 9)
    assert [isinstance(await waiter, Slot) for waiter in waiters[1:]] == [True, True]


@played
async def test_without_a_share_nobody_waits_for_a_slot(stage: Stage) -> None:
    gate = stage.new_gate(most=1)
    slot = await gate.enter("inbox")
    waiter = stage.begin(gate.enter("inbox"))
    await asyncio.sleep(0)
    gate.allow("inbox", 0)
    comer = stage.begin(gate.enter("inbox"))
    await asyncio.sleep(0)
    assert [one.done() and one.result() is None for one in (waiter, comer)] == [True, True]
    assert slot is not None
    slot.release()
    gate.allow("inbox", 1)
    assert isinstance(await gate.enter("inbox"), Slot)


@played
async def test_three_refusals_of_everybody_close_the_door_and_probes_open_it(stage: Stage) -> None:
    stage.target.probes += [DOWN, DOWN]
    slots = [await stage.gate.enter("inbox") for _ in range(64)]
    waiter = stage.begin(stage.gate.enter("inbox"))
    await asyncio.sleep(0)
    for _ in range(3):
        stage.gate.note("inbox", DOWN)
    assert stage.gate.open_targets() == []
    assert await waiter is None
    assert await stage.gate.enter("inbox") is None
    await asyncio.sleep(0)
    assert health(stage) == [True]
    await stage.pass_time(seconds=1 + 2 + 4 + 0.1)
    assert stage.target.asked == ["probe"] * 3
    assert stage.gate.open_targets() == ["inbox"]
    assert health(stage) == [False]
    assert [fact.kind for fact in stage.facts()] == [FactKind.BREAKER_OPENED, FactKind.BREAKER_CLOSED]
    assert stage.changes == 1
    for slot in slots:
        assert slot is not None
        slot.release()
    entered = [await stage.gate.enter("inbox") for _ in range(limits.PACE_AFTER_OUTAGE)]
    assert None not in entered
    fifth = stage.begin(stage.gate.enter("inbox"))
    await asyncio.sleep(0)
    assert not fifth.done()


@played
async def test_what_takes_prompts_is_not_recorded_as_refusing_by_one_that_has_died(stage: Stage) -> None:
    shut = TargetHealth(target="inbox", is_open=True, reason="it was so", since=stage.now)
    stage.tx(lambda tx: tx.save_target_health(shut))
    stage.gate.note("inbox", Done())
    await stage.pass_time(seconds=1)
    assert health(stage) == [False]
    assert [fact.kind for fact in stage.facts()] == [FactKind.BREAKER_CLOSED]
    stage.tx(lambda tx: tx.save_target_health(shut))
    stage.gate.note("inbox", Done())
    await stage.pass_time(seconds=limits.TARGET_RECORD_LOOKED_AT_EVERY.total_seconds())
    assert health(stage) == [True]
    stage.gate.note("inbox", Done())
    await stage.pass_time(seconds=1)
    assert health(stage) == [False]


@pytest.mark.parametrize(("mode", "is_open_after"), [("worker", True), ("execute", False), ("doors", False)])
def test_who_ends_leaves_in_view_what_others_that_deliver_may_have_found_too(mode: str, *, is_open_after: bool) -> None:
    @played
    async def scene(stage: Stage) -> None:
        other = Executor(id="x", host="h", pid=1, version="1", mode=mode, started_at=stage.now, heartbeat_at=stage.now)
        stage.tx(lambda tx: tx.heartbeat(other))
        for _ in range(3):
            stage.gate.note("inbox", DOWN)
        await asyncio.sleep(0)
        assert health(stage) == [True]
        await stage.gate.close()
        assert health(stage) == [is_open_after]

    scene()


@played
async def test_a_fault_in_a_probe_does_not_keep_the_door_shut_for_ever(stage: Stage) -> None:
    stage.target.probes.append(RuntimeError("a fault of the adapter"))
    for _ in range(3):
        stage.gate.note("inbox", DOWN)
    await stage.pass_time(seconds=10)
    assert stage.gate.open_targets() == ["inbox"]


@played
async def test_a_probe_that_is_not_answered_counts_as_a_refusal(stage: Stage) -> None:
    stage.target.probes.append(asyncio.Event())
    for _ in range(3):
        stage.gate.note("inbox", DOWN)
    await stage.pass_time(seconds=10)
    assert stage.gate.open_targets() == []
    await stage.pass_time(seconds=10)
    assert stage.gate.open_targets() == ["inbox"]


@played
async def test_what_concerns_one_agent_or_nobody_knows_of_opens_nothing(stage: Stage) -> None:
    answers = [Refused(code="409", detail="busy"), Unclear(code="broken", detail="it broke")]
    for answer in answers * 5:
        stage.gate.note("inbox", answer)
    assert stage.gate.open_targets() == ["inbox"]
    for answer in (DOWN, DOWN, Done(), DOWN, DOWN):
        stage.gate.note("inbox", answer)
    assert stage.gate.open_targets() == ["inbox"]


@played
async def test_overload_lowers_how_many_enter(stage: Stage) -> None:
    gate = stage.new_gate(most=4)
    gate.note("inbox", OVERLOAD)
    assert [await gate.enter("inbox") is not None for _ in range(2)] == [True, True]
    third = stage.begin(gate.enter("inbox"))
    await asyncio.sleep(0)
    assert not third.done()


@played
async def test_a_target_that_comes_back_gets_what_waited_for_it_at_once(stage: Stage) -> None:
    for number in range(4):
        stage.register(every="60m", agent_id=f"agent-{number}")
    await stage.due()
    stage.target.sends += [DOWN] * 3
    await stage.deliver()
    assert [one.state for one in stage.deliveries()] == [DeliveryState.PENDING] * 4
    assert len(stage.target.sent) == 3
    await stage.pass_time(seconds=1.1)
    assert all(one.due_at <= stage.now for one in stage.deliveries())
    await stage.deliver()
    assert stage.states() == ["delivered"] * 4


@played
async def test_a_record_that_cannot_be_written_does_not_stop_the_mending(stage: Stage) -> None:
    stage.writer.failures = 2
    for _ in range(3):
        stage.gate.note("inbox", DOWN)
    await stage.pass_time(seconds=timedelta(minutes=1).total_seconds())
    assert stage.gate.open_targets() == ["inbox"]


@played
async def test_slots_are_handed_over_in_the_order_of_asking(stage: Stage) -> None:
    gate = stage.new_gate(most=1)
    slot = await gate.enter("inbox")
    asked = [stage.begin(gate.enter("inbox")) for _ in range(5)]
    for waiter in asked:
        await asyncio.sleep(0)
        assert slot is not None
        slot.release()
        late = stage.begin(gate.enter("inbox"))
        slot = await waiter
        assert not late.done(), "one that came later has gone ahead"


@played
async def test_an_open_breaker_ends_with_its_executor(stage: Stage) -> None:
    stage.target.probes += [DOWN] * 50
    gate = stage.new_gate()
    for _ in range(3):
        gate.note("inbox", DOWN)
    await stage.pass_time(seconds=3)
    assert health(stage) == [True]
    await gate.close()
    assert health(stage) == [False]
