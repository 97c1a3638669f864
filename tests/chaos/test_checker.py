"""The checker sees: each sin, written by hand into a record, is named, and what is no sin is not."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from promptyoself.domain.envelope import REPEAT_MARK
from promptyoself.domain.values import replace
from tests.chaos.checker import Blow, Case, complaints, worst
from tests.chaos.ledger import Arrival, read_arrivals
from tests.chaos.oracle import Command, Kind, Promise, Timeline

AT_NINE = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)
TIMELINE = Timeline(AT_NINE, 1000.0)
"""Nine o'clock is second 1000."""
ONCE = Promise(tag="once", lane="agent-1", start_at=AT_NINE + timedelta(seconds=10, microseconds=250_000))
EACH = Promise(tag="each", lane="agent-2", start_at=AT_NINE, every_s=5, fires=3)


def one_off(**changes: Any) -> Arrival:  # noqa: ANN401  fields of an arrival
    return arrival(1, "once/1", at_s=1010.5, lane="agent-1", fire_s=10, **changes)


def each(number: int, **changes: Any) -> Arrival:  # noqa: ANN401  fields of an arrival
    """Return the arrival of the fire time of that number, counted from 0."""
    return arrival(10 + number, "each/1", at_s=1000.1 + 5 * number, lane="agent-2", fire_s=5 * number, **changes)


def arrival(number: int, text: str, *, at_s: float, lane: str, fire_s: float, **changes: Any) -> Arrival:  # noqa: ANN401
    """Return a request that was stored, answered and done within 0.3 s."""
    return replace(
        Arrival(
            number=number, lane=lane, otid=f"key-{number}#0", text=text, envelope=envelope(fire_s),
            begun_s=at_s, stored_s=at_s + 0.1, answered_s=at_s + 0.2, status=200, ended_s=at_s + 0.3,
        ),
        **changes,
    )  # fmt: skip


def envelope(fire_s: float, *, is_marked: bool = False) -> str:
    planned = AT_NINE + timedelta(seconds=fire_s)
    mark = f"\n{REPEAT_MARK}" if is_marked else ""
    return f"Scheduled prompt 7, Fire 1, planned for {planned:%a %Y-%m-%d %H:%M:%S} UTC; it is on time.{mark}"


def again(earlier: Arrival, *, after_s: float = 20.0, is_marked: bool = True, **changes: Any) -> Arrival:  # noqa: ANN401
    """Return a repeat of a request."""
    fire_s = (earlier.fire_at - AT_NINE).total_seconds() if earlier.fire_at else 0
    began_s = earlier.begun_s + after_s
    return replace(
        earlier,
        **{
            "number": earlier.number + 100, "envelope": envelope(fire_s, is_marked=is_marked), "begun_s": began_s,
            "stored_s": began_s + 0.1, "answered_s": began_s + 0.2, "closed_s": math.inf, "status": 200,
            "ended_s": began_s + 0.3, "is_failed": False, **changes,
        },
    )  # fmt: skip


def case(*arrivals: Arrival, blows: tuple[Blow, ...] = (), **changes: Any) -> Case:  # noqa: ANN401  fields of a case
    promises = {one.tag: one for one in changes.pop("promises", [ONCE, EACH])}
    return Case(promises=promises, arrivals=arrivals, blows=blows, timeline=TIMELINE, **changes)


ALL = (one_off(), each(0), each(1), each(2))
LOST_ANSWER: dict[str, Any] = {"answered_s": math.inf, "closed_s": 1010.7, "status": 0}
UNSTORED: dict[str, Any] = {"stored_s": math.inf, "ended_s": math.inf}
AT_A_KILL = (Blow("kill", 1010.6, 1010.6),)


def kinds(given: Case) -> set[str]:
    return {one.partition(":")[0] for one in complaints(given)}


def changed(promise: Promise, *commands: Command) -> Promise:
    return replace(promise, commands=list(commands))


def test_what_arrived_once_in_order_is_no_sin() -> None:
    assert complaints(case(*ALL)) == []


@pytest.mark.parametrize("gone", range(4))
def test_what_did_not_arrive_is_lost(gone: int) -> None:
    arrived = [one for number, one in enumerate(ALL) if number != gone]
    assert kinds(case(*arrived)) == {"LOST"}
    assert kinds(case(*arrived, is_over=False)) == set(), "it may still come"


def test_what_was_never_stored_or_whose_run_failed_is_lost() -> None:
    assert kinds(case(one_off(**UNSTORED), *ALL[1:])) == {"LOST"}
    assert kinds(case(one_off(is_failed=True), *ALL[1:])) == {"LOST"}


