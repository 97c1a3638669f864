"""The units of systemd speak of commands, settings and bounds of the program, and of no right that it does not need."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from promptyoself.config import SECRET_FILES
from promptyoself.domain import limits
from promptyoself.interfaces.parse import parse, require
from tests.deploy.reading import ROOT, UNITS, Unit

HARDENED = {
    "DynamicUser": "yes",
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "CapabilityBoundingSet": "",
    "UMask": "0077",
}


@pytest.fixture(params=UNITS, ids=lambda path: str(path.name))
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture
def unit(path: Path) -> Unit:
    return Unit(path)


def test_there_is_one_for_each_part() -> None:
    assert [path.name for path in UNITS] == ["promptyoself-serve.service", "promptyoself-worker@.service"]


def test_it_starts_the_command_it_is_named_for(unit: Unit) -> None:
    program, *words = unit.one("Service", "ExecStart").split()
    assert Path(program).name == "promptyoself"
    assert require(parse(words)).name == re.split("[-@.]", unit.name)[1]


def test_it_is_given_time_to_drain_and_started_again(unit: Unit) -> None:
    assert float(unit.one("Service", "TimeoutStopSec")) > limits.END_FOR.total_seconds()
    assert unit.one("Service", "KillMode") == "mixed"  # the signal goes to the process, not to what it started
    assert unit.one("Service", "Restart") == "on-failure"
    assert unit.one("Unit", "StartLimitIntervalSec") == "0"  # PostgreSQL may be away for long


def test_secrets_come_as_credentials(unit: Unit) -> None:
    credentials = [one.partition(":")[0] for one in unit.all("Service", "LoadCredential")]
    given = {name: value for name, value in unit.environment.items() if name in SECRET_FILES.values()}
    assert given.keys() == set(SECRET_FILES.values())
    assert set(given.values()) == {f"%d/{one}" for one in credentials}
    assert unit.environment.keys() - given.keys() == {"HOME", "XDG_DATA_HOME"}


def test_its_data_is_where_systemd_lets_it_write(unit: Unit) -> None:
    assert unit.one("Service", "StateDirectory") == "promptyoself"
    assert unit.environment["XDG_DATA_HOME"] == "%S"  # the program adds /promptyoself
    assert unit.environment["HOME"] == "%S/promptyoself"


def test_it_may_do_little(unit: Unit) -> None:
    assert {key: unit.one("Service", key) for key in HARDENED} == HARDENED


def test_both_have_the_same_rights_and_user() -> None:
    serve, worker = (
        [line for line in path.read_text().splitlines() if line and not line.startswith(("#", "ExecStart", "Descr"))]
        for path in UNITS
    )
    assert serve == worker


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_it(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name.replace("@", "@1")  # an instance of it
    program = Unit(path).one("Service", "ExecStart").split()[0]
    copy.write_text(path.read_text().replace(program, sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, timeout=60, check=False
    )
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if copy.name in line]
    assert complaints == []
    assert done.returncode == 0, done.stderr


def test_what_must_be_made_by_hand_is_told() -> None:
    page = (ROOT / "docs/deploy.md").read_text()
    for path in UNITS:
        unit = Unit(path)
        assert unit.name.removesuffix(".service") in page
        for place in [one.partition(":")[2] for one in unit.all("Service", "LoadCredential")]:
            assert place in page
        assert unit.one("Service", "EnvironmentFile").removeprefix("-") in page
        assert unit.one("Service", "ExecStart").split()[0] in page
