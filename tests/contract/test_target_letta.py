"""The Letta target keeps what a target promises, whatever the server answers and wherever the connection breaks."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from promptyoself.domain import limits
from promptyoself.domain.answers import (
    Absent,
    Accepted,
    Address,
    Busy,
    Done,
    Failed,
    Final,
    Message,
    Refused,
    Sent,
    Target,
    Unclear,
    Undecided,
)
from promptyoself.domain.secret import Secret
from promptyoself.domain.values import replace
from promptyoself.runtime import SystemClock
from promptyoself.targets.letta import LettaTarget
from promptyoself.targets.letta_runs import LettaPace
from promptyoself.targets.letta_settings import LettaMode, LettaSettings
from tests.fakes.letta_http import EPOCH, Answer, Break, FakeLetta

WITHIN_S = 20.0
PROMPT = "water the plants, quietly"
QUICK = LettaPace(
    look_first_s=0.01, look_last_s=0.05, outage_pause_s=0.02, lost_after_s=0.1, quiet_for_s=0.05, absent_after_s=0.05
)
LLM_ERROR = {"error": {"type": "llm_error", "message": "An error occurred with the LLM request.", "detail": PROMPT}}


class Clock(SystemClock):
    """Our wall clock, which stands where the fake's does; elapsed time is real."""

    def now(self) -> Any:  # noqa: ANN401  the fake's instant
        return EPOCH


class SteppedClock(Clock):
    """Elapsed time goes on when a test says so: what begins together has one age, however slow the machine is."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0

    def monotonic(self) -> float:
        return self.elapsed_s

    async def goes_on_until(self, is_over: Callable[[], bool]) -> None:
        """Let elapsed time pass; the scene bounds it."""
        await asyncio.sleep(0)  # what was begun takes its place at the instant at which it was begun
        while not is_over():
            self.elapsed_s += 0.01
            await asyncio.sleep(0.01)


def run(scene: Callable[[], Awaitable[None]]) -> None:
    """Play a scene within a bound."""

    async def bounded() -> None:
        async with asyncio.timeout(WITHIN_S):
            await scene()

    asyncio.run(bounded())


@asynccontextmanager
async def target(
    fake: FakeLetta,
    mode: LettaMode = "auto",
    pace: LettaPace = QUICK,
    *,
    clock: Clock | None = None,
    answers_within_s: float = 0.5,
) -> AsyncIterator[LettaTarget]:
    settings = LettaSettings(
        base_url=fake.base_url,
        mode=mode,
        api_key=Secret(fake.password) if fake.password else None,
        accept_timeout_s=answers_within_s,
        read_timeout_s=answers_within_s,
    )
    made = LettaTarget(settings, clock or Clock(), pace)
    try:
        yield made
    finally:
        await made.close()


def message(otid: str = "key#0", *, agent_id: str = "agent-1", conversation: str | None = None) -> Message:
    return Message(
        address=Address(agent_id=agent_id, conversation=conversation),
        otid=otid,
        prompt=PROMPT,
        envelope="[schedule 1]",
        delivery_id=7,
        schedule_id=1,
    )


def sent(run_id: str | None = None, otid: str = "key#0") -> Sent:
    return Sent(address=Address(agent_id="agent-1"), otid=otid, run_id=run_id, since=EPOCH)


async def settled(letta: Target, question: Sent, *, kind: type) -> object:
    """Ask until the answer is of this kind; the scene's bound ends a vain wait."""
    while not isinstance(answer := await letta.settle(question), kind):  # noqa: ASYNC110  the port has no signal
        await asyncio.sleep(0.01)
    return answer


# -- what is sent ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fake", "path"),
    [
        (FakeLetta(has_redis=True), "/v1/conversations/agent-1/messages"),
        (FakeLetta(), "/v1/agents/agent-1/messages/async"),
        (FakeLetta(has_async=False), "/v1/agents/agent-1/messages"),
    ],
    ids=["background", "async", "blocking"],
)
def test_the_best_route_is_chosen_and_carries_envelope_prompt_and_otids(fake: FakeLetta, path: str) -> None:
    async def scene() -> None:
        async with fake, target(fake) as letta:
            result = await letta.send(message())
            assert isinstance(result, Accepted | Done)
            taken_by, body = fake.prompts[-1]
            assert taken_by == path
            assert body["messages"] == [
                {"role": "system", "content": "[schedule 1]", "otid": "key#0.e"},
                {"role": "user", "content": PROMPT, "otid": "key#0"},
            ]

    run(scene)