def test_what_nobody_promised_is_strange() -> None:
    assert kinds(case(*ALL, arrival(50, "other/1", at_s=1011, lane="agent-3", fire_s=0))) == {"STRANGE"}
    assert "STRANGE" in kinds(case(replace(one_off(), lane="agent-3"), *ALL[1:]))
    assert "STRANGE" in kinds(case(*ALL, arrival(50, "each/1", at_s=1021, lane="agent-2", fire_s=7)))
    assert "STRANGE" in kinds(
        case(
            *ALL,
            replace(
                each(0),
                number=60,
                otid="key-60#0",
                envelope="Sent on request at Mon 2027-03-01 09:00:20 UTC, outside its schedule.",
            ),
        )
    )
    assert "STRANGE" in kinds(case(replace(one_off(), begun_s=1009.0), *ALL[1:])), "before its time"


def test_a_repeat_of_what_the_receiver_shows_is_doubled_whatever_happened() -> None:
    first = one_off(**LOST_ANSWER)
    assert "DOUBLED" in kinds(case(first, again(first), *ALL[1:], blows=AT_A_KILL))


def test_a_repeat_of_what_was_open_at_a_kill_is_excused_when_nothing_can_be_shown() -> None:
    first = one_off(**LOST_ANSWER)
    assert kinds(case(first, again(first), *ALL[1:], blows=AT_A_KILL, does_show=False)) == set()
    assert kinds(case(one_off(), again(one_off()), *ALL[1:], blows=AT_A_KILL, does_show=False)) == set(), "uncommitted"


def test_a_repeat_of_what_was_answered_before_a_kill_is_doubled() -> None:
    late = (Blow("kill", 1018.0, 1018.0),)
    assert kinds(case(one_off(), again(one_off()), *ALL[1:], blows=late, does_show=False)) == {"DOUBLED"}


@pytest.mark.parametrize("kind", ["away", "cut", "pause"])
def test_neither_a_database_that_was_away_nor_a_short_stop_excuses_a_repeat(kind: str) -> None:
    blows = (Blow("kill", 1000.0, 1000.0), Blow(kind, 1010.0, 1012.0))
    assert kinds(case(one_off(), again(one_off()), *ALL[1:], blows=blows, does_show=False)) == {"DOUBLED"}


def test_a_repeat_that_does_not_say_so_is_unmarked() -> None:
    first = one_off(**LOST_ANSWER)
    repeat = again(first, is_marked=False)
    assert kinds(case(first, repeat, *ALL[1:], blows=AT_A_KILL, does_show=False)) == {"UNMARKED"}


def test_what_never_reached_the_agent_may_be_sent_again_and_need_not_say_so() -> None:
    for first in (one_off(**UNSTORED, **LOST_ANSWER), one_off(**UNSTORED, status=409), one_off(**UNSTORED, status=500)):
        assert kinds(case(first, again(first, is_marked=False), *ALL[1:])) == set()


def test_a_repeat_beside_a_request_that_is_still_open_is_doubled() -> None:
    first = one_off(**UNSTORED, answered_s=math.inf, status=0)
    assert "DOUBLED" in kinds(case(first, again(first), *ALL[1:]))


def test_a_mark_without_a_reason_is_a_sin() -> None:
    marked = one_off(envelope=envelope(10, is_marked=True))
    assert kinds(case(marked, *ALL[1:])) == {"UNMARKED"}
    assert kinds(case(marked, *ALL[1:], blows=(Blow("kill", 1009.0, 1009.0),))) == set()


def test_a_repeat_under_another_key_is_named() -> None:
    first = one_off(**LOST_ANSWER)
    other = again(first, otid="fresh#0")
    assert kinds(case(first, other, *ALL[1:], blows=AT_A_KILL, does_show=False)) == {"KEY"}
    assert "KEY" in kinds(case(*ALL[:3], replace(each(2), otid=each(1).otid))), "one key for two"


def test_a_failed_run_is_tried_again_under_another_otid_and_nothing_else_is() -> None:
    failed = one_off(is_failed=True)
    retried = again(failed, is_marked=False, otid="key-1#1")
    assert kinds(case(failed, retried, *ALL[1:])) == set()
    assert kinds(case(failed, replace(retried, otid=failed.otid), *ALL[1:])) == {"KEY"}
    open_at_kill = one_off(**LOST_ANSWER)
    other = again(open_at_kill, otid="key-1#1")
    assert kinds(case(open_at_kill, other, *ALL[1:], blows=AT_A_KILL, does_show=False)) == {"KEY"}


