"""Refusals in Letta's own form, so that its clients raise the class that fits, with our sentence in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from promptyoself.domain.errors import InvalidInterval, InvalidTimezone, InvalidTrigger
from promptyoself.interfaces import wire
from promptyoself.interfaces.http.letta.wording import in_lettas_words
from promptyoself.interfaces.http.problem import bug

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Send

    from promptyoself.domain.errors import PromptyoselfError

_BAD_RULES: Final = (InvalidTrigger, InvalidInterval, InvalidTimezone)
_RETRIED: Final = frozenset({408, 409, 429})
"""What Letta's clients send again by themselves, as everything from 500 on, unless they are told."""
_BAD_REQUEST: Final = 400
SHOULD_RETRY: Final = b"x-should-retry"


def status_of(error: PromptyoselfError) -> int:
    """Return the HTTP status of a refusal: Letta Cloud answers 400 to a time that is past or a rule that is wrong."""
    return _BAD_REQUEST if isinstance(error, _BAD_RULES) else error.http_status


async def refuse(
    send: Send,
    error: PromptyoselfError,
    *,
    status: int | None = None,
    is_repeatable: bool | None = None,
    is_last: bool = False,
) -> None:
    """Send a refusal as the answer to a request.

    `status` stands in place of the error's own.
    `is_repeatable` tells clients whether the same request may be sent again by itself; None: as its status says.
    `is_last` closes the connection: what follows on it may be the body of what was refused.
    """
    status = status or status_of(error)
    if is_repeatable is None and status in _RETRIED:
        is_repeatable = False  # a conflict or a limit of the guard is still there in a second
    headers = {} if is_repeatable is None else {SHOULD_RETRY: b"true" if is_repeatable else b"false"}
    if is_last:
        headers[b"connection"] = b"close"
    await answer(send, status, {"detail": in_lettas_words(wire.failure(error)["error"]), "code": error.code}, headers)


async def fail(send: Send, error: Exception) -> None:
    """Answer for a bug. It may have been carried out, so no client repeats it by itself."""
    said = json.loads(bytes(bug(error).body))
    await answer(send, said["status"], {"detail": said["error"], "code": said["code"]}, {SHOULD_RETRY: b"false"})


async def answer(
    send: Send, status: int, document: Mapping[str, object], headers: Mapping[bytes, bytes] | None = None
) -> None:
    """Send a JSON document as the answer to a request."""
    body = json.dumps(document, separators=(",", ":")).encode()
    own = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *(headers or {}).items()]})
    await send({"type": "http.response.body", "body": body})
