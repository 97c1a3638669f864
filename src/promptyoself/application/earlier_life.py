"""The earlier life of a restored database: what it did after its copy was made, and knows nothing of.

That life sent nothing before its fire time. So an occurrence whose fire time it has seen is asked about before it is
sent, whichever way it comes to be sent: as it stood in the copy, planned anew, after a run that failed, put off, or
revived by hand.
"""

from __future__ import annotations

from datetime import datetime

from promptyoself.domain import limits
from promptyoself.domain.ports import Clock, Tx


class EarlierLife:
    """When the life before a restore ended, for who asks all the time; read anew each EARLIER_LIFE_ASKED_EVERY.

    It changes while no executor is alive, and one that was away so long that it was taken for gone reads it anew.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: datetime | None = None
        self._believed_until_s: float | None = None

    def ended_at(self, tx: Tx) -> datetime | None:
        """Return until when the database was in use in that life; None when it was never restored."""
        now_s = self._clock.monotonic()
        if self._believed_until_s is None or now_s >= self._believed_until_s:
            self._known = tx.in_use_until()
            self._believed_until_s = now_s + limits.EARLIER_LIFE_ASKED_EVERY.total_seconds()
        return self._known
