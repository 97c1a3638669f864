"""A country gives daylight saving time up between two starts of real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.zones import WITH_DST, WITHOUT_DST, lay

HASTY = """
import sys
from datetime import timedelta
from promptyoself.domain import limits
limits.ZONE_LOOK_EVERY = timedelta(0)
from promptyoself.__main__ import main
sys.argv = ["promptyoself", "execute", "--loop"]
sys.exit(main())
"""


class Machine:
    """Calls the program in processes of their own, whose zones come from a folder."""

    def __init__(self, folder: Path) -> None:
        self.zones = folder / "zones"
        self.db = folder / "promptyoself.db"

    def upgrades(self, version: str, rule: str) -> None:
        lay(self.zones, version, Europe__Riga=rule, UTC="UTC0")

    def call(self, *argv: str) -> dict[str, Any]:
        """Return the answer, or the failure (no Letta is here, so that doctor always finds something)."""
        command = [sys.executable, "-m", "promptyoself", *argv]
        done = subprocess.run(
            command, env=self.env, cwd=self.db.parent, capture_output=True, text=True, timeout=60, check=False
        )
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict)
        return answer

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "PYTHONTZPATH": str(self.zones), "PROMPTYOSELF_DB": str(self.db)}

    @contextmanager
    def loop(self) -> Iterator[None]:
        """Run a loop that looks at its zone database before every pass, and not once a minute."""
        running = subprocess.Popen(
            [sys.executable, "-c", HASTY], env=self.env, cwd=self.db.parent, stderr=subprocess.DEVNULL
        )
        try:
            yield
        finally:
            running.terminate()
            running.wait(timeout=30)

    def next_run(self) -> str:
        return str(self.call("list")["schedules"][0]["next_run"])

    def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for something to be so, 30 s at most."""
        end_s = time.monotonic() + 30
        while not is_so():
            assert time.monotonic() < end_s, "it did not come to pass"

    def zone_check(self) -> dict[str, Any]:
        [found] = [one for one in self.call("doctor")["checks"] if one["name"] == "zone data"]
        return dict(found)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_next_start_moves_what_fires_next_and_why_tells_it(machine: Machine) -> None:
    machine.upgrades("2090a", WITH_DST)
    rule = ("--cron", "0 9 1 7 *", "--timezone", "Europe/Riga")
    machine.call("register", "--agent-id", "agent-1", "--prompt", "x", "--target", "inbox", *rule)
    machine.call("execute", "--wait", "0")
    assert machine.next_run().endswith("-07-01T09:00:00+03:00")
    machine.upgrades("2090b", WITHOUT_DST)
    assert machine.next_run().endswith("-07-01T08:00:00+02:00"), "as it is stored, on the clocks of today"
    assert machine.zone_check()["result"] == "warn"
    machine.call("execute", "--wait", "0")
    assert machine.next_run().endswith("-07-01T09:00:00+02:00")
    [told] = [one for one in machine.call("why", "--id", "1")["sentences"] if "time zone data" in one]
    assert "changed from 2090a" in told
    assert "to 2090b" in told
    assert "09:00:00+02:00, in place of" in told
    check = machine.zone_check()
    assert check["result"] == "ok"
    assert check["found"].startswith("2090b")


def test_a_running_loop_meets_a_new_database_without_a_restart(machine: Machine) -> None:
    machine.upgrades("2090a", WITH_DST)
    schedule = ("register", "--agent-id", "agent-1", "--prompt", "x", "--target", "inbox", "--cron")
    machine.call(*schedule, "0 9 1 7 *", "--timezone", "Europe/Riga")
    with machine.loop():
        machine.until(lambda: "worked out with 2090a" in machine.zone_check()["found"])
        machine.upgrades("2090b", WITHOUT_DST)
        machine.call(*schedule, "0 0 1 1 *", "--timezone", "UTC")  # anything wakes it
        machine.until(lambda: machine.next_run().endswith("-07-01T09:00:00+02:00"))
