"""What was said about a rule, made the simplest exact rule: an interval, cron, or RFC 5545 where cron cannot say it."""

from __future__ import annotations

from datetime import datetime, time
from typing import Final

from promptyoself.domain.intervals import format_duration
from promptyoself.domain.plain import clocks
from promptyoself.domain.plain.clocks import Clock
from promptyoself.domain.plain.cron_said import clock_fields, day_fields, month_field, weekdays_of
from promptyoself.domain.plain.rrule_said import CODES, by_month, clock_parts, in_steps, one_each, uneven
from promptyoself.domain.plain.said import Compiled, Said
from promptyoself.domain.plain.suggestions import Refused, with_time
from promptyoself.domain.plain.vocabulary import WEEKDAY_NAMES
from promptyoself.domain.triggers import TriggerKind

_CYCLES: Final = {"second": 60, "minute": 60, "hour": 24}


def compile_rule(said: Said, *, wall: datetime) -> Compiled:
    """Return the rule; one that counts in steps of several days counts from the first day after `wall`.

    Raises Refused for what does not hold together or leaves something open.
    """
    if said.length is not None:
        return Compiled(kind=TriggerKind.INTERVAL, expression=format_duration(said.length))
    number, unit = said.period or (1, "")
    if number < 1:
        raise Refused("a period is 1 or more")
    if unit in _CYCLES:
        from promptyoself.domain.plain.hours import compile_within_day

        return compile_within_day(said, number, unit)
    if said.past or said.between:
        raise Refused("minutes and hours between two times need a period, such as an hour or 15 minutes",
                      [f"hour {said.phrase.text}", "15 minutes between 9:00 and 17:00"])  # fmt: skip
    _check_days(said, number, unit)
    if not said.spoken:
        late = [f"{said.phrase.text} at 18:00"] if said.part in {"", "evening"} else []
        raise Refused(f"{said.phrase.text!r} names no time of day", [with_time(said.phrase.text), *late])
    times = _times(said)
    if number > 1:
        return in_steps(said, number, unit, times, wall=wall)
    return _each_time(said, times)


def _check_days(said: Said, number: int, unit: str) -> None:
    """Refuse days that contradict each other, and periods that leave the day open."""
    text = said.phrase.text
    if sum(map(bool, (said.weekdays or said.left_out, said.places, said.date))) > 1:
        raise Refused("days of the week, days of the month and dates do not go together; make a rule of each")
    if said.places and unit not in {"month", "year"}:
        raise _no_month(said)
    if unit == "day" and (said.weekdays or said.places or said.date):
        raise Refused("'day' and a day that is named contradict each other")
    if unit == "week" and said.weekdays is None:
        raise Refused("which day of the week is not said", [_with_day(text, name) for name in ("monday", "friday")])
    if unit == "month" and not said.places:
        raise Refused("which day of the month is not said",
                      [_with_day(text, day) for day in ("the 1st", "the last day", "the first monday")])  # fmt: skip
    if unit == "year" and not (said.date or (said.places and said.months)):
        raise Refused("which day of the year is not said", [_with_day(text, "january 1")])
    _check_dates(said, number, unit)
    if not (unit or said.weekdays or said.left_out or said.places or said.date or said.part):
        is_number = text.removeprefix("every ").isdigit()
        units = [f"{text} {unit}" for unit in ("minutes", "hours")] if is_number else []
        raise Refused("on which days is not said", [*units, f"day {text}", f"weekday {text}"])


def _check_dates(said: Said, number: int, unit: str) -> None:
    if said.date and said.months:
        raise Refused("a date names its month already", ["year on december 24 at 18:00"])
    if said.date and (number > 1 or unit not in {"", "year"}):
        raise Refused("a date comes once a year", ["year on december 24 at 18:00"])
    if said.months and number > 1:
        raise Refused("months and a step of several periods do not go together")


def _no_month(said: Said) -> Refused:
    """Refuse `second monday`, which may be every other one or the second of the month."""
    place, text = said.places[-1], said.phrase.text
    noun = place.tokens[-1]
    name = WEEKDAY_NAMES[int(place.noun)] if place.noun.isdigit() else place.noun
    end = noun.end
    forms = [f"{text[:end]} of the month{text[end:]}"]
    if place.is_named and place.nth > 1:
        head, tail = text[: place.tokens[0].begin], text[end:]
        steps = "other" if place.nth == 2 else f"{place.nth} weeks on"  # noqa: PLR2004  every other one
        forms.append(f"{head}{steps} {name}{tail}" if place.noun != "day" else f"{head}{place.nth} days{tail}")
    return Refused("it is not certain whether it counts in the month or from one to the next", forms)


def _with_day(text: str, day: str) -> str:
    head, at, tail = text.partition(" at ")
    return f"{head} on {day}{at}{tail}"


def _times(said: Said) -> list[time]:
    settled = [clocks.settle(spoken, said.part, said.phrase) for spoken in said.spoken]
    is_every_day = not (said.places or said.date or said.weekdays or said.left_out or (said.period or (1,))[0] > 1)
    for spoken, clock in zip(said.spoken, settled, strict=True):
        if clock.is_midnight and not is_every_day:
            raise _which_midnight(said, clock, spoken.token.text)
    return sorted({clock.at for clock in settled})


def _which_midnight(said: Said, clock: Clock, text: str) -> Refused:
    at = clocks.shown(clock.at)
    forms = [said.phrase.text.replace(text, at)]
    if said.weekdays:
        after = frozenset((day + 1) % 7 for day in weekdays_of(said))
        forms.append(f"{' and '.join(WEEKDAY_NAMES[day] for day in sorted(after))} at {at}")
    return Refused("midnight may be the begin of the day or its end", forms)


def _each_time(said: Said, times: list[time]) -> Compiled:
    """Return cron, or RFC 5545 where cron cannot say it."""
    fields = clock_fields(times)
    day, weekday, notes = day_fields(said)
    if fields is None:
        return Compiled(kind=TriggerKind.RRULE, expression=uneven(said, times), notes=notes)
    if day == "first":
        parts = f"FREQ=MONTHLY{by_month(said)};BYDAY={','.join(CODES[:5])};BYSETPOS=1"
        if len(times) > 1:
            raise one_each(said)
        return Compiled(kind=TriggerKind.RRULE, expression=f"{parts};{clock_parts(times)}", notes=notes)
    month = str(said.date[0]) if said.date else month_field(said)
    return Compiled(kind=TriggerKind.CRON, expression=f"{fields} {day} {month} {weekday}", notes=notes)
