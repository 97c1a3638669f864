"""SIGTERM and SIGINT in the middle of delivering: one JSON object, exit 0, and nothing lost or doubled by a restart."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.stage import (
    Process,
    Receiver,
    Stage,
    assert_each_arrived_once,
    assert_never_two_at_once,
    one_object,
    wait_for,
)

pytestmark = pytest.mark.slow

AGENTS, DUE = 60, 120
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
TEXTS = [f"prompt {number}" for number in range(DUE)]


def _begin(stage: Stage) -> Receiver:
    receiver = stage.receiver(manners={"*": {"answer_s": 0.2, "run_s": 0.6}})
    first = datetime.now(UTC) - timedelta(seconds=60)
    stage.add_due(
        ((f"agent-{n % AGENTS}", text) for n, text in enumerate(TEXTS)), first=first, apart=timedelta(0, 0.01)
    )
    return receiver


def _stop_amid_deliveries(receiver: Receiver, process: Process, number: signal.Signals) -> dict[str, object]:
    """Send the signal when requests are open, runs are at work, and prompts are still to be sent."""
    wait_for(
        "deliveries in every phase",
        lambda: receiver.count("started") > receiver.count("ended") and receiver.count("read") > 20,
        within_s=30,
    )
    assert receiver.count("read") < DUE
    process.signal(number)
    assert process.wait(within_s=30) == 0, process.stderr
    assert "Traceback" not in process.stderr
    return one_object(process.stdout)


def _finish(stage: Stage, receiver: Receiver) -> None:
    loop = stage.loop()
    wait_for("all delivered", lambda: stage.states() == {"delivered": DUE} or None, within_s=60)
    loop.signal(signal.SIGTERM)
    assert loop.wait(within_s=30) == 0
    arrivals = receiver.arrivals()
    assert_each_arrived_once(arrivals, TEXTS)
    assert_never_two_at_once(arrivals)


@SIGNALS
def test_a_signal_to_a_loop_loses_and_doubles_nothing(stage: Stage, number: signal.Signals) -> None:
    receiver = _begin(stage)
    loop = stage.loop()

    answer = _stop_amid_deliveries(receiver, loop, number)

    assert answer["status"] == "success"
    assert answer["clean"] is True
    assert answer["count"] == receiver.count("answered")
    _finish(stage, receiver)


@SIGNALS
def test_a_signal_to_a_single_execute_loses_and_doubles_nothing(stage: Stage, number: signal.Signals) -> None:
    receiver = _begin(stage)
    execute = stage.start("execute")

    answer = _stop_amid_deliveries(receiver, execute, number)

    assert answer["status"] == "success"
    _finish(stage, receiver)
