"""The whole circle: an agent of a real Letta schedules itself, and later receives its own prompt. Nobody names it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from promptyoself.application.attaching import TOOL_NAMES
from promptyoself.domain.secret import Secret
from promptyoself.targets.letta_attach_tool import source_of
from promptyoself.targets.own_service import OwnService
from tests.letta.desk import APART, PROGRAM, Desk, until
from tests.letta_server.server import LettaServer

pytestmark = pytest.mark.letta


class Circle(Desk):
    """A person whose agents are to schedule themselves."""

    def forget(self) -> None:
        """Delete what a run that broke off has left at Letta: it knows one tool of a name, for all its agents."""
        for one in self.server.call("GET", "/v1/mcp-servers/"):
            self.server.call("DELETE", f"/v1/mcp-servers/{one['id']}")
        names = "&".join(f"names={name}" for name in TOOL_NAMES)
        for one in self.server.call("GET", f"/v1/tools/?{names}"):
            self.server.call("DELETE", f"/v1/tools/{one['id']}")

    def agent_with_its_own(self, name: str) -> str:
        tool = self.server.call("PUT", "/v1/tools/", {"source_code": _OWN_TOOL})
        return self.server.create_agent(name, tool_ids=[tool["id"]], secrets={"OWN_KEY": "own value"})

    def kill_at(self, line: str, *arguments: str) -> None:
        """Run a command, and end it by SIGKILL as soon as it tells a step that begins with `line`."""
        # On a terminal, and only there, each step is told as it is done.
        reader, writer = os.openpty()
        process = subprocess.Popen([*PROGRAM, *arguments], env=self.environ, stdout=writer, stderr=writer)
        os.close(writer)
        with open(reader, "rb", buffering=0) as told:  # noqa: PTH123  a descriptor
            said = b""
            while not any(one.startswith(line) for one in said.decode(errors="replace").splitlines()):
                said += told.read(4096)
        process.kill()
        process.wait(timeout=10)

    def live_tokens(self) -> list[int]:
        return [one["id"] for one in self.run("token", "list")["tokens"] if one["name"] == "letta attach"]

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
    made = Circle(letta_server, tmp_path)
    made.forget()
    return made


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
    with circle.serving() as service:
        url = service.url
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
        assert service.call("GET", "/api/v1/schedules", bearer=token)[0] == 401
        token = circle.holdings(agent)[1]["PROMPTYOSELF_TOKEN"]
        assert service.call("GET", "/api/v1/schedules", bearer=token)[0] == 200

        detached = circle.run("letta", "detach", "--agent-id", agent)
        assert (set(detached["tools"]), detached["deleted_tools"]) == (set(TOOL_NAMES), [])
        assert circle.holdings(agent) == before
        assert service.call("GET", "/api/v1/schedules", bearer=token)[0] == 401
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


@APART
def test_where_letta_takes_our_address_an_agent_schedules_itself_by_mcp(circle: Circle) -> None:
    agent = circle.agent_with_its_own("circle-mcp")
    before = circle.holdings(agent)
    with circle.serving() as service:
        url = service.url
        attached = circle.run("letta", "attach", "--agent-id", agent, "--url", url)
        assert (attached["via"], set(attached["tools"]), attached["mcp_refused"]) == ("mcp", set(TOOL_NAMES), None)
        assert_arrives(circle, agent)
        (server,) = circle.server.call("GET", "/v1/mcp-servers/")
        assert server["custom_headers"] == {"Authorization": "Bearer {{ PROMPTYOSELF_TOKEN }}"}
        circle.run("letta", "detach", "--agent-id", agent)
    assert circle.holdings(agent) == before
    assert circle.server.call("GET", "/v1/mcp-servers/") == []


@APART
def test_a_letta_with_a_proxy_token_speaks_for_each_of_its_agents_and_for_no_other(circle: Circle) -> None:
    with circle.serving() as service:
        token = circle.run("token", "create", "--letta-proxy", "--name", "the Letta")["token"]
        config = {
            "mcp_server_type": "streamable_http",
            "server_url": f"{service.url}/mcp",
            "custom_headers": {"Authorization": f"Bearer {token}"},
        }
        made = circle.server.call("POST", "/v1/mcp-servers/", {"server_name": "by-proxy", "config": config})
        tools = circle.server.call("GET", f"/v1/mcp-servers/{made['id']}/tools")
        assert {tool["name"] for tool in tools} == set(TOOL_NAMES)
        one, other = (circle.server.create_agent(name, tool_ids=[tool["id"] for tool in tools]) for name in "ab")
        assert_arrives(circle, one)
        assert "next_runs" in circle.tell(other, "schedule_prompt", prompt=f"{other} waters plants", when="in 1 hour")
        (mine,) = circle.schedules(other)
        assert mine["created_by"].startswith(f"{other} via mcp, token ")
        assert "waters plants" not in circle.tell(one, "list_my_schedules", include_finished=True)
        assert "waters plants" in circle.tell(other, "list_my_schedules")
        assert "not found" in circle.tell(one, "cancel_schedule", schedule_id=mine["id"])
        assert circle.schedules(other)[0]["state"] == "active"
    circle.forget()


@APART
@pytest.mark.parametrize("via", ["tools", "mcp"])
def test_an_attaching_killed_at_any_step_is_brought_to_its_end_or_undone(circle: Circle, via: str) -> None:
    agent = circle.agent_with_its_own(f"killed-{via}")
    before = circle.holdings(agent)
    with circle.serving() as service:
        command = ("letta", "attach", "--agent-id", agent, "--url", service.url, "--via", via)
        circle.kill_at("Letta has", *command)
        assert len(circle.live_tokens()) == 1, "it was killed in the middle, with a token that nobody revoked"
        assert circle.run("letta", "detach", "--agent-id", agent)["revoked_tokens"]
        assert circle.holdings(agent) == before
        assert_nothing_is_left(circle)
        circle.kill_at("Agent ", *command)
        attached = circle.run(*command)
        assert len(attached["revoked_tokens"]) == 1
        assert circle.live_tokens() == [attached["token_id"]]
        circle.run("letta", "detach", "--agent-id", agent)
        assert circle.holdings(agent) == before
        assert_nothing_is_left(circle)


def assert_nothing_is_left(circle: Circle) -> None:
    assert circle.live_tokens() == []
    assert circle.server.call("GET", "/v1/mcp-servers/") == []
    assert not {tool["name"] for tool in circle.server.call("GET", "/v1/tools/?limit=500")} & set(TOOL_NAMES)


@APART
def test_secrets_of_the_agent_s_own_by_our_names_are_left_alone(circle: Circle) -> None:
    own = {"PROMPTYOSELF_TOKEN": "of another program", "PROMPTYOSELF_URL": "of another program"}
    agent = circle.server.create_agent("own-secrets", secrets=own)
    before = circle.holdings(agent)
    with circle.serving() as service:
        refused = circle.refused("letta", "attach", "--agent-id", agent, "--url", service.url)
        assert "not written over" in refused["error"]
        assert "nothing to undo" in circle.run("letta", "detach", "--agent-id", agent)["message"]
    assert circle.holdings(agent) == before
    assert_nothing_is_left(circle)
