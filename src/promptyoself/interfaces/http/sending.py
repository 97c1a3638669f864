"""How documents leave: as the JSON that every other door writes."""

from __future__ import annotations

from starlette.responses import Response

from promptyoself.interfaces import wire


class Json(Response):
    """A document in ASCII, as `wire.dumps` writes it: whatever text is in it, it can be sent."""

    media_type = "application/json"

    def render(self, content: wire.Document) -> bytes:
        """Return the bytes of the body."""
        return wire.dumps(content).encode("ascii")
