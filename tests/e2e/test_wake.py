"""An idle loop is woken by what other processes store, not by its interval."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import median

import pytest

from tests.e2e.stage import Receiver, Stage, wait_for

pytestmark = pytest.mark.slow

TRIES = 3
"""The middle one of three counts: a loaded machine may hold up one, polling each 60 s would hold up all."""


@pytest.fixture
def receiver(stage: Stage) -> Receiver:
    made = stage.receiver()
    stage.loop("--interval", "60")
    return made


def _arrival_s(receiver: Receiver, text: str) -> float:
    def look() -> float | None:
        return next((arrival.begun_s for arrival in receiver.arrivals() if arrival.text == text), None)

    return wait_for(f"the arrival of {text}", look, within_s=15)


def _middle_s(tries: int, one: Callable[[int], float]) -> float:
    return median(one(number) for number in range(tries))


def test_a_prompt_registered_by_another_process_arrives_at_its_due_time(stage: Stage, receiver: Receiver) -> None:
    def late_s(number: int) -> float:
        due_at = datetime.now(UTC) + timedelta(seconds=2)
        stage.register("agent-1", f"prompt {number}", "--time", due_at.isoformat(), "--skip-validation")
        return _arrival_s(receiver, f"prompt {number}") - due_at.timestamp()

    assert 0 <= _middle_s(TRIES, late_s) < 0.3


def test_a_run_now_by_another_process_arrives_at_once(stage: Stage, receiver: Receiver) -> None:
    ids = [stage.register(f"agent-{n}", f"prompt {n}", "--every", "1d", "--skip-validation") for n in range(TRIES)]

    def late_s(number: int) -> float:
        answer = stage.call("run-now", "--id", str(ids[number]))
        asked_at = datetime.fromisoformat(answer["delivery"]["fire_at"])
        return _arrival_s(receiver, f"prompt {number}") - asked_at.timestamp()

    assert 0 <= _middle_s(TRIES, late_s) < 0.5
