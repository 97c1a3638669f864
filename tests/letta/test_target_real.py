"""The Letta target against a real Letta: what was measured of 0.16.8, and is leaned on, still holds.

LETTA_BASE_URL names a running server that answers from the stub LLM; without it tests/letta_server starts one. The
tests that kill or restart Letta always use tests/letta_server.
"""

from __future__ import annotations

import asyncio
import json
import os
import urllib.request
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from promptyoself.domain.answers import (
    Accepted,
    Address,
    Busy,
    Done,
    Failed,
    Final,
    Message,
    Refused,
    Sent,
    Unclear,
    Undecided,
)
from promptyoself.domain.errors import AgentNotFound, TargetRefused
from promptyoself.domain.secret import Secret
from promptyoself.runtime import SystemClock
from promptyoself.targets.letta import LettaTarget
from promptyoself.targets.letta_check import check_agent, list_agents, ping, upload_tool
from promptyoself.targets.letta_runs import LettaPace
from promptyoself.targets.letta_settings import LettaMode, LettaSettings
from tests.letta.desk import APART, PASSWORD
from tests.letta_server.server import EMBEDDING, MODEL, LettaServer

pytestmark = pytest.mark.letta

WITHIN_S = 90.0
MODES: list[LettaMode] = ["background", "async", "blocking"]
CLOCK = SystemClock()
NOBODY = "agent-00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Server:
    """A running Letta."""

    url: str

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  JSON
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310  the server named by the one who runs the tests
            self.url + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  as above
            return json.loads(answer.read() or b"null")

    def create_agent(self) -> str:
        agent = {"name": f"real-{uuid.uuid4().hex[:8]}", "model": MODEL, "embedding": EMBEDDING}
        return str(self.call("POST", "/v1/agents/", {**agent, "include_base_tools": False})["id"])

    def prompts_stored(self, agent: str) -> list[str]:
        messages = self.call("GET", f"/v1/agents/{agent}/messages?limit=100")
        return [message["content"] for message in messages if message["message_type"] == "user_message"]


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Server:
    if url := os.environ.get("LETTA_BASE_URL"):
        return Server(url.rstrip("/"))
    started: LettaServer = request.getfixturevalue("running_letta")
    return Server(started.url)


@pytest.fixture
def agent(server: Server) -> str:
    return server.create_agent()


@asynccontextmanager
async def target(url: str, mode: LettaMode = "auto", pace: LettaPace | None = None) -> AsyncIterator[LettaTarget]:
    made = LettaTarget(LettaSettings(base_url=url, mode=mode), CLOCK, pace)
    try:
        yield made
    finally:
        await made.close()


def run(scene: Callable[[], Awaitable[None]], within_s: float = WITHIN_S) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(within_s):
            await scene()

    asyncio.run(bounded())


def message(agent: str, prompt: str, conversation: str | None = None) -> Message:
    return Message(
        address=Address(agent_id=agent, conversation=conversation),
        otid=f"{uuid.uuid4()}#0",
        prompt=prompt,
        envelope="[schedule 1]",
        delivery_id=1,
        schedule_id=1,
    )


def sent(wanted: Message, run_id: str | None = None) -> Sent:
    return Sent(address=wanted.address, otid=wanted.otid, run_id=run_id, since=CLOCK.now())


async def delivered(letta: LettaTarget, wanted: Message) -> object:
    """Send and follow to the end."""
    result = await letta.send(wanted)
    return await letta.follow(sent(wanted, result.run_id)) if isinstance(result, Accepted) else result


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("conversation", [None, "new"])
def test_a_prompt_arrives_verbatim_and_is_settled_without_its_run_id(
    server: Server, agent: str, mode: LettaMode, conversation: str | None
) -> None:
    async def scene() -> None:
        async with target(server.url, mode) as letta:
            wanted = message(agent, "good  morning\n — žluťoučký 🐎", conversation)
            done = await delivered(letta, wanted)
            assert isinstance(done, Done)
            assert (done.reply_excerpt or "").startswith("stub reply to: good")
            assert server.prompts_stored(agent) == [wanted.prompt]
            assert await letta.settle(sent(wanted)) == done

    run(scene)


