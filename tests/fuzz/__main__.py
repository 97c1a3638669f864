"""`make fuzz`: every parser, in turn, for some minutes; the exit code says whether every claim held."""

from __future__ import annotations

import argparse
import sys
from time import monotonic

from tests.fuzz.parsers import PARSERS
from tests.fuzz.run import Tally, run_case

TURN = 50
"""Cases of one parser before it is the next one's turn."""
SHOWN_OF_A_KIND = 2


def main() -> int:
    """Run for --seconds, or replay one case."""
    words = argparse.ArgumentParser(prog="python -m tests.fuzz")
    words.add_argument("--seconds", type=float, default=600)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--only", help="the name of one parser")
    words.add_argument("--replay", metavar="PARSER/SEED/NUMBER", help="run one case again")
    given = words.parse_args()
    tallies = {parser.name: Tally() for parser in PARSERS}
    if given.replay:
        name, seed, number = given.replay.rsplit("/", 2)
        run_case(next(one for one in PARSERS if one.name == name), int(seed), int(number), tallies[name])
    else:
        _run(tallies, given.seconds, given.seed, given.only)
    return _report(tallies, given.seed)


def _run(tallies: dict[str, Tally], seconds: float, seed: int, only: str | None) -> None:
    chosen = [parser for parser in PARSERS if only in {None, parser.name}]
    end, begin = monotonic() + seconds, 0
    while monotonic() < end:
        for parser in chosen:
            for number in range(begin, begin + TURN):
                run_case(parser, seed, number, tallies[parser.name])
        begin += TURN


def _report(tallies: dict[str, Tally], seed: int) -> int:
    faults = [fault for tally in tallies.values() for fault in tally.faults]
    seen: dict[str, int] = {}
    for fault in faults:
        seen[fault.kind] = seen.get(fault.kind, 0) + 1
        if seen[fault.kind] <= SHOWN_OF_A_KIND:
            print(fault)
    print(f"{'parser':<18}{'texts':>10}{'taken':>10}{'refused':>10}{'faults':>8}   (seed {seed})")
    for name, tally in tallies.items():
        count = tally.taken + tally.refused
        print(f"{name:<18}{count:>10}{tally.taken:>10}{tally.refused:>10}{len(tally.faults):>8}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
