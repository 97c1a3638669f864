"""The stub does what the last user message's markers say, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.letta_server.stub_llm import Plan, RequestLog, plan_for


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("hello", Plan(text="stub reply to: hello")),
        ("SLEEP:1.5 then", Plan(sleep_s=1.5, text="stub reply to: SLEEP:1.5 then")),
        ("HTTP:503", Plan(status=503)),
        ("SLEEP:2 HTTP:429", Plan(sleep_s=2, status=429)),
        ("DROP it", Plan(drops=True)),
        ('CALL_TOOL:grep:{"a": {"b": 1}} please', Plan(tool="grep", arguments='{"a": {"b": 1}}')),
        ('{"type": "user_message", "message": "HTTP:500"}', Plan(status=500)),
    ],
)
def test_a_marker_decides_the_answer(text: str, plan: Plan) -> None:
    assert plan_for([user(text)], times_seen=0) == plan


def test_only_the_last_user_message_counts() -> None:
    messages = [user("DROP"), {"role": "assistant", "content": "HTTP:500"}, user("now")]
    assert plan_for(messages, times_seen=0) == Plan(text="stub reply to: now")


def test_a_tool_result_ends_the_calling() -> None:
    messages = [user("CALL_TOOL:grep:{}"), {"role": "tool", "content": "found"}]
    assert plan_for(messages, times_seen=0).tool is None


def test_a_counted_failure_ends(tmp_path: Path) -> None:
    log = RequestLog(tmp_path / "stub.jsonl")
    statuses = [log.plan_and_record({"messages": [user("HTTP:500*2")]}).status for _ in range(3)]
    assert statuses == [500, 500, 200]
    lines = [json.loads(line) for line in (tmp_path / "stub.jsonl").read_text().splitlines()]
    assert [line["last_user"] for line in lines] == ["HTTP:500*2"] * 3
