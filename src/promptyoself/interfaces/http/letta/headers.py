"""Which headers pass through, and which stay: those of one connection (RFC 9110, 7.6.1) end at it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

from promptyoself.domain.access import TOKEN_PREFIX

Headers = Iterable[tuple[bytes, bytes]]
"""Names in lower case, as ASGI has them."""

_OF_THE_CONNECTION: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_NOT_ASKED: Final = frozenset({b"host", b"expect", b"content-length"})
"""Host is Letta's own, Expect was answered by the server here, a length is said anew where there is one."""
_NOT_ANSWERED: Final = frozenset({b"date", b"server"})
"""The server here writes its own."""
_OWN_TOKEN: Final = re.compile(TOKEN_PREFIX.encode() + rb"[A-Za-z0-9_-]{8}", re.IGNORECASE)
"""How every token of ours begins; none of Letta's does."""
_BASIC: Final = re.compile(rb"\s*basic\s+([A-Za-z0-9+/=_-]+)\s*", re.IGNORECASE)


def to_letta(headers: Headers) -> list[tuple[str, str]]:
    """Return what of a request's headers goes on to Letta, order and repetitions kept."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in _passing(list(headers), _NOT_ASKED)]


def from_letta(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return what of an answer's headers goes back to the caller, order and repetitions kept."""
    return list(_passing([(name.lower(), value) for name, value in headers], _NOT_ANSWERED))


def holds_own_token(headers: Headers, target: bytes) -> bool:
    """Return whether a token of promptyoself's own is in a header (Basic credentials too), the path or the query."""
    texts = [value for _, value in headers] + [target, unquote_to_bytes(target)]
    texts += [plain for text in texts if (found := _BASIC.fullmatch(text)) for plain in _decoded(found[1])]
    return any(_OWN_TOKEN.search(text) for text in texts)


def _passing(headers: list[tuple[bytes, bytes]], also_not: frozenset[bytes]) -> Iterator[tuple[bytes, bytes]]:
    named = {one.strip().lower() for name, value in headers if name == b"connection" for one in value.split(b",")}
    stays = _OF_THE_CONNECTION | also_not | named
    return ((name, value) for name, value in headers if name not in stays)


def _decoded(text: bytes) -> list[bytes]:
    try:
        return [
            base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_" if b"-" in text or b"_" in text else None)
        ]
    except binascii.Error:
        return []
