"""Who asks over HTTP: a dependency of every route that is not health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from promptyoself.interfaces.identity import Credentials, Identity

if TYPE_CHECKING:
    from starlette.datastructures import Headers

    from promptyoself.interfaces.http.app import Parts

_SCHEME = "bearer "


def credentials_of(headers: Headers) -> Credentials:
    """Return what a request presents of its sender."""
    authorization = headers.get("authorization", "")
    bearer = authorization[len(_SCHEME) :].strip() if authorization[: len(_SCHEME)].lower() == _SCHEME else ""
    return Credentials(bearer=bearer or None, agent_header=headers.get("x-agent-id"))


async def asker(request: Request) -> Identity:
    """Return who asks. Raises Unauthenticated and Forbidden."""
    parts: Parts = request.app.state.parts
    return await parts.gatekeeper.identify(credentials_of(request.headers))


Asker = Annotated[Identity, Depends(asker)]
