"""What every kind of trigger promises: bounds, refusals, words, warnings, jitter, and a quick answer."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidTimezone, InvalidTrigger, TriggerNeverFires
from promptyoself.domain.triggers import (
    Trigger,
    TriggerKind,
    Walk,
    count_fires,
    describe,
    fire_times,
    jitter_for,
    last_fire_at,
    make_trigger,
    next_fire_at,
    period_hint,
    warnings_for,
)

NOW = datetime(2027, 3, 24, 10, 0, tzinfo=UTC)
DAY = timedelta(days=1)
RULES = [
    ("once", "2027-04-01T09:00"),
    ("cron", "0 9 * * *"),
    ("cron", "7 */3 * * *"),
    ("interval", "1d"),
    ("rrule", "FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0"),
    ("rrule", "FREQ=DAILY;COUNT=90"),
]


def make(kind: str, expression: str, timezone: str = "Europe/Riga", **bounds: datetime) -> Trigger:
    return make_trigger(kind, expression, timezone=timezone, now=NOW, **bounds)  # type: ignore[arg-type]


# -- bounds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "expression"), RULES)
@settings(max_examples=25)
@given(st.timedeltas(timedelta(0), 7 * DAY), st.timedeltas(timedelta(days=10), 30 * DAY))
def test_nothing_fires_before_start_or_after_end(kind: str, expression: str, start: timedelta, end: timedelta) -> None:
    start_at, end_at = NOW + start, NOW + end
    trigger = make(kind, expression, start_at=start_at, end_at=end_at)
    found = list(fire_times(trigger, after=NOW - DAY))
    assert found
    assert start_at <= found[0]
    assert found[-1] <= end_at
    assert found == sorted(set(found))
    assert last_fire_at(trigger, not_before=NOW - DAY, not_after=NOW + 99 * DAY) == found[-1]
    assert count_fires(trigger, after=NOW - DAY, until=NOW + 99 * DAY, limit=10**6) == len(found)
    assert next_fire_at(trigger, after=found[-1]) is None


@pytest.mark.parametrize(("kind", "expression"), RULES)
def test_start_and_end_are_inclusive(kind: str, expression: str) -> None:
    first = next_fire_at(make(kind, expression), after=NOW)
    assert first is not None
    trigger = make(kind, expression, start_at=first, end_at=first)
    assert list(fire_times(trigger, after=NOW)) == [first]


@pytest.mark.parametrize(("kind", "expression"), RULES)
def test_the_last_of_a_century_comes_from_the_same_rule(kind: str, expression: str) -> None:
    trigger, end = make(kind, expression), NOW + 36500 * DAY
    last = last_fire_at(trigger, not_before=NOW, not_after=end)
    assert last is not None
    assert next(fire_times(trigger, after=last, until=end), None) is None
    assert next_fire_at(trigger, after=last - timedelta(microseconds=1)) == last
    assert last_fire_at(trigger, not_before=last + timedelta(microseconds=1), not_after=end) is None


def test_counting_stops_at_its_limit() -> None:
    assert count_fires(make("cron", "* * * * *"), after=NOW, until=NOW + 9000 * DAY, limit=100) == 100


def test_answers_are_utc_whatever_zone_after_is_in() -> None:
    later = NOW.astimezone().replace(microsecond=5)
    fire_at = next_fire_at(make("cron", "0 9 * * *"), after=later)
    assert fire_at is not None
    assert fire_at.tzinfo is UTC


# -- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["2027-03-24T09:59:59Z", "2027-03-24T10:00Z", "1999-01-01T00:00"])
def test_a_past_time_is_refused_with_the_word_future(text: str) -> None:
    with pytest.raises(InvalidTrigger, match="future") as refusal:
        make("once", text)
    assert "Europe/Riga" in refusal.value.message


def test_bounds_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InvalidTrigger, match="before start"):
        make("cron", "0 9 * * *", start_at=NOW + 2 * DAY, end_at=NOW + DAY)
    with pytest.raises(InvalidTrigger, match="not in the future"):
        make("cron", "0 9 * * *", end_at=NOW - DAY)
    with pytest.raises(TriggerNeverFires, match="between its start and its end"):
        make("cron", "0 9 1 * *", end_at=NOW + DAY)
    with pytest.raises(TriggerNeverFires, match="never fires"):
        make("once", "2027-04-01T09:00", end_at=NOW + DAY)
    with pytest.raises(InvalidTrigger, match=r"start_at .* no timezone"):
        make("interval", "5m", start_at=datetime(2027, 4, 1))  # noqa: DTZ001 - the point


@pytest.mark.parametrize("jitter", [timedelta(seconds=-1), limits.JITTER_MAX + timedelta(seconds=1)])
def test_jitter_outside_its_limits_is_refused(jitter: timedelta) -> None:
    with pytest.raises(InvalidTrigger, match="jitter"):
        make_trigger("interval", "5m", timezone="UTC", now=NOW, jitter=jitter)


def test_an_unknown_zone_and_an_endless_expression_are_refused() -> None:
    with pytest.raises(InvalidTimezone):
        make("cron", "0 9 * * *", timezone="Mars/Olympus")
    with pytest.raises(InvalidTrigger, match="longer than"):
        make("cron", "0," * limits.EXPRESSION_CHARS_MAX)


def test_an_expression_is_kept_verbatim() -> None:
    assert make("cron", " 0 9  * * MON-fri ").expression == " 0 9  * * MON-fri "


# -- words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expression", "words"),
    [
        ("once", "2027-04-01T09:00", "once at Thu 2027-04-01 09:00"),
        ("interval", "90m", "every 1h30m, counted from Wed 2027-03-24 12:00"),
        ("cron", "0 9 * * mon-fri", "at 09:00 on Monday to Friday"),
        ("cron", "0 9 13 * fri", "at 09:00 on day 13 of the month or on Friday"),
        ("cron", "0 9 */13 * fri", "at 09:00 on Friday, only when it is day 1, 14 or 27 of the month"),
        ("cron", "0 9 13 * 0-6", "at 09:00 every day"),
        ("cron", "0 9,17 * * *", "at 09:00 and 17:00 every day"),
        ("cron", "* * * * *", "every minute"),
        ("cron", "* * * * * *", "every second"),
        ("cron", "*/15 9-17 * * *", "every 15 minutes past hours 9 to 17"),
        ("cron", "*/45 * * * *", "at minutes 0 and 45 (*/45) past every hour"),
        ("cron", "30 * * * *", "at minute 30 past every hour"),
        ("cron", "0 * * * *", "every hour, on the hour"),
        ("cron", "0 */2 * * *", "every 2 hours, on the hour"),
        ("cron", "0 0 1 1,3-5 *", "at 00:00 on day 1 of the month in January and March to May"),
        ("cron", "0 9 L * *", "at 09:00 on the last day of the month"),
        ("cron", "0 9 * * 5#2", "at 09:00 on the second Friday of the month"),
        ("rrule", "FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0", "every day at 09:00"),
        ("rrule", "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR;BYHOUR=9;BYMINUTE=0;BYSECOND=0",
         "every 2 weeks on Monday and Friday at 09:00, counted from Wed 2027-03-24 12:00"),
        ("rrule", "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9;BYMINUTE=0;BYSECOND=0;COUNT=3",
         "every month on the last Friday at 09:00, 3 times"),
    ],
)  # fmt: skip
def test_a_rule_is_described_with_its_zone(kind: str, expression: str, words: str) -> None:
    assert describe(make(kind, expression)) == f"{words} (Europe/Riga)"


def test_bounds_and_jitter_are_described() -> None:
    trigger = make_trigger("interval", "1d", timezone="UTC", now=NOW, start_at=NOW, end_at=NOW + 9 * DAY,
                           jitter=timedelta(minutes=5))  # fmt: skip
    assert describe(trigger) == (
        "every 1d, from Wed 2027-03-24 10:00, until Fri 2027-04-02 10:00, up to 5m later (UTC)"
    )


@pytest.mark.parametrize(
    ("kind", "expression", "said"),
    [
        ("cron", "0 9 13 * fri", ["either", "on day 13 of the month or on Friday"]),
        ("cron", "0 9 */2 * fri", ["only when both match"]),
        ("cron", "*/45 * * * *", ["*/45", "0 and 45", "interval 45m"]),
        ("cron", "0 */5 * * *", ["*/5", "0, 5, 10, 15 and 20", "interval 5h"]),
        ("cron", "30 3 * * *", ["2027-03-28", "03:30", "fires once, at 04:00"]),
        ("cron", "*/30 3 * * *", ["2027-03-28", "03:00 and 03:30", "skipped"]),
        ("cron", "0 9 ? * 2-6", ["2-6 is Tuesday to Saturday here", "1 = Sunday", "write mon-fri"]),
        ("cron", "0 0 9 ? * 1", ["1 is Monday here", "write sun"]),
        ("cron", "0 9 31 * *", ["no day 31 in February, April, June, September and November", "L is the last day"]),
        ("cron", "0 9 30W 1,2 *", ["no day 30 in February"]),
        ("cron", "0 9 29 2 *", ["February has a day 29 only in leap years"]),
        ("cron", "0 9 * * fri#5", ["not every month has the fifth Friday"]),
        ("interval", "1d", ["2027-03-28", "real time", "1h later"]),
        ("rrule", "FREQ=DAILY;BYHOUR=3;BYMINUTE=30;BYSECOND=0", ["2027-03-28", "03:30", "at 04:00"]),
        ("once", "2027-03-28T03:30", ["does not exist", "04:00"]),
        ("once", "2027-10-31T03:30", ["comes twice", "first"]),
    ],
)
def test_what_may_surprise_is_said(kind: str, expression: str, said: list[str]) -> None:
    warnings = " ".join(warnings_for(make(kind, expression), now=NOW))
    assert [part for part in said if part not in warnings] == []


@pytest.mark.parametrize(
    ("kind", "expression"),
    [("cron", "0 9 * * *"), ("cron", "* * * * *"), ("cron", "*/15 * * * *"), ("cron", "0 9 * * mon-fri"),
     ("cron", "0 9 ? * mon-fri"), ("cron", "0 9 1 * ?"), ("cron", "0 9 31 1,3 *"), ("cron", "0 9 L * *"),
     ("cron", "@weekly"),
     ("interval", "45m"), ("once", "2027-04-01T09:00"), ("once", "2027-10-31T03:30+02:00"), ("rrule", "FREQ=HOURLY")],
)  # fmt: skip
def test_what_surprises_nobody_is_not_said(kind: str, expression: str) -> None:
    assert warnings_for(make(kind, expression), now=NOW) == []


def test_in_autumn_a_time_that_comes_twice_is_said() -> None:
    now = datetime(2027, 10, 28, tzinfo=UTC)
    trigger = make_trigger("cron", "30 3 * * *", timezone="Europe/Riga", now=now)
    (warning,) = warnings_for(trigger, now=now)
    assert "fires only the first time" in warning


# -- jitter and period --------------------------------------------------------------------------------------


def test_jitter_is_the_same_for_the_same_fire_and_spread_evenly_over_others() -> None:
    trigger = make_trigger("interval", "5m", timezone="UTC", now=NOW, jitter=timedelta(seconds=60))
    fires = list(islice(fire_times(trigger, after=NOW), 600))
    found = [jitter_for(trigger, fire_at=fire_at, schedule_uid="a") for fire_at in fires]
    assert found == [jitter_for(trigger, fire_at=fire_at, schedule_uid="a") for fire_at in fires]
    assert found != [jitter_for(trigger, fire_at=fire_at, schedule_uid="b") for fire_at in fires]
    assert timedelta(0) <= min(found) < timedelta(seconds=3)
    assert timedelta(seconds=57) < max(found) <= timedelta(seconds=60)
    assert abs(sum(found, timedelta(0)) / 600 - timedelta(seconds=30)) < timedelta(seconds=3)
    assert jitter_for(make("interval", "5m"), fire_at=NOW, schedule_uid="a") == timedelta(0)


@pytest.mark.parametrize(
    ("kind", "expression", "period"),
    [("once", "2027-04-01T09:00", None), ("interval", "45m", timedelta(minutes=45)), ("cron", "0 9 * * mon-fri", DAY),
     ("cron", "0,1 9 * * *", timedelta(minutes=1)), ("rrule", "FREQ=DAILY;COUNT=1;BYHOUR=23", None)],
)  # fmt: skip
def test_the_period_is_the_smallest_gap(kind: str, expression: str, period: timedelta | None) -> None:
    assert period_hint(make(kind, expression), after=NOW) == period


# -- cold start ---------------------------------------------------------------------------------------------


def test_importing_triggers_loads_neither_cronsim_nor_dateutil_nor_words() -> None:
    code = "import sys, promptyoself.domain.triggers; print(*sorted(sys.modules))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
    )
    unwanted = {"cronsim", "dateutil", "asyncio", "pydantic", "logging", "random", "sqlite3", "hashlib",
                "promptyoself.domain.words", "promptyoself.domain.rrules"}  # fmt: skip
    assert loaded & unwanted == set()


@pytest.mark.parametrize(("kind", "expression"), [*RULES, ("cron", "*/20 * * * *"), ("cron", "30 3 * * *")])
@settings(max_examples=60)
@given(st.lists(st.timedeltas(-DAY, 9 * DAY), min_size=1, max_size=8))
def test_a_walk_answers_as_a_search_does_forwards_backwards_and_over_clock_changes(
    kind: str, expression: str, askings: list[timedelta]
) -> None:
    trigger = make(kind, expression)
    walk = Walk(trigger)
    for asking in askings:  # the clocks of Riga change on the fourth day
        found = walk.next_after(NOW + asking)
        assert found == next_fire_at(trigger, after=NOW + asking)
        if found is not None:
            assert walk.next_after(found) == next_fire_at(trigger, after=found)


def test_every_kind_is_a_trigger_kind() -> None:
    assert {kind for kind, _ in RULES} == set(TriggerKind)
