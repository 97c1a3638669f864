"""The runs that a fleet has to stand, long or short. Each returns what was wrong, and what it was that was tried."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos.checker import at_work, missing
from tests.chaos.ledger import Arrival
from tests.chaos.nemesis import plan
from tests.chaos.nodes import LIMITS, Node
from tests.chaos.oracle import Kind
from tests.chaos.places import Place
from tests.chaos.run import Manners, Run, burst, some_promises
from tests.e2e.stage import wait_for

QUIET_S_MAX: Final = 60.0
"""Within this, after the last trouble, all that was due has arrived."""
BACK_S_MAX: Final = 5.0
"""Within this, after the database has come back, every node goes on."""
_IN_FLIGHT: Final = 64
_MANNERS: Final[Manners] = {"*": {"answer_s": 0.02, "run_s": 0.05}}
_FORGETFUL: Final[Manners] = {"*": {"answer_s": 0.1, "run_s": 0.05, "forgets": True}}
"""Of a server that shows nothing of what it has: whatever is in doubt has to be repeated, and has to say so."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a run."""

    complaints: Sequence[str]
    figures: Mapping[str, float]


def mixed(folder: Path, place: Place, *, seed: int, for_s: float, agents: int = 20, schedules: int = 60) -> Verdict:
    """Do everything at once for `for_s` seconds: two doors, two workers, callers, bad agents, and the nemesis."""
    with Run(folder, place, doors=2, manners=_MANNERS) as run:
        begun_s = time.monotonic()
        end_s = begun_s + for_s
        run.register(some_promises(run, random.Random(seed), count=schedules, agents=agents, end_s=end_s))
        run.play(plan(seed, for_s=for_s, deeds=place.deeds), end_s=end_s)
        # A slow agent with many schedules is behind by the end, further the longer it took: that comes late, not never.
        found = run.finish(within_s=QUIET_S_MAX + for_s)
        return Verdict(found, _figures(run, begun_s))


