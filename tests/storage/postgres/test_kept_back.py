"""What is written right before the commit: nothing of it is lost, whatever is undone before, whoever shares it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from promptyoself.domain.access import Claim
from promptyoself.domain.errors import Conflict, StoreError, StoreReadOnly
from promptyoself.domain.models import ScheduleState, StopSwitch
from promptyoself.domain.ports import ScheduleFilter, Tx
from promptyoself.lanes.pgqueuer import first_due
from promptyoself.runtime import SystemClock
from promptyoself.storage.lending import LendingStore
from promptyoself.storage.postgres import PostgresStore
from promptyoself.storage.rows import micros
from promptyoself.storage.writer import ThreadWriter
from tests.contract.lane_suite import add_delivery, add_schedule, ready
from tests.factories import MINUTE, NOW, a_fact, a_new_delivery, a_new_schedule

UNSTORABLE = Claim(owner="o", key="k", claimed_at=NOW, expires_at=NOW, delivery_id=None)
"""A row that the table refuses."""

AtOnce = Callable[[int, Callable[[int], Any]], list[Any]]


class Oops(Exception):
    """Raised within a transaction."""


def told(store: PostgresStore) -> list[object]:
    with store.reading() as tx:
        return [fact.detail["n"] for fact in tx.facts(limit=99)]


@pytest.mark.parametrize("look", [lambda tx: tx.facts(limit=9), lambda _: None])
def test_an_act_that_fails_takes_only_its_own_facts_along(store: PostgresStore, look: Callable[[Tx], object]) -> None:
    with store.transaction() as tx:
        tx.add_fact(a_fact(detail={"n": 1}))
        with pytest.raises(Oops), tx.nested():  # noqa: PT012  what an act does before it fails
            tx.add_fact(a_fact(detail={"n": 2}))
            look(tx)
            raise Oops
        tx.add_fact(a_fact(detail={"n": 3}))
    assert told(store) == [1, 3]


def test_a_lane_that_was_refreshed_in_an_act_that_failed_is_refreshed_again(store: PostgresStore) -> None:
    schedule = add_schedule(store)
    with store.transaction() as tx:
        tx.add_delivery(a_new_delivery(schedule), retry_until=NOW + MINUTE)
        with pytest.raises(Oops), tx.nested():  # noqa: PT012  what an act does before it fails
            assert tx.ready_lanes(now=NOW, limit=9) == [schedule.lane]
            raise Oops
    assert ready(store) == [schedule.lane]


def test_locks_of_an_act_that_failed_are_taken_again(store: PostgresStore) -> None:
    schedule = add_schedule(store)
    with store.transaction() as tx:
        with pytest.raises(Oops), tx.nested():  # noqa: PT012  what an act does before it fails
            tx.add_delivery(a_new_delivery(schedule), retry_until=NOW + MINUTE)
            raise Oops
        assert tx.add_delivery(a_new_delivery(schedule), retry_until=NOW + MINUTE) is not None
    assert ready(store) == [schedule.lane]


def test_what_a_body_wrote_that_failed_is_undone_and_no_more(store: PostgresStore) -> None:
    with store.transaction() as tx:
        for number, is_kept in ((1, True), (2, False), (3, True)):
            lent = tx.lend()
            lent.add_fact(a_fact(detail={"n": number}))
            lent.facts(limit=9)
            tx.take_back(lent, is_kept=is_kept)
            with pytest.raises(StoreError, match="has ended"):
                lent.add_fact(a_fact())
    assert told(store) == [1, 3]


def test_an_act_that_hides_a_failure_of_the_database_is_undone(store: PostgresStore) -> None:
    with store.transaction() as tx:
        tx.add_fact(a_fact(detail={"n": 1}))
        with pytest.raises(StoreError, match="has undone it"), tx.nested(), pytest.raises(StoreError):
            tx.put_claim(UNSTORABLE)
        assert tx.schedules(ScheduleFilter()) == []
    assert told(store) == [1]


def test_a_transaction_that_hides_a_failure_of_the_database_is_no_success(store: PostgresStore) -> None:
    def hide() -> None:
        with store.transaction() as tx:
            tx.add_fact(a_fact())
            with pytest.raises(StoreError):
                tx.put_claim(UNSTORABLE)

    with pytest.raises(StoreError, match="has undone it"):
        hide()
    assert told(store) == []


@pytest.mark.parametrize("actor", ["\ud800", "a\0b"])
def test_a_fact_that_cannot_be_stored_is_refused_alone(store: PostgresStore, actor: str) -> None:
    with store.transaction() as tx:
        tx.add_fact(a_fact(detail={"n": 1}))
        with pytest.raises(StoreError, match=r"Unicode|NUL"):
            tx.add_fact(a_fact(actor=actor))
    assert told(store) == [1]


def test_a_prompt_with_a_nul_is_refused_in_our_words(store: PostgresStore) -> None:
    with store.transaction() as tx:
        with pytest.raises(StoreError, match="NUL"):
            tx.add_schedule(a_new_schedule(prompt="a\0b"))
        tx.add_schedule(a_new_schedule())
    with pytest.raises(StoreError, match="NUL"), store.transaction() as tx:
        tx.add_schedules([a_new_schedule("many", prompt="a\0b")])


def test_facts_are_no_way_around_reading(store: PostgresStore) -> None:
    with store.reading() as tx, pytest.raises(StoreReadOnly):
        tx.add_fact(a_fact())


def test_threads_share_commits_at_postgresql_as_they_do_at_a_file(store: PostgresStore, at_once: AtOnce) -> None:
    lending = LendingStore(store, SystemClock())

    def body(number: int) -> bool:
        try:
            with lending.transaction() as tx:
                tx.add_schedule(a_new_schedule(f"uid-{number}", key="same" if number % 2 else None))
                tx.add_fact(a_fact(detail={"n": number}))
        except Conflict:
            return False
        return True

    assert sum(at_once(8, body)) == 5
    assert len(told(store)) == 5


def test_callers_of_one_loop_share_commits_at_postgresql(store: PostgresStore) -> None:
    def act(number: int) -> Callable[[Tx], int]:
        def acts(tx: Tx) -> int:
            tx.add_fact(a_fact(detail={"n": number}))
            if number % 2:
                tx.facts(limit=9)
                raise Oops
            return number

        return acts

    async def main() -> list[object]:
        writer = ThreadWriter(store)
        try:
            return await asyncio.gather(*(writer.write(act(number)) for number in range(6)), return_exceptions=True)
        finally:
            await writer.close()

    assert [one for one in asyncio.run(main()) if not isinstance(one, Oops)] == [0, 2, 4]
    assert told(store) == [0, 2, 4]


def test_a_commit_tells_the_other_nodes_what_it_changed(store: PostgresStore, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as listening:
        listening.execute("LISTEN promptyoself")
        schedule = add_schedule(store)
        add_delivery(store, schedule)
        with store.transaction() as tx:
            tx.set_stop_switch(StopSwitch(reason=None, since=NOW, until=None))
            tx.add_fact(a_fact())
        with store.transaction() as tx:
            tx.lease_lane(schedule.lane, token="t", executor_id="x", now=NOW, until=NOW)
            tx.renew_lanes("x", until=NOW)
        with store.transaction() as tx:
            tx.release_lane(schedule.lane, token="t")
        payloads = [one.payload for one in listening.notifies(timeout=30, stop_after=4)]
    assert schedule.next_fire_at is not None
    assert payloads == [f"s {micros(schedule.next_fire_at)}", "d", "df", "d"]


def test_a_commit_says_when_the_first_schedule_that_it_wrote_is_due(store: PostgresStore, url: str) -> None:
    rests = add_schedule(store, "uid-r", agent_id="rests", next_fire_at=NOW + 3 * MINUTE)
    fires = add_schedule(store, "uid-f", agent_id="fires", next_fire_at=NOW + 3 * MINUTE)
    with psycopg.connect(url, autocommit=True) as listening:
        listening.execute("LISTEN promptyoself")
        with store.transaction() as tx:
            tx.save_schedule(replace(fires, next_fire_at=NOW + 2 * MINUTE))
            tx.save_schedule(replace(rests, state=ScheduleState.PAUSED, paused_until=NOW + MINUTE))
        with store.transaction() as tx:
            tx.save_schedule(replace(fires, state=ScheduleState.CANCELLED))
        first, second = [one.payload for one in listening.notifies(timeout=30, stop_after=2)]
    assert first_due(first) == NOW + MINUTE
    assert (second, first_due(second)) == ("s", None)


def test_ten_thousand_schedules_go_in_at_once(store: PostgresStore) -> None:
    new = [a_new_schedule(f"uid-{number}", agent_id=f"agent-{number}", key="k") for number in range(10_000)]
    with store.transaction() as tx:
        ids = tx.add_schedules(new)
        tx.add_facts([a_fact(schedule_id=one) for one in ids])
    with store.reading() as tx:
        first, last = tx.schedule(ids[0]), tx.schedule(ids[-1])
        assert first is not None
        assert last is not None
        assert (first.uid, last.uid) == ("uid-0", "uid-9999")
        assert tx.newest_fact_id() == 10_000
    with store.transaction() as tx, pytest.raises(Conflict):
        tx.add_schedules([a_new_schedule("again", agent_id="agent-1", key="k")])


def test_what_was_fetched_for_the_planner_is_forgotten_once_something_is_written(store: PostgresStore) -> None:
    schedule = add_schedule(store, next_fire_at=NOW)
    old = add_delivery(store, schedule, fire_at=NOW - MINUTE)
    with store.transaction() as tx:
        assert tx.schedules_due(now=NOW, limit=9) == [schedule]
        new = tx.add_delivery(a_new_delivery(schedule), retry_until=NOW + MINUTE)
        assert tx.unfinished_deliveries(schedule.id) == [old, new]
    with store.transaction() as tx:
        tx.schedules_due(now=NOW, limit=9)
        changed = replace(old, missed=1)
        assert tx.save_delivery(changed, was=old)
        assert tx.unfinished_deliveries(schedule.id) == [changed, new]
    with store.transaction() as tx:
        tx.schedules_due(now=NOW, limit=9)
        assert tx.unfinished_deliveries(schedule.id) == tx.unfinished_deliveries(schedule.id) == [changed, new]


def test_a_pause_and_its_end_in_one_transaction_of_the_planner_pass_the_turn(store: PostgresStore) -> None:
    schedule = add_schedule(store, next_fire_at=NOW)
    add_delivery(store, schedule)
    with store.transaction() as tx:
        tx.schedules_due(now=NOW, limit=9)
        tx.save_schedule(replace(schedule, state=ScheduleState.PAUSED))
        assert tx.ready_lanes(now=NOW, limit=9) == []
        tx.save_schedule(schedule)
        assert tx.ready_lanes(now=NOW, limit=9) == [schedule.lane]
