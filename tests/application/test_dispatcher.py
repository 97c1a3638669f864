"""Lease, send, record: what happens between two steps, to others and to the store."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from promptyoself.domain import limits
from promptyoself.domain.answers import Absent, Accepted, Busy, Done, Failed, Final, Refused, Unclear, Undecided
from promptyoself.domain.errors import StoreCorrupt
from promptyoself.domain.models import AttemptOutcome, DeliveryState, FactKind, ScheduleState
from tests.application.stage import Stage, played
from tests.factories import AGENT, MINUTE, NOW

LANE = f"inbox {AGENT}"
GONE = Final(code="no_agent", detail="no such agent", status=404)
ACCEPTED = Accepted(run_id="run-1")
UNCLEAR = Unclear(code="broken", detail="it broke")


@played
async def test_a_prompt_arrives_verbatim_with_its_envelope_key_and_receipt(stage: Stage) -> None:
    stage.register(every="5m", prompt="  stretch\n now ")
    stage.target.sends.append(Done(run_id="run-1", reply_excerpt="done"))
    await stage.fire()
    message, stored = stage.target.sent[0], stage.delivery()
    assert (message.prompt, message.otid, message.address.agent_id) == ("  stretch\n now ", f"{stored.key}#0", AGENT)
    assert (message.envelope or "").startswith("[promptyoself] Scheduled prompt 1")
    assert (stored.state, stored.run_id, stored.reply_excerpt) == (DeliveryState.DELIVERED, "run-1", "done")
    assert [attempt.outcome for attempt in stage.attempts()] == [AttemptOutcome.DELIVERED]
    assert [fact.kind for fact in stage.facts(1)][1:] == [FactKind.FIRED, FactKind.DELIVERED]
    assert stage.tx(lambda tx: tx.lane_holder(LANE, now=stage.now)) is None


@played
async def test_the_run_is_committed_before_it_is_followed(stage: Stage) -> None:
    stage.register(every="5m")
    await stage.due()
    ended = asyncio.Event()
    stage.target.sends.append(ACCEPTED)
    stage.target.follows.append(ended)
    turn = stage.begin(stage.deliver())
    await stage.in_flight(lambda: bool(stage.target.asked))
    assert (stage.delivery().state, stage.delivery().run_id) == (DeliveryState.ACCEPTED, "run-1")
    ended.set()
    await turn
    assert [report.delivery.state for report in stage.reports] == [DeliveryState.ACCEPTED, DeliveryState.DELIVERED]


@played
async def test_a_lane_carries_one_at_a_time_in_order_of_fire_time(stage: Stage) -> None:
    stage.register(every="7m", prompt="b")
    stage.register(every="5m", prompt="a")
    await stage.pass_time(minutes=8)
    await stage.plan()
    await stage.deliver()
    assert [message.prompt for message in stage.target.sent] == ["a", "b"]
    assert stage.target.open_most == 1


@played
async def test_one_that_waits_for_its_retry_is_overtaken_by_other_schedules(stage: Stage) -> None:
    stage.register(every="5m", prompt="a")
    stage.register(every="5m", prompt="b")
    stage.target.sends.append(Refused(code="x", detail="not this one"))
    await stage.fire()
    assert stage.states() == ["pending", "delivered"]


@played
async def test_a_failed_run_is_tried_again_under_a_new_otid(stage: Stage) -> None:
    stage.register(every="60m")
    stage.target.sends += [ACCEPTED]
    stage.target.follows += [Failed(code="llm", detail="failed", run_id="run-1")]
    await stage.fire()
    await stage.pass_time(seconds=5)
    await stage.deliver()
    assert [message.otid[-2:] for message in stage.target.sent] == ["#0", "#1"]
    assert stage.states() == ["delivered"]


@played
async def test_a_refused_prompt_waits_and_arrives_when_the_target_is_back(stage: Stage) -> None:
    stage.register(every="60m")
    stage.target.sends += [Refused(code="connect", detail="nobody listens")] * 9
    stage.target.settles += [Absent()] * 9  # from five minutes on it is asked about before it is sent
    await stage.fire()
    for _ in range(40):
        await stage.pass_time(minutes=1)
        await stage.deliver()
    assert stage.states() == ["delivered"]
    assert stage.delivery().attempts == 0
    assert len(stage.attempts()) == 10


@played
async def test_ten_final_errors_in_a_row_pause_a_schedule_and_one_success_in_between_does_not(stage: Stage) -> None:
    stage.register(every="5m")
    stage.target.sends += [GONE] * 9 + [Done()] + [GONE] * 10
    for fires in range(1, 21):
        assert stage.schedule().state is ScheduleState.ACTIVE, fires
        await stage.fire()
    paused = stage.schedule()
    assert paused.state is ScheduleState.PAUSED
    assert paused.state_reason == "10 final errors in a row; last: no such agent"
    assert stage.resume(1).finals_in_row == 0


@played
async def test_a_one_off_completes_its_schedule_however_it_ends(stage: Stage) -> None:
    stage.register(time=(NOW + MINUTE).isoformat())
    stage.target.sends.append(GONE)
    await stage.fire()
    assert stage.schedule().state is ScheduleState.COMPLETED
    assert stage.states() == ["dead"]


# -- faults between two steps -----------------------------------------------------------------------------------


@played
async def test_an_answer_that_cannot_be_written_is_written_later(stage: Stage) -> None:
    stage.register(every="60m")
    await stage.due()

    def fill_the_disk() -> None:
        stage.writer.failures = 3

    stage.target.sends.append(fill_the_disk)
    await stage.deliver()
    assert stage.states() == ["delivered"]
    assert [attempt.outcome for attempt in stage.attempts()] == [AttemptOutcome.DELIVERED]
    assert len(stage.target.sent) == 1


@pytest.mark.parametrize(("failures", "took_s"), [(0, 0.0), (3, 0.6), (4, 2.6)])
def test_how_long_an_answer_waited_for_its_record_is_counted_and_told_when_it_was_long(
    caplog: pytest.LogCaptureFixture, failures: int, took_s: float
) -> None:
    """As long as it waits, a kill makes the prompt go out again."""

    @played
    async def scene(stage: Stage) -> None:
        stage.register(every="60m")
        await stage.due()
        stage.target.sends.extend([lambda: setattr(stage.writer, "failures", failures), ACCEPTED])
        await stage.deliver()
        assert stage.states() == ["delivered"]
        assert [report.recorded_in_s for report in stage.reports] == [pytest.approx(took_s), pytest.approx(0)]

    scene()
    told = [one.getMessage() for one in caplog.records if "record_late" in one.getMessage()]
    assert told == (["delivery.record_late delivery_id=1 took_ms=2600"] if took_s > 2 else [])


@played
async def test_what_ended_unsent_as_another_was_recorded_waited_for_no_record(stage: Stage) -> None:
    for expires_after in (None, "1m"):
        stage.register(time=(NOW + MINUTE).isoformat(), expires_after=expires_after)
    await stage.pass_time(minutes=1)
    await stage.plan()
    await stage.pass_time(minutes=4)
    await stage.deliver()
    assert stage.states() == ["delivered", "skipped"]
    assert [report.recorded_in_s for report in stage.reports] == [pytest.approx(0), None]


@played
async def test_recording_one_claims_the_next_and_the_last_gives_the_lane_back(stage: Stage) -> None:
    for prompt in ("a", "b", "c"):
        stage.register(every="60m", prompt=prompt)
    await stage.due()
    before = stage.writer.writes
    assert await stage.executor().run_lane(LANE)
    assert stage.writer.writes - before == 4
    assert stage.states() == ["delivered"] * 3
    assert stage.tx(lambda tx: tx.lane_holder(LANE, now=stage.now)) is None


@played
async def test_an_answer_is_recorded_though_the_next_delivery_cannot_be_read(stage: Stage) -> None:
    stage.register(every="60m", prompt="a")
    other = stage.register(every="60m", prompt="b")
    await stage.due()
    stage.writer.damaged.add(other.id)
    carried: set[int] = set()
    with pytest.raises(StoreCorrupt):
        await stage.executor().run_lane(LANE, carried=carried)
    assert sorted(stage.states()) == ["delivered", "pending"]
    assert len(carried) == 1


@played
async def test_what_was_claimed_in_a_transaction_that_failed_is_carried_in_the_same_turn(stage: Stage) -> None:
    for prompt in ("a", "b"):
        stage.register(every="60m", prompt=prompt)
    await stage.due()
    stage.writer.undone.add(stage.writer.writes + 2)
    assert await stage.executor().run_lane(LANE)
    assert stage.states() == ["delivered", "delivered"]
    assert len(stage.target.sent) == 2


@played
async def test_what_was_claimed_with_a_record_is_sent_though_the_executor_is_told_to_stop(stage: Stage) -> None:
    for prompt in ("a", "b", "c"):
        stage.register(every="60m", prompt=prompt)
    await stage.due()
    executor, before = stage.executor(), stage.writer.writes
    stage.writer.on_write = lambda number: executor.stop() if number == before + 2 else None
    await executor.run_lane(LANE)
    assert stage.states() == ["delivered", "delivered", "pending"]
    assert stage.ready() == [LANE]


@played
async def test_a_lane_waits_in_line_for_the_slot_of_its_next_delivery(stage: Stage) -> None:
    for prompt in ("a", "b"):
        stage.register(every="60m", prompt=prompt)
    await stage.due()
    gate = stage.new_gate(most=1)
    held = await gate.enter("inbox")
    running = stage.begin(stage.executor(gate=gate).run_lane(LANE))
    await asyncio.sleep(0)
    other = stage.begin(gate.enter("inbox"))
    await asyncio.sleep(0)
    assert held is not None
    held.release()
    taken = await other
    assert stage.states() == ["delivered", "pending"]
    assert stage.tx(lambda tx: tx.lane_holder(LANE, now=stage.now)) == "one"
    assert taken is not None
    taken.release()
    await running
    assert stage.states() == ["delivered", "delivered"]


@played
async def test_a_lane_whose_release_failed_is_free_again_though_its_executor_lives(stage: Stage) -> None:
    """Its lease would never run out by itself: the heartbeat renews all that an executor holds."""
    stage.register(every="60m")
    await stage.due()

    def fill_the_disk() -> None:
        stage.writer.failures = 64  # each try to record, and two to give back

    stage.target.sends.append(fill_the_disk)
    await stage.deliver()
    assert stage.delivery().state is DeliveryState.LEASED
    for _ in range(6):
        await stage.pass_time(seconds=10)
        stage.tx(lambda tx: tx.renew_lanes("one", until=stage.now + limits.LEASE))
    assert stage.ready() == [LANE]
    await stage.deliver()
    assert stage.states() == ["delivered"]
    assert stage.target.asked == [f"settle {stage.delivery().key}#0"]


@pytest.mark.parametrize("answer", [Done(), ACCEPTED, Failed(code="llm", detail="failed"), GONE, UNCLEAR])
def test_a_lease_lost_between_send_and_record_writes_nothing(answer: object) -> None:
    @played
    async def scene(stage: Stage) -> None:
        stage.register(every="60m")
        await stage.due()
        other = stage.executor("two")

        def lose_it() -> None:
            stage.clock.step(limits.LEASE + timedelta(seconds=1))
            stage.begin(other.run_lane(LANE))

        stage.target.sends += [lose_it, answer]  # type: ignore[list-item]  # any answer
        stage.target.settles.append(asyncio.Event())
        await stage.deliver()
        assert stage.delivery().state is DeliveryState.UNKNOWN
        assert stage.delivery().error_code == "runner_lost"
        assert len(stage.target.sent) == 1

    scene()


@played
async def test_a_lease_lost_before_the_send_sends_nothing(stage: Stage) -> None:
    stage.register(every="60m")
    await stage.due()
    await stage.pass_time(minutes=6)  # late enough to look first

    def lose_it() -> None:
        stage.clock.step(limits.LEASE + timedelta(seconds=1))
        assert stage.tx(
            lambda tx: tx.lease_lane(LANE, token="x", executor_id="two", now=stage.now, until=stage.now + MINUTE)
        )

    stage.target.settles += [lose_it, Absent()]
    await stage.deliver()
    assert stage.target.sent == []


@pytest.mark.parametrize("act", ["cancel", "edit"])
def test_what_is_cancelled_while_an_earlier_copy_is_looked_for_is_not_sent(act: str) -> None:
    @played
    async def scene(stage: Stage) -> None:
        stage.register(every="60m")
        await stage.due()
        await stage.pass_time(minutes=6)  # late enough to look first

        def change_our_minds() -> None:
            stage.clock.step(limits.LEASE_MARGIN)
            stage.cancel(1) if act == "cancel" else stage.update(1, prompt="rest")

        stage.target.settles += [change_our_minds, Absent(), Absent()]
        await stage.deliver()
        assert [message.prompt for message in stage.target.sent] == ([] if act == "cancel" else ["rest"])
        assert stage.states() == (["cancelled"] if act == "cancel" else ["cancelled", "delivered"])
        assert stage.delivery(1).attempts == 0

    scene()


@played
async def test_what_is_cancelled_while_its_send_is_made_ready_does_not_go(stage: Stage) -> None:
    stage.register(every="60m")
    await stage.due()
    is_connected = asyncio.Event()
    stage.target.sends += [is_connected, Unclear(code="lease_lost", detail="it might not go")]
    turn = stage.begin(stage.deliver())
    await stage.in_flight(lambda: bool(stage.target.sent))
    assert await stage.target.sent[0].may_go()
    stage.cancel(1)
    await stage.pass_time(seconds=limits.LEASE_MARGIN.total_seconds())
    assert not await stage.target.sent[0].may_go()
    is_connected.set()
    await turn
    assert stage.states() == ["cancelled"]
    assert stage.target.asked == [], "nobody need be asked whether it arrived"


@pytest.mark.parametrize(("verdict", "sends", "state"), [
    (Done(), 1, DeliveryState.DELIVERED),
    (Absent(), 2, DeliveryState.DELIVERED),
    (Failed(code="llm", detail="failed"), 1, DeliveryState.PENDING),
    (Undecided(detail="?"), 1, DeliveryState.UNKNOWN),
])  # fmt: skip
def test_a_crash_between_claim_and_record_is_asked_about_before_anything_is_sent(
    verdict: object, sends: int, state: DeliveryState
) -> None:
    @played
    async def scene(stage: Stage) -> None:
        stage.register(every="60m")
        await stage.due()
        stage.target.sends.append(asyncio.Event())
        turn = stage.begin(stage.deliver())
        await stage.in_flight(lambda: bool(stage.target.sent))
        turn.cancel()
        await asyncio.gather(turn, return_exceptions=True)
        stage.target.settles.append(verdict)  # type: ignore[arg-type]  # any verdict
        for _ in range(2):
            await stage.deliver(stage.executor("two"))
        assert (len(stage.target.sent), stage.delivery().state) == (sends, state)
        assert len({message.otid for message in stage.target.sent}) == 1
        assert not any("may be a repeat" in (message.envelope or "") for message in stage.target.sent)

    scene()


def test_what_is_taken_over_from_another_is_logged_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    agents = [f"agent-{number:08d}-0000-4000-8000-000000000000" for number in range(5)]

    @played
    async def scene(stage: Stage) -> None:
        for agent in agents:
            stage.register(every="60m", agent_id=agent)
        await stage.due()
        stage.target.sends += [ACCEPTED, asyncio.Event(), asyncio.Event(), asyncio.Event(), asyncio.Event()]
        stage.target.follows.append(asyncio.Event())
        one = stage.executor("one")
        turns = [stage.begin(one.run_lane(lane)) for lane in stage.ready()]
        await stage.in_flight(lambda: len(stage.target.sent) == len(agents))
        for turn in turns:
            turn.cancel()
        await asyncio.gather(*turns, return_exceptions=True)
        stage.target.settles += [Undecided(detail="?")] * 4
        two = stage.executor("two")
        await stage.deliver(two)
        await stage.pass_time(seconds=limits.SETTLE_MAX.total_seconds())
        await stage.deliver(two)
        assert stage.states() == ["delivered"] * len(agents)
        await stage.pass_time(seconds=limits.TAKE_OVERS_TOLD_WITHIN.total_seconds())

    scene()
    assert [one for one in caplog.messages if "took_over" in one] == [
        "executor.took_over begun_by=one in_doubt=4 accepted=1"
    ]


@played
async def test_an_accepted_run_is_followed_by_whoever_takes_over_and_never_sent_over(stage: Stage) -> None:
    stage.register(every="60m")
    await stage.due()
    stage.target.sends.append(ACCEPTED)
    stage.target.follows += [asyncio.Event()]
    turn = stage.begin(stage.deliver())
    await stage.in_flight(lambda: bool(stage.target.asked))
    turn.cancel()
    await asyncio.gather(turn, return_exceptions=True)
    await stage.deliver(stage.executor("two"))
    assert stage.states() == ["delivered"]
    assert stage.target.asked == ["follow run-1", "follow run-1"]
    assert len(stage.target.sent) == 1


@played
async def test_a_run_that_ended_while_nobody_was_there_is_seen_to_have_ended(stage: Stage) -> None:
    stage.register(every="1d")
    await stage.due()
    stage.target.sends.append(ACCEPTED)
    stage.target.follows += [asyncio.Event()]
    turn = stage.begin(stage.deliver())
    await stage.in_flight(lambda: bool(stage.target.asked))
    turn.cancel()
    await asyncio.gather(turn, return_exceptions=True)
    await stage.pass_time(hours=2)
    await stage.deliver(stage.executor("two"))
    assert stage.states() == ["delivered"]
    assert [attempt.outcome for attempt in stage.attempts()] == [AttemptOutcome.DELIVERED]


@played
async def test_a_run_without_end_is_cancelled_once_and_its_doubt_is_bounded(stage: Stage) -> None:
    stage.register(every="1d")
    await stage.due()
    stage.target.sends.append(ACCEPTED)
    stage.target.follows += [asyncio.Event()] * 20
    stage.target.settles += [ACCEPTED] * 200
    started = stage.now
    while stage.delivery().state is not DeliveryState.PENDING or not stage.delivery().maybe_repeat:
        await stage.deliver()
        await stage.pass_time(seconds=1)
    took = stage.now - started
    assert limits.RUN_TIME_MAX <= took <= limits.RUN_TIME_MAX + limits.SETTLE_FOR + MINUTE
    assert stage.target.asked.count("cancel_run run-1") == 1
    assert len(stage.target.asked) < 40
    assert stage.delivery().attempts == 1


@pytest.mark.parametrize("script", ["sends", "follows", "settles"])
def test_a_fault_of_an_adapter_stops_no_lane(script: str) -> None:
    @played
    async def scene(stage: Stage) -> None:
        stage.register(every="1d")
        await stage.due()
        if script != "sends":
            stage.target.sends.append(ACCEPTED if script == "follows" else UNCLEAR)
        getattr(stage.target, script).append(RuntimeError("a fault"))
        for _ in range(4):
            await stage.deliver()
            await stage.pass_time(seconds=30)
        assert stage.states() == ["delivered"]

    scene()


@played
async def test_a_late_first_send_looks_for_itself_first(stage: Stage) -> None:
    """The database may have been restored from a backup."""
    stage.register(every="60m")
    await stage.due()
    await stage.pass_time(minutes=6)
    await stage.deliver()
    assert (stage.states(), stage.target.sent) == (["delivered"], [])
    assert stage.target.asked == [f"settle {stage.delivery().key}#0"]


@played
async def test_a_late_first_send_whose_agent_is_busy_looks_again(stage: Stage) -> None:
    """It may be busy with this very prompt, which shows only later."""
    stage.register(every="60m")
    await stage.due()
    await stage.pass_time(minutes=6)
    stage.target.settles.append(Undecided(detail="neither run nor message"))
    stage.target.sends.append(Busy(detail="it works"))
    await stage.deliver()
    await stage.pass_time(seconds=30)
    await stage.deliver()
    assert (stage.states(), len(stage.target.sent)) == (["delivered"], 1)
    assert len(stage.target.asked) == 2


FAILED = Failed(code="llm_error", detail="the model failed")
UNASKED = Undecided(detail="it is away", is_unreachable=True)


@played
async def test_a_retry_that_is_far_behind_its_backoff_looks_for_itself_first(stage: Stage) -> None:
    """In a life of the database before it was restored, it perhaps went out at its time."""
    stage.register(every="60m")
    await stage.due()
    stage.target.sends.append(FAILED)
    await stage.deliver()
    await stage.pass_time(minutes=6)
    await stage.deliver()
    assert (stage.states(), len(stage.target.sent)) == (["delivered"], 1)
    assert stage.target.asked == [f"settle {stage.delivery().key}#1"]


@played
async def test_a_look_that_could_not_be_made_is_made_before_the_next_send(stage: Stage) -> None:
    stage.register(every="60m")
    await stage.due()
    stage.target.sends.append(FAILED)
    await stage.deliver()
    await stage.pass_time(minutes=6)
    stage.target.settles.append(UNASKED)
    await stage.deliver()
    assert (stage.states(), stage.delivery().error_code) == (["pending"], "not_asked")
    await stage.pass_time(seconds=limits.BACKOFF_FIRST.total_seconds() * 2)
    await stage.deliver()
    assert (stage.states(), len(stage.target.sent)) == (["delivered"], 1)
    assert stage.target.asked.count(f"settle {stage.delivery().key}#1") == 2


@played
async def test_a_retry_that_goes_out_when_its_backoff_ends_asks_nothing(stage: Stage) -> None:
    """However late it is by then: it failed, and was told to wait for half an hour."""
    stage.register(every="1d")
    await stage.due()
    wait = limits.RETRY_AFTER_MAX
    stage.target.sends += [FAILED, *[Refused(code="limit", detail="slow down", retry_after=wait)] * 2, FAILED]
    for seconds in (0, 60, wait.total_seconds(), wait.total_seconds(), 60):
        await stage.pass_time(seconds=seconds)
        await stage.deliver()
    assert (stage.states(), len(stage.target.sent), stage.target.asked) == (["delivered"], 5, [])


# -- stopping, pace ---------------------------------------------------------------------------------------------


@played
async def test_who_waits_for_a_slot_when_it_is_told_to_stop_claims_nothing(stage: Stage) -> None:
    for number in range(2):
        stage.register(every="60m", agent_id=f"agent-{number}")
    await stage.due()
    first = asyncio.Event()
    stage.target.sends.append(first)
    dispatcher = stage.executor(gate=stage.new_gate(most=1))
    turns = [stage.begin(dispatcher.run_lane(lane)) for lane in stage.ready()]
    await stage.in_flight(lambda: bool(stage.target.sent))
    dispatcher.stop()
    first.set()
    await asyncio.gather(*turns)
    assert stage.states() == ["delivered", "pending"]
    assert len(stage.ready()) == 1


@played
async def test_a_stop_leaves_an_accepted_run_to_the_next_executor(stage: Stage) -> None:
    stage.register(every="60m")
    await stage.due()
    stage.target.sends.append(ACCEPTED)
    stage.target.follows.append(asyncio.Event())
    turn = stage.begin(stage.deliver())
    await stage.in_flight(lambda: bool(stage.target.asked))
    stage.dispatcher.stop()
    await turn
    assert (stage.states(), stage.ready()) == (["accepted"], [LANE])


@played
async def test_one_hung_agent_keeps_its_slot_for_a_bounded_time_only(stage: Stage) -> None:
    for number in range(2):
        stage.register(every="60m", agent_id=f"agent-{number}")
    await stage.due()
    stage.target.sends.append(asyncio.Event())
    dispatcher = stage.executor(gate=stage.new_gate(most=1))
    for lane in stage.ready():
        stage.begin(dispatcher.run_lane(lane))
    await stage.pass_time(seconds=limits.SLOT_HELD_MAX.total_seconds() + 1)
    assert stage.states() == ["leased", "delivered"]


@played
async def test_two_executors_of_one_lane_send_once(stage: Stage) -> None:
    stage.register(every="60m")
    await stage.due()
    runs = [stage.executor(name, gate=stage.new_gate()).run_lane(LANE) for name in ("one", "two", "three")]
    answers = await asyncio.gather(*runs)
    assert len(stage.target.sent) == 1
    assert True in answers


@played
async def test_a_target_that_only_another_executor_has_is_no_death(stage: Stage) -> None:
    stage.register(every="60m")
    await stage.due()
    del stage.targets["inbox"]
    await stage.deliver(stage.executor("poor"))
    assert stage.states() == ["pending"]


@played
async def test_all_stopped_for_longer_than_retry_for_loses_nothing_that_was_never_tried(stage: Stage) -> None:
    stage.register(time=(NOW + MINUTE).isoformat())
    await stage.due()
    await stage.pass_time(days=3)
    stage.target.settles.append(Absent())
    await stage.deliver()
    assert stage.states() == ["delivered"]


@played
async def test_a_clock_set_back_in_a_send_loses_nothing(stage: Stage) -> None:
    stage.register(every="60m")
    await stage.due()
    stage.target.sends.append(lambda: stage.clock.step(-timedelta(hours=3)))
    await stage.deliver()
    assert stage.states() == ["delivered"]
    assert stage.delivery().lateness == timedelta(0)


@played
async def test_a_busy_agent_is_waited_for_without_using_up_attempts(stage: Stage) -> None:
    stage.register(every="60m")
    stage.target.sends += [Busy(detail="a person talks to it")] * 12
    await stage.fire()
    for _ in range(12):
        await stage.pass_time(seconds=30)
        await stage.deliver()
    assert stage.states() == ["delivered"]
    assert stage.delivery().attempts == 0
    assert {attempt.outcome for attempt in stage.attempts()} == {AttemptOutcome.BUSY, AttemptOutcome.DELIVERED}
