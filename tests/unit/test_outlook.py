"""What is announced of a schedule: only what would be sent."""

from __future__ import annotations

from datetime import timedelta

import pytest

from promptyoself.domain import limits
from promptyoself.domain.holidays import Holidays, Span
from promptyoself.domain.models import Policy, Schedule
from promptyoself.domain.outlook import hold_of, next_to_send, outlook, warnings_of
from promptyoself.domain.planning import opening_of
from promptyoself.domain.quiet import QuietHours
from promptyoself.domain.triggers import TriggerKind
from promptyoself.domain.values import replace
from tests.factories import MINUTE, NOW, a_definition, a_schedule, a_trigger

HOUR = timedelta(hours=1)


def hourly(quiet: str | None, **changes: object) -> Schedule:
    """Fires at 10:00, 11:00 ...; it is 09:00 on a Monday."""
    policy = Policy(quiet_hours=QuietHours.parse(quiet) if quiet else None)
    trigger = changes.pop("trigger", a_trigger(expression="1h"))
    most = changes.pop("max_repetitions", None)
    definition = a_definition(trigger=trigger, policy=policy, max_repetitions=most)
    return a_schedule(**({"definition": definition, "next_fire_at": NOW + HOUR} | changes))


def hours(schedule: Schedule, count: int = 3) -> list[float]:
    return [(one.fire_at - NOW) / HOUR for one in outlook(schedule, now=NOW, count=count).openings]


def test_what_quiet_hours_skip_is_left_out_and_counted() -> None:
    found = outlook(hourly("10:30-12:30 skip"), now=NOW, count=3)
    assert hours(hourly("10:30-12:30 skip")) == [1, 4, 5]
    assert found.skipped == 2
    (warning,) = warnings_of(found)
    assert "2 of the next 5" in warning
    assert "10:30-12:30" in warning


def test_what_quiet_hours_hold_is_announced_with_its_instant() -> None:
    found = outlook(hourly("10:30-12:30"), now=NOW, count=2)
    assert [(one.fire_at - NOW) / HOUR for one in found.openings] == [1, 2]
    assert (found.openings[1].planned_at - NOW) / HOUR == 3.5
    assert warnings_of(found) == []
    assert hold_of(found, hourly("10:30-12:30").definition) == [
        "quiet hours 10:30-12:30: what fires Mon 2026-03-02 11:00 goes out Mon 2026-03-02 12:30 (UTC)"
    ]
    assert hold_of(outlook(hourly("10:30-12:30"), now=NOW, count=1), hourly("10:30-12:30").definition) == []


def test_the_next_to_send_is_the_first_that_is_announced() -> None:
    for quiet in (None, "09:30-12:30", "09:30-12:30 skip"):
        schedule = hourly(quiet)
        assert next_to_send(schedule) == outlook(schedule, now=NOW, count=1).openings[0].fire_at


@pytest.mark.parametrize("jitter", [timedelta(0), timedelta(seconds=50)])
@pytest.mark.parametrize("quiet", [None, "10:00-09:30 skip", "10:00-20:00 skip"])
@pytest.mark.parametrize("days", [0, 1])
def test_a_long_silence_is_looked_beyond(quiet: str | None, days: int, jitter: timedelta) -> None:
    wall = NOW.replace(tzinfo=None)
    off = Holidays.make(
        "h",
        walls=[Span(wall, wall + timedelta(days=days, hours=1), "off")],
        instants=[Span(NOW + 31 * HOUR, NOW + 32 * HOUR, "off")],
        last_day=None,
    )
    schedule = hourly(quiet, trigger=a_trigger(expression="1m", jitter=jitter))
    policy = replace(schedule.definition.policy, skip_on=off)
    schedule = replace(schedule, definition=replace(schedule.definition, policy=policy))
    coming = (NOW + HOUR + minute * MINUTE for minute in range(54 * 60))
    openings = [opening_of(schedule.definition, schedule.uid, at) for at in coming]
    standing = [one.fire_at for one in openings if one.skip_reason is None]
    assert [one.fire_at for one in outlook(schedule, now=NOW, count=25).openings] == standing[:25]
    assert next_to_send(schedule) == standing[0]


def test_of_a_long_silence_it_is_not_said_that_nothing_would_ever_be_sent() -> None:
    schedule = hourly("10:00-09:30 skip", trigger=a_trigger(expression="1m"))
    assert warnings_of(outlook(schedule, now=NOW, count=3)) == [
        "100 and more fire times are skipped before these: quiet hours: 10:00-09:30 skip"
    ]


def test_a_schedule_that_skips_all_says_so_loudly() -> None:
    trigger = a_trigger(kind=TriggerKind.CRON, expression="0 23 * * *")
    schedule = hourly("22:00-07:00 skip", trigger=trigger, next_fire_at=NOW + 14 * HOUR)
    found = outlook(schedule, now=NOW, count=3)
    assert (found.openings, found.skipped) == ((), limits.LOOKS_AHEAD_MAX)
    assert warnings_of(found)[0].startswith("NOTHING WOULD EVER BE SENT")
    assert next_to_send(schedule) is None


def test_what_was_skipped_does_not_count_towards_repetitions() -> None:
    assert hours(hourly("10:30-12:30 skip", max_repetitions=2)) == [1, 4]
    assert hours(hourly("10:30-12:30 skip", max_repetitions=2, fire_count=2)) == []


def test_nothing_is_announced_before_the_next_fire_time() -> None:
    skipped_ahead = a_schedule(definition=hourly(None).definition, next_fire_at=NOW + 3 * HOUR)
    assert hours(skipped_ahead) == [3, 4, 5]
    assert outlook(a_schedule(next_fire_at=None), now=NOW, count=3).openings == ()
