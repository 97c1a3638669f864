"""Serves the page's files, each from memory, under a policy that lets nothing in from elsewhere."""

from __future__ import annotations

from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from starlette.responses import RedirectResponse, Response

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
# With trusted types the browser itself refuses to read HTML out of a text: what agents wrote can only ever be text.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = {"content-security-policy": POLICY, "cross-origin-opener-policy": "same-origin"}


def install(app: FastAPI) -> None:
    """Add `/` and the files below `/dashboard/`. They are everybody's: a token is asked for by the API."""
    for file in sorted(files(__package__).joinpath("page").iterdir(), key=lambda one: one.name):
        name, _, ending = file.name.rpartition(".")
        answer = partial(_file, file.read_bytes(), _TYPES[ending])
        place = "/" if name == "index" else f"/dashboard/{file.name}"
        app.add_route(place, answer, methods=["GET"], include_in_schema=False)
    for place in ("/dashboard", "/dashboard/"):
        app.add_route(place, _home, methods=["GET"], include_in_schema=False)


async def _file(content: bytes, kind: str, _request: Request) -> Response:
    return Response(content, headers={**_HEADERS, "content-type": kind})


async def _home(_request: Request) -> Response:
    return RedirectResponse("/", status_code=307)
