"""What `letta attach` finds out about our own service before it touches a Letta."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from promptyoself.domain.errors import InvalidInput, TargetRefused, TargetUnreachable
from promptyoself.domain.secret import Secret
from promptyoself.targets.own_service import OwnService

TOOL = {"name": "why", "description": "Say why.", "inputSchema": {"type": "object", "properties": {}}}
LISTED = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"tools": [TOOL]}}).encode()
HEALTHY = b'{"status": "ok"}'


class Handler(BaseHTTPRequestHandler):
    health: ClassVar[bytes] = HEALTHY
    tools: ClassVar[tuple[int, bytes]] = (200, LISTED)
    seen: ClassVar[list[tuple[str, str | None]]] = []

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
        del format, args

    def do_GET(self) -> None:
        self._answer(200, self.health)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, self.headers["Authorization"]))
        self._answer(*self.tools)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def handler() -> Iterator[tuple[str, type[Any]]]:
    made = type("Made", (Handler,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), made)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", made
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_service_is_found_and_lists_its_tools_for_the_token(handler: tuple[str, type[Any]]) -> None:
    url, made = handler
    assert OwnService().find(f"{url}/") == url
    (tool,) = OwnService().tools(url, Secret("pys_x"))
    assert (tool.name, tool.description, tool.parameters) == ("why", "Say why.", TOOL["inputSchema"])
    assert made.seen == [("/mcp", "Bearer pys_x")]


def test_an_answer_as_an_event_stream_is_read_too(handler: tuple[str, type[Any]]) -> None:
    url, made = handler
    made.tools = 200, b"event: message\r\ndata: " + LISTED + b"\r\n\r\n"
    assert [tool.name for tool in OwnService().tools(url, Secret("pys_x"))] == ["why"]


def test_where_only_letta_knows_the_name_the_service_is_looked_for_on_this_machine(
    handler: tuple[str, type[Any]],
) -> None:
    url, _ = handler
    assert OwnService().find(url.replace("127.0.0.1", "host.invalid")) == url


def test_a_service_that_is_down_or_another_program_says_how_to_start_ours(handler: tuple[str, type[Any]]) -> None:
    url, made = handler
    for health in (b"<html>", b'{"hello": 1}', b"[]"):
        made.health = health
        with pytest.raises(TargetUnreachable) as refused:
            OwnService().find(url)
        assert "promptyoself serve" in str(refused.value.hint)
    with pytest.raises(TargetUnreachable):
        OwnService().find("http://127.0.0.1:1")


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8289", "ftp://x", "http://", "http://u:hidden@x", "http://x?a=1", "http://x#a", "http://x:99999",
            "http://[", "http://x\n", "http://a b"]
)  # fmt: skip
def test_what_is_no_address_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        OwnService().find(url)
    assert "--url" in refused.value.message
    assert "hidden" not in refused.value.message


@pytest.mark.parametrize(
    "tools", [(401, b'{"error": "the token is revoked"}'), (404, b"<html>"), (200, b"{}"), (200, b'{"result": {}}')]
)
def test_a_refusal_to_list_is_one_sentence(handler: tuple[str, type[Any]], tools: tuple[int, bytes]) -> None:
    url, made = handler
    made.tools = tools
    with pytest.raises(TargetRefused):
        OwnService().tools(url, Secret("pys_x"))
