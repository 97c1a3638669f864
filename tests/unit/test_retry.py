"""The life of a delivery, as tables: every answer x cancel requested x attempts used up x retry_for over."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptyoself.domain import limits, retry
from promptyoself.domain.answers import Absent, Accepted, Busy, Done, Failed, Final, Refused, Unclear, Undecided
from promptyoself.domain.keys import otid_of
from promptyoself.domain.models import (
    AttemptOutcome,
    Delivery,
    DeliveryKind,
    DeliveryState,
    FactKind,
    Policy,
    ScheduleState,
)
from promptyoself.domain.quiet import QuietHours
from tests.factories import MINUTE, NOW, a_definition, a_delivery, a_schedule

S = DeliveryState
O = AttemptOutcome  # noqa: E741  the tables below are read by column
BUSY = Busy(detail="a run is active")
REFUSED = Refused(code="connect", detail="nobody listens")
FAILED = Failed(code="llm_error", detail="no answer from the model", status=500, run_id="run-9")
UNCLEAR = Unclear(code="broken", detail="the connection broke")
FINAL = Final(code="no_agent", detail="no such agent", status=404)
UNDECIDED = Undecided(detail="nothing is known yet")
UNREACHABLE = Undecided(detail="nobody listens", is_unreachable=True)


def leased(**changes: object) -> Delivery:
    sent = {"state": S.LEASED, "lease_token": "t", "first_sent_at": NOW, "sent_at": NOW}
    return a_delivery(None, **(sent | changes))


def accepted(**changes: object) -> Delivery:
    return leased(**({"state": S.ACCEPTED, "accepted_at": NOW, "run_id": "run-1"} | changes))


def unknown(**changes: object) -> Delivery:
    return leased(**({"state": S.UNKNOWN, "attempts": 1, "unknown_since": NOW, "error_code": "broken"} | changes))


def after(
    delivery: Delivery, result: retry.AnyResult, *, late: timedelta = MINUTE, fraction: float = 1.0
) -> retry.Step:
    return retry.after(delivery, result, now=NOW + late, fraction=fraction)


PLAIN, STOP, SPENT, OVER = "plain", "cancel requested", "attempts used up", "retry_for over"
# What becomes of a delivery: (answer, state in flight) -> (state, outcome of the attempt), in each circumstance.
LIFE: dict[tuple[retry.AnyResult, S], dict[str, tuple[S, O | None]]] = {
    (Accepted(run_id="run-1"), S.LEASED): dict.fromkeys((PLAIN, STOP, SPENT, OVER), (S.ACCEPTED, O.ACCEPTED)),
    (Accepted(run_id="run-1"), S.UNKNOWN): dict.fromkeys((PLAIN, STOP, SPENT, OVER), (S.ACCEPTED, O.ACCEPTED)),
    (Done(), S.LEASED): dict.fromkeys((PLAIN, STOP, SPENT, OVER), (S.DELIVERED, O.DELIVERED)),
    (Done(), S.ACCEPTED): dict.fromkeys((PLAIN, STOP, SPENT, OVER), (S.DELIVERED, O.DELIVERED)),
    (Done(), S.UNKNOWN): dict.fromkeys((PLAIN, STOP, SPENT, OVER), (S.DELIVERED, O.DELIVERED)),
    (BUSY, S.LEASED): {
        PLAIN: (S.PENDING, O.BUSY),
        STOP: (S.CANCELLED, O.BUSY),
        SPENT: (S.PENDING, O.BUSY),
        OVER: (S.DEAD, O.BUSY),
    },
    (REFUSED, S.LEASED): {
        PLAIN: (S.PENDING, O.REFUSED),
        STOP: (S.CANCELLED, O.REFUSED),
        SPENT: (S.PENDING, O.REFUSED),
        OVER: (S.DEAD, O.REFUSED),
    },
    (FAILED, S.LEASED): {
        PLAIN: (S.PENDING, O.FAILED),
        STOP: (S.CANCELLED, O.FAILED),
        SPENT: (S.DEAD, O.FAILED),
        OVER: (S.DEAD, O.FAILED),
    },
    (FAILED, S.ACCEPTED): {
        PLAIN: (S.PENDING, O.FAILED),
        STOP: (S.CANCELLED, O.FAILED),
        SPENT: (S.DEAD, O.FAILED),
        OVER: (S.DEAD, O.FAILED),
    },
    (UNCLEAR, S.LEASED): dict.fromkeys((PLAIN, STOP, SPENT, OVER), (S.UNKNOWN, O.UNKNOWN)),
    (UNCLEAR, S.ACCEPTED): dict.fromkeys((PLAIN, STOP, SPENT, OVER), (S.UNKNOWN, O.UNKNOWN)),
    (FINAL, S.LEASED): dict.fromkeys((PLAIN, STOP, SPENT, OVER), (S.DEAD, O.FINAL)),
    (Absent(), S.UNKNOWN): {
        PLAIN: (S.PENDING, O.ABANDONED),
        STOP: (S.CANCELLED, O.ABANDONED),
        SPENT: (S.PENDING, O.ABANDONED),
        OVER: (S.PENDING, O.ABANDONED),
    },
    (UNDECIDED, S.UNKNOWN): {
        PLAIN: (S.UNKNOWN, None),
        STOP: (S.UNKNOWN, None),
        SPENT: (S.UNKNOWN, None),
        OVER: (S.DEAD, None),
    },
    (UNREACHABLE, S.UNKNOWN): {
        PLAIN: (S.UNKNOWN, None),
        STOP: (S.UNKNOWN, None),
        SPENT: (S.UNKNOWN, None),
        OVER: (S.DEAD, None),
    },
}
ROWS = [(answer, state, when, *ends[when]) for (answer, state), ends in LIFE.items() for when in ends]


def in_circumstance(delivery: Delivery, when: str) -> Delivery:
    match when:
        case "cancel requested":
            return replace(delivery, cancel_requested=True)
        case "attempts used up":
            # One short of the bound before an attempt is counted, at it once it is.
            return replace(delivery, attempts=limits.ATTEMPTS_MAX - (delivery.state is not S.UNKNOWN))
        case "retry_for over":
            return replace(delivery, retry_until=NOW)
        case _:
            return delivery


@pytest.mark.parametrize(("answer", "state", "when", "ends", "outcome"), ROWS)
def test_each_answer_has_one_consequence(
    answer: retry.AnyResult, state: S, when: str, ends: S, outcome: O | None
) -> None:
    make = {S.LEASED: leased, S.ACCEPTED: accepted, S.UNKNOWN: unknown}[state]
    step = after(in_circumstance(make(), when), answer)
    assert (step.delivery.state, step.outcome) == (ends, outcome)
    assert (step.delivery.finished_at is not None) == ends.is_final
    assert (step.delivery.lease_token is None) == (ends.is_final or ends is S.PENDING)


class TestSurelyNotProcessed:
    @pytest.mark.parametrize("answer", [BUSY, REFUSED])
    def test_it_uses_up_no_attempt_and_keeps_its_otid(self, answer: retry.AnyResult) -> None:
        delivery = leased()
        for _ in range(limits.ATTEMPTS_MAX * 3):
            delivery = replace(after(delivery, answer).delivery, state=S.LEASED)
        assert (delivery.attempts, delivery.failures, delivery.refusals) == (0, 0, limits.ATTEMPTS_MAX * 3)
        assert otid_of(delivery) == otid_of(leased())

    def test_the_wait_grows_with_each_refusal_and_is_capped(self) -> None:
        waits = [after(leased(refusals=n), REFUSED).delivery.due_at - NOW - MINUTE for n in range(12)]
        assert waits[:3] == [timedelta(seconds=s) for s in (5, 10, 20)]
        assert waits == sorted(waits)
        assert waits[-1] == limits.BACKOFF_MAX

    def test_a_servers_wish_is_respected_within_a_bound(self) -> None:
        def due_in(asked: timedelta) -> timedelta:
            refused = Refused(code="429", detail="slow down", retry_after=asked)
            return after(leased(), refused, fraction=0.0).delivery.due_at - NOW - MINUTE

        assert due_in(timedelta(seconds=90)) == timedelta(seconds=90)
        assert due_in(timedelta(days=9)) == limits.RETRY_AFTER_MAX

    def test_the_last_look_is_at_the_end_of_retry_for(self) -> None:
        delivery = leased(refusals=20, retry_until=NOW + 2 * MINUTE)
        assert after(delivery, REFUSED).delivery.due_at == NOW + 2 * MINUTE

    def test_only_a_refusal_of_everybody_is_marked_to_be_hastened(self) -> None:
        wide = Refused(code="connect", detail="nobody listens", is_target_wide=True)
        assert (after(leased(), wide).delivery.reason or "").startswith(retry.TARGET_WIDE)
        assert not (after(leased(), REFUSED).delivery.reason or "").startswith(retry.TARGET_WIDE)

    def test_the_record_keeps_code_and_status(self) -> None:
        step = after(leased(), Refused(code="429", detail="slow down", status=429))
        assert (step.code, step.status, step.delivery.error_code) == ("429", 429, "429")


class TestProvenFailure:
    def test_the_next_attempt_has_a_new_otid(self) -> None:
        step = after(accepted(), FAILED)
        assert otid_of(step.delivery) == f"{step.delivery.key}#1"
        assert (step.delivery.attempts, step.delivery.accepted_at, step.delivery.run_id) == (1, None, "run-9")
        assert (step.code, step.status) == ("llm_error", 500)

    def test_an_attempt_that_was_unknown_first_is_counted_once(self) -> None:
        assert after(unknown(), FAILED).delivery.attempts == 1

    def test_an_attempt_that_was_unknown_found_running_and_then_failed_is_counted_once(self) -> None:
        found = after(unknown(), Accepted(run_id="run-1")).delivery
        assert after(found, FAILED).delivery.attempts == 1

    def test_the_eighth_failure_is_the_last(self) -> None:
        delivery = leased()
        states = []
        for _ in range(limits.ATTEMPTS_MAX):
            delivery = after(delivery, FAILED).delivery
            states.append(delivery.state)
            delivery = replace(delivery, state=S.LEASED)
        assert states == [S.PENDING] * (limits.ATTEMPTS_MAX - 1) + [S.DEAD]


class TestUnknown:
    def test_it_is_asked_about_at_once(self) -> None:
        assert after(leased(), UNCLEAR).delivery.due_at == NOW + MINUTE

    def test_it_uses_up_an_attempt(self) -> None:
        assert after(leased(attempts=2), UNCLEAR).delivery.attempts == 3

    def test_a_run_that_is_there_but_cannot_be_followed_is_not_asked_about_in_a_tight_loop(self) -> None:
        assert after(accepted(), UNCLEAR).delivery.due_at == NOW + MINUTE + limits.SETTLE_FIRST

    def test_a_run_that_was_followed_to_its_limit_is_not_followed_for_ever(self) -> None:
        late = limits.RUN_TIME_MAX + timedelta(seconds=1)
        doubted = unknown(accepted_at=NOW, unknown_since=NOW + late)
        assert after(doubted, Accepted(run_id="run-1"), late=late).delivery.state is S.UNKNOWN
        step = after(doubted, Accepted(run_id="run-1"), late=late + limits.SETTLE_FOR)
        assert (step.delivery.state, step.delivery.maybe_repeat) == (S.PENDING, True)

    def test_a_run_found_in_time_is_followed(self) -> None:
        step = after(unknown(), Accepted(run_id="run-1"), late=limits.RUN_TIME_MAX * 2)
        assert (step.delivery.state, step.delivery.accepted_at) == (S.ACCEPTED, NOW + limits.RUN_TIME_MAX * 2)

    def test_it_is_repeated_under_the_same_otid_and_marked_when_nobody_knows_within_the_bound(self) -> None:
        before = after(unknown(), UNDECIDED, late=limits.SETTLE_FOR - timedelta(seconds=1))
        assert before.delivery.state is S.UNKNOWN
        step = after(unknown(), UNDECIDED, late=limits.SETTLE_FOR)
        assert (step.delivery.state, step.delivery.maybe_repeat, step.outcome) == (S.PENDING, True, None)
        assert otid_of(step.delivery) == otid_of(leased())

    def test_time_does_not_run_while_the_target_cannot_be_asked(self) -> None:
        step = after(unknown(), UNREACHABLE, late=limits.SETTLE_FOR * 3)
        assert (step.delivery.state, step.delivery.unknown_since) == (S.UNKNOWN, NOW + limits.SETTLE_FOR * 3)

    def test_what_never_arrived_is_sent_again_unmarked_and_uncounted(self) -> None:
        step = after(unknown(), Absent())
        assert (step.delivery.attempts, step.delivery.maybe_repeat, step.delivery.due_at) == (0, False, NOW + MINUTE)

    def test_the_eighth_unknown_is_not_repeated(self) -> None:
        step = after(unknown(attempts=limits.ATTEMPTS_MAX), UNDECIDED, late=limits.SETTLE_FOR)
        assert step.delivery.state is S.DEAD

    def test_a_cancelled_one_is_not_repeated(self) -> None:
        step = after(unknown(cancel_requested=True), UNDECIDED, late=limits.SETTLE_FOR)
        assert step.delivery.state is S.CANCELLED

    def test_a_clock_set_back_makes_no_wait_longer(self) -> None:
        step = after(unknown(), UNDECIDED, late=-timedelta(days=1))
        assert step.delivery.due_at == NOW - timedelta(days=1) + limits.SETTLE_FIRST


class TestTakeOver:
    def test_a_leased_one_may_have_been_sent(self) -> None:
        step = retry.take_over(leased(), token="u", now=NOW)
        assert (step.delivery.state, step.delivery.lease_token, step.outcome) == (S.UNKNOWN, "u", O.UNKNOWN)
        assert step.code == "runner_lost"

    def test_an_accepted_one_keeps_its_run(self) -> None:
        step = retry.take_over(accepted(), token="u", now=NOW)
        assert (step.delivery, step.outcome) == (accepted(lease_token="u"), None)

    def test_an_unknown_one_stays_unknown_and_is_not_counted_again(self) -> None:
        assert retry.take_over(unknown(), token="u", now=NOW).delivery == unknown(lease_token="u")


class TestBeforeSend:
    def test_what_is_in_time_is_sent(self) -> None:
        assert retry.before_send(a_delivery(), a_schedule(), now=NOW) is None

    def test_nothing_of_a_cancelled_schedule_is_sent(self) -> None:
        step = retry.before_send(a_delivery(), a_schedule(state=ScheduleState.CANCELLED), now=NOW)
        assert step is not None
        assert step.delivery.state is S.CANCELLED

    def test_one_that_was_tried_dies_when_retry_for_is_over(self) -> None:
        step = retry.before_send(a_delivery(first_sent_at=NOW, retry_until=NOW), a_schedule(), now=NOW)
        assert step is not None
        assert (step.delivery.state, step.fact) == (S.DEAD, FactKind.DEAD)

    def test_one_that_was_never_tried_arrives_late_rather_than_never(self) -> None:
        weekend = timedelta(days=3)
        assert retry.before_send(a_delivery(), a_schedule(), now=NOW + weekend) is None

    @pytest.mark.parametrize(("late", "changes", "is_skipped"), [
        (timedelta(hours=1), {}, False),
        (timedelta(hours=1, seconds=1), {}, True),
        (timedelta(hours=2), {"attempts": 1}, False),
        (timedelta(hours=2), {"fire_number": 0}, False),
    ])  # fmt: skip
    def test_it_expires_when_it_was_never_sent_in_time(
        self, late: timedelta, changes: dict[str, int], *, is_skipped: bool
    ) -> None:
        schedule = a_schedule(definition=a_definition(policy=Policy(expires_after=timedelta(hours=1))))
        step = retry.before_send(a_delivery(None, **changes), schedule, now=NOW + late)
        assert (step is not None and step.delivery.state is S.SKIPPED) == is_skipped


class TestHeldByQuietHours:
    """What is due before they begin and comes late: nothing goes out in them, and nothing is lost."""

    UNTIL = NOW + timedelta(minutes=30)

    def asked(self, delivery: Delivery, mode: str = "hold") -> retry.Step | None:
        policy = Policy(quiet_hours=QuietHours.parse(f"09:00-09:30 {mode}"), retry_for=timedelta(hours=1))
        return retry.before_send(delivery, a_schedule(definition=a_definition(policy=policy)), now=NOW)

    @pytest.mark.parametrize("mode", ["hold", "skip"])
    @pytest.mark.parametrize(
        "changes", [{}, {"attempts": 3, "maybe_repeat": True}, {"refusals": 5, "first_sent_at": NOW}]
    )
    def test_it_waits_for_their_end_whatever_came_before(self, mode: str, changes: dict[str, object]) -> None:
        step = self.asked(a_delivery(None, **changes), mode)
        assert step is not None
        assert (step.delivery.state, step.delivery.due_at, step.fact) == (S.PENDING, self.UNTIL, FactKind.HELD)
        assert (step.outcome, step.text) == (None, f"quiet hours: 09:00-09:30{' skip' if mode == 'skip' else ''}")

    def test_its_time_for_retries_stands_still(self) -> None:
        step = self.asked(a_delivery(None, first_sent_at=NOW, retry_until=NOW + MINUTE))
        assert step is not None
        assert step.delivery.retry_until == self.UNTIL + MINUTE

    @pytest.mark.parametrize("changes", [{"fire_number": 0}, {"kind": DeliveryKind.RUN_NOW}])
    def test_what_somebody_asks_for_goes_at_once(self, changes: dict[str, object]) -> None:
        assert self.asked(a_delivery(None, **changes)) is None


class TestRevive:
    LATER = NOW + timedelta(days=2)

    def revived(self, delivery: Delivery) -> Delivery:
        return retry.revive(delivery, now=self.LATER, retry_for=timedelta(hours=1))

    def test_it_is_due_at_once_with_all_its_attempts_and_time(self) -> None:
        dead = leased(state=S.DEAD, attempts=8, refusals=3, finished_at=NOW, retry_until=NOW)
        now = self.revived(dead)
        assert (now.state, now.attempts, now.refusals, now.due_at) == (S.PENDING, 0, 0, self.LATER)
        assert now.retry_until == self.LATER + timedelta(hours=1)
        assert now.finished_at is None

    def test_it_goes_out_under_a_new_otid_after_a_failure_only(self) -> None:
        assert otid_of(self.revived(leased(state=S.DEAD, failures=2))).endswith("#2")

    def test_one_that_ended_in_doubt_says_that_it_may_be_a_repeat(self) -> None:
        doubted = after(unknown(retry_until=NOW), UNDECIDED).delivery
        assert doubted.state is S.DEAD
        assert self.revived(doubted).maybe_repeat
        assert not self.revived(after(leased(), FINAL).delivery).maybe_repeat

    def test_one_that_was_accepted_once_is_followed_anew(self) -> None:
        dead = after(unknown(accepted_at=NOW, retry_until=NOW), UNDECIDED).delivery
        again = retry.lease(self.revived(dead), token="u", now=self.LATER)
        step = retry.after(again, Accepted(run_id="run-2"), now=self.LATER, fraction=0)
        assert (step.delivery.accepted_at, step.delivery.lateness) == (self.LATER, timedelta(0))

    def test_an_expired_one_does_not_expire_again(self) -> None:
        schedule = a_schedule(definition=a_definition(policy=Policy(expires_after=MINUTE)))
        expired = retry.before_send(a_delivery(), schedule, now=self.LATER)
        assert expired is not None
        assert retry.before_send(self.revived(expired.delivery), schedule, now=self.LATER) is None


ANSWERS: list[retry.AnyResult] = [
    BUSY,
    REFUSED,
    FAILED,
    UNCLEAR,
    FINAL,
    Done(),
    Accepted(run_id="r"),
    Absent(),
    UNDECIDED,
    UNREACHABLE,
]
ALLOWED: dict[S, set[retry.AnyResult]] = {
    S.LEASED: {BUSY, REFUSED, FAILED, UNCLEAR, FINAL, Done(), Accepted(run_id="r")},
    S.ACCEPTED: {Done(), FAILED, UNCLEAR},
    S.UNKNOWN: {Done(), Accepted(run_id="r"), FAILED, Absent(), UNDECIDED, UNREACHABLE},
}


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, len(ANSWERS) - 1), st.integers(0, 3600), st.floats(0, 0.999)), max_size=30))
def test_whatever_is_answered_the_counters_keep_their_promises(story: list[tuple[int, int, float]]) -> None:
    """No attempt counted below zero or beyond the bound; no otid but after a failure; final states stay final."""
    delivery, now = a_delivery(), NOW
    for choice, wait_s, fraction in story:
        now += timedelta(seconds=wait_s)
        if delivery.state is S.PENDING:
            delivery = retry.lease(delivery, token="t", now=now)
        answer = ANSWERS[choice]
        if answer not in ALLOWED[delivery.state]:
            continue
        was, delivery = delivery, retry.after(delivery, answer, now=now, fraction=fraction).delivery
        assert 0 <= delivery.attempts <= limits.ATTEMPTS_MAX
        assert delivery.failures - was.failures == (answer is FAILED)
        assert delivery.maybe_repeat >= was.maybe_repeat
        assert delivery.first_sent_at == was.first_sent_at
        if delivery.state.is_final:
            break
        assert delivery.due_at >= now


@pytest.mark.parametrize(("state", "token"), list(product([S.DEAD, S.SKIPPED, S.CANCELLED], [None, "t"])))
def test_reviving_leaves_nothing_of_the_old_lease(state: S, token: str | None) -> None:
    assert retry.revive(leased(state=state, lease_token=token), now=NOW, retry_for=MINUTE).lease_token is None