def test_two_requests_or_runs_at_once_on_a_lane_overlap() -> None:
    assert kinds(case(*ALL[:2], replace(each(1), begun_s=1005.1), replace(each(2), begun_s=1010.1))) == set()
    slow = replace(each(1), answered_s=1011.0)
    assert kinds(case(*ALL[:2], slow, each(2))) == {"OVERLAP"}
    at_work = replace(each(1), ended_s=1011.0)
    assert kinds(case(*ALL[:2], at_work, each(2))) == {"OVERLAP"}
    endless = replace(each(1), ended_s=math.inf)
    assert kinds(case(*ALL[:2], endless, each(2))) == {"OVERLAP"}


def test_a_request_that_a_stopped_process_holds_open_overlaps_only_if_the_agent_got_it() -> None:
    stopped = (Blow("stop", 1005.0, 1012.0),)
    held = replace(each(1), answered_s=math.inf, status=0, closed_s=1012.0)
    assert (
        kinds(case(*ALL[:2], replace(held, **UNSTORED), each(2), again(each(1), is_marked=False), blows=stopped))
        == set()
    )
    assert "OVERLAP" in kinds(case(*ALL[:2], held, each(2), blows=stopped))


def test_a_later_fire_time_first_is_disorder() -> None:
    swapped = (replace(each(1), begun_s=1010.6), replace(each(2), begun_s=1010.1))
    assert "ORDER" in kinds(case(*ALL[:2], *swapped))
    twins = [
        Promise(tag=f"t{n}", lane="agent-5", start_at=AT_NINE + timedelta(seconds=1, milliseconds=n)) for n in (1, 2)
    ]
    first, second = (arrival(n, f"t{n}/1", at_s=1001.0 + n, lane="agent-5", fire_s=1) for n in (1, 2))
    assert kinds(case(first, second, promises=twins)) == set()
    late = replace(first, begun_s=1004.0, stored_s=1004.1, answered_s=1004.2, ended_s=1004.3)
    assert kinds(case(late, second, promises=twins)) == {"ORDER"}, "within one second, by the promise"


def test_what_waits_behind_a_retry_of_its_own_schedule_may_be_overtaken_by_others() -> None:
    other = Promise(tag="other", lane="agent-2", start_at=AT_NINE + timedelta(seconds=12))
    overtaking = arrival(50, "other/1", at_s=1012.1, lane="agent-2", fire_s=12)
    behind = replace(each(2), begun_s=1013.5, stored_s=1013.6, answered_s=1013.7, ended_s=1013.8)
    refused = replace(each(1), **UNSTORED, status=409)
    retried = again(each(1), after_s=8.0, is_marked=False)
    promises = [ONCE, EACH, other]
    assert kinds(case(*ALL[:2], refused, overtaking, retried, behind, promises=promises)) == set()
    assert kinds(case(*ALL[:2], each(1), overtaking, behind, promises=promises)) == {"ORDER"}


def test_what_waits_behind_one_in_doubt_of_its_own_schedule_may_be_overtaken_by_others() -> None:
    other = Promise(tag="other", lane="agent-2", start_at=AT_NINE + timedelta(seconds=12))
    overtaking = arrival(50, "other/1", at_s=1012.1, lane="agent-2", fire_s=12)
    doubted = again(each(1), after_s=8.0)
    behind = replace(each(2), begun_s=1013.5, stored_s=1013.6, answered_s=1013.7, ended_s=1013.8)
    told: dict[str, Any] = {"promises": [ONCE, EACH, other], "blows": (Blow("kill", 1005.0, 1005.0),)}
    assert kinds(case(*ALL[:2], overtaking, doubted, behind, **told)) == set()
    unmarked = again(each(1), after_s=8.0, is_marked=False)
    assert kinds(case(*ALL[:2], overtaking, unmarked, behind, **told)) == {"ORDER"}
    assert "ORDER" in kinds(case(*ALL[:2], doubted, replace(overtaking, begun_s=1013.2), behind, **told))


def test_what_was_in_doubt_before_it_was_seen_may_be_overtaken() -> None:
    overtaken = replace(
        each(1),
        begun_s=1010.6,
        stored_s=1010.7,
        answered_s=1010.8,
        ended_s=1010.9,
        envelope=envelope(5, is_marked=True),
    )
    arrived = case(*ALL[:2], overtaken, each(2), blows=(Blow("kill", 1005.0, 1005.0),))
    assert kinds(arrived) == set()


def test_what_was_cancelled_must_not_come() -> None:
    cancelled = changed(EACH, Command(Kind.CANCELLED, 1005.5, 1006.0))
    assert kinds(case(*ALL[:3], promises=[ONCE, cancelled])) == set()
    assert kinds(case(*ALL[:2], promises=[ONCE, cancelled])) == set(), "what was due as it was cancelled may stay away"
    assert kinds(case(*ALL, promises=[ONCE, cancelled])) == {"UNWANTED", "LATE WORD"}
    nobody_knows = changed(EACH, Command(Kind.CANCELLED, 1005.5))
    assert kinds(case(*ALL, promises=[ONCE, nobody_knows])) == set()


