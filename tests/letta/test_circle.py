"""The whole circle: an agent of a real Letta schedules itself, and later receives its own prompt. Nobody names it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from promptyoself.application.attaching import TOOL_NAMES
from promptyoself.domain.secret import Secret
from promptyoself.targets.letta_attach_tool import source_of
from promptyoself.targets.own_service import OwnService
from tests.letta.test_main_job import Desk, until
from tests.letta_server.server import LettaServer

pytestmark = pytest.mark.letta

_LISTENING = re.compile(r"serve\.listening url=(\S+)")


class Circle(Desk):
    """A person who has a Letta and runs the service beside it."""

    @contextmanager
    def serving(self) -> Iterator[str]:
        """A running `promptyoself serve`, ended by SIGTERM; gives its URL."""
        log = self.db.parent / "serve.log"
        command = [sys.executable, "-m", "promptyoself", "serve", "--port", "0"]
        with log.open("w") as stderr:
            process = subprocess.Popen(command, env=self.environ, stdout=subprocess.DEVNULL, stderr=stderr)
        try:
            until(lambda: _LISTENING.search(log.read_text()) is not None, within_s=60)
            found = _LISTENING.search(log.read_text())
            assert found is not None
            until(lambda: status_of(f"{found[1]}/healthz") == 200, within_s=60)
            yield found[1]
        finally:
            process.terminate()
            process.wait(timeout=60)

    def agent_with_its_own(self, name: str) -> str:
        tool = self.server.call("PUT", "/v1/tools/", {"source_code": _OWN_TOOL})
        return self.server.create_agent(name, tool_ids=[tool["id"]], secrets={"OWN_KEY": "own value"})

    def holdings(self, agent: str) -> tuple[set[str], dict[str, str]]:
        """The agent's tools by name, and its secrets."""
        found = self.server.call("GET", f"/v1/agents/{agent}?include=agent.tools&include=agent.secrets")
        return {one["name"] for one in found["tools"]}, {one["key"]: one["value"] for one in found["secrets"]}

    def tell(self, agent: str, tool: str, **arguments: Any) -> str:  # noqa: ANN401  JSON
        """Tell the agent; its stub model calls the tool. Returns what the tool gave back to the model."""
        message = {"role": "user", "content": f"CALL_TOOL:{tool}:{json.dumps(arguments)}"}
        answer = self.server.call("POST", f"/v1/agents/{agent}/messages", {"messages": [message]})
        (returned,) = [one for one in answer["messages"] if one["message_type"] == "tool_return_message"]
        return str(returned["tool_return"])

    def schedules(self, agent: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.run("list", "--all", "--agent-id", agent)["schedules"]
        return found


_OWN_TOOL = '''
def circle_own_tool() -> str:
    """Do something of the agent's own."""
    return "done"
'''


@pytest.fixture
def circle(letta_server: LettaServer, tmp_path: Path) -> Circle:
    return Circle(letta_server, tmp_path)


def status_of(url: str, token: str | None = None) -> int:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310  ours, on loopback
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        refused.close()
        return refused.code
    except urllib.error.URLError:
        return 0


def assert_arrives(circle: Circle, agent: str) -> None:
    """The agent schedules itself by a tool, and gets its own prompt, verbatim."""
    prompt = '{"note": "tea", "cups": [1, 2]} 🍵 it\'s "late"'
    said = circle.tell(agent, "schedule_prompt", prompt=prompt, when="in 2 seconds", name="tea time")
    assert "next_runs" in said
    until(lambda: "delivered" in circle.states(agent), within_s=60)
    assert circle.prompts(agent)[-1] == prompt
    schedule = circle.schedules(agent)[-1]
    assert (schedule["agent_id"], schedule["name"], schedule["state"]) == (agent, "tea time", "completed")
    assert schedule["created_by"].startswith(f"{agent} via mcp, token ")


def test_on_an_unpatched_letta_an_agent_schedules_itself_by_custom_tools(circle: Circle) -> None:
    agent, other = circle.agent_with_its_own("circle"), circle.agent_with_its_own("circle-other")
    before = circle.holdings(agent)
    with circle.serving() as url:
        attached = circle.run("letta", "attach", "--agent-id", agent, "--url", url)
        assert (attached["via"], set(attached["tools"])) == ("tools", set(TOOL_NAMES))
        assert "not public" in attached["mcp_refused"]
        tools, secrets = circle.holdings(agent)
        token = secrets["PROMPTYOSELF_TOKEN"]
        assert tools == before[0] | set(TOOL_NAMES)
        assert secrets == before[1] | {"PROMPTYOSELF_TOKEN": token, "PROMPTYOSELF_URL": url}
        assert_arrives(circle, agent)

        # Another agent's is nobody's, and what a model puts into an argument is never run.
        circle.run("letta", "attach", "--agent-id", other, "--url", url, "--via", "tools")
        ours = circle.schedules(agent)[-1]["id"]
        assert circle.tell(other, "cancel_schedule", schedule_id=ours).startswith("Failed:")
        for stolen in ("__import__('os').environ", "$PROMPTYOSELF_TOKEN"):
            leaked = circle.tell(other, "preview_schedule", when=stolen, count=stolen, schedule_id=stolen)
            assert leaked.startswith("Failed:")
            assert not re.search(r"pys_|postgresql://|LETTA_PG_URI|OPENAI", leaked)

        assert_letta_reads_the_sources(circle, url, token)
        again = circle.run("letta", "attach", "--agent-id", agent, "--url", url)
        assert again["revoked_tokens"] == [attached["token_id"]]
        assert status_of(f"{url}/api/v1/schedules", token) == 401
        token = circle.holdings(agent)[1]["PROMPTYOSELF_TOKEN"]
        assert status_of(f"{url}/api/v1/schedules", token) == 200

        detached = circle.run("letta", "detach", "--agent-id", agent)
        assert (set(detached["tools"]), detached["deleted_tools"]) == (set(TOOL_NAMES), [])
        assert circle.holdings(agent) == before
        assert status_of(f"{url}/api/v1/schedules", token) == 401
    said = circle.tell(other, "schedule_prompt", prompt="x", when="in 1 hour")
    assert said.startswith("Failed: promptyoself cannot be reached, so nothing was changed")
    assert set(circle.run("letta", "detach", "--agent-id", other)["deleted_tools"]) == set(TOOL_NAMES)


def assert_letta_reads_the_sources(circle: Circle, url: str, token: str) -> None:
    """Somebody who edits a tool at Letta has its schema made anew from the source: it has to say the same."""
    for tool in OwnService().tools(url, Secret(token)):
        made = circle.server.call("PUT", "/v1/tools/", {"source_code": source_of(tool)})["json_schema"]
        told: Any = tool.parameters["properties"]
        assert made["name"] == tool.name
        assert made["description"].split() == tool.description.split()
        assert made["parameters"]["properties"].keys() == told.keys()


@pytest.mark.letta_alone(local_mcp=True)
def test_where_letta_takes_our_address_an_agent_schedules_itself_by_mcp(circle: Circle) -> None:
    agent = circle.agent_with_its_own("circle-mcp")
    before = circle.holdings(agent)
    with circle.serving() as url:
        attached = circle.run("letta", "attach", "--agent-id", agent, "--url", url)
        assert (attached["via"], set(attached["tools"]), attached["mcp_refused"]) == ("mcp", set(TOOL_NAMES), None)
        assert_arrives(circle, agent)
        (server,) = circle.server.call("GET", "/v1/mcp-servers/")
        assert server["custom_headers"] == {"Authorization": "Bearer {{ PROMPTYOSELF_TOKEN }}"}
        circle.run("letta", "detach", "--agent-id", agent)
    assert circle.holdings(agent) == before
    assert circle.server.call("GET", "/v1/mcp-servers/") == []
