"""Asking a target something, within a bound and whatever its adapter does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar

from promptyoself.domain.answers import Unclear

_log = logging.getLogger(__name__)
T = TypeVar("T")


async def within_bounds(asked: Awaitable[T], within: timedelta, what: str) -> T | Unclear:
    """Wait for a target's answer within a bound; neither silence nor a fault of the adapter stops a lane."""
    try:
        async with asyncio.timeout(within.total_seconds()):
            return await asked
    except TimeoutError:
        return Unclear(code="timeout", detail=f"{what}: no answer within {within.total_seconds():.0f} s")
    except Exception as fault:  # noqa: BLE001  a fault of an adapter must not stop the lane; it is logged and asked about
        _log.exception("target.fault during=%s", what)
        return Unclear(code="target_fault", detail=f"{what}: {type(fault).__name__}")