def test_what_was_due_before_a_cancel_must_not_be_sent_long_after_it() -> None:
    cancelled = changed(EACH, Command(Kind.CANCELLED, 1005.5, 1006.0))
    late = replace(each(1), begun_s=1008.0, stored_s=1008.1, answered_s=1008.2, ended_s=1008.3)
    assert kinds(case(*ALL[:2], late, promises=[ONCE, cancelled])) == {"LATE WORD"}
    stopped = (Blow("stop", 1005.8, 1007.9),)
    assert kinds(case(*ALL[:2], late, promises=[ONCE, cancelled], blows=stopped)) == set(), "it was in flight"


def test_a_pause_takes_its_fire_times_and_no_others() -> None:
    paused = changed(EACH, Command(Kind.PAUSED, 1003.0, 1003.1), Command(Kind.RESUMED, 1007.0, 1007.1))
    assert kinds(case(*ALL[:2], each(2), promises=[ONCE, paused])) == set()
    assert kinds(case(*ALL, promises=[ONCE, paused])) == {"UNWANTED", "LATE WORD"}
    assert kinds(case(*ALL[:2], promises=[ONCE, paused])) == {"LOST"}, "the one after the pause"


def test_a_one_off_that_comes_due_in_a_pause_arrives_late_rather_than_never() -> None:
    paused = changed(ONCE, Command(Kind.PAUSED, 1005.0, 1005.1), Command(Kind.RESUMED, 1015.0, 1015.1))
    assert kinds(case(*ALL[1:], promises=[paused, EACH])) == {"LOST"}
    late = replace(one_off(), begun_s=1015.2, stored_s=1015.3, answered_s=1015.4, ended_s=1015.5)
    assert kinds(case(late, *ALL[1:], promises=[paused, EACH])) == set()


def test_an_old_prompt_after_an_edit_is_a_late_word() -> None:
    edited = changed(EACH, Command(Kind.EDITED, 1006.0, 1006.1))
    new = replace(each(2), text="each/2")
    assert kinds(case(*ALL[:3], new, promises=[ONCE, edited])) == set()
    assert kinds(case(*ALL, promises=[ONCE, edited])) == {"LATE WORD"}


def test_a_run_now_that_was_answered_arrives_once() -> None:
    asked = changed(ONCE, Command(Kind.RUN_NOW, 1020.0, 1020.1))
    by_hand = replace(
        one_off(), number=2, otid="hand#0", begun_s=1020.2, stored_s=1020.3, answered_s=1020.4, ended_s=1020.5,
        envelope="Sent on request at Mon 2027-03-01 09:00:20 UTC, outside its schedule.",
    )  # fmt: skip
    assert kinds(case(*ALL, by_hand, promises=[asked, EACH])) == set()
    assert kinds(case(*ALL, promises=[asked, EACH])) == {"LOST"}
    twice = replace(
        by_hand, number=3, otid="hand-2#0", begun_s=1021.0, stored_s=1021.1, answered_s=1021.2, ended_s=1021.3
    )
    assert kinds(case(*ALL, by_hand, twice, promises=[asked, EACH])) == {"DOUBLED"}
    unanswered = changed(ONCE, Command(Kind.RUN_NOW, 1020.0))
    assert kinds(case(*ALL, promises=[unanswered, EACH])) == set()


def test_a_record_is_read_as_it_was_written() -> None:
    events: list[dict[str, object]] = [
        {"what": "looked", "at": 1.0, "agent": "agent-1"},
        {"what": "begun", "at": 2.0, "number": 1, "lane": "agent-1", "otid": "k#0", "text": "s1/2", "envelope": None},
        {"what": "stored", "at": 3.0, "number": 1, "run": "run-1"},
        {"what": "begun", "at": 3.5, "number": 2, "lane": "agent-2", "otid": "l#1", "text": "s2/1", "envelope": "x"},
        {"what": "answered", "at": 4.0, "number": 1, "status": 200},
        {"what": "ended", "at": 5.0, "number": 1, "run": "run-1", "status": "failed"},
        {"what": "closed", "at": 6.0, "number": 2, "by": "client"},
    ]
    first, second = read_arrivals(json.dumps(one) for one in events)
    assert (first.key, first.tag, first.revision, first.is_failed, first.works_until_s) == ("k", "s1", 2, True, 5.0)
    assert (second.is_stored, second.open_until_s, second.works_until_s) == (False, 6.0, 6.0)


def test_a_verdict_for_people_counts_the_sins_and_shows_the_first() -> None:
    assert worst(["LOST: a", "ORDER: b", "LOST: c"], 2) == "2 LOST, 1 ORDER\nLOST: a\nORDER: b"
