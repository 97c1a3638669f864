"""What a custom tool does inside Letta's sandbox: it calls us, says what we said, and gives nothing else away."""

from __future__ import annotations

import ast
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from promptyoself.application.attaching import TOOL_NAMES, TRIED
from promptyoself.domain import limits
from promptyoself.domain.errors import TargetRefused
from promptyoself.domain.ports_attach import AgentTool
from promptyoself.interfaces.identity import Identity
from promptyoself.interfaces.mcp.arguments import schema_of as schema_of_arguments
from promptyoself.interfaces.mcp.tools import TOOLS
from promptyoself.targets.letta_attach_tool import schema_of, source_of

TOKEN = "pys_" + "t" * 43
AN_AGENT = Identity(owner="agent-1", means="token 1")
TOOL = AgentTool(
    name="schedule_prompt",
    description='Schedule "a prompt".\n\nA rule is \\d, or """this""".',
    parameters={
        "type": "object",
        "properties": {
            "prompt": {"type": "string", "description": "the text"},
            "schedule_id": {"type": "integer", "description": "its number"},
            "include": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            "clear": {"type": "array", "items": {"type": "string"}, "description": "what to take\naway"},
            "target": {"type": "string", "enum": ["letta", "inbox"], "description": "where"},
        },
        "required": ["prompt"],
    },
)


def said(text: str, *, is_error: bool = False) -> bytes:
    result = {"content": [{"type": "text", "text": text}], "isError": is_error}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()


class Service:
    """A promptyoself that answers as it is told, and keeps what it was sent."""

    def __init__(self) -> None:
        self.status, self.body = 200, said("Scheduled.")
        self.headers: dict[str, str] = {}
        self.seen: list[tuple[str, dict[str, str], Any]] = []
        self.pace: Callable[[], None] | None = None
        self.done = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
                del format, args

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                service.seen.append((self.path, dict(self.headers), json.loads(raw)))
                service.answer(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(self.status)
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(self.body)))
        handler.end_headers()
        for byte in self.body if self.pace else ():
            if self.done.wait(0.05):
                return
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
        if not self.pace:
            handler.wfile.write(self.body)

    @property
    def arguments(self) -> dict[str, Any]:
        call: dict[str, Any] = self.seen[-1][2]
        assert (call["method"], call["params"]["name"]) == ("tools/call", "schedule_prompt")
        given: dict[str, Any] = call["params"]["arguments"]
        return given


@contextmanager
def running(service: Service) -> Iterator[Service]:
    thread = threading.Thread(target=service.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield service
    finally:
        service.done.set()
        service.server.shutdown()
        service.server.server_close()
        thread.join()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with running(Service()) as made:
        monkeypatch.setenv("PROMPTYOSELF_URL", made.url)
        monkeypatch.setenv("PROMPTYOSELF_TOKEN", TOKEN)
        yield made


def tool(source: str | None = None) -> Callable[..., str]:
    """Run the source as Letta's sandbox does, and return its tool."""
    monkey = pytest.MonkeyPatch()
    try:
        monkey.setitem(sys.modules, "letta", sys)  # what it does to this name is for Letta's process alone
        names: dict[str, Any] = {"__name__": "sandbox"}
        exec(compile(source or source_of(TOOL), "tool", "exec"), names)  # noqa: S102  as Letta does
    finally:
        monkey.undo()
    made: Callable[..., str] = names["schedule_prompt"]
    return made


def test_it_sends_what_it_was_given_verbatim_with_the_agents_token(service: Service) -> None:
    prompt = '{"a": 1} "quoted" \\n $HOME <b>ü</b> 🍵\nsecond line'
    assert tool()(prompt=prompt) == "Scheduled."
    path, headers, _ = service.seen[0]
    assert (path, headers["Authorization"]) == ("/mcp", f"Bearer {TOKEN}")
    assert service.arguments == {"prompt": prompt}, "what is not given is not sent"


def test_texts_that_stand_for_numbers_truth_and_lists_are_turned_back(service: Service) -> None:
    tool()(prompt="7", schedule_id="7", include="True", clear='["name"]')
    assert service.arguments == {"prompt": "7", "schedule_id": 7, "include": True, "clear": ["name"]}
    tool()(prompt="true", schedule_id=7, include=False, clear=["name"])
    assert service.arguments == {"prompt": "true", "schedule_id": 7, "include": False, "clear": ["name"]}
    tool()(prompt="x", schedule_id="the seventh", include="perhaps")
    assert service.arguments == {"prompt": "x", "schedule_id": "the seventh", "include": "perhaps"}


def test_a_service_behind_a_path_is_called_there(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTYOSELF_URL", f"{service.url}/prompts")
    tool()(prompt="x")
    assert service.seen[0][0] == "/prompts/mcp"


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (200, said("--when names no day", is_error=True), "Failed: --when names no day"),
        (200, b"event: message\r\ndata: " + said("Scheduled.") + b"\r\n\r\n", "Scheduled."),
        (401, b'{"error": "the token is revoked; ask an operator", "code": "unauthenticated"}',
         "Failed: promptyoself refused. the token is revoked; ask an operator"),
        (400, b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32600, "message": "Bad Request"}}',
         "Failed: promptyoself refused. Bad Request"),
        (403, b'{"detail": "another origin"}', "Failed: promptyoself refused. another origin"),
    ],
)  # fmt: skip
def test_what_the_service_says_reaches_the_model_as_text(service: Service, status: int, body: bytes, text: str) -> None:
    service.status, service.body = status, body
    assert tool()(prompt="x") == text


