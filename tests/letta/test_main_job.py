"""The main job against a real Letta: registered by the command line, fired, received by a real agent, and proven."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from promptyoself.bootstrap import World
from promptyoself.config import load_settings
from promptyoself.domain import limits
from promptyoself.domain.answers import Target
from promptyoself.domain.envelope import CLOSING, REPEAT_MARK
from promptyoself.domain.ports import Clock, Writer
from promptyoself.domain.secret import Secret
from promptyoself.targets.letta import LettaTarget
from promptyoself.targets.letta_runs import LettaPace
from promptyoself.targets.letta_settings import LettaSettings
from tests.letta.desk import APART, PROGRAM, Desk, soon, until
from tests.letta_server.server import LettaServer

pytestmark = pytest.mark.letta


@pytest.fixture
def desk(letta_server: LettaServer, tmp_path: Path) -> Desk:
    return Desk(letta_server, tmp_path)


def test_prompts_by_once_interval_and_cron_arrive_with_envelope_and_verbatim(desk: Desk) -> None:
    agent = desk.server.create_agent("main-job")
    verbatim = 'remember: "tea" & {braces} \\n $HOME <b>ü</b> 🍵\nsecond line'
    desk.run("register", "--agent-id", agent, "--prompt", verbatim, "--time", soon(4), "--name", "tea time")
    desk.run("register", "--agent-id", agent, "--prompt", "each 3s", "--every", "3s", "--max-repetitions", "3")
    desk.run("register", "--agent-id", agent, "--prompt", "minutely", "--cron", "* * * * *", "--max-repetitions", "1")
    with desk.loop():
        until(lambda: desk.states(agent).count("delivered") == 5, within_s=120)
    prompts = desk.prompts(agent)
    assert sorted(prompts) == sorted([verbatim, "each 3s", "each 3s", "each 3s", "minutely"])
    received = desk.received(agent)
    assert [kind for kind, _ in received] == ["system_message", "user_message"] * 5
    envelope = received[prompts.index(verbatim) * 2][1]
    assert '"tea time"' in envelope
    assert "Europe/Riga" in envelope
    assert CLOSING in envelope
    assert REPEAT_MARK not in envelope
    for delivery in desk.deliveries(agent):
        if delivery["state"] == "skipped":  # a slow machine: the run before was still going on
            assert delivery["reason"].startswith("overlap")
            continue
        assert delivery["run_id"].startswith("run-")
        assert delivery["lateness_ms"] >= 0
        assert "stub reply" in delivery["reply_excerpt"]


def test_a_prompt_told_in_plain_words_arrives_and_comes_again_when_it_is_put_off_in_mid_run(desk: Desk) -> None:
    agent = desk.server.create_agent("plain-words")
    prompt = f"SLEEP:6 water the plants, {agent}"
    told = desk.run("register", "--agent-id", agent, "--prompt", prompt, "--time", "in 4 seconds")
    assert told["understood"]["given"] == "in 4 seconds"
    skipping = desk.run("register", "--agent-id", agent, "--prompt", "not this one", "--every", "5 seconds")
    desk.run("skip", "--id", str(skipping["id"]), "--count", "1", "--reason", "holiday")
    desk.run("update", "--id", str(skipping["id"]), "--max-repetitions", "1", "--prompt", "but the next")
    with desk.loop():
        until(lambda: "accepted" in desk.states(agent), within_s=60)
        put_off = desk.run("snooze", "--id", str(told["id"]), "--for", "8s")
        assert "comes again" in put_off["message"]
        until(lambda: desk.states(agent).count("delivered") == 3, within_s=90)
    assert sorted(desk.prompts(agent)) == sorted([prompt, "but the next", prompt])
    assert sorted(desk.states(agent)) == ["delivered", "delivered", "delivered", "skipped"]


def test_a_failed_run_is_tried_again_under_a_new_otid_and_arrives(desk: Desk) -> None:
    agent = desk.server.create_agent("fails-once")
    # The stub counts failures by the text, and may have been up for long: the text is this agent's own.
    desk.run("register", "--agent-id", agent, "--prompt", f"HTTP:500*3 then fine, {agent}", "--time", soon(4))
    with desk.loop():
        until(lambda: desk.states(agent) == ["delivered"], within_s=90)
    attempts = desk.run("history", "--id", "1")["deliveries"][0]["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["failed", "delivered"]
    assert [attempt["otid"].rpartition("#")[2] for attempt in attempts] == ["0", "1"]


def test_an_executor_killed_in_mid_run_is_followed_by_one_that_does_not_send_again(desk: Desk) -> None:
    agent = desk.server.create_agent("takeover")
    desk.run("register", "--agent-id", agent, "--prompt", "SLEEP:6 long work", "--time", soon(4))
    with desk.loop() as first:
        until(lambda: desk.states(agent) == ["accepted"], within_s=30)
        first.kill()
        first.wait(timeout=10)
        with desk.loop():
            until(lambda: desk.states(agent) == ["delivered"], within_s=60)
    assert desk.prompts(agent) == ["SLEEP:6 long work"]
    [delivery] = desk.deliveries(agent)
    assert not delivery["may_be_repeat"]


def test_an_agent_that_is_talked_to_is_waited_for_and_execute_answers_busy(desk: Desk) -> None:
    agent = desk.server.create_agent("busy")
    due_at = time.monotonic() + 5
    desk.run("register", "--agent-id", agent, "--prompt", "when you are free", "--time", soon(5))
    body = {"messages": [{"role": "user", "content": "SLEEP:15 a person talks"}]}
    desk.server.call("POST", f"/v1/agents/{agent}/messages/async", body)
    until(lambda: time.monotonic() > due_at, within_s=10)
    started = time.monotonic()
    answer = desk.run("execute", "--wait", "5")
    assert time.monotonic() - started < 15
    assert [(entry["outcome"], entry["delivered"]) for entry in answer["executed"]] == [("busy", False)]
    with desk.loop():
        until(lambda: desk.states(agent) == ["delivered"], within_s=60)
    assert desk.prompts(agent) == ["when you are free"]


def test_execute_from_inside_the_agents_own_run_gets_an_answer(desk: Desk) -> None:
    """The agent's tool calls `execute` while the loop holds its lane for the very run that calls."""
    command = [*PROGRAM, "execute", "--wait", "5"]
    source = f'''
def call_execute() -> str:
    """Run promptyoself execute.

    Returns:
        str: what it printed
    """
    import subprocess
    return subprocess.run({command!r}, env={desk.environ!r}, capture_output=True, text=True, timeout=60).stdout
'''
    tool = desk.server.call("PUT", "/v1/tools/", {"source_code": source, "source_type": "python"})
    agent = desk.server.create_agent("calls-execute", tool_ids=[tool["id"]])
    desk.run("register", "--agent-id", agent, "--prompt", "CALL_TOOL:call_execute:{}", "--time", soon(6))
    desk.run("register", "--agent-id", agent, "--prompt", "the next one", "--time", soon(6.1))
    with desk.loop():
        until(lambda: desk.states(agent) == ["delivered", "delivered"], within_s=90)
    messages = desk.server.call("GET", f"/v1/agents/{agent}/messages?limit=100&order=asc")
    [answer] = [message["tool_return"] for message in messages if message["message_type"] == "tool_return_message"]
    assert '"busy"' in answer
    assert desk.prompts(agent) == ["CALL_TOOL:call_execute:{}", "the next one"]


