"""More than a prompt, obeyed replies and callbacks against a real Letta: what it takes, stores, lists and answers."""

from __future__ import annotations

import base64
import json
import struct
import threading
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from promptyoself.domain.answers import Accepted, Done, Message, Sent
from promptyoself.domain.content import read_content, rendered
from promptyoself.targets.letta_settings import LettaMode
from tests.letta.desk import Desk, until
from tests.letta.test_target_real import CLOCK, MODES, message, run, target
from tests.letta_server.server import LettaServer

pytestmark = pytest.mark.letta

WITHIN_S = 30


def a_png() -> str:
    """One red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    pixel = chunk(b"IDAT", zlib.compress(b"\0\xff\0\0"))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + header + pixel + chunk(b"IEND", b"")).decode()


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": a_png()}}
LOOK = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": "I shall look.", "otid": "the caller's"},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE], "name": "ann"},
    ],
    "max_steps": 3,
    "include_return_message_types": ["reasoning_message"],
}


def more_than_a_prompt(agent: str, given: dict[str, Any]) -> Message:
    content = read_content(given)
    return replace(message(agent, rendered(content.messages)), otid=f"{uuid.uuid4()}#0", content=content)


@pytest.mark.parametrize("mode", MODES)
def test_messages_are_stored_in_order_and_proven_by_otid(letta_server: LettaServer, mode: LettaMode) -> None:
    agent = letta_server.create_agent("content")
    wanted = more_than_a_prompt(agent, LOOK)

    async def scene() -> None:
        async with target(letta_server.url, mode) as letta:
            result: object = await letta.send(wanted)
            if isinstance(result, Accepted):
                sent = Sent(address=wanted.address, otid=wanted.otid, run_id=result.run_id, since=CLOCK.now())
                result = await letta.follow(sent)
            assert isinstance(result, Done)
            assert result.last_line == result.reply_excerpt == "stub reply to: What is this?"
            found = await letta._evidence.find_message(agent, wanted.otid, since=CLOCK.now())
            assert getattr(found, "has_message", False)
            if mode == "background":
                again = await letta.send(wanted)
                assert isinstance(again, Done | Accepted), again

    run(scene)
    stored = letta_server.call("GET", f"/v1/agents/{agent}/messages?limit=50&order=asc")[1:]
    assert [one["message_type"] for one in stored] == [
        "system_message", "system_message", "assistant_message", "user_message", "assistant_message",
    ]  # fmt: skip
    otids = [one.get("otid") for one in stored]
    assert (otids[0], otids[1], otids[3]) == (f"{wanted.otid}.e", f"{wanted.otid}.1", wanted.otid)
    assert [part["type"] for part in stored[3]["content"]] == ["text", "image"]
    assert stored[3]["name"] == "ann"


@pytest.mark.parametrize("role", ["assistant", "system"])
def test_messages_without_one_of_the_user_are_proven_too(letta_server: LettaServer, role: str) -> None:
    agent = letta_server.create_agent("content")
    wanted = more_than_a_prompt(agent, {"messages": [{"role": role, "content": "Hm."}]})

    async def scene() -> None:
        async with target(letta_server.url, "async") as letta:
            result = await letta.send(wanted)
            assert isinstance(result, Accepted)
            sent = Sent(address=wanted.address, otid=wanted.otid, run_id=result.run_id, since=CLOCK.now())
            assert isinstance(await letta.follow(sent), Done)
            found = await letta._evidence.find_message(agent, wanted.otid, since=CLOCK.now())
            assert getattr(found, "has_message", False)

    run(scene)


class Hook(ThreadingHTTPServer):
    """A receiver of callbacks on loopback."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.taken: list[tuple[str | None, dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


class _Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert isinstance(self.server, Hook)
        self.server.taken.append((self.headers["Idempotency-Key"], body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as above
        """Say nothing."""


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def test_an_agent_s_last_line_is_obeyed_and_its_end_is_posted(
    letta_server: LettaServer, tmp_path: Path, hook: Hook
) -> None:
    desk = Desk(letta_server, tmp_path)
    desk.environ["PROMPTYOSELF_CALLBACK_ALLOW"] = "127.0.0.1"
    agent = letta_server.create_agent("obeyed")
    content = {"callback_url": hook.url, "include_return_message_types": ["assistant_message"]}
    common = {"agent_id": agent, "every": "1h", "replies": "obey", "content": content}
    asks = "SAY:I have looked.\n[promptyoself NONCE: again in 3h]"
    prompts = (asks, "SAY:[promptyoself 00000000: done]", "SAY:No news.\n[promptyoself NONCE: done; silent]")
    with desk.serving() as service:
        made = [service.call("POST", "/api/v1/schedules", {"prompt": prompt, **common}) for prompt in prompts]
        assert [status for status, _ in made] == [201] * 3, made
        first, guessed, quiet = (answer["id"] for _, answer in made)
        for id in (first, guessed, quiet):
            service.call("POST", f"/api/v1/schedules/{id}/run-now", {})
        until(lambda: desk.states(agent) == ["delivered"] * 3 and len(hook.taken) == 2, within_s=WITHIN_S)
    one_off, *_ = [one for one in desk.run("list", "--all")["schedules"] if one["created_by"] == f"{agent} via reply"]
    wait = datetime.fromisoformat(one_off["next_run"]) - datetime.fromisoformat(one_off["created_at"])
    assert one_off["prompt_text"] == asks
    assert 0 <= wait.total_seconds() - 3 * 3600 < 2  # whole seconds
    told = {id: " ".join(desk.run("why", "--id", str(id))["sentences"]) for id in (first, guessed, quiet)}
    assert "'again in 3h', which was obeyed" in told[first]
    assert "posted to its callback (HTTP 200)" in told[first]
    assert "not obeyed: its nonce" in told[guessed]
    assert "callback" not in told[quiet]
    assert desk.run("show", "--id", str(guessed))["schedule"]["state"] == "active"
    assert desk.run("show", "--id", str(quiet))["schedule"]["state"] == "completed"
    excerpts = {one["schedule_id"]: one["reply_excerpt"] for one in desk.deliveries(agent)}
    assert excerpts[quiet] is None
    assert excerpts[first].startswith("I have looked.")
    body = next(body for _, body in hook.taken if body["metadata"]["promptyoself"]["schedule_id"] == first)
    assert body["status"] == "completed"
    assert body["run_id"].startswith("run-")
    result = body["metadata"]["result"]
    assert [one["message_type"] for one in result["messages"]] == ["assistant_message"]
    assert result["stop_reason"]["stop_reason"] == "end_turn"
    assert result["usage"]["total_tokens"] > 0
