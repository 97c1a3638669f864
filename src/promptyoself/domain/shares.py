"""How executors divide what one target may be asked at once."""

from __future__ import annotations

from collections.abc import Collection


def fair_share(most: int, executor_id: str, others: Collection[str]) -> int:
    """Return what one executor may use of `most`: equal parts, and what is left over to the first by name.

    The parts of all come to `most`. With more executors than that, the last by name have none.
    """
    everybody = len(others) + 1
    rank = sum(other < executor_id for other in others)
    return most // everybody + (rank < most % everybody)