@pytest.mark.parametrize(
    "has_redis",
    [
        pytest.param(True, marks=pytest.mark.letta_alone),
        pytest.param(False, marks=APART),
    ],
)
def test_letta_killed_in_mid_run_loses_nothing_and_the_repeat_says_so(
    letta_server: LettaServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    has_redis: bool,
) -> None:
    """The bounds on doubt are minutes in production, and so may pauses be; here they are seconds."""
    for name, s in {"SETTLE_FOR": 2, "SETTLE_FIRST": 0.5, "BACKOFF_FIRST": 1, "BREAKER_PROBE_MAX": 2}.items():
        monkeypatch.setattr(limits, name, timedelta(seconds=s))
    assert letta_server.options.redis is has_redis
    desk = Desk(letta_server, tmp_path)
    agent = letta_server.create_agent("killed")
    desk.run("register", "--agent-id", agent, "--prompt", "SLEEP:5 delicate", "--time", "in 1 second")
    asyncio.run(_kill_letta_in_mid_run(desk, agent))
    assert desk.prompts(agent) == ["SLEEP:5 delicate"], "the first was lost with the server; the repeat arrived"
    envelopes = [text for kind, text in desk.received(agent) if kind == "system_message"]
    assert REPEAT_MARK in envelopes[-1]
    [delivery] = desk.deliveries(agent)
    assert (delivery["state"], delivery["may_be_repeat"]) == ("delivered", True)


async def _kill_letta_in_mid_run(desk: Desk, agent: str) -> None:
    def targets(_writer: Writer, clock: Clock) -> dict[str, Target]:
        settings = LettaSettings(base_url=desk.server.url, api_key=_key(desk.server))
        return {"letta": LettaTarget(settings, clock, LettaPace(lost_after_s=2.0, look_last_s=1.0))}

    settings = load_settings(desk.environ, desk.db.parent, flags={})
    world = World(settings, make_targets=targets, targets=("letta",))
    stop = asyncio.Event()

    def arm(stopping: asyncio.Event) -> Callable[[], None]:
        async def forward() -> None:
            await stop.wait()
            stopping.set()

        task = asyncio.ensure_future(forward())
        return task.cancel  # type: ignore[return-value]  # its answer is nobody's

    serving = asyncio.ensure_future(world.run_until(arm, interval=timedelta(seconds=60), mode="test"))
    try:
        await _until_states(desk, agent, {"accepted"}, within_s=60)
        await asyncio.to_thread(desk.server.kill9)
        assert await asyncio.to_thread(desk.states, agent) == ["accepted"], "nobody claims that it was delivered"
        await asyncio.to_thread(desk.server.restart)
        await _until_states(desk, agent, {"delivered"}, within_s=180)
    finally:
        stop.set()
        await serving
        world.close()


def _key(server: LettaServer) -> Secret | None:
    return None if server.options.password is None else Secret(server.options.password)


async def _until_states(desk: Desk, agent: str, wanted: set[str], *, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while set(await asyncio.to_thread(desk.states, agent)) != wanted:  # noqa: ASYNC110  another process's state
            await asyncio.sleep(0.3)
