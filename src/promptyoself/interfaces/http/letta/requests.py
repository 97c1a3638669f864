"""What a request to the passage says of itself: its path, the length of its body, and what bars its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from promptyoself.domain.errors import Forbidden, InvalidInput
from promptyoself.interfaces.http.letta import headers

if TYPE_CHECKING:
    from starlette.types import Scope

_LENGTH_DIGITS_MAX: Final = 18


def raw_path(scope: Scope) -> bytes:
    """Return the path as the caller wrote it, escapes and all."""
    written = scope.get("raw_path")
    return bytes(written) if written else quote(scope["path"]).encode("ascii")


def body_length(scope: Scope) -> int | None:
    """Return how many bytes the body has, None when it says so as it comes. Raises InvalidInput for two answers.

    Servers that disagree on where a body ends are what request smuggling lives on: one header decides, once.
    """
    lengths = _values(scope, b"content-length")
    is_chunked = bool(_values(scope, b"transfer-encoding"))
    if len(lengths) > 1 or (lengths and is_chunked):
        raise InvalidInput("the request says twice how long its body is", hint="send one Content-Length")
    if is_chunked:
        return None
    if not lengths:
        return 0
    if not lengths[0].isdigit() or len(lengths[0]) > _LENGTH_DIGITS_MAX:
        raise InvalidInput("the Content-Length is not a number", hint="send the body's length in bytes")
    return int(lengths[0])


def is_length_said(scope: Scope) -> bool:
    """Return whether the request has a Content-Length, be it 0."""
    return bool(_values(scope, b"content-length"))


def check_passing(scope: Scope) -> None:
    """Raise kin of PromptyoselfError for what never goes on to Letta: our own tokens, and a change of protocol."""
    if headers.holds_own_token(scope["headers"], raw_path(scope) + b"?" + scope["query_string"]):
        raise Forbidden(
            "a token of promptyoself's own opens nothing at Letta, and is not passed on",
            hint="send Letta's key or password here; the token is good for /v1/agents/{agent_id}/schedule and /api/v1",
        )
    if _values(scope, b"upgrade"):
        raise InvalidInput("WebSockets and other upgrades are not passed on", hint="ask Letta itself, or stream by SSE")


def _values(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]
