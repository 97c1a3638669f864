"""Refusals and failures over HTTP: RFC 9457's problem details, with our `error`, `code` and `hint` as on every door."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from promptyoself.interfaces import wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from promptyoself.domain.errors import PromptyoselfError
    from promptyoself.interfaces.wire import Document

PROBLEM_TYPE: Final = "application/problem+json"


def problem_document(document: Document, *, status: int, detail: str | None = None) -> Document:
    """Return a refusal of wire.py as problem details."""
    title = HTTPStatus(status).phrase if status in _KNOWN else "Error"
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": document["error"] if detail is None else detail,
        **document,
    }


def problem_response(
    message: str, *, status: int, code: str, hint: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a refusal that no exception stands for."""
    return _response(wire.problem(message, code=code, hint=hint), status, message, headers)


def error_response(error: PromptyoselfError, *, headers: Mapping[str, str] | None = None) -> Response:
    """Return what an error of our tree answers."""
    return _response(wire.failure(error), error.http_status, error.message, headers)


def _response(document: Document, status: int, detail: str, headers: Mapping[str, str] | None) -> Response:
    body = json.dumps(problem_document(document, status=status, detail=detail), separators=(",", ":"))
    return Response(body.encode(), status_code=status, headers=dict(headers or {}), media_type=PROBLEM_TYPE)


_KNOWN: Final = frozenset(HTTPStatus)
