"""Callbacks: stored with the end of their delivery, posted at least once, and in nobody's way."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from promptyoself.application.callbacks import Callbacks
from promptyoself.domain import limits
from promptyoself.domain.addresses import NOTHING, Allowed, CallbackUrl, read_allowed
from promptyoself.domain.answers import Done, Final
from promptyoself.domain.callbacks import NewCallback, NotPosted, Posted, PostResult
from promptyoself.domain.content import read_content
from promptyoself.domain.models import Fact, FactKind, Schedule, StopSwitch
from tests.application.stage import Stage, played
from tests.fakes.time import FakeChance

if TYPE_CHECKING:
    import pytest

URL = "https://example.com/hook"
SENT, FAILED = FactKind.CALLBACK_SENT, FactKind.CALLBACK_FAILED


class FakePoster:
    """Answers as it is told (200 without a script); an Event is waited for first."""

    def __init__(self) -> None:
        self.answers: deque[PostResult | asyncio.Event] = deque()
        self.posts: list[tuple[str, dict[str, Any], str]] = []
        self.is_closed = False

    async def post(self, url: CallbackUrl, body: bytes, headers: Mapping[str, str]) -> PostResult:
        self.posts.append((url.url, json.loads(body), headers["Idempotency-Key"]))
        answer = self.answers.popleft() if self.answers else Posted(200)
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            return Posted(200)
        return answer

    async def close(self) -> None:
        self.is_closed = True


async def _result_of(run_id: str, types: list[str] | None) -> dict[str, Any] | None:
    return {"messages": [run_id, types]}


def posting(stage: Stage, poster: FakePoster, name: str = "one", allowed: Allowed = NOTHING) -> Callbacks:
    return Callbacks(
        writer=stage.writer,
        make_poster=lambda: poster,
        results={"inbox": _result_of},
        clock=stage.clock,
        chance=FakeChance(name),
        actor=name,
        allowed=allowed,
    )


def called_back(stage: Stage, **options: Any) -> Schedule:  # noqa: ANN401  any option
    return stage.register(every="1h", content=read_content({"callback_url": URL} | options))


async def delivered(stage: Stage, schedule: Schedule) -> None:
    stage.run_now(schedule.id)
    await stage.deliver()
    await stage.pass_time(microseconds=1)


def told(stage: Stage) -> list[Fact]:
    return [fact for fact in stage.facts() if fact.kind in {SENT, FAILED}]


@played
async def test_the_end_of_a_delivery_is_posted_and_journaled(stage: Stage) -> None:
    poster = FakePoster()
    stage.target.sends.append(Done(run_id="run-1", reply_excerpt="yes"))
    await delivered(stage, called_back(stage, include_return_message_types=["tool_call_message"]))
    await posting(stage, poster).finish()
    ((url, body, key),) = poster.posts
    assert url == "https://example.com:443/hook"
    assert (body["run_id"], body["status"]) == ("run-1", "completed")
    assert body["metadata"]["result"] == {"messages": ["run-1", ["tool_call_message"]]}
    assert key == f"{stage.delivery(1).key}/1"
    (fact,) = told(stage)
    assert (fact.kind, fact.delivery_id, fact.detail["status"], fact.actor) == (SENT, 1, 200, "one")
    assert poster.is_closed
    await posting(stage, poster).finish()
    assert len(poster.posts) == 1


@played
async def test_a_delivery_that_is_given_up_says_so(stage: Stage) -> None:
    poster = FakePoster()
    stage.target.sends.append(Final(code="agent_not_found", detail="Letta has no such agent"))
    await delivered(stage, called_back(stage))
    await posting(stage, poster).finish()
    assert poster.posts[0][1]["status"] == "failed"
    assert poster.posts[0][1]["metadata"]["promptyoself"]["reason"] == "Letta has no such agent"


@played
async def test_one_that_fails_is_posted_again_under_the_same_key(stage: Stage) -> None:
    poster = FakePoster()
    poster.answers.extend([NotPosted("nobody listens there"), Posted(503), Posted(200)])
    await delivered(stage, called_back(stage))
    callbacks = posting(stage, poster)
    stage.begin(callbacks.run())
    for _ in range(100):
        if told(stage):
            break
        await stage.pass_time(seconds=5)
    assert len(poster.posts) == 3
    assert len({key for _, _, key in poster.posts}) == 1
    assert [fact.kind for fact in told(stage)] == [SENT]


def test_a_database_that_is_away_is_told_of_once_and_that_it_is_back_once(caplog: pytest.LogCaptureFixture) -> None:
    @played
    async def scene(stage: Stage) -> None:
        await delivered(stage, called_back(stage))
        stage.writer.failures = 20
        stage.begin(posting(stage, FakePoster()).run())
        await stage.pass_time(minutes=2)
        assert [fact.kind for fact in told(stage)] == [SENT]

    scene()
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == [
        "callback.store_failed code=store error=the disk is full",
        "callback.store_is_back after_s=100.0",
    ]


@played
async def test_one_that_never_succeeds_is_given_up(stage: Stage) -> None:
    poster = FakePoster()
    poster.answers.extend([Posted(500)] * 50)
    await delivered(stage, called_back(stage))
    stage.begin(posting(stage, poster).run())
    await stage.pass_time(hours=12)
    assert len(poster.posts) == limits.CALLBACK_ATTEMPTS_MAX
    (fact,) = told(stage)
    assert fact.kind is FAILED
    assert "HTTP 500" in str(fact.detail["text"])


@played
async def test_who_dies_while_posting_leaves_it_to_the_next(stage: Stage) -> None:
    poster = FakePoster()
    poster.answers.append(asyncio.Event())
    await delivered(stage, called_back(stage))
    callbacks = posting(stage, poster, "first")
    dying = stage.begin(callbacks.run())
    await stage.in_flight(lambda: len(poster.posts) == 1)
    dying.cancel()
    for task in list(callbacks._posting):
        task.cancel()
    await posting(stage, poster, "second").finish()
    assert len(poster.posts) == 1, "it may still be posted by the first"
    await stage.pass_time(seconds=limits.CALLBACK_LEASE.total_seconds())
    await posting(stage, poster, "second").finish()
    assert len({key for _, _, key in poster.posts}) == 1
    assert len(poster.posts) == 2
    assert [fact.actor for fact in told(stage)] == ["second"]


@played
async def test_a_hung_receiver_holds_up_neither_lanes_nor_other_callbacks(stage: Stage) -> None:
    poster, hung = FakePoster(), asyncio.Event()
    poster.answers.append(hung)
    schedule = called_back(stage)
    await delivered(stage, schedule)
    callbacks = posting(stage, poster)
    stage.begin(callbacks.run())
    await stage.in_flight(lambda: len(poster.posts) == 1)
    before = stage.now
    for _ in range(3):
        await delivered(stage, schedule)
        callbacks.wake()
        await stage.pass_time(milliseconds=1)
    assert stage.now - before < timedelta(seconds=1)
    assert [fact.delivery_id for fact in told(stage)] == [2, 3, 4]
    hung.set()
    await stage.pass_time(milliseconds=1)
    assert [fact.delivery_id for fact in told(stage)] == [2, 3, 4, 1]


@played
async def test_a_hung_one_ends_a_pass_in_bounded_time(stage: Stage) -> None:
    poster = FakePoster()
    poster.answers.append(asyncio.Event())
    await delivered(stage, called_back(stage))
    before = stage.now
    await posting(stage, poster).finish()
    assert stage.now - before == limits.CALLBACK_DRAIN_FOR
    assert poster.is_closed


@played
async def test_only_so_many_are_posted_at_once(stage: Stage) -> None:
    poster, hung = FakePoster(), asyncio.Event()
    poster.answers.extend([hung] * 20)
    schedule = called_back(stage)
    for _ in range(20):
        await delivered(stage, schedule)
    stage.begin(posting(stage, poster).run())
    await stage.pass_time(seconds=1)
    assert len(poster.posts) == limits.CALLBACKS_AT_ONCE
    hung.set()
    await stage.pass_time(seconds=1)
    assert len(poster.posts) == len(told(stage)) == 20


@played
async def test_the_switch_that_stops_all_deliveries_stops_callbacks(stage: Stage) -> None:
    poster = FakePoster()
    await delivered(stage, called_back(stage))
    stage.tx(lambda tx: tx.set_stop_switch(StopSwitch(reason="stop", since=stage.now, until=None)))
    await posting(stage, poster).finish()
    assert poster.posts == []
    stage.tx(lambda tx: tx.set_stop_switch(None))
    await posting(stage, poster).finish()
    assert len(poster.posts) == 1


@played
async def test_what_an_operator_no_longer_allows_is_not_posted(stage: Stage) -> None:
    poster = FakePoster()
    new = NewCallback(
        delivery_id=1,
        schedule_id=called_back(stage).id,
        target="inbox",
        url="http://10.0.0.1/",
        payload=json.dumps({"run_id": None, "metadata": {"promptyoself": {"idempotency_key": "k"}}}),
        created_at=stage.now,
    )
    stage.tx(lambda tx: tx.add_callback(new))
    await posting(stage, poster).finish()
    assert poster.posts == []
    assert "10.0.0.1" in str(told(stage)[0].detail["text"])
    stage.tx(lambda tx: tx.add_callback(new))
    await posting(stage, poster, allowed=read_allowed("10.0.0.0/8")).finish()
    assert len(poster.posts) == 1
