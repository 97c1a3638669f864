"""A Letta server in a process of its own that survives all, is quick, and writes down what reaches its agents.

    python -m tests.chaos.receiver RECORD [--manners JSON] [--without-tags]

RECORD gets one JSON line an event, each in one write, `at` in seconds of the machine's monotonic clock, which every
process of the run shares and no skew touches:

    looked    somebody asks for an agent's active runs: a send is about to begin on this lane
    held      that question waits for /test/let_go
    begun     a prompt has been read: number, lane, otid, text, envelope
    stored    the agent has it: number, run
    answered  the answer is on the wire: number, status
    closed    the connection ended before an answer was given: number, by (client, server)
    ended     the run is over: number, run, status

Routes and shapes are those of 0.16.8 without Redis, as in tests/e2e/receiver.py; this one speaks HTTP by itself, since
tens of thousands of requests shall cost it little. `--without-tags` makes it a server that keeps no tags of runs:
nothing proves absence then, and what is in doubt has to be repeated, and marked.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote

EVERYBODY: Final = "*"
TAG_FIELD: Final = "assistant_message_tool_kwarg"
_PAGE: Final = 100
_HEAD_END: Final = b"\r\n\r\n"
_STATUS: Final = {200: "OK", 404: "Not Found", 409: "Conflict", 429: "Too Many Requests", 500: "Error", 503: "No"}


@dataclass(frozen=True, slots=True)
class Manners:
    """How an agent meets a prompt. `kind` is what happens to the first `times` requests of each prompt."""

    kind: str = "fine"
    """fine; fails (its run ends with an error); errors (500 before it is stored); hangs (read, never answered);
    drops_stored, drops_unstored (the connection is closed); busy (409); overloaded (429)."""
    times: int = 1
    answer_s: float = 0.0
    """From the end of the body to the answer; the run is made half-way."""
    run_s: float = 0.0
    look_s: float = 0.0
    """How long the list of active runs takes, which is asked for before each send."""
    holds: bool = False
    """True: the first list of active runs that is asked for is answered once /test/let_go says so."""
    forgets: bool = False
    """True: what was stored is shown by no list, as from a server whose history was lost."""


@dataclass(slots=True)
class Agent:
    """What one agent has."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    active: dict[str, dict[str, Any]] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)


