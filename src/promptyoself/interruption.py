"""SIGTERM before an event loop heeds it: it ends a command as Ctrl-C does, in good order, with an answer.

Python drops what a signal's handler raises within the end of an object (a callback of a weak reference, say), of which
there are many while modules are loaded. So it is kept in mind that a signal has come: a loop that begins all the same
ends at once.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_came: list[int] = []


def heed() -> None:
    """Let SIGTERM interrupt this process from now on; only the main thread can say so, others change nothing."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)


def take() -> bool:
    """Return whether SIGTERM has come since the last call: what it raised was lost, if this is asked at all."""
    has_come = bool(_came)
    _came.clear()
    return has_come


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _came.append(number)
    raise KeyboardInterrupt