def test_a_server_that_lost_its_redis_is_noticed_and_the_prompt_goes_another_way() -> None:
    async def scene() -> None:
        fake = FakeLetta(has_redis=True)
        async with fake, target(fake) as letta:
            assert isinstance(await letta.send(message("key#0")), Accepted)
            fake.has_redis = False
            fake.finish(fake.run_ids()[0])
            assert isinstance(await letta.send(message("key#1")), Accepted)
            assert fake.prompts[-1][0].endswith("/async")

    run(scene)


def test_a_conversation_is_addressed_and_a_new_one_is_made_once_for_one_otid() -> None:
    async def scene() -> None:
        fake = FakeLetta(has_redis=True, script=[Break.BEFORE_WORK])
        async with fake, target(fake) as letta:
            assert isinstance(await letta.send(message(conversation="new")), Unclear)
            assert isinstance(await letta.send(message(conversation="new")), Accepted)
            [conversation] = fake.conversations
            assert fake.prompts[-1][0] == f"/v1/conversations/{conversation}/messages"
            fake.finish(fake.run_ids()[0])
            assert isinstance(await letta.send(message("key#1", conversation=conversation)), Accepted)

    run(scene)


def test_without_redis_a_conversation_is_served_by_a_plain_request() -> None:
    async def scene() -> None:
        fake = FakeLetta()
        async with fake, target(fake) as letta:
            result = await letta.send(message(conversation="new"))
            assert isinstance(result, Done)
            assert result.reply_excerpt == "noted"
            assert fake.prompts[-1][1]["streaming"] is False

    run(scene)


# -- what each answer proves: the table of docs/letta.md -------------------------------------------------------

BUSY = {"detail": "CONFLICT: Cannot send a new message: Another request", "run_id": "run-9"}
APPROVAL = {"detail": {"code": "PENDING_APPROVAL", "message": "waiting"}}
ANSWERS: list[tuple[LettaMode, Answer, type, str | None, bool]] = [
    ("async", Answer(401, {"detail": "Unauthorized"}), Refused, "unauthorized", True),
    ("blocking", Answer(401, {"error": {"type": "llm_authentication"}}), Failed, "llm_authentication", False),
    ("async", Answer(403, {"detail": "Forbidden"}), Refused, "unauthorized", True),
    ("async", Answer(402, {"detail": "no credits"}), Refused, "payment_required", True),
    (
        "blocking",
        Answer(402, {"error": {"type": "llm_insufficient_credits"}}),
        Failed,
        "llm_insufficient_credits",
        False,
    ),
    ("async", Answer(404, {"detail": "Agent not found"}), Final, "agent_not_found", False),
    ("background", Answer(404, {"detail": "Conversation not found with id"}), Final, "conversation_not_found", False),
    ("async", Answer(404, {"detail": "Not Found"}), Refused, "wrong_route", True),
    ("async", Answer(404, "<html>no such page</html>"), Refused, "wrong_route", True),
    ("async", Answer(301, "", {"Location": "https://elsewhere.example/"}), Refused, "wrong_route", True),
    ("async", Answer(400, {"detail": "INVALID_ARGUMENT"}), Final, "invalid_request", False),
    ("blocking", Answer(400, {"error": {"type": "llm_bad_request"}}), Failed, "llm_bad_request", False),
    ("blocking", Answer(400, {"detail": "too long"}), Unclear, "http_400", False),
    ("async", Answer(422, {"detail": "malformed"}), Final, "invalid_request", False),
    ("background", Answer(409, BUSY), Busy, None, False),
    ("blocking", Answer(409, APPROVAL), Busy, None, False),
    ("blocking", Answer(409, {"detail": "a conflict"}), Unclear, "http_409", False),
    ("async", Answer(429, {"detail": "slow down"}, {"Retry-After": "7"}), Refused, "overloaded", True),
    ("blocking", Answer(429, {"error": {"type": "llm_rate_limit"}}), Failed, "llm_rate_limit", False),
    ("blocking", Answer(500, LLM_ERROR), Failed, "llm_error", False),
    ("async", Answer(500, {"detail": "An unknown error occurred"}), Unclear, "http_500", False),
    ("async", Answer(502, "bad gateway"), Refused, "unavailable", True),
    ("async", Answer(503, {"detail": "database away"}), Refused, "unavailable", True),
    ("blocking", Answer(503, "gateway: no server"), Refused, "unavailable", True),
    ("blocking", Answer(503, {"detail": "overloaded in mid-work"}), Unclear, "http_503", False),
    ("async", Answer(504, "gateway timeout"), Unclear, "http_504", False),
    ("blocking", Answer(504, {"error": {"type": "llm_timeout"}}), Failed, "llm_timeout", False),
    ("async", Answer(200, {"strange": True}), Unclear, "strange_answer", False),
    ("blocking", Answer(200, {"messages": [], "stop_reason": {"stop_reason": "error"}}), Failed, "error", False),
]


