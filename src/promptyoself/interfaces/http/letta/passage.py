"""The passage to Letta: what is below /v1 and not ours goes to the Letta server and back as it is.

Nothing of ours is added (no key, no cookie, no X-Forwarded header), nothing is unpacked or kept in memory: both bodies
stream, piece by piece, at the pace of the slower side. Redirects are handed back, not followed. Who hangs up ends the
request at Letta; a Letta that breaks off in the middle breaks off the answer, so that no client takes half for whole.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from promptyoself.domain import limits
from promptyoself.domain.errors import PromptyoselfError, TargetError, TargetUnreachable
from promptyoself.interfaces.http.letta import headers, paths
from promptyoself.interfaces.http.letta.answers import refuse
from promptyoself.interfaces.http.letta.incoming import Incoming
from promptyoself.interfaces.http.letta.requests import body_length, check_passing, is_length_said, raw_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterable

    import aiohttp
    from starlette.types import Message, Receive, Scope, Send

    from promptyoself.interfaces.http.letta.reception import Reception

_KEEPALIVE_S: Final = 3.0
"""Letta (uvicorn) closes an idle connection after 5 s: ours must go first, or a request meets a closed one."""
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_GATEWAY_TIMEOUT: Final = 504
_NO_AUTO_HEADERS: Final = frozenset({"Accept", "Accept-Encoding", "Content-Type", "User-Agent"})


class Passage:
    """An ASGI application in front of one Letta server. Connections are opened on first use; `close` ends them."""

    def __init__(
        self,
        base_url: str,
        reception: Reception,
        *,
        connect_s: float = limits.PASSAGE_CONNECT_S,
        idle_s: float = limits.PASSAGE_IDLE_S,
    ) -> None:
        """`connect_s` bounds the way to a connection, `idle_s` the silence of either side."""
        self._base_url = base_url.rstrip("/")
        self._reception = reception
        self._connect_s = connect_s
        self._idle_s = idle_s
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it with a sentence."""
        try:
            check_passing(scope)
            url = paths.target(self._base_url, raw_path(scope), scope["query_string"])
            length = body_length(scope)
            await self._reception.check_passing(scope)
        except PromptyoselfError as error:
            await refuse(send, error, is_last=True)
            return
        incoming = Incoming(receive, idle_s=self._idle_s)
        answer = _Answer(send, self._base_url, idle_s=self._idle_s)
        body = None if length == 0 else incoming.chunks()
        try:
            await _with_caller(self._exchange(scope, url, body, length, answer), incoming.pump())
        except PromptyoselfError as error:
            await answer.fail(error, is_repeatable=isinstance(error, TargetUnreachable) or scope["method"] in _SAFE)
        except TimeoutError:
            silent = TargetError("Letta was silent for too long", hint="it may have acted all the same")
            await answer.fail(silent, is_repeatable=scope["method"] in _SAFE, status=_GATEWAY_TIMEOUT)

    async def close(self) -> None:
        """Close every connection to Letta."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _exchange(
        self, scope: Scope, url: str, body: AsyncIterator[bytes] | None, length: int | None, answer: _Answer
    ) -> None:
        """Ask Letta and hand its answer back. Raises kin of TargetError, and TimeoutError for silence."""
        import aiohttp
        from multidict import CIMultiDict
        from yarl import URL

        fields = CIMultiDict(headers.to_letta(scope["headers"]))
        if length is not None and is_length_said(scope):
            fields["Content-Length"] = str(length)
        try:
            async with self._opened().request(
                scope["method"], URL(url, encoded=True), headers=fields, data=body, allow_redirects=False
            ) as letta:
                await answer.begin(letta.status, letta.raw_headers)
                async for piece in letta.content.iter_any():
                    await answer.go_on(piece)
            await answer.end()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise TargetUnreachable("Letta cannot be reached", hint="see that it runs, and try again") from None
        except TimeoutError:
            raise  # one that aiohttp takes for an error of the connection, too
        except (aiohttp.ClientError, ConnectionError):
            raise TargetError("Letta broke off before it had answered", hint="it may have acted all the same") from None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=limits.PASSAGE_CONNECTIONS_MAX, keepalive_timeout=_KEEPALIVE_S, ttl_dns_cache=10
                ),
                # One jar for all would hand one caller's cookies to the next.
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=self._connect_s, sock_connect=self._connect_s, sock_read=self._idle_s
                ),
                auto_decompress=False,
                skip_auto_headers=_NO_AUTO_HEADERS,
                max_line_size=limits.PASSAGE_HEADER_BYTES_MAX,
                max_field_size=limits.PASSAGE_HEADER_BYTES_MAX,
            )
        return self._session


class _Answer:
    """What goes back to the caller."""

    def __init__(self, send: Send, base_url: str, *, idle_s: float) -> None:
        self._send = send
        self._base_url = base_url
        self._idle_s = idle_s
        self._is_begun = False

    async def begin(self, status: int, raw_headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Hand status and headers back. Raises TargetRefused for a redirect that leads elsewhere."""
        fields = [
            (name, paths.location(self._base_url, value.decode("latin-1")).encode() if name == b"location" else value)
            for name, value in headers.from_letta(raw_headers)
        ]
        self._is_begun = True
        await self._hand({"type": "http.response.start", "status": status, "headers": fields})

    async def go_on(self, piece: bytes) -> None:
        """Hand a piece of the body back, at once."""
        await self._hand({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """Say that the answer is whole."""
        await self._hand({"type": "http.response.body", "body": b""})

    async def fail(self, error: PromptyoselfError, *, is_repeatable: bool, status: int | None = None) -> None:
        """Answer with a sentence; an answer that has begun is left torn, which its reader sees as an error."""
        if not self._is_begun:
            await refuse(self._send, error, is_repeatable=is_repeatable, status=status)

    async def _hand(self, message: Message) -> None:
        async with asyncio.timeout(self._idle_s):
            await self._send(message)


async def _with_caller(exchange: Coroutine[object, object, None], pump: Coroutine[object, object, None]) -> None:
    """Run an exchange beside the pump of its request; whichever ends first ends the other.

    Raises what the exchange raises, and TimeoutError when Letta stops taking the body. A caller who is gone ends it in
    silence.
    """
    tasks = asyncio.ensure_future(exchange), asyncio.ensure_future(pump)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        exchanged, pumped = await asyncio.gather(*tasks, return_exceptions=True)
    if isinstance(exchanged, Exception):
        raise exchanged
    if isinstance(pumped, TimeoutError):
        raise pumped
