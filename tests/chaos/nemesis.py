"""What is done to a run, and when: one seed makes one plan. A seed replays the plan; the timing is the machine's."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Deed(Enum):
    """One kind of trouble, or of work that goes on meanwhile."""

    KILL = "kill -9 of a node, which is started again"
    PAUSE = "SIGSTOP of a node for less than its lease"
    STOP = "SIGSTOP of a node for longer than its lease"
    TERM = "SIGTERM of a node, which is started again"
    RESTART = "PostgreSQL stopped (fast) and started"
    CRASH = "PostgreSQL stopped (immediate) and started"
    CUT = "all connections to PostgreSQL cut"
    STALL = "all connections to PostgreSQL silent for a while"
    MANNERS = "some agents begin to behave badly, others well"
    ADD = "more schedules are registered"
    EDIT = "a prompt is edited"
    CANCEL = "a schedule is cancelled"
    HOLD = "a schedule is paused, and resumed"
    RUN_NOW = "a schedule is run by hand"


ANYWHERE: Final = frozenset(Deed) - {Deed.RESTART, Deed.CRASH, Deed.CUT, Deed.STALL}
"""What can be done on SQLite, too."""

_WEIGHTS: Final = {
    Deed.KILL: 5, Deed.PAUSE: 3, Deed.STOP: 1, Deed.TERM: 1, Deed.RESTART: 1, Deed.CRASH: 1, Deed.CUT: 3, Deed.STALL: 1,
    Deed.MANNERS: 4, Deed.ADD: 3, Deed.EDIT: 3, Deed.CANCEL: 2, Deed.HOLD: 2, Deed.RUN_NOW: 3,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Act:
    """One deed: when it begins (seconds from the start), how long it lasts if it does, and a draw for its choices."""

    at_s: float
    deed: Deed
    long: float
    """0..1: how long it lasts, between the least and the most of its kind."""
    draw: int
    """Seeds whatever has to be chosen: a node, an agent, a schedule."""


def plan(seed: int, *, for_s: float, deeds: Iterable[Deed], gap_s: float = 0.6) -> list[Act]:
    """Return the acts of a run, `gap_s` apart on the average. The same seed gives the same plan."""
    chance = random.Random(seed)
    kinds = sorted(deeds, key=lambda deed: deed.name)
    weights = [_WEIGHTS[deed] for deed in kinds]
    acts: list[Act] = []
    at_s = chance.expovariate(1 / gap_s)
    while at_s < for_s:
        [deed] = chance.choices(kinds, weights)
        acts.append(Act(at_s, deed, chance.random(), chance.getrandbits(32)))
        at_s += chance.expovariate(1 / gap_s)
    return acts
