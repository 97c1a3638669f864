"""Whether it is alive, and whether it can do its work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptyoself import __version__

if TYPE_CHECKING:
    from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Add /healthz."""
    app.add_api_route("/healthz", healthz, methods=["GET"], include_in_schema=False)


async def healthz() -> dict[str, str]:
    """Answer, which is all that liveness means: the event loop turns."""
    return {"status": "ok", "version": __version__}
