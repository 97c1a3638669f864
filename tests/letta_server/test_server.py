"""The starter keeps what other tests lean on: a real Letta that answers from the stub.

That it dies and comes back, tests/letta/test_target_real.py shows.
"""

from __future__ import annotations

import urllib.error
import uuid
from typing import Any

import pytest

from tests.letta_server.server import LettaServer

pytestmark = pytest.mark.letta


def send(server: LettaServer, agent: str, text: str) -> dict[str, Any]:
    message = {"role": "user", "content": text, "otid": str(uuid.uuid4())}
    answer: dict[str, Any] = server.call("POST", f"/v1/agents/{agent}/messages", {"messages": [message]})
    return answer


def user_texts(server: LettaServer, agent: str) -> list[str]:
    messages = server.call("GET", f"/v1/agents/{agent}/messages?limit=100")
    return [message["content"] for message in messages if message["message_type"] == "user_message"]


def test_an_agent_answers_from_the_stub_and_its_request_is_on_record(letta_server: LettaServer) -> None:
    agent = letta_server.create_agent(f"answers-{uuid.uuid4().hex[:8]}")
    text = f"good morning {uuid.uuid4()}"
    answer = send(letta_server, agent, text)
    replies = [m["content"] for m in answer["messages"] if m["message_type"] == "assistant_message"]
    assert replies == [f"stub reply to: {text}"]
    assert user_texts(letta_server, agent) == [text]
    assert len(letta_server.stub_requests(text)) == 1


def test_a_failure_by_marker_reaches_the_caller_as_an_llm_error(letta_server: LettaServer) -> None:
    agent = letta_server.create_agent(f"fails-{uuid.uuid4().hex[:8]}")
    with pytest.raises(urllib.error.HTTPError) as failure:
        send(letta_server, agent, f"HTTP:400 {uuid.uuid4()}")
    failure.value.close()
    assert failure.value.code == 400


def test_a_tool_is_called_by_marker_and_its_result_ends_the_run(letta_server: LettaServer) -> None:
    agent = letta_server.create_agent(f"calls-{uuid.uuid4().hex[:8]}")
    answer = send(letta_server, agent, 'CALL_TOOL:conversation_search:{"query": "the brown fox"}')
    kinds = [message["message_type"] for message in answer["messages"]]
    assert "tool_call_message" in kinds
    assert kinds[-1] == "assistant_message"


def test_up_is_idempotent(letta_server: LettaServer) -> None:
    before, options = letta_server.status(), letta_server.options
    letta_server.up(redis=options.redis, password=options.password, local_mcp=options.local_mcp)
    assert letta_server.status() == before