@pytest.mark.parametrize(
    ("mode", "answer", "kind", "code", "is_wide"),
    ANSWERS,
    ids=[f"{row[0]}-{row[1].status}-{row[3]}" for row in ANSWERS],
)
def test_each_answer_proves_what_the_table_says(
    mode: LettaMode, answer: Answer, kind: type, code: str | None, *, is_wide: bool
) -> None:
    async def scene() -> None:
        fake = FakeLetta(has_redis=mode == "background", script=[answer])
        async with fake, target(fake, mode) as letta:
            result = await letta.send(message())
            assert type(result) is kind
            assert getattr(result, "code", None) == code
            assert getattr(result, "is_target_wide", False) is is_wide
            assert PROMPT not in repr(result)

    run(scene)


def test_overload_and_its_pause_are_told() -> None:
    async def scene() -> None:
        fake = FakeLetta(script=[Answer(429, {"detail": "slow"}, {"Retry-After": "7"}), Answer(503, "no")])
        async with fake, target(fake, "async") as letta:
            slow, gone = await letta.send(message()), await letta.send(message("key#1"))
            assert isinstance(slow, Refused)
            assert (slow.is_overload, slow.retry_after) == (True, timedelta(seconds=7))
            assert isinstance(gone, Refused)
            assert gone.is_overload

    run(scene)


# -- where connections break -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "background", "async", "blocking"])
def test_no_connection_is_a_refusal_by_the_whole_target(mode: LettaMode) -> None:
    async def scene() -> None:
        fake = FakeLetta()
        async with fake:
            pass
        async with target(fake, mode) as letta:
            result = await letta.send(message())
            assert isinstance(result, Refused)
            assert (result.code, result.is_target_wide) == ("unreachable", True)
            assert isinstance(await letta.probe(), Refused)
            assert await letta.settle(sent()) == Undecided(
                detail="Letta cannot be reached: Connection refused", is_unreachable=True
            )

    run(scene)


def test_a_name_that_does_not_resolve_is_a_refusal() -> None:
    async def scene() -> None:
        letta = LettaTarget(LettaSettings(base_url="http://letta.invalid", mode="async"), Clock(), QUICK)
        result = await letta.send(message())
        await letta.close()
        assert isinstance(result, Refused)
        assert result.is_target_wide

    run(scene)


@pytest.mark.parametrize("mode", ["background", "async", "blocking"])
@pytest.mark.parametrize("phase", [Break.BEFORE_READING, Break.BEFORE_WORK, Break.AFTER_WORK, Break.MID_ANSWER])
def test_a_connection_that_breaks_after_the_prompt_left_leaves_doubt(mode: LettaMode, phase: Break) -> None:
    async def scene() -> None:
        fake = FakeLetta(has_redis=True, script=[phase])
        async with fake, target(fake, mode) as letta:
            result = await letta.send(message())
            assert isinstance(result, Unclear)
            assert result.code == "connection_lost"
            verdict = await letta.settle(sent())
            was_taken = phase in {Break.AFTER_WORK, Break.MID_ANSWER}
            assert isinstance(verdict, Accepted | Done if was_taken else Undecided)

    run(scene)


def test_a_server_that_hangs_does_not_hold_a_send_beyond_its_bound() -> None:
    async def scene() -> None:
        fake = FakeLetta(script=[Break.HANG])
        async with fake, target(fake, "async") as letta:
            result = await letta.send(message())
            assert isinstance(result, Unclear)

    run(scene)


