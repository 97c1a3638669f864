"""A person who has a Letta: the command line, the loop and the service, on a database of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.letta_server.server import LettaServer

PASSWORD = "open-sesame"  # noqa: S105  it opens a server of the tests' own
APART = pytest.mark.letta_alone(redis=False, password=PASSWORD, local_mcp=True)
"""Letta without Redis, with a password, and taking MCP servers on loopback: together, for each other set of options
costs a restart."""
PROGRAM = [sys.executable, "-m", "promptyoself"]


_LISTENING = re.compile(r"serve\.listening url=(\S+)")


@dataclass(frozen=True)
class Service:
    """A running `promptyoself serve`."""

    url: str
    process: subprocess.Popen[bytes]
    operator_token: str

    def call(self, method: str, path: str, body: object = None, *, bearer: str | None = "") -> tuple[int, Any]:
        """Return status and JSON of one request, with the operator's token unless another bearer, or None, is given."""
        bearer = self.operator_token if bearer == "" else bearer
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        headers |= {"Authorization": f"Bearer {bearer}"} if bearer is not None else {}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)  # noqa: S310  loopback
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  ours, on loopback
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read() or b"null")

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self.process.kill()
        self.process.wait(timeout=10)


class Desk:
    """A person at a terminal: the command line on a database of its own, against the real server."""

    def __init__(self, server: LettaServer, folder: Path) -> None:
        self.server = server
        self.db = folder / "promptyoself.db"
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PROMPTYOSELF_DB": str(self.db),
            "PROMPTYOSELF_TIMEZONE": "Europe/Riga",
            "LETTA_BASE_URL": server.url,
        }
        if server.options.password is not None:
            self.environ["LETTA_API_KEY"] = server.options.password

    def run(self, *arguments: str) -> dict[str, Any]:
        code, answer = self._run(*arguments)
        assert code == 0, answer
        return answer

    def refused(self, *arguments: str) -> dict[str, Any]:
        code, answer = self._run(*arguments)
        assert code != 0, answer
        return answer

    def _run(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        done = subprocess.run(
            [*PROGRAM, *arguments], env=self.environ, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, json.loads(done.stdout)

    @contextmanager
    def loop(self) -> Iterator[subprocess.Popen[str]]:
        """A running `execute --loop`, ended by SIGTERM if the test has not ended it."""
        process = subprocess.Popen(
            [*PROGRAM, "execute", "--loop"],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)

    @contextmanager
    def serving(self) -> Iterator[Service]:
        """A running `promptyoself serve`, ended by SIGTERM if the test has not ended it."""
        log = self.db.parent / "serve.log"
        with log.open("w") as stderr:
            command = [*PROGRAM, "serve", "--port", "0"]
            process = subprocess.Popen(command, env=self.environ, stdout=subprocess.DEVNULL, stderr=stderr)
        try:
            until(lambda: _LISTENING.search(log.read_text()) is not None or process.poll() is not None, within_s=60)
            found = _LISTENING.search(log.read_text())
            assert found is not None, log.read_text()
            yield Service(found[1], process, Path(f"{self.db}.operator-token").read_text().strip())
        finally:
            process.terminate()
            process.wait(timeout=60)

    def deliveries(self, agent_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.run("deliveries", "--agent-id", agent_id)["deliveries"]
        return found[::-1]

    def states(self, agent_id: str) -> list[str]:
        return [delivery["state"] for delivery in self.deliveries(agent_id)]

    def received(self, agent_id: str) -> list[tuple[str, str]]:
        """What the agent holds beyond its own making: (type, text), oldest first."""
        messages = self.server.call("GET", f"/v1/agents/{agent_id}/messages?limit=100&order=asc")
        ours = [message for message in messages if "#" in (message.get("otid") or "")]
        return [(message["message_type"], str(message["content"])) for message in ours]

    def prompts(self, agent_id: str) -> list[str]:
        return [text for kind, text in self.received(agent_id) if kind == "user_message"]


def until(is_so: Callable[[], bool], *, within_s: float) -> None:
    """Wait for a condition, within a bound."""
    end = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < end, f"not so within {within_s} s"
        time.sleep(0.2)


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
