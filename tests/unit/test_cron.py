"""Cron: read as Debian reads it, and fired as a daemon that watches the wall clock would fire it."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptyoself.domain.cron import parse_cron
from promptyoself.domain.errors import InvalidTrigger, TriggerNeverFires
from promptyoself.domain.triggers import (
    Trigger,
    TriggerKind,
    count_fires,
    fire_times,
    last_fire_at,
    make_trigger,
    next_fire_at,
)
from tests.unit.wall_oracle import CHANGES, fires, minutes_around

NOW = datetime(2027, 3, 24, 10, 0, tzinfo=UTC)
SAMPLES = int(os.environ.get("PROMPTYOSELF_ORACLE_EXAMPLES", "30"))
MICROSECOND = timedelta(microseconds=1)

EXPRESSIONS = [
    "* * * * *",
    "*/15 * * * *",
    "*/45 * * * *",
    "30 * * * *",
    "0 */2 * * *",
    "*/20 2 * * *",
    "0,30 2 * * *",
    "30 2 * * *",
    "15 0 * * *",
    "0 0 * * *",
    "59 23 * * *",
    "0 1-3 * * *",
    "5,10 0-4 * * mon-fri",
    "30 3 28 * sun",
    "0 3 */2 * sun",
    "1 0 30 12 *",
    "0 9 * mar,oct fri-7",
    "7/20 1,2 * * *",
    "5-5/2 2-2/3 * * *",  # a step in a range of one value
]


def naive(year: int) -> datetime:
    return datetime(year, 1, 1)  # noqa: DTZ001 - Hypothesis adds the zone


def cron(expression: str, timezone: str = "UTC") -> Trigger:
    return Trigger(kind=TriggerKind.CRON, expression=expression, timezone=timezone, anchor_at=NOW)


def walls(expression: str, timezone: str, day: str) -> list[str]:
    """The fire times of one local day, as its clock shows them, with offsets."""
    here = ZoneInfo(timezone)
    begin = datetime.fromisoformat(f"{day}T00:00").replace(tzinfo=here)
    end = (begin + timedelta(days=1)).astimezone(UTC)
    found = fire_times(cron(expression, timezone), after=begin.astimezone(UTC) - MICROSECOND, until=end - MICROSECOND)
    return [fire_at.astimezone(here).isoformat(timespec="minutes")[11:] for fire_at in found]


# -- against the oracle -------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", CHANGES, ids=" ".join)
def test_known_expressions_fire_as_a_daemon_watching_the_clock_would(change: tuple[str, str]) -> None:
    minutes = minutes_around(*change)
    for expression in EXPRESSIONS:
        expected = fires(expression, minutes)
        found = fire_times(cron(expression, change[0]), after=minutes[0][0] - MICROSECOND, until=minutes[-1][0])
        assert list(found) == expected, expression


def terms(low: int, high: int) -> st.SearchStrategy[str]:
    values = st.integers(low, high)
    steps = st.integers(1, high + 3)
    spans = st.tuples(values, values).map(lambda pair: f"{min(pair)}-{max(pair)}")
    return st.one_of(
        values.map(str),
        spans,
        st.tuples(spans, steps).map(lambda pair: f"{pair[0]}/{pair[1]}"),
        steps.map(lambda step: f"*/{step}"),
        st.tuples(values, steps).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    )


def fields(low: int, high: int) -> st.SearchStrategy[str]:
    return st.one_of(st.just("*"), st.lists(terms(low, high), min_size=1, max_size=3).map(",".join))


days_and_months = st.one_of(
    st.just(("*", "*", "*")),
    st.tuples(fields(1, 31), st.just("*"), fields(0, 7)),
    st.tuples(fields(1, 31), fields(1, 12), fields(0, 7)),
)
hours = st.one_of(fields(0, 23), fields(0, 4), st.sampled_from(["0", "1", "2", "3", "23"]))
expressions = st.tuples(fields(0, 59), hours, days_and_months).map(lambda parts: " ".join([*parts[:2], *parts[2]]))


@settings(max_examples=SAMPLES)
@given(expressions, st.sampled_from(CHANGES), st.data())
def test_any_expression_fires_as_a_daemon_watching_the_clock_would(
    expression: str, change: tuple[str, str], data: st.DataObject
) -> None:
    minutes = minutes_around(*change)
    begin, end = minutes[0][0], minutes[-1][0]
    expected = fires(expression, minutes)
    try:
        parse_cron(expression)
    except TriggerNeverFires:
        assert expected == []
        return
    trigger = cron(expression, change[0])
    assert list(fire_times(trigger, after=begin - MICROSECOND, until=end)) == expected

    # From anywhere within, in gaps and second passes too: mostly from within a day of the change.
    start = st.one_of(st.timedeltas(timedelta(days=3), timedelta(days=5)), st.timedeltas(timedelta(0), end - begin))
    after = begin + data.draw(start)
    later = [fire_at for fire_at in expected if fire_at > after]
    earlier = [fire_at for fire_at in expected if fire_at <= after]
    assert next(fire_times(trigger, after=after, until=end), None) == (later[0] if later else None)
    assert last_fire_at(trigger, not_before=begin, not_after=after) == (earlier[-1] if earlier else None)
    assert count_fires(trigger, after=after, until=end, limit=100_000) == len(later)


@given(
    expressions,
    st.sampled_from(sorted({zone for zone, _ in CHANGES})),
    st.datetimes(naive(1971), naive(2100), timezones=st.just(UTC)),
)
def test_every_answer_is_later_than_after_and_nothing_lies_between(
    expression: str, timezone: str, after: datetime
) -> None:
    try:
        fire_at = next_fire_at(cron(expression, timezone), after=after)
    except TriggerNeverFires:
        return
    if fire_at is None:
        return
    assert fire_at > after
    assert next_fire_at(cron(expression, timezone), after=fire_at - MICROSECOND) == fire_at
    middle = after + (fire_at - after) / 2
    assert next_fire_at(cron(expression, timezone), after=middle) == fire_at


# -- named days ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "timezone", "day", "expected"),
    [
        # 03:00 to 04:00 does not exist
        ("30 3 * * *", "Europe/Riga", "2027-03-28", ["04:00+03:00"]),
        ("0,30 3 * * *", "Europe/Riga", "2027-03-28", ["04:00+03:00"]),
        ("0 3,4 * * *", "Europe/Riga", "2027-03-28", ["04:00+03:00"]),
        ("*/30 3 * * *", "Europe/Riga", "2027-03-28", []),
        ("30 2-4 * * *", "Europe/Riga", "2027-03-28", ["02:30+02:00", "04:00+03:00", "04:30+03:00"]),
        # 03:00 to 04:00 comes twice
        ("30 3 * * *", "Europe/Riga", "2027-10-31", ["03:30+03:00"]),
        ("30 2-4 * * *", "Europe/Riga", "2027-10-31", ["02:30+03:00", "03:30+03:00", "04:30+02:00"]),
        ("*/30 3 * * *", "Europe/Riga", "2027-10-31", ["03:00+03:00", "03:30+03:00", "03:00+02:00", "03:30+02:00"]),
        ("0 */3 * * *", "America/New_York", "2027-11-07", [
            "00:00-04:00", "03:00-05:00", "06:00-05:00", "09:00-05:00", "12:00-05:00", "15:00-05:00", "18:00-05:00",
            "21:00-05:00"]),
        ("30 1 * * *", "America/New_York", "2027-11-07", ["01:30-04:00"]),
        ("0 9 * * *", "America/New_York", "2027-03-14", ["09:00-04:00"]),
        # half an hour
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-04", ["02:30+11:00"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2027-04-04", ["01:45+11:00"]),
        # midnight does not exist
        ("0 0 * * *", "America/Sao_Paulo", "2018-11-04", ["01:00-02:00"]),
        # a jump of a day is not made up
        ("0 9 * * *", "Pacific/Apia", "2011-12-29", ["09:00-10:00"]),
        ("0 9 * * *", "Pacific/Apia", "2011-12-31", ["09:00+14:00"]),
        ("0 9 30 12 *", "Pacific/Apia", "2011-12-31", []),
        # six fields follow the same rules
        ("15 30 3 * * *", "Europe/Riga", "2027-03-28", ["04:00+03:00"]),
        ("15 30 3 * * *", "Europe/Riga", "2027-10-31", ["03:30+03:00"]),
    ],
)  # fmt: skip
def test_days_on_which_clocks_change(expression: str, timezone: str, day: str, expected: list[str]) -> None:
    assert walls(expression, timezone, day) == expected


def test_after_in_the_second_pass_of_a_repeated_hour_the_next_day_is_next() -> None:
    second_pass = datetime(2027, 10, 31, 1, 10, tzinfo=UTC)  # 03:10 in Riga, for the second time
    assert next_fire_at(cron("30 3 * * *", "Europe/Riga"), after=second_pass) == datetime(
        2027, 11, 1, 1, 30, tzinfo=UTC
    )


def test_after_in_the_first_pass_a_star_fires_in_the_second_too() -> None:
    first_pass = datetime(2027, 10, 31, 0, 45, tzinfo=UTC)
    assert next_fire_at(cron("30 * * * *", "Europe/Riga"), after=first_pass) == datetime(
        2027, 10, 31, 1, 30, tzinfo=UTC
    )


def test_a_second_pass_is_not_leapt_over_when_the_next_date_is_a_year_away() -> None:
    first_pass = datetime(2027, 10, 31, 0, 45, tzinfo=UTC)  # 03:45 in Riga, for the first time
    yearly = cron("*/30 3 31 10 *", "Europe/Riga")
    assert next_fire_at(yearly, after=first_pass) == datetime(2027, 10, 31, 1, 0, tzinfo=UTC)
    from_july = fire_times(yearly, after=datetime(2027, 7, 1, tzinfo=UTC))
    assert [f"{next(from_july):%m-%d %H:%M}" for _ in range(4)] == [
        "10-31 00:00", "10-31 00:30", "10-31 01:00", "10-31 01:30"
    ]  # fmt: skip


# -- what an expression says --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "dates"),
    [
        ("0 0 13 * fri", ["2027-03-26", "2027-04-02", "2027-04-09", "2027-04-13"]),  # OR of days
        ("0 0 */13 * fri", ["2027-05-14", "2027-08-27", "2027-10-01", "2028-01-14"]),  # AND: a star is first
        ("0 0 13 * */5", ["2027-06-13", "2027-08-13", "2028-02-13", "2028-08-13"]),
        ("0 0 29 2 *", ["2028-02-29", "2032-02-29", "2036-02-29", "2040-02-29"]),
        ("0 0 l * *", ["2027-03-31", "2027-04-30", "2027-05-31", "2027-06-30"]),
        ("0 0 LW * *", ["2027-03-31", "2027-04-30", "2027-05-31", "2027-06-30"]),
        ("0 0 LW 7-10 *", ["2027-07-30", "2027-08-31", "2027-09-30", "2027-10-29"]),
        ("0 0 1W * *", ["2027-04-01", "2027-05-03", "2027-06-01", "2027-07-01"]),  # May 1 is a Saturday
        ("0 0 15W * *", ["2027-04-15", "2027-05-14", "2027-06-15", "2027-07-15"]),
        ("0 0 31w * *", ["2027-03-31", "2027-05-31", "2027-07-30", "2027-08-31"]),  # not in months of 30 days
        ("0 0 30W 5 *", ["2027-05-31", "2028-05-30", "2029-05-30", "2030-05-30"]),
        ("0 0 31W 10 *", ["2027-10-29", "2028-10-31", "2029-10-31", "2030-10-31"]),  # a Sunday: never in November
        ("0 0 1W,15W * *", ["2027-04-01", "2027-04-15", "2027-05-03", "2027-05-14"]),
        ("0 0 L,15 * *", ["2027-03-31", "2027-04-15", "2027-04-30", "2027-05-15"]),
        ("0 0 15W * fri", ["2027-03-26", "2027-04-02", "2027-04-09", "2027-04-15"]),  # OR of days
        ("0 0 ? * mon", ["2027-03-29", "2027-04-05", "2027-04-12", "2027-04-19"]),
        ("0 0 0 13 * ?", ["2027-04-13", "2027-05-13", "2027-06-13", "2027-07-13"]),
        ("0 0 * * 5#2", ["2027-04-09", "2027-05-14", "2027-06-11", "2027-07-09"]),
        ("0 0 * * friL", ["2027-03-26", "2027-04-30", "2027-05-28", "2027-06-25"]),
        ("0 0 * * sun#5", ["2027-05-30", "2027-08-29", "2027-10-31", "2028-01-30"]),
        ("0 0 * * 7", ["2027-03-28", "2027-04-04", "2027-04-11", "2027-04-18"]),
        ("0 0 * * sat-sun", ["2027-03-27", "2027-03-28", "2027-04-03", "2027-04-04"]),
        ("0 0 1 JAN,jul *", ["2027-07-01", "2028-01-01", "2028-07-01", "2029-01-01"]),
        ("@monthly", ["2027-04-01", "2027-05-01", "2027-06-01", "2027-07-01"]),
        ("@Yearly", ["2028-01-01", "2029-01-01", "2030-01-01", "2031-01-01"]),
        ("@annually", ["2028-01-01", "2029-01-01", "2030-01-01", "2031-01-01"]),
        ("@weekly", ["2027-03-28", "2027-04-04", "2027-04-11", "2027-04-18"]),
        ("@daily", ["2027-03-25", "2027-03-26", "2027-03-27", "2027-03-28"]),
        ("@midnight", ["2027-03-25", "2027-03-26", "2027-03-27", "2027-03-28"]),
    ],
)
def test_dates_of_day_expressions(expression: str, dates: list[str]) -> None:
    found = fire_times(cron(expression), after=NOW)
    assert [next(found).isoformat() for _ in dates] == [f"{date}T00:00:00+00:00" for date in dates]


def test_hourly_follows_the_clock_as_its_star_says() -> None:
    assert parse_cron("@hourly").follows_clock


def test_seconds_come_first_in_six_fields() -> None:
    found = fire_times(cron("*/20 5 9 * * *"), after=NOW)
    assert [next(found).isoformat()[11:19] for _ in range(4)] == ["09:05:00", "09:05:20", "09:05:40", "09:05:00"]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("61 * * * *", ["cron", "minute", "61", "0-59"]),
        ("* 24 * * *", ["cron", "hour", "24", "0-23"]),
        ("* * 0 * *", ["cron", "day-of-month", "0", "1-31"]),
        ("* * 32 * *", ["cron", "day-of-month", "32", "1-31"]),
        ("* * * 13 *", ["cron", "month", "13", "1-12", "jan-dec"]),
        ("* * * * 8", ["cron", "day-of-week", "8", "0-7", "sun-sat"]),
        ("* * * * funday", ["cron", "day-of-week", "funday", "0-7", "sun-sat"]),
        ("60 * * * * *", ["cron", "second", "60", "0-59"]),
        ("*/0 * * * *", ["cron", "minute", "step", "0"]),
        ("*/x * * * *", ["cron", "minute", "step", "x"]),
        ("5-70 * * * *", ["cron", "minute", "70", "0-59"]),
        ("30-10 * * * *", ["cron", "minute", "30-10", "backwards"]),
        ("1,,2 * * * *", ["cron", "minute", "0-59"]),
        ("* * * * 5#6", ["cron", "day-of-week", "5#6", "1-5"]),
        ("* * 5#2 * *", ["cron", "day-of-month", "5#2"]),
        ("L * * * *", ["cron", "minute", "L"]),
        ("* * * *", ["cron", "4 fields"]),
        ("", ["cron", "0 fields"]),
        ("* * * * * * * 1", ["cron", "8 fields"]),
        ("0 9 * * mon, fri", ["cron", "mon,"]),
        ("0 9 * * monday", ["cron", "day-of-week", "monday", "write mon"]),
        ("* 22-2 * * *", ["cron", "hour", "22-2", "backwards", "write 22-23,0-2 instead", "0-23"]),
        ("* 23-2 * * *", ["write 23,0-2 instead"]),
        ("* 22-3/2 * * *", ["write 22,0,2 instead"]),
        ("* * * * sat-mon", ["cron", "day-of-week", "write sat,sun,mon instead"]),
        ("* * * * 5-1", ["write 5-7,1 instead"]),
        ("* * * * 7-2", ["write 0-2 instead"]),
        ("* * * * 6-0", ["write 6-7 instead"]),
        ("* * * nov-feb *", ["cron", "month", "nov-feb", "write nov,dec,jan,feb instead"]),
        ("* * 28-3 * *", ["write 28-31,1-3 instead"]),
        ("* ? * * *", ["cron", "hour", "?", "day-of-month or day-of-week"]),
        ("* * ?/2 * *", ["cron", "day-of-month", "?/2", "stands alone"]),
        ("* * 32W * *", ["cron", "day-of-month", "32", "1-31"]),
        ("* * W * *", ["cron", "day-of-month", "'W'", "nearest"]),
        ("* * 1-5W * *", ["cron", "day-of-month", "1-5W"]),
        ("* * L-3 * *", ["cron", "day-of-month", "L-3", "two ways"]),
        ("* * * * L", ["cron", "day-of-week", "friL"]),
        ("* * * * 5W", ["cron", "day-of-week", "5W"]),
        ("-5 * * * *", ["cron", "minute", "-5"]),
        ("1.5 * * * *", ["cron", "minute", "1.5"]),
        ("\u0665 * * * *", ["cron", "character"]),
        ("0 9 * * fr\u0131", ["cron", "character"]),
        ("99999999999999999999 * * * *", ["cron", "minute"]),
        ("*/99999999999999999999 * * * *", ["cron", "minute", "step"]),
        ("@reboot", ["cron", "@reboot", "not a time"]),
        ("@fortnightly", ["cron", "@fortnightly", "@daily"]),
        ("@every 5m", ["cron", "@every 5m"]),
        ("CRON_TZ=UTC 0 9 * * *", ["cron", "timezone"]),
    ],
)
def test_a_bad_expression_is_refused_with_field_value_and_range(expression: str, said: list[str]) -> None:
    with pytest.raises(InvalidTrigger) as refusal:
        make_trigger(TriggerKind.CRON, expression, timezone="UTC", now=NOW)
    assert [part for part in said if part not in refusal.value.message] == []
    assert refusal.value.hint


@pytest.mark.parametrize(
    ("expression", "said", "instead"),
    [
        ("cron(0 12 * * ? *)", "EventBridge", "write '0 12 * * *'"),
        ("cron(0 12 ? * 2-6 *)", "EventBridge", "write '0 12 * * mon-fri'"),
        ("CRON(15 10 ? * 6L 2027)", "EventBridge", "write '15 10 * * friL', and bound it to 2027"),
        ("cron(0 9 * * mon)", "EventBridge", "write '0 9 * * mon'"),
        ("cron(nonsense)", "EventBridge", "five fields"),
        ("0 12 * * ? *", "EventBridge", "write '0 12 * * *'"),
        ("0 12 ? * 7 *", "EventBridge", "write '0 12 * * sat'"),
        ("0 12 1 1 * 2027", "EventBridge", "write '0 12 1 1 *', and bound it to 2027"),
        ("0 0 12 * * ? 2027-2029", "Quartz", "write '0 0 12 * * *', and bound it to 2027-2029"),
        ("0 15 10 ? * 6#3 *", "Quartz", "write '0 15 10 * * fri#3'"),
        ("0 0 12 ? * L *", "Quartz", "write '0 0 12 * * sat'"),
        ("0 0 12 ? * 2/2 2027", "Quartz", "write '0 0 12 * * mon-sat/2'"),
        ("rate(5 minutes)", "EventBridge", "--every 5m"),
        ("rate(1 hour)", "EventBridge", "--every 1h"),
    ],
)
def test_another_dialect_is_refused_with_what_to_write_here(expression: str, said: str, instead: str) -> None:
    with pytest.raises(InvalidTrigger, match="cron") as refusal:
        parse_cron(expression)
    assert said in refusal.value.message
    assert instead in (refusal.value.hint or "")


@pytest.mark.parametrize(
    "expression", ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 */31 * mon#5", "0 0 31 2 */2", "0 0 31W 2,4 *"]
)
def test_an_expression_that_can_never_fire_is_refused(expression: str) -> None:
    with pytest.raises(TriggerNeverFires, match="never fires"):
        make_trigger(TriggerKind.CRON, expression, timezone="Europe/Riga", now=NOW)


@settings(max_examples=100)
@given(st.text(alphabet="0123456789*,-/#LWlw@ monjaevrytb?\t\n%\u00e9", max_size=60))
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    try:
        trigger = make_trigger(TriggerKind.CRON, text, timezone="Europe/Riga", now=NOW)
    except InvalidTrigger as refusal:
        assert "cron" in refusal.message  # noqa: PT017 - most texts are refused, some are not
    else:
        assert trigger.expression == text
        assert next_fire_at(trigger, after=NOW) is not None
