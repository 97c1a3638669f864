"""A node's one listening connection: it hears of others' commits at once, tells the time, and comes back by itself."""

from __future__ import annotations

import queue
import statistics
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta

import psycopg
import pytest
from psycopg import sql

from promptyoself.domain.models import Executor
from promptyoself.fleet_clock import FleetClock
from promptyoself.runtime import SystemClock
from promptyoself.storage.postgres import PostgresStore
from promptyoself.storage.postgres_link import Ask, PostgresLink
from tests.postgres.server import PostgresServer

CHANNEL = "promptyoself"
WITHIN_S = 10.0


class Heard:
    """What the link has told, in order, and how often the time was measured."""

    def __init__(self, url: str, channel: str = CHANNEL, executor_id: str | None = None) -> None:
        self.news: queue.Queue[str] = queue.Queue()
        self.times: list[datetime] = []
        self.link = PostgresLink(
            url,
            measure=self._measure,
            monotonic=SystemClock().monotonic,
            executor_id=executor_id,
            clock_off=lambda: timedelta(seconds=1),
        )
        self.link.listen(channel, self.news.put)

    def _measure(self, ask: Ask) -> None:
        self.times.append(ask())

    def next(self) -> str:
        return self.news.get(timeout=WITHIN_S)


@contextmanager
def hearing(url: str, channel: str = CHANNEL) -> Iterator[Heard]:
    heard = Heard(url, channel)
    heard.link.start()
    try:
        assert heard.next() == "", "once it listens, everybody is told to look"
        yield heard
    finally:
        heard.link.close()


@pytest.fixture
def elsewhere(postgres_url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


def test_what_another_connection_tells_is_heard_in_order(
    postgres_url: str, elsewhere: psycopg.Connection[tuple[object, ...]]
) -> None:
    with hearing(postgres_url) as heard:
        for number in range(100):
            elsewhere.execute("SELECT pg_notify('promptyoself', %s), pg_notify('another', 'x')", [str(number)])
        assert [heard.next() for _ in range(100)] == [str(number) for number in range(100)]


def test_news_take_milliseconds(postgres_url: str, elsewhere: psycopg.Connection[tuple[object, ...]]) -> None:
    monotonic = SystemClock().monotonic
    took_ms = []
    with hearing(postgres_url) as heard:
        for _ in range(50):
            begun = monotonic()
            elsewhere.execute("SELECT pg_notify('promptyoself', 'x')")
            heard.next()
            took_ms.append((monotonic() - begun) * 1000)
    assert statistics.median(took_ms) < 25, took_ms


def test_a_broken_connection_is_made_anew_and_everybody_is_told_to_look(
    postgres_url: str, elsewhere: psycopg.Connection[tuple[object, ...]]
) -> None:
    with hearing(postgres_url) as heard:
        for _ in range(2):
            broken = elsewhere.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE '%link'"
            ).fetchone()
            assert broken == (1,)
            assert heard.next() == ""
            elsewhere.execute("SELECT pg_notify('promptyoself', 'after')")
            assert heard.next() == "after"
        assert len(heard.times) == 3, "the time is measured with each new connection"


def test_an_idle_link_stands_whatever_bounds_the_database_sets(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as elsewhere:
        name = sql.Identifier(elsewhere.info.dbname)
        elsewhere.execute(sql.SQL("ALTER DATABASE {} SET idle_session_timeout = '100ms'").format(name))
        elsewhere.execute(sql.SQL("ALTER DATABASE {} SET datestyle = 'German'").format(name))
        with hearing(url) as heard:
            elsewhere.execute("SELECT pg_sleep(0.3)")
            elsewhere.execute("SELECT pg_notify('promptyoself', 'after')")
            assert heard.next() == "after"


def test_a_clock_that_cannot_be_noted_costs_no_news(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as elsewhere:
        name = sql.Identifier(elsewhere.info.dbname)
        elsewhere.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
        heard = Heard(url, executor_id="here")
        heard.link.start()
        try:
            assert heard.next() == ""
            for _ in range(2):
                heard.link.measure_soon()
                elsewhere.execute("SELECT pg_notify('promptyoself', 'after')")
                assert heard.next() == "after"
        finally:
            heard.link.close()


def test_the_time_is_measured_when_asked_for(postgres_url: str) -> None:
    with hearing(postgres_url) as heard:
        before = len(heard.times)
        heard.link.measure_soon()
        assert len(heard.times) == before + 1


def test_a_server_that_is_away_keeps_nobody_waiting() -> None:
    heard = Heard("postgresql://postgres@127.0.0.1:1/none")
    heard.link.start()
    heard.link.measure_soon()
    heard.link.close()
    assert heard.news.empty()


def test_a_clock_is_kept_by_the_link(postgres_url: str) -> None:
    clock = FleetClock(SystemClock(), host="here")
    link = PostgresLink(postgres_url, measure=clock.measure, monotonic=clock.monotonic)
    told: queue.Queue[str] = queue.Queue()
    link.listen(CHANNEL, told.put)
    link.start()
    told.get(timeout=WITHIN_S)
    link.close()
    offset = clock.offset
    assert offset is not None
    assert abs(offset) < timedelta(seconds=1), "the database of this test is on this machine"


def test_the_others_are_told_how_far_this_host_is_off(postgres_url: str) -> None:
    now = SystemClock().now()
    me = Executor(id="me", host="here", pid=1, version="1", mode="worker", started_at=now, heartbeat_at=now)
    with closing(PostgresStore.open(postgres_url, new_uid=lambda: "ab" * 16)) as store:
        off = [timedelta(seconds=3)]
        link = PostgresLink(
            postgres_url,
            measure=Heard(postgres_url)._measure,
            monotonic=SystemClock().monotonic,
            executor_id="me",
            clock_off=lambda: off[0],
        )
        told: queue.Queue[str] = queue.Queue()
        link.listen(CHANNEL, told.put)
        link.start()
        told.get(timeout=WITHIN_S)
        try:
            link.measure_soon()  # too soon: the heartbeat comes now
            with store.transaction() as tx:
                tx.heartbeat(me)
            for off[0] in (timedelta(seconds=3), timedelta(seconds=3.05), -timedelta(hours=1)):
                link.measure_soon()
                link.measure_soon()  # the second begins when the first has been written down
            with store.reading() as tx:
                (node,) = tx.fleet_state(now=now, monotonic=SystemClock().monotonic).nodes
        finally:
            link.close()
    assert (node.id, node.host, node.clock_off) == ("me", "here", -timedelta(hours=1))
