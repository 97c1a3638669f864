"""What the log says while a database is away: what is new, the rest once in a while, and that it is back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.errors import StoreError

_log = logging.getLogger(__name__)


class Outage:
    """From the first failure until the database has been reached again. A node tries several times a second."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """`monotonic` tells seconds that never step back."""
        self._monotonic: Final = monotonic
        self._since_s: float | None = None
        self._told_s: dict[tuple[str, str], float] = {}
        """When each was said last, by its name and the error's code."""

    def tell(self, what: str, error: StoreError) -> None:
        """Say that `what` has failed, unless the same was said within OUTAGE_TOLD_EVERY."""
        now_s, one = self._monotonic(), (what, error.code)
        if self._since_s is None:
            self._since_s = now_s
        is_new = one not in self._told_s
        if is_new or now_s - self._told_s[one] >= limits.OUTAGE_TOLD_EVERY.total_seconds():
            self._told_s[one] = now_s
            cure = f" hint={error.hint}" if error.hint else ""
            _log.error("%s code=%s error=%s%s", what, error.code, error, cure)

    def over(self) -> None:
        """Say that it is over, if there was one."""
        if self._since_s is not None:
            _log.warning("executor.store_is_back after_s=%.1f", self._monotonic() - self._since_s)
        self._since_s = None
        self._told_s.clear()
