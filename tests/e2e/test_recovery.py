"""Executors killed by -9, and a receiver that is away: nothing is lost, and a repeat is one that had to be.

Recovery takes a lease and, for what was never sent, two looks some time apart: as shipped 30 s each, which `make chaos`
waits for, and a few here. The tests of this file share that wait: `killed` leaves the survivors to it, the outage is
played meanwhile, and the last test reads what came of it.
"""

from __future__ import annotations

import random
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

import pytest

from promptyoself.domain import limits
from promptyoself.domain.envelope import REPEAT_MARK
from promptyoself.targets.letta_runs import LettaPace
from tests.e2e.service import limits_of, pace_of, program_of
from tests.e2e.stage import (
    Arrival,
    Process,
    Receiver,
    Stage,
    assert_each_arrived_once,
    assert_never_two_at_once,
    by_agent,
    wait_for,
)

pytestmark = pytest.mark.slow

SEED: Final = 20261123
KILLS, AGENTS, DUE = 3, 150, 600
OUTAGE_S, AWAY_DUE = 12.0, 200
GIVE_UP_S = 2.0
WORK_S = 20.0
TEXTS = [f"prompt {number}" for number in range(DUE)]
OPEN_SLACK_S = 0.1
"""Between the last byte of an answer and the client's commit of it: a kill in there is one of an open request."""


@dataclass(frozen=True)
class Bounds:
    """Those that a recovery takes its time from, in seconds."""

    lease: float = limits.LEASE.total_seconds()
    absent_after: float = LettaPace().absent_after_s
    settle_max: float = limits.SETTLE_MAX.total_seconds()

    @property
    def recovery(self) -> float:
        """How long a recovery may take at most, on a machine that has others to serve."""
        return self.lease + 2 * self.absent_after + self.settle_max + WORK_S

    @property
    def program(self) -> str:
        """What sets them, as a program's beginning."""
        signs = self.lease / 3
        leases = limits_of(lease=self.lease, lease_renew_every=signs, heartbeat_every=signs)
        return leases + limits_of(settle_max=self.settle_max) + pace_of(absent_after_s=self.absent_after)


@dataclass(frozen=True)
class Killed:
    stage: Stage
    receiver: Receiver
    kills_s: list[float]
    bounds: Bounds

    @property
    def until_s(self) -> float:
        """By when (wall clock) all is to have arrived."""
        return self.kills_s[-1] + self.bounds.recovery


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(Bounds(lease=9, absent_after=6, settle_max=3), id="quick"),
        pytest.param(Bounds(), id="as shipped", marks=pytest.mark.long),
    ],
)
def killed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    """Two loops, of which one is killed, and another started, several times; two are left alive."""
    chance, bounds = random.Random(SEED), request.param
    with Stage(tmp_path_factory.mktemp("killed")) as stage:
        stage.program = program_of(bounds.program)
        receiver = stage.receiver(manners={"*": {"answer_s": 0.3, "run_s": 0.3}})
        first = datetime.now(UTC) - timedelta(seconds=60)
        prompts = ((f"agent-{number % AGENTS}", text) for number, text in enumerate(TEXTS))
        stage.add_due(prompts, first=first, apart=timedelta(milliseconds=10))
        loops: list[Process] = [stage.loop(), stage.loop()]
        kills_s = []
        for _ in range(KILLS):
            _wait_for_a_delivery(receiver)
            time.sleep(chance.uniform(0.0, 0.7))  # any moment, the same in every run
            loops.append(stage.start("execute", "--loop"))  # it comes up while its forerunner is being killed
            kills_s.append(loops.pop(chance.randrange(2)).signal(signal.SIGKILL))
        yield Killed(stage, receiver, kills_s, bounds)


def _wait_for_a_delivery(receiver: Receiver) -> None:
    """Wait for a new one; not for long, since all that is left may lie in lanes whose lease has to run out first."""
    seen, until_s = receiver.count("read"), time.monotonic() + GIVE_UP_S
    wait_for("a delivery", lambda: receiver.count("read") > seen or time.monotonic() > until_s, within_s=30)


@pytest.mark.usefixtures("killed")
def test_an_outage_costs_a_few_attempts_and_one_line_in_the_log_and_loses_nothing(stage: Stage) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stage.letta_url = f"http://127.0.0.1:{port}"
    texts = [f"away {number}" for number in range(AWAY_DUE)]
    due = datetime.now(UTC) - timedelta(seconds=30)
    stage.add_due(((f"agent-{text[5:]}", text) for text in texts), first=due, apart=timedelta(0))
    loop = stage.loop()

    time.sleep(OUTAGE_S)  # the outage itself is what is waited for

    # Those in flight at once may each be refused before the breaker opens; nobody after them.
    assert _attempts(stage) <= limits.TARGET_IN_FLIGHT_DEFAULT + limits.BREAKER_REFUSALS
    receiver = stage.receiver(port=port)
    within_s = limits.BREAKER_PROBE_MAX.total_seconds() + 30
    wait_for("all delivered", lambda: stage.states() == {"delivered": AWAY_DUE} or None, within_s=within_s)
    assert_each_arrived_once(receiver.arrivals(), texts)
    assert loop.stderr.count("target.breaker_opened") == 1
    assert loop.stderr.count("target.breaker_closed") == 1


def test_a_killed_executor_loses_nothing_and_repeats_only_what_was_open(killed: Killed) -> None:
    deadline_s = killed.until_s + 30

    def is_done() -> bool:
        return killed.stage.states() == {"delivered": DUE}

    wait_for("all delivered", is_done, within_s=max(1.0, deadline_s - time.time()))

    arrivals = killed.receiver.arrivals()
    assert {arrival.text for arrival in arrivals} == set(TEXTS)
    assert_never_two_at_once(arrivals)
    assert max(arrival.begun_s for arrival in arrivals) < killed.until_s
    for text in TEXTS:
        _check_repeats([arrival for arrival in arrivals if arrival.text == text], killed.kills_s)
    for arrived in by_agent(arrivals).values():
        assert len({arrival.key for arrival in arrived}) == DUE // AGENTS


def _check_repeats(arrived: list[Arrival], kills_s: list[float]) -> None:
    """Check that each arrival before the last was open at a kill, and each after the first says that it may repeat."""
    assert len({arrival.otid for arrival in arrived}) == 1
    for earlier, later in pairwise(arrived):
        assert any(_is_open(earlier, kill_s) for kill_s in kills_s), f"replay: seed={SEED}: {earlier}"
        assert REPEAT_MARK in (later.envelope or ""), f"replay: seed={SEED}: {later}"


def _is_open(arrival: Arrival, at_s: float) -> bool:
    return arrival.begun_s <= at_s and (arrival.answered_s is None or arrival.answered_s >= at_s - OPEN_SLACK_S)


def _attempts(stage: Stage) -> int:
    with stage.store() as store, store.reading() as tx:
        return sum(len(tx.attempts(number)) for number in range(1, AWAY_DUE + 1))
