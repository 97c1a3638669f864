"""`promptyoself` as the processes of a chaos run start it: the real one, with a shorter breath and, if asked, broken.

    python -m tests.chaos.child WORDS...

CHAOS_LIMITS is a JSON object of limits (domain/limits.py): seconds for a span of time, else a number. CHAOS_PACE is
the same for the Letta target's pace. CHAOS_MUTANTS names modules of tests/chaos/mutants, which break a promise.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from datetime import timedelta

from promptyoself.__main__ import main
from promptyoself.domain import limits
from promptyoself.domain.ports import Clock
from promptyoself.domain.values import replace
from promptyoself.targets import letta
from promptyoself.targets.letta_runs import LettaPace
from promptyoself.targets.letta_settings import LettaSettings


def shorten(given: dict[str, float]) -> None:
    """Set limits. One that does not exist is an error: it was renamed, and the run would wait for ever."""
    for name, value in given.items():
        old = getattr(limits, name)
        setattr(limits, name, timedelta(seconds=value) if isinstance(old, timedelta) else value)


def hasten(given: dict[str, float]) -> None:
    """Let the Letta target look and give up sooner; two of its time-outs are settings."""
    right = letta.LettaTarget.__init__
    accept_s, read_s = given.pop("accept_timeout_s"), given.pop("read_timeout_s")
    shorter = LettaPace(**given)  # type: ignore[arg-type]  # its one whole number is not among them

    def quick(
        self: letta.LettaTarget,
        settings: LettaSettings,
        clock: Clock,
        pace: LettaPace | None = None,  # noqa: ARG001  as it is called
    ) -> None:
        right(self, replace(settings, accept_timeout_s=accept_s, read_timeout_s=read_s), clock, shorter)

    letta.LettaTarget.__init__ = quick  # type: ignore[method-assign]


if __name__ == "__main__":
    shorten(json.loads(os.environ["CHAOS_LIMITS"]))
    hasten(json.loads(os.environ["CHAOS_PACE"]))
    for mutant in filter(None, os.environ.get("CHAOS_MUTANTS", "").split(",")):
        importlib.import_module(f"tests.chaos.mutants.{mutant}")
    sys.exit(main())
