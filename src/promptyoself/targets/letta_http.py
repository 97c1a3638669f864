"""The wire to a Letta server: one request, one value back, and never an exception but cancellation.

What matters to a scheduler is the phase in which a request broke. Prompts go out on connections of their own, never on
one left open: a failure to connect then proves that nothing was sent, and any later one leaves doubt.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import aiohttp

from promptyoself.domain.values import dataclass
from promptyoself.targets.letta_settings import LettaSettings

ANSWER_BYTES_MAX = 32 * 1024 * 1024
EVENT_LINES_MAX = 1000
"""Lines of a stream read in search of its first run id."""
KEEPALIVE_S = 3.0
"""Letta (uvicorn) closes an idle connection after 5 s: ours must go first, or a request meets a closed one."""
RETRY_AFTER_S_MAX = 3600


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with a status. `value` is its JSON, None when it holds none; `at` is the server's own clock."""

    status: int
    value: object
    at: datetime | None = None
    retry_after: timedelta | None = None

    @property
    def mapping(self) -> dict[str, Any]:
        """The JSON object, or an empty one."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> list[dict[str, Any]]:
        """The JSON objects of a list, or none."""
        return [item for item in self.value if isinstance(item, dict)] if isinstance(self.value, list) else []


@dataclass(frozen=True, slots=True)
class Broken:
    """No answer. `was_sent` False: surely nothing left here. `is_down`: nobody listens there any more."""

    detail: str
    was_sent: bool
    is_down: bool = False
    is_withheld: bool = False
    """True: a prompt that was not to go any more when its turn came. Its body never left."""


class _Prompt(aiohttp.BytesPayload):
    """A body that asks, once its connection stands, whether it may still go; nothing is waited for after that."""

    def __init__(self, body: object, may_go: Callable[[], Awaitable[bool]]) -> None:
        super().__init__(_encoded(body), content_type="application/json")
        self._may_go = may_go
        self.is_withheld = False

    async def write_with_length(self, writer: aiohttp.abc.AbstractStreamWriter, content_length: int | None) -> None:
        """Write it, or raise ClientConnectionError without having written."""
        if not await self._may_go():
            self.is_withheld = True
            raise aiohttp.ClientConnectionError("withheld")
        await super().write_with_length(writer, content_length)


class LettaHttp:
    """Connections to one Letta server. Opened on first use, inside the event loop that uses it."""

    def __init__(self, settings: LettaSettings) -> None:
        self._settings = settings
        self._asking: aiohttp.ClientSession | None = None
        self._sending: aiohttp.ClientSession | None = None
        self.downs = 0
        """How often the server was seen to be down, by anyone: what it was doing then may be lost."""

    async def ask(
        self, method: str, path: str, *, body: object = None, timeout_s: float | None = None
    ) -> Reply | Broken:
        """Make a request that changes no agent; the whole of it takes `timeout_s` (default: read_timeout_s)."""
        if self._asking is None:
            self._asking = self._session(aiohttp.TCPConnector(limit=100, keepalive_timeout=KEEPALIVE_S))
        data = None if body is None else _encoded(body)
        return await self._request(self._asking, method, path, data, timeout_s or self._settings.read_timeout_s)

    async def send(
        self, path: str, body: object, *, timeout_s: float, may_go: Callable[[], Awaitable[bool]]
    ) -> Reply | Broken:
        """POST a prompt on a connection of its own, if it still may go when that stands."""
        prompt = _Prompt(body, may_go)
        return _or_withheld(prompt, await self._request(self._sender(), "POST", path, prompt, timeout_s))

    async def send_for_event(
        self, path: str, body: object, *, timeout_s: float, may_go: Callable[[], Awaitable[bool]]
    ) -> Reply | Broken:
        """POST a prompt as `send`; return its stream's first event with a run id, or the answer that is no stream.

        Then the stream is left: a background run goes on without its reader.
        """
        prompt = _Prompt(body, may_go)
        return _or_withheld(prompt, await self._first_event_of(path, prompt, timeout_s))

    async def _first_event_of(self, path: str, prompt: _Prompt, timeout_s: float) -> Reply | Broken:
        try:
            async with self._open(self._sender(), "POST", path, prompt, timeout_s) as response:
                if response.status == 200 and response.content_type == "text/event-stream":  # noqa: PLR2004  HTTP's own
                    return _reply(response, await _first_event(response.content))
                return self._counted(await _read(response))
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            return self._counted(_broken(exc))

    async def close(self) -> None:
        """Close every connection."""
        for session in (self._asking, self._sending):
            if session is not None:
                await session.close()
        self._asking = self._sending = None

    async def _request(
        self, session: aiohttp.ClientSession, method: str, path: str, data: bytes | _Prompt | None, timeout_s: float
    ) -> Reply | Broken:
        try:
            async with self._open(session, method, path, data, timeout_s) as response:
                return self._counted(await _read(response))
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            return self._counted(_broken(exc))

    def _counted(self, outcome: Reply | Broken) -> Reply | Broken:
        is_gateway = isinstance(outcome, Reply) and outcome.status in {502, 503} and not outcome.mapping
        if is_gateway or (isinstance(outcome, Broken) and outcome.is_down):
            self.downs += 1
        return outcome

    def _open(
        self, session: aiohttp.ClientSession, method: str, path: str, data: bytes | _Prompt | None, timeout_s: float
    ) -> aiohttp.client._RequestContextManager:
        timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(self._settings.connect_timeout_s, timeout_s))
        headers = {} if data is None else {"Content-Type": "application/json"}
        return session.request(
            method, self._settings.base_url + path, data=data, headers=headers, timeout=timeout, allow_redirects=False
        )

    def _sender(self) -> aiohttp.ClientSession:
        if self._sending is None:
            self._sending = self._session(aiohttp.TCPConnector(limit=0, force_close=True))
        return self._sending

    def _session(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        # trust_env False: neither a proxy variable nor a .netrc may redirect prompts or keys.
        return aiohttp.ClientSession(
            connector=connector, headers=self._settings.headers, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        )


def _encoded(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode(errors="replace")


def _or_withheld(prompt: _Prompt, outcome: Reply | Broken) -> Reply | Broken:
    if not prompt.is_withheld:
        return outcome
    return Broken("it was not to go any more", was_sent=False, is_withheld=True)


def segment(text: str) -> str:
    """Quote `text` as one segment or one query value of a URL."""
    return quote(text, safe="")


def instant(text: object) -> datetime | None:
    """Read an instant as Letta writes it; one without a zone is UTC. None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


