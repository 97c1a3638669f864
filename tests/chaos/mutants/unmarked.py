"""A repeat does not say that it may be one."""

from __future__ import annotations

from datetime import datetime

from promptyoself.domain import retry
from promptyoself.domain.models import Delivery
from promptyoself.domain.values import replace
from tests.chaos.mutants.breaking import put

_right = retry._repeat


def forget(delivery: Delivery, *, now: datetime, fraction: float, text: str) -> retry.Step:
    """Repeat as ever, and say nothing."""
    step = _right(delivery, now=now, fraction=fraction, text=text)
    return replace(step, delivery=replace(step.delivery, maybe_repeat=False))


put(retry, "_repeat", forget)
