"""Whether a service does its work: each look says what it found, in words, and what to do."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from promptyoself.domain import limits
from promptyoself.domain.models import Executor
from promptyoself.domain.ports_node import ENGINE_FAULT_CURE

if TYPE_CHECKING:
    from promptyoself.domain.ports import Clock, Store, Tx
    from promptyoself.domain.ports_node import FleetState

_BUILT_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""No honest clock shows an earlier time than the year this was written in."""

Result = Literal["ok", "warn", "fail"]
"""`warn`: what it does is held up by something outside; it does its own work all the same."""


class Look(NamedTuple):
    """What one look found."""

    name: str
    result: Result
    found: str
    cure: str | None = None


_CONNECTIONS_FULL: Final = 0.9
"""Of all connections that the server allows: beyond, the next node may find none."""
_GO_ON: Final = "`promptyoself resume --all` lets them go on"


def looks(
    tx: Tx,
    *,
    now: datetime,
    pid: int,
    targets: Collection[str],
    host: str | None = None,
    delivers: bool = True,
) -> Iterator[Look]:
    """Look at the work as the database shows it. `pid` is the service's own, `targets` those that it delivers to.

    `host` is its machine's name where several share the database, and a pid says too little. What is late is no failure
    of a process that does not deliver itself.
    """
    yield _executor(tx, now=now, pid=pid, host=host)
    shut = {health.target: health for health in tx.target_health() if health.is_open}
    for look in (
        _planner(tx, now=now),
        _lanes(tx, now=now, targets=[target for target in sorted(targets) if target not in shut]),
    ):
        yield look if delivers or look.result != "fail" else look._replace(result="warn")
    if shut:
        told = "; ".join(
            f"{one.target} refuses everybody since {one.since:%H:%M} UTC: {one.reason}" for one in shut.values()
        )
        yield Look("breaker", "warn", told, "it is probed and recovers by itself; see to the target")
    else:
        yield Look("breaker", "ok", "no target refuses everybody")
    switch = tx.stop_switch()
    if switch is not None and switch.is_on(now=now):
        yield Look("stop switch", "warn", f"all deliveries are stopped: {switch.reason}", _GO_ON)
    else:
        yield Look("stop switch", "ok", "deliveries may go out")


class _UndoneError(Exception):
    """Undoes a transaction."""


def write_and_undo(store: Store, *, now: datetime, by: str) -> None:
    """See that a row can be written, and leave none: a lock may be had where nothing can be. Raises StoreError kin."""
    row = Executor(id=by, host="", pid=0, version="", mode=by, started_at=now, heartbeat_at=now, address=None)
    with suppress(_UndoneError), store.transaction() as tx:
        tx.heartbeat(row)
        raise _UndoneError


def _executor(tx: Tx, *, now: datetime, pid: int, host: str | None) -> Look:
    """Look for the service's own heartbeat: it is written, and durable, every ten seconds."""
    alive = tx.executors(alive_since=now - limits.EXECUTOR_ALIVE_FOR)
    mine = [one for one in alive if one.pid == pid and host in {None, one.host}]
    if not mine:
        said = f"the scheduler has stored no heartbeat for {limits.EXECUTOR_ALIVE_FOR.total_seconds():.0f} s"
        return Look("scheduler", "fail", said, "its log says why (a full disk, a lock); else restart it")
    age = max(timedelta(0), now - max(one.heartbeat_at for one in mine))
    return Look("scheduler", "ok", f"its heartbeat was stored {age.total_seconds():.0f} s ago")


def _planner(tx: Tx, *, now: datetime) -> Look:
    lag = due_lag(tx, now=now)
    if lag <= limits.PLANNER_LATE:
        return Look("planner", "ok", "nothing is overdue")
    said = f"a schedule is due since {lag.total_seconds():.0f} s and not planned"
    return Look("planner", "fail", said, "is the machine overloaded, or the database locked? the log says which")


def due_lag(tx: Tx, *, now: datetime) -> timedelta:
    """Return for how long the schedule that is due the longest has waited to be planned; zero when none is due."""
    due = tx.schedules_due(now=now, limit=1)
    if not due:
        return timedelta(0)
    instants = (due[0].paused_until, due[0].next_fire_at)
    since = max((at for at in instants if at is not None), default=now)
    return max(timedelta(0), now - since)


