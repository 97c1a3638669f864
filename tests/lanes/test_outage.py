"""What a node's log says while its database is away."""

from __future__ import annotations

import logging

import pytest

from promptyoself.domain import limits
from promptyoself.domain.errors import StoreBusy, StoreUnreachable
from promptyoself.lanes.outage import Outage


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING)
    return caplog


def test_a_failure_is_told_when_it_is_new_then_once_in_a_while_and_its_end_once(log: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    outage = Outage(lambda: now_s)
    away, busy = StoreUnreachable("away", hint="start it"), StoreBusy("busy")

    def said() -> list[str]:
        lines = list(log.messages)
        log.clear()
        return lines

    outage.over()
    assert said() == []
    for what, error in (("a", away), ("b", away), ("a", away), ("a", busy), ("b", away)):
        outage.tell(what, error)
    assert said() == [
        "a code=store_unreachable error=away hint=start it",
        "b code=store_unreachable error=away hint=start it",
        "a code=store_busy error=busy",
    ]
    now_s = limits.OUTAGE_TOLD_EVERY.total_seconds() - 1
    outage.tell("a", away)
    assert said() == []
    now_s += 1
    outage.tell("a", away)
    outage.tell("a", away)
    assert said() == ["a code=store_unreachable error=away hint=start it"]
    outage.over()
    outage.over()
    assert said() == ["executor.store_is_back after_s=60.0"]
    outage.tell("a", away)
    assert said() == ["a code=store_unreachable error=away hint=start it"]