async def _read(response: aiohttp.ClientResponse) -> Reply:
    body = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            raise aiohttp.ClientPayloadError("the answer is too long")
    try:
        value = json.loads(bytes(body))
    except ValueError:
        value = None
    return _reply(response, value)


async def _first_event(content: aiohttp.StreamReader) -> dict[str, Any]:
    """Read up to the first event that names a run. A stream without one broke: its answer is lost."""
    for _ in range(EVENT_LINES_MAX):
        line = await content.readline()
        if not line:
            break
        if line.startswith(b"data: {"):
            event = json.loads(line[len(b"data: ") :])
            if isinstance(event, dict) and isinstance(event.get("run_id"), str):
                return event
    raise aiohttp.ClientPayloadError("the stream ended before it named its run")


def _reply(response: aiohttp.ClientResponse, value: object) -> Reply:
    try:
        at = parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        at = None
    pause = response.headers.get("Retry-After", "")
    seconds = min(int(pause), RETRY_AFTER_S_MAX) if pause.isascii() and pause.isdigit() else None
    return Reply(response.status, value, at, None if seconds is None else timedelta(seconds=seconds))


def _broken(exc: Exception) -> Broken:
    """Say in which phase it broke. No text of the exception is kept but its kind: it may quote a URL or a body."""
    detail = type(exc).__name__
    match exc:
        case aiohttp.ClientConnectorError():
            number = exc.os_error.errno
            detail = os.strerror(number) if number and number > 0 else type(exc.os_error).__name__
            return Broken(detail, was_sent=False, is_down=isinstance(exc.os_error, ConnectionError))
        case aiohttp.ConnectionTimeoutError():
            return Broken("no connection in time", was_sent=False)
        case aiohttp.InvalidURL():
            return Broken(detail, was_sent=False)
        case TimeoutError():
            return Broken("no answer in time", was_sent=True)
        case _:
            return Broken(detail, was_sent=True)
