"""Where a request may be passed on to: a path below /v1 of one Letta server, exactly as the caller wrote it.

The path is forwarded undecoded, so that Letta reads what its client wrote. What a server might read as another path
than we do (dot segments, empty segments, backslashes, control characters, however escaped) is refused before anything
leaves.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from promptyoself.domain.errors import InvalidInput, TargetRefused

PREFIX: Final = "/v1"
_VISIBLE: Final = re.compile(rb"[\x21-\x7e]*")
_STRANGE: Final = re.compile(rb"[\x00-\x1f\x7f\\]")
_DOTS: Final = frozenset({b".", b".."})
"""Also before a `;`: some servers take off what follows it before they resolve dots."""
_DECODINGS_MAX: Final = 3
"""Rounds of unescaping that a path is looked at in: a proxy before Letta may take one off."""


def target(base_url: str, raw_path: bytes, query: bytes) -> str:
    """Return the URL to ask at Letta. Raises InvalidInput for a path that does not plainly lie below /v1."""
    if not _VISIBLE.fullmatch(raw_path + query) or b"#" in raw_path + query:
        raise InvalidInput("the path or the query holds characters that a URL cannot have", hint="escape them as %XX")
    looked_at = raw_path
    for _ in range(_DECODINGS_MAX):
        _check(looked_at)
        looked_at = unquote_to_bytes(looked_at)
    _check(looked_at)
    path = raw_path.decode("ascii")
    return f"{base_url}{path}?{query.decode('ascii')}" if query else f"{base_url}{path}"


def location(base_url: str, given: str) -> str:
    """Return a redirect of Letta's as a path of ours. Raises TargetRefused when it leads anywhere but below its /v1."""
    base = urlsplit(base_url)
    try:
        to = urlsplit(given)
    except ValueError:
        to = urlsplit("?")
    # A Letta behind a proxy that speaks TLS for it says http, and may leave out the proxy's path: both are below it.
    is_letta = given.startswith("/") if not to.scheme and not to.netloc else to.netloc.lower() == base.netloc.lower()
    is_letta = is_letta and to.scheme.lower() in {"", "http", "https"}
    path = to.path.removeprefix(base.path) if is_letta else ""
    try:
        moved = target("", path.encode(), to.query.encode())
    except InvalidInput:
        raise TargetRefused(
            "Letta answered with a redirect that leads outside its /v1, which is not passed on",
            hint="check LETTA_BASE_URL: the address itself may have moved",
        ) from None
    return moved


def _check(path: bytes) -> None:
    first, *segments = path.split(b"/")
    plain = first == b"" and segments[:1] == [PREFIX[1:].encode()]
    if (
        not plain
        or _STRANGE.search(path)
        or any(one.partition(b";")[0] in _DOTS for one in segments)
        or b"" in segments[:-1]
    ):
        raise InvalidInput("the path does not plainly lie below /v1", hint="write it without dots, // and backslashes")
