"""`doctor`: is everything in place for prompts to arrive? Each check says what it found and what to do."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from promptyoself import __version__
from promptyoself.application.readiness import fleet_looks, write_and_undo
from promptyoself.domain.errors import ConfigError, PromptyoselfError, StoreError, TargetError
from promptyoself.interfaces import wire
from promptyoself.interfaces.advice import lasting_executors

if TYPE_CHECKING:
    from promptyoself.domain.ports import Tx
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.services import Services
    from promptyoself.interfaces.wire import Document

_BUILT_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""No honest clock shows an earlier time than the year this was written in."""
_CLOCK_SLACK: Final = timedelta(seconds=5)
_LONG_AGO: Final = timedelta(days=3650)

Result = Literal["ok", "warn", "fail"]


class Check(NamedTuple):
    """What one look found. `cure` says what to do, when there is something to do."""

    name: str
    result: Result
    found: str
    cure: str | None = None


def doctor(call: Call) -> Document:
    """Make every check; an error when one fails."""
    services = call.services
    checks = _looked(_version, services) + _looked(_database, services)
    # Without a database there is nothing more to be said about executors and heartbeats.
    if all(check.result != "fail" for check in checks):
        checks += _looked(_deliveries, services) + _looked(_clock, services) + _looked(_zone_data, services)
        checks += _looked(_fleet, services)
    checks += _looked(_zone, services) + _looked(_letta, services)
    shown = [check._asdict() for check in checks]
    failed = [check for check in checks if check.result == "fail"]
    if failed:
        first = failed[0]
        return wire.problem(f"{first.name}: {first.found}", code="doctor", hint=first.cure, checks=shown)
    warned = sum(check.result == "warn" for check in checks)
    return wire.success(checks=shown, message=f"{len(checks)} checks, {warned} warnings, no failure")


def _looked(look: Callable[[Services], Iterator[Check]], services: Services) -> list[Check]:
    found: list[Check] = []
    try:
        found.extend(look(services))
    except PromptyoselfError as error:
        found.append(Check(look.__name__.strip("_"), "fail", error.message, error.hint))
    return found


def _version(_services: Services) -> Iterator[Check]:
    found = f"promptyoself {__version__}, Python {platform.python_version()}"
    if platform.system() == "Windows":
        yield Check("version", "warn", f"{found} on Windows", "signals and file modes are POSIX's; use WSL")
    else:
        yield Check("version", "ok", found)


def _database(services: Services) -> Iterator[Check]:
    location = services.store.location
    with services.store.transaction() as tx:
        counts = tx.counts()
        earlier = tx.in_use_until()
        due = None if earlier is None else tx.due_before(earlier)
    write_and_undo(services.store, now=services.clock.now(), by="doctor")
    active = counts.get("schedules_active", 0)
    yield Check("database", "ok", f"{location} can be written; {active} active schedules")
    if due is not None:
        told = f"restored; in use until {earlier:%Y-%m-%d %H:%M:%S} UTC before. Of what was due by then"
        yield Check("restored", "ok", f"{told} {due.deliveries} prompts and {due.schedules} schedules wait")
    damage = services.problems()
    if damage:
        made_by = "promptyoself db backup" if services.fleet is None else "pg_dump, or pg_basebackup,"
        cure = f"stop everything that uses it, keep a copy, and restore a backup ({made_by} makes them)"
        yield Check("integrity", "fail", f"the database is damaged: {damage[0]}", cure)
    else:
        yield Check("integrity", "ok", "no damage found")


def _deliveries(services: Services) -> Iterator[Check]:
    with services.store.reading() as tx:
        now = services.clock.now()
        yield _executor(tx, now=now, hands="execute --loop" if services.fleet is None else "promptyoself worker")
        switch = tx.stop_switch()
        open_breakers = [health for health in tx.target_health() if health.is_open]
        dead = tx.counts().get("deliveries_dead", 0)
    if switch is not None and switch.is_on(now=now):
        cure = "promptyoself resume --all lets them go on"
        until = f" until {switch.until:%Y-%m-%d %H:%M} UTC" if switch.until else ""
        yield Check("stop switch", "warn", f"all deliveries are stopped{until}: {switch.reason}", cure)
    else:
        yield Check("stop switch", "ok", "deliveries may go out")
    for health in open_breakers:
        found = f"{health.target} has refused everybody since {health.since:%Y-%m-%d %H:%M} UTC: {health.reason}"
        yield Check("breaker", "warn", found, "it is probed and recovers by itself; see to the target")
    if not open_breakers:
        yield Check("breaker", "ok", "no target refuses everybody")
    if dead:
        cure = "promptyoself deliveries --state dead lists them, promptyoself retry --id N tries one again"
        yield Check("dead letters", "warn", f"{dead} deliveries were given up", cure)


