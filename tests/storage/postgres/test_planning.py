"""A transaction that plans keeps back what it writes: whoever looks, counts or fails in between sees it right."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from promptyoself.application.planner import plan_batch
from promptyoself.domain.errors import StoreError
from promptyoself.domain.models import CatchUp, DeliveryState, Overlap, Policy, Provenance, Schedule, ScheduleState
from promptyoself.domain.ports import DeliveryFilter
from promptyoself.runtime import SystemClock
from promptyoself.storage.lending import LendingStore
from promptyoself.storage.postgres import PostgresStore
from promptyoself.storage.postgres_tx import PostgresTx
from tests.contract.lane_suite import add_delivery, add_schedule, next_in_lane, ready
from tests.factories import MINUTE, NOW, a_new_delivery
from tests.storage.postgres.conftest import Beside

HOUR = 60 * MINUTE


def due(store: PostgresStore, uid: str = "uid-1", **changes: object) -> Schedule:
    return add_schedule(store, uid, next_fire_at=NOW, **changes)


def opened(store: PostgresStore) -> list[tuple[int, DeliveryState]]:
    with store.reading() as tx:
        return sorted((one.schedule_id, one.state) for one in tx.deliveries(DeliveryFilter(limit=99)))


def taken(tx: PostgresTx, schedule: Schedule) -> PostgresTx:
    assert schedule in tx.schedules_due(now=NOW, limit=99)
    return tx


def test_what_a_planner_opens_is_found_by_whatever_is_asked_next(store: PostgresStore) -> None:
    schedule = due(store)
    with store.transaction() as tx:
        delivery = taken(tx, schedule).add_delivery(a_new_delivery(schedule), retry_until=NOW + HOUR)
        assert delivery is not None
        moved = replace(schedule, next_fire_at=NOW + HOUR, fire_count=1)
        tx.save_schedule(moved)
        assert tx.delivery(delivery.id) == delivery
        assert tx.schedule(schedule.id) == moved
        assert tx.ready_lanes(now=NOW, limit=9) == [schedule.lane]
    assert next_in_lane(store, schedule.lane) == delivery


def test_a_fire_time_that_is_stored_already_is_no_error_for_the_planner(store: PostgresStore) -> None:
    schedule = due(store)
    add_delivery(store, schedule, state=DeliveryState.SKIPPED)
    add_delivery(store, schedule, fire_at=NOW - MINUTE, state=DeliveryState.CANCELLED)
    later = a_new_delivery(schedule, fire_at=NOW + MINUTE)
    with store.transaction() as tx:
        assert taken(tx, schedule).add_delivery(a_new_delivery(schedule), retry_until=NOW + HOUR) is None
        earlier = a_new_delivery(schedule, fire_at=NOW - MINUTE)
        assert tx.add_delivery(earlier, retry_until=NOW + HOUR) is None
        assert tx.add_delivery(later, retry_until=NOW + HOUR) is not None
        assert tx.add_delivery(later, retry_until=NOW + HOUR) is None
    states = [DeliveryState.CANCELLED, DeliveryState.PENDING, DeliveryState.SKIPPED]
    assert opened(store) == [(schedule.id, state) for state in states]


def test_of_several_fire_times_the_first_that_is_not_finished_has_the_turn(store: PostgresStore) -> None:
    schedule = due(store)
    with store.transaction() as tx:
        taken(tx, schedule)
        for minutes, state in ((0, DeliveryState.SKIPPED), (1, DeliveryState.PENDING), (2, DeliveryState.PENDING)):
            new = a_new_delivery(schedule, fire_at=NOW + minutes * MINUTE, state=state)
            assert tx.add_delivery(new, retry_until=NOW + HOUR) is not None
    first = next_in_lane(store, schedule.lane, NOW + HOUR)
    assert first is not None
    assert first.fire_at == NOW + MINUTE
    with store.transaction() as tx:
        done = replace(first, state=DeliveryState.DELIVERED, finished_at=NOW)
        assert tx.save_delivery(done, was=first)
    second = next_in_lane(store, schedule.lane, NOW + HOUR)
    assert second is not None
    assert second.fire_at == NOW + 2 * MINUTE


def test_a_fire_time_before_one_that_waits_takes_its_turn(store: PostgresStore) -> None:
    schedule = due(store)
    add_delivery(store, schedule, fire_at=NOW + 2 * MINUTE)
    with store.transaction() as tx:
        taken(tx, schedule).add_delivery(a_new_delivery(schedule, fire_at=NOW + MINUTE), retry_until=NOW + HOUR)
    first = next_in_lane(store, schedule.lane, NOW + HOUR)
    assert first is not None
    assert first.fire_at == NOW + MINUTE


def test_a_pause_holds_back_what_a_planner_opens_before_it_ends(store: PostgresStore) -> None:
    schedule = due(store)
    resting = replace(schedule, state=ScheduleState.PAUSED, paused_until=NOW)
    with store.transaction() as tx:
        tx.save_schedule(resting)
    with store.transaction() as tx:
        taken(tx, resting).add_delivery(a_new_delivery(schedule), retry_until=NOW + HOUR)
    assert ready(store) == []


def test_whose_turn_it_is_not_keeps_no_schedule_from_the_planner_whose_it_is(store: PostgresStore) -> None:
    schedules = [due(store, f"uid-{number}") for number in range(3)]
    with store.transaction() as tx, store.transaction() as other:
        assert tx.schedules_due(now=NOW, limit=2) == schedules[:2]
        assert other.schedules_due(now=NOW, limit=9) == []
        assert tx.schedules_due(now=NOW, limit=9) == schedules


def test_of_a_schedule_taken_instead_of_one_that_others_have_it_is_asked_what_is_there(
    store: PostgresStore, beside: Beside
) -> None:
    schedules = [due(store, f"uid-{number}") for number in range(2)]
    add_delivery(store, schedules[1], fire_at=NOW, state=DeliveryState.SKIPPED)
    waiting = add_delivery(store, schedules[1], fire_at=NOW - MINUTE)

    def instead(tx: PostgresTx) -> None:
        assert tx.schedules_due(now=NOW, limit=1) == [schedules[1]]
        assert tx.unfinished_deliveries(schedules[1].id) == [waiting]
        assert tx.add_delivery(a_new_delivery(schedules[1]), retry_until=NOW + HOUR) is None

    with store.transaction() as tx:
        tx.schedule(schedules[0].id)
        beside.runs(instead)


def test_more_fire_times_than_schedules_get_ids_of_their_own(store: PostgresStore) -> None:
    policy = Policy(catch_up=CatchUp.ALL, overlap=Overlap.QUEUE)
    schedule, late = due(store, policy=policy), NOW + timedelta(days=6)
    with store.transaction() as tx:
        assert plan_batch(tx, now=late, store_uid=store.uid).opened > 1
    with store.reading() as tx:
        ids = [one.id for one in tx.deliveries(DeliveryFilter(limit=999))]
    assert len(ids) == len(set(ids)) > 1
    assert ready(store, late) == [schedule.lane]


@pytest.mark.parametrize("owner", ["agent-a", "operator"])
def test_an_agents_guard_counts_what_was_planned_just_before(store: PostgresStore, owner: str) -> None:
    schedules = [due(store, f"uid-{number}", provenance=Provenance(owner=owner)) for number in range(2)]
    with store.transaction() as tx:
        taken(tx, schedules[0]).add_delivery(a_new_delivery(schedules[0]), retry_until=NOW + HOUR)
        assert tx.guard_usage(owner, since=NOW - MINUTE).deliveries_last_hour == 1
        tx.save_schedule(replace(schedules[0], next_fire_at=None, state=ScheduleState.COMPLETED))
        assert tx.guard_usage(owner, since=NOW - MINUTE).active == 1


def test_what_fails_within_a_planners_transaction_undoes_no_more_than_it_bounds(store: PostgresStore) -> None:
    schedules = [due(store, f"uid-{number}") for number in range(3)]

    def failing(tx: PostgresTx) -> None:
        with tx.nested():
            tx.add_delivery(a_new_delivery(schedules[1]), retry_until=NOW + HOUR)
            raise StoreError("on purpose")

    with store.transaction() as tx:
        taken(tx, schedules[0]).add_delivery(a_new_delivery(schedules[0]), retry_until=NOW + HOUR)
        with pytest.raises(StoreError, match="on purpose"):
            failing(tx)
        tx.add_delivery(a_new_delivery(schedules[2]), retry_until=NOW + HOUR)
    assert opened(store) == [(one.id, DeliveryState.PENDING) for one in (schedules[0], schedules[2])]


def test_what_is_planned_in_a_transaction_that_was_lent_is_kept_or_undone_with_it(store: PostgresStore) -> None:
    schedules = [due(store, f"uid-{number}") for number in range(2)]
    lending = LendingStore(store, SystemClock())

    def body(schedule: Schedule, error: Exception | None) -> None:
        with lending.transaction() as tx:
            tx.schedules_due(now=NOW, limit=9)
            tx.add_delivery(a_new_delivery(schedule), retry_until=NOW + HOUR)
            if error is not None:
                raise error

    found = lending.together([lambda: body(schedules[0], StoreError("on purpose")), lambda: body(schedules[1], None)])
    assert [one.error is None for one in found] == [False, True]
    assert opened(store) == [(schedules[1].id, DeliveryState.PENDING)]
    assert ready(store) == [schedules[1].lane]


def test_only_a_commit_of_the_planner_does_not_wait_for_the_disk(store: PostgresStore, beside: Beside) -> None:
    def waits(tx: PostgresTx) -> str:
        row = tx._connection.execute("SHOW synchronous_commit").fetchone()
        assert row is not None
        return str(row["synchronous_commit"])

    for _ in range(2):  # the same connection each time
        with store.transaction() as tx:
            assert waits(tx) == "on"
            tx.schedules_due(now=NOW, limit=9)
            assert waits(tx) == "off"
            assert beside.runs(waits) == "on"