def test_a_repeat_after_doubt_finds_the_first_and_sends_nothing() -> None:
    async def scene() -> None:
        fake = FakeLetta(script=[Break.AFTER_WORK])
        async with fake, target(fake, "async") as letta:
            assert isinstance(await letta.send(message()), Unclear)
            [run_id] = fake.run_ids()
            assert await letta.send(message()) == Accepted(run_id=run_id)
            assert len(fake.prompts) == 1

    run(scene)


# -- busy agents -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["background", "async", "blocking"])
def test_a_foreign_run_at_work_makes_the_agent_busy_until_it_ends(mode: LettaMode) -> None:
    async def scene() -> None:
        fake = FakeLetta(has_redis=True)
        async with fake, target(fake, mode) as letta:
            foreign = fake.add_run()
            assert await letta.send(message()) == Busy(detail="the agent works on something else", run_id=foreign)
            assert fake.prompts == []
            fake.finish(foreign)
            assert isinstance(await letta.send(message()), Accepted | Done)

    run(scene)


def test_runs_that_only_seem_to_work_make_nobody_busy() -> None:
    async def scene() -> None:
        fake = FakeLetta()
        async with fake, target(fake) as letta:
            old = (EPOCH - limits.RUN_TIME_MAX - timedelta(seconds=1)).isoformat()
            idle = (EPOCH - timedelta(minutes=3)).isoformat()
            fake.add_run(created_at=old)
            fake.add_run(created_at=idle, steps=[])
            fake.add_run(steps=[{"status": "success", "stop_reason": "end_turn"}])
            fake.add_run(steps=[{"status": "failed", "stop_reason": "llm_api_error"}])
            fake.add_run(conversation_id="conv-1")
            fake.add_run(metadata={"run_type": "send_conversation_message"})
            fake.add_run("agent-2")
            assert isinstance(await letta.send(message()), Accepted)

    run(scene)


@pytest.mark.parametrize(
    "steps", [[], [{"status": "success", "stop_reason": None}]], ids=["not yet begun", "between two steps"]
)
def test_a_young_run_without_a_step_at_work_still_makes_the_agent_busy(steps: list[dict[str, Any]]) -> None:
    async def scene() -> None:
        fake = FakeLetta()
        async with fake, target(fake) as letta:
            fake.add_run(steps=steps)
            assert isinstance(await letta.send(message()), Busy)

    run(scene)


@pytest.mark.parametrize(
    "fake",
    [FakeLetta(has_redis=True), FakeLetta(), FakeLetta(has_async=False)],
    ids=["background", "async", "blocking"],
)
def test_what_may_not_go_any_more_when_all_else_is_done_is_not_sent(fake: FakeLetta) -> None:
    async def scene() -> None:
        asked_after: list[int] = []

        async def lost() -> bool:
            asked_after.append(len(fake.requests))
            return False

        async with fake, target(fake) as letta:
            withheld = await letta.send(replace(message(), may_go=lost))
            assert withheld == Unclear(code="lease_lost", detail="the lane's lease was lost right before the send")
            assert not fake.prompts
            assert asked_after[-1] == len([one for one in fake.requests if "messages" not in one]), "last of all"
            assert isinstance(await letta.send(message()), Accepted | Done)

    run(scene)


# -- following -------------------------------------------------------------------------------------------------


async def accepted(letta: Target, otid: str = "key#0") -> str:
    result = await letta.send(message(otid))
    assert isinstance(result, Accepted)
    return result.run_id


