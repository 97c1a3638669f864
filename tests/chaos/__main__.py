"""The long run: every scenario whole, again and again with new seeds, until the time is over or something was wrong.

    python -m tests.chaos [--seconds 1800] [--seed 1] [--only NAME] [--mutant NAME] [--on file]

A run that was wrong says its seed, keeps its folder (the receiver's record, the nodes' logs) and ends with status 1.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from tests.chaos import scenarios
from tests.chaos.checker import worst
from tests.chaos.nodes import faketime
from tests.chaos.places import FilePlace, Place, PostgresPlace
from tests.chaos.run import Run
from tests.chaos.scenarios import Verdict

Scenario = Callable[[Path, Place], Verdict]
_WHOLE: Final = 10_000


def rounds(seed: int, *, has_server: bool) -> Iterator[tuple[str, Scenario]]:
    """Yield scenarios with their names: each once whole, then mixed runs of other seeds."""
    yield f"mixed {seed}", partial(scenarios.mixed, seed=seed, for_s=120.0)
    yield "stopped", partial(scenarios.stopped_beyond_its_lease, agents=200)
    yield "ends of turns", partial(scenarios.arrivals_as_turns_end, agents=200)
    yield "bad answers", partial(scenarios.bad_first_answers, agents=200)
    yield "passes", partial(scenarios.passes_at_once, agents=200)
    for agents in (_WHOLE, _WHOLE // 100):
        bursts = [(_WHOLE, agents)]
        kills = partial(scenarios.bursts_under_kills, seed=seed, bursts=bursts, kill_every_s=5.0, within_s=900.0)
        yield f"burst {_WHOLE} for {agents}", kills
    if has_server:
        yield "away", partial(scenarios.database_away, away_s=60.0, agents=200)
    for other in itertools.count(seed + 1):
        yield f"mixed {other}", partial(scenarios.mixed, seed=other, for_s=120.0)


def main() -> int:
    """Play, and return 1 as soon as something was wrong."""
    parser = argparse.ArgumentParser(description="Real processes, a real database, and everything that goes wrong.")
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="scenarios whose name begins so")
    parser.add_argument("--mutant", action="append", default=[], help="break the program: tests/chaos/mutants")
    parser.add_argument("--on", choices=["postgresql", "file"], default="postgresql")
    options = parser.parse_args()
    if faketime() is None:
        print("libfaketime is not installed (Debian: libfaketime): no clock is skewed")
    until_s = time.monotonic() + options.seconds
    Run.mutants = tuple(options.mutant)
    for name, play in rounds(options.seed, has_server=options.on == "postgresql"):
        if not name.startswith(options.only):
            continue
        if time.monotonic() >= until_s:
            return 0
        folder = Path(tempfile.mkdtemp(prefix="chaos"))
        verdict = _played(play, folder, on=options.on, is_cut=name.startswith("mixed"))
        told = ", ".join(f"{what} {figure:g}" for what, figure in verdict.figures.items())
        print(f"{'RED' if verdict.complaints else 'green'}  {name}: {told}", flush=True)
        if verdict.complaints:
            print(f"{worst(verdict.complaints, 40)}\nseed={options.seed} folder={folder}")
            return 1
        shutil.rmtree(folder)
    return 0


def _played(play: Scenario, folder: Path, *, on: str, is_cut: bool) -> Verdict:
    if on == "file":
        return play(folder, FilePlace(folder))
    with PostgresPlace(is_cut=is_cut) as place:
        return play(folder, place)


if __name__ == "__main__":
    sys.exit(main())