def bursts_under_kills(
    folder: Path,
    place: Place,
    *,
    seed: int,
    bursts: Sequence[tuple[int, int]],
    kill_every_s: float,
    within_s: float,
    mutants: tuple[str, ...] = (),
) -> Verdict:
    """Deliver bursts of prompts, each for so many agents, by two workers of which one is killed now and then."""
    chance = random.Random(seed)
    count = sum(prompts for prompts, _ in bursts)
    with Run(folder, place, manners=_FORGETFUL, keeps_tags=False, mutants=mutants) as run:
        due_in_s = 3 + count / 1000
        for number, (prompts, agents) in enumerate(bursts):
            run.register(burst(run, count=prompts, agents=agents, due_in_s=due_in_s, name=f"agent-{number}x"))
        first_s = min(run.timeline.seconds(one.start_at) for one in run.promises.values())
        time.sleep(max(0.0, first_s - time.monotonic()))
        until_s = first_s + within_s
        # A quick machine carries a small burst before the first kill would come: that one waits for a quarter of it.
        _sleep_until_done(run, kill_every_s * chance.uniform(0.5, 1.5), count // 4)
        while time.monotonic() < until_s and run.stored() < count:
            node = chance.choice(run.workers)
            node.kill()
            node.start()
            _wait_for_deliveries(run, run.stored())
            if _sleep_until_done(run, kill_every_s * chance.uniform(0.5, 1.5), count):
                break
        last_s = max((blow.until_s for blow in run.scene.blows), default=0.0)
        found = run.finish(
            within_s=max(QUIET_S_MAX, until_s - time.monotonic()),
            linger_s=1.0,
            not_before_s=last_s + LIMITS["LEASE"] + LIMITS["SETTLE_FOR"],  # what the last one had would come again then
        )
        return Verdict(found, _figures(run, first_s))


def _wait_for_deliveries(run: Run, seen: int) -> None:
    """Wait for new ones, not for long: who comes after a kill shall begin before it is killed itself."""
    until_s = time.monotonic() + LIMITS["LEASE"]
    wait_for("deliveries", lambda: run.stored() > seen or time.monotonic() > until_s, within_s=60)


def _sleep_until_done(run: Run, for_s: float, count: int) -> bool:
    """Sleep; True when all has arrived meanwhile."""
    until_s = time.monotonic() + for_s
    while time.monotonic() < until_s:
        if run.stored() >= count:
            return True
        time.sleep(0.05)
    return False


_HELD_MAX: Final = 30


def stopped_beyond_its_lease(folder: Path, place: Place, *, agents: int = 90, mutants: tuple[str, ...] = ()) -> Verdict:
    """Stop the workers in every phase of a send, until another has carried all that they had; then resume them.

    Every third send is stopped right before its prompt goes: the agent keeps the last question that comes before, and
    its answer lies there when they are resumed. What they do with it is in their logs then: nobody guesses how long.
    """
    held = range(0, min(agents, 3 * _HELD_MAX), 3)
    manner = {"answer_s": 0.2, "run_s": 0.2, "look_s": 0.5}
    manners: Manners = {"*": manner, **{f"agent-{number}": {**manner, "holds": True} for number in held}}
    patient = {"RUN_TIME_MAX": 600, "SLOT_HELD_MAX": 600}  # a send that is given up would hide that its lease was lost
    with Run(
        folder, place, doors_deliver=False, manners=manners, mutants=mutants, in_flight=_IN_FLIGHT, limits=patient
    ) as run:
        begun_s = time.monotonic()
        stopped = list(run.workers)
        run.register(burst(run, count=agents, agents=agents, due_in_s=2.0))
        wait_for("the questions before sends", lambda: run.held() >= len(held), within_s=60)
        with run.workers_stopped():
            over = run.sends_over(stopped)
            run.let_go()
            run.add_worker()
            wait_for("another carries all", lambda: run.stored() >= agents, within_s=QUIET_S_MAX)
        wait_for("ends of what was stopped", lambda: run.sends_over(stopped) >= over + len(held), within_s=60)
        found = run.finish(within_s=QUIET_S_MAX, linger_s=0.5)
        return Verdict(found, _figures(run, begun_s))


_CALM: Final = 4
"""So many lanes get their second prompt, by hand, when the turn of the first is over for certain."""


def arrivals_as_turns_end(
    folder: Path, place: Place, *, agents: int = 60, within_s: float = QUIET_S_MAX, mutants: tuple[str, ...] = ()
) -> Verdict:
    """Have each lane's second prompt come due when the turn of its first one ends, now before and now after."""
    manners: Manners = {"*": {"answer_s": 0.05, "run_s": 0.2}}
    with Run(folder, place, workers=1, manners=manners, mutants=mutants) as run:
        begun_s = time.monotonic()
        first = burst(run, count=_CALM, agents=_CALM, due_in_s=2.0, name="calm-")
        run.register(
            [
                *first,
                *burst(run, count=agents, agents=agents, due_in_s=2.0, apart_s=0.05),
                *burst(run, count=agents, agents=agents, due_in_s=2.3, apart_s=0.055),
            ]
        )
        wait_for("ends of turns", lambda: all(run.is_delivered(one) for one in first), within_s=60)
        for one in first:
            run.command(Kind.RUN_NOW, one)
        found = run.finish(within_s=within_s, linger_s=0.5)
        return Verdict(found, _figures(run, begun_s))


_BAD: Final = ("drops_stored", "drops_unstored", "errors", "fails", "busy", "overloaded")


def bad_first_answers(folder: Path, place: Place, *, agents: int = 24, mutants: tuple[str, ...] = ()) -> Verdict:
    """Have the first request of every prompt go wrong, each agent's in its own way."""
    kinds = {f"agent-{number}": {"kind": _BAD[number % len(_BAD)], "run_s": 0.1} for number in range(agents)}
    with Run(folder, place, workers=1, manners={**_MANNERS, **kinds}, mutants=mutants) as run:
        begun_s = time.monotonic()
        run.register(burst(run, count=agents, agents=agents, due_in_s=2.0))
        found = run.finish(within_s=QUIET_S_MAX, linger_s=0.5)
        return Verdict(found, _figures(run, begun_s))


def passes_at_once(folder: Path, place: Place, *, agents: int = 40, mutants: tuple[str, ...] = ()) -> Verdict:
    """Let several `execute` carry the same prompts at once, and nobody else: a lane's lease alone keeps them apart.

    Each has read all lanes as free before any of them has carried more than a few. Who takes a lane that another works
    for makes the other's answer worthless: it asks in vain, and the next pass repeats what had been answered.
    """
    limits = {"SETTLE_FIRST": 0.1, "SETTLE_FOR": 0.5}
    with Run(
        folder, place, workers=0, doors_deliver=False, manners=_FORGETFUL, keeps_tags=False, mutants=mutants,
        limits=limits, in_flight=_IN_FLIGHT // 16,
    ) as run:  # fmt: skip
        run.register(burst(run, count=agents, agents=agents, due_in_s=0.2))
        run.halt()
        run.execute()  # it plans all, or the first of the two would have planned, and the second found nothing
        run.go_on()
        begun_s = time.monotonic()
        run.execute(passes=2)
        for _ in range(2):  # the first gives up asking, the second repeats
            time.sleep(limits["SETTLE_FOR"])
            run.execute()
        found = run.finish(within_s=QUIET_S_MAX, linger_s=0.0)
        return Verdict(found, _figures(run, begun_s))


def database_away(folder: Path, place: Place, *, away_s: float, agents: int = 40) -> Verdict:
    """Take the database away for `away_s` while prompts are in flight and more come due; then see who goes on.

    Every node has to answer or deliver within BACK_S_MAX of its return, and nothing is sent again.
    """
    manners: Manners = {"*": {"answer_s": 0.3, "run_s": 0.5}}
    with Run(folder, place, doors=2, manners=manners) as run:
        now_s = time.monotonic()
        run.register(
            [
                *burst(run, count=agents * 2, agents=agents, due_in_s=3.0),
                *burst(run, count=agents, agents=agents, due_in_s=3.0 + away_s / 2),
                *burst(run, count=agents, agents=agents, due_in_s=8.0 + away_s, apart_s=0.05),
            ]
        )
        wait_for("deliveries on their way", lambda: run.stored() > agents // 2, within_s=60)
        run.away(away_s)
        back_s = time.monotonic()
        late = [f"LOST: {told}" for told in _who_stays_away(run, back_s)]
        found = run.finish(within_s=QUIET_S_MAX)
        after = [one.begun_s - back_s for one in run.arrivals() if one.begun_s > back_s]
        figures = {**_figures(run, now_s), "first sent after it was back, s": round(min(after, default=-1.0), 2)}
        return Verdict([*late, *found], figures)


def _who_stays_away(run: Run, back_s: float) -> list[str]:
    """Return what did not go on within the bound: doors that are not ready, workers that are no more."""
    until_s = back_s + BACK_S_MAX
    silent = list(range(len(run.doors)))
    while silent and time.monotonic() < until_s:
        silent = [door for door in silent if not run.is_ready(door)]
        time.sleep(0.1)
    dead = [node for node in run.nodes if not node.process.is_alive]
    return [f"door {door} was not ready within {BACK_S_MAX} s" for door in silent] + [_end_of(node) for node in dead]


def _end_of(node: Node) -> str:
    return f"a node has ended: {node.process.stderr[-500:]}"


def _figures(run: Run, begun_s: float) -> dict[str, float]:
    case = run.case()
    stored = [one for one in case.arrivals if one.is_stored]
    kinds = [blow.kind for blow in case.blows]
    last_s = max((one.begun_s for one in stored), default=begun_s)
    return {
        "prompts that reached an agent": len(stored),
        "requests": len(case.arrivals),
        "repeats": len(stored) - len({_once(one) for one in stored}),
        "marked": sum(one.is_marked for one in case.arrivals),
        "missing": len(missing(case)),
        "at work": at_work(case),
        **{f"blows: {kind}": kinds.count(kind) for kind in sorted(set(kinds))},
        "seconds until the last": round(last_s - begun_s, 1),
    }


def _once(one: Arrival) -> tuple[str, str]:
    return one.text, one.key
