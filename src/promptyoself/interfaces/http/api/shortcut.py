"""A shorter way for the one request of which hundreds come in a second: a plain creation.

It does what the route does, through the same functions, without finding the route and without solving dependencies of
which there are none: half of what a creation cost. Whatever is not plain (another header, a body that does not fit, an
address with a query) goes the usual way, where it is refused in the usual words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import ValidationError
from starlette.requests import Request

from promptyoself.domain.errors import InvalidInput, PromptyoselfError
from promptyoself.interfaces.http.api.bodies import RegisterBody
from promptyoself.interfaces.http.api.schedules import AT, register
from promptyoself.interfaces.http.api.strict import read_json
from promptyoself.interfaces.http.asking import asker
from promptyoself.interfaces.http.problem import error_response

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_JSON: Final = b"application/json"
_NOT_PLAIN: Final = frozenset({b"idempotency-key", b"content-encoding", b"transfer-encoding", b"expect"})


def install(app: FastAPI) -> None:
    """Put it before the routes, and within everything that concerns all requests."""
    app.add_middleware(Shortcut)


class Shortcut:
    """Answers plain creations; lets everything else go on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if not _is_plain(scope):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            await asker(request)  # before the body is read, as everywhere
            body = await _body(receive)
            if body is None:
                return
            form = _form_of(body)
            if form is None:
                await self._app(scope, _again(body, receive), send)
                return
            response = await register(request, form)
        except PromptyoselfError as error:
            response = error_response(error, request=request)
        await response(scope, receive, send)


def _is_plain(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["path"] != AT or scope["method"] != "POST" or scope["query_string"]:
        return False
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    return kinds == [_JSON] and not any(name in _NOT_PLAIN for name, _ in scope["headers"])


async def _body(receive: Receive) -> bytes | None:
    """Return the whole body; None when the caller has gone."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _form_of(body: bytes) -> RegisterBody | None:
    """Return what the body asks for; None when the usual way has to say what is wrong with it."""
    try:
        return RegisterBody.model_validate(read_json(body))
    except (InvalidInput, ValidationError, ValueError, RecursionError):
        return None


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what lets the body be read once more."""
    is_read = False

    async def again() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
