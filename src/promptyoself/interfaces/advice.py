"""What a person or an agent should be told beside an answer, before a prompt is waited for in vain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptyoself.domain import limits

if TYPE_CHECKING:
    from datetime import datetime

    from promptyoself.domain.models import Executor
    from promptyoself.domain.ports import Tx
    from promptyoself.interfaces.services import Services

_PASSING = "execute"
"""The mode of an executor that makes one pass and ends."""
_DOORS = "doors"
"""The mode of one that answers and does not deliver."""


def lasting_executors(tx: Tx, *, now: datetime) -> list[Executor]:
    """Return the executors that are alive and stay: those a schedule can rely on."""
    alive = tx.executors(alive_since=now - limits.EXECUTOR_ALIVE_FOR)
    return [executor for executor in alive if executor.mode not in {_PASSING, _DOORS}]


def service_address(services: Services) -> str | None:
    """Return where a running service of this database answers, as its heartbeat says; the newest, when several do."""
    now = services.clock.now()
    with services.store.reading() as tx:
        served = [one for one in tx.executors(alive_since=now - limits.EXECUTOR_ALIVE_FOR) if one.address]
    return max(served, key=lambda one: one.started_at).address if served else None


def running_warnings(tx: Tx, *, now: datetime) -> list[str]:
    """Warn when nothing is running that would deliver, and when deliveries are stopped."""
    switch = tx.stop_switch()
    if switch is not None and switch.moves_to is not None:
        told = f"this database is being moved, or was moved, to {switch.moves_to}; what stands here is what it was then"
        return [f"all deliveries are stopped: {told}: set PROMPTYOSELF_DB to that place"]
    warnings = []
    if not lasting_executors(tx, now=now):
        warnings.append("nothing is running that would deliver: start `promptyoself execute --loop`")
    if switch is not None and switch.is_on(now=now):
        warnings.append(f"all deliveries are stopped ({switch.reason}): `promptyoself resume --all` lets them go on")
    return warnings


def zone_warnings(services: Services, timezone: str | None) -> list[str]:
    """Warn when nobody chose the zone in which times are read."""
    if timezone is not None or services.timezone_source != "machine":
        return []
    zone = services.defaults.timezone
    return [f"times are read in {zone}, this machine's zone: name yours with --timezone or PROMPTYOSELF_TIMEZONE"]
