"""Letta's `scheduled_at`: a number of milliseconds since 1970, or of seconds, told apart by its size alone.

Letta documents milliseconds, and programs send seconds all the same. No number can be a sane instant in both: what is
2001 to 5138 in seconds is 1970 to 1973 in milliseconds, long past. The rule, n being the number:

    n < 10^9                    before September 2001 in either unit         refused
    10^9  <= n < 10^11          seconds, 2001 to the year 5138
    10^11 <= n < 10^12          seconds after 5138, milliseconds before 2001 refused as ambiguous
    10^12 <= n <= 253402214400000   milliseconds, 2001 to the end of 9999-12-30
    above                       microseconds, or no time at all              refused

Whether the instant is still to come is the rule's own question (domain/triggers.py), as for any other schedule.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidTrigger

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_MICROSECOND: Final = timedelta(microseconds=1)

SECONDS_MIN: Final = 10**9
"""2001-09-09 in seconds."""
SECONDS_MAX: Final = 10**11
"""In seconds the year 5138; in milliseconds 1973. Exclusive."""
MILLISECONDS_MIN: Final = 10**12
"""2001-09-09 in milliseconds."""
MILLISECONDS_MAX: Final = (limits.INSTANT_MAX - _EPOCH) // _MILLISECOND
_HINT: Final = "give milliseconds since 1970, as Date.now() and int(time.time() * 1000) do"
_SHOWN_CHARS_MAX: Final = 40


def read_scheduled_at(value: object) -> datetime:
    """Return the instant (aware UTC, to the microsecond) of a `scheduled_at`. Raises InvalidTrigger with a sentence."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidTrigger(f"scheduled_at is a number, not {_shown(value)}", hint=_HINT)
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidTrigger(f"scheduled_at {value} is no time", hint=_HINT)
    if value < SECONDS_MIN:
        raise InvalidTrigger(f"scheduled_at {_shown(value)} lies before the year 2001 in any unit", hint=_HINT)
    if value < SECONDS_MAX:
        return _EPOCH + round(value * 1_000_000) * _MICROSECOND
    if value < MILLISECONDS_MIN:
        raise InvalidTrigger(
            f"scheduled_at {_shown(value)} is ambiguous: past in milliseconds, after the year 5138 in seconds",
            hint=_HINT,
        )
    if value > MILLISECONDS_MAX:
        raise InvalidTrigger(
            f"scheduled_at {_shown(value)} lies after the year 9999; are these microseconds or nanoseconds?", hint=_HINT
        )
    return _EPOCH + round(value * 1_000) * _MICROSECOND


def milliseconds(at: datetime) -> int | float:
    """Return an instant as Letta's clients expect it: milliseconds since 1970, whole where it is whole."""
    whole, rest = divmod(at - _EPOCH, _MILLISECOND)
    return whole if not rest else whole + rest / _MILLISECOND


def text(at: datetime) -> str:
    """Return an instant in the form of JavaScript's `toISOString`, which Letta Cloud is written in."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown(value: object) -> str:
    written = str(value) if isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**30) else None
    if isinstance(value, int) and written is None:
        return "with more than 30 digits"
    written = written or repr(value)
    return written if len(written) <= _SHOWN_CHARS_MAX else written[:_SHOWN_CHARS_MAX] + "..."