def _executor(tx: Tx, *, now: datetime, hands: str) -> Check:
    alive = lasting_executors(tx, now=now)
    if not alive:
        return Check(
            "executor", "warn", "nothing is running that would deliver", f"start promptyoself serve, or {hands}"
        )
    newest = max(alive, key=lambda executor: executor.heartbeat_at)
    age = max(timedelta(0), now - newest.heartbeat_at).total_seconds()
    found = f"{len(alive)} running; {newest.id} ({newest.mode}, {newest.version}) was heard of {age:.0f} s ago"
    found += "".join(f"; the service answers at {one.address}" for one in alive if one.address)
    if any(executor.version != __version__ for executor in alive):
        return Check("executor", "warn", f"{found}; versions differ", "restart it, so that all run the same version")
    return Check("executor", "ok", found)


def _clock(services: Services) -> Iterator[Check]:
    now = services.clock.now()
    with services.store.reading() as tx:
        beats = [executor.heartbeat_at for executor in tx.executors(alive_since=now - _LONG_AGO)]
    ahead = max(beats, default=now) - now
    if now < _BUILT_AT:
        yield Check("clock", "fail", f"the clock shows {now:%Y-%m-%d %H:%M} UTC", "set it; nothing fires at its time")
    elif ahead > _CLOCK_SLACK:
        found = f"an executor's heartbeat is {ahead.total_seconds():.0f} s in the future of this clock"
        yield Check("clock", "warn", found, "the clock was set back, or two machines disagree: use NTP")
    else:
        yield Check("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _fleet(services: Services) -> Iterator[Check]:
    """Look at what is shared by many machines, where many share it."""
    fleet = services.fleet
    if fleet is None:
        return
    state = fleet.state()
    for look in fleet_looks(state, host=fleet.host, offset=fleet.clock_offset):
        yield Check(*look)
    hosts = Counter(node.host for node in state.nodes)
    told = ", ".join(f"{count} on {host}" for host, count in sorted(hosts.items()))
    yield Check("nodes", "ok", told or "none is running")


def _zone(services: Services) -> Iterator[Check]:
    from promptyoself.domain.localtime import check_timezone

    timezone, source = services.defaults.timezone, services.timezone_source
    check_timezone(timezone)
    if source == "machine":
        cure = "set PROMPTYOSELF_TIMEZONE to the zone you mean"
        yield Check("zone", "warn", f"{timezone}, because this machine is set to it", cure)
    else:
        yield Check("zone", "ok", f"{timezone} (from {source})")


def _zone_data(services: Services) -> Iterator[Check]:
    """Say which zone database is read here, and which one next fires were worked out with."""
    from promptyoself.domain.zone_versions import is_newer

    ours = services.zone_data_version()
    with services.store.reading() as tx:
        record = tx.zone_record()
    if record is None:
        yield Check("zone data", "ok", f"{ours}; no executor has noted it yet")
        return
    stored = f"next fires were worked out with {record.version} since {record.since:%Y-%m-%d %H:%M} UTC"
    if record.version == ours:
        yield Check("zone data", "ok", f"{ours}; {stored}")
    elif is_newer(record.version, ours) is True:
        cure = "update tzdata here (the system's, or `pip install --upgrade tzdata`), and restart what runs"
        yield Check("zone data", "warn", f"{ours} here, which is older: {stored}", cure)
    else:
        cure = "an executor works them out anew when it starts; promptyoself execute does it now"
        yield Check("zone data", "warn", f"{ours} here: {stored}", cure)


def _letta(services: Services) -> Iterator[Check]:
    try:
        found = services.ping()
    except TargetError as error:
        # Letta may be away for a while: prompts wait. It is a failure when something is registered that waits for it.
        yield Check("letta", "fail" if _is_needed(services) else "warn", error.message, error.hint)
        return
    yield Check("letta", "ok", f"{found.version or 'a server'} at {found.url} answers in {found.latency_ms:g} ms")


def _is_needed(services: Services) -> bool:
    try:
        with services.store.reading() as tx:
            return tx.counts().get("schedules_active", 0) > 0
    except (StoreError, ConfigError):
        return False
