"""RDATE and EXDATE beside a rule, text as calendars write it, and rules that would cost too much."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from types import FrameType

import pytest

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidTrigger, TriggerNeverFires
from promptyoself.domain.triggers import (
    Trigger,
    count_fires,
    describe,
    fire_times,
    last_fire_at,
    make_trigger,
    next_fire_at,
    period_hint,
    warnings_for,
)

NOW = datetime(2027, 4, 20, 10, 0, tzinfo=UTC)
DAILY = "FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0"


def rrule(*lines: str, timezone: str = "Europe/Riga") -> Trigger:
    return make_trigger("rrule", "\n".join(lines), timezone=timezone, now=NOW)


def days(trigger: Trigger, count: int) -> list[str]:
    """The next fires as `21 09`: day of month and UTC hour."""
    return [f"{at:%d %H}" for at in islice(fire_times(trigger, after=NOW), count)]


# -- the set of fire times ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([DAILY, "EXDATE:20270422T090000"], ["21 06", "23 06", "24 06"]),
        ([DAILY, "EXDATE:20270422T060000Z"], ["21 06", "23 06", "24 06"]),
        ([DAILY, "EXDATE;TZID=Europe/Riga:20270422T090000,20270421T090000"], ["23 06", "24 06", "25 06"]),
        ([DAILY, "EXDATE;VALUE=DATE:20270422", "EXDATE;VALUE=DATE:20270421"], ["23 06", "24 06", "25 06"]),
        ([DAILY, "EXDATE:20270422T090001"], ["21 06", "22 06", "23 06"]),  # another second is another time
        ([DAILY, "RDATE:20270421T120000", "RDATE:20270422T090000"], ["21 06", "21 09", "22 06", "23 06"]),
        ([DAILY, "RDATE;VALUE=DATE-TIME:20270421T110000Z,20270420T110000Z"], ["20 11", "21 06", "21 11"]),
        ([DAILY, "RDATE:20270421T120000", "EXDATE:20270421T120000"], ["21 06", "22 06"]),  # left out wins
        ([f"{DAILY};COUNT=3", "EXDATE:20270421T090000"], ["22 06", "23 06"]),  # COUNT counts what is left out too
        ([f"{DAILY};COUNT=2", "RDATE:20270430T090000"], ["21 06", "22 06", "30 06"]),  # RDATE is beyond COUNT
        ([f"{DAILY};UNTIL=20270421", "RDATE:20270430T090000"], ["21 06", "30 06"]),
        (["FREQ=HOURLY;BYMINUTE=0;BYSECOND=0", "EXDATE;VALUE=DATE:20270420"], ["20 21", "20 22", "20 23"]),
    ],
)
def test_dates_are_added_and_left_out(lines: list[str], expected: list[str]) -> None:
    trigger = rrule(*lines)
    assert days(trigger, len(expected)) == expected


def test_the_questions_about_stretches_know_added_and_left_out_dates() -> None:
    trigger = rrule(f"{DAILY};COUNT=5", "RDATE:20270430T090000,20270430T093000", "EXDATE:20270423T090000")
    end = NOW + timedelta(days=400)
    assert count_fires(trigger, after=NOW, until=end, limit=100) == 6
    assert last_fire_at(trigger, not_before=NOW, not_after=end) == datetime(2027, 4, 30, 6, 30, tzinfo=UTC)
    assert period_hint(trigger, after=NOW) == timedelta(minutes=30)
    assert next_fire_at(trigger, after=datetime(2027, 4, 30, 6, 30, tzinfo=UTC)) is None


def test_a_left_out_time_that_comes_twice_is_the_first_and_utc_names_the_second() -> None:
    hourly = "FREQ=HOURLY;BYMINUTE=30;BYSECOND=0"
    night = datetime(2027, 10, 31, 0, 0, tzinfo=UTC)  # 03:00 in Riga comes twice
    first = rrule(hourly, "EXDATE:20271031T033000")
    second = rrule(hourly, "EXDATE:20271031T013000Z")
    whole = rrule(hourly, "EXDATE;VALUE=DATE:20271031")
    assert next_fire_at(first, after=night) == night + timedelta(minutes=90)
    assert [at - night for at in islice(fire_times(second, after=night), 2)] == [
        timedelta(minutes=30), timedelta(minutes=150)
    ]  # fmt: skip
    assert next_fire_at(whole, after=night) == datetime(2027, 10, 31, 22, 30, tzinfo=UTC)


def test_a_rule_that_is_left_out_wholly_never_fires() -> None:
    with pytest.raises(TriggerNeverFires):
        rrule(f"{DAILY};COUNT=2", "EXDATE:20270421T090000,20270422T090000")
    with pytest.raises(TriggerNeverFires):
        rrule("FREQ=SECONDLY;UNTIL=20270422", "EXDATE;VALUE=DATE:20270420,20270421,20270422")


# -- words and warnings -------------------------------------------------------------------------------------


def test_added_and_left_out_dates_are_in_the_words() -> None:
    trigger = rrule(DAILY, "RDATE:20270421T120000", "EXDATE:20270424T090000", "EXDATE;VALUE=DATE:20270423")
    assert describe(trigger) == (
        "every day at 09:00, and also on Wed 2027-04-21 12:00, but not on Fri 2027-04-23 or Sat 2027-04-24 09:00 "
        "(Europe/Riga)"
    )
    many = rrule(DAILY, "EXDATE:" + ",".join(f"202705{day:02}T090000" for day in range(1, 9)))
    assert "Mon 2027-05-03 09:00 or 5 other dates" in describe(many)


def test_an_exdate_that_leaves_nothing_out_is_said() -> None:
    (warning,) = warnings_for(rrule(DAILY, "EXDATE:20270424T093000,20270425T090000,20260101T000000"), now=NOW)
    assert "EXDATE leaves nothing out at Sat 2027-04-24 09:30" in warning
    assert "2027-04-25" not in warning
    assert warnings_for(rrule(DAILY, "EXDATE;VALUE=DATE:20270424"), now=NOW) == []


def test_days_that_months_lack_are_said() -> None:
    (warning,) = warnings_for(rrule("FREQ=MONTHLY;BYMONTHDAY=31;BYHOUR=9"), now=NOW)
    assert "no day 31 in February, April, June, September and November" in warning
    (warning,) = warnings_for(rrule("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=9"), now=NOW)
    assert "only in leap years" in warning


# -- text ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "DTSTART;TZID=Europe/Riga:20270421T090000\r\nRRULE:FREQ=DAILY\r\nEXDATE;TZID=Europe/Riga:20270422T\r\n 090000",
        "rrule:freq=daily;byhour=9;by\n\tminute=0;bysecond=0\nexdate:20270422t090000",
        'RRULE:FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0\nEXDATE;TZID="Europe/Riga":20270422T090000',
        "  RRULE:FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0\n  EXDATE:20270422T090000\n",  # set in by hand, not folded
        "FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0;\\nEXDATE:20270422T090000",
    ],
)
def test_text_is_read_as_calendars_write_it(text: str) -> None:
    assert days(rrule(text), 3) == ["21 06", "23 06", "24 06"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([DAILY, "RDATE;VALUE=DATE:20270422"], ["RDATE", "20270422", "without a time of day"]),
        ([DAILY, "RDATE;VALUE=PERIOD:20270422T090000/PT1H"], ["RDATE", "VALUE=PERIOD"]),
        ([DAILY, "RDATE:20270230T090000"], ["RDATE", "20270230T090000", "not a date"]),
        ([DAILY, "RDATE:"], ["RDATE"]),
        ([DAILY, "EXDATE:tomorrow"], ["EXDATE", "TOMORROW"]),
        ([DAILY, "EXDATE:20270422T090000,"], ["EXDATE"]),
        ([DAILY, "EXDATE;TZID=Europe/Paris:20270422T090000"], ["EXDATE", "EUROPE/PARIS", "Europe/Riga"]),
        ([DAILY, "EXDATE;RANGE=THISANDFUTURE:20270422T090000"], ["EXDATE", "RANGE=THISANDFUTURE"]),
        ([DAILY, "EXRULE:FREQ=WEEKLY"], ["EXRULE", "no longer"]),
        ([DAILY, "SUMMARY:Standup"], ["SUMMARY", "one RRULE"]),
        (["RDATE:20270422T090000"], ["no RRULE", "FREQ"]),
        ([DAILY, DAILY], ["2 RRULE lines"]),
        (["DTSTART:20270101T000000", "DTSTART:20270102T000000", DAILY], ["2 DTSTART lines"]),
        ([DAILY, "EXDATE:" + ",".join(f"{NOW + timedelta(days=day):%Y%m%d}" for day in range(251))], ["251", "250"]),
    ],
)
def test_a_bad_line_is_refused_with_what_it_takes(lines: list[str], said: list[str]) -> None:
    with pytest.raises(InvalidTrigger) as refusal:
        rrule(*lines)
    assert [part for part in ["rrule", *said] if part not in refusal.value.message] == []


# -- what would cost too much -------------------------------------------------------------------------------

MANY = ",".join(map(str, range(60)))
HOSTILE = [
    "FREQ=DAILY;COUNT=999999999",
    "FREQ=YEARLY;COUNT=10000",
    "FREQ=YEARLY;INTERVAL=40;COUNT=10000",
    "FREQ=SECONDLY;COUNT=10000;BYMONTH=2;BYMONTHDAY=29;BYHOUR=0;BYMINUTE=0;BYSECOND=0",
    "FREQ=MINUTELY;INTERVAL=1439;COUNT=10000;BYHOUR=0;BYMINUTE=0",
    "FREQ=SECONDLY;INTERVAL=7;BYSECOND=31;COUNT=10000",
    "DTSTART:19700101T000000\nRRULE:FREQ=SECONDLY;COUNT=10000",
    "DTSTART:19700101T000000\nRRULE:FREQ=MONTHLY;BYMONTHDAY=31;BYMONTH=1;INTERVAL=12;COUNT=10000",
    "FREQ=DAILY;UNTIL=20200101",
    "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=SECONDLY;INTERVAL=7;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=SECONDLY;BYDAY=MO;BYMONTHDAY=31;BYMONTH=2",
    "FREQ=SECONDLY;BYYEARDAY=366;BYHOUR=3;BYMONTHDAY=30",
    "FREQ=SECONDLY;INTERVAL=86400;BYHOUR=5",
    "FREQ=SECONDLY;INTERVAL=60;BYSECOND=31",
    "FREQ=SECONDLY;INTERVAL=999983;BYHOUR=5;BYMINUTE=3;BYSECOND=2;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=SECONDLY;BYSETPOS=2;BYSECOND=1",
    "FREQ=MINUTELY;INTERVAL=1440;BYHOUR=5",
    "FREQ=MINUTELY;INTERVAL=720;BYHOUR=3",
    "FREQ=MINUTELY;INTERVAL=1439;BYHOUR=0;BYMINUTE=0;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=MINUTELY;INTERVAL=999999;BYHOUR=5;BYMINUTE=3;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=MINUTELY;BYSETPOS=-60;BYSECOND=1,2,3",
    "FREQ=HOURLY;INTERVAL=24;BYHOUR=5",
    "FREQ=HOURLY;INTERVAL=1000000;BYHOUR=5;BYMONTH=2;BYMONTHDAY=29",
    f"FREQ=HOURLY;BYMINUTE={MANY};BYSETPOS=366",
    f"FREQ=HOURLY;BYMINUTE={MANY};BYSECOND={MANY}",
    "FREQ=DAILY;BYHOUR=9;BYSETPOS=366",
    "FREQ=DAILY;INTERVAL=0",
    "FREQ=DAILY;INTERVAL=1000000",
    "FREQ=WEEKLY;INTERVAL=999999",
    "FREQ=WEEKLY;BYDAY=MO;BYSETPOS=2",
    "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=366",
    "FREQ=MONTHLY;BYMONTHDAY=31;BYMONTH=2",
    "FREQ=YEARLY;BYWEEKNO=53;BYMONTH=6",
    "FREQ=YEARLY;BYDAY=53MO;BYMONTH=1",
    "FREQ=YEARLY;BYYEARDAY=366;BYMONTH=11",
    f"FREQ=YEARLY;BYYEARDAY={','.join(map(str, range(1, 367)))};BYMONTHDAY=31;BYMONTH=4,6,9,11",
    "FREQ=SECONDLY;UNTIL=20271101\nEXDATE;VALUE=DATE:"
    + ",".join(f"{date(2027, 4, 20) + timedelta(days=day):%Y%m%d}" for day in range(196)),
]
CALLS_MAX = 20_000
CALLS_TO_COUNT_MAX = 150_000
"""Calls of functions, Python's own included, that a refusal may cost without and with a COUNT: ms, and under 50."""


