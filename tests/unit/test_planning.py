"""What becomes of the fire times of one due schedule: catch-up, overlap, superseding, quiet hours, jitter, limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptyoself.domain import limits, planning
from promptyoself.domain.holidays import Holidays, Span
from promptyoself.domain.models import (
    CatchUp,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Overlap,
    Policy,
    Schedule,
)
from promptyoself.domain.planning import Plan, first_fire_at, plan
from promptyoself.domain.quiet import QuietHours
from promptyoself.domain.triggers import TriggerKind
from tests.factories import MINUTE, NOW, a_definition, a_delivery, a_schedule, a_trigger

FIVE = 5 * MINUTE
FIRST = NOW + FIVE


def every_five(**changes: object) -> Schedule:
    """Fires at 09:05, 09:10, ...; fields of Policy, Definition and Schedule may be given together."""
    policy = {name: changes.pop(name) for name in Policy.__slots__ if name in changes}
    trigger = changes.pop("trigger", a_trigger())
    most = changes.pop("max_repetitions", None)
    definition = a_definition(trigger=trigger, max_repetitions=most, policy=Policy(**policy))  # type: ignore[arg-type]
    return a_schedule(definition=definition, **changes)


def once(**changes: object) -> Schedule:
    trigger = a_trigger(kind=TriggerKind.ONCE, expression=FIRST.isoformat(), anchor_at=FIRST)
    return every_five(trigger=trigger, **changes)


def planned(
    schedule: Schedule, *, minutes: float, unfinished: Sequence[Delivery] = (), left: int | None = None
) -> Plan[Delivery]:
    """Plan when `minutes` have passed since NOW."""
    return plan(schedule, unfinished=unfinished, now=NOW + minutes * MINUTE, allowance=left)


def at(decided: Plan[Delivery]) -> list[int]:
    """Return the minutes past nine of what is to be delivered."""
    return [(one.fire_at - NOW) // MINUTE for one in decided.openings if one.skip_reason is None]


def skipped(decided: Plan[Delivery]) -> list[str]:
    return [one.skip_reason for one in decided.openings if one.skip_reason is not None]


def waiting(**changes: object) -> Delivery:
    return a_delivery(None, **({"id": 7, "fire_at": NOW} | changes))


class TestOneFire:
    def test_nothing_is_opened_before_its_time(self) -> None:
        decided = planned(every_five(), minutes=4.99)
        assert (at(decided), decided.next_fire_at, decided.fire_count) == ([], FIRST, 0)

    def test_a_fire_time_is_opened_at_its_very_instant(self) -> None:
        decided = planned(every_five(), minutes=5)
        assert (at(decided), decided.next_fire_at, decided.fire_count) == ([5], NOW + 2 * FIVE, 1)
        assert decided.openings[0].planned_at == FIRST
        assert decided.passed_over == 0

    def test_a_schedule_without_fire_time_is_left_as_it_is(self) -> None:
        decided = planned(every_five(next_fire_at=None, fire_count=3), minutes=99)
        assert (decided.openings, decided.next_fire_at, decided.fire_count) == ((), None, 3)

    def test_however_late_the_planner_is_the_grid_stays(self) -> None:
        decided = planned(every_five(), minutes=5.7)
        assert (at(decided), decided.next_fire_at) == ([5], NOW + 2 * FIVE)


class TestCatchUp:
    """Half an hour was missed: 09:05 to 09:30, and it is 09:31."""

    @pytest.mark.parametrize(("catch_up", "window", "opened", "passed_over"), [
        (CatchUp.LATEST, None, [30], 5),
        (CatchUp.LATEST, 12 * MINUTE, [30], 5),
        (CatchUp.LATEST, MINUTE / 2, [], 6),
        (CatchUp.ALL, None, [5, 10, 15, 20, 25, 30], 0),
        (CatchUp.ALL, 12 * MINUTE, [20, 25, 30], 3),
        (CatchUp.ALL, MINUTE / 2, [], 6),
        (CatchUp.SKIP, None, [30], 5),  # 60 s ago: no misfire yet
        (CatchUp.SKIP, MINUTE / 2, [], 6),
        (CatchUp.SKIP, 12 * MINUTE, [30], 5),
    ])  # fmt: skip
    def test_each_policy_with_and_without_a_window(
        self, catch_up: CatchUp, window: timedelta | None, opened: list[int], passed_over: int
    ) -> None:
        decided = planned(every_five(catch_up=catch_up, catch_up_window=window), minutes=31)
        assert (at(decided), decided.passed_over) == (opened, passed_over)
        assert decided.next_fire_at == NOW + 35 * MINUTE
        assert decided.fire_count == len(opened)
        assert (decided.passed_over_reason is None) == (passed_over == 0)

    def test_skip_lets_a_misfire_pass(self) -> None:
        assert at(planned(every_five(catch_up=CatchUp.SKIP), minutes=31.4)) == [30]
        assert at(planned(every_five(catch_up=CatchUp.SKIP), minutes=31.6)) == []

    def test_the_latest_says_how_many_it_stands_for(self) -> None:
        assert [one.missed for one in planned(every_five(), minutes=31).openings] == [5]

    def test_with_all_none_stands_for_another(self) -> None:
        decided = planned(every_five(catch_up=CatchUp.ALL, catch_up_window=12 * MINUTE), minutes=31)
        assert [one.missed for one in decided.openings] == [0, 0, 0]

    @pytest.mark.parametrize(("catch_up", "opened"), [(CatchUp.LATEST, [30]), (CatchUp.ALL, [5, 10])])
    def test_no_more_are_opened_than_repetitions_are_left(self, catch_up: CatchUp, opened: list[int]) -> None:
        decided = planned(every_five(catch_up=catch_up, max_repetitions=4, fire_count=2), minutes=31)
        assert at(decided) == opened
        assert (decided.next_fire_at is None) == (catch_up is CatchUp.ALL)

    def test_all_is_bounded_and_counting_is_too(self) -> None:
        decided = planned(every_five(catch_up=CatchUp.ALL), minutes=5 * (limits.CATCH_UP_ALL_MAX + 50))
        assert len(at(decided)) == limits.CATCH_UP_ALL_MAX
        assert at(decided)[-1] == 5 * (limits.CATCH_UP_ALL_MAX + 50)
        latest = planned(every_five(), minutes=5 * 9999)
        assert latest.openings[0].missed == limits.MISSED_COUNT_MAX - 1

    def test_all_opens_no_more_than_the_queue_has_room_for(self) -> None:
        queue = [waiting(id=n) for n in range(limits.CATCH_UP_ALL_MAX - 1)]
        decided = planned(every_five(catch_up=CatchUp.ALL), minutes=11, unfinished=queue)
        assert at(decided) == [5]
        assert skipped(decided) == ["queue full: 1000 deliveries of this schedule wait already"]
        assert decided.superseded == ()

    @settings(max_examples=30)
    @given(st.integers(5, 3000), st.sampled_from(CatchUp), st.integers(0, 5), st.one_of(st.none(), st.integers(1, 9)))
    def test_each_fire_time_is_opened_or_passed_over_and_none_twice(
        self, minutes: int, catch_up: CatchUp, fired: int, most: int | None
    ) -> None:
        fired = min(fired, (most or 99) - 1)
        decided = planned(every_five(catch_up=catch_up, max_repetitions=most, fire_count=fired), minutes=minutes)
        opened = at(decided)
        assert opened == sorted(set(opened))
        assert all(minute % 5 == 0 and 5 <= minute <= minutes for minute in opened)
        assert len(opened) + decided.passed_over == minutes // 5
        assert decided.fire_count == fired + len(opened) <= (most or 10**9)
        is_over = most is not None and decided.fire_count >= most
        assert decided.next_fire_at == (None if is_over else NOW + FIVE * (minutes // 5 + 1))


class TestOnce:
    @pytest.mark.parametrize("catch_up", list(CatchUp))
    def test_it_arrives_late_rather_than_never(self, catch_up: CatchUp) -> None:
        decided = planned(once(catch_up=catch_up, catch_up_window=MINUTE), minutes=60 * 24 * 30)
        assert (at(decided), decided.next_fire_at, decided.passed_over) == ([5], None, 0)

    def test_it_expires_when_its_owner_wants_that(self) -> None:
        assert skipped(planned(once(expires_after=FIVE), minutes=10)) == []
        assert skipped(planned(once(expires_after=FIVE), minutes=10.1))[0].startswith("expired")

    def test_moved_while_its_old_time_is_in_flight_it_queues(self) -> None:
        flying = waiting(state=DeliveryState.ACCEPTED, cancel_requested=True)
        assert at(planned(once(), minutes=6, unfinished=[flying])) == [5]

    def test_beyond_its_owners_limit_it_waits_and_is_not_skipped(self) -> None:
        decided = planned(once(), minutes=6, left=0)
        assert (decided.openings, decided.next_fire_at, decided.fire_count) == ((), FIRST, 0)
        assert decided.pause_reason is not None


class TestOverlap:
    @pytest.mark.parametrize("state", [DeliveryState.LEASED, DeliveryState.ACCEPTED, DeliveryState.UNKNOWN])
    def test_while_one_is_in_flight_the_next_is_skipped_with_the_reason(self, state: DeliveryState) -> None:
        decided = planned(every_five(fire_count=1), minutes=6, unfinished=[waiting(state=state)])
        assert skipped(decided) == [f"overlap: delivery 7 was still {state}"]
        assert (decided.fire_count, decided.next_fire_at) == (1, NOW + 10 * MINUTE)

    def test_or_queued(self) -> None:
        flying = waiting(state=DeliveryState.ACCEPTED)
        assert at(planned(every_five(overlap=Overlap.QUEUE), minutes=6, unfinished=[flying])) == [5]

    def test_a_run_now_in_flight_makes_nothing_overlap(self) -> None:
        flying = waiting(state=DeliveryState.ACCEPTED, kind=DeliveryKind.RUN_NOW)
        assert at(planned(every_five(), minutes=6, unfinished=[flying])) == [5]

    def test_catch_up_all_queues_whatever_overlap_says(self) -> None:
        flying = waiting(state=DeliveryState.ACCEPTED)
        assert at(planned(every_five(catch_up=CatchUp.ALL), minutes=11, unfinished=[flying])) == [5, 10]


class TestSuperseding:
    def test_one_that_was_never_sent_makes_way_and_is_counted_as_missed(self) -> None:
        old = waiting(missed=2)
        decided = planned(every_five(fire_count=1), minutes=6, unfinished=[old])
        assert decided.superseded == (old,)
        assert decided.openings[0].missed == 3
        assert decided.fire_count == 1

    def test_all_that_make_way_leave_the_count(self) -> None:
        """Several wait when `catch_up all` was given up: one prompt then stands for them all."""
        old = [waiting(id=n) for n in (7, 8, 9)]
        decided = planned(every_five(fire_count=5), minutes=6, unfinished=old)
        assert (len(decided.superseded), decided.openings[0].missed, decided.fire_count) == (3, 3, 3)

    @pytest.mark.parametrize("changes", [
        {"attempts": 1},
        {"kind": DeliveryKind.RUN_NOW, "fire_number": 0},
        {"fire_number": 0},  # retried by hand
    ])  # fmt: skip
    def test_what_may_have_arrived_or_was_asked_for_stays(self, changes: dict[str, object]) -> None:
        decided = planned(every_five(fire_count=1), minutes=6, unfinished=[waiting(**changes)])
        assert (decided.superseded, at(decided), decided.fire_count) == ((), [5], 2)

    def test_nothing_makes_way_for_one_that_is_skipped_itself(self) -> None:
        flying = waiting(id=8, state=DeliveryState.ACCEPTED)
        decided = planned(every_five(fire_count=2), minutes=6, unfinished=[waiting(), flying])
        assert (decided.superseded, decided.fire_count) == ((), 2)

    @pytest.mark.parametrize("state", [DeliveryState.PENDING, DeliveryState.ACCEPTED])
    def test_a_fire_time_that_comes_again_is_not_opened_again_nor_replaced_by_itself(
        self, state: DeliveryState
    ) -> None:
        """A clock that was set back brings it again."""
        decided = planned(every_five(fire_count=1), minutes=6, unfinished=[waiting(fire_at=FIRST, state=state)])
        assert (decided.openings, decided.superseded, decided.fire_count) == ((), (), 1)
        assert decided.next_fire_at == NOW + 2 * FIVE

    def test_a_fire_time_that_comes_again_replaces_no_newer_one(self) -> None:
        newer = waiting(fire_at=FIRST + FIVE)
        assert planned(every_five(fire_count=2), minutes=6, unfinished=[newer]).superseded == ()

    def test_with_catch_up_all_nothing_makes_way(self) -> None:
        assert planned(every_five(catch_up=CatchUp.ALL), minutes=6, unfinished=[waiting()]).superseded == ()


class TestQuietHours:
    def test_hold_waits_for_their_end(self) -> None:
        decided = planned(every_five(quiet_hours=QuietHours.parse("08:00-10:30")), minutes=5)
        assert decided.openings[0].planned_at == NOW + 90 * MINUTE
        assert skipped(decided) == []

    def test_skip_says_which(self) -> None:
        decided = planned(every_five(quiet_hours=QuietHours.parse("08:00-10:30 skip")), minutes=5)
        assert skipped(decided) == ["quiet hours: 08:00-10:30 skip"]
        assert decided.fire_count == 0

    @pytest.mark.parametrize(("zone", "released_in_h"), [("UTC", 22), ("Europe/Berlin", 21), ("Asia/Kolkata", 16.5)])
    def test_they_are_those_of_the_schedules_zone(self, zone: str, released_in_h: float) -> None:
        quiet = QuietHours.parse("00:00-07:00") if zone == "UTC" else QuietHours.parse("09:00-07:00")
        schedule = every_five(quiet_hours=quiet, trigger=a_trigger(timezone=zone))
        decided = planned(schedule, minutes=5)
        expected = FIRST if zone == "UTC" else NOW + timedelta(hours=released_in_h)
        assert decided.openings[0].planned_at == expected

    def test_in_the_night_of_a_clock_change_they_end_by_the_wall_clock(self) -> None:
        """29 March 2026, Europe/Berlin: 07:00 is 05:00 UTC, an hour sooner than the day before."""
        start = NOW.replace(month=3, day=28, hour=22)
        trigger = a_trigger(timezone="Europe/Berlin", anchor_at=start)
        schedule = every_five(quiet_hours=QuietHours.parse("22:00-07:00"), trigger=trigger, next_fire_at=start + FIVE)
        decided: Plan[Delivery] = plan(schedule, unfinished=(), now=start + FIVE)
        assert decided.openings[0].planned_at == NOW.replace(month=3, day=29, hour=5)


class TestJitter:
    def test_it_is_the_same_whoever_plans(self) -> None:
        schedule = every_five(trigger=a_trigger(jitter=4 * MINUTE))
        one, two = planned(schedule, minutes=5), planned(schedule, minutes=7)
        assert one.openings[0].planned_at == two.openings[0].planned_at
        assert FIRST <= one.openings[0].planned_at <= FIRST + 4 * MINUTE

    def test_it_never_waits_into_the_next_fire_time_which_would_supersede_it(self) -> None:
        trigger = a_trigger(jitter=timedelta(hours=24))
        for minutes in range(5, 500, 5):
            schedule = every_five(trigger=trigger, next_fire_at=NOW + minutes * MINUTE)
            opening = planned(schedule, minutes=minutes).openings[0]
            assert timedelta(0) <= opening.planned_at - opening.fire_at < FIVE


class TestAllowance:
    def test_beyond_it_fire_times_are_skipped_and_the_schedule_pauses(self) -> None:
        decided = planned(every_five(catch_up=CatchUp.ALL), minutes=16, left=2)
        assert at(decided) == [5, 10]
        assert "120 deliveries in an hour" in skipped(decided)[0]
        assert decided.pause_reason is not None
        assert decided.fire_count == 2

    def test_within_it_nothing_is_said(self) -> None:
        decided = planned(every_five(catch_up=CatchUp.ALL), minutes=16, left=3)
        assert (at(decided), decided.pause_reason) == ([5, 10, 15], None)

    def test_what_is_skipped_anyway_takes_nothing_of_it(self) -> None:
        schedule = every_five(quiet_hours=QuietHours.parse("08:00-10:30 skip"))
        assert planned(schedule, minutes=6, left=0).pause_reason is None


class TestGoingOn:
    def test_a_resumed_schedule_goes_on_from_now_on_its_grid(self) -> None:
        assert first_fire_at(every_five(), now=NOW + 17 * MINUTE) == NOW + 20 * MINUTE

    def test_an_exhausted_one_does_not(self) -> None:
        assert first_fire_at(every_five(max_repetitions=2, fire_count=2), now=NOW) is None

    def test_an_ended_one_does_not(self) -> None:
        schedule = every_five(trigger=a_trigger(end_at=NOW + 7 * MINUTE))
        assert first_fire_at(schedule, now=NOW + 6 * MINUTE) is None
        assert first_fire_at(replace(schedule, fire_count=9), now=NOW) == FIRST


_WALL = FIRST.replace(tzinfo=None)
HOLIDAYS = Holidays.make("h", walls=[Span(_WALL, _WALL + MINUTE, "a minute off")], instants=[], last_day=None)


class TestHolidays:
    def test_a_fire_time_on_one_is_skipped_with_its_name_whatever_else_would_hold_it(self) -> None:
        schedule = every_five(skip_on=HOLIDAYS, quiet_hours=QuietHours.parse("09:00-10:00"))
        assert skipped(planned(schedule, minutes=6)) == ["holiday: a minute off (h)"]

    def test_one_that_is_planned_when_it_comes_is_skipped_too(self) -> None:
        assert skipped(planned(every_five(skip_on=HOLIDAYS), minutes=5)) == ["holiday: a minute off (h)"]

    def test_nobody_missed_it(self) -> None:
        assert planned(every_five(skip_on=HOLIDAYS), minutes=16).openings[0].missed == 1
        assert planned(every_five(), minutes=16).openings[0].missed == 2

    def test_after_an_outage_the_newest_that_was_none_is_made_up(self) -> None:
        wall = _WALL + FIVE
        off = Holidays.make("h", walls=[Span(wall, wall + 3 * FIVE, "off")], instants=[], last_day=None)
        decided = planned(every_five(skip_on=off), minutes=21)
        assert [(one.fire_at, one.skip_reason, one.missed) for one in decided.openings] == [(FIRST, None, 0)]
        assert (decided.passed_over, decided.next_fire_at) == (3, NOW + 5 * FIVE)

    def test_it_counts_towards_no_repetitions(self) -> None:
        decided = planned(every_five(skip_on=HOLIDAYS, max_repetitions=1), minutes=6)
        assert (decided.fire_count, decided.next_fire_at) == (0, FIRST + FIVE)


class TestTheNewestThatStands:
    """`catch_up latest` passes over what is skipped; held against a look at each fire time."""

    @settings(max_examples=200)
    @given(
        begins=st.lists(st.tuples(st.integers(0, 90), st.integers(1, 30), st.booleans()), max_size=4),
        quiet=st.sampled_from([None, "09:20-09:40 skip", "09:20-09:40", "09:00-09:01 skip", "08:00-10:10 skip"]),
        window=st.sampled_from([None, 12 * MINUTE]),
        jitter=st.sampled_from([timedelta(0), 4 * MINUTE]),
        late=st.integers(0, 80),
    )
    def test_it_is_the_one_that_a_look_at_each_finds(
        self,
        begins: list[tuple[int, int, bool]],
        quiet: str | None,
        window: timedelta | None,
        jitter: timedelta,
        late: int,
    ) -> None:
        spans = [Span(NOW + at * MINUTE, NOW + (at + length) * MINUTE, "off") for at, length, _ in begins]
        walls = [Span(one.begin.replace(tzinfo=None), one.end.replace(tzinfo=None), "off") for one in spans]
        off = Holidays.make(
            "h",
            walls=[one for one, (_, _, is_wall) in zip(walls, begins, strict=True) if is_wall],
            instants=[one for one, (_, _, is_wall) in zip(spans, begins, strict=True) if not is_wall],
            last_day=None,
        )
        schedule = every_five(
            skip_on=off,
            quiet_hours=QuietHours.parse(quiet) if quiet else None,
            catch_up_window=window,
            trigger=a_trigger(jitter=jitter),
        )
        now = FIRST + late * MINUTE
        fires = [FIRST + number * FIVE for number in range(late // 5 + 1)]
        openings = [planning.opening_of(schedule.definition, schedule.uid, at) for at in fires]
        chosen = [one for one in openings if window is None or one.fire_at >= now - window]
        standing = [one for one in chosen if one.skip_reason is None]
        expected = (standing or chosen)[-1:]
        decided: Plan[Delivery] = plan(schedule, unfinished=[], now=now)
        assert [one._replace(missed=0) for one in decided.openings] == expected
        if standing:
            missed = sum(one.skip_reason is None for one in openings) - 1
            assert decided.openings[0].missed == missed


class TestShortCut:
    """What is due when it comes, with no policy that has a say, is planned without going the long way."""

    @settings(max_examples=200)
    @given(
        late=st.sampled_from([0, 1, 60, 89, 91, 299, 301, 4000]),
        policy=st.fixed_dictionaries(
            {
                "catch_up": st.sampled_from(list(CatchUp)),
                "overlap": st.sampled_from(list(Overlap)),
                "catch_up_window": st.sampled_from([None, MINUTE / 2, 60 * MINUTE]),
                "expires_after": st.sampled_from([None, MINUTE / 2, 60 * MINUTE]),
                "skip_on": st.sampled_from([None, None, HOLIDAYS]),
            }
        ),
        quiet=st.sampled_from([None, None, "09:00-09:04", "09:00-10:00", "09:00-10:00 skip"]),
        most=st.sampled_from([None, None, 1, 2]),
        fire_count=st.integers(0, 2),
        left=st.sampled_from([None, 0, 1, 5]),
        jitter=st.sampled_from([timedelta(0), 3 * MINUTE]),
    )
    def test_it_leads_where_the_long_way_does(  # each is a policy
        self,
        late: int,
        policy: dict[str, object],
        quiet: str | None,
        most: int | None,
        fire_count: int,
        left: int | None,
        jitter: timedelta,
    ) -> None:
        schedule = every_five(
            quiet_hours=QuietHours.parse(quiet) if quiet else None,
            max_repetitions=most,
            fire_count=fire_count,
            trigger=a_trigger(jitter=jitter),
            **policy,
        )
        now = FIRST + timedelta(seconds=late)
        short: Plan[Delivery] = plan(schedule, unfinished=(), now=now, allowance=left)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(planning, "_is_plain", lambda *_args, **_given: False)
            long: Plan[Delivery] = plan(schedule, unfinished=(), now=now, allowance=left)
        assert short == long

    def test_it_knows_every_policy(self) -> None:
        """A new field that has a say in planning must keep a schedule off the short cut (_is_plain)."""
        has_a_say = {"catch_up", "catch_up_window", "expires_after", "quiet_hours", "skip_on"}
        has_none = {"overlap", "retry_for", "envelope", "replies"}
        assert set(Policy.__slots__) == has_a_say | has_none
