"""A Letta server for tests: the routes that promptyoself uses, as measured on 0.16.8, and breakage on demand.

It lives in the test's own event loop. Runs work until the test finishes them; with `finishes_at_once` they never wait.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import Enum
from typing import Any, Self

from aiohttp import web

EPOCH = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)
"""The fake's clock stands still here: tests move it by `now`."""


class Break(Enum):
    """Where a connection breaks."""

    BEFORE_READING = "before the body is read"
    BEFORE_WORK = "after the body was read, before anything is stored"
    AFTER_WORK = "after the work, before the answer"
    MID_ANSWER = "in the middle of the answer"
    HANG = "never answers"


@dataclass
class Answer:
    """A scripted answer to the next prompt."""

    status: int
    body: object
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class FakeLetta:
    """The server's state. Set what it has and how it fails, then look at what arrived."""

    has_redis: bool = False
    has_async: bool = True
    keeps_tags: bool = True
    password: str | None = None
    finishes_at_once: bool = False
    agents: set[str] = field(default_factory=lambda: {"agent-1"})
    now: datetime = EPOCH
    script: list[Answer | Break] = field(default_factory=list)
    """How the next prompts are met, one each; afterwards prompts are taken."""
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)
    conversations: dict[str, dict[str, Any]] = field(default_factory=dict)
    prompts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Path and body of every prompt that was read."""
    requests: list[str] = field(default_factory=list)
    unshown: set[str] = field(default_factory=set)
    """Runs that the server fails to show."""
    cancelled: list[str] = field(default_factory=list)
    is_gone: bool = False
    """True: every connection is cut, as while a proxy's server is away."""
    base_url: str = ""
    _runner: web.AppRunner | None = None
    _port: int = 0
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _by_otid: dict[str, str] = field(default_factory=dict)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._released.set()
        await self.stop()

    async def start(self) -> None:
        """Listen, on the same port as before when it was stopped."""
        app = web.Application(middlewares=[self._door])
        app.add_routes(
            [
                web.get("/v1/health/", self._health),
                web.get("/v1/agents/", self._list_agents),
                web.get("/v1/agents/{agent}", self._agent),
                web.get("/v1/agents/{agent}/messages", self._list_messages),
                web.post("/v1/agents/{agent}/messages", self._blocking),
                web.post("/v1/agents/{agent}/messages/cancel", self._cancel),
                web.get("/v1/conversations/", self._list_conversations),
                web.post("/v1/conversations/", self._make_conversation),
                web.post("/v1/conversations/default/stream", self._stream_of_run),
                web.post("/v1/conversations/{conversation}/messages", self._in_conversation),
                web.get("/v1/runs/", self._list_runs),
                web.get("/v1/runs/{run}", self._run),
                web.get("/v1/runs/{run}/messages", self._run_messages),
                web.get("/v1/runs/{run}/steps", self._run_steps),
            ]
        )
        if self.has_async:
            app.add_routes([web.post("/v1/agents/{agent}/messages/async", self._async)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        address = self._runner.addresses[0]
        self._port = address[1]
        self.base_url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Stop listening and drop every connection. What is stored stays, as in Letta's database."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # -- what tests do ---------------------------------------------------------------------------------------

    def add_run(self, agent: str = "agent-1", **fields: Any) -> str:  # noqa: ANN401  a run is JSON
        """Store a run of somebody else; by default one that works."""
        steps = fields.pop("steps", [{"status": "pending", "stop_reason": None}])
        run_id = f"run-{next(self._numbers)}"
        self.runs[run_id] = {
            "id": run_id, "agent_id": agent, "conversation_id": None, "status": "created", "stop_reason": None,
            "created_at": self.now.isoformat(), "completed_at": None, "background": True, "messages": [],
            "metadata": {"run_type": "send_message_async"},
            "request_config": {"assistant_message_tool_kwarg": "message"}, **fields,
        }  # fmt: skip
        self.steps[run_id] = steps
        return run_id

    def finish(self, run_id: str, *, status: str = "completed", error: object = None, reply: str = "noted") -> None:
        """End a run: completed runs store their messages and a reply, failed ones store nothing."""
        run = self.runs[run_id]
        run |= {"status": status, "completed_at": self.now.replace(tzinfo=None).isoformat()}
        self.steps[run_id] = [{"status": "success", "stop_reason": "end_turn"}]
        if status == "completed":
            run["stop_reason"] = "end_turn"
            self.store(run_id, reply=reply)
        elif error is not None:
            run["metadata"] = {**run["metadata"], "error": error}
            run["stop_reason"] = "llm_api_error"
            self.steps[run_id] = [{"status": "failed", "stop_reason": "llm_api_error"}]

    def store(self, run_id: str, *, reply: str | None = None) -> None:
        """Store the run's messages in the agent's history, as Letta does when a step has ended."""
        run = self.runs[run_id]
        said = [{"role": "assistant", "content": reply, "otid": None}] if reply is not None else []
        for message in [*run["messages"], *said]:
            self.messages.append(
                {
                    "id": f"message-{next(self._numbers)}", "agent_id": run["agent_id"], "run_id": run_id,
                    "message_type": f"{message['role']}_message", "content": message["content"],
                    "otid": message.get("otid"), "date": self.now.isoformat(),
                }
            )  # fmt: skip

    def run_ids(self) -> list[str]:
        """Return all runs, oldest first."""
        return list(self.runs)

    # -- the door --------------------------------------------------------------------------------------------

    @web.middleware
    async def _door(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        if self.is_gone:
            return _cut(request)
        wants_key = self.password is not None and request.path != "/v1/health/"
        if wants_key and request.headers.get("Authorization") != f"Bearer {self.password}":
            return web.json_response({"detail": "Unauthorized"}, status=401)
        try:
            response = await handler(request)
        except web.HTTPNotFound:
            return web.json_response({"detail": "Not Found"}, status=404)
        except web.HTTPMethodNotAllowed:
            return web.json_response({"detail": "Method Not Allowed"}, status=405)
        if not response.prepared:
            response.headers["Date"] = format_datetime(self.now, usegmt=True)
        return response

    # -- prompts ---------------------------------------------------------------------------------------------

    async def _async(self, request: web.Request) -> web.StreamResponse:
        return await self._prompt(request, lambda run: _json(_shown(run)))

    async def _blocking(self, request: web.Request) -> web.StreamResponse:
        return await self._prompt(request, self._finished, background=False, run_type="send_message")

    async def _in_conversation(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.text())
        if not body.get("streaming", True):
            return await self._prompt(request, self._finished, background=False, run_type="send_conversation_message")
        if not self.has_redis:
            return _json({"detail": "INTERNAL_SERVER_ERROR: Background streaming requires Redis to be running."}, 503)
        return await self._prompt(request, None, is_locked=True, run_type="send_message")

    async def _prompt(
        self,
        request: web.Request,
        answer: Callable[[dict[str, Any]], web.Response] | None,
        *,
        is_locked: bool = False,
        **fields: Any,  # noqa: ANN401  a run is JSON
    ) -> web.StreamResponse:
        met = self.script.pop(0) if self.script else None
        if met is Break.BEFORE_READING:
            return _cut(request)
        body = json.loads(await request.text())
        self.prompts.append((request.path, body))
        if met is Break.HANG:
            await self._released.wait()
        if met is Break.HANG or met is Break.BEFORE_WORK:
            return _cut(request)
        if isinstance(met, Answer):
            return _scripted(met)
        agent, conversation = self._whom(request)
        if agent not in self.agents:
            return _json({"detail": "Agent not found" if agent else "Conversation not found with id"}, 404)
        run = self._locked(agent, conversation, body) if is_locked else None
        if isinstance(run, web.Response):
            return run
        if run is None:
            run = self.runs[self._take(agent, conversation, body, fields)]
        if met is Break.AFTER_WORK:
            return _cut(request)
        if answer is None:
            return await self._stream(request, run, met)
        return await _cut_short(request) if met is Break.MID_ANSWER else answer(run)

    def _locked(
        self, agent: str, conversation: str | None, body: dict[str, Any]
    ) -> dict[str, Any] | web.Response | None:
        """Return the run that a repeated request replays, a conflict, or None for a request that may work."""
        if run_id := self._by_otid.get(_otids(body)):
            return self.runs[run_id]
        if holder := self._lock_holder(agent, conversation):
            return _json({"detail": "CONFLICT: Cannot send a new message: Another request", "run_id": holder}, 409)
        return None

    def _take(self, agent: str, conversation: str | None, body: dict[str, Any], fields: dict[str, Any]) -> str:
        kind = fields.pop("run_type", "send_message_async")
        is_plain = kind == "send_conversation_message"
        config = {"assistant_message_tool_kwarg": body["assistant_message_tool_kwarg"]} if self.keeps_tags else {}
        run_id = self.add_run(
            agent,
            messages=body["messages"],
            request_config=config,
            metadata={"run_type": kind},
            conversation_id=None if is_plain else conversation,
            **fields,
        )
        if "background" not in fields and kind != "send_message_async":
            self._by_otid[_otids(body)] = run_id
        if self.finishes_at_once or fields.get("background") is False:
            self.finish(run_id)
            if is_plain:
                self.runs[run_id] |= {"status": "created", "completed_at": None, "stop_reason": None}
        return run_id

    def _whom(self, request: web.Request) -> tuple[str | None, str | None]:
        if agent := request.match_info.get("agent"):
            return agent, None
        name = request.match_info["conversation"]
        if name.startswith("agent-"):
            return name, None
        return (self.conversations[name]["agent_id"], name) if name in self.conversations else (None, None)

    def _lock_holder(self, agent: str, conversation: str | None) -> str | None:
        for run_id in self._by_otid.values():
            run = self.runs[run_id]
            if run["status"] in {"created", "running"} and (run["agent_id"], run["conversation_id"]) == (
                agent,
                conversation,
            ):
                return run_id
        return None

    def _finished(self, run: dict[str, Any]) -> web.Response:
        mine = [message for message in self.messages if message["run_id"] == run["id"]]
        said = [message for message in mine if message["message_type"] == "assistant_message"]
        return _json({"messages": said, "stop_reason": {"stop_reason": "end_turn"}})

    async def _stream(
        self, request: web.Request, run: dict[str, Any], met: Answer | Break | None
    ) -> web.StreamResponse:
        date = format_datetime(self.now, usegmt=True)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Date": date})
        await response.prepare(request)
        if met is Break.MID_ANSWER:
            return _cut(request)
        ping = {"message_type": "ping", "run_id": run["id"], "date": run["created_at"]}
        with suppress(ConnectionError):
            await response.write(b": a comment\n\ndata: " + json.dumps(ping).encode() + b"\n\n")
            await response.write(b"data: [DONE]\n\n")
        return response

    # -- questions -------------------------------------------------------------------------------------------

    async def _health(self, _: web.Request) -> web.Response:
        return _json({"version": "0.16.8", "status": "ok"})

    async def _list_agents(self, request: web.Request) -> web.Response:
        after = request.query.get("after", "")
        names = sorted(agent for agent in self.agents if agent > after)[: int(request.query["limit"])]
        return _json([{"id": name, "name": name.upper(), "description": None} for name in names])

    async def _agent(self, request: web.Request) -> web.Response:
        name = request.match_info["agent"]
        if name not in self.agents:
            return _json({"detail": f"Agent with ID {name} not found"}, 404)
        return _json({"id": name, "name": name.upper(), "description": "an agent"})

    async def _list_messages(self, request: web.Request) -> web.Response:
        mine = [message for message in self.messages if message["agent_id"] == request.match_info["agent"]]
        if before := request.query.get("before"):
            mine = mine[: next(i for i, message in enumerate(mine) if message["id"] == before)]
        return _json(mine[-int(request.query["limit"]) :])  # the newest, oldest of them first: as 0.16.8 does

    async def _list_runs(self, request: web.Request) -> web.Response:
        wanted = request.query.getall("statuses", [])
        agent, background = request.query.get("agent_id"), request.query.get("background")
        found = [
            run
            for run in reversed(self.runs.values())
            if agent in {None, run["agent_id"]}
            and (not wanted or run["status"] in wanted)
            and (background is None or run["background"])
        ]
        if before := request.query.get("before"):
            found = found[next(i for i, run in enumerate(found) if run["id"] == before) + 1 :]
        return _json([_shown(run) for run in found[: int(request.query["limit"])]])

    async def _run(self, request: web.Request) -> web.Response:
        if request.match_info["run"] in self.unshown:
            return _json({"detail": "An unknown error occurred"}, 500)
        run = self.runs.get(request.match_info["run"])
        return _json({"detail": "Run not found with id"}, 404) if run is None else _json(_shown(run))

    async def _run_messages(self, request: web.Request) -> web.Response:
        return _json([message for message in self.messages if message["run_id"] == request.match_info["run"]])

    async def _run_steps(self, request: web.Request) -> web.Response:
        return _json(self.steps.get(request.match_info["run"], [])[:1])

    async def _stream_of_run(self, _: web.Request) -> web.Response:
        if self.has_redis:
            return _json({"detail": "Run not found with id"}, 404)
        return _json({"detail": "Background streaming requires Redis to be running."}, 503)

    async def _list_conversations(self, request: web.Request) -> web.Response:
        wanted = request.query.get("summary_search", "")
        return _json([item for item in self.conversations.values() if wanted in item["summary"]])

    async def _make_conversation(self, request: web.Request) -> web.Response:
        agent, body = request.query["agent_id"], await request.json()
        if agent not in self.agents:
            return _json({"detail": "Agent not found"}, 404)
        name = f"conv-{next(self._numbers)}"
        self.conversations[name] = {"id": name, "agent_id": agent, "summary": body["summary"]}
        return _json(self.conversations[name])

    async def _cancel(self, request: web.Request) -> web.Response:
        run_ids = (await request.json())["run_ids"]
        for run_id in run_ids:
            self.cancelled.append(run_id)
            self.runs[run_id] |= {"status": "cancelled", "completed_at": self.now.replace(tzinfo=None).isoformat()}
        return _json(dict.fromkeys(run_ids, "cancelled"))

    def pass_time(self, seconds: float) -> None:
        """Move the server's clock."""
        self.now += timedelta(seconds=seconds)


def _json(value: object, status: int = 200) -> web.Response:
    return web.json_response(value, status=status)


def _otids(body: dict[str, Any]) -> str:
    return "|".join(message["otid"] for message in body["messages"])


def _scripted(answer: Answer) -> web.Response:
    is_text = isinstance(answer.body, str)
    return web.Response(
        status=answer.status,
        headers=answer.headers,
        text=str(answer.body) if is_text else json.dumps(answer.body),
        content_type="text/html" if is_text else "application/json",
    )


def _shown(run: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in run.items() if name != "messages"}


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _cut_short(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"id": ')
    if request.transport is not None:
        request.transport.close()
    return response
