"""Python's garbage collector in a process that serves for long."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SELDOM: Final = (10_000, 20, 50)
"""Objects made until the youngest are looked through, and how often that is till older ones are (else 700, 10, 10)."""


@contextmanager
def collected_seldom() -> Iterator[None]:
    """Look for garbage less often, and not at all through what is there by now; at the end as before.

    What a delivery leaves behind is freed at once, by its counts of references; looking for circles took a sixth of a
    delivery's processor time (benchmarks/bench_fleet.py).
    """
    was = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*was)
        gc.unfreeze()
