"""Names that are worked out, never drawn: the idempotency key of a delivery and the otid of an attempt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from promptyoself.domain.models import Delivery, DeliveryKind

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def idempotency_key(store_uid: str, schedule_uid: str, *, revision: int, kind: DeliveryKind, fire_at: datetime) -> str:
    """Return the key of one occurrence: a UUID of version 5 (RFC 9562) in the store's own namespace.

    The same occurrence has the same key whoever computes it, and two databases never share one.
    `store_uid` is 32 hex digits; `fire_at` is aware.
    """
    import hashlib  # few commands open a delivery

    fire_us = (fire_at - _EPOCH) // timedelta(microseconds=1)
    name = f"{schedule_uid}/{revision}/{kind}/{fire_us}".encode()
    # SHA-1 is what version 5 prescribes; nothing here rests on it being hard to collide on purpose.
    digest = bytearray(hashlib.sha1(bytes.fromhex(store_uid) + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def otid_of(delivery: Delivery) -> str:
    """Return the otid the next attempt is sent under: `key#n`, where n counts proven failures.

    Letta replays a failed run for an otid it has seen, so a retry after a failure needs a new one; a repeat of
    an attempt that nobody saw the end of keeps its otid, so that a server which can tell acts once.
    """
    return f"{delivery.key}#{delivery.failures}"
