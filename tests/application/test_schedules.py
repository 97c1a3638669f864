"""Use cases of schedules, each also while a delivery is pending, leased, accepted or unknown."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from promptyoself.domain import limits
from promptyoself.domain.answers import Absent, Accepted, Busy, Done, Failed, Refused, Unclear, Undecided
from promptyoself.domain.errors import Conflict, Forbidden, InvalidInput, LimitExceeded, ScheduleNotFound
from promptyoself.domain.models import DeliveryKind, DeliveryState, FactKind, ScheduleState
from tests.application.stage import ME, OPERATOR, Stage, played
from tests.factories import AGENT, MINUTE, NOW

OTHER = "agent-22222222-2222-4222-8222-222222222222"
REFUSED = Refused(code="connect", detail="nobody listens")


@played
async def test_a_schedule_is_stored_with_its_first_fire_time(stage: Stage) -> None:
    made = stage.register(every="5m", name="stretching")
    assert (made.id, made.state, made.revision) == (1, ScheduleState.ACTIVE, 1)
    assert made.next_fire_at == NOW + 5 * MINUTE
    assert stage.schedule() == made
    assert [fact.kind for fact in stage.facts(1)] == [FactKind.REGISTERED]


@played
async def test_the_same_key_and_rule_keep_the_grid_and_the_id(stage: Stage) -> None:
    made = stage.register(every="5m", key="k")
    await stage.pass_time(minutes=2)
    again = stage.register(every="5m", key="k", prompt="stretch more")
    assert (again.id, again.revision, again.next_fire_at) == (made.id, 2, NOW + 5 * MINUTE)
    assert again.definition.prompt == "stretch more"


@played
async def test_registering_the_very_same_again_changes_nothing(stage: Stage) -> None:
    made = stage.register(every="5m", key="k")
    await stage.pass_time(minutes=2)
    assert stage.register(every="5m", key="k") == made
    stage.pause(1)
    assert stage.register(every="5m", key="k").state is ScheduleState.PAUSED


@played
async def test_the_same_key_with_another_rule_starts_that_rule_now(stage: Stage) -> None:
    stage.register(every="5m", key="k")
    await stage.pass_time(minutes=2)
    assert stage.register(every="7m", key="k").next_fire_at == NOW + 9 * MINUTE


@played
async def test_a_cancelled_key_revives_under_its_id(stage: Stage) -> None:
    stage.register(every="5m", key="k", max_repetitions=3)
    await stage.fire()
    stage.cancel(1)
    again = stage.register(every="5m", key="k", max_repetitions=3)
    assert (again.id, again.state, again.fire_count) == (1, ScheduleState.ACTIVE, 0)
    assert again.next_fire_at == NOW + 10 * MINUTE


@played
async def test_a_counted_rule_that_has_run_out_starts_anew_under_its_key(stage: Stage) -> None:
    rule = "FREQ=MINUTELY;INTERVAL=5;COUNT=2"
    stage.register(rrule=rule, key="k")
    await stage.fire()
    while stage.schedule().state is ScheduleState.ACTIVE:
        await stage.fire()
    await stage.pass_time(minutes=30)
    again = stage.register(rrule=rule, key="k")
    assert again.state is ScheduleState.ACTIVE
    assert again.next_fire_at is not None


@played
async def test_keys_are_their_agents_own(stage: Stage) -> None:
    one = stage.register(every="5m", key="k")
    two = stage.register(every="5m", key="k", agent_id=OTHER)
    assert one.id != two.id
    three = stage.register(every="5m", key="l")
    with pytest.raises(Conflict, match="taken by schedule 1"):
        stage.update(three.id, key="k")


@played
async def test_an_edit_of_what_has_changed_meanwhile_is_refused(stage: Stage) -> None:
    stage.register(every="5m")
    stage.update(1, prompt="two", revision=1)
    with pytest.raises(Conflict, match="at revision 2"):
        stage.update(1, prompt="three", revision=1)


@played
async def test_an_edit_of_the_window_keeps_the_grid(stage: Stage) -> None:
    stage.register(every="5m")
    stage.register(rrule="FREQ=DAILY;INTERVAL=2")
    before = stage.schedule(2).next_fire_at
    await stage.pass_time(minutes=7)
    later = (NOW + timedelta(days=90)).isoformat()
    assert stage.update(1, end_at=later).next_fire_at == NOW + 10 * MINUTE
    assert stage.update(2, end_at=later).next_fire_at == before


# -- while something is pending ---------------------------------------------------------------------------------


@played
async def test_a_cancel_ends_what_is_pending(stage: Stage) -> None:
    stage.register(every="5m")
    await stage.due()
    stage.cancel(1)
    await stage.deliver()
    assert stage.states() == ["cancelled"]
    assert stage.target.sent == []
    assert stage.cancel(1).state is ScheduleState.CANCELLED


@played
async def test_an_edit_of_the_text_sends_what_was_due_with_the_new_text(stage: Stage) -> None:
    stage.register(every="5m")
    await stage.due()
    stage.update(1, prompt="breathe")
    await stage.deliver()
    assert stage.states() == ["cancelled", "delivered"]
    assert [message.prompt for message in stage.target.sent] == ["breathe"]
    assert [one.revision for one in stage.deliveries()] == [1, 2]
    assert stage.schedule().fire_count == 1


@played
async def test_what_may_have_arrived_is_still_marked_after_an_edit(stage: Stage) -> None:
    stage.register(every="90m")
    await stage.due()
    stage.target.sends += [Unclear(code="broken", detail="it broke")]
    stage.target.settles += [Undecided(detail="?")] * 20
    while stage.delivery().state is not DeliveryState.PENDING or not stage.delivery().attempts:
        await stage.deliver()
        await stage.pass_time(seconds=20)
    stage.update(1, prompt="breathe")
    await stage.deliver()
    assert "may be a repeat" in (stage.target.sent[-1].envelope or "")
    assert stage.target.sent[-1].prompt == "breathe"


@played
async def test_an_edit_of_the_rule_forgets_unsent_fires_and_their_repetitions(stage: Stage) -> None:
    stage.register(every="5m", max_repetitions=1)
    await stage.due()
    edited = stage.update(1, every="7m")
    assert (edited.state, edited.fire_count) == (ScheduleState.ACTIVE, 0)
    assert edited.next_fire_at == NOW + 12 * MINUTE
    assert stage.states() == ["cancelled"]
    await stage.fire()
    assert stage.schedule().state is ScheduleState.COMPLETED
    assert len(stage.target.sent) == 1


@played
async def test_an_edit_of_the_rule_keeps_a_run_now(stage: Stage) -> None:
    stage.register(every="5m")
    stage.run_now(1)
    stage.update(1, every="7m")
    await stage.deliver()
    assert [(one.kind, one.state) for one in stage.deliveries()] == [
        (DeliveryKind.RUN_NOW, DeliveryState.CANCELLED),
        (DeliveryKind.RUN_NOW, DeliveryState.DELIVERED),
    ]


@played
async def test_more_repetitions_go_on_although_the_last_one_is_still_unsent(stage: Stage) -> None:
    stage.register(every="5m", max_repetitions=1)
    await stage.due()
    assert stage.schedule().next_fire_at is None
    assert stage.update(1, max_repetitions=2).next_fire_at == NOW + 10 * MINUTE


@played
async def test_fewer_repetitions_than_fired_end_it(stage: Stage) -> None:
    stage.register(every="5m")
    for _ in range(3):
        await stage.fire()
    assert stage.update(1, max_repetitions=2).state is ScheduleState.COMPLETED


@played
async def test_a_pause_keeps_what_is_pending_until_it_is_resumed(stage: Stage) -> None:
    stage.register(every="5m")
    await stage.due()
    stage.pause(1)
    await stage.deliver()
    assert stage.states() == ["pending"]
    await stage.pass_time(hours=30)
    resumed = stage.resume(1)
    assert resumed.next_fire_at == NOW + timedelta(hours=30, minutes=10)
    await stage.deliver()
    assert stage.states() == ["delivered"]


@played
async def test_a_pause_keeps_what_is_due_though_nobody_has_planned_it(stage: Stage) -> None:
    stage.register(every="5m")
    await stage.pass_time(minutes=12)
    stage.pause(1)
    assert [(one.fire_at, one.missed, str(one.state)) for one in stage.deliveries()] == [
        (NOW + 10 * MINUTE, 1, "pending")
    ]
    await stage.deliver()
    assert stage.states() == ["pending"]
    await stage.pass_time(minutes=30)
    stage.resume(1)
    await stage.deliver()
    assert stage.states() == ["delivered"]


@played
async def test_a_pause_after_one_that_has_ended_keeps_what_came_due_in_between(stage: Stage) -> None:
    stage.register(every="5m")
    stage.pause(1, until=NOW + 7 * MINUTE)
    await stage.pass_time(minutes=12)
    assert stage.pause(1).paused_until is None
    assert [(one.fire_at, str(one.state)) for one in stage.deliveries()] == [(NOW + 10 * MINUTE, "pending")]


@played
async def test_what_ends_as_it_is_brought_up_to_date_is_not_paused(stage: Stage) -> None:
    stage.register(time=(NOW + MINUTE).isoformat(), expires_after="5m")
    await stage.pass_time(minutes=12)
    with pytest.raises(Conflict, match="is completed and cannot be paused"):
        stage.pause(1)


@played
async def test_a_schedule_whose_rule_cannot_be_read_can_be_paused(stage: Stage) -> None:
    broken = stage.register(every="5m")
    trigger = replace(broken.definition.trigger, expression="every now and then")
    stage.tx(lambda tx: tx.save_schedule(replace(broken, definition=replace(broken.definition, trigger=trigger))))
    await stage.pass_time(minutes=5)
    assert stage.pause(1).state is ScheduleState.PAUSED


@played
async def test_a_run_now_goes_out_pause_or_not_and_leaves_the_schedule_alone(stage: Stage) -> None:
    made = stage.register(every="5m", max_repetitions=3)
    paused = stage.pause(1)
    stage.run_now(1)
    await stage.deliver()
    assert stage.states() == ["delivered"]
    assert stage.schedule() == paused
    assert paused.next_fire_at == made.next_fire_at


@played
async def test_a_run_now_does_not_wait_behind_a_fire_that_waits_for_its_retry(stage: Stage) -> None:
    schedule = stage.register(every="60m")
    stage.target.sends += [Refused(code="later", detail="come back", retry_after=timedelta(minutes=10))]
    await stage.fire()
    run = stage.run_now(schedule.id)
    await stage.deliver()
    assert [message.delivery_id for message in stage.target.sent][-1] == run.id


@played
async def test_a_new_name_does_not_start_a_finished_schedule_again(stage: Stage) -> None:
    schedule = stage.register(time=(stage.now + timedelta(minutes=1)).isoformat())
    await stage.fire()
    renamed = stage.update(schedule.id, name="done and named")
    assert (renamed.state, renamed.definition.name) == (ScheduleState.COMPLETED, "done and named")


@played
async def test_a_finished_schedule_can_be_run_and_that_run_can_be_cancelled(stage: Stage) -> None:
    stage.register(time=(NOW + MINUTE).isoformat())
    await stage.fire()
    assert stage.schedule().state is ScheduleState.COMPLETED
    with pytest.raises(Conflict, match="nothing to cancel"):
        stage.cancel(1)
    stage.run_now(1)
    await stage.deliver()
    assert stage.schedule().state is ScheduleState.COMPLETED
    await stage.pass_time(seconds=1)
    stage.run_now(1)
    stage.cancel(1)
    assert stage.states() == ["delivered", "delivered", "cancelled"]
    with pytest.raises(Conflict, match="is cancelled"):
        stage.run_now(1)


# -- while something is in flight -------------------------------------------------------------------------------


async def _in_flight(stage: Stage, state: DeliveryState, **options: Any) -> asyncio.Event:  # noqa: ANN401  any option
    """Bring delivery 1 of a schedule into a state; the event lets its answer come."""
    rule: dict[str, Any] = {} if "time" in options else {"every": "60m"}
    stage.register(**(rule | options))
    await stage.due()
    answer = asyncio.Event()
    if state is DeliveryState.LEASED:
        stage.target.sends.appendleft(answer)
    elif state is DeliveryState.ACCEPTED:
        stage.target.sends.appendleft(Accepted(run_id="run-1"))
        stage.target.follows.appendleft(answer)
    else:
        stage.target.sends.appendleft(Unclear(code="broken", detail="it broke"))
        stage.target.settles.appendleft(answer)
    stage.begin(stage.deliver())
    if state is DeliveryState.UNKNOWN:
        await stage.in_flight(lambda: bool(stage.ready()) and stage.delivery().state is state)
        stage.begin(stage.deliver())
    await stage.in_flight(lambda: stage.delivery().state is state)
    return answer


async def _answered(stage: Stage, answer: asyncio.Event) -> None:
    answer.set()
    await stage.pass_time(seconds=1)
    await stage.deliver()


FLYING = [DeliveryState.LEASED, DeliveryState.ACCEPTED, DeliveryState.UNKNOWN]


@pytest.mark.parametrize("state", FLYING)
@pytest.mark.parametrize("change", ["cancel", "edit", "pause", "run now"])
def test_whatever_is_done_in_flight_the_attempt_ends_as_it_would(state: DeliveryState, change: str) -> None:
    @played
    async def scene(stage: Stage) -> None:
        answer = await _in_flight(stage, state)
        match change:
            case "cancel":
                stage.cancel(1)
            case "edit":
                stage.update(1, prompt="breathe")
            case "pause":
                stage.pause(1)
            case _:
                stage.run_now(1)
        await _answered(stage, answer)
        assert stage.delivery().state is DeliveryState.DELIVERED
        assert [message.prompt for message in stage.target.sent][:1] == ["stretch"]
        assert len(stage.target.sent) == (2 if change == "run now" else 1)

    scene()


@pytest.mark.parametrize(("state", "answer"), [
    (DeliveryState.LEASED, REFUSED),
    (DeliveryState.LEASED, Busy(detail="busy")),
    (DeliveryState.ACCEPTED, Failed(code="llm", detail="failed")),
    (DeliveryState.UNKNOWN, Absent()),
])  # fmt: skip
def test_after_a_cancel_in_flight_nothing_follows(state: DeliveryState, answer: object) -> None:
    @played
    async def scene(stage: Stage) -> None:
        come = await _in_flight(stage, state)
        for script in (stage.target.sends, stage.target.follows, stage.target.settles):
            script.append(answer)  # type: ignore[arg-type]  # the one that is asked takes it
        stage.cancel(1)
        await _answered(stage, come)
        await stage.pass_time(hours=2)
        await stage.deliver()
        assert stage.states() == ["cancelled"]
        assert len(stage.target.sent) == 1

    scene()


@pytest.mark.parametrize("rule", [{"every": "60m"}, {"time": (NOW + MINUTE).isoformat()}])
def test_an_edit_in_flight_does_not_lose_what_then_was_refused(rule: dict[str, str]) -> None:
    @played
    async def scene(stage: Stage) -> None:
        come = await _in_flight(stage, DeliveryState.LEASED, **rule)
        stage.target.sends.append(REFUSED)
        stage.update(1, prompt="breathe")
        await _answered(stage, come)
        assert stage.states() == ["cancelled", "delivered"]
        assert [message.prompt for message in stage.target.sent] == ["stretch", "breathe"]

    scene()


@pytest.mark.parametrize(("policy", "later"), [
    ({"overlap": "skip"}, "skipped"),
    ({"overlap": "queue"}, "delivered"),
    ({"catch_up": "all"}, "delivered"),
])  # fmt: skip
def test_an_edit_in_flight_does_not_lose_it_though_a_later_fire_time_has_come(
    policy: dict[str, str], later: str
) -> None:
    @played
    async def scene(stage: Stage) -> None:
        come = await _in_flight(stage, DeliveryState.LEASED, every="5m", **policy)
        await stage.pass_time(minutes=5)
        await stage.plan()
        stage.target.sends.append(REFUSED)
        stage.update(1, prompt="breathe")
        await _answered(stage, come)
        states = [(one.fire_at, one.revision, one.state) for one in stage.deliveries()]
        assert (NOW + 5 * MINUTE, 2, DeliveryState.DELIVERED) in states
        assert later in [state for fire_at, _, state in states if fire_at == NOW + 10 * MINUTE]
        assert [message.prompt for message in stage.target.sent][:2] == ["stretch", "breathe"]

    scene()


@pytest.mark.parametrize("rule", [{"every": "60m"}, {"time": (NOW + MINUTE).isoformat()}])
def test_an_edit_in_doubt_does_not_lose_what_nobody_can_learn_of(rule: dict[str, str]) -> None:
    @played
    async def scene(stage: Stage) -> None:
        come = await _in_flight(stage, DeliveryState.UNKNOWN, **rule)
        stage.target.settles += [Undecided(detail="?"), Undecided(detail="?")]
        stage.update(1, prompt="breathe")
        await stage.pass_time(minutes=3)
        await _answered(stage, come)
        first, second = stage.deliveries()
        assert (first.state, first.reason) == (
            DeliveryState.CANCELLED,
            "cancelled in flight; whether it arrived could not be learnt",
        )
        assert (second.fire_at, second.maybe_repeat, second.state) == (first.fire_at, True, DeliveryState.DELIVERED)
        assert [message.prompt for message in stage.target.sent] == ["stretch", "breathe"]

    scene()


@played
async def test_what_was_in_doubt_as_it_was_edited_goes_before_what_has_come_due_since(stage: Stage) -> None:
    come = await _in_flight(stage, DeliveryState.UNKNOWN, every="5m", catch_up="all")
    stage.target.settles += [Undecided(detail="?"), Absent()]
    await stage.pass_time(minutes=5)
    await stage.plan()
    stage.update(1, prompt="breathe")
    await _answered(stage, come)
    assert [message.prompt for message in stage.target.sent] == ["stretch", "breathe", "breathe"]
    sent = [stage.delivery(message.delivery_id).fire_at for message in stage.target.sent]
    assert sent == [NOW + 5 * MINUTE, NOW + 5 * MINUTE, NOW + 10 * MINUTE]


@played
async def test_an_edit_of_the_rule_in_flight_lets_the_old_fire_go(stage: Stage) -> None:
    come = await _in_flight(stage, DeliveryState.LEASED)
    stage.target.sends.append(REFUSED)
    stage.update(1, every="7m")
    await _answered(stage, come)
    assert stage.states() == ["cancelled"]


@played
async def test_an_edit_in_flight_does_not_redirect_what_is_under_way(stage: Stage) -> None:
    come = await _in_flight(stage, DeliveryState.UNKNOWN)
    stage.target.settles += [Undecided(detail="?")]
    stage.update(1, agent_id=OTHER)
    await _answered(stage, come)
    assert {message.address.agent_id for message in stage.target.sent} == {AGENT}


@played
async def test_a_one_off_moved_by_its_own_run_arrives_at_its_new_time(stage: Stage) -> None:
    """An agent that says `wake me again in two minutes`, and goes on working for ten."""
    come = await _in_flight(stage, DeliveryState.ACCEPTED, time=(NOW + MINUTE).isoformat(), key="next")
    stage.register(time=(NOW + 3 * MINUTE).isoformat(), key="next", caller=ME)
    await stage.pass_time(minutes=5)
    await stage.plan()
    await _answered(stage, come)
    await stage.deliver()
    assert stage.states() == ["delivered", "delivered"]
    assert stage.schedule().state is ScheduleState.COMPLETED


# -- provenance, guard ------------------------------------------------------------------------------------------


@played
async def test_what_an_agent_schedules_during_its_delivery_descends_from_it(stage: Stage) -> None:
    await _in_flight(stage, DeliveryState.ACCEPTED)
    child = stage.register(caller=ME, every="2m")
    root = stage.schedule(1)
    assert child.provenance.created_by == f"{AGENT} via mcp"
    assert (child.provenance.owner, child.provenance.origin_delivery_id) == (AGENT, 1)
    assert (child.provenance.root_uid, child.provenance.depth) == (root.uid, 1)
    assert stage.register(every="2m").provenance.depth == 0


@played
async def test_a_grandchild_keeps_the_root(stage: Stage) -> None:
    come = await _in_flight(stage, DeliveryState.ACCEPTED)
    stage.register(caller=ME, every="2m")
    await _answered(stage, come)
    await stage.pass_time(minutes=3)
    await stage.plan()
    stage.target.sends.append(Accepted(run_id="run-2"))
    stage.target.follows.append(asyncio.Event())
    stage.begin(stage.deliver())
    await stage.in_flight(lambda: stage.delivery(2).state is DeliveryState.ACCEPTED)
    grandchild = stage.register(caller=ME, every="2m")
    assert (grandchild.provenance.root_uid, grandchild.provenance.depth) == (stage.schedule(1).uid, 2)


@played
async def test_an_agent_reaches_its_own_schedules_only(stage: Stage) -> None:
    stage.register(every="5m", agent_id=OTHER)
    with pytest.raises(Forbidden):
        stage.register(caller=ME, every="5m", agent_id=OTHER)
    with pytest.raises(ScheduleNotFound):
        stage.cancel(1, caller=ME)


@played
async def test_an_agent_has_a_limit_of_creations_and_of_active_schedules(stage: Stage) -> None:
    for number in range(limits.AGENT_CREATIONS_PER_HOUR_MAX):
        stage.register(caller=ME, every="5m", key=f"k{number}")
    with pytest.raises(LimitExceeded, match="within an hour"):
        stage.register(caller=ME, every="5m")
    assert stage.register(caller=ME, every="6m", key="k0").revision == 2
    stage.register(every="5m")
    await stage.pass_time(hours=1.1)
    for _ in range(limits.AGENT_SCHEDULES_ACTIVE_MAX - limits.AGENT_CREATIONS_PER_HOUR_MAX):
        stage.register(caller=ME, every="5m")
    with pytest.raises(LimitExceeded, match="100 schedules are active"):
        stage.register(caller=ME, every="5m")


@played
async def test_reviving_a_key_is_no_way_around_the_limit(stage: Stage) -> None:
    stage.register(caller=ME, every="5m", key="k")
    stage.cancel(1, caller=ME)
    for _ in range(limits.AGENT_SCHEDULES_ACTIVE_MAX):
        await stage.pass_time(minutes=2)
        stage.register(caller=ME, every="1d")
    with pytest.raises(LimitExceeded, match="100 schedules are active"):
        stage.register(caller=ME, every="5m", key="k")


@pytest.mark.parametrize("owner", [ME, OPERATOR])
def test_an_agent_cannot_run_itself_without_end(owner: object) -> None:
    @played
    async def scene(stage: Stage) -> None:
        stage.register(caller=owner, every="1d")  # type: ignore[arg-type]  # a Caller
        for _ in range(limits.AGENT_DELIVERIES_PER_HOUR_MAX):
            await stage.pass_time(seconds=1)
            stage.run_now(1, caller=ME)
        await stage.pass_time(seconds=1)
        with pytest.raises(LimitExceeded, match="120 deliveries"):
            stage.run_now(1, caller=ME)
        stage.run_now(1)
        await stage.pass_time(hours=1.1)
        stage.run_now(1, caller=ME)

    scene()


# -- pause, resume, the switch ----------------------------------------------------------------------------------


@played
async def test_a_pause_with_an_end_ends_by_itself(stage: Stage) -> None:
    stage.register(every="5m")
    stage.pause(1, until=NOW + 12 * MINUTE)
    await stage.pass_time(minutes=12)
    await stage.plan()
    assert (stage.schedule().state, stage.schedule().paused_until) == (ScheduleState.ACTIVE, None)
    assert stage.schedule().next_fire_at == NOW + 15 * MINUTE
    assert stage.states() == []


@played
async def test_a_fire_at_the_very_end_of_a_pause_goes_out(stage: Stage) -> None:
    stage.register(every="5m")
    stage.pause(1, until=NOW + 10 * MINUTE)
    await stage.pass_time(minutes=10)
    await stage.plan()
    assert [one.fire_at for one in stage.deliveries()] == [NOW + 10 * MINUTE]


@played
async def test_what_was_missed_after_a_pause_had_ended_is_caught_up(stage: Stage) -> None:
    """Paused until Saturday; the executor is back on Monday."""
    stage.register(every="5m")
    stage.pause(1, until=NOW + 12 * MINUTE)
    await stage.pass_time(minutes=33)
    await stage.plan()
    assert [(one.fire_at, one.missed) for one in stage.deliveries()] == [(NOW + 30 * MINUTE, 3)]


@played
async def test_a_one_off_that_came_due_in_a_pause_arrives_late(stage: Stage) -> None:
    stage.register(time=(NOW + MINUTE).isoformat())
    stage.pause(1)
    await stage.pass_time(days=2)
    stage.resume(1)
    await stage.plan()
    await stage.deliver()
    assert stage.states() == ["delivered"]


@played
async def test_a_pause_must_end_in_the_future_and_of_something_live(stage: Stage) -> None:
    stage.register(every="5m")
    with pytest.raises(InvalidInput, match="future"):
        stage.pause(1, until=NOW)
    assert stage.resume(1) == stage.schedule()
    stage.cancel(1)
    with pytest.raises(Conflict, match="cannot be paused"):
        stage.pause(1)


@played
async def test_an_unclear_end_still_blocks_its_lane(stage: Stage) -> None:
    stage.register(every="5m")
    stage.register(every="5m", prompt="second")
    await stage.due()
    stage.target.sends.append(Unclear(code="broken", detail="it broke"))
    stage.target.settles += [Undecided(detail="?"), Done()]
    await stage.deliver()
    await stage.deliver()
    assert len(stage.target.sent) == 1
    await stage.pass_time(seconds=3)
    await stage.deliver()
    assert [message.prompt for message in stage.target.sent] == ["stretch", "second"]