@pytest.mark.parametrize("mode", MODES[:2])
def test_a_slow_run_is_accepted_at_once_recognised_by_its_tag_and_followed(
    server: Server, agent: str, mode: LettaMode
) -> None:
    async def scene() -> None:
        async with target(server.url, mode) as letta:
            wanted = message(agent, "SLEEP:3 slowly")
            result = await letta.send(wanted)
            assert isinstance(result, Accepted)
            assert server.prompts_stored(agent) == []
            assert await letta.settle(sent(wanted)) == result
            assert isinstance(await letta.follow(sent(wanted, result.run_id)), Done)

    run(scene)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("prompt", "code"), [("HTTP:500", "llm_error"), ("DROP", "llm_error"), ("HTTP:429", "llm_rate_limit")]
)
def test_a_failing_llm_is_a_proven_failure(server: Server, agent: str, mode: LettaMode, prompt: str, code: str) -> None:
    async def scene() -> None:
        async with target(server.url, mode) as letta:
            failed = await delivered(letta, message(agent, prompt))
            assert isinstance(failed, Failed)
            assert failed.code == code

    run(scene)


@pytest.mark.parametrize("mode", MODES)
def test_a_foreign_run_makes_the_agent_busy_and_a_leftover_does_not(
    server: Server, agent: str, mode: LettaMode
) -> None:
    async def scene() -> None:
        async with target(server.url, mode) as letta:
            person = {"messages": [{"role": "user", "content": "SLEEP:3 a person asks"}]}
            foreign = server.call("POST", f"/v1/agents/{agent}/messages/async", person)["id"]
            assert await letta.send(message(agent, "now?")) == Busy(
                detail="the agent works on something else", run_id=foreign
            )
            while isinstance(result := await letta.send(message(agent, "now?")), Busy):  # noqa: ASYNC110  bounded
                await asyncio.sleep(0.2)
            assert isinstance(result, Accepted | Done)
            plain = {"messages": [{"role": "user", "content": "plainly"}], "streaming": False}
            other = server.create_agent()
            server.call("POST", f"/v1/conversations/{other}/messages", plain)
            [leftover] = server.call("GET", f"/v1/runs/?agent_id={other}")
            assert leftover["status"] == "created"
            assert isinstance(await delivered(letta, message(other, "now")), Done)

    run(scene)


@pytest.mark.parametrize("mode", MODES)
def test_unknown_agents_and_conversations_are_final(server: Server, agent: str, mode: LettaMode) -> None:
    async def scene() -> None:
        async with target(server.url, mode) as letta:
            unknown = await letta.send(message(NOBODY, "hello"))
            malformed = await letta.send(message("test-agent", "hello"))
            nowhere = await letta.send(message(agent, "hello", "conv-00000000-0000-4000-8000-000000000000"))
            assert [result.code for result in (unknown, malformed, nowhere) if isinstance(result, Final)] == [
                "agent_not_found", "invalid_request", "conversation_not_found",
            ]  # fmt: skip

    run(scene)


def test_with_redis_the_same_otid_sent_twice_is_one_message(server: Server, agent: str) -> None:
    async def scene() -> None:
        async with target(server.url, "background") as letta:
            wanted = message(agent, "once only")
            first, second = await delivered(letta, wanted), await delivered(letta, wanted)
            assert isinstance(first, Done)
            assert second == first
            assert server.prompts_stored(agent) == [wanted.prompt]

    run(scene)


