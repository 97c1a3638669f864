"""`execute`: one pass, one attempt a due delivery; what is busy is said, and never waited for."""

from __future__ import annotations

import asyncio

from promptyoself.application import schedules
from promptyoself.domain import limits
from promptyoself.domain.answers import Accepted, Busy, Done, Final, Refused, SendResult, Unclear
from promptyoself.domain.errors import StoreError
from tests.application.stage import OPERATOR, Stage, played
from tests.factories import AGENT, MINUTE, NOW

LANE = f"inbox {AGENT}"
DOWN = Refused(code="connect", detail="nobody listens", is_target_wide=True)


@played
async def test_each_due_delivery_gets_one_attempt_and_one_entry(stage: Stage) -> None:
    answers: dict[str, SendResult] = {
        "delivered": Done(),
        "retrying": Refused(code="x", detail="not now"),
        "busy": Busy(detail="a person talks to it"),
        "unknown": Unclear(code="broken", detail="it broke"),
        "dead": Final(code="no_agent", detail="no such agent"),
    }
    for number, answer in enumerate(answers.values()):
        stage.register(every="5m", agent_id=f"agent-{number}")
        stage.target.sends.append(answer)
    await stage.pass_time(minutes=5)
    entries = await stage.execute()
    assert [entry.outcome for entry in entries] == list(answers)
    assert [entry.is_delivered for entry in entries] == [True, False, False, False, False]
    assert [entry.error is None for entry in entries] == [True, False, False, False, False]
    assert len(stage.target.sent) == 5


@played
async def test_a_held_lane_is_reported_as_busy_and_not_waited_for(stage: Stage) -> None:
    """An agent calls this from inside its own run: its lane is held by the executor that follows it."""
    stage.register(every="5m")
    stage.register(every="6m")
    await stage.due()
    stage.target.sends.append(Accepted(run_id="run-1"))
    stage.target.follows.append(asyncio.Event())
    stage.begin(stage.deliver())
    await stage.in_flight(lambda: bool(stage.target.asked))
    await stage.pass_time(minutes=1)
    stage.tx(lambda tx: tx.renew_lanes("one", until=stage.now + limits.LEASE))
    began = stage.now
    entries = await stage.execute(wait_s=600)
    assert stage.now - began < MINUTE / 60
    assert [(entry.schedule.id, entry.outcome) for entry in entries] == [(2, "busy")]
    assert "held by executor one" in (entries[0].error or "")


@played
async def test_runs_are_followed_for_the_time_given_and_left_accepted(stage: Stage) -> None:
    stage.register(every="5m")
    await stage.pass_time(minutes=5)
    stage.target.sends.append(Accepted(run_id="run-1"))
    stage.target.follows.append(asyncio.Event())
    began = stage.now
    entries = await stage.execute(wait_s=30)
    assert 29 <= (stage.now - began).total_seconds() <= 31
    assert [(entry.outcome, entry.is_delivered) for entry in entries] == [("accepted", True)]
    assert (stage.states(), stage.ready()) == (["accepted"], [LANE])


@played
async def test_runs_that_go_on_hide_no_lane_that_is_due(stage: Stage) -> None:
    for number in range(limits.LANES_PREFETCH + 4):
        stage.register(every="60m", agent_id=f"agent-{number}")
    await stage.pass_time(minutes=60)
    stage.target.sends += [Accepted(run_id="run")] * (limits.LANES_PREFETCH + 4)
    stage.target.follows += [asyncio.Event()] * 2000
    await stage.execute(wait_s=0)
    stage.register(every="1m", agent_id="agent-last")
    await stage.pass_time(minutes=1)
    await stage.execute(wait_s=0)
    assert stage.target.sent[-1].address.agent_id == "agent-last"


@played
async def test_a_target_that_is_down_is_found_out_once_and_named(stage: Stage) -> None:
    for number in range(6):
        stage.register(every="5m", agent_id=f"agent-{number}")
    await stage.pass_time(minutes=5)
    stage.target.sends += [DOWN] * 9
    stage.target.probes += [DOWN] * 99
    entries = await stage.execute()
    assert [entry.outcome for entry in entries] == ["retrying"] * 6
    assert all("nobody listens" in (entry.error or "") for entry in entries)


@played
async def test_while_all_is_stopped_nothing_is_sent_and_the_reason_is_given(stage: Stage) -> None:
    stage.register(every="5m")
    await stage.pass_time(minutes=5)
    stage.tx(
        lambda tx: schedules.stop_all(
            tx, caller=OPERATOR, reason="moving house", until=NOW + 10 * MINUTE, now=stage.now
        )
    )
    entries = await stage.execute()
    assert [entry.error for entry in entries] == ["all deliveries are paused: moving house"]
    await stage.pass_time(minutes=5)
    entries = await stage.execute()
    assert [entry.outcome for entry in entries] == ["delivered"]


@played
async def test_a_switch_that_has_run_out_is_nobodys_reason(stage: Stage) -> None:
    stage.register(every="60m")
    stage.tx(lambda tx: schedules.stop_all(tx, caller=OPERATOR, reason="x", until=NOW + MINUTE, now=stage.now))
    await stage.pass_time(minutes=60)
    await stage.plan()
    stage.tx(lambda tx: tx.lease_lane(LANE, token="x", executor_id="two", now=stage.now, until=stage.now + MINUTE))
    entries = await stage.execute()
    assert [entry.outcome for entry in entries] == ["busy"]


@played
async def test_a_renewal_that_fails_once_is_not_the_last(stage: Stage) -> None:
    stage.register(every="60m")
    await stage.pass_time(minutes=60)
    stage.target.sends.append(Accepted(run_id="run-1"))
    stage.target.follows.append(asyncio.Event())
    running = stage.begin(stage.execute(wait_s=100))
    await stage.pass_time(seconds=9)
    stage.writer.failures = 1
    await stage.pass_time(seconds=60)
    assert stage.tx(lambda tx: tx.lane_holder(LANE, now=stage.now)) == "pass"
    await running


@played
async def test_an_answer_nobody_could_record_ends_the_pass_all_the_same(stage: Stage) -> None:
    stage.register(every="60m")
    await stage.pass_time(minutes=60)

    def fill_the_disk() -> None:
        stage.writer.failures = 99

    stage.target.sends.append(fill_the_disk)
    try:
        await stage.execute()
    except StoreError:
        raise AssertionError("reading still works") from None
    stage.writer.failures = 0
    assert stage.states() == ["leased"]
