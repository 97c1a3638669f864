"""A fleet's time is its database's: hosts that are wrong, are set or sleep change nothing of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from promptyoself.domain import limits
from promptyoself.domain.errors import StoreError
from promptyoself.fleet_clock import FleetClock

TRUE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MS = timedelta(milliseconds=1)


class Host:
    """A machine whose clocks a test moves; `true` is what the database's clock shows."""

    def __init__(self, off: timedelta = timedelta(0)) -> None:
        self.true = TRUE
        self.off = off
        self.steady_s = 1000.0
        self.trips: Iterator[tuple[float, float]] = iter(())

    def now(self) -> datetime:
        return self.true + self.off

    def monotonic(self) -> float:
        return self.steady_s

    def passes(self, seconds: float, *, asleep: bool = False) -> None:
        self.true += timedelta(seconds=seconds)
        if not asleep:
            self.steady_s += seconds

    def ask(self) -> datetime:
        """Answer after a way there and a way back of so many milliseconds."""
        there_ms, back_ms = next(self.trips, (0.0, 0.0))
        self.passes(there_ms / 1000)
        answer = self.true
        self.passes(back_ms / 1000)
        return answer


def a_clock(host: Host, trips: Iterable[tuple[float, float]] = ()) -> FleetClock:
    clock = FleetClock(host, host="machine-7")
    host.trips = iter(trips)
    clock.measure(host.ask)
    return clock


def refuse() -> datetime:
    raise StoreError("the database is away")


def test_before_it_is_measured_it_is_the_hosts() -> None:
    host = Host(off=timedelta(hours=1))
    clock = FleetClock(host, host="machine-7")
    assert (clock.now(), clock.offset, clock.error) == (TRUE + timedelta(hours=1), None, None)


@pytest.mark.parametrize("off", [timedelta(0), timedelta(minutes=5), -timedelta(days=3)])
def test_a_host_that_is_off_tells_the_databases_time(off: timedelta) -> None:
    host = Host(off)
    clock = a_clock(host)
    host.passes(3600)
    assert clock.now() == host.true
    assert clock.offset == off


def test_the_quickest_answer_counts() -> None:
    host = Host()
    slow, quick = (80.0, 0.0), (0.5, 0.5)
    clock = a_clock(host, [slow, slow, quick, slow, slow])
    assert clock.now() == host.true
    assert clock.error == 0.5 * MS


def test_an_answer_is_wrong_by_half_of_its_way_at_most() -> None:
    host = Host()
    clock = a_clock(host, [(9.0, 1.0)] * limits.CLOCK_SAMPLES)
    assert clock.error == 5 * MS
    assert abs(clock.now() - host.true) <= 5 * MS


def test_a_step_of_the_hosts_clock_changes_nothing() -> None:
    host = Host()
    clock = a_clock(host)
    for step in (timedelta(hours=2), -timedelta(days=400)):
        host.off += step
        assert clock.now() == host.true
        host.passes(10)
        assert clock.now() == host.true


def test_an_unsure_answer_does_not_move_a_time_that_agrees_with_it() -> None:
    host = Host()
    clock = a_clock(host)
    host.passes(5)
    host.trips = iter([(40.0, 0.0)] * limits.CLOCK_SAMPLES)
    clock.measure(host.ask)
    assert clock.now() == host.true


def test_a_time_that_is_proved_wrong_is_put_right() -> None:
    host = Host()
    clock = a_clock(host)
    host.true += timedelta(seconds=3)  # the database's host was set
    clock.measure(host.ask)
    assert clock.now() == host.true


def test_after_a_sleep_it_is_measured_before_anybody_reads_it() -> None:
    host = Host()
    clock = a_clock(host)
    asked = []

    def again() -> None:
        asked.append(1)
        clock.measure(host.ask)

    clock.keep(again)
    host.passes(600, asleep=True)
    assert clock.now() == host.true
    host.passes(60)
    assert clock.now() == host.true
    assert asked == [1]


def test_after_a_sleep_with_the_database_away_the_last_offset_holds_and_nobody_waits_twice() -> None:
    host = Host()
    clock = a_clock(host)
    asked = []

    def again() -> None:
        asked.append(1)
        with pytest.raises(StoreError):
            clock.measure(refuse)

    clock.keep(again)
    host.passes(600, asleep=True)
    assert clock.now() == host.true - timedelta(seconds=600)
    assert clock.now() == host.true - timedelta(seconds=600)
    assert asked == [1]
    clock.measure(host.ask)
    assert clock.now() == host.true


def test_a_host_that_is_off_says_so_once_by_name(caplog: pytest.LogCaptureFixture) -> None:
    host = Host(limits.HOST_CLOCK_OFF_MAX)
    clock = a_clock(host)
    assert caplog.records == []
    host.off += MS
    for _ in range(3):
        clock.measure(host.ask)
    (said,) = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert "clock.host_off host=machine-7 by_s=+2.0" in said