def _lanes(tx: Tx, *, now: datetime, targets: list[str]) -> Look:
    stuck = tx.ready_lanes(now=now - limits.LANE_STUCK, limit=1000, targets=targets)
    if not stuck:
        return Look("lanes", "ok", "none is stuck")
    said = f"{len(stuck)} agents have had something due for {limits.LANE_STUCK.total_seconds() / 60:.0f} minutes"
    return Look(
        "lanes",
        "fail",
        f"{said}, and nobody works on it",
        "promptyoself deliveries --state pending shows what waits; the log may say why",
    )


def fleet_looks(state: FleetState, *, host: str, offset: timedelta | None) -> Iterator[Look]:
    """Look at what a fleet shares.

    `host` is this machine's name, `offset` how far its clock is ahead of the database's.
    """
    server = f"PostgreSQL {state.server_version} answers in {state.latency_ms:.1f} ms"
    used = f"{state.connections} of {state.connections_max} connections are open"
    if state.connections >= state.connections_max * _CONNECTIONS_FULL:
        yield Look("server", "warn", f"{server}; {used}", "raise max_connections there, or run fewer processes")
    else:
        yield Look("server", "ok", f"{server}; {used}")
    yield _host_clocks(state, host=host, offset=offset)
    yield _tokens(state)


def _host_clocks(state: FleetState, *, host: str, offset: timedelta | None) -> Look:
    known = {one.host: one.clock_off for one in state.nodes if one.clock_off is not None}
    if offset is not None:
        known[host] = offset
    off = {name: by for name, by in sorted(known.items()) if abs(by) > limits.HOST_CLOCK_OFF_MAX}
    if off:
        told = ", ".join(f"{name} {by.total_seconds():+.1f} s" for name, by in off.items())
        said = f"off the database's time: {told}; deliveries go by the database's"
        return Look("host clocks", "warn", said, "set these machines' clocks by NTP: their logs tell wrong times")
    furthest = max((abs(by) for by in known.values()), default=timedelta(0))
    said = f"no machine's is further than {furthest.total_seconds():.1f} s from the database's"
    return Look("host clocks", "ok", said)


def _tokens(state: FleetState) -> Look:
    if state.engine_fault is not None:
        return Look("tokens", "fail", state.engine_fault, ENGINE_FAULT_CURE)
    counts = ", ".join(f"{count} {name}" for name, count in sorted(state.tokens.items())) or "none"
    if state.lanes_without_token or state.tokens_without_lane:
        said = (
            f"{state.lanes_without_token} agents have had something due for "
            f"{limits.LANE_STUCK.total_seconds() / 60:.0f} minutes and no token; "
            f"{state.tokens_without_lane} tokens are of no agent"
        )
        return Look(
            "tokens", "warn", said, "workers issue and drop them by themselves within a minute: is one running?"
        )
    return Look("tokens", "ok", counts)


class ClockWatch:
    """Notices that the wall clock was set: it and the monotonic one part."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall, self._steady = clock.now(), clock.monotonic()
        self._stepped: tuple[float, timedelta] | None = None

    def look(self) -> Look:
        """Compare the two clocks since the last look; a step is told for CLOCK_STEP_TOLD_FOR."""
        wall, steady = self._clock.now(), self._clock.monotonic()
        step = (wall - self._wall) - timedelta(seconds=steady - self._steady)
        self._wall, self._steady = wall, steady
        if abs(step) >= limits.CLOCK_STEP_MIN:
            self._stepped = steady, step
        if wall < _BUILT_AT:
            return Look("clock", "fail", f"it shows {wall:%Y-%m-%d %H:%M} UTC", "set it; nothing fires at its time")
        if self._stepped and steady - self._stepped[0] < limits.CLOCK_STEP_TOLD_FOR.total_seconds():
            said = f"it was set by {self._stepped[1].total_seconds():+.0f} s, or the machine slept"
            return Look("clock", "warn", said, "what came due is delivered by each schedule's catch-up; use NTP")
        return Look("clock", "ok", f"{wall:%Y-%m-%d %H:%M:%S} UTC")
