"""A stub of an OpenAI-compatible LLM on loopback: chat completions (streamed or not), embeddings, models.

    python stub_llm.py PORT LOG

It answers `stub reply to: <the last user message>`, unless that message holds a marker:

    SLEEP:n                   wait n seconds first
    HTTP:code, HTTP:code*n    answer that status, always or for the first n requests with this very message
    DROP                      close the connection without an answer
    CALL_TOOL:name:{json}     call that tool; once its result is in the conversation, answer with text
    SAY:<text>                answer the rest of the message; NONCE in it becomes that of the newest envelope

Letta's LLM client asks three times before a run fails on 429, 5xx or DROP: `HTTP:500*3` fails one run and no more.

Every chat request becomes a line of JSON in LOG before it is answered: `at` (seconds since 1970), `stream`,
`messages` as they came, `last_user`, `tools` (names), `plan` (what the stub is about to do).
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

MODELS = ("gpt-4.1", "gpt-4o-mini", "text-embedding-3-small")
EMBEDDING_DIMENSIONS = 1536
TOKENS = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
ECHO_CHARS_MAX = 300
SLEEP_S_MAX = 600.0


@dataclass(frozen=True)
class Plan:
    """What the stub will do with one chat request."""

    sleep_s: float = 0.0
    status: int = HTTPStatus.OK
    drops: bool = False
    text: str = ""
    tool: str | None = None
    arguments: str = "{}"


def text_of(content: object) -> str:
    """Return the text of a message's content; Letta wraps some messages in a JSON object of its own."""
    if isinstance(content, list):
        content = " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    text = content if isinstance(content, str) else ""
    if text.startswith("{"):
        try:
            inner = json.loads(text)
        except ValueError:
            return text
        if isinstance(inner, dict) and isinstance(inner.get("message"), str):
            return str(inner["message"])
    return text


def last_user_and_after(messages: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """Return the text of the last user message, and the messages that follow it."""
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].get("role") == "user":
            return text_of(messages[index].get("content")), messages[index + 1 :]
    return "", []


def plan_for(messages: list[dict[str, Any]], *, times_seen: int) -> Plan:
    """Decide the answer; `times_seen` counts earlier requests with this same last user message."""
    text, after = last_user_and_after(messages)
    reply = said_by(text, messages) or f"stub reply to: {text[:ECHO_CHARS_MAX]}"
    if any(message.get("role") == "tool" for message in after):
        return Plan(text=reply)
    sleep = re.search(r"SLEEP:(\d+(?:\.\d+)?)", text)
    sleep_s = min(float(sleep[1]), SLEEP_S_MAX) if sleep else 0.0
    if failure := re.search(r"HTTP:(\d{3})(?:\*(\d+))?", text):
        if failure[2] is None or times_seen < int(failure[2]):
            return Plan(sleep_s=sleep_s, status=int(failure[1]))
    elif "DROP" in text:
        return Plan(sleep_s=sleep_s, drops=True)
    if call := re.search(r"CALL_TOOL:([A-Za-z0-9_-]+):\s*(?={)", text):
        arguments, _ = json.JSONDecoder().raw_decode(text, call.end())
        return Plan(sleep_s=sleep_s, tool=call[1], arguments=json.dumps(arguments))
    return Plan(sleep_s=sleep_s, text=reply)


def said_by(text: str, messages: list[dict[str, Any]]) -> str | None:
    """Return what a `SAY:` marker wants answered, with the nonce that the newest envelope carries."""
    _, marker, wanted = text.partition("SAY:")
    if not marker:
        return None
    nonces = [
        found[-1]
        for message in messages
        if (found := re.findall(r"\[promptyoself ([0-9a-f]+): ", text_of(message.get("content"))))
    ]
    return wanted.replace("NONCE", nonces[-1] if nonces else "none")


