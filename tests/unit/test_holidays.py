"""Calendars of holidays: which instants they cover, what of RFC 5545 is read, and what is refused in a sentence."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import icalendar
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from promptyoself.application.calendars import calendar_warnings, read_calendar
from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.holidays import Holidays, Span

NOW: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
RIGA: Final = ZoneInfo("Europe/Riga")
ALL_DAY: Final = "DTSTART;VALUE=DATE:20261224\r\nDTEND;VALUE=DATE:20261226\r\nSUMMARY:Christmas"


def calendar(*events: str, head: str = "") -> str:
    body = "".join(f"BEGIN:VEVENT\r\n{event}\r\nEND:VEVENT\r\n" for event in events)
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{head}{body}END:VCALENDAR\r\n"


def read(*events: str, head: str = "") -> Holidays:
    return read_calendar(calendar(*events, head=head), name="holidays.ics", now=NOW)


def riga(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=RIGA).astimezone(UTC)


def covered(holidays: Holidays, *walls: str) -> list[bool]:
    return [holidays.reason_for(riga(wall), RIGA) is not None for wall in walls]


def test_whole_days_are_the_schedules_zones_and_their_end_is_not_in_them() -> None:
    found = covered(
        read(ALL_DAY), "2026-12-23T23:59:59", "2026-12-24T00:00", "2026-12-25T23:59:59.999999", "2026-12-26T00:00"
    )
    assert found == [False, True, True, False]
    assert read(ALL_DAY).reason_for(datetime(2026, 12, 23, 22, 30, tzinfo=UTC), RIGA) is not None
    assert read(ALL_DAY).reason_for(datetime(2026, 12, 23, 22, 30, tzinfo=UTC), ZoneInfo("UTC")) is None


GOOGLES: Final = """BEGIN:VCALENDAR\r
PRODID:-//Google Inc//Google Calendar 70.9054//EN\r
VERSION:2.0\r
X-WR-CALNAME:Holidays in Latvia\r
X-WR-TIMEZONE:UTC\r
BEGIN:VEVENT\r
DTSTART;VALUE=DATE:20261224\r
DTEND;VALUE=DATE:20261225\r
DTSTAMP:20261101T000000Z\r
UID:20261224_x@google.com\r
DESCRIPTION:Public holiday\\nsecond line\\, with a comma and a text so long th\r
 at it is folded\r
