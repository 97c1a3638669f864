"""The request that carries more than a prompt to Letta."""

from __future__ import annotations

import pytest

from promptyoself.domain.answers import Address, Message
from promptyoself.domain.content import Content, read_content
from promptyoself.targets.letta_routes import body_of


@pytest.mark.parametrize(
    ("roles", "otids"),
    [
        ("u", ["k#0.e", "k#0"]),
        ("sau", ["k#0.e", "k#0.1", "k#0.2", "k#0"]),
        ("uua", ["k#0.e", "k#0.1", "k#0", "k#0.3"]),
        ("sa", ["k#0.e", "k#0", "k#0.2"]),
        ("aa", ["k#0", "k#0.1", "k#0.2"]),
    ],
)
def test_one_message_that_letta_lists_has_the_delivery_s_otid(roles: str, otids: list[str]) -> None:
    names = {"u": "user", "s": "system", "a": "assistant"}
    messages = [{"role": names[role], "content": "x", "otid": "mine"} for role in roles]
    content = read_content({"messages": messages, **OPTIONS})
    body = body_of(a_message(content), streams=None)
    assert [one["otid"] for one in body["messages"]] == otids  # type: ignore[attr-defined]  # JSON
    assert body["max_steps"] == 3
    assert not {"callback_url", "include_return_message_types"} & body.keys()


OPTIONS = {"max_steps": 3, "callback_url": "https://example.com/", "include_return_message_types": ["user_message"]}


def a_message(content: Content) -> Message:
    address = Address(agent_id="agent-1")
    return Message(
        address=address, otid="k#0", prompt="x", envelope="[e]", delivery_id=1, schedule_id=1, content=content
    )
