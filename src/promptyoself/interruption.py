"""What ends a process in good order: Ctrl-C, SIGTERM, and SIGHUP when its terminal is closed.

Before an event loop heeds them, the last two end a command as Ctrl-C does, with an answer. Python drops what a signal's
handler raises within the end of an object (a callback of a weak reference, say), of which there are many while modules
are loaded. So it is kept in mind that a signal has come: a loop that begins all the same ends at once.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_came: list[int] = []


def heed() -> None:
    """Let these signals interrupt this process from now on; only the main thread can say so, others change nothing."""
    if threading.current_thread() is threading.main_thread():
        for number in ending():
            if number != signal.SIGINT:  # Python sees to that
                signal.signal(number, _interrupt)


def ending() -> list[signal.Signals]:
    """Return the signals that tell this process to end; SIGHUP is none of them for whoever began it under nohup."""
    ends_with_terminal = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if ends_with_terminal else [])]


def take() -> bool:
    """Return whether one has come since the last call: what it raised was lost, if this is asked at all."""
    has_come = bool(_came)
    _came.clear()
    return has_come


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _came.append(number)
    raise KeyboardInterrupt