def test_the_short_questions_are_answered(server: Server, agent: str) -> None:
    settings = LettaSettings(base_url=server.url)
    assert ping(settings).version == "0.16.8"
    assert check_agent(settings, agent).id == agent
    assert agent in {info.id for info in list_agents(settings)}
    for unknown in (NOBODY, "test-agent"):
        with pytest.raises(AgentNotFound):
            check_agent(settings, unknown)
    source = (
        'def wave(name: str) -> str:\n    """Wave.\n\n    Args:\n        name (str): whom\n    """\n    return name\n'
    )
    tool_id, name = upload_tool(replace(settings, api_key=Secret("any")), source, "wave", "waves")
    assert (tool_id.startswith("tool-"), name) == (True, "wave")


@pytest.mark.letta_alone
@pytest.mark.slow
def test_a_run_killed_with_its_letta_is_lost_and_the_prompt_goes_out_again(letta_server: LettaServer) -> None:
    """With Redis; test_main_job kills a Letta without it, too, and goes the whole way.

    Each killing costs the start of a Letta: what the server of the tests promises of one is looked at here as well.
    """
    options = letta_server.options
    agent = letta_server.create_agent(f"killed-{uuid.uuid4().hex[:8]}", include_base_tools=False)

    async def scene() -> None:
        async with target(letta_server.url, pace=LettaPace(lost_after_s=2.0)) as letta:
            doomed = message(agent, "SLEEP:30 doomed")
            result = await letta.send(doomed)
            assert isinstance(result, Accepted)
            following = asyncio.ensure_future(letta.follow(sent(doomed, result.run_id)))
            await asyncio.to_thread(letta_server.kill9)
            assert letta_server.status()["letta"] is False
            refused = await letta.send(message(agent, "while it is down"))
            assert isinstance(refused, Refused)
            assert refused.is_target_wide
            asked = await letta.settle(sent(doomed, result.run_id))
            assert isinstance(asked, Undecided)
            assert asked.is_unreachable
            await asyncio.to_thread(letta_server.restart)
            assert letta_server.status()["letta"] is True
            assert letta_server.options == options
            paper = await asyncio.to_thread(letta_server.call, "GET", f"/v1/runs/{result.run_id}")
            assert paper["status"] in {"created", "running"}, "Letta forgets a run that it was killed in"
            lost = await following
            assert isinstance(lost, Unclear)
            assert lost.code == "run_lost"
            assert isinstance(await letta.settle(sent(doomed, result.run_id)), Undecided)
            again = replace(doomed, prompt="again")
            assert isinstance(await delivered(letta, again), Done)
            assert Server(letta_server.url).prompts_stored(agent) == ["again"]

    try:
        run(scene, within_s=240)
    finally:
        letta_server.up(redis=True)


@APART
@pytest.mark.slow
def test_without_redis_the_choice_falls_on_async_and_a_password_is_needed_when_set(letta_server: LettaServer) -> None:
    agent = letta_server.create_agent(f"locked-{uuid.uuid4().hex[:8]}", include_base_tools=False)

    async def scene() -> None:
        async with target(letta_server.url) as letta:
            refused = await letta.send(message(agent, "hello"))
            assert isinstance(refused, Refused)
            assert (refused.code, refused.is_target_wide) == ("unauthorized", True)
        settings = LettaSettings(base_url=letta_server.url, api_key=Secret(PASSWORD))
        letta = LettaTarget(settings, CLOCK)
        wanted = message(agent, "SLEEP:1 hello")
        result = await letta.send(wanted)
        assert isinstance(result, Accepted)
        [made] = letta_server.call("GET", f"/v1/runs/?agent_id={agent}")
        assert made["metadata"]["run_type"] == "send_message_async"
        assert isinstance(await letta.follow(sent(wanted, result.run_id)), Done)
        failed = await delivered(letta, message(agent, "HTTP:401"))
        assert isinstance(failed, Failed)
        assert failed.code == "llm_authentication"
        await letta.close()

    with pytest.raises(TargetRefused):
        ping(LettaSettings(base_url=letta_server.url))
    run(scene)
