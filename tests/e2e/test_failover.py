"""The primary dies as a machine does, and a standby takes over: nodes go on by themselves at the other address.

Figures under more load, with doors, are in docs/operating.md.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from promptyoself.domain.models import DeliveryState
from tests.e2e.fleet import FleetStage
from tests.e2e.stage import assert_each_arrived_once, assert_never_two_at_once, wait_for
from tests.postgres.server import PostgresServer

pytestmark = pytest.mark.slow

GO_ON_WITHIN_S = 5
"""Of the promotion: as docs/operating.md promises of a database that is back."""


class Pair(NamedTuple):
    """A primary, and what follows it."""

    primary: PostgresServer
    standby: PostgresServer
    url: str
    """Of both: whichever takes writes."""

    def follows(self) -> bool:
        """Whether the standby has all that is committed."""
        with psycopg.connect(self.primary.url()) as connection:
            row = connection.execute("SELECT flush_lsn >= pg_current_wal_lsn() FROM pg_stat_replication").fetchone()
        return row == (True,)

    def fail_over(self) -> float:
        """Let the primary die and the standby take over; return when it did (monotonic)."""
        self.primary.kill()
        self.standby.promote()
        return time.monotonic()


@pytest.fixture
def pair() -> Iterator[Pair]:
    with PostgresServer() as primary:
        name = primary.new_database().partition("/t")[2].partition("?")[0]
        with PostgresServer(standby_of=primary) as standby:
            hosts = ",".join(f"127.0.0.1:{one.port}" for one in (standby, primary))  # the wrong one first
            pair = Pair(primary, standby, f"postgresql://postgres@{hosts}/t{name}?target_session_attrs=read-write")
            wait_for("the standby to follow", pair.follows, within_s=30)
            yield pair


def test_with_a_synchronous_standby_nothing_is_lost_and_nothing_sent_again(pair: Pair, tmp_path: Path) -> None:
    pair.primary.set("synchronous_standby_names", "*")
    with FleetStage(tmp_path, pair.url) as fleet:
        receiver = fleet.receiver(manners={"*": {"answer_s": 0.2}})
        fleet.wait_for_workers(worker := fleet.worker())
        texts = [f"text {number}" for number in range(40)]
        prompts = [(f"agent-{number % 8}", text) for number, text in enumerate(texts)]
        fleet.add_due(prompts, first=datetime.now(UTC) - timedelta(minutes=1), apart=timedelta(milliseconds=1))
        wait_for("some prompts", lambda: receiver.count("read") >= 12, within_s=60)
        read = receiver.count("read")
        over_s = pair.fail_over()
        assert read < len(texts)
        wait_for(f"the next; {worker.process.stderr[-2000:]}", lambda: receiver.count("read") > read + 8, within_s=60)
        assert time.monotonic() - over_s < GO_ON_WITHIN_S
        wait_for("all ends", lambda: fleet.states()[DeliveryState.DELIVERED] == len(texts), within_s=60)
        assert_each_arrived_once(receiver.arrivals(), texts)
        assert_never_two_at_once(receiver.arrivals())
        assert worker.process.is_alive


@pytest.mark.long
def test_what_an_asynchronous_standby_had_not_heard_comes_twice_under_one_key(pair: Pair, tmp_path: Path) -> None:
    with FleetStage(tmp_path, pair.url) as fleet:
        receiver = fleet.receiver()
        fleet.wait_for_workers(worker := fleet.worker())
        now = datetime.now(UTC)
        known = [f"known {number}" for number in range(4)]
        fleet.add_due(
            [(f"agent-{number}", text) for number, text in enumerate(known)],
            first=now + timedelta(seconds=1),
            apart=timedelta(0),
        )
        wait_for("the standby to follow", pair.follows, within_s=30)
        pair.standby.set("primary_conninfo", "")  # from now on it hears nothing: what a broken network does
        wait_for("them to arrive", lambda: fleet.states()[DeliveryState.DELIVERED] == len(known), within_s=60)
        over_s = pair.fail_over()
        wait_for(f"them again; {worker.process.stderr[-2000:]}", lambda: receiver.count("read") == 8, within_s=60)
        assert time.monotonic() - over_s < GO_ON_WITHIN_S
        wait_for("all ends", lambda: fleet.states()[DeliveryState.DELIVERED] == len(known), within_s=60)
        arrivals = receiver.arrivals()
        assert Counter(one.text for one in arrivals) == dict.fromkeys(known, 2)
        assert all(count == 2 for count in Counter(one.otid for one in arrivals).values())
