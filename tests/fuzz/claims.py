"""What has to hold for every text that a parser is given, whether it reads the text or refuses it."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import _lru_cache_wrapper
from itertools import islice, pairwise
from time import process_time
from typing import Any, TypeVar

from promptyoself.domain import triggers
from promptyoself.domain.errors import PromptyoselfError
from promptyoself.domain.triggers import Trigger

T = TypeVar("T")

CALL_S_MAX = 0.1
"""Seconds of this process's own time that one call may take."""
MESSAGE_CHARS_MAX = 2200
"""A sentence, and 200 characters of the caller's own text, each of which may be written as \\U0010ffff."""
HINT_CHARS_MAX = 2500
"""A hint may list every command or setting."""
FIRES_LOOKED_AT = 4
LEAK = re.compile(
    r"Traceback|object at 0x|<class|<function|NoneType|invalid literal|unsupported operand|list index|Errno|"
    r"not subscriptable|not iterable|unexpected keyword|positional argument|codec can't|\bNone\b"
)
"""What only the program's inside could have said; a caller's own text is quoted and taken out before."""
QUOTED = re.compile(r"(?<!\w)'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


class BrokenClaim(AssertionError):
    """A claim does not hold for some text."""


def timed(call: Callable[..., T], *args: Any, **given: Any) -> T:
    """Return what `call` returns. Raises BrokenClaim when it takes longer than CALL_S_MAX, from cold caches too."""
    begin = process_time()
    try:
        return call(*args, **given)
    finally:
        if process_time() - begin > CALL_S_MAX:
            _measure_again(call, *args, **given)


def _measure_again(call: Callable[..., object], *args: Any, **given: Any) -> None:
    """Believe three cold measurements, not one: the first may have imported a module or met the garbage collector."""
    took = []
    for _ in range(3):
        forget()
        gc.collect()
        begin = process_time()
        with suppress(PromptyoselfError):
            call(*args, **given)
        took.append(process_time() - begin)
    if min(took) > CALL_S_MAX:
        name = getattr(call, "__qualname__", repr(call))
        raise BrokenClaim(f"{name} takes {min(took) * 1000:.0f} ms")


def forget() -> None:
    """Empty every cache of the program's own, as if the process had just begun."""
    for name, module in list(sys.modules.items()):
        if name.startswith("promptyoself."):
            for value in list(vars(module).values()):
                if isinstance(value, _lru_cache_wrapper):
                    value.cache_clear()


def refusal_is_a_sentence(error: PromptyoselfError) -> None:
    """Check that a refusal says, on one printable line and in bounds, what a person can act on."""
    sentence("message", error.message, MESSAGE_CHARS_MAX)
    if error.hint is not None:
        sentence("hint", error.hint, HINT_CHARS_MAX)
    if len(error.message.split()) < 3:
        raise BrokenClaim(f"the message is no sentence: {error.message!r}")


def sentence(what: str, text: str, most: int) -> None:
    """Check that a text is one printable line in bounds, without anything of the program's inside."""
    if not text.strip():
        raise BrokenClaim(f"the {what} is empty")
    if len(text) > most:
        raise BrokenClaim(f"the {what} has {len(text)} characters: {text[:80]!r}...")
    if not text.isprintable():
        raise BrokenClaim(f"the {what} holds what steers a terminal: {text!r}")
    if leak := LEAK.search(QUOTED.sub("''", text)):
        raise BrokenClaim(f"the {what} shows the program's inside ({leak[0]}): {text!r}")


def trigger_answers(trigger: Trigger, *, now: datetime) -> None:
    """Check what is asked of a trigger that was taken: fires that go forward, words, and none of it slowly."""
    first = timed(triggers.next_fire_at, trigger, after=now)
    fires = list(islice(triggers.fire_times(trigger, after=now), FIRES_LOOKED_AT))
    if first is None or fires[0] != first:
        raise BrokenClaim(f"taken, yet its next fire is {first}, and its fires begin with {fires[:1]}")
    if any(at.tzinfo is not UTC for at in fires):
        raise BrokenClaim(f"fires are not aware UTC: {fires}")
    if fires[0] <= now or any(later <= earlier for earlier, later in pairwise(fires)):
        raise BrokenClaim(f"fires do not go forward from {now}: {fires}")
    sentence("description", timed(triggers.describe, trigger), 20_000)
    for warning in timed(triggers.warnings_for, trigger, now=now):
        sentence("warning", warning, 20_000)
    timed(triggers.period_hint, trigger, after=now)
