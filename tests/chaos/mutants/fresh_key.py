"""The key is dropped: every attempt is sent under an otid of its own."""

from __future__ import annotations

import uuid

from promptyoself.application import dispatcher
from promptyoself.domain.models import Delivery
from tests.chaos.mutants.breaking import put


def drawn(_delivery: Delivery) -> str:
    """Return what no other attempt has."""
    return f"{uuid.uuid4()}#0"


put(dispatcher, "otid_of", drawn)
