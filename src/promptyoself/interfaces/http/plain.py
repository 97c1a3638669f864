"""Plain requests, read and answered without h11: most are, and its care took a quarter of a creation's processor time.

Plain is less than h11 takes, never more: HTTP/1.1, a head that comes in one piece and has every line written in the one
usual way, a short body of an announced length, no wish as to the connection. A plain answer comes in one piece with its
length. Whatever is not plain is h11's, and so is the answer to a plain request when it is not plain itself: h11 is then
shown what has come (connection.py). Decision 0027.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, RequestResponseCycle

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn._types import ASGISendEvent

HEAD_BYTES_MAX: Final = 8 * 1024
BODY_BYTES_MAX: Final = 64 * 1024
"""No more than uvicorn keeps of a body before it stops to read: a plain one is taken as it comes."""

_FIELD: Final = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+: ?(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?\r\n"
_HEAD: Final = re.compile(rb"([A-Z]{1,20}) (/[\x21-\x7e]*) HTTP/1\.1\r\n(?=[^\r])((?:" + _FIELD + rb")+)\r\n")
_PAIR: Final = re.compile(rb"([^:]+): ?([^\r]*)\r\n")
_NEVER_PLAIN: Final = frozenset({b"transfer-encoding", b"upgrade", b"expect", b"http2-settings"})
_LENGTH_DIGITS_MAX: Final = 5
_OK: Final = 200
_WITHOUT_BODY: Final = frozenset({204, 205, 304})


class Head(NamedTuple):
    """The head of a plain request."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    """Names in small letters."""
    size: int
    """Bytes of the head."""
    length: int
    """Bytes of the body."""


def read_head(data: bytes) -> Head | None:
    """Return the head of the plain request with which `data` begins; None when h11 has to look at it."""
    found = _HEAD.match(data, 0, HEAD_BYTES_MAX)
    if found is None:
        return None
    headers = [(name.lower(), value) for name, value in _PAIR.findall(found[3])]
    length, hosts, lengths = 0, 0, 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"content-length":
            if not value.isdigit() or len(value) > _LENGTH_DIGITS_MAX:
                return None
            length, lengths = int(value), lengths + 1
        elif name in _NEVER_PLAIN or (name == b"connection" and value.lower() != b"keep-alive"):
            return None
    if hosts != 1 or lengths > 1 or length > BODY_BYTES_MAX:
        return None
    return Head(found[1].decode("ascii"), found[2], headers, found.end(), length)


class PlainCycle(RequestResponseCycle):
    """One plain request, from the end of its head to the end of its answer."""

    def __init__(self, *args: Any, head: Head, on_difficult: Callable[[], None], **given: Any) -> None:  # noqa: ANN401  uvicorn's own arguments
        super().__init__(*args, **given)
        self.left = head.length
        """Bytes of the body that are still to come."""
        self.seen = bytearray()
        """All that has come of the request, for h11."""
        self._on_difficult = on_difficult
        self._begun: ASGISendEvent | None = None
        """The beginning of an answer, kept until it is known that the rest comes in one piece."""
        self._is_plain = True

    def feed(self, body: bytes) -> None:
        """Take more of the body, `left` bytes at most."""
        self.left -= len(body)
        if self._is_plain and not self.response_complete:
            self.seen += body
            self.body += body
            self.more_body = self.left > 0
            self.message_event.set()

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the answer."""
        if not self._is_plain or self.response_complete:
            await super().send(message)
            return
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if self._begun is None and message["type"] == "http.response.start" and _length_of(message) is not None:
            self._begun = message
            self.response_started = True
            return
        answer = self._answer(message)
        if answer is None:
            await self._give_to_h11(message)
            return
        self.transport.write(answer)
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _answer(self, message: Any) -> bytes | None:  # noqa: ANN401  one of many kinds of messages
        """Return the whole answer; None when it is not plain."""
        begun: Any = self._begun
        if begun is None or message["type"] != "http.response.body" or message.get("more_body", False):
            return None
        status, body = begun["status"], message.get("body", b"")
        has_body = self.scope["method"] != "HEAD" and status >= _OK and status not in _WITHOUT_BODY
        if not has_body or _length_of(begun) != len(body):
            return None
        fields = [*self.default_headers, *begun["headers"]]
        lines = [b"%b: %b\r\n" % field for field in fields]
        head = b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, STATUS_PHRASES[status], b"".join(lines))
        # What would end a line, or a text, before its time: h11 refuses it.
        is_sound = head.count(b"\n") == head.count(b"\r") == len(fields) + 2 and b"\0" not in head
        return head + body if is_sound else None

    async def _give_to_h11(self, message: ASGISendEvent) -> None:
        self._is_plain = False
        self._on_difficult()
        if self._begun is not None:
            self.response_started = False
            await super().send(self._begun)
        await super().send(message)


def _length_of(start: Any) -> int | None:  # noqa: ANN401  as above
    """Return what the beginning of an answer says of its body; None when h11 has to see to how it ends."""
    length = None
    for name, value in start.get("headers", ()):
        if name == b"content-length" and length is None and value.isdigit():
            length = int(value)
        elif name in {b"content-length", b"transfer-encoding", b"connection"}:
            return None
    return length