def test_follow_waits_for_the_end_and_quotes_the_reply() -> None:
    async def scene() -> None:
        fake = FakeLetta()
        async with fake, target(fake) as letta:
            run_id = await accepted(letta)
            following = asyncio.ensure_future(letta.follow(sent(run_id)))
            assert await letta.settle(sent()) == Accepted(run_id=run_id)
            assert not following.done()
            fake.finish(run_id, reply="r" * 1000)
            done = await following
            assert isinstance(done, Done)
            assert done.run_id == run_id
            assert len(done.reply_excerpt or "") == limits.REPLY_EXCERPT_CHARS_MAX
            assert await letta.settle(sent()) == done

    run(scene)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("INTERNAL_SERVER_ERROR: OpenAI API error: Error code: 500 - {'message': '" + PROMPT + "'}", "llm_error"),
        ("RATE_LIMIT_EXCEEDED: Rate limited by OpenAI: Error code: 429 - {}", "llm_rate_limit"),
        ({"error_type": "llm_timeout", "message": "The LLM request timed out.", "detail": PROMPT}, "llm_timeout"),
    ],
)
def test_a_failed_run_is_a_proven_failure_and_its_reason_quotes_no_prompt(error: object, code: str) -> None:
    async def scene() -> None:
        fake = FakeLetta()
        async with fake, target(fake) as letta:
            run_id = await accepted(letta)
            fake.finish(run_id, status="failed", error=error)
            failed = await letta.follow(sent(run_id))
            assert isinstance(failed, Failed)
            assert (failed.code, failed.run_id) == (code, run_id)
            assert PROMPT not in failed.detail

    run(scene)


def test_a_run_that_vanished_is_unclear() -> None:
    async def scene() -> None:
        fake = FakeLetta()
        async with fake, target(fake) as letta:
            run_id = await accepted(letta)
            del fake.runs[run_id]
            lost = await letta.follow(sent(run_id))
            assert isinstance(lost, Unclear)
            assert lost.code == "run_lost"

    run(scene)


@pytest.mark.parametrize("has_redis", [True, False])
def test_a_run_that_died_with_its_server_is_lost_cancelled_and_sent_anew(*, has_redis: bool) -> None:
    async def scene() -> None:
        fake = FakeLetta(has_redis=has_redis)
        async with fake, target(fake) as letta:
            dead = await accepted(letta)
            following = asyncio.ensure_future(letta.follow(sent(dead)))
            await fake.stop()
            refused = await letta.send(message("other#0"))
            assert isinstance(refused, Refused)
            assert not following.done()
            await fake.start()
            lost = await following
            assert isinstance(lost, Unclear)
            assert (lost.code, lost.run_id) == ("run_lost", dead)
            assert isinstance(await letta.settle(sent(dead)), Undecided)
            again = await accepted(letta)
            assert again != dead
            assert fake.cancelled == [dead]
            fake.finish(again)
            assert isinstance(await letta.follow(sent(again)), Done)

    run(scene)


def test_a_run_that_outlives_an_outage_is_followed_to_its_end() -> None:
    async def scene() -> None:
        fake = FakeLetta()
        async with (
            fake,
            target(fake, pace=LettaPace(look_first_s=0.01, look_last_s=0.02, outage_pause_s=0.02)) as letta,
        ):
            run_id = await accepted(letta)
            following = asyncio.ensure_future(letta.follow(sent(run_id)))
            await fake.stop()
            assert isinstance(await letta.probe(), Refused)
            await fake.start()
            fake.finish(run_id)
            assert isinstance(await following, Done)

    run(scene)


def test_one_run_that_cannot_be_shown_keeps_no_other_waiting() -> None:
    async def scene() -> None:
        fake = FakeLetta(unshown={"run-1"})
        async with fake, target(fake) as letta:
            fake.agents.add("agent-2")
            unshown, shown = await accepted(letta), await accepted_at(letta, fake, 2)
            assert unshown == "run-1"
            following = [asyncio.ensure_future(letta.follow(sent(run_id))) for run_id in (unshown, shown)]
            fake.finish(shown)
            assert isinstance(await following[1], Done)
            assert not following[0].done()
            fake.unshown.clear()
            fake.finish(unshown)
            assert isinstance(await following[0], Done)

    run(scene)


def test_a_hundred_runs_are_followed_by_lists_and_not_one_by_one() -> None:
    async def scene() -> None:
        fake = FakeLetta()
        fake.agents = {f"agent-{n}" for n in range(100)}
        pace, clock = LettaPace(look_first_s=0.05, look_last_s=0.05), SteppedClock()
        async with fake, target(fake, pace=pace, clock=clock, answers_within_s=WITHIN_S) as letta:
            taken = [await letta.send(message(f"key{n}#0", agent_id=f"agent-{n}")) for n in range(100)]
            run_ids = [result.run_id for result in taken if isinstance(result, Accepted)]
            assert len(run_ids) == 100
            fake.requests.clear()
            following = [asyncio.ensure_future(letta.follow(sent(run_id))) for run_id in run_ids]
            await clock.goes_on_until(lambda: fake.requests.count("GET /v1/runs/") >= 5)
            assert sum(request.startswith("GET /v1/runs/run-") for request in fake.requests) == 0
            for run_id in run_ids:
                fake.finish(run_id)
            await clock.goes_on_until(lambda: all(one.done() for one in following))
            assert all(isinstance(one.result(), Done) for one in following)

    run(scene)


