"""Times in plain words: what must be understood, what must be refused, and that nothing is silently wrong.

Expected values are worked out by hand for Wednesday, 2026-11-25, 10:00:30.5 in Europe/Riga (UTC+2).
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from promptyoself.application.rules import Rule, read_every, read_rule, read_time
from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput, InvalidInterval, InvalidTrigger, PromptyoselfError
from promptyoself.domain.intervals import parse_duration
from promptyoself.domain.plain.moments import SHAPES as MOMENTS
from promptyoself.domain.plain.recurrences import SHAPES as RULES
from promptyoself.domain.plain.vocabulary import KNOWN
from promptyoself.domain.triggers import fire_times, make_trigger

NOW = datetime(2026, 11, 25, 8, 0, 30, 500_000, tzinfo=UTC)
RIGA = "Europe/Riga"
HOUR = timedelta(hours=1)


def time(phrase: str, *, timezone: str = RIGA, now: datetime = NOW) -> Rule:
    return read_time(phrase, timezone=timezone, now=now)


def every(phrase: str, *, timezone: str = RIGA, now: datetime = NOW) -> Rule:
    return read_every(phrase, timezone=timezone, now=now)


INSTANTS = {
    "in 45 minutes": "2026-11-25T10:45:31+02:00",
    "In  45 MINUTES.": "2026-11-25T10:45:31+02:00",
    "in 1h30m": "2026-11-25T11:30:31+02:00",
    "in 1 hour and 30 minutes": "2026-11-25T11:30:31+02:00",
    "in an hour and a half": "2026-11-25T11:30:31+02:00",
    "in half an hour": "2026-11-25T10:30:31+02:00",
    "in a minute": "2026-11-25T10:01:31+02:00",
    "90 seconds from now": "2026-11-25T10:02:01+02:00",
    "in a week": "2026-12-02T10:00:31+02:00",
    "tomorrow 9am": "2026-11-26T09:00",
    "tomorrow at 09:00": "2026-11-26T09:00",
    "Tomorrow, at 9 a.m.": "2026-11-26T09:00",
    "tomorrow\u00a0at\u20099\u202fam": "2026-11-26T09:00",
    "9am tomorrow": "2026-11-26T09:00",
    "tomorrow at 9 o'clock in the morning": "2026-11-26T09:00",
    "tomorrow at 9:30:15": "2026-11-26T09:30:15",
    "tomorrow morning at 9": "2026-11-26T09:00",
    "tomorrow at 12:30am": "2026-11-26T00:30",
    "tomorrow at 0:00": "2026-11-26T00:00",
    "today at 18:30": "2026-11-25T18:30",
    "today at 23:59": "2026-11-25T23:59",
    "tonight at 8": "2026-11-25T20:00",
    "tonight at 8:30": "2026-11-25T20:30",
    "tonight at midnight": "2026-11-26T00:00",
    "this evening at 7": "2026-11-25T19:00",
    "at noon": "2026-11-25T12:00",
    "12pm": "2026-11-25T12:00",
    "midnight": "2026-11-26T00:00",
    "9am": "2026-11-26T09:00",
    "10:01": "2026-11-25T10:01",
    "friday at 9am": "2026-11-27T09:00",
    "next friday 15:00": "2026-11-27T15:00",
    "next wednesday at 9am": "2026-12-02T09:00",
    "this friday at 9am": "2026-11-27T09:00",
    "wednesday at 9:00": "2026-12-02T09:00",
    "on sunday at 23:59": "2026-11-29T23:59",
    "on monday at 9:00": "2026-11-30T09:00",
    "friday 27 november at 9am": "2026-11-27T09:00",
    "friday evening at 7": "2026-11-27T19:00",
    "5 december 2026 at 3pm": "2026-12-05T15:00",
    "dec 5 at 15:00": "2026-12-05T15:00",
    "December 5th, 2026, 3 PM": "2026-12-05T15:00",
    "the 5th of december at 3pm": "2026-12-05T15:00",
    "31 december at 23:59": "2026-12-31T23:59",
    "january 1 at 0:00": "2027-01-01T00:00",
    "25 november at 9am": "2027-11-25T09:00",
    "2026-12-05 3pm": "2026-12-05T15:00",
    "13/12/2026 at 9am": "2026-12-13T09:00",
    "the 15th at 10:00": "2026-12-15T10:00",
    "the 25th at 11am": "2026-11-25T11:00",
    "the 25th at 9am": "2026-12-25T09:00",
    "in 3 days at 9am": "2026-11-28T09:00",
    "a week from friday at 9am": "2026-12-04T09:00",
    "2 weeks from tomorrow at 9am": "2026-12-10T09:00",
    "the day after tomorrow at noon": "2026-11-27T12:00",
    "half past nine am": "2026-11-26T09:30",
    "tomorrow at half past 9 pm": "2026-11-26T21:30",
    "quarter to nine in the morning": "2026-11-26T08:45",
    "tomorrow at quarter to 1pm": "2026-11-26T12:45",
    "tomorrow at quarter to 12pm": "2026-11-26T11:45",
    "twenty past 9 in the evening": "2026-11-25T21:20",
    "tomorrow at nine in the morning": "2026-11-26T09:00",
    "nine am": "2026-11-26T09:00",
    "at 17h30": "2026-11-25T17:30",
    "17:30 hrs": "2026-11-25T17:30",
    "tomorrow at 0900 hours": "2026-11-26T09:00",
    "tomorrow 5.30 p.m.": "2026-11-26T17:30",
    "5 pm sharp": "2026-11-25T17:00",
    "tomorrow @ 9am please": "2026-11-26T09:00",
    "12 noon tomorrow": "2026-11-26T12:00",
    "24. December 2026 18:00": "2026-12-24T18:00",
    "friday next week 9am": "2026-12-04T09:00",
    "next week on monday at 9am": "2026-11-30T09:00",
    "in 1.5 hours": "2026-11-25T11:30:31+02:00",
    "in 0,75 hours": "2026-11-25T10:45:31+02:00",
    "in 1\u00bd hours": "2026-11-25T11:30:31+02:00",
    "in two and a half hours": "2026-11-25T12:30:31+02:00",
    "in a quarter of an hour": "2026-11-25T10:15:31+02:00",
    "in twenty-five minutes": "2026-11-25T10:25:31+02:00",
    "in 1h30": "2026-11-25T11:30:31+02:00",
    "now + 30 minutes": "2026-11-25T10:30:31+02:00",
}
CRONS = {
    "weekday at 9am": "0 9 * * mon-fri",
    "every weekday at 9am": "0 9 * * mon-fri",
    "weekdays at 9 in the morning": "0 9 * * mon-fri",
    "day at 7:30pm except sunday": "30 19 * * mon-sat",
    "day at 9am except on mondays and fridays": "0 9 * * tue-thu,sat,sun",
    "monday and thursday at 18:30": "30 18 * * mon,thu",
    "mon, wed, fri at 9:00 and 17:00": "0 9,17 * * mon,wed,fri",
    "Tuesdays & Thursdays at 9am": "0 9 * * tue,thu",
    "friday to monday at 22:00": "0 22 * * mon,fri-sun",
    "first monday of every month at 10:00": "0 10 * * mon#1",
    "first and third monday of the month at 9am": "0 9 * * mon#1,mon#3",
    "last friday of the month at 17:00": "0 17 * * friL",
    "last day of the month at 18:00": "0 18 L * *",
    "last weekday of the month at 17:00": "0 17 LW * *",
    "1st and 15th of the month at 9am": "0 9 1,15 * *",
    "month on the 31st at 9am": "0 9 31 * *",
    "first monday of september at 9am": "0 9 * 9 mon#1",
    "hour at :30": "30 * * * *",
    "hour at minute 15": "15 * * * *",
    "15 minutes between 9:00 and 17:00 on weekdays": "*/15 9-16 * * mon-fri",
    "2 hours between 9am and 5pm": "0 9-16/2 * * *",
    "minute between 18:00 and midnight": "* 18-23 * * *",
    "5 minutes on mondays": "*/5 * * * mon",
    "weekend at 11am": "0 11 * * sat,sun",
    "day at noon": "0 12 * * *",
    "day at midnight": "0 0 * * *",
    "daily at 23:59": "59 23 * * *",
    "day at 9am and 5pm": "0 9,17 * * *",
    "evening at 8": "0 20 * * *",
    "year on december 24 at 18:00": "0 18 24 12 *",
    "weekday at 9am in july and august": "0 9 * 7,8 mon-fri",
    "weekday at 9:30:15": "15 30 9 * * mon-fri",
    "every day at half past nine in the morning": "30 9 * * *",
    "every day at quarter to 9am": "45 8 * * *",
    "every day at 17h": "0 17 * * *",
    "everyday at 9am": "0 9 * * *",
    "twice daily at 9am and 5pm": "0 9,17 * * *",
    "three times a day at 9am, 1pm and 5pm": "0 9,13,17 * * *",
    "once a week on monday at 9am": "0 9 * * mon",
    "from monday to friday at 9am": "0 9 * * mon-fri",
    "monday till friday at 9am": "0 9 * * mon-fri",
    "monday thru friday at 9am": "0 9 * * mon-fri",
    "mon wed fri 9am": "0 9 * * mon,wed,fri",
    "every monday wednesday and friday at 9:00am": "0 9 * * mon,wed,fri",
    "on the weekend at 10am": "0 10 * * sat,sun",
    "every day but sunday at 9am": "0 9 * * mon-sat",
    "every day at 9am except for monday": "0 9 * * tue-sun",
    "first monday in september at 9am": "0 9 * 9 mon#1",
    "1st may at 9am": "0 9 1 5 *",
    "annually on december 24 at 18:00": "0 18 24 12 *",
    "every second hour on weekdays": "0 */2 * * mon-fri",
    "every hour from 9am until 5pm": "0 9-16 * * *",
}
INTERVALS = {
    "45 minutes": "45m", "2 hours": "2h", "hour": "1h", "30 seconds": "30s", "half hour": "30m",
    "hour and a half": "1h30m", "quarter of an hour": "15m", "half-hour": "30m", "1.5 hours": "1h30m",
    "every 2nd hour": "2h", "2 hours and 30 minutes": "2h30m", "3 days": "3d",
}  # fmt: skip
_AT_NINE = "BYHOUR=9;BYMINUTE=0;BYSECOND=0"
RRULES = {
    "other monday at 9am": rf"DTSTART:20261130T090000\nRRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;{_AT_NINE}",
    "2 weeks on monday at 9am": rf"DTSTART:20261130T090000\nRRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;{_AT_NINE}",
    "3 days at 9am": rf"DTSTART:20261126T090000\nRRULE:FREQ=DAILY;INTERVAL=3;{_AT_NINE}",
    "2 months on the 1st at 9am": rf"DTSTART:20261201T090000\nRRULE:FREQ=MONTHLY;INTERVAL=2;BYMONTHDAY=1;{_AT_NINE}",
    "first weekday of the month at 9am": f"FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1;{_AT_NINE}",
    "day at 9:00 and 17:30": "FREQ=DAILY;BYHOUR=9,17;BYMINUTE=0,30;BYSECOND=0;BYSETPOS=1,4",
}


@pytest.mark.parametrize("phrase", INSTANTS)
def test_an_instant_in_words_is_the_one_worked_out_by_hand(phrase: str) -> None:
    found = time(phrase)
    assert (found.option, found.expression, found.timezone) == ("--time", INSTANTS[phrase], RIGA)


@pytest.mark.parametrize(("option", "phrases"), [("--cron", CRONS), ("--every", INTERVALS), ("--rrule", RRULES)])
def test_a_rule_in_words_is_the_simplest_exact_rule(option: str, phrases: dict[str, str]) -> None:
    found = {phrase: every(phrase) for phrase in phrases}
    assert {phrase: rule.expression for phrase, rule in found.items()} == phrases
    assert {rule.option for rule in found.values()} == {option}


@pytest.mark.parametrize(("phrase", "walls"), [
    ("day at 9:00 and 17:30", ["11-25 17:30", "11-26 09:00", "11-26 17:30"]),
    ("last friday of the month at 17:00", ["11-27 17:00", "12-25 17:00", "01-29 17:00"]),
    ("first weekday of the month at 9am", ["12-01 09:00", "01-01 09:00", "02-01 09:00"]),
    ("other monday at 9am", ["11-30 09:00", "12-14 09:00", "12-28 09:00"]),
    ("2 hours between 9am and 5pm", ["11-25 11:00", "11-25 13:00", "11-25 15:00"]),
    ("15 minutes between 22:00 and 0:00", ["11-25 22:00", "11-25 22:15", "11-25 22:30"]),
    ("3 months on the last day at 9am", ["11-30 09:00", "02-28 09:00", "05-31 09:00"]),
])  # fmt: skip
def test_a_rule_in_words_fires_when_it_says(phrase: str, walls: list[str]) -> None:
    fires = islice(fires_of(every(phrase)), 3)
    assert [f"{at.astimezone(ZoneInfo(RIGA)):%m-%d %H:%M}" for at in fires] == walls


def test_a_zone_in_the_phrase_is_the_zone_of_the_trigger() -> None:
    found = time("next friday 15:00 Europe/Paris")
    assert (found.expression, found.timezone) == ("2026-11-27T15:00", "Europe/Paris")
    assert time("tomorrow 9am utc").timezone == "UTC"
    assert time("2026-12-05T15:00 europe/PARIS").timezone == "Europe/Paris"
    assert every("weekday at 9am in America/New_York").timezone == "America/New_York"
    # At 11:00 UTC it is the 26th already in Auckland, and at 07:00 UTC still the 24th in Los Angeles.
    assert time("tomorrow 9am Pacific/Auckland", now=NOW + 3 * HOUR).expression == "2026-11-27T09:00"
    assert time("tomorrow 9am America/Los_Angeles", now=NOW - HOUR).expression == "2026-11-25T09:00"


def test_a_zone_that_contradicts_the_one_given_is_refused() -> None:
    with pytest.raises(InvalidTrigger, match="says Europe/Paris, and the timezone given is Europe/Riga"):
        read_time("tomorrow 9am Europe/Paris", timezone=RIGA, now=NOW, is_timezone_given=True)
    assert read_time("tomorrow 9am Europe/Riga", timezone=RIGA, now=NOW, is_timezone_given=True).timezone == RIGA


def test_the_coming_friday_of_this_week_is_named_with_the_one_after() -> None:
    assert "2026-11-27" in time("next friday 15:00").notes[0]
    assert '"2026-12-04 at 15:00"' in time("next friday 15:00").notes[0]
    assert time("2026-12-04 at 15:00").expression == "2026-12-04T15:00"
    assert time("next friday 15:00", now=NOW + timedelta(days=3)).notes == ()  # said on a Saturday


UNCERTAIN = {
    "03/04": "more than one way",
    "03/04/2027 at 9am": "more than one way",
    "tomorrow at 27:00": "hours go from 0 to 23",
    "tomorrow at 24:00": "hours go from 0 to 23",
    "tomorrow at 9:75": "from 0 to 59",
    "every so often": "'so' is not understood",
    "tomorow 9am": "'tomorow' is not understood",
    "wensday at 9:00": "'wensday' is not understood",
    "friday at 9": "morning or evening",
    "tomorrow at 12": "morning or evening",
    "tonight at 2": "not certainly in the night",
    "tonight at 9am": "not in the night",
    "in the morning at 3pm": "not in the morning",
    "tomorrow at midnight": "its begin or its end",
    "tomorrow 12am": "its begin or its end",
    "monday morning": "no time of day",
    "tomorrow": "no time of day",
    "next week": "names no day",
    "end of month": "names no time",
    "in 0 minutes": "from 1 second",
    "in -5 minutes": "not negative",
    "in 5": "no unit",
    "in a month": "vary in length",
    "2 hours ago": "past",
    "45 minutes": "begins with 'in'",
    "13pm": "from 1 to 12",
    "0am": "from 1 to 12",
    "monday at 9 or 10": "a choice",
    "tomorrow or friday at 9am": "a choice",
    "tomorrow friday at 9am": "is a thursday, not a friday",
    "tomorrow today at 9am": "two days",
    "tomorrow 9am 10am": "two times of day",
    "friday 30 november at 9am": "is a monday, not a friday",
    "wednesday at 11:00": "whether today or the next wednesday",
    "a week from wednesday at 9am": "from which wednesday",
    "31 november at 9am": "from 1 to 30",
    "the 31st at 9am": "its last day is 30",
    "feb 29 at 9am": "not every year",
    "today at 9am": "not in the future",
    "24 december 2025 at 9am": "not in the future",
    "tomorrow 9am EST": "not one zone",
    "tomorrow 9am IST": "Asia/Kolkata or Europe/Dublin or Asia/Jerusalem",
    "tomorrow 9am Riga": "'riga' is not understood",
    "every weekday at 9am": "recurs",
    "tomorrow 9am +02:00": "stands in ISO 8601",
    "tomorrow 9am UTC+2": "stands in ISO 8601",
    "2 to 3pm": "not understood at this place",
    "5 to 10pm": "not understood at this place",
    "half past nine": "morning or evening",
    "half nine": "half an hour before it to others",
    "in 1.3 hours": "not understood",
    "sunday next week at 9am": "on Monday to some and on Sunday to others",
    "last friday of november at 9am": "not understood at this place",
    "now": "run-now",
    "PT30M": "begins with 'in'",
    "in 2 hours in the evening": "contradict",
    "9.30 tomorrow": "not understood at this place",
}
UNCERTAIN_RULES = {
    "every so often": "'so' is not understood",
    "twice a day": "does not say when",
    "3 times a day": "not when",
    "biweekly": "some",
    "bi-monthly": "some",
    "fortnightly": "which day of the week",
    "every month": "which day of the month",
    "every year": "which day of the year",
    "every day": "no time of day",
    "other day": "no time of day",
    "every monday morning": "no time of day",
    "every 9am": "on which days",
    "every day at 25pm": "from 1 to 12",
    "day at 9": "morning or evening",
    "monday at midnight": "begin of the day or its end",
    "every second monday": "counts in the month or from one to the next",
    "every last day": "counts in the month",
    "every 31st at 9am": "counts in the month",
    "other monday and friday at 9am": "several days",
    "7 minutes on mondays": "do not come out even",
    "5 hours on weekdays": "do not come out even",
    "15 minutes between 9:30 and 17:00": "not on the hour",
    "15 minutes between 9 and 17": "morning or evening",
    "15 minutes between 22:00 and 6:00 on weekdays": "past midnight",
    "every 5 minutes at 9am": "contradict",
    "day on monday at 9am": "contradict",
    "sunday except sunday at 9am": "no day is left",
    "monday and the 1st of the month at 9am": "not understood|do not go together",
    "15th of the month at 9:00 and 17:30": "one rule cannot hold",
    "monday at 9am and friday at 5pm": "not understood at this place",
    "monday or tuesday at 9am": "a choice",
    "december 24 in july at 9am": "its month already",
    "32nd of the month at 9am": "from 1st to 31st",
    "quarter": "quarter",
    "day at 9am until 2027-01-01": "--end-at",
    "day at 9am starting monday": "--start-at",
    "tomorrow 9am": "is one instant",
    "weekday at 9am EST": "not one zone",
    "every wensday at 9am": "'wensday' is not understood",
    "hour at :75": "from 0 to 59",
    "day at 9am for 3 days": "--end-at",
    "twice a day at 9am": "does not say when",
    "once a week on monday and friday at 9am": "does not say when",
    "2nd week on monday at 9am": "not understood at this place",
    "every second day at 9am": "counts in the month",
    "day at 9am except holidays": "--skip-on",
    "5 to 10pm every day": "not understood at this place",
    "monday at 9am tuesday at 10am": "given twice",
}


@pytest.mark.parametrize("phrase", UNCERTAIN)
def test_an_instant_that_is_not_certain_is_refused_with_forms_that_are_understood(phrase: str) -> None:
    with pytest.raises(InvalidTrigger, match=UNCERTAIN[phrase]) as refused:
        time(phrase)
    check_forms(refused.value)


@pytest.mark.parametrize("phrase", UNCERTAIN_RULES)
def test_a_rule_that_is_not_certain_is_refused_with_forms_that_are_understood(phrase: str) -> None:
    with pytest.raises(InvalidInterval, match=UNCERTAIN_RULES[phrase]) as refused:
        every(phrase)
    assert "interval" in refused.value.message
    check_forms(refused.value, is_rule=True)


def check_forms(refused: InvalidInput, *, is_rule: bool = False) -> None:
    assert refused.hint
    forms = re.findall('"([^"]+)"', refused.hint)
    assert 1 <= len(forms) <= limits.SUGGESTIONS_MAX
    if "--every" in refused.hint or "--time" in refused.hint:
        is_rule = "--every" in refused.hint
    for form in forms:
        _ = every(form) if is_rule else time(form)


@pytest.mark.parametrize(("phrase", "form"), [
    ("03/04 at 9am", "4 march 2027 at 9am"),
    ("03/04 at 9am", "3 april 2027 at 9am"),
    ("tomorrow at 27:00", "tomorrow at 23:00"),
    ("tomorow 9am", "tomorrow 9am"),
    ("wensday", "wednesday at 9am"),
    ("friday at 9", "friday at 9am"),
    ("friday at 9", "friday at 9pm"),
    ("tomorrow 0930", "tomorrow 09:30"),
    ("9.30 tomorrow", "9:30 tomorrow"),
    ("half past nine", "9:30am"),
    ("tomorrow half past nine", "tomorrow 9:30pm"),
    ("half nine", "8:30am"),
    ("tomorrow 530pm", "tomorrow 5:30pm"),
    ("tomorrow at 24:00", "tomorrow at 0:00"),
    ("friday EOD", "friday 17:00"),
    ("end of day", "2026-11-25 at 18:00"),
    ("christmas eve at 6pm", "24 december at 6pm"),
    ("in a couple of hours", "in 2 hours"),
    ("this afternoon", "this afternoon at 3pm"),
    ("PT30M", "in 30m"),
    ("sunday next week at 3pm", "2026-11-29 at 3pm"),
    ("sunday next week at 3pm", "2026-12-06 at 3pm"),
    ("tomorrow 9am riga", "tomorrow 9am Europe/Riga"),
    ("tomorrow at 9 europe/paris", "tomorrow at 9am europe/paris"),
    ("monday at 9 or 10", "monday at 9am"),
])  # fmt: skip
def test_the_nearest_forms_are_worked_out_from_what_was_said(phrase: str, form: str) -> None:
    with pytest.raises(InvalidTrigger) as refused:
        time(phrase)
    assert f'"{form}"' in (refused.value.hint or "")


@pytest.mark.parametrize(("phrase", "form"), [
    ("every second monday", "every other monday at 9am"),
    ("every second monday", "every second monday of the month at 9am"),
    ("7 minutes on mondays", "6 minutes on mondays"),
    ("day at 9am until 2027-01-01", "day at 9am"),
    ("twice a day", "12 hours"),
    ("every wensday at 9am", "every wednesday at 9am"),
    ("every day at half past nine", "every day at 9:30pm"),
    ("every night at 2am", "every day at 2am"),
    ("every friday afternoon", "every friday afternoon at 3pm"),
    ("every hour at 15", "every hour at :15"),
    ("every working day at 9am", "every weekday at 9am"),
    ("last business day of the month at 17:00", "last weekday of the month at 17:00"),
    ("mo-fr 9:00", "mon-fri 9:00"),
    ("every 5", "every 5 minutes"),
    ("every monday except holidays at 9am", "every monday at 9am"),
])  # fmt: skip
def test_the_nearest_rules_are_worked_out_from_what_was_said(phrase: str, form: str) -> None:
    with pytest.raises(InvalidInterval) as refused:
        every(phrase)
    assert f'"{form}"' in (refused.value.hint or "")


@pytest.mark.parametrize("phrase", [
    "yesterday at 9am", "the last friday of november at 9am", "last friday at 9am", "friday week at 9am", "3 to 5pm",
])  # fmt: skip
def test_no_form_is_offered_that_only_drops_a_word_with_a_meaning(phrase: str) -> None:
    with pytest.raises(InvalidTrigger) as refused:
        time(phrase)
    offered = set(re.findall('"([^"]*)"', refused.value.hint or ""))
    assert offered <= set(MOMENTS)


def test_every_shape_offered_is_understood() -> None:
    assert all(time(shape).is_phrase for shape in MOMENTS)
    assert all(every(shape).expression for shape in RULES)


# -- clock changes: in Europe/Riga 03:00 to 04:00 is skipped on 2027-03-28 and comes twice on 2027-10-31 -------------


def test_next_week_said_on_a_sunday_is_refused_unless_both_kinds_of_week_agree() -> None:
    sunday = datetime(2026, 11, 29, 10, tzinfo=UTC)
    assert time("next week sunday at 9am", now=sunday).expression == "2026-12-06T09:00"
    with pytest.raises(InvalidTrigger, match="on Sunday to others") as refused:
        time("monday next week at 3pm", now=sunday)
    assert refused.value.hint == 'write "2026-11-30 at 3pm" or "2026-12-07 at 3pm"'


def test_a_time_that_the_clock_skips_is_refused_with_the_instant_after() -> None:
    now = datetime(2027, 3, 27, 10, tzinfo=UTC)
    with pytest.raises(InvalidTrigger, match=r"2027-03-28 03:30 does not exist in Europe/Riga") as refused:
        time("tomorrow at 3:30am", now=now)
    assert '"2027-03-28T04:00"' in (refused.value.hint or "")
    assert time("tomorrow at 4am", now=now).expression == "2027-03-28T04:00"


def test_a_time_that_comes_twice_is_refused_with_both() -> None:
    with pytest.raises(InvalidTrigger, match="comes twice") as refused:
        time("tomorrow at 3:30am", now=datetime(2027, 10, 30, 10, tzinfo=UTC))
    assert '"2027-10-31T03:30:00+03:00" or "2027-10-31T03:30:00+02:00"' in (refused.value.hint or "")


def test_days_from_now_over_a_clock_change_are_refused_and_hours_are_not() -> None:
    now = datetime(2027, 3, 27, 10, tzinfo=UTC)
    with pytest.raises(InvalidTrigger, match="clocks in Europe/Riga change"):
        time("in 1 day", now=now)
    assert time("in 24 hours", now=now).expression == "2027-03-28T13:00:00+03:00"
    assert time("in 1 day at 12:00", now=now).expression == "2027-03-28T12:00"


def test_the_last_day_of_the_year_leads_into_the_next() -> None:
    now = datetime(2026, 12, 31, 21, 58, tzinfo=UTC)  # 23:58 in Riga
    assert time("tomorrow at 0:30", now=now).expression == "2027-01-01T00:30"
    assert time("at 23:59", now=now).expression == "2026-12-31T23:59"
    assert time("31 december at 23:59", now=now).expression == "2026-12-31T23:59"
    assert time("the 1st at 9am", now=now).expression == "2027-01-01T09:00"
    assert time("next friday at 9am", now=now).expression == "2027-01-01T09:00"  # a Thursday


# -- what is shown can be typed back; nothing is silently wrong -------------------------------------------------------


def fires_of(rule: Rule) -> Iterator[datetime]:
    return fire_times(make_trigger(rule.kind, rule.expression, timezone=rule.timezone, now=NOW), after=NOW)


def check_typed_back(rule: Rule) -> None:
    again = read_rule(rule.expression, timezone=rule.timezone, now=NOW)
    assert (again.kind, again.expression, again.is_phrase) == (rule.kind, rule.expression, False)
    assert list(islice(fires_of(again), 5)) == list(islice(fires_of(rule), 5))


@pytest.mark.parametrize("phrase", [*INSTANTS, *(f"every {one}" for one in (*CRONS, *INTERVALS, *RRULES))])
def test_what_a_phrase_became_can_be_typed_back(phrase: str) -> None:
    check_typed_back(read_rule(phrase, timezone=RIGA, now=NOW))


WORDS = sorted(KNOWN - {"m", "h", "s", "d", "w"})
PIECES = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(["at", "on", "the", "of", "and", ",", "every", "in", "month", "day", "except", "between"]),
    st.integers(0, 40).map(str),
    st.integers(0, 25).map(lambda hour: f"{hour}:{(hour * 7) % 60:02}"),
    st.integers(0, 14).map(lambda hour: f"{hour}pm"),
    st.integers(1, 32).map(lambda day: f"{day}th"),
    st.sampled_from(["2026-12-05", "03/04", ":30", "Europe/Paris", "utc", "1st", "15th", "9am", "\u0660", "'"]),
)
SALADS = st.lists(PIECES, min_size=1, max_size=9).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(SALADS)
@example("every 5 5 minutes")
@example("at 9am 9")
def test_a_salad_of_words_is_refused_in_a_sentence_or_holds_every_number(salad: str) -> None:
    for read in (time, every):
        try:
            rule = read(salad)
        except PromptyoselfError as refused:
            assert_sentence(refused.message)
            continue
        check_typed_back(rule)
        check_numbers(salad, rule)


def assert_sentence(text: str) -> None:
    assert len(text.split()) > 3


def check_numbers(salad: str, rule: Rule) -> None:
    """Every number of a phrase is in what it became: as itself, in the twelve-hour clock, or in a span."""
    numbers = [int(number) for number in re.findall("[0-9]+", salad)]
    held = {int(number) for number in re.findall("[0-9]+", rule.expression)}
    if rule.kind == "interval" or "+" in rule.expression:
        seconds = (
            parse_duration(rule.expression) if rule.kind == "interval" else first_fire(rule) - NOW
        ).total_seconds()
        assert sum(numbers) <= seconds + 1
        return
    if re.search(r"\b(days?|weeks?|fortnight)\b", salad):
        return  # counted from today: the date holds their sum
    for number in numbers:
        ends = {number, number - 1, number % 12, number % 12 + 12, number % 24 - 1, number % 12 + 11}
        assert ends & held or number in {0, 60} or (number == 1 and "*" in rule.expression), (salad, rule.expression)


def first_fire(rule: Rule) -> datetime:
    return make_trigger(rule.kind, rule.expression, timezone=rule.timezone, now=NOW).anchor_at


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=limits.PHRASE_CHARS_MAX + 5))
def test_any_text_at_all_is_read_or_refused_with_an_error_of_ours(text: str) -> None:
    for read in (time, every):
        try:
            read(text)
        except InvalidInput as refused:
            assert_sentence(refused.message)


def test_a_phrase_that_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(InvalidTrigger, match=f"at most {limits.PHRASE_CHARS_MAX} are read"):
        time("tomorrow " * 100)
    with pytest.raises(InvalidInput, match="at most"):
        every("monday and " * 100)


# -- other languages --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("phrase", "expression"), [
    ("morgen um 9 Uhr", "2026-11-26T09:00"),
    ("heute um 18:30", "2026-11-25T18:30"),
    ("5. Dezember 2026 um 15:00", "2026-12-05T15:00"),
    ("in 45 Minuten", "2026-11-25T10:45:31+02:00"),
    ("demain \u00e0 9h", "2026-11-26T09:00"),
    ("vendredi \u00e0 15h", "2026-11-27T15:00"),
    ("dans 45 minutes", "2026-11-25T10:45:31+02:00"),
    ("ma\u00f1ana a las 9:00", "2026-11-26T09:00"),
    ("domani alle 9:00", "2026-11-26T09:00"),
    ("amanh\u00e3 \u00e0s 9:00", "2026-11-26T09:00"),
    ("morgen om 9 uur", "2026-11-26T09:00"),
    ("jutro o 9:00", "2026-11-26T09:00"),
    ("r\u012bt 9:00", "2026-11-26T09:00"),
    ("\u0437\u0430\u0432\u0442\u0440\u0430 \u0432 9:00", "2026-11-26T09:00"),
    ("huomenna klo 9:00", "2026-11-26T09:00"),
    ("z\u00edtra v 9:00", "2026-11-26T09:00"),
])  # fmt: skip
def test_an_instant_in_another_language_is_understood_where_it_is_certain(phrase: str, expression: str) -> None:
    assert time(phrase).expression == expression


@pytest.mark.parametrize("phrase", [
    "morgen", "demain \u00e0 9", "ma\u00f1ana a las 9", "5 d\u00e9cembre 2026", "heute um 9:00", "mercredi \u00e0 15h",
    "hier \u00e0 9h", "vor 45 Minuten", "demain \u00e0 9h ou 10h", "03.04.2027 um 9 Uhr", "domani alle 25:00",
    "blah 9:00", "la semaine prochaine 9:00", "dans un mois \u00e0 9:00", "dans 2 jours \u00e0 9:00",
    "dans 9:00", "\u0447\u0435\u0440\u0435\u0437 9:00", "demain \u00e0 0:00",
])  # fmt: skip
def test_an_instant_in_another_language_that_is_not_certain_is_refused(phrase: str) -> None:
    with pytest.raises(InvalidTrigger):
        time(phrase)


def test_dateparser_is_imported_for_words_that_our_grammar_does_not_know_and_for_no_others() -> None:
    script = """
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from promptyoself.application.rules import read_every, read_time
from promptyoself.domain.errors import InvalidInput
now = datetime(2026, 11, 25, 8, tzinfo=UTC)
for phrase in ("tomorrow 9am", "tomorrow at 27:00", "03/04", "friday at 9", "9am EST", "tomorow 9am", "tmrw 9am",
               "christmas at 9am", "P1M", "wensday at 9:00"):
    try:
        read_time(phrase, timezone="UTC", now=now)
    except InvalidInput:
        pass
read_every("weekday at 9am", timezone="UTC", now=now)
assert "dateparser" not in sys.modules
read_time("morgen um 9 Uhr", timezone="UTC", now=now)
assert "dateparser" in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
