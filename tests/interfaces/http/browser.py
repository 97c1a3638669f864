"""A real Chromium, driven over its own debugging protocol: no driver, no library but the HTTP client we have."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WHY_NOT = "Chromium is not installed (apt-get install chromium)"
_WITHIN_S = 20
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._calls = 0
        self.errors: list[str] = []
        """What the page complained of: exceptions, and what its policy refused."""

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401  the protocol's words
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": parameters})
        async with asyncio.timeout(_WITHIN_S):
            while True:
                message = json.loads(await self._socket.receive_str())
                self._note(message)
                if message.get("id") == self._calls:
                    assert "error" not in message, message
                    result: dict[str, Any] = message["result"]
                    return result

    def _note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(parameters["exceptionDetails"]))
        elif message.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.errors.append(parameters["entry"]["text"] + " " + parameters["entry"].get("url", ""))

    async def go(self, url: str) -> None:
        for domain in ("Runtime", "Log", "Page"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=url)

    async def eval(self, script: str) -> Any:  # noqa: ANN401  whatever the script answers
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, script: str) -> Any:  # noqa: ANN401  whatever the script answers
        """Return what a script answers as soon as that is true; the page itself looks at each frame of its own."""
        wait = (
            "new Promise((tell, fail) => { const end = Date.now() + 10000; const look = () => { let found; "
            f"try {{ found = ({script}); }} catch {{ found = null; }} "
            "if (found) tell(found); else if (Date.now() > end) fail(new Error(document.body.innerText)); "
            "else setTimeout(look, 20); }; look(); })"
        )
        return await self.eval(wait)

    async def has(self, text: str) -> None:
        await self.until(f"document.body.innerText.includes({json.dumps(text)})")

    async def press(self, name: str) -> None:
        """Press the button that is called so, by its text or its label, as soon as it is there."""
        wanted = json.dumps(name)
        await self.until(
            "(() => { const one = [...document.querySelectorAll('button, a, summary')].find((each) => !each.disabled "
            "&& each.offsetParent !== null && (each.getAttribute('aria-label') || each.textContent.trim()) "
            f"=== {wanted}); "
            "if (one) one.click(); return Boolean(one); })()"
        )

    async def write(self, name: str, text: str) -> None:
        """Type into the field of this name."""
        field = f"document.querySelector('[name={name}]')"
        await self.until(f"{field} !== null")
        await self.eval(f"{field}.focus(); {field}.select?.(); true")
        await self.call("Input.insertText", text=text)


@asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Page]:
    """Start a browser with a fresh profile in `folder`, and end it."""
    assert CHROMIUM is not None
    process = subprocess.Popen(  # noqa: ASYNC220  it returns at once
        [CHROMIUM, *_FLAGS, f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        port = await asyncio.wait_for(asyncio.to_thread(_port, process), _WITHIN_S)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                (target,) = [one for one in await answer.json() if one["type"] == "page"]
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Page(socket)
    finally:
        process.terminate()
        await asyncio.to_thread(process.communicate, timeout=_WITHIN_S)


def _port(process: subprocess.Popen[bytes]) -> int:
    """Return the port that Chromium says it listens on."""
    assert process.stderr is not None
    for line in process.stderr:
        if b"DevTools listening on ws://" in line:
            return int(line.split(b"://")[1].split(b"/")[0].rsplit(b":", 1)[1])
    raise AssertionError("Chromium ended before it listened")
