"""A country gives daylight saving time up between two starts of real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.zones import WITH_DST, WITHOUT_DST, lay


class Machine:
    """Calls the program in processes of their own, whose zones come from a folder."""

    def __init__(self, folder: Path) -> None:
        self.zones = folder / "zones"
        self.db = folder / "promptyoself.db"

    def upgrades(self, version: str, rule: str) -> None:
        lay(self.zones, version, Europe__Riga=rule, UTC="UTC0")

    def call(self, *argv: str) -> dict[str, Any]:
        """Return the answer, or the failure (no Letta is here, so that doctor always finds something)."""
        env = {"PATH": os.environ["PATH"], "PYTHONTZPATH": str(self.zones), "PROMPTYOSELF_DB": str(self.db)}
        command = [sys.executable, "-m", "promptyoself", *argv]
        done = subprocess.run(
            command, env=env, cwd=self.db.parent, capture_output=True, text=True, timeout=60, check=False
        )
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict)
        return answer

    def next_run(self) -> str:
        [schedule] = self.call("list")["schedules"]
        return str(schedule["next_run"])

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
