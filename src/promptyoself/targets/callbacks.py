"""Posting to callers' URLs over aiohttp, to no address that was not judged a moment before.

The name is looked up once a request, every address is judged, and the connection goes to one of those very addresses:
a name that changes its mind between look and use (DNS rebinding) changes nothing. Redirects are not followed, no proxy
or .netrc is read, the answer's body is not, and no connection is used twice.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from promptyoself.domain import limits
from promptyoself.domain.addresses import Allowed, CallbackUrl, Ip, first_refusal
from promptyoself.domain.callbacks import NotPosted, Posted, PostResult

TIMEOUT_S = limits.CALLBACK_TIME_MAX.total_seconds()
LookUp = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses that a name stands for. Raises OSError."""


class RefusedAddressError(OSError):
    """A name stands for an address that callbacks must not go to."""


class HttpPoster:
    """Posts callbacks. Opened on first use, inside the event loop that uses it."""

    def __init__(self, allowed: Allowed, *, look_up: LookUp | None = None) -> None:
        self._allowed = allowed
        # Threads of its own: look-ups that hang must not take those that write the database.
        self._threads = ThreadPoolExecutor(limits.CALLBACKS_AT_ONCE, thread_name_prefix="callback-dns")
        self._look_up = look_up or partial(_addresses_of, self._threads)
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: CallbackUrl, body: bytes, headers: Mapping[str, str]) -> PostResult:
        """Post once, within CALLBACK_TIME_MAX."""
        literal = url.literal
        why = None if literal is None else first_refusal(url.host, [literal], self._allowed)
        if why is not None:  # aiohttp asks no resolver about an address
            return NotPosted(why, is_final=True)
        try:
            async with self._opened().post(
                URL(url.url, encoded=True), data=body, headers=dict(headers), allow_redirects=False
            ) as response:
                return Posted(response.status)
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            return _not_posted(exc)

    async def close(self) -> None:
        """Close every connection. A look-up that hangs is left to end by itself."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=JudgingResolver(self._look_up, self._allowed),
                use_dns_cache=False,
                force_close=True,
                limit=limits.CALLBACKS_AT_ONCE,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                headers={"User-Agent": "promptyoself"},
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


class JudgingResolver(AbstractResolver):
    """Looks a name up once, and gives out its addresses only when every one of them may be posted to."""

    def __init__(self, look_up: LookUp, allowed: Allowed) -> None:
        self._look_up = look_up
        self._allowed = allowed

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002  aiohttp's signature
    ) -> list[ResolveResult]:
        """Return the judged addresses. Raises RefusedAddressError, and OSError when the name is not known."""
        addresses: list[Ip] = [ip_address(text) for text in await self._look_up(host, port)]
        why = first_refusal(host.lower().removesuffix("."), addresses, self._allowed)
        if why is not None:
            raise RefusedAddressError(why)
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,  # noqa: PLR2004  IP's own
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Do nothing."""


async def _addresses_of(threads: ThreadPoolExecutor, host: str, port: int) -> Sequence[str]:
    find = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(threads, find)
    return [str(address[4][0]) for address in found]


def _not_posted(exc: Exception) -> NotPosted:
    """Say why, without the exception's text: it quotes the URL, which may be somebody's secret."""
    cause: BaseException | None = exc
    for _ in range(limits.CALLBACK_ATTEMPTS_MAX):
        if cause is None:
            break
        if isinstance(cause, RefusedAddressError):
            return NotPosted(str(cause), is_final=True)
        cause = getattr(cause, "os_error", None) or cause.__cause__
    match exc:
        case TimeoutError():
            return NotPosted(f"no answer within {TIMEOUT_S:.0f} s")
        case aiohttp.ClientConnectorDNSError():
            return NotPosted("its name is not known")
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return NotPosted("its certificate is not valid, or TLS failed")
        case aiohttp.ClientConnectorError():
            return NotPosted("nobody listens there")
        case _:
            return NotPosted(f"the connection broke ({type(exc).__name__})")
