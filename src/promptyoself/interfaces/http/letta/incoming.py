"""A request's body on its way to Letta, and the news that its caller has gone: both come by one ASGI `receive`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive


class Incoming:
    """One request. `pump` alone reads it; `chunks` hands on what came, one piece in hand at a time."""

    def __init__(self, receive: Receive, *, idle_s: float) -> None:
        """`idle_s` bounds how long a piece may wait until Letta takes it."""
        self._receive = receive
        self._idle_s = idle_s
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)

    async def pump(self) -> None:
        """Read until the caller is gone, and return then. Raises TimeoutError when Letta takes nothing any more."""
        is_complete = False
        while (message := await self._receive())["type"] == "http.request":
            if is_complete:
                continue
            if piece := message.get("body", b""):
                await self._put(piece)
            if not message.get("more_body", False):
                is_complete = True
                await self._put(None)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body, piece by piece as it comes."""
        while (piece := await self._pieces.get()) is not None:
            yield piece

    async def _put(self, piece: bytes | None) -> None:
        async with asyncio.timeout(self._idle_s):
            await self._pieces.put(piece)
