"""Who asks over HTTP: a dependency of every route that is not health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from promptyoself.interfaces.http.parts import parts_of
from promptyoself.interfaces.identity import Credentials, Identity

if TYPE_CHECKING:
    from starlette.datastructures import Headers

_SCHEME = "bearer "


def credentials_of(headers: Headers) -> Credentials:
    """Return what a request presents of its sender."""
    authorization = headers.get("authorization", "")
    bearer = authorization[len(_SCHEME) :].strip() if authorization[: len(_SCHEME)].lower() == _SCHEME else ""
    return Credentials(bearer=bearer or None, agent_header=headers.get("x-agent-id"))


async def asker(request: Request) -> Identity:
    """Return who asks, found out once a request. Raises Unauthenticated and Forbidden."""
    known: Identity | None = getattr(request.state, "identity", None)
    if known is None:
        known = request.state.identity = await parts_of(request.app).gatekeeper.identify(
            credentials_of(request.headers)
        )
    return known


Asker = Annotated[Identity, Depends(asker)]
