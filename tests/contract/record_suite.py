"""What every Store must do about its records: attempts, the journal, executors, the inbox, retention."""

from __future__ import annotations

from dataclasses import replace

import pytest

from promptyoself.domain import limits
from promptyoself.domain.callbacks import CallbackState, NewCallback
from promptyoself.domain.errors import Conflict, StoreError
from promptyoself.domain.holidays import Holidays, Span
from promptyoself.domain.models import (
    AttemptOutcome,
    DeliveryState,
    Executor,
    FactKind,
    Policy,
    Schedule,
    ScheduleState,
    StopSwitch,
    TargetHealth,
)
from promptyoself.domain.ports import DeliveryFilter, ScheduleFilter, Store
from tests.contract.lane_suite import add_delivery, add_schedule
from tests.factories import AGENT, MINUTE, NOW, a_fact, a_message, a_new_schedule

HOUR = 60 * MINUTE


class RecordContract:
    """The part of the contract about records. A subclass gives `store`."""

    # -- attempts and journal -------------------------------------------------------------------------------

    def test_attempts_are_numbered_within_their_delivery(self, store: Store) -> None:
        schedule = add_schedule(store)
        one, two = add_delivery(store, schedule), add_delivery(store, schedule, fire_at=NOW + MINUTE)
        with store.transaction() as tx:
            tries = [tx.add_attempt(id, executor_id="x", otid="o", started_at=NOW) for id in (one.id, two.id, one.id)]
            assert [attempt.number for attempt in tries] == [1, 1, 2]
            assert tx.attempts(one.id) == [tries[0], tries[2]]
            assert tries[0].outcome is AttemptOutcome.OPEN

    def test_an_attempt_is_finished_with_all_that_is_known(self, store: Store) -> None:
        delivery = add_delivery(store, add_schedule(store))
        with store.transaction() as tx:
            attempt = tx.add_attempt(delivery.id, executor_id="x", otid="o", started_at=NOW)
            tx.finish_attempt(attempt.id, outcome=AttemptOutcome.ACCEPTED, finished_at=None, run_id="run", status=200)
            tx.finish_attempt(
                attempt.id, outcome=AttemptOutcome.FAILED, finished_at=NOW + MINUTE, error_code="e", detail="d"
            )
            (found,) = tx.attempts(delivery.id)
        assert found == replace(
            attempt,
            outcome=AttemptOutcome.FAILED,
            finished_at=NOW + MINUTE,
            error_code="e",
            status=200,
            run_id="run",
            detail="d",
        )

    def test_an_attempt_at_what_is_not_there_is_an_error(self, store: Store) -> None:
        with store.transaction() as tx:
            with pytest.raises(StoreError):
                tx.add_attempt(404, executor_id="x", otid="o", started_at=NOW)
            assert tx.attempts(404) == []

    def test_finishing_an_attempt_that_is_not_there_is_an_error(self, store: Store) -> None:
        with store.transaction() as tx, pytest.raises(StoreError):
            tx.finish_attempt(404, outcome=AttemptOutcome.FAILED, finished_at=NOW)

    def test_the_newest_facts_come_oldest_first(self, store: Store) -> None:
        detail: dict[str, str | int | bool | None] = {"text": "ä\ud800", "n": 1, "yes": True, "none": None}
        facts = [
            a_fact(detail=detail),
            a_fact(kind=FactKind.FIRED, delivery_id=5),
            a_fact(kind=FactKind.ALL_PAUSED, schedule_id=None),
        ]
        with store.transaction() as tx:
            for fact in facts:
                tx.add_fact(fact)
            found = tx.facts(limit=9)
            assert [replace(fact, id=0) for fact in found] == facts
            assert tx.facts(limit=2) == found[1:]
            assert tx.facts(schedule_id=1, limit=9) == found[:2]
            assert tx.facts(schedule_id=1, limit=1) == found[1:2]
            assert tx.facts(delivery_id=5, limit=9) == found[1:2]
            assert tx.facts(schedule_id=1, delivery_id=5, limit=9) == found[1:2]
            assert tx.facts(schedule_id=2, delivery_id=5, limit=9) == []

    def test_the_journal_is_read_on_from_any_fact(self, store: Store) -> None:
        with store.transaction() as tx:
            assert tx.newest_fact_id() == 0
            schedule = tx.add_schedule(a_new_schedule())
            tx.add_facts([a_fact(schedule_id=schedule.id), a_fact(schedule_id=None), a_fact(kind=FactKind.FIRED)])
        with store.reading() as tx:
            told = tx.facts_after(1, limit=9)
            assert [one.fact for one in told] == tx.facts(limit=9)[1:]
            assert [one.fact.id for one in tx.facts_after(0, limit=2)] == [1, 2]
            assert tx.facts_after(3, limit=9) == []
            assert tx.newest_fact_id() == 3
            assert [(one.agent_id, one.owner, one.timezone) for one in told] == [
                (None, None, None),
                (AGENT, "operator", schedule.definition.trigger.timezone),
            ]

    def test_a_fact_that_is_deleted_keeps_its_id(self, store: Store) -> None:
        with store.transaction() as tx:
            tx.add_facts([a_fact(at=NOW - HOUR, schedule_id=None)])
            assert tx.prune(before=NOW, limit=9) == 1
            assert tx.newest_fact_id() == 1
            tx.add_fact(a_fact())
            assert [one.fact.id for one in tx.facts_after(0, limit=9)] == [2]

    def test_many_schedules_are_stored_as_each_would_be(self, store: Store) -> None:
        new = [a_new_schedule(uid=f"uid-{n}", prompt=f"p{n}", key=f"k{n}") for n in range(5)]
        with store.transaction() as tx:
            first = tx.add_schedule(a_new_schedule(uid="alone"))
            ids = tx.add_schedules(new)
            found = [tx.schedule(one) for one in ids]
            alone = tx.add_schedule(replace(new[0], uid="after", definition=replace(new[0].definition, key=None)))
        assert ids == [first.id + n for n in range(1, 6)]
        assert [one and (one.uid, one.definition) for one in found] == [(one.uid, one.definition) for one in new]
        assert found[0] == replace(alone, id=ids[0], uid="uid-0", definition=new[0].definition)
        assert alone.id == ids[-1] + 1

    def test_of_many_schedules_none_is_stored_when_one_has_a_key_that_is_taken(self, store: Store) -> None:
        def store_both() -> None:
            with store.transaction() as tx:
                tx.add_schedules([a_new_schedule(uid="a", key="k"), a_new_schedule(uid="b", key="k")])

        with pytest.raises(Conflict):
            store_both()
        with store.reading() as tx:
            assert tx.schedules(ScheduleFilter()) == []

    # -- executors, health, switch, inbox -------------------------------------------------------------------

    def test_executors_are_alive_while_their_heartbeat_is_young(self, store: Store) -> None:
        one = Executor(id="x", host="h", pid=1, version="1", mode="serve", started_at=NOW, heartbeat_at=NOW)
        again = replace(one, heartbeat_at=NOW + MINUTE, pid=2)
        with store.transaction() as tx:
            tx.heartbeat(one)
            tx.heartbeat(again)
            assert tx.executors(alive_since=NOW + MINUTE) == [again]
            assert tx.executors(alive_since=NOW + 2 * MINUTE) == []
            tx.remove_executor("x")
            tx.remove_executor("x")
            assert tx.executors(alive_since=NOW) == []

    def test_a_targets_health_is_kept(self, store: Store) -> None:
        sick = TargetHealth(target="letta", is_open=True, reason="401", since=NOW)
        well = TargetHealth(target="inbox", is_open=False, reason=None, since=NOW)
        with store.transaction() as tx:
            for health in (replace(sick, reason="x"), sick, well):
                tx.save_target_health(health)
            assert tx.target_health() == [well, sick]

    def test_the_stop_switch_is_one(self, store: Store) -> None:
        switch = StopSwitch(reason="maintenance", since=NOW, until=None)
        with store.transaction() as tx:
            assert tx.stop_switch() is None
            tx.set_stop_switch(StopSwitch(reason=None, since=NOW, until=NOW + HOUR))
            tx.set_stop_switch(switch)
            assert tx.stop_switch() == switch
            tx.set_stop_switch(None)
            assert tx.stop_switch() is None

    def test_a_repeated_otid_is_the_same_message(self, store: Store) -> None:
        with store.transaction() as tx:
            first = tx.add_message(a_message())
            assert tx.add_message(a_message(prompt="again")) == first
            assert tx.message_by_otid(first.otid) == first
            assert tx.message_by_otid("unknown") is None
            assert replace(first, id=0) == a_message()

    def test_messages_are_read_oldest_first_and_acked_once(self, store: Store) -> None:
        with store.transaction() as tx:
            one, two = tx.add_message(a_message(otid="a")), tx.add_message(a_message(otid="b", envelope="e"))
            tx.add_message(a_message(otid="c", agent_id="agent-2"))
            assert tx.messages(AGENT) == [one, two]
            assert tx.messages(AGENT, limit=1) == [one]
            acked = tx.ack_message(one.id, agent_id=AGENT, now=NOW + MINUTE)
            assert acked == replace(one, acked_at=NOW + MINUTE)
            assert tx.ack_message(one.id, agent_id=None, now=NOW + HOUR) == acked
            assert tx.messages(AGENT) == [two]
            assert tx.messages(AGENT, include_acked=True) == [acked, two]

    def test_an_agent_cannot_ack_anothers_message(self, store: Store) -> None:
        with store.transaction() as tx:
            message = tx.add_message(a_message())
            assert tx.ack_message(message.id, agent_id="agent-2", now=NOW) is None
            assert tx.messages(AGENT) == [message]

    # -- housekeeping ---------------------------------------------------------------------------------------

    def test_retention_deletes_old_final_deliveries_with_their_attempts(self, store: Store) -> None:
        schedule = add_schedule(store)
        old = self._finished(store, schedule, fire_at=NOW, finished_at=NOW)
        young = self._finished(store, schedule, fire_at=NOW + MINUTE, finished_at=NOW + HOUR)
        open_one = add_delivery(store, schedule, fire_at=NOW - HOUR, created_at=NOW - HOUR)
        with store.transaction() as tx:
            tx.add_attempt(old, executor_id="x", otid="o", started_at=NOW)
            assert tx.prune(before=NOW + HOUR, limit=9) == 1
            assert {delivery.id for delivery in tx.deliveries(DeliveryFilter())} == {young, open_one.id}
            assert tx.attempts(old) == []
            assert tx.schedule(schedule.id) is not None
            assert tx.prune(before=NOW + HOUR, limit=9) == 0

    def test_retention_keeps_who_made_and_changed_a_live_schedule(self, store: Store) -> None:
        live, gone = add_schedule(store, uid="a"), add_schedule(store, uid="b")
        with store.transaction() as tx:
            tx.save_schedule(replace(gone, state=ScheduleState.COMPLETED, next_fire_at=None))
            for schedule in (live, gone):
                for kind in (FactKind.REGISTERED, FactKind.EDITED, FactKind.FIRED):
                    tx.add_fact(a_fact(kind=kind, schedule_id=schedule.id))
            tx.add_fact(a_fact(kind=FactKind.ALL_PAUSED, schedule_id=None))
            tx.add_fact(a_fact(kind=FactKind.FIRED, at=NOW + HOUR))
            assert tx.prune(before=NOW + HOUR, limit=99) == 5
            left = [(fact.kind, fact.schedule_id) for fact in tx.facts(limit=9)]
        assert left == [(FactKind.REGISTERED, live.id), (FactKind.EDITED, live.id), (FactKind.FIRED, live.id)]

    def test_retention_deletes_read_messages_only(self, store: Store) -> None:
        with store.transaction() as tx:
            read, unread = tx.add_message(a_message(otid="a")), tx.add_message(a_message(otid="b"))
            tx.ack_message(read.id, agent_id=None, now=NOW)
            assert tx.prune(before=NOW, limit=9) == 0
            assert tx.prune(before=NOW + MINUTE, limit=9) == 1
            assert tx.messages(AGENT, include_acked=True) == [unread]

    def test_retention_goes_in_bounded_batches(self, store: Store) -> None:
        schedule = add_schedule(store)
        for minutes in range(3):
            self._finished(store, schedule, fire_at=NOW + minutes * MINUTE, finished_at=NOW)
        with store.transaction() as tx:
            for _ in range(3):
                tx.add_fact(a_fact(kind=FactKind.FIRED))
            batches = [tx.prune(before=NOW + HOUR, limit=2) for _ in range(4)]
        assert batches == [2, 2, 2, 0]

    def test_retention_bounds_and_counts_whatever_it_deletes(self, store: Store) -> None:
        posted = NewCallback(delivery_id=1, schedule_id=1, target="t", url="https://a/", payload="", created_at=NOW)
        dead = Executor(id="", host="h", pid=1, version="v", mode="loop", started_at=NOW, heartbeat_at=NOW)
        with store.transaction() as tx:
            for number in range(3):
                tx.heartbeat(replace(dead, id=str(number)))
                tx.add_callback(posted)
                holidays = Holidays.make(
                    str(number), walls=[], instants=[Span(NOW, NOW + HOUR, "x")], last_day=NOW.date()
                )
                tx.add_schedule(a_new_schedule(str(number), policy=Policy(skip_on=holidays)))
            for number in range(2):  # nobody names their calendars any more
                schedule = tx.schedule_by_uid(str(number))
                assert schedule is not None
                tx.save_schedule(replace(schedule, definition=replace(schedule.definition, policy=Policy())))
            for callback in tx.take_callbacks(now=NOW, until=NOW + MINUTE, limit=2):
                assert tx.end_callback(callback, state=CallbackState.SENT, due_at=NOW)
            tx.heartbeat(replace(dead, id="alive", heartbeat_at=NOW + HOUR))
            assert [tx.prune(before=NOW + HOUR, limit=2) for _ in range(5)] == [2, 2, 2, 1, 0]
            assert [one.id for one in tx.executors(alive_since=NOW)] == ["alive"]
            assert tx.next_callback_at() == NOW, "what is still to be posted stays"
            kept = tx.schedule_by_uid("2")
        assert kept is not None
        assert kept.definition.policy.skip_on is not None

    def test_a_pruned_occurrence_lane_and_all_may_be_stored_anew(self, store: Store) -> None:
        schedule = add_schedule(store)
        self._finished(store, schedule, fire_at=NOW, finished_at=NOW)
        with store.transaction() as tx:
            tx.prune(before=NOW + HOUR, limit=9)
            assert tx.counts()["lanes"] == 0
        delivery = add_delivery(store, schedule)
        with store.reading() as tx:
            assert tx.next_in_lane(schedule.lane, now=NOW) == delivery

    def test_counts_name_every_state(self, store: Store) -> None:
        add_delivery(store, add_schedule(store))
        with store.reading() as tx:
            counts = tx.counts()
        assert {f"schedules_{state}" for state in ScheduleState} <= counts.keys()
        assert {f"deliveries_{state}" for state in DeliveryState} <= counts.keys()
        assert {name: count for name, count in counts.items() if count} == {
            "schedules_active": 1,
            "deliveries_pending": 1,
            "lanes": 1,
        }

    def test_pages_are_bounded(self, store: Store) -> None:
        add_schedule(store)
        with store.reading() as tx:
            assert len(tx.schedules(ScheduleFilter(limit=limits.LIST_MAX * 10))) == 1

    def _finished(self, store: Store, schedule: Schedule, **when: object) -> int:
        delivery = add_delivery(store, schedule, fire_at=when["fire_at"])
        with store.transaction() as tx:
            done = replace(delivery, state=DeliveryState.DELIVERED, finished_at=when["finished_at"])  # type: ignore[arg-type]
            assert tx.save_delivery(done, was=delivery)
        return delivery.id
