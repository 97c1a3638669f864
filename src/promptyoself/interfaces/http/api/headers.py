"""Headers that mean something here: entity tags, idempotency keys, links to further pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlencode

from fastapi import Header

from promptyoself.domain import limits

if TYPE_CHECKING:
    from fastapi import Request

    from promptyoself.interfaces.wire import Document

_ANY: Final = "*"

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=limits.HTTP_TEXT_CHARS_MAX,
        description="refuse it (412) unless the schedule is still as this `ETag` says; `*` asks that it exists",
    ),
]
IfNoneMatch = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        max_length=limits.HTTP_TEXT_CHARS_MAX,
        description="answer 304 when the schedule is still as this `ETag` says",
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=limits.IDEMPOTENCY_KEY_CHARS_MAX,
        description="the caller's own word for this request, such as a UUID: within 24 h the same request with it "
        "makes nothing new, and is answered again with `Idempotency-Replayed: true`",
    ),
]


def etag(document: Document) -> dict[str, str]:
    """Return the header of a document's tag, if it has one."""
    tag = document.get("etag")
    return {} if tag is None else {"ETag": f'"{tag}"'}


def tags_of(header: str | None) -> str | None:
    """Return the tags of an If-Match or If-None-Match, between commas, as domain/tags.py compares them; None for none.

    A proxy that compresses makes a tag weak (`W/`); the tag itself says exactly what it said.
    """
    if header is None:
        return None
    tags = (one.strip().removeprefix("W/").strip('"') for one in header.split(","))
    return ",".join(tags)


def is_known(header: str | None, document: Document) -> bool:
    """Return whether the caller has this document already."""
    tags = (tags_of(header) or "").split(",") if header is not None else []
    return _ANY in tags or document.get("etag") in tags


def next_page(request: Request, document: Document) -> dict[str, str]:
    """Return the link to the page behind this one, if there is one."""
    cursor = document.get("next_cursor")
    if cursor is None:
        return {}
    query = urlencode(
        [*((key, value) for key, value in request.query_params.items() if key != "cursor"), ("cursor", cursor)]
    )
    return {"Link": f'<{request.url.path}?{query}>; rel="next"'}