def test_runs_that_are_older_than_a_thousand_others_are_still_followed_by_lists() -> None:
    async def scene() -> None:
        fake = FakeLetta()
        fake.agents = {f"agent-{n}" for n in range(20)}
        pace, clock = LettaPace(look_first_s=0.05, look_last_s=0.05), SteppedClock()
        async with fake, target(fake, pace=pace, clock=clock, answers_within_s=WITHIN_S) as letta:
            taken = [await letta.send(message(f"key{n}#0", agent_id=f"agent-{n}")) for n in range(20)]
            run_ids = [result.run_id for result in taken if isinstance(result, Accepted)]
            assert len(run_ids) == 20
            for _ in range(1000):
                fake.add_run("agent-busy")
            fake.requests.clear()
            following = [asyncio.ensure_future(letta.follow(sent(run_id))) for run_id in run_ids]
            await clock.goes_on_until(lambda: fake.requests.count("GET /v1/runs/") >= 6)
            assert sum(request.startswith("GET /v1/runs/run-") for request in fake.requests) == 0
            for run_id in run_ids:
                fake.finish(run_id)
            await clock.goes_on_until(lambda: all(one.done() for one in following))
            assert all(isinstance(one.result(), Done) for one in following)

    run(scene)


def test_cancelling_a_follow_stops_nothing_at_the_server() -> None:
    async def scene() -> None:
        fake = FakeLetta()
        async with fake, target(fake) as letta:
            run_id = await accepted(letta)
            following = asyncio.ensure_future(letta.follow(sent(run_id)))
            await settled(letta, sent(run_id), kind=Accepted)
            following.cancel()
            with pytest.raises(asyncio.CancelledError):
                await following
            assert fake.cancelled == []
            assert fake.runs[run_id]["status"] == "created"

    run(scene)


# -- settling --------------------------------------------------------------------------------------------------


def test_absence_is_claimed_only_by_a_server_known_to_keep_tags_and_after_two_looks_apart() -> None:
    async def scene() -> None:
        fake = FakeLetta(script=[Break.BEFORE_WORK])
        async with fake, target(fake, "async") as letta:
            assert isinstance(await letta.send(message("lost#0")), Unclear)
            assert isinstance(await letta.settle(sent(otid="lost#0")), Undecided)
            await accepted(letta, "other#0")
            assert isinstance(await letta.settle(sent(otid="lost#0")), Undecided)
            assert await settled(letta, sent(otid="lost#0"), kind=Absent) == Absent()

    run(scene)


def test_a_server_that_keeps_no_tags_settles_by_the_stored_message_and_never_claims_absence() -> None:
    async def scene() -> None:
        fake = FakeLetta(keeps_tags=False, script=[Break.AFTER_WORK])
        async with fake, target(fake, "async", LettaPace(absent_after_s=0.0)) as letta:
            assert isinstance(await letta.send(message()), Unclear)
            for _ in range(3):
                assert isinstance(await letta.settle(sent()), Undecided)
            fake.finish(fake.run_ids()[0])
            assert isinstance(await letta.settle(sent()), Done)

    run(scene)


def test_a_message_is_found_behind_pages_of_newer_ones() -> None:
    async def scene() -> None:
        fake = FakeLetta(keeps_tags=False, script=[Break.AFTER_WORK])
        async with fake, target(fake, "async") as letta:
            await letta.send(message())
            fake.finish(fake.run_ids()[0])
            for _ in range(250):
                fake.finish(fake.add_run())
            assert isinstance(await letta.settle(sent()), Done)

    run(scene)


def test_a_run_that_letta_never_finishes_on_paper_is_settled_by_its_steps() -> None:
    async def scene() -> None:
        fake = FakeLetta(script=[Break.AFTER_WORK])
        async with fake, target(fake) as letta:
            assert isinstance(await letta.send(message(conversation="new")), Unclear)
            [run_id] = fake.run_ids()
            assert fake.runs[run_id]["status"] == "created"
            assert isinstance(await letta.settle(sent()), Done)
            assert isinstance(await letta.follow(sent(run_id)), Done)

    run(scene)


