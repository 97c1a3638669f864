"""MCP as clients meet it: a process that they start, a service that they call; clients of 2.x and of 1.x."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import TextContent

from promptyoself.domain.ports import ScheduleFilter
from tests.e2e.stage import PROGRAM, ROOT, Process, Stage, wait_for

pytestmark = pytest.mark.slow

AGENT = "agent-1"
MCP1 = ROOT / ".venv/mcp1/bin/python"
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "by hand", "version": "1"}}
SOON = {"prompt": "x", "when": "in 1 hour", "target": "inbox"}


def line(request_id: object, method: str, **params: object) -> str:
    known = {} if request_id is None else {"id": request_id}
    return json.dumps({"jsonrpc": "2.0", **known, "method": method, "params": params})


OPENING = (line(0, "initialize", **HELLO), line(None, "notifications/initialized"))


def call(request_id: object, name: str, **arguments: object) -> str:
    return line(request_id, "tools/call", name=name, arguments=arguments)


def spoken(stage: Stage, *lines: str) -> tuple[int, dict[object, dict[str, Any]], str]:
    """Say all lines at once, close stdin, and return the exit code, the answers by id, and stderr."""
    ended = subprocess.run(
        [*PROGRAM, "mcp"],
        input="".join(f"{one}\n" for one in lines),
        env={**stage._env(), "LETTA_AGENT_ID": AGENT},
        cwd=stage.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    answers = [json.loads(one) for one in ended.stdout.splitlines()]
    return ended.returncode, {one["id"]: one for one in answers}, ended.stderr


def text_of(answer: dict[str, Any]) -> str:
    text: str = answer["result"]["content"][0]["text"]
    return text


def test_all_that_was_asked_is_answered_after_stdin_has_ended(stage: Stage) -> None:
    garbage = ("no json", "[1]", '{"jsonrpc": "2.0"}', "a" * 5_000_000, "\x00", "")
    calls = [call(f"call {number}", "schedule_prompt", **SOON) for number in range(8)]
    cancelled = line(None, "notifications/cancelled", requestId="call 3")
    code, answers, stderr = spoken(stage, *OPENING, *garbage, *calls, cancelled, call(2**70, "list_my_schedules"))
    assert code == 0, stderr
    # A cancelled call is not answered; like all that has begun, it is stored, whole and once.
    made = {text_of(one).split(".")[0] for key, one in answers.items() if str(key).startswith("call")}
    assert len(made) >= 7
    assert all(one.startswith("Prompt scheduled with ID ") for one in made)
    assert not answers[2**70]["result"]["isError"]
    with stage.store() as store, store.reading() as tx:
        assert len(tx.schedules(ScheduleFilter())) in {7, 8}
    assert "Traceback" not in stderr


def test_a_signal_ends_it_in_good_order_while_the_client_waits(stage: Stage) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "mcp"],
        env={**stage._env(), "LETTA_AGENT_ID": AGENT},
        cwd=stage.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin
        assert process.stdout
        process.stdin.write("".join(f"{one}\n" for one in OPENING))
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == 0
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (0, ""), err
        assert "Traceback" not in err
    finally:
        process.kill()
        process.wait(30)


def test_a_client_that_reads_no_answer_is_no_failure(stage: Stage) -> None:
    lines = "".join(f"{one}\n" for one in (*OPENING, call(1, "schedule_prompt", **SOON)))
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [*PROGRAM, "mcp"],
            env={**stage._env(), "LETTA_AGENT_ID": AGENT},
            cwd=stage.folder,
            input=lines.encode(),
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert ended.returncode == 0, ended.stderr
    assert b"Traceback" not in ended.stderr


def test_the_client_of_2_starts_it_and_calls(stage: Stage) -> None:
    env = {**stage._env(), "LETTA_AGENT_ID": AGENT}
    parameters = StdioServerParameters(command=PROGRAM[0], args=[*PROGRAM[1:], "mcp"], env=env, cwd=str(stage.folder))

    async def scene() -> None:
        async with Client(parameters) as client:
            assert len((await client.list_tools()).tools) == 14
            made = await client.call_tool("schedule_prompt", SOON)
            (content,) = made.content
            assert isinstance(content, TextContent)
            assert content.text.startswith("Prompt scheduled with ID 1.")

    asyncio.run(scene())


def served(stage: Stage) -> tuple[Process, str]:
    made = stage.start("serve", "--port", "0")
    found = wait_for("serve listens", lambda: re.search(r"serve\.listening url=(\S+)", made.stderr), within_s=30)
    return made, f"{found[1]}/mcp"


@pytest.mark.skipif(not MCP1.exists(), reason="the client of mcp 1.x is not installed: make .venv/.clients")
def test_the_client_of_1_calls_over_both_transports(stage: Stage) -> None:
    process, url = served(stage)
    token = stage.call("token", "create", "--agent-id", AGENT)["token"]
    env = {**stage._env(), "LETTA_AGENT_ID": AGENT}
    given = {
        "stdio": {"command": sys.executable, "args": [*PROGRAM[1:], "mcp"], "env": env},
        "http": {"url": url, "headers": {"Authorization": f"Bearer {token}"}},
    }
    ended = subprocess.run(
        [str(MCP1), str(Path(__file__).with_name("mcp1.py"))],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=stage._env(),
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    for number, transport in enumerate(("stdio", "http"), start=1):
        one = found[transport]
        assert one["protocol"] == "2025-11-25"
        assert len(one["tools"]) == 14
        assert "why" in one["read_only"]
        assert one["lesson"]
        assert one["instructions"]
        assert one["made"]["is_error"] is False
        assert one["made"]["structure"]["schedule_id"] == number
        assert one["made"]["text"].startswith(f"Prompt scheduled with ID {number}.")
        assert one["wrong"]["is_error"] is True
        assert '"every 45m"' in one["wrong"]["text"]
    warnings = (found["stdio"]["made"]["structure"]["warnings"], found["http"]["made"]["structure"]["warnings"])
    assert not [one for told in warnings for one in told if "nothing is running" in one], "serve delivers"
    process.signal(signal.SIGTERM)
    assert process.wait(30) == 0, process.stderr
    assert "Traceback" not in process.stderr
