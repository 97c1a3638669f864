"""What a transaction can tell of the server it runs on, and of the fleet that shares it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from promptyoself.domain import limits
from promptyoself.domain.ports_node import FleetState, NodeSeen
from promptyoself.storage.rows import Row, instant, micros
from promptyoself.storage.statements import Statements


class ServerStatements(Statements):
    """Looks of doctor, readiness and metrics; and the one clock of the fleet."""

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
        is_there = bool((self._first("has_tokens", {}) or {}).get("is_there"))
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
            engine_fault=None if is_there else "the tables of the lanes' tokens are not there",
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
