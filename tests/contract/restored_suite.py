"""What every Store must do for a database that was restored from a copy."""

from __future__ import annotations

from datetime import timedelta

from promptyoself.domain.models import DeliveryState, Executor, ScheduleState
from promptyoself.domain.ports import Store
from promptyoself.domain.ports_restored import DueBefore
from promptyoself.domain.values import replace
from tests.contract.access_suite import a_new_token
from tests.contract.lane_suite import add_delivery, add_schedule, save
from tests.factories import MINUTE, NOW, a_fact, a_message

SECOND = timedelta(seconds=1)
NUMBERED = ["schedules", "deliveries", "attempts", "facts", "inbox", "callbacks", "tokens"]


class RestoredContract:
    """The part of the contract about a restore. A subclass gives `store`."""

    def test_until_when_it_was_in_use_is_kept_and_the_latest_word_counts(self, store: Store) -> None:
        with store.transaction() as tx:
            assert tx.in_use_until() is None
            tx.set_in_use_until(NOW)
            tx.set_in_use_until(NOW + MINUTE)
            assert tx.in_use_until() == NOW + MINUTE
        with store.reading() as tx:
            assert tx.in_use_until() == NOW + MINUTE

    def test_no_id_is_given_out_that_an_earlier_life_may_have_given_out(self, store: Store) -> None:
        first = add_delivery(store, add_schedule(store))
        with store.transaction() as tx:
            tx.add_fact(a_fact())
        with store.transaction() as tx:
            left_out = {one.table: (one.was, one.now) for one in tx.leave_ids_out(least=100, most=1000)}
        assert left_out == dict.fromkeys(NUMBERED, (0, 100)) | dict.fromkeys(
            ("schedules", "deliveries", "facts"), (1, 101)
        )
        schedule = add_schedule(store, "uid-2")
        delivery = add_delivery(store, schedule)
        assert (schedule.id, delivery.id, first.id) == (102, 102, 1)
        with store.transaction() as tx:
            assert tx.add_attempt(delivery.id, executor_id="x", otid="o", started_at=NOW).id >= 101
            assert tx.add_message(a_message()).id == 101
            assert tx.add_token(a_new_token()).id == 101
            tx.add_fact(a_fact())
        with store.reading() as tx:
            assert [one.id for one in tx.facts(limit=9)] == [1, 102]
            assert tx.newest_fact_id() == 102

    def test_a_counter_leaves_out_as_many_ids_as_it_has_given_out_within_bounds(self, store: Store) -> None:
        def moved(least: int, most: int) -> tuple[int, int]:
            with store.transaction() as tx:
                return next((one.was, one.now) for one in tx.leave_ids_out(least=least, most=most))

        assert [moved(100, 1000), moved(10, 1000), moved(10, 150)] == [(0, 100), (100, 200), (200, 350)]

    def test_what_an_earlier_life_may_have_done_is_counted(self, store: Store) -> None:
        schedule = add_schedule(store, next_fire_at=NOW)
        resting = add_schedule(store, "uid-2", next_fire_at=NOW)
        add_schedule(store, "uid-3", next_fire_at=NOW + SECOND)
        add_delivery(store, schedule)
        add_delivery(store, schedule, fire_at=NOW + SECOND)
        save(store, add_delivery(store, resting), DeliveryState.LEASED)
        save(store, add_delivery(store, resting, fire_at=NOW - MINUTE), DeliveryState.DELIVERED)
        with store.transaction() as tx:
            tx.save_schedule(replace(resting, state=ScheduleState.PAUSED))
        with store.reading() as tx:
            assert tx.due_before(NOW) == DueBefore(deliveries=1, in_flight=1, schedules=1)
            assert tx.due_before(NOW - SECOND) == DueBefore(deliveries=0, in_flight=1, schedules=0)

    def test_it_is_told_who_holds_lanes_and_for_how_long(self, store: Store) -> None:
        lanes = [add_delivery(store, add_schedule(store, f"uid-{one}", agent_id=one)).lane for one in "abcd"]
        with store.transaction() as tx:
            for lane, executor, lasts in zip(lanes, "xxyz", (2, 3, 1, 0), strict=True):
                until = NOW + lasts * SECOND
                assert tx.lease_lane(lane, token=lane, executor_id=executor, now=NOW - MINUTE, until=until)
        with store.reading() as tx:
            assert tx.lanes_held(now=NOW) == {"x": NOW + 3 * SECOND, "y": NOW + SECOND}
            assert tx.lanes_held(now=NOW + 3 * SECOND) == {}

    def test_the_journals_newest_instant_is_told_whatever_the_order_of_ids(self, store: Store) -> None:
        with store.transaction() as tx:
            assert tx.newest_fact_at() is None
            tx.add_fact(a_fact(at=NOW + MINUTE))
            tx.add_fact(a_fact(at=NOW))
        with store.reading() as tx:
            assert tx.newest_fact_at() == NOW + MINUTE

    def test_who_keeps_executors_out_may_write_himself(self, store: Store) -> None:
        executor = Executor(id="x", host="h", pid=1, version="1", mode="serve", started_at=NOW, heartbeat_at=NOW)
        with store.transaction() as tx:
            tx.keep_executors_out()
            tx.heartbeat(executor)
        with store.reading() as tx:
            assert tx.executors(alive_since=NOW) == [executor]
