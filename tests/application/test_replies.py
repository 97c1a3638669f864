"""What agents say at the end of their answers is obeyed once, where it is allowed, and never against an operator."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from promptyoself.domain import limits
from promptyoself.domain.answers import Accepted, Done, Unclear
from promptyoself.domain.content import read_content
from promptyoself.domain.errors import LimitExceeded, UsageError
from promptyoself.domain.models import DeliveryState, Fact, FactKind, Schedule, ScheduleState
from promptyoself.domain.ports import DeliveryFilter, ScheduleFilter
from promptyoself.domain.replies import nonce_of
from tests.application.stage import ME, Stage, played
from tests.factories import AGENT

OBEYED, IGNORED = FactKind.REPLY_OBEYED, FactKind.REPLY_IGNORED


def secret_of(stage: Stage) -> str:
    return stage.tx(lambda tx: tx.reply_secret())


def schedules_of(stage: Stage) -> list[Schedule]:
    return stage.tx(lambda tx: tx.schedules(ScheduleFilter()))


def heard(stage: Stage, *, kinds: frozenset[FactKind] = frozenset({OBEYED, IGNORED})) -> list[Fact]:
    return [fact for fact in stage.tx(lambda tx: tx.facts(limit=500)) if fact.kind in kinds]


async def answer(stage: Stage, schedule: Schedule, words: str, *, nonce: str | None = None) -> Fact | None:
    """Run the schedule once; its agent ends its answer with `words`, under the nonce of its envelope unless given."""
    stage.run_now(schedule.id)
    return await answered(stage, words, nonce=nonce)


async def answered(stage: Stage, words: str, *, nonce: str | None = None) -> Fact | None:
    stage.target.sends.append(Accepted(run_id="run-1"))

    def reply() -> None:
        found = re.search(r"\[promptyoself (\w+): again", stage.target.sent[-1].envelope or "")
        line = f"[promptyoself {nonce or (found[1] if found else 'none')}: {words}]"
        stage.target.follows.append(Done(run_id="run-1", reply_excerpt="I looked.", last_line=line))

    stage.target.follows.append(reply)
    before = len(heard(stage))
    await stage.plan()
    await stage.deliver()
    return next(iter(heard(stage)[before:]), None)


def hourly(stage: Stage, **options: Any) -> Schedule:  # noqa: ANN401  any option
    return stage.register(**({"every": "1h", "replies": "obey", "timezone": "Europe/Riga"} | options))


@played
async def test_again_makes_a_one_off_of_the_same_prompt(stage: Stage) -> None:
    content = read_content({"max_steps": 3})
    first = hourly(stage, name="look", content=content, key="k", max_repetitions=9)
    fact = await answer(stage, first, "again in 3h")
    made = schedules_of(stage)[-1]
    assert made.id != first.id
    definition = made.definition
    assert (definition.prompt, definition.content, definition.name) == ("stretch", content, "look")
    assert (definition.key, definition.max_repetitions) == (None, None)
    assert made.next_fire_at == stage.now + timedelta(hours=3)
    origin = stage.tx(lambda tx: tx.deliveries(DeliveryFilter(schedule_id=first.id)))[0]
    provenance = made.provenance
    assert (provenance.owner, provenance.origin_delivery_id, provenance.root_uid) == (AGENT, origin.id, first.uid)
    assert fact is not None
    assert (fact.kind, fact.actor, fact.delivery_id, fact.detail["said"]) == (
        OBEYED, f"{AGENT} via reply", origin.id, "again in 3h",
    )  # fmt: skip


@played
async def test_a_one_off_may_come_again(stage: Stage) -> None:
    once = stage.register(time=(stage.now + timedelta(minutes=5)).isoformat(), replies="obey")
    await stage.pass_time(minutes=5)
    fact = await answered(stage, "again in 90s; silent")
    assert fact is not None
    assert fact.kind is OBEYED
    done, made = schedules_of(stage)
    assert (done.id, done.state) == (once.id, ScheduleState.COMPLETED)
    assert made.next_fire_at == stage.now + timedelta(seconds=90)


@played
async def test_pause_until_is_read_in_the_schedule_s_zone(stage: Stage) -> None:
    schedule = hourly(stage)
    await answer(stage, schedule, "pause until tuesday 9:00")
    paused = stage.schedule(schedule.id)
    assert paused.state is ScheduleState.PAUSED
    assert paused.paused_until is not None
    assert paused.paused_until.isoformat() == "2026-03-03T07:00:00+00:00"


@played
async def test_done_completes_the_schedule_and_what_waits_of_it(stage: Stage) -> None:
    schedule = hourly(stage)
    stage.run_now(schedule.id)
    await stage.pass_time(seconds=1)
    fact = await answer(stage, schedule, "done")
    assert fact is not None
    over = stage.schedule(schedule.id)
    assert (over.state, over.next_fire_at) == (ScheduleState.COMPLETED, None)
    assert "done" in (over.state_reason or "")
    states = [one.state for one in stage.tx(lambda tx: tx.deliveries(DeliveryFilter(schedule_id=schedule.id)))]
    assert sorted(states) == [DeliveryState.CANCELLED, DeliveryState.DELIVERED]


@played
async def test_silent_keeps_nothing_and_posts_nothing(stage: Stage) -> None:
    schedule = hourly(stage, content=read_content({"callback_url": "https://example.com/"}))
    await answer(stage, schedule, "silent")
    (delivery,) = stage.tx(lambda tx: tx.deliveries(DeliveryFilter(schedule_id=schedule.id)))
    assert (delivery.state, delivery.reply_excerpt) == (DeliveryState.DELIVERED, None)
    assert stage.tx(lambda tx: tx.next_callback_at()) is None
    await stage.pass_time(seconds=1)
    await answer(stage, schedule, "hello")
    (delivery, _) = stage.tx(lambda tx: tx.deliveries(DeliveryFilter(schedule_id=schedule.id)))
    assert delivery.reply_excerpt == "I looked."
    assert stage.tx(lambda tx: tx.next_callback_at()) is not None


@played
async def test_a_wrong_nonce_is_never_obeyed_and_is_journaled(stage: Stage) -> None:
    schedule = hourly(stage)
    earlier = nonce_of(secret_of(stage), "another#0")
    for nonce in ("0000", earlier):
        fact = await answer(stage, schedule, "done", nonce=nonce)
        assert fact is not None
        assert fact.kind is IGNORED
        assert "nonce" in str(fact.detail["text"])
        await stage.pass_time(seconds=1)
    assert stage.schedule(schedule.id).state is ScheduleState.ACTIVE


@played
async def test_a_schedule_that_ignores_replies_neither_asks_nor_listens(stage: Stage) -> None:
    schedule = hourly(stage, replies="ignore")
    stage.run_now(schedule.id)
    nonce = nonce_of(secret_of(stage), f"{stage.delivery(1).key}#0")
    assert await answered(stage, "done", nonce=nonce) is None
    assert "[promptyoself" not in (stage.target.sent[-1].envelope or "").split("\n", 1)[1]
    assert stage.schedule(schedule.id).state is ScheduleState.ACTIVE


@played
async def test_a_delivery_that_is_settled_twice_is_obeyed_once(stage: Stage) -> None:
    schedule = hourly(stage)
    stage.run_now(schedule.id)
    nonce = nonce_of(secret_of(stage), f"{stage.delivery(1).key}#0")
    done = Done(last_line=f"[promptyoself {nonce}: again in 2h]")
    stage.target.sends.append(Unclear(code="lost", detail="lost"))
    stage.target.settles.extend([done, done, done])
    for _ in range(3):
        await stage.deliver()
        await stage.pass_time(minutes=1)
    assert [fact.kind for fact in heard(stage)] == [OBEYED]
    assert len(schedules_of(stage)) == 2


@played
async def test_an_operator_s_word_counts_for_more(stage: Stage) -> None:
    changes: list[tuple[Callable[[int], object], str]] = [
        (stage.pause, "again in 3h"),
        (stage.pause, "pause until tomorrow"),
        (stage.cancel, "again in 3h"),
    ]
    for change, words in changes:
        schedule = hourly(stage)
        stage.run_now(schedule.id)

        def meanwhile(change: Callable[[int], object] = change, id: int = schedule.id) -> None:
            change(id)

        stage.target.sends.append(meanwhile)
        fact = await answered(stage, words)
        assert fact is not None
        assert fact.kind is IGNORED
        assert len([one for one in schedules_of(stage) if one.provenance.owner == AGENT]) == 0


@played
async def test_what_cannot_be_done_is_journaled_with_its_reason(stage: Stage) -> None:
    schedule = hourly(stage)
    for words, because in (
        ("again in 5s", "too soon"),
        ("again yesterday", ""),
        ("again whenever you like", ""),
        ("again every day at 9", ""),
        ("pause until 2020-01-01T00:00", "passed"),
        ("again 10000-01-01T00:00", ""),
        ("again in 99999999999999999999h", ""),
    ):
        fact = await answer(stage, schedule, words)
        assert fact is not None, words
        assert fact.kind is IGNORED, words
        assert because in str(fact.detail["text"])
        assert stage.delivery(fact.delivery_id or 0).state is DeliveryState.DELIVERED
        await stage.pass_time(seconds=1)
    assert stage.schedule(schedule.id).state is ScheduleState.ACTIVE
    assert len(schedules_of(stage)) == 1


@played
async def test_the_limits_of_agents_hold_for_again(stage: Stage) -> None:
    schedule = hourly(stage)
    for number in range(limits.AGENT_CREATIONS_PER_HOUR_MAX):
        stage.register(every="1h", caller=ME, key=f"k{number}")
    fact = await answer(stage, schedule, "again in 3h; done")
    assert fact is not None
    assert fact.kind is IGNORED
    assert "an agent may create" in str(fact.detail["text"])
    assert stage.schedule(schedule.id).state is ScheduleState.ACTIVE, "all of a reply is obeyed, or none of it"


@played
async def test_replies_need_an_envelope_to_be_asked_for(stage: Stage) -> None:
    with pytest.raises(UsageError, match="envelope"):
        hourly(stage, envelope="none")


@played
async def test_a_runner_that_was_replaced_obeys_nothing_again(stage: Stage) -> None:
    """The first runner is stopped for a minute; a second one asks, hears the answer and obeys; then the first wakes."""
    schedule = hourly(stage)
    stage.run_now(schedule.id)
    nonce = nonce_of(secret_of(stage), f"{stage.delivery(1).key}#0")
    done = Done(last_line=f"[promptyoself {nonce}: again in 2h]")
    stopped = asyncio.Event()
    stage.target.sends.extend([stopped, done])
    stage.target.settles.append(done)
    first = stage.begin(stage.dispatcher.run_lane(schedule.lane))
    await stage.in_flight(lambda: len(stage.target.sent) == 1)
    await stage.pass_time(minutes=1)
    await stage.deliver(stage.executor("two"))
    assert [fact.kind for fact in heard(stage)] == [OBEYED]
    stopped.set()
    await first
    assert [fact.kind for fact in heard(stage)] == [OBEYED]
    assert len(schedules_of(stage)) == 2


@played
async def test_an_edit_of_the_content_replaces_what_waits(stage: Stage) -> None:
    schedule = stage.register(every="1h", content=read_content({"max_steps": 3}))
    stage.run_now(schedule.id)
    stage.update(schedule.id, content=read_content({"max_steps": 4}))
    await stage.deliver()
    (sent,) = stage.target.sent
    assert (stage.delivery(1).state, stage.delivery(2).revision) == (DeliveryState.CANCELLED, 2)
    assert sent.content == read_content({"max_steps": 4})


@played
async def test_an_agent_s_content_is_bounded_as_its_prompts_are(stage: Stage) -> None:
    data = "A" * (limits.AGENT_CONTENT_BYTES_MAX // 4 * 4)
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    picture = read_content({"messages": [{"role": "user", "content": [image]}]})
    long = read_content({"messages": [{"role": "system", "content": "x" * (limits.AGENT_PROMPT_BYTES_MAX + 1)}]})
    for content in (picture, long):
        with pytest.raises(LimitExceeded):
            stage.register(every="1h", caller=ME, prompt=None, content=content)
        stage.register(every="1h", prompt=None, content=content)
