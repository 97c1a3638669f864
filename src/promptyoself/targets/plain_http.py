"""One GET over plain HTTP with sockets alone: http.client brings email and ssl, a fifth of a cold start.

The request says HTTP/1.0, so an honest server neither keeps the connection nor sends chunks. Whatever does not look
like such an answer is `None`, and the caller asks again with http.client.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Final, NamedTuple

_HEAD_BYTES_MAX: Final = 64 * 1024
_READ_BYTES: Final = 64 * 1024


class PlainAnswer(NamedTuple):
    """A status and a whole body."""

    status: int
    body: bytes


def get(
    host: str, port: int, target: str, headers: Mapping[str, str], *, timeout_s: float, bytes_max: int
) -> PlainAnswer | None:
    """Return the answer to one GET, or None when it has to be asked for in another way.

    `target` is a quoted path; `timeout_s` bounds each wait, the caller bounds the whole. Raises OSError.
    """
    # Given as bytes, an ASCII name needs no IDNA, whose tables cost a millisecond or two.
    address = host.encode("ascii") if host.isascii() else host
    shown = f"[{host}]" if ":" in host else host
    lines = [f"GET {target} HTTP/1.0", f"Host: {shown}:{port}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection((address, port), timeout=timeout_s) as connection:  # type: ignore[arg-type]
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        raw = _read_all(connection, bytes_max + _HEAD_BYTES_MAX)
    return None if raw is None else _parsed(raw)


def _read_all(connection: socket.socket, bytes_max: int) -> bytes | None:
    parts: list[bytes] = []
    size = 0
    while part := connection.recv(_READ_BYTES):
        parts.append(part)
        size += len(part)
        if size > bytes_max:
            return None
    return b"".join(parts)


def _parsed(raw: bytes) -> PlainAnswer | None:
    head, blank, body = raw.partition(b"\r\n\r\n")
    status_line, *lines = head.split(b"\r\n")
    version, _, rest = status_line.partition(b" ")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    is_plain = blank and version in {b"HTTP/1.0", b"HTTP/1.1"} and rest[:3].isdigit()
    if not is_plain or b"transfer-encoding" in fields or b"content-encoding" in fields:
        return None
    length = fields.get(b"content-length")
    if length is not None and (not length.isdigit() or int(length) != len(body)):
        return None
    return PlainAnswer(int(rest[:3]), body)