class RequestLog:
    """The JSON lines that tests read, and how often each message was seen."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def plan_and_record(self, body: dict[str, Any]) -> Plan:
        messages: list[dict[str, Any]] = body.get("messages") or []
        last_user, _ = last_user_and_after(messages)
        with self._lock:
            plan = plan_for(messages, times_seen=self._seen[last_user])
            self._seen[last_user] += 1
            line = {
                "at": time.time(),
                "stream": bool(body.get("stream")),
                "last_user": last_user,
                "messages": messages,
                "tools": [tool.get("function", {}).get("name") for tool in body.get("tools") or []],
                "plan": {name: value for name, value in vars(plan).items() if value},
            }
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        return plan


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    log: ClassVar[RequestLog]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
        del format, args  # the JSON lines say more

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer(HTTPStatus.OK, {"ok": True})
        elif self.path.split("?")[0].rstrip("/") == "/v1/models":
            models = [
                {"id": name, "object": "model", "created": 1, "owned_by": "stub", "context_length": 128_000}
                for name in MODELS
            ]
            self._answer(HTTPStatus.OK, {"object": "list", "data": models})
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self.path == "/v1/embeddings":
            self._embed(body)
        elif self.path == "/v1/chat/completions":
            self._chat(body)
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def _embed(self, body: dict[str, Any]) -> None:
        texts = body.get("input")
        count = len(texts) if isinstance(texts, list) else 1
        data = [
            {"object": "embedding", "index": index, "embedding": [0.01] * EMBEDDING_DIMENSIONS}
            for index in range(count)
        ]
        self._answer(HTTPStatus.OK, {"object": "list", "data": data, "model": body.get("model"), "usage": TOKENS})

    def _chat(self, body: dict[str, Any]) -> None:
        plan = self.log.plan_and_record(body)
        time.sleep(plan.sleep_s)
        if plan.drops:
            self.close_connection = True
        elif plan.status != HTTPStatus.OK:
            self._refuse(plan.status)
        elif body.get("stream"):
            self._stream(plan, body)
        else:
            self._complete(plan, body)

    def _complete(self, plan: Plan, body: dict[str, Any]) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": plan.text or None}
        if plan.tool:
            message["tool_calls"] = [tool_call(plan)]
        choice = {"index": 0, "message": message, "finish_reason": finish_reason(plan)}
        self._answer(HTTPStatus.OK, completion("chat.completion", body) | {"choices": [choice], "usage": TOKENS})

    def _stream(self, plan: Plan, body: dict[str, Any]) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        head = completion("chat.completion.chunk", body)
        for delta, finish in deltas(plan):
            self._event(head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
        self._event(head | {"choices": [], "usage": TOKENS})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, chunk: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")

    def _refuse(self, status: int) -> None:
        error = {"message": f"stub answers {status}", "type": "stub_error", "code": str(status)}
        self._answer(status, {"error": error})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        payload = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


def completion(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex[:16]}",
        "object": kind,
        "created": int(time.time()),
        "model": body.get("model"),
    }


def tool_call(plan: Plan) -> dict[str, Any]:
    function = {"name": plan.tool, "arguments": plan.arguments}
    return {"id": f"call_{uuid.uuid4().hex[:20]}", "type": "function", "function": function}


def finish_reason(plan: Plan) -> str:
    return "tool_calls" if plan.tool else "stop"


def deltas(plan: Plan) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Yield the pieces of a streamed answer, the last one with its finish reason."""
    yield {"role": "assistant", "content": None if plan.tool else ""}, None
    if plan.tool:
        yield {"tool_calls": [{"index": 0, **tool_call(plan)}]}, None
    for word in re.findall(r"\S+\s*|\s+", plan.text):
        yield {"content": word}, None
    yield {}, finish_reason(plan)


def main() -> None:
    port, log = int(sys.argv[1]), Path(sys.argv[2])
    Handler.log = RequestLog(log)
    ThreadingHTTPServer.request_queue_size = 512  # a thousand agents may wake at nine o'clock
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