STATUS:CONFIRMED\r
SUMMARY:Christmas Eve\r
TRANSP:TRANSPARENT\r
END:VEVENT\r
END:VCALENDAR\r
"""
APPLES: Final = """BEGIN:VCALENDAR
METHOD:PUBLISH
PRODID:-//Apple Inc.//macOS 14.1//EN
X-APPLE-CALENDAR-COLOR:#FF2968
X-WR-TIMEZONE:Europe/Riga
BEGIN:VTIMEZONE
TZID:Europe/Riga
BEGIN:DAYLIGHT
TZOFFSETFROM:+0200
RRULE:FREQ=YEARLY;INTERVAL=0
DTSTART:19810329T020000
TZOFFSETTO:+0300
END:DAYLIGHT
END:VTIMEZONE
BEGIN:VEVENT
DTEND;VALUE=DATE:20261225
SUMMARY;LANGUAGE=lv:Ziemassvetku vakars
DTSTART;VALUE=DATE:20261224
RRULE:FREQ=YEARLY;COUNT=5
EXDATE;VALUE=DATE:20271224
BEGIN:VALARM
TRIGGER;VALUE=DATE-TIME:19760401T005545Z
ACTION:NONE
END:VALARM
END:VEVENT
END:VCALENDAR
"""
OUTLOOKS: Final = """BEGIN:VCALENDAR\r
PRODID:-//Microsoft Corporation//Outlook 16.0 MIMEDIR//EN\r
VERSION:2.0\r
X-MS-OLK-FORCEINSPECTOROPEN:TRUE\r
BEGIN:VEVENT\r
CLASS:PUBLIC\r
DTEND;VALUE=DATE:20261225\r
DTSTART;VALUE=DATE:20261224\r
SUMMARY;LANGUAGE=en-us:Christmas Eve\r
X-MICROSOFT-CDO-ALLDAYEVENT:TRUE\r
X-ALT-DESC;FMTTYPE=text/html:<html><body>\r
\t<p>a:b;c</p></body></html>\r
END:VEVENT\r
END:VCALENDAR\r
"""


@pytest.mark.parametrize(
    "text",
    [
        GOOGLES,
        APPLES,
        OUTLOOKS,
        GOOGLES.lower(),
        GOOGLES.replace("\r\n", "\n"),
        f"\r\n \r\n{GOOGLES}\r\n",
        GOOGLES.replace("DTEND;VALUE=DATE:20261225\r\n", ""),
        GOOGLES.replace("20261225", "20261224"),
    ],
    ids=["Google", "Apple", "Outlook", "lower case", "LF", "empty lines", "no end", "ends when it begins"],
)
def test_what_the_well_known_programs_export_is_read(text: str) -> None:
    holidays = read_calendar(text, name="h", now=NOW)
    days = ("2026-12-23T23:59", "2026-12-24T00:00", "2026-12-24T23:59", "2026-12-25T00:00", "2027-12-24T09:00")
    assert covered(holidays, *days) == [False, True, True, False, False]


def test_a_zone_by_another_programs_name_is_refused_and_the_hint_says_what_to_do() -> None:
    with pytest.raises(InvalidInput, match="'FLE Standard Time'") as refusal:
        read('DTSTART;TZID="FLE Standard Time":20261224T090000')
    assert "whole days" in (refusal.value.hint or "")


def test_the_reason_names_the_event_and_the_file() -> None:
    assert read(ALL_DAY).reason_for(riga("2026-12-25T09:00"), RIGA) == "holiday: Christmas (holidays.ics)"


@pytest.mark.parametrize(
    ("event", "walls", "expected"),
    [
        ("DTSTART;VALUE=DATE:20261224", ["2026-12-24T12:00", "2026-12-25T00:00"], [True, False]),
        ("DTSTART:20261224T070000Z\nDURATION:PT1H", ["2026-12-24T09:00", "2026-12-24T10:00"], [True, False]),
        ("DTSTART:20261224T090000\nDTEND:20261224T100000", ["2026-12-24T09:59", "2026-12-24T10:00"], [True, False]),
        (
            "DTSTART;TZID=America/New_York:20261224T090000\nDURATION:P1DT1H",
            ["2026-12-24T15:59", "2026-12-24T16:00", "2026-12-25T17:00"],
            [False, True, False],
        ),
        (
            'DTSTART;TZID="/citadel.org/20210210_1/Europe/Riga":20261224T090000\nDURATION:PT1H',
            ["2026-12-24T09:30"],
            [True],
        ),
        ("DTSTART:20261224T070000Z", ["2026-12-24T09:00", "2026-12-24T09:01"], [True, False]),
        (
            "DTSTART;VALUE=DATE:20001224\nRRULE:FREQ=YEARLY",
            ["2026-12-24T09:00", "2030-12-24T09:00", "2030-12-25T09:00"],
            [True, True, False],
        ),
        (
            "DTSTART;VALUE=DATE:20260101\nRRULE:FREQ=MONTHLY;COUNT=3\nEXDATE;VALUE=DATE:20260201\nRDATE;VALUE=DATE:20260204",
            ["2026-01-01T09:00", "2026-02-01T09:00", "2026-02-04T09:00", "2026-03-01T09:00", "2026-04-01T09:00"],
            [True, False, True, True, False],
        ),
        (
            "DTSTART;TZID=Europe/Riga:20260327T090000\nDURATION:PT1H\nRRULE:FREQ=DAILY;UNTIL=20260330T060000Z",
            ["2026-03-28T09:00", "2026-03-29T09:00", "2026-03-30T09:00", "2026-03-31T09:00"],
            [True, True, True, False],
        ),
        ("DTSTART;VALUE=DATE:20261224\nTRANSP:TRANSPARENT", ["2026-12-24T09:00"], [True]),
        ("DTSTART;VALUE=DATE:20261224\nSTATUS:CANCELLED", ["2026-12-24T09:00"], [False]),
        ("DTSTART;VALUE=DATE:20261224\nSUMMARY:fold\n ed", ["2026-12-24T09:00"], [True]),
        ("DTSTART;VALUE=DATE:20261224\nBEGIN:VALARM\nDTSTART:x\nEND:VALARM", ["2026-12-24T09:00"], [True]),
    ],
)
def test_what_an_event_covers(event: str, walls: list[str], expected: list[bool]) -> None:
    assert covered(read(event), *walls) == expected


def test_one_of_a_series_may_be_moved_or_cancelled() -> None:
    series = "UID:x\nDTSTART;VALUE=DATE:20261201\nRRULE:FREQ=WEEKLY;COUNT=4"
    moved = "UID:x\nRECURRENCE-ID;VALUE=DATE:20261208\nDTSTART;VALUE=DATE:20261209"
    gone = "UID:x\nRECURRENCE-ID;VALUE=DATE:20261215\nDTSTART;VALUE=DATE:20261215\nSTATUS:CANCELLED"
    days = [f"2026-12-{day:02}T09:00" for day in (1, 8, 9, 15, 22)]
    assert covered(read(gone, series, moved), *days) == [True, False, True, False, True]


def test_a_zone_that_the_file_defines_itself_is_not_evaluated() -> None:
    rule = "BEGIN:STANDARD\nRRULE:FREQ=SECONDLY;INTERVAL=0\nEND:STANDARD"
    zone = f"BEGIN:VTIMEZONE\nTZID:Europe/Riga\n{rule}\nEND:VTIMEZONE\n"
    assert covered(read("DTSTART;TZID=Europe/Riga:20261224T090000\nDURATION:PT1H", head=zone), "2026-12-24T09:00")[0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no iCalendar"),
        ("hello", "no iCalendar"),
        ("BEGIN:VCALENDAR\nBEGIN:VEVENT\n", "breaks off within 'VEVENT'"),
        ("BEGIN:VCALENDAR\nEND:VEVENT", "not begun"),
        ("BEGIN:VCALENDAR\n" + "BEGIN:X\n" * 20, "nested"),
        (calendar("SUMMARY:Nothing"), "'Nothing': it has no DTSTART"),
        (calendar("DTSTART:soon"), "no date"),
        (calendar("DTSTART:20260230"), "no date"),
        (calendar("DTSTART:20260101,20260102"), "more than one DTSTART"),
        (calendar("DTSTART:20260101\nDTSTART:20260102"), "DTSTART twice"),
        (calendar("DTSTART:20260102\nDTEND:20260101"), "DTEND"),
        (calendar("DTSTART:20260102\nDTEND:20260103T000000Z"), "DTEND"),
        (calendar("DTSTART:20260102\nDURATION:-P1D"), "duration"),
        (calendar("DTSTART:20260102\nDURATION:P9999W"), "duration"),
        (calendar("DTSTART;TZID=W. Europe Standard Time:20260102T090000"), "IANA"),
        (calendar("DTSTART:20260102\nRRULE:FREQ=SOMETIMES"), "FREQ"),
        (calendar("DTSTART:20260102\nEXRULE:FREQ=DAILY"), "EXRULE"),
        (calendar("UID:x\nDTSTART:20260102\nRECURRENCE-ID;RANGE=THISANDFUTURE:20260102"), "THISANDFUTURE"),
        (calendar("DTSTART:20260102T090000Z\nRRULE:FREQ=MINUTELY"), "more often than daily"),
        (calendar(*[f"DTSTART:2026010{day}\nRRULE:FREQ=DAILY" for day in (1, 2, 3)]), "10000 days"),
        (calendar(*["DTSTART:20260102"] * 5001), "5000 events"),
        (calendar(*["DTSTART:20260102\nRRULE:FREQ=YEARLY"] * 201), "200 recurring"),
        (calendar("no colon"), "no line"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as refused:
        read_calendar(text, name="holidays.ics", now=NOW)
    assert "holidays.ics" in refused.value.message
    assert len(refused.value.message) < 400


def test_it_is_said_how_far_a_calendar_reaches() -> None:
    assert read(ALL_DAY).last_day == date(2026, 12, 25)
    assert read("DTSTART;VALUE=DATE:20001224\nRRULE:FREQ=YEARLY").last_day == date(2035, 12, 31)
    assert read().last_day is None
    assert calendar_warnings(read(ALL_DAY), now=NOW) == []
    ends = datetime(2026, 12, 25, 23, tzinfo=UTC)
    assert "ends on 2026-12-25" in calendar_warnings(read(ALL_DAY), now=ends - timedelta(days=60))[0]
    assert calendar_warnings(read(ALL_DAY), now=ends - timedelta(days=61)) == []
    assert "ended on" in calendar_warnings(read(ALL_DAY), now=ends + timedelta(hours=2))[0]
    assert "no events" in calendar_warnings(read(), now=NOW)[0]


def test_the_same_calendar_has_the_same_key_all_year_and_another_content_another() -> None:
    endless = calendar("DTSTART;VALUE=DATE:20001224\nRRULE:FREQ=YEARLY")
    first = read_calendar(endless, name="a.ics", now=NOW)
    assert read_calendar(endless, name="a.ics", now=NOW.replace(month=12)) == first
    assert read_calendar(endless, name="b.ics", now=NOW).key != first.key
    assert read_calendar(endless.replace("1224", "1225"), name="a.ics", now=NOW).key != first.key


MINUTES = st.integers(0, 3000).map(lambda minutes: datetime(2026, 5, 1) + timedelta(minutes=minutes))  # noqa: DTZ001
SPANS = st.lists(
    st.tuples(MINUTES, st.integers(0, 500)).map(lambda one: Span(one[0], one[0] + timedelta(minutes=one[1]), "x"))
)


@given(SPANS, SPANS, MINUTES)
def test_the_search_by_halves_finds_what_a_look_at_each_span_finds(
    walls: list[Span], instants: list[Span], wall: datetime
) -> None:
    aware = [Span(one.begin.replace(tzinfo=UTC), one.end.replace(tzinfo=UTC), one.title) for one in instants]
    holidays = Holidays.make("h", walls=walls, instants=aware, last_day=None)
    at = wall.replace(tzinfo=RIGA).astimezone(UTC)
    expected = any(one.begin <= wall < one.end for one in walls) or any(one.begin <= at < one.end for one in aware)
    assert (holidays.reason_for(at, RIGA) is not None) == expected
    assert Holidays.from_members(holidays.members()) == holidays


@given(
    st.dates(date(2026, 1, 1), date(2027, 12, 31)),
    st.integers(1, 9),
    st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=120),
)
@example(date(2026, 2, 28), 1, "a;b\\,c:d\u2028")
def test_what_another_program_writes_is_read(day: date, length: int, title: str) -> None:
    event = icalendar.Event()
    event.add("uid", "1")
    event.add("summary", title)
    event.add("dtstart", day)
    event.add("dtend", day + timedelta(days=length))
    written = icalendar.Calendar()
    written.add_component(event)
    holidays = read_calendar(written.to_ical().decode(), name="h", now=NOW)
    (span,) = holidays.walls
    assert (span.begin.date(), span.end.date()) == (day, day + timedelta(days=length))


DATED: Final = "DTSTART;VALUE=DATE:20261224"


@pytest.mark.parametrize(
    "text",
    [
        calendar(*["DTSTART;TZID=/a/b/c/d/Europe/Riga:20261224T090000"] * 400),
        calendar(*[f"DTSTART;TZID=/{number}/b/c/d/Europe/Riga:20261224T090000" for number in range(400)]),
        calendar(f"{DATED}\nEXDATE:" + ",".join(["20261224T000000Z"] * 100_000)),
        calendar(*[f"{DATED}\nRDATE;VALUE=DATE:{','.join(['20261224'] * 100)}"] * 1000),
        calendar(DATED) + "\r\n" * 500_000,
        calendar(f"{DATED}\nSUMMARY" + ";A=1" * 100_000 + ":x"),
        calendar(f"{DATED}\nSUMMARY:" + "\\" * 500_000),
    ],
    ids=["one zone", "many zones", "dates in a line", "lines of dates", "empty lines", "parameters", "escapes"],
)
def test_a_large_file_made_to_be_slow_is_read_or_refused_in_a_second(text: str) -> None:
    began = time.process_time()
    with suppress(InvalidInput):
        read_calendar(text, name="h", now=NOW)
    assert time.process_time() - began < 1.0


LINES = st.sampled_from(
    ["BEGIN:VCALENDAR", "BEGIN:VEVENT", "END:VEVENT", "END:VCALENDAR", "DTSTART:20260101", "RRULE:FREQ=DAILY;COUNT=2"]
)
HOSTILE = st.one_of(LINES, st.text("DTSTARTRULE;:=\"',0123456789ZPT\\-+ \t\u2028\0", max_size=40))


@given(st.lists(HOSTILE, max_size=12))
@example(["BEGIN:VEVENT", "DTSTART:20260101T000000Z", "DURATION:P" + "9" * 5000 + "D", "END:VEVENT"])
def test_any_text_is_read_or_refused_within_a_moment(lines: list[str]) -> None:
    began = time.perf_counter()  # noqa: TID251  a bound on real time
    with suppress(InvalidInput):
        read_calendar("\n".join(["BEGIN:VCALENDAR", *lines, "END:VCALENDAR"]), name="h", now=NOW)
    assert time.perf_counter() - began < 3.0  # noqa: TID251


@pytest.mark.parametrize(
    "members",
    [
        None,
        [],
        {},
        {"name": 3},
        {"name": "a\n"},
        {"name": "a", "walls": [["x", "y", "z"]]},
        {"name": "a", "walls": {}},
        {"name": "a", "walls": [[]]},
        {"name": "a", "walls": [["2026-01-01T00:00", "2026-01-02T00:00", 3]]},
        {"name": "a", "instants": [["2026-01-01T00:00", "2026-01-02T00:00", "t"]]},
        {"name": "a", "instants": [["0001-01-01T00:00+14:00", "2026-01-02T00:00Z", "t"]]},
        {"name": "a", "last_day": "never"},
    ],
)
def test_what_is_no_kept_calendar_is_refused(members: object) -> None:
    with pytest.raises(InvalidInput, match="calendar"):
        Holidays.from_members(members)
