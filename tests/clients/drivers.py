"""Letta's official clients, unmodified, each behind the same few calls, so that one suite holds for all of them."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import letta_client

NPM = Path(__file__).resolve().parent / "npm"
END_S = 10.0


class Refused(Exception):
    """What a client raised: the name of its class, the HTTP status, and its text."""

    def __init__(self, name: str, status: int | None, message: str) -> None:
        super().__init__(f"{name} {status}: {message}")
        self.name = name
        self.status = status
        self.message = message


class Client(Protocol):
    """The calls of the suite; answers are JSON as the client understood it."""

    def agents(self) -> list[dict[str, Any]]: ...
    def create(self, agent_id: str, **body: Any) -> dict[str, Any]: ...  # noqa: ANN401  JSON
    def list(self, agent_id: str, **query: Any) -> dict[str, Any]: ...  # noqa: ANN401  as the client takes it
    def retrieve(self, agent_id: str, schedule_id: str) -> dict[str, Any]: ...
    def delete(self, agent_id: str, schedule_id: str) -> dict[str, Any]: ...
    def stream(self, agent_id: str, text: str) -> Iterator[dict[str, Any]]: ...
    def close(self) -> None: ...


class PythonSync:
    """letta_client.Letta."""

    def __init__(self, url: str, key: str | None = None, retries: int = 0) -> None:
        self._client = letta_client.Letta(base_url=url, api_key=key, max_retries=retries)

    def agents(self) -> list[dict[str, Any]]:
        return [_plain(one) for one in self._call(lambda: self._client.agents.list().items)]

    def create(self, agent_id: str, **body: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
        return _plain(self._call(lambda: self._client.agents.schedule.create(agent_id, **body)))

    def list(self, agent_id: str, **query: Any) -> dict[str, Any]:  # noqa: ANN401  as the client takes it
        return _plain(self._call(lambda: self._client.agents.schedule.list(agent_id, **query)))

    def retrieve(self, agent_id: str, schedule_id: str) -> dict[str, Any]:
        return _plain(self._call(lambda: self._client.agents.schedule.retrieve(schedule_id, agent_id=agent_id)))

    def delete(self, agent_id: str, schedule_id: str) -> dict[str, Any]:
        return _plain(self._call(lambda: self._client.agents.schedule.delete(schedule_id, agent_id=agent_id)))

    def stream(self, agent_id: str, text: str) -> Iterator[dict[str, Any]]:
        for event in self._call(
            lambda: self._client.agents.messages.create(agent_id, messages=_said(text), streaming=True)
        ):
            yield _plain(event)

    def close(self) -> None:
        self._client.close()

    def _call(self, act: Any) -> Any:  # noqa: ANN401  whatever the client returns
        try:
            return act()
        except letta_client.APIStatusError as error:
            raise _refused(error) from error


class PythonAsync:
    """letta_client.AsyncLetta, in an event loop of its own."""

    def __init__(self, url: str, key: str | None = None, retries: int = 0) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = letta_client.AsyncLetta(base_url=url, api_key=key, max_retries=retries)

    def agents(self) -> list[dict[str, Any]]:
        async def listed() -> list[Any]:
            return (await self._client.agents.list()).items

        return [_plain(one) for one in self._call(listed())]

    def create(self, agent_id: str, **body: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
        return _plain(self._call(self._client.agents.schedule.create(agent_id, **body)))

    def list(self, agent_id: str, **query: Any) -> dict[str, Any]:  # noqa: ANN401  as the client takes it
        return _plain(self._call(self._client.agents.schedule.list(agent_id, **query)))

    def retrieve(self, agent_id: str, schedule_id: str) -> dict[str, Any]:
        return _plain(self._call(self._client.agents.schedule.retrieve(schedule_id, agent_id=agent_id)))

    def delete(self, agent_id: str, schedule_id: str) -> dict[str, Any]:
        return _plain(self._call(self._client.agents.schedule.delete(schedule_id, agent_id=agent_id)))

    def stream(self, agent_id: str, text: str) -> Iterator[dict[str, Any]]:
        events = self._call(self._client.agents.messages.create(agent_id, messages=_said(text), streaming=True))
        while True:
            try:
                yield _plain(self._call(anext(events)))
            except StopAsyncIteration:
                return

    def close(self) -> None:
        self._call(self._client.close())
        self._loop.close()

    def _call(self, awaitable: Any) -> Any:  # noqa: ANN401  whatever the client returns
        try:
            return self._loop.run_until_complete(awaitable)
        except letta_client.APIStatusError as error:
            raise _refused(error) from error


class Node:
    """One node for all clients of TypeScript's (npm/driver.mjs): it takes longer to start than all that it is asked."""

    _running: subprocess.Popen[str] | None = None
    _calls = 0

    @classmethod
    def ask(cls, **asked: object) -> int:
        """Write a line to it, and return the call's number."""
        if cls._running is None:
            atexit.register(cls.stop)
            cls._running = subprocess.Popen(
                ["node", "driver.mjs"],
                cwd=NPM,
                env={"PATH": os.environ["PATH"]},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        cls._calls += 1
        assert cls._running.stdin is not None
        cls._running.stdin.write(json.dumps({"id": cls._calls, **asked}) + "\n")
        cls._running.stdin.flush()
        return cls._calls

    @classmethod
    def line(cls) -> Mapping[str, Any]:
        """Return the next line that it writes."""
        assert cls._running is not None
        assert cls._running.stdout is not None
        line: Mapping[str, Any] = json.loads(cls._running.stdout.readline())
        return line

    @classmethod
    def stop(cls) -> None:
        """End it, if it runs."""
        if cls._running is not None:
            cls._running.communicate(timeout=END_S)
            cls._running = None


class TypeScript:
    """@letta-ai/letta-client."""

    def __init__(self, url: str, key: str | None = None, retries: int = 0) -> None:
        self._client = {"baseURL": url, "apiKey": key, "maxRetries": retries, "timeout": 30_000}
        self._call = 0

    def agents(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._value("agents.list")
        return found

    def create(self, agent_id: str, **body: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
        more = body.pop("extra_body", {})  # TypeScript's client sends whatever keys it is given
        headers = body.pop("extra_headers", {})
        return self._object("agents.schedule.create", agent_id, body | more, {"headers": headers})

    def list(self, agent_id: str, **query: Any) -> dict[str, Any]:  # noqa: ANN401  as the client takes it
        return self._object("agents.schedule.list", agent_id, query)

    def retrieve(self, agent_id: str, schedule_id: str) -> dict[str, Any]:
        return self._object("agents.schedule.retrieve", schedule_id, {"agent_id": agent_id})

    def delete(self, agent_id: str, schedule_id: str) -> dict[str, Any]:
        return self._object("agents.schedule.delete", schedule_id, {"agent_id": agent_id})

    def stream(self, agent_id: str, text: str) -> Iterator[dict[str, Any]]:
        self._ask("agents.messages.create", agent_id, {"messages": _said(text), "streaming": True})
        while "end" not in (line := self._line()):
            yield line["event"]

    def close(self) -> None:
        """Node goes on, for others."""

    def _object(self, call: str, *args: object) -> dict[str, Any]:
        value: dict[str, Any] = self._value(call, *args)
        return value

    def _value(self, call: str, *args: object) -> Any:  # noqa: ANN401  JSON
        self._ask(call, *args)
        return self._line()["value"]

    def _ask(self, call: str, *args: object) -> None:
        self._call = Node.ask(client=self._client, call=call.split("."), args=args)

    def _line(self) -> Mapping[str, Any]:
        line = Node.line()
        assert line["id"] == self._call
        if "error" in line:
            raise Refused(**line["error"])
        return line


Opening = Callable[..., Client]
"""Called with the URL, a key or None, and how often to repeat."""
CLIENTS: dict[str, Opening] = {"python": PythonSync, "python-async": PythonAsync, "typescript": TypeScript}


def why_absent(name: str) -> str | None:
    """Return why a client cannot be driven on this machine, or None."""
    if name != "typescript":
        return None
    if shutil.which("node") is None:
        return "node is not installed, so Letta's TypeScript client was not driven"
    if not (NPM / "node_modules").is_dir():
        return "Letta's TypeScript client is not installed: make .venv/.npm"
    return None


def _said(text: str) -> Any:  # noqa: ANN401  as the client's type has it
    return [{"role": "user", "content": text}]


def _plain(model: Any) -> dict[str, Any]:  # noqa: ANN401  one of the client's models
    plain: dict[str, Any] = model.model_dump(mode="json", exclude_unset=True)
    return plain


def _refused(error: letta_client.APIStatusError) -> Refused:
    return Refused(type(error).__name__, error.status_code, str(error))
