"""What is said of a fleet's server, hosts and tokens: in words, with a cure, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from promptyoself.application.readiness import Look, fleet_looks
from promptyoself.domain.ports_node import FleetState, NodeSeen
from tests.factories import NOW

S = timedelta(seconds=1)
WELL = FleetState(
    server_version="18.1",
    latency_ms=0.24,
    connections=20,
    connections_max=100,
    nodes=(),
    tokens={"queued": 3, "picked": 1},
    lanes_without_token=0,
    tokens_without_lane=0,
    engine_fault=None,
)


def look_at(state: FleetState, name: str, *, offset: timedelta | None = 0 * S) -> Look:
    looks = {look.name: look for look in fleet_looks(state, host="here", offset=offset)}
    assert list(looks) == ["server", "host clocks", "tokens"]
    assert all((look.result == "ok") == (look.cure is None) for look in looks.values())
    return looks[name]


def a_node(host: str, off: timedelta | None) -> NodeSeen:
    return NodeSeen(id=host, host=host, mode="worker", version="1", heartbeat_at=NOW, clock_off=off)


def test_all_is_well() -> None:
    told = [(look.result, look.found) for look in fleet_looks(WELL, host="here", offset=0.1 * S)]
    assert told == [
        ("ok", "PostgreSQL 18.1 answers in 0.2 ms; 20 of 100 connections are open"),
        ("ok", "no machine's is further than 0.1 s from the database's"),
        ("ok", "1 picked, 3 queued"),
    ]


@pytest.mark.parametrize(("used", "result"), [(89, "ok"), (90, "warn"), (100, "warn")])
def test_a_server_that_runs_out_of_connections_is_told_before_it_has(used: int, result: str) -> None:
    assert look_at(replace(WELL, connections=used), "server").result == result


def test_hosts_whose_clocks_are_off_are_named_ours_as_it_is_now() -> None:
    state = replace(WELL, nodes=(a_node("here", 9 * S), a_node("a", -3 * S), a_node("b", 2 * S), a_node("c", None)))
    found = look_at(state, "host clocks", offset=S)
    assert found.result == "warn"
    assert found.found == "off the database's time: a -3.0 s; deliveries go by the database's"
    assert "here +2.5 s" in look_at(WELL, "host clocks", offset=2.5 * S).found
    assert look_at(state, "host clocks", offset=None).found.count("+9.0 s") == 1


@pytest.mark.parametrize(
    "astray", [replace(WELL, lanes_without_token=4), replace(WELL, tokens_without_lane=4)], ids=["lanes", "tokens"]
)
def test_lanes_and_tokens_that_belong_to_nobody_are_counted(astray: FleetState) -> None:
    found = look_at(astray, "tokens")
    assert (found.result, "4 " in found.found) == ("warn", True)


def test_tables_that_are_not_as_they_should_be_are_a_failure() -> None:
    found = look_at(replace(WELL, engine_fault="there are no tables"), "tokens")
    assert (found.result, found.found) == ("fail", "there are no tables")
