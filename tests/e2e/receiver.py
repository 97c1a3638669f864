"""A Letta server in a process of its own that writes down all it sees, for tests that kill those who talk to it.

    python -m tests.e2e.receiver RECORD [--port N] [--manners JSON]

RECORD gets one JSON line an event, each in one write: what a killed client was doing is known to the microsecond. The
first line on stdout is the port. Agents come into being when asked for, but for those named `agent-absent...`.
`POST /test/manners` changes the manners, `POST /test/foreign` starts a run that is nobody's of ours.

Routes and shapes are those of 0.16.8 without Redis: prompts come by the async route, runs are polled.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from promptyoself.targets.letta_evidence import TAG_FIELD

EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class Manners:
    """How an agent meets a prompt. Seconds."""

    answer_s: float = 0.0
    """From the end of the body to the answer; the run is made half-way."""
    run_s: float = 0.0
    hangs: bool = False
    """True: the prompt is read and never answered, and no run is made."""
    fails: bool = False
    """True: each run ends with an error of the LLM."""


@dataclass(slots=True)
class Agent:
    """What one agent has: its runs and messages, and the requests that are open."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    open_requests: int = 0
    runs_at_work: int = 0


class Receiver:
    """The server's state."""

    def __init__(self, record: Path, manners: dict[str, dict[str, Any]]) -> None:
        self._record = os.open(record, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        self._numbers = itertools.count(1)
        self._agents: defaultdict[str, Agent] = defaultdict(Agent)
        self._runs: dict[str, dict[str, Any]] = {}
        self._messages: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self._manners = {name: Manners(**one) for name, one in manners.items()}
        self._never = asyncio.Event()
        self._asked = 0

    def app(self) -> web.Application:
        """Return the routes."""
        app = web.Application(client_max_size=16 * 1024 * 1024, middlewares=[self._counted])
        app.add_routes(
            [
                web.get("/test/asked", self._tell_asked),
                web.post("/test/manners", self._set_manners),
                web.post("/test/foreign", self._foreign),
                web.get("/v1/health/", self._health),
                web.get("/v1/agents/", self._list_agents),
                web.get("/v1/agents/{agent}", self._agent),
                web.get("/v1/agents/{agent}/messages", self._list_messages),
                web.post("/v1/agents/{agent}/messages/async", self._prompt),
                web.post("/v1/agents/{agent}/messages/cancel", self._cancel),
                web.post("/v1/conversations/default/stream", self._stream),
                web.get("/v1/runs/", self._list_runs),
                web.get("/v1/runs/{run}", self._run),
                web.get("/v1/runs/{run}/messages", self._run_messages),
                web.get("/v1/runs/{run}/steps", self._run_steps),
            ]
        )
        return app

    # -- prompts --------------------------------------------------------------------------------------------

    async def _prompt(self, request: web.Request) -> web.Response:
        number, name = next(self._numbers), request.match_info["agent"]
        agent, manners = self._agents[name], self._manners_of(name)
        self._note("begun", number=number, agent=name, others=agent.open_requests + agent.runs_at_work)
        agent.open_requests += 1
        try:
            body = json.loads(await request.read())
            texts = {message["role"]: message for message in body["messages"]}
            user, system = texts["user"], texts.get("system", {})
            self._note(
                "read",
                number=number,
                agent=name,
                otid=user["otid"],
                text=user["content"],
                envelope=system.get("content"),
            )
            if name.startswith("agent-absent"):
                return _json({"detail": f"Agent with ID {name} not found"}, 404)
            if manners.hangs:
                await self._never.wait()
            await asyncio.sleep(manners.answer_s / 2)
            run = self._start(name, body, manners)
            await asyncio.sleep(manners.answer_s / 2)
        finally:
            agent.open_requests -= 1
        self._note("answered", number=number, agent=name, run=run["id"])
        return _json(run)

    def _start(self, name: str, body: dict[str, Any], manners: Manners) -> dict[str, Any]:
        run = self._new_run(name, {TAG_FIELD: body.get(TAG_FIELD)})
        self._note("started", agent=name, run=run["id"])
        asyncio.get_running_loop().call_later(manners.run_s, self._end, run, body["messages"], manners)
        return run

    def _new_run(self, name: str, config: dict[str, Any]) -> dict[str, Any]:
        run_id = f"run-{os.getpid()}-{next(self._numbers)}"
        run: dict[str, Any] = {
            "id": run_id, "agent_id": name, "conversation_id": None,
            "status": "created", "stop_reason": None, "background": True, "created_at": _now(), "completed_at": None,
            "metadata": {"run_type": "send_message_async"}, "request_config": config,
        }  # fmt: skip
        self._runs[run_id] = run
        self._agents[name].runs.append(run)
        self._agents[name].runs_at_work += 1
        return run

    def _end(self, run: dict[str, Any], messages: Sequence[dict[str, Any]], manners: Manners) -> None:
        agent = self._agents[run["agent_id"]]
        agent.runs_at_work -= 1
        if manners.fails:
            run |= {"status": "failed", "stop_reason": "llm_api_error"}
            run["metadata"] = {**run["metadata"], "error": "INTERNAL_SERVER_ERROR: OpenAI API error"}
        else:
            run |= {"status": "completed", "stop_reason": "end_turn"}
            reply = {"role": "assistant", "content": "noted", "otid": None}
            stored = [self._message(run, message) for message in (*messages, reply)]
            agent.messages += stored
            self._messages[run["id"]] += stored
        run["completed_at"] = _now()
        self._note("ended", agent=run["agent_id"], run=run["id"], status=run["status"])

    def _message(self, run: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": f"message-{next(self._numbers)}", "run_id": run["id"], "message_type": f"{message['role']}_message",
            "content": message["content"], "otid": message["otid"], "date": _now(),
        }  # fmt: skip

    # -- questions ------------------------------------------------------------------------------------------

    async def _health(self, _: web.Request) -> web.Response:
        return _json({"version": "0.16.8", "status": "ok"})

    async def _list_agents(self, _: web.Request) -> web.Response:
        return _json([])

    async def _agent(self, request: web.Request) -> web.Response:
        name = request.match_info["agent"]
        if name.startswith("agent-absent"):
            return _json({"detail": f"Agent with ID {name} not found"}, 404)
        return _json({"id": name, "name": name, "description": None})

    async def _list_messages(self, request: web.Request) -> web.Response:
        found = self._agents[request.match_info["agent"]].messages
        if before := request.query.get("before"):
            found = found[: next(index for index, message in enumerate(found) if message["id"] == before)]
        return _json(found[-int(request.query["limit"]) :])

    async def _list_runs(self, request: web.Request) -> web.Response:
        name, statuses = request.query.get("agent_id"), request.query.getall("statuses", [])
        every = self._agents[name].runs if name is not None else list(self._runs.values())
        found = [run for run in reversed(every) if not statuses or run["status"] in statuses]
        if before := request.query.get("before"):
            found = found[next(index for index, run in enumerate(found) if run["id"] == before) + 1 :]
        return _json(found[: int(request.query["limit"])])

    async def _run(self, request: web.Request) -> web.Response:
        run = self._runs.get(request.match_info["run"])
        return _json({"detail": "Run not found with id"}, 404) if run is None else _json(run)

    async def _run_messages(self, request: web.Request) -> web.Response:
        return _json(self._messages.get(request.match_info["run"], []))

    async def _run_steps(self, request: web.Request) -> web.Response:
        run = self._runs[request.match_info["run"]]
        is_at_work = run["status"] == "created"
        return _json([{"status": "pending" if is_at_work else "success", "stop_reason": run["stop_reason"]}])

    async def _stream(self, _: web.Request) -> web.Response:
        return _json({"detail": "Background streaming requires Redis to be running."}, 503)

    async def _cancel(self, request: web.Request) -> web.Response:
        run_ids = (await request.json())["run_ids"]
        self._note("cancelled", runs=run_ids)
        return _json(dict.fromkeys(run_ids, "cancelled"))

    # -- what tests do --------------------------------------------------------------------------------------

    @web.middleware
    async def _counted(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self._asked += 1
        return await handler(request)

    async def _tell_asked(self, _: web.Request) -> web.Response:
        return _json(self._asked)

    async def _set_manners(self, request: web.Request) -> web.Response:
        self._manners = {name: Manners(**one) for name, one in (await request.json()).items()}
        return _json({})

    async def _foreign(self, request: web.Request) -> web.Response:
        return _json(self._new_run((await request.json())["agent"], {}))

    def _manners_of(self, name: str) -> Manners:
        return self._manners.get(name) or self._manners.get(EVERYBODY) or Manners()

    def _note(self, what: str, **fields: object) -> None:
        line = json.dumps({"what": what, "at": time.time(), **fields})
        os.write(self._record, line.encode() + b"\n")


def _json(value: object, status: int = 200) -> web.Response:
    return web.json_response(value, status=status)


def _now() -> str:
    return datetime.now(UTC).isoformat()


async def _serve(record: Path, port: int, manners: dict[str, dict[str, Any]]) -> None:
    runner = web.AppRunner(Receiver(record, manners).app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="A Letta server for tests that writes down all it sees.")
    parser.add_argument("record", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--manners", type=json.loads, default={})
    options = parser.parse_args()
    asyncio.run(_serve(options.record, options.port, options.manners))


if __name__ == "__main__":
    main()
