"""Nodes: processes of the real program that are killed, stopped, resumed and started again."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos.checker import Blow
from tests.e2e.stage import ROOT, Process, wait_for

LIMITS: Final[Mapping[str, float]] = {
    "LEASE": 6, "LEASE_RENEW_EVERY": 1.5, "LEASE_MARGIN": 1, "HEARTBEAT_EVERY": 1.5, "EXECUTOR_ALIVE_FOR": 6,
    "SETTLE_FIRST": 0.2, "SETTLE_MAX": 1, "SETTLE_FOR": 3, "BACKOFF_FIRST": 0.2, "BACKOFF_MAX": 1,
    "BUSY_BACKOFF_FIRST": 0.2, "BUSY_BACKOFF_MAX": 1, "BREAKER_PROBE_FIRST": 0.2, "BREAKER_PROBE_MAX": 1,
    "RUN_TIME_MAX": 10, "LAST_LOOK": 2, "STOP_FOR": 4,
    "FLEET_LEASE": 6, "FLEET_SWEEP_EVERY": 10,
    "POSTGRES_IDLE_IN_TRANSACTION_FOR": 2, "POSTGRES_LOCK_FOR": 3,
}  # fmt: skip
"""Of the nodes, in seconds: a run of a minute sees many leases end."""
PACE: Final[Mapping[str, float]] = {
    "look_first_s": 0.1, "look_last_s": 1.0, "outage_pause_s": 0.2, "lost_after_s": 5.0, "quiet_for_s": 1.0,
    "absent_after_s": 1.5, "accept_timeout_s": 2.0, "read_timeout_s": 600.0,
}  # fmt: skip
"""Of the Letta target. A question that a stop interrupts is still answered: its time-out must not hide a lost lease."""
CHILD: Final = (sys.executable, "-m", "tests.chaos.child")
RESUMED_S: Final = 1.0
"""How long after it was resumed a process may still be finding out what it has lost."""
_FAKETIME: Final = Path("/usr/lib")
SKEWS_S: Final = (0, 37, -51, 3600)


def faketime() -> Path | None:
    """Return the library that skews a process's clock, where the machine has it (Debian: `libfaketime`)."""
    return next(iter(sorted(_FAKETIME.glob("*/faketime/libfaketime.so.1"))), None)


def skewed(by_s: int) -> dict[str, str]:
    """Return the environment of a process whose wall clock is off; its monotonic clock is right."""
    library = faketime()
    if not by_s or library is None:
        return {}
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{by_s:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


@dataclass(slots=True)
class Scene:
    """What all nodes of a run share."""

    folder: Path
    env: Mapping[str, str]
    blows: list[Blow] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)

    def start(self, words: tuple[str, ...], env: Mapping[str, str]) -> Process:
        """Start a process of the program; it ends with the run."""
        made = Process((*CHILD, *words), self.folder, {**self.env, **env})
        self.processes.append(made)
        return made


class Node:
    """One place in the fleet: whenever its process is killed, another takes it."""

    def __init__(self, scene: Scene, words: tuple[str, ...], *, env: Mapping[str, str] | None = None) -> None:
        self._scene: Final = scene
        self._words: Final = words
        self._env: Final = env or {}
        self.busy: Final = threading.Lock()
        """Held by whoever does something to it."""
        self.process = self.start()

    def start(self, *, by_s: int = 0) -> Process:
        """Start its process, with its clock off by so many seconds."""
        self.process = self._scene.start(self._words, {**self._env, **skewed(by_s)})
        return self.process

    def kill(self) -> None:
        """Kill -9."""
        at_s = time.monotonic()
        self.process.signal(signal.SIGKILL)
        self.process.wait()
        self._scene.blows.append(Blow("kill", at_s, time.monotonic()))

    def terminate(self) -> None:
        """End it in good order."""
        self.process.signal(signal.SIGTERM)
        self.process.wait(60)

    def stop(self, for_s: float, *, is_long: bool) -> None:
        """Stop it with SIGSTOP and resume it; `is_long` says that its leases end meanwhile."""
        at_s = time.monotonic()
        self.process.signal(signal.SIGSTOP)
        try:
            time.sleep(for_s)
        finally:
            self.process.signal(signal.SIGCONT)
            self._scene.blows.append(Blow("stop" if is_long else "pause", at_s, time.monotonic() + RESUMED_S))

    def restart(self, draw: random.Random, *, skews: bool) -> None:
        """Start it again after a moment; `skews` draws how far its clock is off."""
        time.sleep(draw.uniform(0.0, 1.0))
        self.start(by_s=draw.choice(SKEWS_S) if skews else 0)


def environment(
    folder: Path,
    *,
    database: str,
    letta_url: str,
    mutants: tuple[str, ...],
    limits: Mapping[str, float],
    in_flight: int,
) -> dict[str, str]:
    """Return the environment of the nodes: nothing of the machine's but where its programs are."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "VIRTUAL_ENV") if name in os.environ}
    return {
        **kept,
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "PYTHONUTF8": "1",
        "PROMPTYOSELF_DB": database,
        "LETTA_BASE_URL": letta_url,
        "PROMPTYOSELF_TIMEZONE": "UTC",
        "PROMPTYOSELF_LOG": "info",
        "PROMPTYOSELF_MAX_IN_FLIGHT": str(in_flight),
        "CHAOS_LIMITS": json.dumps({**LIMITS, **limits}),
        "CHAOS_PACE": json.dumps(PACE),
        "CHAOS_MUTANTS": ",".join(mutants),
    }


def wait_until_up(process: Process) -> None:
    """Wait until a door or a worker says that it has begun."""

    def is_up() -> bool:
        assert process.is_alive, process.stderr + process.stdout
        return any(word in process.stderr for word in ("serve.listening", "worker.started"))

    wait_for("a node is up", is_up, within_s=60)
