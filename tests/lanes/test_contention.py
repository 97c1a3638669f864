"""Nodes, their planners and commands at the same rows, as fast as they can: nobody waits in a circle, nothing fails."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import timedelta
from functools import partial
from itertools import count
from random import Random  # noqa: TID251  seeded
from typing import TYPE_CHECKING, Final

import psycopg

from promptyoself.application import schedules
from promptyoself.application.requests import Defaults, ScheduleRequest
from promptyoself.application.schedules import Caller
from promptyoself.domain.errors import Conflict, InvalidInput, PromptyoselfError
from promptyoself.domain.ports import Tx
from promptyoself.runtime import SystemClock
from promptyoself.storage.postgres import PostgresStore
from tests.factories import a_new_schedule, a_trigger
from tests.lanes.node import Node, NodeThread
from tests.lanes.post import Post
from tests.postgres.server import PostgresServer
from tests.postgres.stores import CleanStores

if TYPE_CHECKING:
    import pytest

AGENTS: Final = [f"agent-{number}" for number in range(8)]
SCHEDULES: Final = 24
FOR_S: Final = 4.0
COMMANDS: Final = 3
"""Threads that give one command after the other."""
OPERATOR: Final = Caller()


class Commands:
    """Random commands to a few schedules, each in a transaction of its own."""

    def __init__(self, store: PostgresStore, seed: int) -> None:
        self._store = store
        self._chance = Random(seed)
        self._uids = count(1)
        self._seed = seed
        self.done: Counter[str] = Counter()

    def give_until(self, until_s: float) -> None:
        clock = SystemClock()
        while clock.monotonic() < until_s:
            with self._store.transaction() as tx:
                what = self._chance.choice((self._run, self._pause, self._edit, self._renew))
                with suppress(Conflict, InvalidInput):
                    what(tx)
            self.done[what.__name__] += 1

    def add(self, tx: Tx) -> None:
        uid = f"{self._seed}-{next(self._uids)}"
        agent = self._chance.choice(AGENTS)
        at = SystemClock().now().replace(microsecond=0)
        every_second = a_trigger(expression="1s")
        tx.add_schedule(a_new_schedule(uid, agent_id=agent, prompt=uid, trigger=every_second, next_fire_at=at))

    def _any(self) -> int:
        return self._chance.randint(1, SCHEDULES)

    def _run(self, tx: Tx) -> None:
        now = SystemClock().now()
        schedules.run_now(tx, self._any(), caller=OPERATOR, store_uid=self._store.uid, now=now)

    def _pause(self, tx: Tx) -> None:
        id, now = self._any(), SystemClock().now()
        until = now + timedelta(milliseconds=20)
        schedules.pause(tx, id, caller=OPERATOR, reason=None, until=until, now=now)

    def _edit(self, tx: Tx) -> None:
        """Turn what is to come to another agent: its deliveries lie in two lanes then."""
        request = ScheduleRequest(agent_id=self._chance.choice(AGENTS))
        schedules.update(
            tx,
            self._any(),
            request,
            caller=OPERATOR,
            defaults=Defaults(timezone="UTC", target="inbox", targets=frozenset({"inbox"})),
            now=SystemClock().now(),
        )

    def _renew(self, tx: Tx) -> None:
        id = self._chance.randint(SCHEDULES + 1, SCHEDULES * 20)
        self.add(tx)
        with suppress(PromptyoselfError):
            schedules.cancel(tx, id, caller=OPERATOR, now=SystemClock().now())


def test_nodes_and_commands_at_the_same_rows_never_wait_in_a_circle(
    clean_stores: CleanStores, postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    post = Post()
    caplog.set_level(logging.WARNING)
    with clean_stores.of_one_test() as make, ExitStack() as ended:
        store = make()
        url = clean_stores.url_of(store)

        def opened() -> PostgresStore:
            one = PostgresStore.open(url, new_uid=lambda: "")
            ended.callback(one.close)
            return one

        def node(name: str, its: PostgresStore) -> Node:
            return Node(its, {"inbox": post.target(name)}, name=name, conninfo=url)

        hands = [Commands(opened(), seed) for seed in range(COMMANDS)]
        with store.transaction() as tx:
            for _ in range(SCHEDULES):
                hands[0].add(tx)
        before, logged = _deadlocks(store), _log_of(postgres)
        makes: list[Callable[[], Node]] = [partial(node, name, opened()) for name in "abc"]
        until_s = SystemClock().monotonic() + FOR_S
        with ExitStack() as running:
            for one in makes:
                running.enter_context(NodeThread(one))
            with ThreadPoolExecutor(COMMANDS) as pool:
                for giving in [pool.submit(hand.give_until, until_s) for hand in hands]:
                    giving.result()
        # The server's words say which statements they were, its count that no one was missed.
        assert "deadlock" not in _log_of(postgres)[len(logged) :]
        assert _deadlocks(store) == before

        told = sum((hand.done for hand in hands), Counter())
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    # A record that comes late tells of a busy machine; of a circle the server's count, and a failure.
    failed = [one for one in said if not one.startswith("delivery.record_late")]
    assert failed == []
    assert post.overlaps == []
    assert len(told) == 4
    assert len(post.prompts) > len(AGENTS)


def _deadlocks(store: PostgresStore) -> int:
    with psycopg.connect(store.conninfo, autocommit=True) as connection:
        row = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return int(row[0])


def _log_of(postgres: PostgresServer) -> str:
    return (postgres.folder / "log").read_text(errors="replace")
