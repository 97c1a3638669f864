"""The protocol as it goes over HTTP, spoken by hand: both eras, garbage, and what is refused at the door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from promptyoself.interfaces.http.app import Parts, make_app
from tests.interfaces.mcp_world import AGENT, Keeper
from tests.interfaces.world import FakeServices

URL = "http://127.0.0.1:8289/mcp"
MODERN = "2026-07-28"
HANDSHAKES = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
HEADERS = {
    "Authorization": f"Bearer {AGENT}",
    "Accept": "application/json, text/event-stream",
    "Content-Type": "application/json",
}
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "by hand", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


@pytest.fixture
def services(tmp_path: Path) -> Iterator[FakeServices]:
    made = FakeServices(tmp_path)
    yield made
    made.close()


@asynccontextmanager
async def served(services: FakeServices) -> AsyncIterator[httpx2.AsyncClient]:
    """The whole application, as `serve` has it."""
    app = make_app(Parts(services=services, gatekeeper=Keeper()))
    transport = httpx2.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, headers=HEADERS) as client:
        yield client


def asked(services: FakeServices, scene: Any) -> Any:  # noqa: ANN401  what the scene answers
    async def play() -> Any:  # noqa: ANN401  as above
        async with served(services) as client:
            made: Coroutine[Any, Any, Any] = scene(client)
            return await made

    return asyncio.run(play())


def request(method: str, params: dict[str, Any] | None = None, request_id: object = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params or {}}


def call(name: str, **arguments: object) -> dict[str, Any]:
    return request("tools/call", {"name": name, "arguments": arguments})


def modern(method: str, params: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    """A request of 2026-07-28: whole in itself, with its method and name in headers as well."""
    headers = {"Mcp-Protocol-Version": MODERN, "Mcp-Method": method}
    if params and "name" in params:
        headers["Mcp-Name"] = params["name"]
    return request(method, (params or {}) | {"_meta": META}), headers


@pytest.mark.parametrize("version", HANDSHAKES)
def test_clients_of_every_handshake_are_served_without_a_session(services: FakeServices, version: str) -> None:
    async def scene(client: httpx2.AsyncClient) -> None:
        hello = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
        opened = await client.post(URL, json=request("initialize", hello))
        result = opened.json()["result"]
        assert result["protocolVersion"] == version
        assert result["serverInfo"]["name"] == "promptyoself"
        assert "schedule_prompt" in result["instructions"]
        assert "mcp-session-id" not in opened.headers
        headers = {"Mcp-Protocol-Version": version}
        told = await client.post(URL, json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=headers)
        assert told.status_code == 202
        tools = await client.post(f"{URL}/", json=request("tools/list"), headers=headers)
        assert len(tools.json()["result"]["tools"]) == 14
        made = await client.post(URL, json=call("schedule_prompt", prompt="x", when="in 1 hour"), headers=headers)
        assert made.json()["result"]["isError"] is False

    asked(services, scene)


def test_a_request_of_2026_needs_no_handshake(services: FakeServices) -> None:
    async def scene(client: httpx2.AsyncClient) -> None:
        body, headers = modern("server/discover")
        found = (await client.post(URL, json=body, headers=headers)).json()["result"]
        assert found["supportedVersions"] == [MODERN]
        body, headers = modern("tools/list")
        listed = (await client.post(URL, json=body, headers=headers)).json()["result"]
        assert listed["cacheScope"] == "private", "the list differs between agents and operators"
        assert len(listed["tools"]) == 14
        arguments = {"prompt": "x", "when": "in 1 hour"}
        body, headers = modern("tools/call", {"name": "schedule_prompt", "arguments": arguments})
        made = (await client.post(URL, json=body, headers=headers)).json()["result"]
        assert made["structuredContent"]["schedule_id"] == 1

    asked(services, scene)


@pytest.mark.parametrize("path", ["", "/"])
def test_nobody_is_told_so_where_clients_look_for_it(services: FakeServices, path: str) -> None:
    async def scene(client: httpx2.AsyncClient) -> None:
        del client.headers["Authorization"]
        refused = await client.post(f"{URL}{path}", json=request("tools/list"))
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert refused.json()["error"]["message"] == (
            "no token came with the request; send Authorization: Bearer and a token"
        )

    asked(services, scene)


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "OPTIONS", "HEAD"])
def test_only_post_is_spoken(services: FakeServices, method: str) -> None:
    async def scene(client: httpx2.AsyncClient) -> None:
        refused = await client.request(method, URL)
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")

    asked(services, scene)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8289"},
        {"Host": "127.0.0.1.evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example", "Origin": "http://evil.example"},
    ],
)
@pytest.mark.parametrize("path", ["", "/"])
def test_a_foreign_name_or_page_is_refused_and_not_repeated(
    services: FakeServices, headers: dict[str, str], path: str
) -> None:
    async def scene(client: httpx2.AsyncClient) -> None:
        refused = await client.post(
            f"{URL}{path}", json=call("schedule_prompt", prompt="x", when="in 1 h"), headers=headers
        )
        assert refused.status_code == 403
        assert "evil" not in refused.text + str(refused.headers)

    asked(services, scene)


GARBAGE: list[bytes] = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"7",
    b'"text"',
    json.dumps([request("tools/list"), request("tools/list", request_id=2)]).encode(),
    b"[" * 100_000,
    b'{"jsonrpc":"2.0","id":' + b"9" * 10_000 + b',"method":"ping"}',
    b'{"jsonrpc":"2.0","id":{"a":1},"method":"tools/list"}',
    b'{"jsonrpc":"1.0","id":1,"method":"tools/list"}',
    b'{"jsonrpc":"2.0","id":1,"result":{}}',
    b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[]}',
    b'\xff\xfe{"jsonrpc"',
]


@pytest.mark.parametrize("version", ["", MODERN, "1999-01-01"])
def test_garbage_is_refused_in_the_protocols_own_words(services: FakeServices, version: str) -> None:
    async def scene(client: httpx2.AsyncClient) -> None:
        headers = {"Mcp-Protocol-Version": version} if version else {}
        for body in GARBAGE:
            refused = await client.post(URL, content=body, headers=headers)
            assert refused.status_code < 500, (body[:60], refused.text[:200])
            if refused.content and refused.status_code == 200:
                assert "result" not in refused.json(), (body[:60], refused.text[:200])
            assert "Traceback" not in refused.text
            assert "pydantic" not in refused.text
            assert "validation error" not in refused.text.lower(), refused.text[:200]
        # And nothing is the worse for it.
        assert (await client.post(URL, json=request("tools/list"))).json()["result"]["tools"]

    asked(services, scene)


def test_what_is_no_json_or_wants_none_is_refused(services: FakeServices) -> None:
    async def scene(client: httpx2.AsyncClient) -> None:
        body = request("tools/list")
        assert (await client.post(URL, json=body, headers={"Accept": "text/html"})).status_code == 406
        assert (await client.post(URL, content=b"x=1", headers={"Content-Type": "text/plain"})).status_code == 400
        large = await client.post(URL, content=b"x" * (4 * 1024 * 1024 + 1))
        assert large.status_code == 413

    asked(services, scene)


@pytest.mark.parametrize("request_id", ["", "a" * 10_000, 0, -1, 2**63, "1"])
def test_an_answer_bears_the_id_of_its_request(services: FakeServices, request_id: object) -> None:
    async def scene(client: httpx2.AsyncClient) -> None:
        answered = (await client.post(URL, json=request("ping", request_id=request_id))).json()
        assert answered == {"jsonrpc": "2.0", "id": request_id, "result": {}}

    asked(services, scene)


def test_arguments_that_are_no_object_are_read_or_refused_as_a_tool_would(services: FakeServices) -> None:
    async def scene(client: httpx2.AsyncClient) -> None:
        for arguments, expected in (
            ('{"prompt": "x", "when": "in 1 hour"}', "Prompt scheduled with ID 1"),
            ("", "needs `prompt` and `when`"),
            ("{", "no argument 'arguments'"),
            ([1], "no argument 'arguments'"),
            (7, "no argument 'arguments'"),
        ):
            for body, headers in (
                (request("tools/call", {"name": "schedule_prompt", "arguments": arguments}), {}),
                modern("tools/call", {"name": "schedule_prompt", "arguments": arguments}),
            ):
                result = (await client.post(URL, json=body, headers=headers)).json()["result"]
                text = result["content"][0]["text"].replace("ID 2", "ID 1")
                assert expected in text

    asked(services, scene)


def test_an_unknown_prompt_or_method_is_the_protocols_error(services: FakeServices) -> None:
    async def scene(client: httpx2.AsyncClient) -> None:
        unknown = (await client.post(URL, json=request("prompts/get", {"name": "x"}))).json()["error"]
        assert "use_time_well" in unknown["message"]
        for method in ("resources/list", "no/such"):
            assert (await client.post(URL, json=request(method))).json()["error"]["code"] == -32601, method

    asked(services, scene)


def test_a_cancelled_notice_of_a_call_that_is_over_harms_nobody(services: FakeServices) -> None:
    async def scene(client: httpx2.AsyncClient) -> None:
        notice = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        for version in (HANDSHAKES[-1], MODERN):
            told = await client.post(URL, json=notice, headers={"Mcp-Protocol-Version": version})
            assert told.status_code == 202
        assert (await client.post(URL, json=call("list_my_schedules"))).json()["result"]["isError"] is False

    asked(services, scene)