@pytest.mark.parametrize(
    "body", [b"<html>Bad Gateway</html>", b"", b"[]", b'{"result": {}}', b'{"result": {"content": 7}}']
)
@pytest.mark.parametrize("status", [200, 502])
def test_an_answer_of_something_else_is_a_sentence_too(service: Service, body: bytes, status: int) -> None:
    service.status, service.body = status, body
    assert "cannot be read" in tool()(prompt="x")


def test_a_service_that_is_down_is_a_sentence_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(Service()) as gone:
        pass
    monkeypatch.setenv("PROMPTYOSELF_URL", gone.url)
    monkeypatch.setenv("PROMPTYOSELF_TOKEN", TOKEN)
    assert tool()(prompt="x").startswith("Failed: promptyoself cannot be reached, so nothing was changed")


def test_an_answer_that_trickles_is_given_up_in_time_and_not_called_undone(service: Service) -> None:
    """It takes seconds in all, and no single wait is long."""
    service.pace = lambda: None
    bounded = source_of(TOOL).replace(f"{limits.TOOL_CALL_FOR.total_seconds()!r},", "0.3,")
    assert "it is not known whether this was carried out" in tool(bounded)(prompt="x")


def test_a_redirect_and_a_proxy_learn_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(Service()) as other:
        monkeypatch.setenv("HTTP_PROXY", other.url)
        monkeypatch.setenv("http_proxy", other.url)
        service.status, service.headers = 307, {"Location": f"{other.url}/mcp"}
        assert tool()(prompt="x").startswith("Failed:")
        assert other.seen == []


def test_an_agent_that_was_never_attached_is_told_what_its_operator_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMPTYOSELF_URL", raising=False)
    monkeypatch.delenv("PROMPTYOSELF_TOKEN", raising=False)
    assert "promptyoself letta attach" in tool()(prompt="x")


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://[", "ftp://x", "not a url", "http://\x00"])
def test_no_failure_repeats_what_the_environment_holds(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    if "\x00" in url:
        url = "http://127.0.0.1:1/\n"
    monkeypatch.setenv("PROMPTYOSELF_URL", url)
    monkeypatch.setenv("PROMPTYOSELF_TOKEN", f"{TOKEN}\nX: y")
    monkeypatch.setenv("LETTA_PG_URI", "postgresql://letta:hidden@db/letta")
    answer = tool()(
        prompt="$LETTA_PG_URI {os.environ} __import__('os').environ", schedule_id="__import__('os').environ"
    )
    assert answer.startswith("Failed:")
    for secret in (TOKEN, "hidden", url):
        assert secret not in answer


def test_arguments_are_data_for_letta_whatever_they_hold() -> None:
    """Letta pastes arguments of type number, array or object into its script unquoted."""
    properties: Any = schema_of(TOOL)["parameters"]
    assert {spec["type"] for spec in properties["properties"].values()} == {"string"}


def test_the_schema_is_the_doors_with_what_letta_can_take() -> None:
    assert schema_of(TOOL) == {
        "name": "schedule_prompt",
        "description": TOOL.description,
        "parameters": {
            "type": "object",
            "properties": {
                "prompt": {"type": "string", "description": "the text"},
                "schedule_id": {"type": "string", "description": "its number (a whole number)"},
                "include": {"type": "string", "description": "include (true or false)"},
                "clear": {"type": "string", "description": "what to take away (a list, as JSON)"},
                "target": {"type": "string", "description": "where", "enum": ["letta", "inbox"]},
            },
            "required": ["prompt"],
        },
    }


def test_the_source_is_plain_python_of_the_standard_library_with_the_tool_last() -> None:
    tree = ast.parse(source_of(TOOL))
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name) or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert {name.partition(".")[0] for name in imported} <= set(sys.stdlib_module_names)
    # Letta takes the last function that it meets, walking the tree by its depth, for the tool.
    functions = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert functions[-1] == "schedule_prompt"
    (made,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == functions[-1]]
    assert ast.get_docstring(made, clean=True) == (
        f"{TOOL.description}\n\nArgs:\n    prompt (str): the text\n    schedule_id (str): its number (a whole number)\n"
        "    include (str): include (true or false)\n    clear (str): what to take away (a list, as JSON)\n"
        "    target (str): where\n\nReturns:\n    str: What promptyoself says."
    )


@pytest.mark.parametrize("name", ["class", "agent_id", "two words", "x=1):\n  import os\ndef y("])
def test_a_name_that_no_function_can_have_is_refused(name: str) -> None:
    for strange in (TOOL.__class__(name=name, description="", parameters={}),
                    TOOL.__class__(name="fine", description="", parameters={"properties": {name: {}}})):  # fmt: skip
        with pytest.raises(TargetRefused):
            source_of(strange)


def test_every_tool_of_the_mcp_door_can_be_a_custom_tool_and_detach_knows_its_name() -> None:
    for tool in TOOLS:
        parameters = schema_of_arguments(tool.parameters_for(AN_AGENT))
        made = AgentTool(name=tool.name, description=tool.help, parameters=parameters)
        told: Any = schema_of(made)["parameters"]
        assert told["properties"].keys() == parameters["properties"].keys()
        compile(source_of(made), tool.name, "exec")
    assert {tool.name for tool in TOOLS} == set(TOOL_NAMES)
    assert TRIED in TOOL_NAMES