def calls_of(what: Callable[[], object]) -> int:
    count = 0

    def counted(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(counted)
    try:
        what()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("rule", HOSTILE)
def test_a_hostile_rule_is_refused_in_few_steps(rule: str) -> None:
    def refused() -> None:
        with pytest.raises(InvalidTrigger, match="rrule"):
            rrule(rule)

    assert calls_of(refused) < (CALLS_TO_COUNT_MAX if "COUNT" in rule else CALLS_MAX)


@pytest.mark.parametrize(
    "rule",
    ["FREQ=MINUTELY", "FREQ=SECONDLY", "FREQ=SECONDLY;INTERVAL=7", "FREQ=DAILY;INTERVAL=7", "FREQ=HOURLY;INTERVAL=5",
     "FREQ=WEEKLY;INTERVAL=3", "FREQ=MONTHLY;INTERVAL=5", "FREQ=YEARLY;INTERVAL=2", "FREQ=MINUTELY;INTERVAL=999",
     "FREQ=DAILY;BYHOUR=1,2,3;BYSETPOS=2", "FREQ=DAILY;COUNT=10000;INTERVAL=3"],
)  # fmt: skip
def test_a_rule_from_long_ago_costs_no_more_than_one_from_today(rule: str) -> None:
    old = Trigger(kind=rrule(DAILY).kind, expression=f"DTSTART:19700101T003000\nRRULE:{rule}", timezone="Europe/Riga",
                  anchor_at=NOW)  # fmt: skip
    assert next_fire_at(old, after=NOW) is not None  # the zone's years are known from here on
    assert calls_of(lambda: next_fire_at(old, after=NOW)) < 300


def test_a_count_that_cannot_be_counted_to_says_what_to_do() -> None:
    with pytest.raises(InvalidTrigger, match="COUNT 10000") as refusal:
        rrule("FREQ=YEARLY;COUNT=10000")
    assert "UNTIL" in (refusal.value.hint or "")
    assert timedelta(days=36_500) < limits.RRULE_COUNT_SPAN_MAX
