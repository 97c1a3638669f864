"""Asks promptyoself from inside Letta's sandbox. This module's source stands in front of each custom tool.

It is written for a process that is not ours: any Python since 3.9, the standard library alone, no function within a
function (Letta takes the innermost for the tool). That process's environment also holds Letta's own settings, so
nothing of it is ever repeated: neither the text of an exception, nor an address.
"""

from __future__ import annotations

import json
import os
import threading
from http.client import HTTPConnection, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit


def ask_promptyoself(tool: str, arguments: dict[str, Any], literals: set[str], timeout_s: float, bytes_max: int) -> str:
    """Return what promptyoself answers to one call of a tool, or a sentence that begins with `Failed:`.

    `literals` names arguments that are numbers, truth values or lists, and may come as text. It waits `timeout_s`
    seconds in all, and reads `bytes_max` bytes.
    """
    if not os.environ.get("PROMPTYOSELF_URL") or not os.environ.get("PROMPTYOSELF_TOKEN"):
        return "Failed: this agent is not attached to promptyoself. Its operator can run: promptyoself letta attach"
    given = {name: _literal(value) if name in literals else value for name, value in arguments.items()}
    call = {"name": tool, "arguments": {name: value for name, value in given.items() if value is not None}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}).encode()
    # A thread, for a timeout of a socket bounds each wait and not the whole.
    is_sent = threading.Event()
    outcome: list[tuple[int, bytes]] = []
    thread = threading.Thread(target=_post, args=(body, timeout_s, bytes_max, is_sent, outcome), daemon=True)
    thread.start()
    thread.join(timeout_s)
    if outcome:
        return _said(*outcome[0])
    if is_sent.is_set():
        return (
            "Failed: promptyoself gave no answer in time, so it is not known whether this was carried out. "
            "Look with list_my_schedules before trying again."
        )
    return (
        "Failed: promptyoself cannot be reached, so nothing was changed. Its service may be down. "
        "Go on without it, and try again later."
    )


def _post(
    body: bytes, timeout_s: float, bytes_max: int, is_sent: threading.Event, outcome: list[tuple[int, bytes]]
) -> None:
    """Send it once, and leave status and payload in `outcome`. No proxy, no redirect: neither may learn the token."""
    headers = {
        "Authorization": "Bearer " + os.environ["PROMPTYOSELF_TOKEN"],
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }
    try:
        parts = urlsplit(os.environ["PROMPTYOSELF_URL"])
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
        connection.connect()
        is_sent.set()
        connection.request("POST", parts.path.rstrip("/") + "/mcp", body, headers)
        response = connection.getresponse()
        outcome.append((response.status, response.read(bytes_max)))
    except Exception:  # noqa: BLE001  a thread's traceback would show the address and more
        return


def _said(status: int, payload: bytes) -> str:
    """Return an answer's text."""
    try:
        lines = [line[5:] for line in payload.splitlines() if line.startswith(b"data:")]
        answer = json.loads(lines[-1] if lines else payload)
        error = answer.get("error")
        if error or status != 200:  # noqa: PLR2004  HTTP's own number
            why = error["message"] if isinstance(error, dict) else error or answer["detail"]
            return "Failed: promptyoself refused. " + str(why)
        text = "\n".join(part["text"] for part in answer["result"]["content"] if part.get("type") == "text")
        return "Failed: " + text if answer["result"].get("isError") else text
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return (
            f"Failed: promptyoself gave an answer that cannot be read (HTTP {status}), so it is not known whether this "
            "was carried out. Look with list_my_schedules before trying again."
        )


def _literal(value: Any) -> Any:  # noqa: ANN401  JSON
    """Return what a text stands for, or the text."""
    try:
        return json.loads(value.lower() if value in {"True", "False"} else value)
    except (TypeError, ValueError):
        return value
