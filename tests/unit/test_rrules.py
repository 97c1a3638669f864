"""Recurrence rules: RFC 5545 as dateutil reads it, on the wall clock, and never without an end to the waiting."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidTrigger, TriggerNeverFires
from promptyoself.domain.rrule_text import parse_rrule
from promptyoself.domain.triggers import Trigger, fire_times, last_fire_at, make_trigger, next_fire_at

NOW = datetime(2027, 3, 24, 10, 0, tzinfo=UTC)
SAMPLES = int(os.environ.get("PROMPTYOSELF_ORACLE_EXAMPLES", "60"))
DAILY = "FREQ=DAILY;BYSECOND=0;BYHOUR="
WALLS = datetime(2397, 1, 1), datetime(2397, 12, 31)  # noqa: DTZ001 - walls
LAST_YEAR = 2399
"""Nothing is compared from here on: dateutil comes to the end of the calendar."""
CYCLE = 7600
"""Years: a multiple of the calendar's 400, which moves dateutil's walk close to year 9999, where it ends."""


def rrule(expression: str, timezone: str = "Europe/Riga", **bounds: Any) -> Trigger:  # noqa: ANN401 - make_trigger's
    return make_trigger("rrule", expression, timezone=timezone, now=NOW, **bounds)


def shown(trigger: Trigger, count: int, after: datetime = NOW) -> list[str]:
    here = ZoneInfo(trigger.timezone)
    return [at.astimezone(here).isoformat(timespec="minutes") for at in islice(fire_times(trigger, after=after), count)]


# -- against dateutil ---------------------------------------------------------------------------------------


def some(low: int, high: int, *, negative: bool = False) -> st.SearchStrategy[str]:
    values = st.integers(low, high)
    if negative:
        values = st.one_of(values, st.integers(-high, -low))
    return st.lists(values, min_size=1, max_size=4, unique=True).map(lambda numbers: ",".join(map(str, numbers)))


days = st.lists(st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"]), min_size=1, max_size=4, unique=True)
nth_days = st.lists(
    st.tuples(st.sampled_from([1, 2, 3, 4, 5, -1, -2]), st.sampled_from(["MO", "WE", "FR", "SU"])),
    min_size=1,
    max_size=2,
).map(lambda found: ",".join(f"{number}{day}" for number, day in found))


@st.composite
def rules(draw: st.DrawFn) -> str:
    freq = draw(st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"]))
    parts = {"FREQ": freq, "INTERVAL": str(draw(st.one_of(st.integers(1, 4), st.sampled_from([7, 12, 24, 45, 90]))))}
    is_within_day = freq in {"HOURLY", "MINUTELY", "SECONDLY"}
    choices: dict[str, st.SearchStrategy[str]] = {
        "BYMONTH": some(1, 12),
        "BYDAY": days.map(",".join),
        "BYHOUR": some(0, 23),
        "BYMINUTE": some(0, 59),
        "BYSECOND": some(0, 59),
        "WKST": st.sampled_from(["MO", "SU", "WE"]),
    }
    if freq != "WEEKLY":
        choices["BYMONTHDAY"] = some(1, 31, negative=True)
    if freq == "YEARLY" or is_within_day:
        choices["BYYEARDAY"] = some(1, 366, negative=True)
    if freq == "YEARLY":
        choices["BYWEEKNO"] = some(1, 52)
    if freq in {"YEARLY", "MONTHLY"}:
        choices["BYDAY"] = st.one_of(days.map(",".join), nth_days)
    for name in draw(st.lists(st.sampled_from(sorted(choices)), max_size=3, unique=True)):
        parts[name] = draw(choices[name])
    if any(name.startswith("BY") for name in parts) and draw(st.booleans()):
        parts["BYSETPOS"] = draw(some(1, 6, negative=True))
    if "BYWEEKNO" in parts and any(sign.isdigit() for sign in parts.get("BYDAY", "")):
        del parts["BYDAY"]
    return ";".join(f"{name}={value}" for name, value in parts.items())


def by_dateutil(rule: str, dtstart: datetime, after: datetime) -> list[datetime]:
    moved = dtstart.replace(year=dtstart.year + CYCLE)
    found = []
    try:
        for wall in rrulestr(rule, dtstart=moved):
            here = wall.replace(year=wall.year - CYCLE)
            if here > after:
                found.append(here)
            if len(found) == 30:
                break
    except (ValueError, OverflowError):  # an empty set of times, or the end of the calendar
        pass
    return found


RULES = [
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9,17;BYSETPOS=-2,1",
    "FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=-1,15",
    "FREQ=MONTHLY;INTERVAL=18;BYMONTHDAY=10",
    "FREQ=MONTHLY;INTERVAL=2;BYDAY=1SU,-1SU",
    "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
    "FREQ=YEARLY;INTERVAL=2;BYMONTH=1;BYDAY=SU;BYHOUR=8,9;BYMINUTE=30",
    "FREQ=YEARLY;BYDAY=20MO",
    "FREQ=YEARLY;BYWEEKNO=1,20;BYDAY=MO,SU",
    "FREQ=YEARLY;BYYEARDAY=1,100,-1",
    "FREQ=YEARLY;BYDAY=TU;BYSETPOS=1,-1,10",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=MO",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU",
    "FREQ=WEEKLY;BYDAY=MO,WE,FR;BYHOUR=6,18;BYSETPOS=-1,2",
    "FREQ=DAILY;INTERVAL=10;BYMONTH=1,3",
    "FREQ=DAILY;BYHOUR=9,10,11;BYMINUTE=0,20,40;BYSETPOS=-1,4",
    "FREQ=HOURLY;INTERVAL=3;BYMINUTE=5,50",
    "FREQ=HOURLY;INTERVAL=7;BYDAY=SA;BYSETPOS=-1;BYMINUTE=1,2,3",
    "FREQ=MINUTELY;INTERVAL=90;BYHOUR=8,9,10",
    "FREQ=MINUTELY;INTERVAL=7;BYSECOND=10,50;BYSETPOS=-1",
    "FREQ=SECONDLY;INTERVAL=45;BYMINUTE=0,1,2;BYHOUR=5",
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("month", [2, 7, 12])
def test_known_rules_have_the_walls_of_dateutil_from_anywhere_on(rule: str, month: int) -> None:
    dtstart = datetime(2396, month, 5, 8, 30, 10)  # noqa: DTZ001 - a wall
    recurrence = parse_rrule(rule, "UTC", dtstart.replace(tzinfo=UTC)).recurrence
    expected = by_dateutil(rule, dtstart, dtstart - timedelta(seconds=1))
    expected = [wall for wall in expected if wall.year < LAST_YEAR]
    assert len(expected) > 1
    for place in range(1, len(expected), 3):
        after = expected[place - 1] + (expected[place] - expected[place - 1]) / 2
        found = islice(recurrence.walls(after), len(expected) - place)
        assert list(found) == expected[place:]


@settings(max_examples=SAMPLES)
@given(
    rules(),
    st.datetimes(*WALLS).map(lambda wall: wall.replace(microsecond=0)),
    st.timedeltas(timedelta(seconds=-1), timedelta(days=20)),
)
def test_walls_are_those_of_dateutil_from_anywhere_on(rule: str, dtstart: datetime, later: timedelta) -> None:
    after = dtstart + (later if "LY;INTERVAL" in rule and "SECONDLY" not in rule else later / 400)
    expected = by_dateutil(rule, dtstart, after)
    recurrence = parse_rrule(rule, "UTC", dtstart.replace(tzinfo=UTC)).recurrence
    found = [wall for wall in islice(recurrence.walls(after), 30) if wall.year < LAST_YEAR]
    assert found == [wall for wall in expected if wall.year < LAST_YEAR]


# -- days on which clocks change ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "after", "expected"),
    [
        # a daily time that is skipped moves; one that comes twice fires once
        (DAILY + "3;BYMINUTE=30", "2027-03-27T12:00", ["2027-03-28T04:00+03:00", "2027-03-29T03:30+03:00"]),
        (DAILY + "3;BYMINUTE=0,30", "2027-03-27T12:00", ["2027-03-28T04:00+03:00", "2027-03-29T03:00+03:00"]),
        (DAILY + "3;BYMINUTE=30", "2027-10-30T12:00", ["2027-10-31T03:30+03:00", "2027-11-01T03:30+02:00"]),
        # every hour follows the clock through both passes, and past the gap
        ("FREQ=HOURLY;BYMINUTE=0;BYSECOND=0", "2027-03-28T00:30", ["2027-03-28T04:00+03:00", "2027-03-28T05:00+03:00"]),
        ("FREQ=HOURLY;BYMINUTE=0;BYSECOND=0", "2027-10-30T23:30", ["2027-10-31T03:00+03:00", "2027-10-31T03:00+02:00"]),
    ],
)  # fmt: skip
def test_rules_meet_clock_changes_as_cron_does(rule: str, after: str, expected: list[str]) -> None:
    assert shown(rrule(rule), 2, datetime.fromisoformat(after).replace(tzinfo=UTC)) == expected


# -- what a rule says ---------------------------------------------------------------------------------------


def test_without_dtstart_a_rule_begins_now_or_at_its_start() -> None:
    assert shown(rrule("FREQ=DAILY"), 1) == ["2027-03-25T12:00+02:00"]
    start_at = datetime(2027, 4, 1, 6, 0, tzinfo=UTC)
    assert shown(rrule("FREQ=DAILY", start_at=start_at), 2) == ["2027-04-01T09:00+03:00", "2027-04-02T09:00+03:00"]


@pytest.mark.parametrize(
    "text",
    [
        "DTSTART:20270401T090000\nRRULE:FREQ=DAILY;INTERVAL=2",
        "DTSTART:20270401T090000\r\nRRULE:FREQ=DAILY;INTERVAL=2\r\n",
        "DTSTART;TZID=Europe/Riga:20270401T090000\nRRULE:FREQ=DAILY;INTERVAL=2",
        "DTSTART:20270401T060000Z\nFREQ=DAILY;INTERVAL=2",
        "dtstart:20270401t090000\\nrrule:freq=daily;interval=2;",
    ],
)
def test_dtstart_sets_phase_and_time_of_day(text: str) -> None:
    assert shown(rrule(text), 2) == ["2027-04-01T09:00+03:00", "2027-04-03T09:00+03:00"]


def test_count_counts_from_the_beginning() -> None:
    trigger = rrule("DTSTART:20270320T090000\nRRULE:FREQ=DAILY;COUNT=6")
    assert shown(trigger, 9) == ["2027-03-25T09:00+02:00"]
    assert next_fire_at(trigger, after=datetime(2027, 3, 25, 7, 0, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("until", "last"),
    [
        ("20270326T090000", "2027-03-26"),
        ("20270326T085959", "2027-03-25"),
        ("20270326T070000Z", "2027-03-26"),
        ("20270326T065959Z", "2027-03-25"),
        ("20270326", "2027-03-26"),  # a date means the whole day
    ],
)
def test_until_is_included(until: str, last: str) -> None:
    trigger = rrule(f"FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0;UNTIL={until}")
    assert shown(trigger, 9)[-1] == f"{last}T09:00+02:00"
    assert last_fire_at(trigger, not_before=NOW, not_after=NOW + timedelta(days=9000)) is not None


def test_numbered_and_plain_days_are_joined() -> None:
    found = shown(rrule("FREQ=MONTHLY;BYDAY=1MO,FR;BYHOUR=9;BYMINUTE=0;BYSECOND=0"), 4)
    assert [at[:10] for at in found] == ["2027-03-26", "2027-04-02", "2027-04-05", "2027-04-09"]


def test_a_rule_from_long_ago_answers_at_once_and_in_phase() -> None:
    trigger = rrule("DTSTART:20000101T000000\nRRULE:FREQ=MINUTELY;INTERVAL=7", timezone="UTC")
    fire_at = next_fire_at(trigger, after=NOW)
    assert fire_at is not None
    assert NOW < fire_at <= NOW + timedelta(minutes=7)
    assert (fire_at - datetime(2000, 1, 1, tzinfo=UTC)) % timedelta(minutes=7) == timedelta(0)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("", ["FREQ"]),
        ("FREQ=", ["FREQ"]),
        ("INTERVAL=2", ["FREQ", "missing", "DAILY"]),
        ("FREQ=FORTNIGHTLY", ["FREQ", "FORTNIGHTLY", "WEEKLY"]),
        ("FREQ=DAILY;INTERVAL=0", ["INTERVAL", "0", "1-"]),
        ("FREQ=DAILY;INTERVAL=-1", ["INTERVAL", "-1"]),
        ("FREQ=DAILY;INTERVAL=99999999999999999999", ["INTERVAL"]),
        ("FREQ=DAILY;COUNT=0", ["COUNT", "0"]),
        (f"FREQ=DAILY;COUNT={limits.RRULE_COUNT_MAX + 1}", ["COUNT", str(limits.RRULE_COUNT_MAX)]),
        ("FREQ=DAILY;COUNT=2;UNTIL=20280101", ["COUNT", "UNTIL", "RFC 5545"]),
        ("FREQ=DAILY;BYHOUR=24", ["BYHOUR", "24", "0-23"]),
        ("FREQ=DAILY;BYMINUTE=60", ["BYMINUTE", "60", "0-59"]),
        ("FREQ=MONTHLY;BYMONTHDAY=0", ["BYMONTHDAY", "0", "1-31", "-31"]),
        ("FREQ=MONTHLY;BYMONTHDAY=32", ["BYMONTHDAY", "32"]),
        ("FREQ=YEARLY;BYMONTH=13", ["BYMONTH", "13", "1-12"]),
        ("FREQ=MONTHLY;BYDAY=XX", ["BYDAY", "XX"]),
        ("FREQ=MONTHLY;BYDAY=0MO", ["BYDAY", "0MO"]),
        ("FREQ=DAILY;BYDAY=1MO", ["BYDAY", "DAILY", "RFC 5545"]),
        ("FREQ=MONTHLY;BYWEEKNO=3", ["BYWEEKNO", "YEARLY"]),
        ("FREQ=DAILY;BYSETPOS=1", ["BYSETPOS"]),
        ("FREQ=DAILY;WKST=XX", ["WKST", "XX"]),
        ("FREQ=DAILY;BYEASTER=0", ["BYEASTER"]),
        ("FREQ=DAILY;FREQ=WEEKLY", ["FREQ", "twice"]),
        ("FREQ=DAILY;UNTIL=20270230", ["UNTIL", "20270230"]),
        ("FREQ=DAILY;UNTIL=tomorrow", ["UNTIL", "TOMORROW"]),
        ("RRULE:FREQ=DAILY\nRRULE:FREQ=WEEKLY", ["RRULE"]),
        ("DTSTART;TZID=America/New_York:20270401T090000\nRRULE:FREQ=DAILY", ["TZID", "Europe/Riga"]),
        ("FREQ=D\u00c4ILY", ["character"]),
        ("FREQ=DAILY;BYHOUR=" + ",".join(map(str, range(24))) + ";BYMINUTE=" + ",".join(map(str, range(60)))
         + ";BYSECOND=0,30", ["2880", "1440"]),
    ],
)  # fmt: skip
def test_a_bad_rule_is_refused_with_part_value_and_range(rule: str, said: list[str]) -> None:
    with pytest.raises(InvalidTrigger) as refusal:
        rrule(rule)
    assert [part for part in ["rrule", *said] if part not in refusal.value.message] == []


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=SECONDLY;BYHOUR=3;BYMONTH=4;BYMONTHDAY=31",
        "FREQ=SECONDLY;INTERVAL=60;BYSECOND=31",
        "FREQ=HOURLY;INTERVAL=24;BYHOUR=5",
        "FREQ=MINUTELY;INTERVAL=1440;BYHOUR=5",
        "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=6",
        "FREQ=YEARLY;BYWEEKNO=53;BYMONTH=6",
        "FREQ=YEARLY;INTERVAL=100",
        "DTSTART:20270101T000000\nRRULE:FREQ=YEARLY;INTERVAL=4;BYMONTH=2;BYMONTHDAY=29",
        "DTSTART:20200101T000000\nRRULE:FREQ=DAILY;COUNT=3",
        "FREQ=DAILY;UNTIL=20270101",
    ],
)
def test_a_rule_that_never_fires_is_refused(rule: str) -> None:
    with pytest.raises(TriggerNeverFires, match="never fires"):
        rrule(rule)


@settings(max_examples=50)
@given(st.one_of(
    st.text(alphabet="FREQ=DAILYWKMONTHSUBINV;,:-0123456789TZ\n\\n\u00e9", max_size=60),
    rules().flatmap(lambda rule: st.text(alphabet="0123456789,;=-", max_size=8).map(lambda tail: rule + tail)),
))  # fmt: skip
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    try:
        trigger = rrule(text)
    except InvalidTrigger as refusal:
        assert "rrule" in refusal.message  # noqa: PT017 - most texts are refused, some are not
    else:
        assert next_fire_at(trigger, after=NOW) is not None
