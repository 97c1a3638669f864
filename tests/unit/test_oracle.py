"""Equality with the oracle over more than 20,000 cases: expressions of every kind, ten zones, starts of every kind.

A case is one expression in one zone from one start: its next fire times, and for some of them the last one before and
how many there are. PROMPTYOSELF_ORACLE_ROUNDS=50 looks at fifty times as many starts and expressions.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice

import pytest
from cronsim import CronSim
from dateutil.rrule import rrulestr

from promptyoself.domain.cron import parse_cron
from promptyoself.domain.errors import TriggerNeverFires
from promptyoself.domain.triggers import Trigger, TriggerKind, count_fires, fire_times, last_fire_at, next_fire_at
from tests.unit.cron_oracle import DAY, MICROSECOND, Fires, Stretch, expression_of, stretch_of
from tests.unit.wall_oracle import MINUTE

ROUNDS = int(os.environ.get("PROMPTYOSELF_ORACLE_ROUNDS", "1"))
FIRES_COMPARED = 6
MADE = 300 * ROUNDS
STRETCHES = {
    "Europe/Riga": ["2027-03-28", "2027-10-31", "2027-12-31"],
    "America/New_York": ["2027-03-14", "2027-11-07", "2028-02-28"],
    "Australia/Lord_Howe": ["2026-10-03", "2027-04-03"],  # half an hour
    "Africa/Casablanca": ["2026-02-15", "2026-03-22"],
    "Pacific/Apia": ["2011-12-30", "2012-03-31"],  # a day is skipped
    "America/Sao_Paulo": ["2018-11-04", "2018-02-18"],  # midnight does not exist, and comes twice
    "America/St_Johns": ["2027-03-14", "2006-10-29"],  # at one minute past midnight
    "Antarctica/Troll": ["2027-03-28", "2027-10-31"],  # two hours
    "Antarctica/Casey": ["2019-10-03", "2018-03-10"],  # three hours: a correction
    "Asia/Kathmandu": ["2027-12-31", "2028-02-28"],  # +05:45, no change
}
BY_HAND = """
* * * * *;*/15 * * * *;*/45 * * * *;30 * * * *;0 */2 * * *;*/20 2 * * *;0,30 2 * * *;30 2 * * *;30 3 * * *;15 0 * * *
0 0 * * *;59 23 * * *;0 1-3 * * *;5,10 0-4 * * mon-fri;30 3 28 * sun;0 3 */2 * sun;1 0 30 12 *;0 9 * mar,oct fri-7
7/20 1,2 * * *;5-5/2 2-2/3 * * *;0 0 L * *;0 0 LW * *;30 3 1W * *;30 2 31W * *;0 0 1W,15W,30W * *;30 2 L,28 * *
0 9 15W * fri;30 3 * * sunL;30 2 * * 0#2;30 1 * * 7#5;0 0 * * friL,mon#1;*/30 3 L * *;*/30 2 * * 0#2;30 3 L * friL
0 0 ? * mon;30 3 ? * 0;30 2 31 * ?;0 0 29 2 *;0 0 29W 2 *;59 23 31 12 *;0 0 1 1 *;@hourly;@daily;@weekly;@monthly
15 30 3 * * *;*/20 30 3 * * *;0 */30 3 * * *;30 59 23 * * *;5,50 0 2 * * sun;* * 3 * * *;0 0 0 LW * ?
0-10/5 29-31 2 ? * 0
""".replace("\n", ";")

SECONDS = [None, None, None, None, None, "0", "30", "*/20", "5,50", "0-10/5"]
MINUTES = ["0", "30", "*/15", "*", "15", "0,30", "59", "5-10", "*/45", "1", "50-59/3", "0,1", "7/20", "*/30,7", "45"]
HOURS = ["3", "2", "*", "0", "1-4", "*/2", "2,3", "23", "0-23/3", "*/5", "1", "9-17", "3/7", "0,4", "22-23,0-2", "4"]
DAYS = [
    "*",
    "*",
    "?",
    "L",
    "LW",
    "1W",
    "15W",
    "31W",
    "28-31",
    "1-7",
    "*/2",
    "13",
    "27,28",
    "L,15",
    "1W,15W",
    "30W,1",
    "10/9",
]
MONTHS = ["*", "*", "*", "*", "*", "*", "*", "*/2", "3,10", "feb-apr", "oct-DEC", "jan,feb,nov", "2,12,3,11"]
WEEKDAYS = [
    "*",
    "*",
    "?",
    "sun",
    "mon-fri",
    "0",
    "7",
    "5#2",
    "sunL",
    "sat-sun",
    "1,3,5",
    "*/2",
    "SUN#5",
    "fri-7",
    "2L,4#1",
    "1-5/2",
]


def expressions() -> list[str]:
    """Those by hand, and more by going through each field's list at a pace of its own."""
    made = [text.strip() for text in BY_HAND.split(";") if text.strip()]
    for place in range(MADE):
        second = SECONDS[place * 7 % len(SECONDS)]
        parts = [
            MINUTES[place % len(MINUTES)],
            HOURS[place * 5 % len(HOURS) - place // 80 % 3],
            DAYS[(place * 3 + place // 17) % len(DAYS)],
            MONTHS[(place * 2 + place // 11) % len(MONTHS)],
            WEEKDAYS[(place * 11 + place // 16) % len(WEEKDAYS)],
        ]
        made.append(" ".join(parts if second is None else [second, *parts]))
    return sorted(set(made))


ALIASES = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}
"""What the oracle reads for them."""


def starts(stretch: Stretch, salt: int) -> Iterator[datetime]:
    """Some instants of a stretch: around clock changes (beside gaps, in both passes) and anywhere."""
    near = [-26 * 60, -61, -30, -1 / 60, 0, 1 / 60, 31, 59 + 59 / 60, 95]  # minutes
    middle = stretch.begin + DAY * 4
    for place in range(ROUNDS + 1):
        change = stretch.changes[place % len(stretch.changes)] if stretch.changes else middle
        yield change + timedelta(minutes=near[(salt + place * 5) % len(near)])
        yield stretch.begin + timedelta(seconds=(salt * 7919 + place * 104_729) % (7 * 86_400), microseconds=salt % 3)


def trigger(expression: str, zone: str) -> Trigger:
    return Trigger(
        kind=TriggerKind.CRON, expression=expression, timezone=zone, anchor_at=datetime(2027, 1, 1, tzinfo=UTC)
    )


def check(rule: Trigger, stretch: Stretch, fires: Fires, after: datetime) -> list[datetime]:
    expected = fires.after(after, FIRES_COMPARED)
    found = list(islice(fire_times(rule, after=after, until=stretch.end), FIRES_COMPARED))
    assert found == expected, f"{rule.expression!r} in {rule.timezone} after {after.isoformat()}"
    if expected:
        assert next_fire_at(rule, after=after) == expected[0]
    return expected


def test_more_than_twenty_thousand_cases_equal_the_oracle() -> None:
    texts = expressions()
    assert len(texts) >= 300
    cases = fired = 0
    for zone, days in STRETCHES.items():
        stretches = [stretch_of(zone, day) for day in days]
        for salt, text in enumerate(texts):
            expression, rule = expression_of(ALIASES.get(text, text)), trigger(text, zone)
            for stretch in stretches:
                fires = stretch.fires(expression)
                for after in starts(stretch, salt):
                    fired += bool(check(rule, stretch, fires, after))
                    cases += 1
    assert cases >= 20_000
    assert fired >= cases * 0.4


def test_the_last_fire_before_and_the_count_between_equal_the_oracle() -> None:
    for zone, days in STRETCHES.items():
        stretches = [stretch_of(zone, day) for day in days]
        for salt, text in enumerate(expressions()[::12]):
            stretch = stretches[salt % len(days)]
            fires, rule = stretch.fires(expression_of(ALIASES.get(text, text))), trigger(text, zone)
            for after in starts(stretch, salt):
                last = last_fire_at(rule, not_before=stretch.begin, not_after=after)
                assert last == fires.before(after), (text, zone, after)
                expected = len(fires.after(after, 100))
                assert count_fires(rule, after=after, until=stretch.end, limit=100) == expected, (text, zone, after)


def test_the_dates_of_two_years_equal_the_oracle() -> None:
    begin, end = datetime(2027, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)
    every_day = [date(2027, 1, 1) + DAY * count for count in range((end - begin).days)]
    for days in sorted({" ".join(text.split()[-3:]) for text in expressions() if text[0] != "@"}):
        rule, expression = trigger(f"0 0 {days}", "UTC"), expression_of(f"0 0 {days}")
        expected = [day for day in every_day if expression.has(day)]
        found = fire_times(rule, after=begin - MICROSECOND, until=end - MICROSECOND)
        assert [at.date() for at in found] == expected, days


def test_what_is_refused_as_never_firing_has_no_day_in_a_whole_cycle_of_leap_years() -> None:
    every_day = [date(2004, 1, 1) + DAY * count for count in range(365 * 28 + 7)]
    for days in ["30 2 *", "31W 2,4 *", "31 4,6 *", "*/31 * mon#5", "31 2 */2", "*/29 2 mon#5"]:
        expression = expression_of(f"0 0 {days}")
        try:
            parse_cron(f"0 0 {days}")
        except TriggerNeverFires:
            assert not any(expression.has(day) for day in every_day), days
        else:
            assert any(expression.has(day) for day in every_day), days


@pytest.mark.parametrize(
    "text", [text for text in expressions()[::5] if "W" not in text.replace("LW", "") and "?" not in text]
)
def test_walls_equal_those_of_another_implementation(text: str) -> None:
    begin = datetime(2027, 2, 20, 11, 58, 7)  # noqa: DTZ001 - a wall
    theirs = islice(CronSim(" ".join(parse_cron(text).fields), begin), 40)
    assert list(islice(parse_cron(text).walls(begin), 40)) == list(theirs)


# -- recurrence rules ---------------------------------------------------------------------------------------

RULES = [
    "FREQ=DAILY;BYHOUR=0,1,2,3;BYMINUTE=0,30",
    "FREQ=DAILY;BYHOUR=2;BYMINUTE=30",
    "FREQ=DAILY;INTERVAL=2;BYHOUR=3;BYMINUTE=15",
    "FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=0,20,40;BYSETPOS=2,-1",
    "FREQ=WEEKLY;BYDAY=SA,SU;BYHOUR=0,2,3;BYMINUTE=30",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO,FR;BYHOUR=3;BYMINUTE=0",
    "FREQ=MONTHLY;BYDAY=-1SU,1SA;BYHOUR=2,3;BYMINUTE=30",
    "FREQ=MONTHLY;BYMONTHDAY=-1,1,28,31;BYHOUR=0,3;BYMINUTE=0",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1,1;BYHOUR=9;BYMINUTE=0",
    "FREQ=YEARLY;BYMONTH=3,10;BYDAY=-1SU;BYHOUR=3;BYMINUTE=30",
    "FREQ=YEARLY;BYYEARDAY=1,-1,60,87,304;BYHOUR=2;BYMINUTE=45",
    "FREQ=HOURLY;BYMINUTE=0,30",
    "FREQ=HOURLY;INTERVAL=3;BYMINUTE=15",
    "FREQ=HOURLY;BYHOUR=1,2,3;BYMINUTE=30",
    "FREQ=HOURLY;BYDAY=SU;BYMINUTE=10,50;BYSETPOS=-1",
    "FREQ=MINUTELY;INTERVAL=7",
    "FREQ=MINUTELY;INTERVAL=20;BYHOUR=2,3",
    "FREQ=MINUTELY;BYMINUTE=0,15;BYHOUR=0,1,2,3,4",
]


def walls_of(rule: str, stretch: Stretch, dtstart: datetime) -> int:
    """A bit for each minute from the first day on, as dateutil walks from `dtstart`."""
    zero, end = datetime.combine(stretch.first_day, time()), datetime.combine(stretch.last_day + DAY, time())
    found = 0
    for wall in rrulestr(rule, dtstart=dtstart):
        if wall >= end:
            break
        if wall >= zero:
            found |= 1 << ((wall - zero) // MINUTE)
    return found


def at_wall(stretch: Stretch, wall: datetime) -> datetime:
    """The first minute at which a clock shows this wall, or the first that is later than a jump over it."""
    return stretch.minutes[bisect_left(stretch.latest, wall)][0]


def stamps(walls: list[datetime]) -> str:
    return ",".join(f"{wall:%Y%m%dT%H%M%S}" for wall in walls)


@pytest.mark.parametrize("zone", STRETCHES)
def test_rules_with_added_dates_and_without_left_out_ones_equal_the_oracle(zone: str) -> None:
    fired = 0
    for place, stretch in enumerate(stretch_of(zone, day) for day in STRETCHES[zone]):
        shown = dict(stretch.minutes)
        for salt, rule in list(enumerate(RULES))[place % 2 :: 2]:
            dtstart = datetime.combine(stretch.first_day - DAY * (salt % 9), time(salt % 4, salt * 7 % 60))
            follows_clock = rule.startswith(("FREQ=HOURLY", "FREQ=MINUTELY"))
            walls = walls_of(rule, stretch, dtstart)
            every = stretch.due(walls, [0], follows_clock=follows_clock).after(stretch.begin - MINUTE, 5000)
            middle = datetime.combine(stretch.first_day + DAY * (4 + salt % 3), time(2, 30))
            added = [middle, middle + DAY / 3]
            left_out = [*(shown[at] for at in every[salt % 3 :: 5][:40]), middle + DAY / 3]
            day = (middle + DAY).date()
            text = (
                f"DTSTART:{stamps([dtstart])}\nRRULE:{rule};BYSECOND=0\nRDATE:{stamps(added)}\n"
                f"EXDATE:{stamps(left_out)}\nEXDATE;VALUE=DATE:{day:%Y%m%d}"
            )
            gone = {at_wall(stretch, wall) for wall in left_out}
            expected = sorted({*every, *(at_wall(stretch, wall) for wall in added)} - gone)
            expected = [at for at in expected if shown[at].date() != day]
            subject = Trigger(kind=TriggerKind.RRULE, expression=text, timezone=zone, anchor_at=stretch.begin)
            found = list(fire_times(subject, after=stretch.begin - MICROSECOND, until=stretch.end))
            assert found == expected, (text, zone)
            for after in islice(starts(stretch, salt), 2 * ROUNDS):
                later = [at for at in expected if at > after]
                assert next(fire_times(subject, after=after, until=stretch.end), None) == (later[0] if later else None)
                assert count_fires(subject, after=after, until=stretch.end, limit=10_000) == len(later)
                last = last_fire_at(subject, not_before=stretch.begin, not_after=after)
                assert last == max((at for at in expected if at <= after), default=None)
            fired += len(expected)
    assert fired > 500
