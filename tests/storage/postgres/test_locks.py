"""What many writers may not do to one another: who waits for whom, and what each then sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from promptyoself.application.planner import plan_batch
from promptyoself.domain.access import Claim
from promptyoself.domain.callbacks import NewCallback
from promptyoself.domain.models import (
    DeliveryState,
    Executor,
    FactKind,
    Provenance,
    Schedule,
    ScheduleState,
)
from promptyoself.domain.ports import DeliveryFilter
from promptyoself.storage.postgres import PostgresStore
from promptyoself.storage.postgres_tx import PostgresTx
from tests.contract.lane_suite import add_delivery, add_schedule, lease, ready
from tests.factories import AGENT, MINUTE, NOW, a_fact, a_message, a_new_delivery, a_new_schedule
from tests.storage.postgres.conftest import Beside

HOUR = 60 * MINUTE
AtOnce = Callable[[int, Callable[[int], Any]], list[Any]]
Act = Callable[[PostgresTx], Any]

UNNAMED: dict[str, Act] = {
    "a key": lambda tx: tx.schedule_by_key(AGENT, "daily"),
    "the guard's counts": lambda tx: tx.guard_usage(AGENT, since=NOW),
    "a chain": lambda tx: tx.live_descendants("root"),
    "a claim": lambda tx: tx.claim(AGENT, "mail"),
    "an owner's claims": lambda tx: tx.live_claims(AGENT, now=NOW),
    "a request": lambda tx: tx.answered_request("operator", "k"),
    "the tokens": lambda tx: tx.live_tokens(now=NOW),
}


def due_schedules(store: PostgresStore, count: int, *, agents: int = 1, owner: str = "operator") -> list[Schedule]:
    with store.transaction() as tx:
        return [
            tx.add_schedule(
                a_new_schedule(
                    f"uid-{number}",
                    agent_id=f"agent-{number % agents}",
                    next_fire_at=NOW + 5 * MINUTE,
                    provenance=Provenance(owner=owner),
                )
            )
            for number in range(count)
        ]


# -- schedules and deliveries -------------------------------------------------------------------------------


def test_a_schedule_that_was_read_is_locked_until_the_end(store: PostgresStore, beside: Beside) -> None:
    schedule = add_schedule(store)
    with store.transaction() as tx:
        assert tx.schedule(schedule.id) == schedule
        other = beside.waits(lambda tx: tx.schedule(schedule.id))
        changed = replace(schedule, fire_count=1)
        tx.save_schedule(changed)
    assert other.result(timeout=30) == changed


def test_who_only_reads_waits_for_nobody(store: PostgresStore) -> None:
    schedule = add_schedule(store)
    with store.transaction() as tx:
        tx.save_schedule(replace(schedule, fire_count=1))
        for ask in UNNAMED.values():
            ask(tx)
        with store.reading() as reader:
            assert reader.schedule(schedule.id) == schedule
            assert [ask(reader) for ask in UNNAMED.values()]
        with store.glancing() as glance:
            assert glance.next_wake_at(now=NOW) == schedule.next_fire_at


@pytest.mark.parametrize("what", UNNAMED)
def test_what_has_no_row_is_locked_by_its_name(store: PostgresStore, beside: Beside, what: str) -> None:
    ask = UNNAMED[what]
    with store.transaction() as tx:
        before = ask(tx)
        other = beside.waits(ask)
    assert other.result(timeout=30) == before


def test_of_two_that_register_one_key_the_second_finds_the_firsts(store: PostgresStore, beside: Beside) -> None:
    with store.transaction() as tx:
        assert tx.schedule_by_key(AGENT, "daily") is None
        other = beside.waits(lambda tx: tx.schedule_by_key(AGENT, "daily"))
        first = tx.add_schedule(a_new_schedule(key="daily"))
    assert other.result(timeout=30) == first


def test_eight_at_once_stay_within_the_guards_limit(store: PostgresStore, at_once: AtOnce) -> None:
    def register(number: int) -> bool:
        with store.transaction() as tx:
            if tx.guard_usage(AGENT, since=NOW).active >= 3:
                return False
            tx.add_schedule(a_new_schedule(f"uid-{number}", provenance=Provenance(owner=AGENT)))
            return True

    assert sum(at_once(8, register)) == 3


def test_a_claim_is_won_by_one_of_sixteen(store: PostgresStore, at_once: AtOnce) -> None:
    def claim(number: int) -> bool:
        with store.transaction() as tx:
            if tx.claim(AGENT, "mail") is not None:
                return False
            tx.put_claim(Claim(owner=AGENT, key="mail", claimed_at=NOW, expires_at=NOW + HOUR, delivery_id=number + 1))
            return True

    assert sum(at_once(16, claim)) == 1


def test_who_wants_a_delivery_waits_for_its_schedule_first(store: PostgresStore, beside: Beside) -> None:
    """Else one would hold the delivery and wait for the schedule, and the other the reverse."""
    delivery = add_delivery(store, add_schedule(store))
    with store.transaction() as tx:
        tx.schedule(delivery.schedule_id)
        other = beside.waits(lambda tx: tx.delivery(delivery.id))
        asked = replace(delivery, cancel_requested=True)
        assert tx.save_delivery(asked, was=delivery)
    assert other.result(timeout=30) == asked


@pytest.mark.parametrize(
    "touch",
    [
        lambda tx, delivery: tx.delivery(delivery.id),
        lambda tx, delivery: tx.unfinished_deliveries(delivery.schedule_id),
        lambda tx, delivery: tx.next_in_lane(delivery.lane, now=NOW),
        lambda tx, delivery: tx.save_delivery(replace(delivery, missed=1), was=delivery),
    ],
)
def test_who_looks_at_a_delivery_has_its_schedule(
    store: PostgresStore, beside: Beside, touch: Callable[..., object]
) -> None:
    delivery = add_delivery(store, add_schedule(store))
    with store.transaction() as tx:
        assert touch(tx, delivery)
        other = beside.waits(lambda tx: tx.schedule(delivery.schedule_id))
    assert other.result(timeout=30) is not None


def test_a_lane_shows_what_was_changed_while_one_waited_for_it(store: PostgresStore, beside: Beside) -> None:
    delivery = add_delivery(store, add_schedule(store))
    with store.transaction() as tx:
        tx.schedule(delivery.schedule_id)
        other = beside.waits(lambda tx: tx.next_in_lane(delivery.lane, now=NOW))
        asked = replace(delivery, cancel_requested=True)
        assert tx.save_delivery(asked, was=delivery)
    assert other.result(timeout=30) == asked


# -- the planner --------------------------------------------------------------------------------------------


def test_one_planner_at_a_time_so_that_no_later_fire_time_is_stored_first(store: PostgresStore, beside: Beside) -> None:
    schedules = due_schedules(store, 3)
    at = NOW + HOUR
    with store.transaction() as tx:
        assert tx.schedules_due(now=at, limit=2) == schedules[:2]
        assert beside.runs(lambda tx: tx.schedules_due(now=at, limit=9)) == []
        assert tx.schedules_due(now=at, limit=9) == schedules
        with store.reading() as reader:
            assert len(reader.schedules_due(now=at, limit=9)) == 3
    assert beside.runs(lambda tx: tx.schedules_due(now=at, limit=9)) == schedules


def test_a_planner_waits_for_no_schedule_that_a_command_has_in_hand(store: PostgresStore, beside: Beside) -> None:
    schedules = due_schedules(store, 3, agents=3)
    resting = replace(schedules[2], state=ScheduleState.PAUSED, paused_until=NOW, next_fire_at=None)
    with store.transaction() as tx:
        tx.save_schedule(resting)
    with store.transaction() as tx:
        tx.schedule(schedules[0].id)
        assert beside.runs(lambda tx: tx.schedules_due(now=NOW + HOUR, limit=9)) == [resting, schedules[1]]


def test_a_planner_leaves_an_agent_alone_that_is_being_counted(store: PostgresStore, beside: Beside) -> None:
    due_schedules(store, 2, owner="agent-a")
    free = add_schedule(store, "free", next_fire_at=NOW)
    with store.transaction() as tx:
        tx.guard_usage("agent-a", since=NOW)
        assert beside.runs(lambda tx: tx.schedules_due(now=NOW + HOUR, limit=9)) == [free]
    assert len(beside.runs(lambda tx: tx.schedules_due(now=NOW + HOUR, limit=9))) == 3
    with store.transaction() as tx:
        tx.schedules_due(now=NOW + HOUR, limit=9)
        beside.waits(lambda tx: tx.guard_usage("agent-a", since=NOW))


def test_planners_side_by_side_open_each_occurrence_once(store: PostgresStore, at_once: AtOnce) -> None:
    schedules = due_schedules(store, 60, agents=7)

    def plan(_: int) -> int:
        opened = 0
        for _ in range(3):
            with store.transaction() as tx:
                opened += plan_batch(tx, now=NOW + 6 * MINUTE, store_uid=store.uid).opened
        return opened

    assert sum(at_once(4, plan)) == 60
    with store.reading() as tx:
        opened = [(one.schedule_id, one.fire_at) for one in tx.deliveries(DeliveryFilter(limit=1000))]
        assert sorted(opened) == [(one.id, NOW + 5 * MINUTE) for one in schedules]
        assert len(tx.ready_lanes(now=NOW + 6 * MINUTE, limit=99)) == 7


# -- lanes --------------------------------------------------------------------------------------------------


def test_two_that_add_to_one_lane_do_not_hide_each_others(store: PostgresStore, beside: Beside) -> None:
    first, second = add_schedule(store, "a"), add_schedule(store, "b")
    # The lane is there before: who makes it waits for another who makes it, too.
    add_delivery(store, first, fire_at=NOW - MINUTE, state=DeliveryState.SKIPPED)

    def add_later(tx: PostgresTx) -> None:
        tx.add_delivery(a_new_delivery(second, fire_at=NOW + HOUR), retry_until=NOW + 2 * HOUR)
        tx.write_what_is_kept()

    with store.transaction() as tx:
        tx.add_delivery(a_new_delivery(first, fire_at=NOW), retry_until=NOW + HOUR)
        tx.write_what_is_kept()
        other = beside.waits(add_later)
    other.result(timeout=30)
    assert ready(store) == [first.lane]


def test_a_renewal_waits_for_no_lane_that_somebody_has_in_hand(store: PostgresStore, beside: Beside) -> None:
    lanes = [add_delivery(store, add_schedule(store, name, agent_id=name)).lane for name in ("agent-a", "agent-b")]
    for lane in lanes:
        assert lease(store, lane)
    with store.transaction() as tx:
        tx.lease_lane(lanes[0], token="mine", executor_id="x-mine", now=NOW, until=NOW + MINUTE)
        assert beside.runs(lambda tx: tx.renew_lanes("x-mine", until=NOW + MINUTE)) == 1
    assert beside.runs(lambda tx: tx.renew_lanes("x-mine", until=NOW + MINUTE)) == 2


def test_retention_deletes_no_lane_that_is_being_filled(store: PostgresStore, beside: Beside) -> None:
    schedule = add_schedule(store)
    add_delivery(store, schedule, state=DeliveryState.SKIPPED)
    with store.transaction() as tx:
        tx.add_delivery(a_new_delivery(schedule, fire_at=NOW + MINUTE), retry_until=NOW + HOUR)
        assert beside.runs(lambda tx: tx.prune(before=NOW + HOUR, limit=9)) == 1
    assert ready(store, NOW + MINUTE) == [schedule.lane]


def test_retention_deletes_no_lane_of_what_a_planner_has_in_hand(store: PostgresStore, beside: Beside) -> None:
    schedule = add_schedule(store, next_fire_at=NOW)
    add_delivery(store, schedule, fire_at=NOW - MINUTE, state=DeliveryState.SKIPPED)
    with store.transaction() as tx:
        assert tx.schedules_due(now=NOW, limit=9) == [schedule]
        assert beside.runs(lambda tx: tx.prune(before=NOW + HOUR, limit=9)) == 1
        assert tx.add_delivery(a_new_delivery(schedule), retry_until=NOW + HOUR) is not None
    assert ready(store) == [schedule.lane]


def test_of_two_nodes_that_prune_at_once_neither_waits_nor_counts_what_is_the_others(
    store: PostgresStore, beside: Beside
) -> None:
    with store.transaction() as tx:
        for number in range(4):
            message = tx.add_message(a_message(otid=str(number)))
            tx.ack_message(message.id, agent_id=None, now=NOW)
    with store.transaction() as tx:
        assert tx.prune(before=NOW + HOUR, limit=3) == 3
        assert beside.runs(lambda tx: tx.prune(before=NOW + HOUR, limit=3)) == 1


def test_a_lane_that_retention_deletes_meanwhile_is_made_again(store: PostgresStore, beside: Beside) -> None:
    schedule = add_schedule(store)
    add_delivery(store, schedule, state=DeliveryState.SKIPPED)
    with store.transaction() as tx:
        tx.prune(before=NOW + HOUR, limit=9)
        new = a_new_delivery(schedule, fire_at=NOW + MINUTE)
        other = beside.waits(lambda tx: tx.add_delivery(new, retry_until=NOW + HOUR))
    assert other.result(timeout=30) is not None
    assert ready(store, NOW + MINUTE) == [schedule.lane]


def test_what_waits_for_its_target_is_hastened_but_for_what_somebody_has_in_hand(
    store: PostgresStore, beside: Beside
) -> None:
    from promptyoself.domain.retry import TARGET_WIDE

    waiting = []
    for name in ("agent-a", "agent-b"):
        delivery = add_delivery(store, add_schedule(store, name, agent_id=name))
        later = replace(delivery, refusals=1, due_at=NOW + HOUR, reason=f"{TARGET_WIDE}503")
        with store.transaction() as tx:
            assert tx.save_delivery(later, was=delivery)
        waiting.append(later)
    with store.transaction() as tx:
        assert tx.schedule(waiting[0].schedule_id) is not None  # all that a step locks of it
        assert beside.runs(lambda tx: tx.hasten_target("inbox", now=NOW + MINUTE)) == 1
        assert tx.save_delivery(replace(waiting[0], attempts=1), was=waiting[0])
    assert ready(store, NOW + MINUTE) == [waiting[1].lane]


def test_a_callback_is_posted_by_one(store: PostgresStore, beside: Beside) -> None:
    def take(tx: PostgresTx) -> list[int]:
        return [one.id for one in tx.take_callbacks(now=NOW, until=NOW + MINUTE, limit=1)]

    with store.transaction() as tx:
        for number in (1, 2):
            tx.add_callback(
                NewCallback(
                    delivery_id=number, schedule_id=1, target="t", url="https://x", payload="{}", created_at=NOW
                )
            )
    with store.transaction() as tx:
        assert sorted([*take(tx), *beside.runs(take)]) == [1, 2]
        assert beside.runs(take) == []


# -- the journal --------------------------------------------------------------------------------------------


def test_facts_have_ids_in_the_order_of_commits(store: PostgresStore, beside: Beside) -> None:
    def second(tx: PostgresTx) -> None:
        tx.add_fact(a_fact(detail={"n": 2}))

    with store.transaction() as tx:
        tx.add_fact(a_fact(detail={"n": 1}))
        assert tx.newest_fact_id() == 1, "written for who asks, its lock held from here on"
        other = beside.waits(second)
        with store.reading() as reader:
            assert reader.newest_fact_id() == 0
    other.result(timeout=30)
    with store.reading() as tx:
        assert [(fact.id, fact.detail["n"]) for fact in tx.facts(limit=9)] == [(1, 1), (2, 2)]


def test_a_transaction_that_tells_something_holds_nobody_up_before_its_end(
    store: PostgresStore, beside: Beside
) -> None:
    with store.transaction() as tx:
        tx.add_fact(a_fact())
        beside.runs(lambda tx: tx.add_fact(a_fact()))


def test_a_reader_that_polls_sees_every_fact_in_order_while_eight_write(store: PostgresStore, at_once: AtOnce) -> None:
    seen: list[int] = []

    def work(number: int) -> None:
        if number < 8:
            for _ in range(12):
                with store.transaction() as tx:
                    tx.add_facts([a_fact(), a_fact(kind=FactKind.FIRED)])
            return
        looks = 0
        while len(seen) < 8 * 12 * 2 and (looks := looks + 1) < 20_000:
            with store.reading() as tx:
                seen.extend(told.fact.id for told in tx.facts_after(seen[-1] if seen else 0, limit=50))

    at_once(9, work)
    with store.reading() as tx:
        assert seen == [fact.id for fact in tx.facts(limit=1000)]
    assert len(seen) == 192


def test_the_newest_fact_is_known_when_retention_has_taken_it(store: PostgresStore) -> None:
    with store.transaction() as tx:
        tx.add_facts([a_fact(kind=FactKind.FIRED), a_fact(kind=FactKind.FIRED)])
        assert tx.prune(before=NOW + HOUR, limit=9) == 2
    with store.reading() as tx:
        assert tx.newest_fact_id() == 2


def test_executors_that_beat_at_once_do_not_wait(store: PostgresStore, beside: Beside) -> None:
    beat = Executor(
        id="x-1", host="h", pid=1, version="1", mode="serve", started_at=NOW, heartbeat_at=NOW, address=None
    )
    with store.transaction() as tx:
        tx.heartbeat(beat)
        beside.runs(lambda tx: tx.heartbeat(replace(beat, id="x-2")))
    with store.reading() as tx:
        assert len(tx.executors(alive_since=NOW - timedelta(seconds=1))) == 2


# -- after a restore ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sign",
    ["DELETE FROM executors", "SELECT 1 FROM lanes FOR UPDATE"],
    ids=["a sign of life", "a lane that is only locked so far"],
)
def test_no_executor_begins_or_goes_on_while_a_restore_is_told(store: PostgresStore, sign: str) -> None:
    add_delivery(store, add_schedule(store))
    with store.transaction() as tx, psycopg.connect(store._conninfo, autocommit=True) as other:
        tx.keep_executors_out()
        other.execute("SET lock_timeout = '20ms'")
        assert other.execute("SELECT count(*) FROM lanes").fetchone() == (1,)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute(sign.encode())


def test_a_planner_that_asks_about_a_restore_writes_nothing_early(store: PostgresStore) -> None:
    due_schedules(store, 1)
    with store.transaction() as tx:
        tx.set_in_use_until(NOW)
    with store.transaction() as tx:
        assert plan_batch(tx, now=NOW + HOUR, store_uid=store.uid).opened == 1
        assert not tx._kept.planned.is_empty
        assert tx.in_use_until() == NOW
        assert not tx._kept.planned.is_empty