class Server:
    """The state behind all connections."""

    def __init__(self, record: Path, manners: Mapping[str, Mapping[str, Any]], *, keeps_tags: bool) -> None:
        self._record = os.open(record, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        self._numbers = itertools.count(1)
        self._agents: defaultdict[str, Agent] = defaultdict(Agent)
        self._runs: dict[str, dict[str, Any]] = {}
        self._active: dict[str, dict[str, Any]] = {}
        self._messages: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self._tries: Counter[tuple[str, str]] = Counter()
        self._keeps_tags = keeps_tags
        self._held: set[str] = set()
        """Agents of whom a question was held: the next ones are not."""
        self._holding: list[Callable[[], None]] = []
        """What answers them."""
        self._manners: dict[str, Manners] = {}
        self._behave(manners)
        self._loop = asyncio.get_running_loop()

    def note(self, what: str, **fields: object) -> None:
        """Write one event down."""
        line = json.dumps({"what": what, "at": time.monotonic(), **fields})
        os.write(self._record, line.encode() + b"\n")

    def take(self, one: Connection, method: str, target: str, body: bytes) -> None:
        """Answer a request, now or later."""
        path, _, query = target.partition("?")
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if method == "POST":
            self._post(one, parts, body)
        else:
            self._get(one, parts, parse_qs(query))

    def _post(self, one: Connection, parts: list[str], body: bytes) -> None:
        match parts:
            case ["v1", "agents", agent, "messages", "async"]:
                self._prompt(one, agent, None, json.loads(body))
            case ["v1", "conversations", "default", "stream"]:
                one.answer({"detail": "Background streaming requires Redis to be running."}, 503)
            case ["v1", "conversations", conversation, "messages"]:
                # The harness names conversations `<agent>.<name>`, so that one route is enough to tell the lane.
                self._prompt(one, conversation.partition(".")[0], conversation, json.loads(body))
            case ["v1", "agents", _, "messages", "cancel"]:
                one.answer({})
            case ["test", "manners"]:
                self._behave(json.loads(body))
                one.answer({})
            case ["test", "let_go"]:
                self._let_go()
                one.answer({})
            case _:
                one.answer({"detail": "Not Found"}, 404)

    def _get(self, one: Connection, parts: list[str], query: dict[str, list[str]]) -> None:
        match parts:
            case ["v1", "runs"]:
                self._runs_listed(one, query)
            case ["v1", "runs", run_id, *rest] if run_id in self._runs:
                found = {"messages": self._messages.get(run_id, []), "steps": self._steps(run_id)}
                one.answer(found[rest[0]] if rest else self._runs[run_id])
            case ["v1", "runs", *_]:
                one.answer({"detail": "Run not found with id"}, 404)
            case ["v1", "agents", agent, "messages"]:
                one.answer(self._list_messages(agent, query))
            case ["v1", "agents", agent]:
                one.answer({"id": agent, "name": agent, "description": None})
            case ["v1", "agents"]:
                one.answer([])
            case _:
                one.answer({"detail": "Not Found"}, 404)

    # -- prompts --------------------------------------------------------------------------------------------

    def _prompt(self, one: Connection, agent: str, conversation: str | None, body: dict[str, Any]) -> None:
        texts = {message["role"]: message for message in body["messages"]}
        otid, text = texts["user"]["otid"], texts["user"]["content"]
        lane = agent if conversation is None else f"{agent} {conversation}"
        number = one.number = next(self._numbers)
        envelope = texts.get("system", {}).get("content")
        self.note("begun", number=number, lane=lane, otid=otid, text=text, envelope=envelope)
        manners = self._manners_of(agent)
        key = (agent, otid.partition("#")[0])
        self._tries[key] += 1
        kind = manners.kind if self._tries[key] <= manners.times else "fine"
        half_s = manners.answer_s / 2
        match kind:
            case "hangs":
                return
            case "drops_unstored":
                self._later(half_s, one.drop)
            case "errors":
                self._later(half_s, one.answer, {"detail": "An unknown error occurred"}, 500)
            case "busy":
                self._later(half_s, one.answer, {"detail": "CONFLICT: another request is at work"}, 409)
            case "overloaded":
                self._later(half_s, one.answer, {"detail": "slower"}, 429)
            case _:
                self._later(half_s, self._store, one, number, agent, conversation, body, manners, kind)

    def _later(self, pause_s: float, act: Any, *given: object) -> None:  # noqa: ANN401  as call_later takes
        if pause_s:
            self._loop.call_later(pause_s, act, *given)
        else:
            act(*given)

    def _store(
        self,
        one: Connection,
        number: int,
        agent: str,
        conversation: str | None,
        body: dict[str, Any],
        manners: Manners,
        kind: str,
    ) -> None:
        """Begin the run, whether or not the client is still there, and answer when the route does."""
        tag = body.get(TAG_FIELD) if self._keeps_tags else None
        run: dict[str, Any] = {
            "id": f"run-{number}", "agent_id": agent, "conversation_id": conversation,
            "status": "created", "stop_reason": None, "background": conversation is None,
            "created_at": _now(), "completed_at": None,
            "metadata": {"run_type": "send_conversation_message" if conversation else "send_message_async"},
            "request_config": {TAG_FIELD: tag},
        }  # fmt: skip
        self._runs[run["id"]] = run
        if not manners.forgets:
            self._agents[agent].runs.append(run)
            self._agents[agent].active[run["id"]] = self._active[run["id"]] = run
        self.note("stored", number=number, run=run["id"])
        self._later(manners.run_s, self._end, number, run, body["messages"], manners, kind)
        if kind == "drops_stored":
            one.drop()
        elif conversation is None:
            self._later(manners.answer_s / 2, one.answer, run)
        else:  # this route answers when the agent has finished
            self._later(manners.run_s + manners.answer_s / 2, self._answer_finished, one, run, kind)

    def _answer_finished(self, one: Connection, run: dict[str, Any], kind: str) -> None:
        if kind == "fails":
            one.answer({"error": {"type": "llm_error", "message": "the LLM broke"}}, 500)
        else:
            messages = self._messages.get(run["id"], [])
            one.answer({"messages": messages, "stop_reason": {"stop_reason": "end_turn"}, "usage": {}})

    def _end(self, number: int, run: dict[str, Any], given: list[dict[str, Any]], manners: Manners, kind: str) -> None:
        is_failed = kind == "fails"
        agent = self._agents[run["agent_id"]]
        # A conversation's run stays `created` on paper for ever; its steps show that it has ended.
        stays_created = run["conversation_id"] is not None
        if not stays_created:
            agent.active.pop(run["id"], None)
            self._active.pop(run["id"], None)
        run["completed_at"] = _now()
        if is_failed:
            run |= {"status": run["status"] if stays_created else "failed", "stop_reason": "llm_api_error"}
            run["metadata"] = {**run["metadata"], "error": "INTERNAL_SERVER_ERROR: OpenAI API error"}
        else:
            run |= {"status": run["status"] if stays_created else "completed", "stop_reason": "end_turn"}
            stored = [self._message(run, one) for one in (*given, {"role": "assistant", "content": "ok", "otid": None})]
            self._messages[run["id"]] = stored
            if not manners.forgets:
                agent.messages += stored
        self.note("ended", number=number, run=run["id"], status="failed" if is_failed else "completed")

    def _message(self, run: dict[str, Any], message: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "id": f"message-{next(self._numbers)}", "run_id": run["id"], "message_type": f"{message['role']}_message",
            "content": message["content"], "otid": message["otid"], "date": _now(),
        }  # fmt: skip

    # -- questions ------------------------------------------------------------------------------------------

    def _runs_listed(self, one: Connection, query: dict[str, list[str]]) -> None:
        agent = query.get("agent_id", [EVERYBODY])[0]
        is_look = "statuses" in query and agent != EVERYBODY
        if is_look:
            self.note("looked", agent=agent)
            if self._manners_of(agent).holds and agent not in self._held:
                self._held.add(agent)
                self._holding.append(partial(one.answer, self._list_runs(query)))
                self.note("held", agent=agent)
                return
        pause_s = self._manners_of(agent).look_s if is_look else 0.0
        self._later(pause_s, lambda: one.answer(self._list_runs(query)))

    def _let_go(self) -> None:
        """Answer what is held, as it was when it was asked."""
        held, self._holding = self._holding, []
        for answer in held:
            answer()

    def _list_runs(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        name, wants_active = query.get("agent_id", [None])[0], "statuses" in query
        if name is None:
            every = list(self._active.values())
        else:
            agent = self._agents[name]
            every = list(agent.active.values()) if wants_active else agent.runs
        return _page(every[::-1], query)

    def _list_messages(self, agent: str, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        return _page(self._agents[agent].messages[::-1], query)[::-1]  # the newest of them, oldest first

    def _steps(self, run_id: str) -> list[dict[str, Any]]:
        run = self._runs[run_id]
        if run["completed_at"] is None:
            return [{"status": "pending", "stop_reason": None}]
        is_failed = run["stop_reason"] == "llm_api_error"
        return [{"status": "failed" if is_failed else "success", "stop_reason": run["stop_reason"]}]

    def _manners_of(self, agent: str) -> Manners:
        return self._manners.get(agent) or self._manners.get(EVERYBODY) or Manners()

    def _behave(self, manners: Mapping[str, Mapping[str, Any]]) -> None:
        self._manners |= {name: Manners(**one) for name, one in manners.items()}


def _page(newest_first: list[dict[str, Any]], query: dict[str, list[str]]) -> list[dict[str, Any]]:
    before = query.get("before", [None])[0]
    begin = 0
    if before is not None:
        begin = next((at + 1 for at, one in enumerate(newest_first) if one["id"] == before), len(newest_first))
    return newest_first[begin : begin + int(query.get("limit", [_PAGE])[0])]


class Connection(asyncio.Protocol):
    """One client: requests one after the other, as its client library sends them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self.number: int | None = None
        """Of the prompt that waits for its answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  as asyncio calls it
        self._transport = None
        self._closed("client")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(_HEAD_END)) >= 0:
            first, *headers = self._buffer[:end].decode("latin-1").split("\r\n")
            lengths = [line for line in headers if line[:15].lower() == "content-length:"]
            size = int(lengths[0][15:]) if lengths else 0
            begin = end + len(_HEAD_END)
            if len(self._buffer) < begin + size:
                return
            body = bytes(self._buffer[begin : begin + size])
            del self._buffer[: begin + size]
            method, target, _ = first.split(" ")
            self._server.take(self, method, target, body)

    def answer(self, value: object, status: int = 200) -> None:
        """Send the answer, if there is still somebody to take it."""
        if self._transport is None:
            return
        body = json.dumps(value).encode()
        head = (
            f"HTTP/1.1 {status} {_STATUS[status]}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nDate: {formatdate(usegmt=True)}\r\n\r\n"
        )
        if self.number is not None:  # before the bytes: what the client does upon them comes later
            self._server.note("answered", number=self.number, status=status)
            self.number = None
        self._transport.write(head.encode() + body)

    def drop(self) -> None:
        """Close the connection without a word."""
        self._closed("server")
        if self._transport is not None:
            self._transport.abort()

    def _closed(self, by: str) -> None:
        if self.number is not None:
            self._server.note("closed", number=self.number, by=by)
            self.number = None


def _now() -> str:
    return datetime.now(UTC).isoformat()


async def _serve(record: Path, manners: Mapping[str, Mapping[str, Any]], *, keeps_tags: bool) -> None:
    server = Server(record, manners, keeps_tags=keeps_tags)
    listening = await asyncio.get_running_loop().create_server(
        lambda: Connection(server), "127.0.0.1", 0, backlog=1024, reuse_address=True
    )
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="A Letta server for chaos runs that writes down all it sees.")
    parser.add_argument("record", type=Path)
    parser.add_argument("--manners", type=json.loads, default={})
    parser.add_argument("--without-tags", action="store_true")
    options = parser.parse_args()
    asyncio.run(_serve(options.record, options.manners, keeps_tags=not options.without_tags))


if __name__ == "__main__":
    main()
