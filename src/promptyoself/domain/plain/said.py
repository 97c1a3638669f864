"""What a rule in words has said, part by part, and the exact rule that `compiling` makes of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

from promptyoself.domain.plain.clocks import Spoken
from promptyoself.domain.plain.suggestions import Refused
from promptyoself.domain.plain.tokens import Cursor, Phrase, Token
from promptyoself.domain.triggers import TriggerKind
from promptyoself.domain.values import dataclass

WORKDAYS: Final = frozenset(range(5))
ALL_DAYS: Final = frozenset(range(7))
LAST: Final = -1
"""The place of the last day, as RFC 5545 counts."""
AND: Final = {",", "and"}
TO: Final = {"to", "-", "through", "until", "till"}
"""Between the first and the last of several."""
STEPPED: Final = {"hour", "week"}
"""Periods without a place in a month, so that `every second week` is certainly every other one."""


class Place(NamedTuple):
    """A day by its place in the month: `the 15th` (noun `day`), `the last friday` (noun `4`), `the first weekday`."""

    nth: int
    noun: str
    """`day`, `weekday`, or the weekday's number, 0 = Monday."""
    is_named: bool
    """False when only the ordinal was said: a day of the month."""
    tokens: tuple[Token, ...]


class Said:
    """What a phrase has said so far, each thing at most once."""

    def __init__(self, phrase: Phrase) -> None:
        self.phrase = phrase
        self.length: timedelta | None = None
        """A duration, when that is all."""
        self.period: tuple[int, str] | None = None
        self.weekdays: frozenset[int] | None = None
        self.left_out: frozenset[int] = frozenset()
        self.places: tuple[Place, ...] = ()
        self.date: tuple[int, int] | None = None
        self.months: frozenset[int] = frozenset()
        self.spoken: list[Spoken] = []
        self.past: list[int] = []
        self.between: tuple[Spoken, Spoken] | None = None
        self.part = ""

    def put(self, name: str, value: object, what: str) -> None:
        """Keep a part; raises Refused when it was said before."""
        if getattr(self, name):
            raise Refused(f"{what} are given twice; make a rule of each")
        setattr(self, name, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A rule in its exact form, and sentences about what may surprise in it."""

    kind: TriggerKind
    expression: str
    notes: tuple[str, ...] = ()


def accept_and(cursor: Cursor) -> bool:
    """Go past `,`, `and` or `, and`."""
    is_comma = cursor.accept(",")
    return cursor.accept("and") or is_comma


def is_time(cursor: Cursor) -> bool:
    """Say whether a time of day comes next."""
    token = cursor.peek()
    return token is not None and (token.kind in {"clock", "number"} or token.text in {"noon", "midday", "midnight"})
