"""What every Store must do, whatever its database.

A store's test module subclasses StoreContract and gives it a `make_store` fixture: a callable that returns a new,
empty store, which the fixture closes in the end. lane_suite.py and record_suite.py hold parts of it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptyoself.domain.errors import Conflict, PromptyoselfError, StoreError
from promptyoself.domain.holidays import Holidays, Span
from promptyoself.domain.models import (
    CatchUp,
    DeliveryKind,
    DeliveryState,
    EnvelopeMode,
    Overlap,
    Policy,
    Provenance,
    ScheduleState,
    ZoneRecord,
)
from promptyoself.domain.ports import DeliveryFilter, GuardUsage, ScheduleFilter, Store
from promptyoself.domain.quiet import QuietHours
from promptyoself.domain.triggers import TriggerKind
from tests.contract.access_suite import AccessContract
from tests.contract.lane_suite import LaneContract, MakeStore, add_delivery, add_schedule
from tests.contract.record_suite import RecordContract
from tests.contract.request_suite import RequestContract
from tests.contract.restored_suite import RestoredContract
from tests.factories import (
    AGENT,
    MINUTE,
    NOW,
    a_definition,
    a_fact,
    a_new_delivery,
    a_new_schedule,
    a_trigger,
)

HOUR = 60 * MINUTE
ONCE_FOR_A_FIXTURE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50)
names = st.none() | texts
spans = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=3660))
instants = st.datetimes(timezones=st.just(NOW.tzinfo) | st.just(timezone(timedelta(hours=5, minutes=45)))).filter(
    lambda at: 1 < at.year < 9998
)


class Unplanned(Exception):
    """Raised within a transaction."""


class StoreContract(LaneContract, RecordContract, AccessContract, RequestContract, RestoredContract):
    """All of it. A subclass gives `make_store`."""

    # -- lists ----------------------------------------------------------------------------------------------

    def test_what_fires_is_listed_by_its_next_fire_time_and_what_rests_by_age(self, store: Store) -> None:
        with store.transaction() as tx:
            made = [
                tx.add_schedule(a_new_schedule(f"uid-{number}", next_fire_at=NOW + hours * HOUR, name=f"n{number}"))
                for number, hours in enumerate((3, 1, 2, 4, 5))
            ]
            for one in made[3:]:
                tx.save_schedule(replace(one, state=ScheduleState.PAUSED, next_fire_at=None))
        with store.reading() as tx:
            soonest = tx.schedules_soonest(ScheduleFilter(limit=2))
            assert [one.id for one in soonest] == [made[1].id, made[2].id]
            in_span = ScheduleFilter(next_from=NOW + 2 * HOUR, next_until=NOW + 3 * HOUR)
            assert [one.id for one in tx.schedules_soonest(in_span)] == [made[2].id, made[0].id]
            assert tx.schedules_counted(in_span) == 2
            assert [one.id for one in tx.schedules_resting(ScheduleFilter())] == [made[4].id, made[3].id]
            assert [one.id for one in tx.schedules_resting(ScheduleFilter(name_part="N3"))] == [made[3].id]
            assert tx.schedules_counted(ScheduleFilter()) == 5
            assert tx.schedules_counted(ScheduleFilter(limit=3)) == 3
            assert tx.schedules_counted(ScheduleFilter(states=[ScheduleState.PAUSED], owner="nobody")) == 0

    # -- transactions ---------------------------------------------------------------------------------------

    def test_what_a_transaction_stored_is_there_afterwards(self, store: Store) -> None:
        schedule = add_schedule(store)
        with store.reading() as tx:
            assert tx.schedule(schedule.id) == schedule

    def test_an_exception_undoes_all_of_its_transaction(self, store: Store) -> None:
        def fail() -> None:
            with store.transaction() as tx:
                tx.add_schedule(a_new_schedule())
                tx.add_fact(a_fact())
                raise Unplanned

        with pytest.raises(Unplanned):
            fail()
        with store.reading() as tx:
            assert tx.schedules(ScheduleFilter()) == []
            assert tx.facts(limit=9) == []

    def test_a_transaction_sees_its_own_writes(self, store: Store) -> None:
        with store.transaction() as tx:
            schedule = tx.add_schedule(a_new_schedule())
            assert tx.schedule(schedule.id) == schedule

    def test_reading_writes_nothing(self, store: Store) -> None:
        with pytest.raises(StoreError), store.reading() as tx:
            tx.add_fact(a_fact())
        with store.transaction() as tx:
            assert tx.facts(limit=9) == []
            tx.add_fact(a_fact())

    def test_a_transaction_is_of_no_use_after_its_end(self, store: Store) -> None:
        with store.transaction() as over:
            pass
        with store.transaction(), pytest.raises(StoreError):
            over.add_fact(a_fact())

    def test_a_refused_row_leaves_the_transaction_usable(self, store: Store) -> None:
        with store.transaction() as tx:
            with pytest.raises(StoreError):
                tx.add_delivery(a_new_delivery(schedule_id=404), retry_until=NOW)
            schedule = tx.add_schedule(a_new_schedule())
        with store.reading() as tx:
            assert tx.schedule(schedule.id) == schedule

    def test_the_change_mark_moves_with_a_commit_and_only_then(self, store: Store) -> None:
        before = store.change_mark()
        assert store.change_mark() == before
        add_schedule(store)
        assert store.change_mark() != before

    def test_two_stores_have_two_uids(self, make_store: MakeStore) -> None:
        uids = {make_store().uid, make_store().uid}
        assert len(uids) == 2
        assert "" not in uids

    def test_a_closed_store_says_so(self, make_store: MakeStore) -> None:
        store = make_store()
        store.close()
        store.close()
        with pytest.raises(StoreError, match="closed"), store.transaction():
            pass
        with pytest.raises(StoreError, match="closed"), store.reading():
            pass
        with pytest.raises(StoreError, match="closed"):
            store.change_mark()

    # -- schedules ------------------------------------------------------------------------------------------

    def test_a_schedule_comes_back_as_it_was_stored(self, store: Store) -> None:
        new = a_new_schedule(
            provenance=Provenance(
                owner=AGENT, created_by="agent via mcp", origin_delivery_id=7, root_uid="root", depth=3
            ),
            prompt="zwei\nZeilen \U0001f40d",
            conversation="new",
            key="daily",
            name="Daily stretch",
            max_repetitions=3,
            trigger=a_trigger(
                kind=TriggerKind.CRON,
                expression="0 9 * * mon",
                timezone="Europe/Riga",
                start_at=NOW + MINUTE,
                end_at=NOW + timedelta(days=9, microseconds=1),
                jitter=timedelta(seconds=30, microseconds=5),
            ),
            policy=Policy(
                catch_up=CatchUp.ALL,
                catch_up_window=timedelta(hours=6),
                overlap=Overlap.QUEUE,
                retry_for=timedelta(hours=1),
                expires_after=timedelta(minutes=5),
                envelope=EnvelopeMode.FULL,
                quiet_hours=QuietHours.parse("22:00-07:00"),
            ),
        )
        with store.transaction() as tx:
            schedule = tx.add_schedule(new)
        assert (schedule.revision, schedule.state, schedule.fire_count) == (1, ScheduleState.ACTIVE, 0)
        assert (schedule.uid, schedule.definition, schedule.provenance) == (new.uid, new.definition, new.provenance)
        assert (schedule.next_fire_at, schedule.created_at) == (new.next_fire_at, new.created_at)
        with store.reading() as tx:
            assert tx.schedule(schedule.id) == schedule

    @ONCE_FOR_A_FIXTURE
    @given(
        name=names,
        prompt=texts,
        reason=names,
        next_fire_at=st.none() | instants,
        anchor_at=instants,
        jitter=spans,
        window=st.none() | spans,
    )
    def test_any_text_instant_and_span_survives(
        self,
        make_store: MakeStore,
        *,
        name: str | None,
        prompt: str,
        reason: str | None,
        next_fire_at: object,
        anchor_at: object,
        jitter: timedelta,
        window: timedelta | None,
    ) -> None:
        store = make_store()
        new = a_new_schedule(
            name=name,
            prompt=prompt,
            next_fire_at=next_fire_at,
            trigger=a_trigger(anchor_at=anchor_at, jitter=jitter),
            policy=Policy(catch_up_window=window),
        )
        with store.transaction() as tx:
            schedule = tx.add_schedule(new)
            tx.save_schedule(replace(schedule, state_reason=reason))
            assert tx.schedule(schedule.id) == replace(schedule, state_reason=reason)
        store.close()

    def test_a_calendar_comes_back_with_each_schedule_that_names_it(self, store: Store) -> None:
        day = datetime(2026, 12, 24)  # noqa: DTZ001  a wall
        spans = [Span(day, day + timedelta(days=2), "Christmas \u2603")]
        holidays = Holidays.make("h.ics", walls=spans, instants=[], last_day=day.date())
        definition = a_definition(policy=Policy(skip_on=holidays))
        with store.transaction() as tx:
            made, other = (tx.add_schedule(a_new_schedule(uid, definition=definition)) for uid in ("a", "b"))
        with store.reading() as tx:
            assert tx.schedule(made.id) == tx.schedule_by_uid("a") == made
            assert tx.schedule(other.id) == tx.schedule_by_uid("b") == other
        with store.transaction() as tx:
            tx.save_schedule(replace(made, definition=a_definition()))
            cleared = tx.schedule(made.id)
            assert cleared is not None
            assert cleared.definition.policy.skip_on is None
        with store.reading() as tx:
            assert tx.schedule_by_uid("nobody") is None

    def test_instants_come_back_in_utc_with_microseconds(self, store: Store) -> None:
        at = (NOW + timedelta(microseconds=1)).astimezone(timezone(timedelta(hours=2)))
        schedule = add_schedule(store, next_fire_at=at)
        with store.reading() as tx:
            found = tx.schedule(schedule.id)
        assert found is not None
        assert found.next_fire_at is not None
        assert found.next_fire_at.isoformat() == "2026-03-02T09:00:00.000001+00:00"

    def test_every_column_of_a_schedule_may_change_but_its_birth(self, store: Store) -> None:
        schedule = add_schedule(store)
        changed = replace(
            schedule,
            definition=a_definition(agent_id="agent-2", prompt="new", target="letta", key="k", max_repetitions=1),
            provenance=Provenance(owner="agent-2", created_by="x", origin_delivery_id=1, root_uid="r", depth=1),
            revision=2,
            state=ScheduleState.PAUSED,
            state_reason="too loud",
            paused_until=NOW + HOUR,
            next_fire_at=None,
            passed_until=NOW + HOUR,
            last_fire_at=NOW,
            fire_count=4,
            finals_in_row=2,
            updated_at=NOW + MINUTE,
        )
        with store.transaction() as tx:
            tx.save_schedule(changed)
            assert tx.schedule(schedule.id) == changed

    def test_a_fire_time_that_was_passed_cannot_be_the_next(self, store: Store) -> None:
        schedule = add_schedule(store)
        assert schedule.next_fire_at is not None
        with store.transaction() as tx, pytest.raises(StoreError):
            tx.save_schedule(replace(schedule, passed_until=schedule.next_fire_at))
        with store.transaction() as tx:
            tx.save_schedule(replace(schedule, passed_until=schedule.next_fire_at - MINUTE))

    def test_a_delivery_that_was_put_off_is_its_lanes_when_it_comes(self, store: Store) -> None:
        schedule = add_schedule(store)
        first = a_new_delivery(schedule, planned_at=NOW + HOUR, snoozed_until=NOW + HOUR)
        with store.transaction() as tx:
            put_off = tx.add_delivery(first, retry_until=NOW + HOUR)
            assert put_off is not None
            assert put_off.snoozed_until == NOW + HOUR
            assert tx.ready_lanes(now=NOW + MINUTE, limit=9) == []
            assert tx.next_wake_at(now=NOW + 10 * MINUTE) == schedule.next_fire_at
            assert tx.next_in_lane(schedule.lane, now=NOW + HOUR) == put_off
            later = replace(put_off, planned_at=NOW + 2 * HOUR, due_at=NOW + 2 * HOUR, snoozed_until=NOW + 2 * HOUR)
            assert tx.save_delivery(later, was=put_off)
            assert tx.ready_lanes(now=NOW + HOUR, limit=9) == []
            assert tx.ready_lanes(now=NOW + 2 * HOUR, limit=9) == [schedule.lane]

    def test_what_was_put_off_is_found_by_its_schedule_until_it_comes(self, store: Store) -> None:
        first, second, third = (add_schedule(store, uid=uid) for uid in "abc")
        with store.transaction() as tx:
            for at, later in ((NOW, 3), (NOW + MINUTE, 2)):
                put_off = replace(a_new_delivery(first, fire_at=at), snoozed_until=NOW + later * MINUTE)
                tx.add_delivery(put_off, retry_until=NOW + HOUR)
            tx.add_delivery(a_new_delivery(second), retry_until=NOW + HOUR)
            skipped = replace(a_new_delivery(third), snoozed_until=NOW + MINUTE, state=DeliveryState.SKIPPED)
            tx.add_delivery(skipped, retry_until=NOW + HOUR)
        with store.reading() as tx:
            assert tx.snoozed(now=NOW) == {first.id: NOW + 2 * MINUTE}
            assert tx.snoozed(now=NOW + 2 * MINUTE) == {first.id: NOW + 3 * MINUTE}
            assert tx.snoozed(now=NOW + 3 * MINUTE) == {}

    def test_the_zone_databases_version_is_the_one_last_noted(self, store: Store) -> None:
        with store.transaction() as tx:
            assert tx.zone_record() is None
            for version in ("2025b", "2026a, package 2026f"):
                tx.set_zone_record(ZoneRecord(version=version, since=NOW))
        with store.reading() as tx:
            assert tx.zone_record() == ZoneRecord(version="2026a, package 2026f", since=NOW)
        assert store.uid

    def test_saving_a_schedule_that_was_never_stored_is_an_error(self, store: Store) -> None:
        schedule = add_schedule(store)
        with store.transaction() as tx, pytest.raises(StoreError):
            tx.save_schedule(replace(schedule, id=404))

    def test_ids_are_never_given_out_twice(self, store: Store) -> None:
        first, second = add_schedule(store, uid="a"), add_schedule(store, uid="b")
        assert second.id > first.id > 0

    @pytest.mark.parametrize("nobody", [0, -1, 404, 2**63, 10**40])
    def test_an_unknown_id_is_none(self, store: Store, nobody: int) -> None:
        with store.transaction() as tx:
            assert tx.schedule(nobody) is None
            assert tx.delivery(nobody) is None
            assert tx.ack_message(nobody, agent_id=None, now=NOW) is None

    def test_text_that_is_not_unicode_is_refused_in_our_words(self, store: Store) -> None:
        with store.transaction() as tx, pytest.raises(PromptyoselfError):
            tx.add_schedule(a_new_schedule(prompt="\ud800"))

    def test_a_key_is_one_schedules_within_its_agent(self, store: Store) -> None:
        first = add_schedule(store, uid="a", key="daily")
        other = add_schedule(store, uid="b", key="daily", agent_id="agent-2")
        with store.transaction() as tx:
            with pytest.raises(Conflict, match="daily"):
                tx.add_schedule(a_new_schedule("c", key="daily"))
            assert tx.schedule_by_key(AGENT, "daily") == first
            assert tx.schedule_by_key("agent-2", "daily") == other
            assert tx.schedule_by_key(AGENT, "weekly") is None

    def test_an_edit_cannot_take_anothers_key(self, store: Store) -> None:
        add_schedule(store, uid="a", key="daily")
        second = add_schedule(store, uid="b", key="weekly")
        with store.transaction() as tx, pytest.raises(Conflict):
            tx.save_schedule(replace(second, definition=replace(second.definition, key="daily")))

    def test_a_finished_schedule_keeps_its_key(self, store: Store) -> None:
        schedule = add_schedule(store, key="daily")
        with store.transaction() as tx:
            tx.save_schedule(replace(schedule, state=ScheduleState.CANCELLED, next_fire_at=None))
            found = tx.schedule_by_key(AGENT, "daily")
            assert found is not None
            assert found.state is ScheduleState.CANCELLED

    def test_schedules_are_listed_by_id_and_filtered(self, store: Store) -> None:
        mine = add_schedule(store, uid="a")
        theirs = add_schedule(store, uid="b", agent_id="agent-2", provenance=Provenance(owner="agent-2"))
        paused = add_schedule(store, uid="c", provenance=Provenance(owner="agent-2"))
        with store.transaction() as tx:
            paused = replace(paused, state=ScheduleState.PAUSED)
            tx.save_schedule(paused)
            assert tx.schedules(ScheduleFilter()) == [mine, theirs, paused]
            assert tx.schedules(ScheduleFilter(agent_id=AGENT)) == [mine, paused]
            assert tx.schedules(ScheduleFilter(owner="agent-2")) == [theirs, paused]
            assert tx.schedules(ScheduleFilter(agent_id=AGENT, owner="agent-2")) == [paused]
            assert tx.schedules(ScheduleFilter(states=[ScheduleState.ACTIVE])) == [mine, theirs]
            assert tx.schedules(ScheduleFilter(states=[])) == []
            assert tx.schedules(ScheduleFilter(owner="agent-2", states=[ScheduleState.PAUSED])) == [paused]
            assert tx.schedules(ScheduleFilter(after_id=mine.id, limit=1)) == [theirs]
            assert tx.schedules(ScheduleFilter(limit=-1)) == []

    def test_schedules_are_found_by_what_they_are(self, store: Store) -> None:
        named = add_schedule(store, uid="a", name="Water the PLANTS", key="plants")
        rule = replace(named.definition.trigger, kind=TriggerKind.RRULE)
        ruled = add_schedule(store, uid="b", target="letta", trigger=rule, next_fire_at=NOW + 2 * HOUR)
        later = add_schedule(store, uid="c", next_fire_at=NOW + 3 * HOUR)
        with store.transaction() as tx:
            tx.save_schedule(replace(later, state=ScheduleState.PAUSED))
            assert tx.schedules(ScheduleFilter(name_part="the plants")) == [named]
            assert tx.schedules(ScheduleFilter(name_part="%")) == []
            assert tx.schedules(ScheduleFilter(key="plants", agent_id=AGENT)) == [named]
            assert tx.schedules(ScheduleFilter(kinds=[TriggerKind.RRULE])) == [ruled]
            assert tx.schedules(ScheduleFilter(target="letta", owner="operator")) == [ruled]
            assert tx.schedules(ScheduleFilter(next_from=NOW + 2 * HOUR)) == [ruled]
            assert tx.schedules(ScheduleFilter(next_from=NOW + 2 * HOUR, agent_id="agent-9")) == []
            assert ruled in tx.schedules(ScheduleFilter(next_until=NOW + 2 * HOUR))
            assert tx.schedules(ScheduleFilter(next_from=NOW + 3 * HOUR)) == []

    def test_due_schedules_come_oldest_first_with_pauses_that_have_run_out(self, store: Store) -> None:
        late = add_schedule(store, uid="a", next_fire_at=NOW - MINUTE)
        exact = add_schedule(store, uid="b", next_fire_at=NOW)
        add_schedule(store, uid="c", next_fire_at=NOW + timedelta(microseconds=1))
        add_schedule(store, uid="d", next_fire_at=None)
        with store.transaction() as tx:
            resting = [
                replace(
                    tx.add_schedule(a_new_schedule(f"p{minutes}")),
                    state=ScheduleState.PAUSED,
                    next_fire_at=None,
                    paused_until=None if minutes is None else NOW + minutes * MINUTE,
                )
                for minutes in (-2, 2, None)
            ]
            for schedule in resting:
                tx.save_schedule(schedule)
            assert tx.schedules_due(now=NOW, limit=9) == [resting[0], late, exact]
            assert tx.schedules_due(now=NOW, limit=2) == [resting[0], late]

    def test_the_guard_counts_what_an_owner_uses(self, store: Store) -> None:
        mine = Provenance(owner=AGENT)
        old = add_schedule(store, uid="a", provenance=mine, created_at=NOW - 2 * HOUR)
        young = add_schedule(store, uid="b", provenance=mine, created_at=NOW)
        gone = add_schedule(store, uid="c", provenance=mine, created_at=NOW)
        add_schedule(store, uid="d")
        with store.transaction() as tx:
            tx.save_schedule(replace(old, state=ScheduleState.PAUSED))
            tx.save_schedule(replace(gone, state=ScheduleState.CANCELLED))
        add_delivery(store, young)
        add_delivery(store, young, fire_at=NOW + MINUTE, state=DeliveryState.SKIPPED)
        add_delivery(store, old, created_at=NOW - 2 * HOUR)
        with store.reading() as tx:
            usage = tx.guard_usage(AGENT, since=NOW - HOUR)
        assert usage == GuardUsage(active=1, created_last_hour=2, deliveries_last_hour=1)

    def test_live_descendants_are_active_or_paused(self, store: Store) -> None:
        root = add_schedule(store, uid="root")
        children = [add_schedule(store, uid=str(n), provenance=Provenance(root_uid="root", depth=1)) for n in range(4)]
        with store.transaction() as tx:
            for child, state in zip(children, ScheduleState, strict=True):
                tx.save_schedule(replace(child, state=state))
            assert tx.live_descendants(root.uid) == 2
            assert tx.live_descendants("nobody") == 0

    # -- deliveries as rows ---------------------------------------------------------------------------------

    def test_a_delivery_begins_pending_and_due_as_planned(self, store: Store) -> None:
        schedule = add_schedule(store)
        new = a_new_delivery(schedule, planned_at=NOW + MINUTE, missed=3, reason="late")
        with store.transaction() as tx:
            delivery = tx.add_delivery(new, retry_until=NOW + HOUR)
            assert delivery is not None
            assert tx.delivery(delivery.id) == delivery
        assert (delivery.state, delivery.due_at, delivery.retry_until) == ("pending", NOW + MINUTE, NOW + HOUR)
        assert (delivery.missed, delivery.reason, delivery.attempts) == (3, "late", 0)

    def test_an_occurrence_is_stored_once(self, store: Store) -> None:
        schedule = add_schedule(store)
        first = add_delivery(store, schedule)
        with store.transaction() as tx:
            assert tx.add_delivery(a_new_delivery(schedule), retry_until=NOW) is None
            assert tx.deliveries(DeliveryFilter()) == [first]

    @pytest.mark.parametrize(
        "other", [{"revision": 2}, {"kind": DeliveryKind.RUN_NOW}, {"fire_at": NOW + timedelta(microseconds=1)}]
    )
    def test_another_revision_kind_or_instant_is_another_occurrence(
        self, store: Store, other: dict[str, object]
    ) -> None:
        schedule = add_schedule(store)
        add_delivery(store, schedule)
        assert add_delivery(store, schedule, **other).id > 0

    def test_every_column_of_a_delivery_that_may_change_does(self, store: Store) -> None:
        delivery = add_delivery(store, add_schedule(store))
        changed = replace(
            delivery,
            state=DeliveryState.DELIVERED,
            reason="r",
            error_code="e",
            due_at=NOW + MINUTE,
            planned_at=NOW + MINUTE,
            snoozed_until=NOW + MINUTE,
            lease_token="t",
            attempts=1,
            refusals=2,
            failures=3,
            maybe_repeat=True,
            retry_until=NOW + HOUR,
            unknown_since=NOW,
            cancel_requested=True,
            run_id="run",
            reply_excerpt="ok",
            first_sent_at=NOW,
            sent_at=NOW,
            accepted_at=NOW,
            finished_at=NOW,
        )
        with store.transaction() as tx:
            assert tx.save_delivery(changed, was=delivery)
            assert tx.delivery(delivery.id) == changed

    def test_a_final_delivery_without_its_end_is_refused(self, store: Store) -> None:
        delivery = add_delivery(store, add_schedule(store))
        with store.transaction() as tx, pytest.raises(StoreError):
            tx.save_delivery(replace(delivery, state=DeliveryState.DEAD), was=delivery)

    def test_a_save_is_guarded_by_state_and_token(self, store: Store) -> None:
        delivery = add_delivery(store, add_schedule(store))
        leased = replace(delivery, state=DeliveryState.LEASED, lease_token="mine")
        with store.transaction() as tx:
            assert tx.save_delivery(leased, was=delivery)
            assert not tx.save_delivery(leased, was=delivery)
            assert not tx.save_delivery(replace(leased, attempts=9), was=replace(leased, lease_token="other"))
            assert not tx.save_delivery(replace(leased, attempts=9), was=replace(leased, lease_token=None))
            assert tx.delivery(delivery.id) == leased

    def test_deliveries_are_listed_newest_first_and_filtered(self, store: Store) -> None:
        one = add_schedule(store, uid="a")
        two = add_schedule(store, uid="b", agent_id="agent-2", provenance=Provenance(owner="agent-2"))
        first, second = add_delivery(store, one), add_delivery(store, two)
        third = add_delivery(store, one, fire_at=NOW + MINUTE, state=DeliveryState.SKIPPED)
        with store.reading() as tx:
            assert tx.deliveries(DeliveryFilter()) == [third, second, first]
            assert tx.deliveries(DeliveryFilter(limit=1)) == [third]
            assert tx.deliveries(DeliveryFilter(before_id=third.id)) == [second, first]
            assert tx.deliveries(DeliveryFilter(schedule_id=one.id)) == [third, first]
            assert tx.deliveries(DeliveryFilter(schedule_id=one.id, before_id=third.id)) == [first]
            assert tx.deliveries(DeliveryFilter(schedule_id=one.id, agent_id="agent-2")) == []
            assert tx.deliveries(DeliveryFilter(schedule_id=one.id, owner="agent-2")) == []
            assert tx.deliveries(DeliveryFilter(agent_id="agent-2")) == [second]
            assert tx.deliveries(DeliveryFilter(agent_id=AGENT, owner="agent-2")) == []
            assert tx.deliveries(DeliveryFilter(owner="agent-2")) == [second]
            assert tx.deliveries(DeliveryFilter(states=[DeliveryState.SKIPPED])) == [third]
            assert tx.deliveries(DeliveryFilter(agent_id=AGENT, states=[DeliveryState.PENDING])) == [first]

    def test_unfinished_deliveries_come_by_fire_time(self, store: Store) -> None:
        schedule = add_schedule(store)
        later = add_delivery(store, schedule, fire_at=NOW + MINUTE)
        earlier = add_delivery(store, schedule)
        add_delivery(store, schedule, fire_at=NOW - MINUTE, state=DeliveryState.SKIPPED)
        with store.reading() as tx:
            assert tx.unfinished_deliveries(schedule.id) == [earlier, later]
