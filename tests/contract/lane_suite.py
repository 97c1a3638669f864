"""What every Store must do about lanes: whose turn it is, who holds a lane, and when to wake up.

The last test plays many small worlds against an oracle that is worked out from a plain list of deliveries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptyoself.domain.models import Delivery, DeliveryKind, DeliveryState, Schedule, ScheduleState, StopSwitch
from promptyoself.domain.ports import Store
from tests.factories import MINUTE, NOW, a_new_delivery, a_new_schedule

MakeStore = Callable[[], Store]
LEASE = timedelta(seconds=30)


def add_schedule(store: Store, uid: str = "uid-1", **changes: object) -> Schedule:
    """Store a schedule; see a_new_schedule."""
    with store.transaction() as tx:
        return tx.add_schedule(a_new_schedule(uid, **changes))


def add_delivery(store: Store, schedule: Schedule, **changes: object) -> Delivery:
    """Store a delivery of `schedule`; see a_new_delivery."""
    with store.transaction() as tx:
        delivery = tx.add_delivery(a_new_delivery(schedule, **changes), retry_until=NOW + 60 * MINUTE)
    assert delivery is not None
    return delivery


def save(store: Store, was: Delivery, state: DeliveryState | None = None, **changes: object) -> Delivery:
    """Save a delivery in another state, with what the state demands."""
    state = state or was.state
    token = "t" if state is DeliveryState.LEASED else was.lease_token
    finished_at = NOW if state.is_final else None
    now = replace(was, state=state, lease_token=token, finished_at=finished_at, **changes)  # type: ignore[arg-type]
    with store.transaction() as tx:
        assert tx.save_delivery(now, was=was)
    return now


def next_in_lane(store: Store, lane: str, now: datetime = NOW) -> Delivery | None:
    """Ask what a lane must do."""
    with store.reading() as tx:
        return tx.next_in_lane(lane, now=now)


def ready(store: Store, now: datetime = NOW, targets: list[str] | None = None) -> list[str]:
    """Ask which lanes are ready."""
    with store.reading() as tx:
        return tx.ready_lanes(now=now, limit=99, targets=targets)


def wake_at(store: Store, now: datetime = NOW) -> datetime | None:
    """Ask when to look next."""
    with store.reading() as tx:
        return tx.next_wake_at(now=now)


def lease(store: Store, lane: str, token: str = "mine", now: datetime = NOW) -> bool:  # noqa: S107  a lease's token opens nothing
    """Take a lane for LEASE."""
    with store.transaction() as tx:
        return tx.lease_lane(lane, token=token, executor_id=f"x-{token}", now=now, until=now + LEASE)


class LaneContract:
    """The part of the contract about deliveries in lanes. A subclass gives `make_store`."""

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Store:
        return make_store()

    # -- turns ----------------------------------------------------------------------------------------------

    def test_a_due_delivery_makes_its_lane_ready(self, store: Store) -> None:
        schedule = add_schedule(store, next_fire_at=None)
        delivery = add_delivery(store, schedule)
        assert ready(store) == [schedule.lane]
        assert next_in_lane(store, schedule.lane) == delivery
        assert wake_at(store) == NOW

    def test_a_delivery_to_come_is_not_ready_but_wakes(self, store: Store) -> None:
        schedule = add_schedule(store, next_fire_at=None)
        add_delivery(store, schedule, fire_at=NOW + MINUTE)
        assert ready(store) == []
        assert next_in_lane(store, schedule.lane) is None
        assert wake_at(store) == NOW + MINUTE
        assert ready(store, NOW + MINUTE) == [schedule.lane]

    def test_due_deliveries_go_by_fire_time_and_not_by_due_time(self, store: Store) -> None:
        one, two = add_schedule(store, "a"), add_schedule(store, "b")
        first_due = add_delivery(store, one, fire_at=NOW - MINUTE, planned_at=NOW - MINUTE)
        first_fired = add_delivery(store, two, fire_at=NOW - 2 * MINUTE, planned_at=NOW)
        assert next_in_lane(store, one.lane, NOW - timedelta(seconds=1)) == first_due
        assert next_in_lane(store, one.lane) == first_fired

    def test_a_delivery_that_waits_for_its_retry_is_overtaken_by_other_schedules(self, store: Store) -> None:
        one, two = add_schedule(store, "a"), add_schedule(store, "b")
        refused = add_delivery(store, one, fire_at=NOW - MINUTE)
        other = add_delivery(store, two)
        save(store, refused, due_at=NOW + MINUTE, refusals=1)
        assert next_in_lane(store, one.lane) == other

    def test_a_delivery_is_not_overtaken_by_its_own_schedule(self, store: Store) -> None:
        schedule = add_schedule(store, next_fire_at=None)
        refused = add_delivery(store, schedule, fire_at=NOW - MINUTE)
        add_delivery(store, schedule)
        save(store, refused, due_at=NOW + MINUTE, refusals=1)
        assert next_in_lane(store, schedule.lane) is None
        assert ready(store) == []
        assert wake_at(store) == NOW + MINUTE

    def test_the_next_of_a_schedule_has_its_turn_when_the_last_is_finished(self, store: Store) -> None:
        schedule = add_schedule(store)
        first, second = add_delivery(store, schedule), add_delivery(store, schedule, fire_at=NOW + MINUTE)
        save(store, first, DeliveryState.DELIVERED)
        assert ready(store) == []
        assert next_in_lane(store, schedule.lane, NOW + MINUTE) == second

    def test_a_revived_delivery_takes_its_turn_back(self, store: Store) -> None:
        schedule = add_schedule(store)
        dead = save(store, add_delivery(store, schedule), DeliveryState.DEAD)
        add_delivery(store, schedule, fire_at=NOW + MINUTE)
        revived = save(store, dead, DeliveryState.PENDING, due_at=NOW + MINUTE)
        assert next_in_lane(store, schedule.lane, NOW + MINUTE) == revived

    def test_the_turn_passes_to_another_lane_when_the_schedule_has_moved(self, store: Store) -> None:
        schedule = add_schedule(store)
        old = save(store, add_delivery(store, schedule), DeliveryState.LEASED)
        new = add_delivery(store, schedule, revision=2, lane="inbox elsewhere", fire_at=NOW + MINUTE)
        assert ready(store, NOW + MINUTE) == [schedule.lane]
        save(store, old, DeliveryState.DELIVERED)
        assert ready(store, NOW + MINUTE) == ["inbox elsewhere"]
        assert next_in_lane(store, "inbox elsewhere", NOW + MINUTE) == new

    @pytest.mark.parametrize("state", [DeliveryState.LEASED, DeliveryState.ACCEPTED, DeliveryState.UNKNOWN])
    def test_what_is_in_flight_comes_first_and_blocks_its_lane(self, store: Store, state: DeliveryState) -> None:
        one, two = add_schedule(store, "a", next_fire_at=None), add_schedule(store, "b", next_fire_at=None)
        add_delivery(store, two, fire_at=NOW - MINUTE)
        flying = save(store, add_delivery(store, one), state, due_at=NOW + MINUTE)
        assert next_in_lane(store, one.lane) is None
        assert ready(store) == []
        assert wake_at(store) == NOW + MINUTE
        assert next_in_lane(store, one.lane, NOW + MINUTE) == flying
        assert ready(store, NOW + MINUTE) == [one.lane]

    def test_a_skipped_delivery_is_nobodys_turn(self, store: Store) -> None:
        schedule = add_schedule(store, next_fire_at=None)
        skipped = add_delivery(store, schedule, state=DeliveryState.SKIPPED, reason="overlap")
        assert skipped.finished_at == skipped.created_at
        assert ready(store) == []
        assert wake_at(store) is None

    # -- pause and stop -------------------------------------------------------------------------------------

    def test_a_pause_holds_unsent_deliveries_and_its_end_lets_them_go(self, store: Store) -> None:
        schedule = add_schedule(store, next_fire_at=None)
        delivery = add_delivery(store, schedule)
        paused = replace(schedule, state=ScheduleState.PAUSED)
        with store.transaction() as tx:
            tx.save_schedule(paused)
        assert (ready(store), next_in_lane(store, schedule.lane), wake_at(store)) == ([], None, None)
        with store.transaction() as tx:
            tx.save_schedule(schedule)
        assert (ready(store), next_in_lane(store, schedule.lane)) == ([schedule.lane], delivery)

    def test_a_run_now_goes_out_in_a_pause_past_what_the_pause_holds(self, store: Store) -> None:
        schedule = add_schedule(store)
        add_delivery(store, schedule, fire_at=NOW - MINUTE)
        with store.transaction() as tx:
            tx.save_schedule(replace(schedule, state=ScheduleState.PAUSED))
        asked = add_delivery(store, schedule, kind=DeliveryKind.RUN_NOW)
        assert next_in_lane(store, schedule.lane) == asked

    def test_a_pause_lets_what_is_in_flight_be_followed_and_holds_its_retry(self, store: Store) -> None:
        schedule = add_schedule(store, next_fire_at=None)
        flying = save(store, add_delivery(store, schedule), DeliveryState.LEASED)
        with store.transaction() as tx:
            tx.save_schedule(replace(schedule, state=ScheduleState.PAUSED, next_fire_at=None))
        assert next_in_lane(store, schedule.lane) == flying
        refused = replace(flying, state=DeliveryState.PENDING, lease_token=None)
        with store.transaction() as tx:
            assert tx.save_delivery(refused, was=flying)
        assert (ready(store), next_in_lane(store, schedule.lane), wake_at(store)) == ([], None, None)

    def test_while_all_is_stopped_only_what_is_in_flight_is_followed(self, store: Store) -> None:
        one = add_schedule(store, "a", agent_id="agent-a", next_fire_at=None)
        two = add_schedule(store, "b", agent_id="agent-b", next_fire_at=None)
        add_delivery(store, one)
        flying = save(store, add_delivery(store, two), DeliveryState.ACCEPTED, due_at=NOW - MINUTE)
        with store.transaction() as tx:
            tx.set_stop_switch(StopSwitch(reason=None, since=NOW, until=None))
        assert ready(store) == [two.lane]
        assert next_in_lane(store, one.lane) is None
        assert next_in_lane(store, two.lane) == flying
        assert wake_at(store) == NOW - MINUTE
        save(store, flying, DeliveryState.DELIVERED)
        assert wake_at(store) is None
        with store.transaction() as tx:
            tx.set_stop_switch(None)
        assert ready(store) == [one.lane]

    def test_a_switch_with_an_end_wakes_and_lets_go_by_itself(self, store: Store) -> None:
        schedule = add_schedule(store, next_fire_at=None)
        delivery = add_delivery(store, schedule)
        with store.transaction() as tx:
            tx.set_stop_switch(StopSwitch(reason=None, since=NOW, until=NOW + MINUTE))
        assert wake_at(store) == NOW + MINUTE
        assert ready(store, NOW + MINUTE) == [schedule.lane]
        assert next_in_lane(store, schedule.lane, NOW + MINUTE) == delivery

    # -- leases ---------------------------------------------------------------------------------------------

    def test_a_lane_has_one_holder(self, store: Store) -> None:
        schedule = add_schedule(store, next_fire_at=None)
        add_delivery(store, schedule)
        assert lease(store, schedule.lane)
        assert not lease(store, schedule.lane, "other")
        assert lease(store, schedule.lane, now=NOW + MINUTE / 6)
        assert ready(store) == []
        with store.reading() as tx:
            assert tx.lane_holder(schedule.lane, now=NOW) == "x-mine"

    def test_a_lease_that_has_run_out_frees_the_lane(self, store: Store) -> None:
        schedule = add_schedule(store, next_fire_at=None)
        add_delivery(store, schedule)
        lease(store, schedule.lane)
        end = NOW + LEASE
        assert wake_at(store) == end
        assert ready(store, end - timedelta(microseconds=1)) == []
        assert ready(store, end) == [schedule.lane]
        assert wake_at(store, end) == NOW
        with store.transaction() as tx:
            assert tx.lane_holder(schedule.lane, now=end) is None
        assert lease(store, schedule.lane, "other", now=end)

    def test_only_the_holder_releases(self, store: Store) -> None:
        schedule = add_schedule(store)
        add_delivery(store, schedule)
        lease(store, schedule.lane)
        with store.transaction() as tx:
            assert not tx.release_lane(schedule.lane, token="other")
            assert tx.release_lane(schedule.lane, token="mine")
            assert not tx.release_lane(schedule.lane, token="mine")
            assert tx.lane_holder(schedule.lane, now=NOW) is None
        assert ready(store) == [schedule.lane]

    def test_an_executor_renews_all_its_lanes_and_no_others(self, store: Store) -> None:
        lanes = []
        for number in range(3):
            schedule = add_schedule(store, str(number), agent_id=f"agent-{number}")
            add_delivery(store, schedule)
            lanes.append(schedule.lane)
            lease(store, schedule.lane, "mine" if number else "other")
        with store.transaction() as tx:
            assert tx.renew_lanes("x-mine", until=NOW + 2 * LEASE) == 2
            assert [tx.lane_holder(lane, now=NOW + LEASE) for lane in lanes] == [None, "x-mine", "x-mine"]

    def test_a_lease_given_by_a_clock_that_was_set_back_is_cut_by_whoever_renews(self, store: Store) -> None:
        schedule = add_schedule(store)
        add_delivery(store, schedule)
        with store.transaction() as tx:
            far = NOW + timedelta(hours=1)
            assert tx.lease_lane(schedule.lane, token="dead", executor_id="x-dead", now=far, until=far + LEASE)
            assert tx.renew_lanes("x-mine", until=NOW + LEASE) == 0
            assert tx.lane_holder(schedule.lane, now=NOW + LEASE) is None
        assert lease(store, schedule.lane, now=NOW + LEASE)

    def test_a_lane_that_is_not_there_cannot_be_leased(self, store: Store) -> None:
        assert not lease(store, "inbox nobody")

    def test_ready_lanes_come_longest_due_first_and_by_target(self, store: Store) -> None:
        lanes = []
        for number, (target, minutes) in enumerate([("letta", 0), ("inbox", -2), ("letta", -3), ("letta", 1)]):
            schedule = add_schedule(store, str(number), agent_id=f"agent-{number}", target=target)
            add_delivery(store, schedule, fire_at=NOW + minutes * MINUTE)
            lanes.append(schedule.lane)
        assert ready(store) == [lanes[2], lanes[1], lanes[0]]
        assert ready(store, targets=["letta"]) == [lanes[2], lanes[0]]
        assert ready(store, targets=[]) == []
        lease(store, lanes[2], now=NOW - LEASE)
        assert ready(store) == [lanes[2], lanes[1], lanes[0]]
        with store.reading() as tx:
            assert tx.ready_lanes(now=NOW, limit=1) == [lanes[2]]

    def test_a_target_that_is_well_again_hastens_what_it_refused(self, store: Store) -> None:
        reasons = {"a": "target: 401", "b": "the agent is busy", "c": "target: 401"}
        deliveries = {}
        for uid, reason in reasons.items():
            schedule = add_schedule(store, uid, agent_id=f"agent-{uid}", target="inbox" if uid == "c" else "letta")
            first = add_delivery(store, schedule)
            deliveries[uid] = save(store, first, due_at=NOW + 9 * MINUTE, refusals=1, reason=reason)
        with store.transaction() as tx:
            assert tx.hasten_target("letta", now=NOW) == 1
            assert tx.delivery(deliveries["a"].id) == replace(deliveries["a"], due_at=NOW)
            assert tx.delivery(deliveries["b"].id) == deliveries["b"]
        assert ready(store) == ["letta agent-a"]

    def test_the_wake_up_can_leave_out_the_lanes_that_are_known_to_be_due(self, store: Store) -> None:
        add_delivery(store, add_schedule(store, uid="a", agent_id="one", next_fire_at=NOW + 60 * MINUTE))
        add_delivery(
            store, add_schedule(store, uid="b", agent_id="two", next_fire_at=NOW + 60 * MINUTE), fire_at=NOW + MINUTE
        )
        with store.reading() as tx:
            assert tx.next_wake_at(now=NOW) == NOW
            assert tx.next_wake_at(now=NOW, due_after=NOW) == NOW + MINUTE
            assert tx.next_wake_at(now=NOW, due_after=NOW + MINUTE) == NOW + 60 * MINUTE

    def test_the_wake_up_looks_at_schedules_too(self, store: Store) -> None:
        assert wake_at(store) is None
        active = add_schedule(store, "a", next_fire_at=NOW + 3 * MINUTE)
        assert wake_at(store) == NOW + 3 * MINUTE
        paused = replace(active, state=ScheduleState.PAUSED, next_fire_at=None, paused_until=NOW + 2 * MINUTE)
        with store.transaction() as tx:
            tx.save_schedule(paused)
        assert wake_at(store) == NOW + 2 * MINUTE

    # -- an oracle ------------------------------------------------------------------------------------------

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
    @given(data=st.data())
    def test_whatever_happens_turns_and_wake_ups_are_right(self, make_store: MakeStore, data: st.DataObject) -> None:
        play(make_store(), data)


def play(store: Store, data: st.DataObject) -> None:
    """Play one small world against the oracle, and close its store."""
    world = World(store)
    steps = st.sampled_from(sorted(world.steps))
    for _ in range(data.draw(st.integers(1, 30))):
        world.steps[data.draw(steps)](data.draw)
        world.compare()
    store.close()


Draw = Callable[[st.SearchStrategy[int]], int]
_MINUTES = st.integers(-5, 5)


@dataclass
class World:
    """Two lanes and three schedules in a store, and beside it a plain list that knows what should be."""

    store: Store
    schedules: list[Schedule] = field(default_factory=list)
    deliveries: dict[int, Delivery] = field(default_factory=dict)
    held_until: dict[str, datetime] = field(default_factory=dict)
    switch: StopSwitch | None = None
    clock: datetime = NOW
    fires: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        for number, agent in enumerate(("agent-a", "agent-a", "agent-b")):
            self.schedules.append(add_schedule(self.store, f"uid-{number}", agent_id=agent, next_fire_at=None))
        self.steps: dict[str, Callable[[Draw], None]] = {
            "add": self.add,
            "run_now": self.run_now,
            "save": self.save,
            "save_again": self.save,
            "pause_or_resume": self.pause_or_resume,
            "stop_or_go": self.stop_or_go,
            "lease_or_release": self.lease_or_release,
            "pass_time": self.pass_time,
        }

    # steps

    def add(self, draw: Draw, kind: DeliveryKind = DeliveryKind.SCHEDULED) -> None:
        schedule = self.schedules[draw(st.integers(0, 2))]
        fire_at = self.clock + draw(_MINUTES) * MINUTE + timedelta(microseconds=next(self.fires))
        state = DeliveryState.PENDING if draw(st.integers(0, 4)) else DeliveryState.SKIPPED
        delivery = add_delivery(self.store, schedule, fire_at=fire_at, kind=kind, state=state)
        self.deliveries[delivery.id] = delivery

    def run_now(self, draw: Draw) -> None:
        self.add(draw, DeliveryKind.RUN_NOW)

    def save(self, draw: Draw) -> None:
        if self.deliveries:
            was = self.deliveries[sorted(self.deliveries)[draw(st.integers(0, len(self.deliveries) - 1))]]
            state = list(DeliveryState)[draw(st.integers(0, len(DeliveryState) - 1))]
            due_at = self.clock + draw(_MINUTES) * MINUTE
            self.deliveries[was.id] = save(self.store, was, state, due_at=due_at)

    def pause_or_resume(self, draw: Draw) -> None:
        number = draw(st.integers(0, 2))
        was = self.schedules[number]
        state = ScheduleState.ACTIVE if was.state is ScheduleState.PAUSED else ScheduleState.PAUSED
        until = self.clock + 3 * MINUTE if state is ScheduleState.PAUSED and draw(st.integers(0, 1)) else None
        self.schedules[number] = replace(was, state=state, paused_until=until)
        with self.store.transaction() as tx:
            tx.save_schedule(self.schedules[number])

    def stop_or_go(self, draw: Draw) -> None:
        until = self.clock + 2 * MINUTE if draw(st.integers(0, 1)) else None
        self.switch = None if self.switch else StopSwitch(reason=None, since=self.clock, until=until)
        with self.store.transaction() as tx:
            tx.set_stop_switch(self.switch)

    def lease_or_release(self, draw: Draw) -> None:
        lane = self.lanes[draw(st.integers(0, 1))]
        exists = any(delivery.lane == lane for delivery in self.deliveries.values())
        if lane in self.held_until:
            with self.store.transaction() as tx:
                assert tx.release_lane(lane, token="mine")
            del self.held_until[lane]
        else:
            assert lease(self.store, lane, now=self.clock) == exists
            if exists:
                self.held_until[lane] = self.clock + LEASE

    def pass_time(self, draw: Draw) -> None:
        self.clock += draw(st.integers(0, 3)) * MINUTE / 4

    # the oracle

    @property
    def lanes(self) -> list[str]:
        return ["inbox agent-a", "inbox agent-b"]

    @property
    def is_stopped(self) -> bool:
        return self.switch is not None and (self.switch.until is None or self.switch.until > self.clock)

    def in_flight(self, lane: str) -> list[Delivery]:
        return [one for one in self.deliveries.values() if one.lane == lane and one.state.is_in_flight]

    def is_held_back(self, delivery: Delivery) -> bool:
        schedule = next(one for one in self.schedules if one.id == delivery.schedule_id)
        is_pending = delivery.state is DeliveryState.PENDING and delivery.kind is DeliveryKind.SCHEDULED
        return is_pending and schedule.state is ScheduleState.PAUSED

    def turns(self, lane: str) -> list[Delivery]:
        """Pending deliveries of a lane that wait for none of their own schedule."""
        free = [one for one in self.deliveries.values() if not one.state.is_final and not self.is_held_back(one)]
        firsts = [min((x for x in free if x.schedule_id == s.id), key=_order, default=None) for s in self.schedules]
        return [one for one in firsts if one and one.lane == lane and one.state is DeliveryState.PENDING]

    def due_at(self, lane: str) -> datetime | None:
        wanted = self.in_flight(lane) or self.turns(lane)
        return min((one.due_at for one in wanted), default=None)

    def next_in(self, lane: str) -> Delivery | None:
        if flying := self.in_flight(lane):
            first = min(flying, key=lambda one: (one.due_at, one.id))
            return first if first.due_at <= self.clock else None
        due = [one for one in self.turns(lane) if one.due_at <= self.clock and not self.is_stopped]
        return min(due, key=_order, default=None)

    def works(self, lane: str) -> bool:
        return self.due_at(lane) is not None and (not self.is_stopped or bool(self.in_flight(lane)))

    def is_held(self, lane: str) -> bool:
        return lane in self.held_until and self.held_until[lane] > self.clock

    def ready(self) -> list[str]:
        found = [(self.due_at(lane) or NOW, lane) for lane in self.lanes if self.works(lane) and not self.is_held(lane)]
        return [lane for due_at, lane in sorted(found) if due_at <= self.clock]

    def wake_at(self) -> datetime | None:
        pauses = [one.paused_until for one in self.schedules if one.state is ScheduleState.PAUSED]
        lanes = [
            self.held_until[lane] if self.is_held(lane) else self.due_at(lane)
            for lane in self.lanes
            if self.works(lane)
        ]
        until = [self.switch.until] if self.switch and self.is_stopped else []
        return min((at for at in [*pauses, *lanes, *until] if at is not None), default=None)

    def compare(self) -> None:
        assert ready(self.store, self.clock) == self.ready()
        assert wake_at(self.store, self.clock) == self.wake_at()
        for lane in self.lanes:
            assert next_in_lane(self.store, lane, self.clock) == self.next_in(lane)


def _order(delivery: Delivery) -> tuple[datetime, int]:
    return delivery.fire_at, delivery.id
