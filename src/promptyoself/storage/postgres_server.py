"""What a transaction can tell of the server it runs on, and of the fleet that shares it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.ports_node import FleetState, NodeSeen
from promptyoself.storage.postgres_errors import without_right
from promptyoself.storage.rows import Row, instant, micros
from promptyoself.storage.statements import Statements

_TOKENS: Final = {
    "id": "bigint",
    "priority": "integer",
    "queue_manager_id": "uuid",
    "created": "timestamp with time zone",
    "updated": "timestamp with time zone",
    "heartbeat": "timestamp with time zone",
    "execute_after": "timestamp with time zone",
    "status": "pgqueuer_status",
    "entrypoint": "text",
    "dedupe_key": "text",
    "payload": "bytea",
    "headers": "jsonb",
    "attempts": "integer",
    "slot": "bigint",
    "unique dedupe_key": "index",
    "tells of changes": "trigger",
}
"""What `token_shape` has to find: all columns that the carrier reads a token from, and what keeps a lane to one."""
_GIVEN: Final = frozenset({"priority", "entrypoint", "dedupe_key", "payload", "status"})
"""Columns that a new token is given (issue_tokens); every other one has to fill itself."""

_TOLD_MAX: Final = 3
"""Rights that are named when many are missing."""


class ServerStatements(Statements):
    """Looks of doctor, readiness and metrics; and the one clock of the fleet."""

    def engine_fault(self) -> str | None:
        """Return what is wrong with the tables of the lanes' tokens, in a sentence; None when all is well."""
        found = {str(row["name"]): row for row in self._rows("token_shape", {})}
        if not found:
            return "the table of the lanes' tokens (pgqueuer) is not there"
        faults = [f"{name} is missing" for name in _TOKENS if name not in found]
        faults += [
            f"{name} is {row['type']} and not {_TOKENS[name]}"
            for name, row in found.items()
            if row["type"] != _TOKENS.get(name, row["type"])
        ]
        faults += [
            f"{name} wants a value" for name, row in found.items() if row["must_be_given"] and name not in _GIVEN
        ]
        return f"the table of the lanes' tokens (pgqueuer) is not ours: {', '.join(faults)}" if faults else None

    def refuse_without_rights(self) -> None:
        """Raise StoreReadOnly when our user may not write what a node has to."""
        missing = [str(row["missing"]) for row in self._rows("rights_missing", {})]
        if missing:
            more = f", and {len(missing) - _TOLD_MAX} more" if len(missing) > _TOLD_MAX else ""
            raise without_right(self._location, f"{', '.join(missing[:_TOLD_MAX])}{more}")

    def server_time(self) -> datetime:
        """Return the server's clock at this moment, not at the transaction's beginning: aware UTC."""
        row = self._first("server_time", {})
        assert row is not None, "a SELECT without FROM has one row"  # noqa: S101  SQL says so
        at: datetime = row["at"]
        return at.astimezone(UTC)

    def fleet_state(self, *, now: datetime, monotonic: Callable[[], float]) -> FleetState:
        """Return what one look finds; `monotonic` counts seconds, for how long an answer takes."""
        begun_s = monotonic()
        self.server_time()
        took_s = monotonic() - begun_s
        server = self._first("server_state", {}) or {}
        nodes = self._all("nodes", {"alive_since": micros(now - limits.EXECUTOR_ALIVE_FOR)}, _node)
        fault = self.engine_fault()
        is_there = fault is None
        tokens = {str(row["state"]): int(row["tokens"]) for row in self._rows("token_counts", {})} if is_there else {}
        stuck = {"now": micros(now), "since": micros(now - limits.LANE_STUCK)}
        lost = (self._first("tokens_astray", stuck) if is_there else None) or {}
        return FleetState(
            server_version=str(server.get("version", "")),
            latency_ms=round(took_s * 1000, 3),
            connections=int(server.get("used", 0)),
            connections_max=int(server.get("most", 0)),
            nodes=nodes,
            tokens={"queued": 0, "picked": 0} | tokens,
            lanes_without_token=int(lost.get("lanes_without", 0)),
            tokens_without_lane=int(lost.get("without_lane", 0)),
            engine_fault=fault,
        )


def _node(row: Row) -> NodeSeen:
    off_us = row["clock_off_us"]
    return NodeSeen(
        id=row["id"],
        host=row["host"],
        mode=row["mode"],
        version=row["version"],
        heartbeat_at=instant(row["heartbeat_at"]),
        clock_off=None if off_us is None else timedelta(microseconds=off_us),
    )