def test_a_cancelled_run_is_delivered_when_stored_and_failed_when_it_can_store_no_more() -> None:
    async def scene() -> None:
        fake = FakeLetta()
        async with fake, target(fake) as letta:
            stored, working, dead = [await accepted_at(letta, fake, n) for n in range(3)]
            fake.store(stored)
            fake.steps[dead] = [{"status": "failed", "stop_reason": "cancelled"}]
            for n, run_id in enumerate((stored, working, dead)):
                await letta.cancel_run(sent(run_id, f"key{n}#0"))
            assert isinstance(await letta.settle(sent(stored, "key0#0")), Done)
            assert isinstance(await letta.settle(sent(working, "key1#0")), Undecided)
            failed = await letta.settle(sent(dead, "key2#0"))
            assert isinstance(failed, Failed)
            assert failed.code == "run_cancelled"

    run(scene)


async def accepted_at(letta: Target, fake: FakeLetta, n: int) -> str:
    """Send to an agent of its own and return the run."""
    fake.agents.add(f"agent-{n}")
    result = await letta.send(message(f"key{n}#0", agent_id=f"agent-{n}"))
    assert isinstance(result, Accepted)
    return result.run_id


def test_with_redis_a_repeat_of_the_same_otid_leads_to_the_same_run() -> None:
    async def scene() -> None:
        fake = FakeLetta(has_redis=True)
        async with fake:
            async with target(fake) as letta:
                run_id = await accepted(letta)
            fake.pass_time(60)
            async with target(fake) as another_process:
                assert await accepted(another_process) == run_id
                fake.finish(run_id)
                assert isinstance(await another_process.send(message()), Done)
            assert len(fake.runs) == 1

    run(scene)


# -- keys, addresses, silence ------------------------------------------------------------------------------------


def test_a_wrong_password_is_told_by_probe_and_send_and_the_right_one_works() -> None:
    async def scene() -> None:
        fake = FakeLetta(password="open sesame".replace(" ", "-"))
        async with fake:
            letta = LettaTarget(LettaSettings(base_url=fake.base_url, api_key=Secret("wrong")), Clock(), QUICK)
            for refused in (await letta.probe(), await letta.send(message())):
                assert isinstance(refused, Refused)
                assert (refused.code, refused.is_target_wide) == ("unauthorized", True)
            await letta.close()
            async with target(fake) as right:
                assert await right.probe() is None
                assert isinstance(await right.send(message()), Accepted)

    run(scene)


@pytest.mark.parametrize("agent_id", ["", "../admin", "a/b", "a?b", "a b", "a%2fb", "x" * 500])
def test_an_agent_id_that_would_change_the_url_is_never_sent(agent_id: str) -> None:
    async def scene() -> None:
        fake = FakeLetta()
        async with fake, target(fake) as letta:
            assert isinstance(await letta.send(message(agent_id=agent_id)), Final)
            assert fake.requests == []

    run(scene)


def test_proxy_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def scene() -> None:
        fake = FakeLetta()
        async with fake, target(fake) as letta:
            assert isinstance(await letta.send(message()), Accepted)

    run(scene)


def test_neither_prompt_nor_key_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def scene() -> None:
        fake = FakeLetta(password="s3same", script=[Break.BEFORE_WORK, Answer(500, LLM_ERROR)])
        async with fake, target(fake, "blocking") as letta:
            for n in range(3):
                await letta.send(message(f"key{n}#0"))

    run(scene)
    assert PROMPT not in caplog.text
    assert "s3same" not in caplog.text


def test_lone_surrogates_and_every_plane_of_unicode_go_out() -> None:
    async def scene() -> None:
        fake = FakeLetta()
        async with fake, target(fake) as letta:
            odd = Message(
                address=Address(agent_id="agent-1"), otid="key#0", prompt="žluťoučký 🐎 \x00 \ud800", envelope=None,
                delivery_id=1, schedule_id=1,
            )  # fmt: skip
            assert isinstance(await letta.send(odd), Accepted)
            [only] = fake.prompts[-1][1]["messages"]
            assert json.dumps(only["content"]).startswith('"\\u017elu')

    run(scene)
