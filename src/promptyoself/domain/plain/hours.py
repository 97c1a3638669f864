"""Rules within a day: every hour at :30, every 15 minutes between 9:00 and 17:00 on weekdays."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from promptyoself.domain.intervals import format_duration
from promptyoself.domain.plain import clocks
from promptyoself.domain.plain.clocks import HOURS, Spoken
from promptyoself.domain.plain.cron_said import month_field, weekday_field, weekdays_of
from promptyoself.domain.plain.said import ALL_DAYS, Compiled, Said
from promptyoself.domain.plain.suggestions import Refused
from promptyoself.domain.plain.vocabulary import UNIT_S
from promptyoself.domain.triggers import TriggerKind

_CYCLES: Final = {"second": 60, "minute": 60, "hour": HOURS}
_MINUTES: Final = 60


def compile_within_day(said: Said, number: int, unit: str) -> Compiled:
    """Return an interval when nothing but the period was said, else cron. Raises Refused."""
    if said.places or said.date or said.part:
        raise Refused(f"{unit}s do not go with such days; name days of the week, or hours between two times")
    if said.spoken:
        first = said.spoken[0]
        is_minute = unit == "hour" and number == 1 and first.minute is None and first.hour < _MINUTES
        minute = [said.phrase.replaced(first.token, f":{first.hour:02}")] if is_minute else []
        raise Refused(
            f"every {number} {unit}s and a time of day contradict each other" if number > 1
            else f"every {unit} and a time of day contradict each other",
            [*minute, f"day at {first.token.text}"],
        )  # fmt: skip
    is_bare = not (said.weekdays or said.left_out or said.between or said.past or said.months)
    if is_bare:
        length = timedelta(seconds=number * UNIT_S[unit])
        return Compiled(kind=TriggerKind.INTERVAL, expression=format_duration(length))
    if unit == "minute" and number % _MINUTES == 0:
        number, unit = number // _MINUTES, "hour"
    hours, notes = _hours(said, number if unit == "hour" else 1, unit)
    small = _small_fields(said, number, unit)
    days = weekday_field(weekdays_of(said))
    notes += _last(said, number, unit)
    return Compiled(
        kind=TriggerKind.CRON, expression=f"{small} {hours} * {month_field(said)} {days}", notes=tuple(notes)
    )


def _small_fields(said: Said, number: int, unit: str) -> str:
    """Return cron's minute, or second and minute."""
    if unit == "hour":
        return ",".join(map(str, said.past or [0]))
    if said.past:
        raise Refused(f"every {number} {unit}s and a minute of the hour contradict each other")
    _check_even(said, number, unit)
    each = "*" if number == 1 else f"*/{number}"
    return each if unit == "minute" else f"{each} *"


def _check_even(said: Said, number: int, unit: str) -> None:
    """Refuse a step that does not come out even, for it would begin anew in the middle."""
    cycle = _CYCLES[unit]
    if number < cycle and cycle % number == 0:
        return
    even = sorted((step for step in range(1, cycle) if cycle % step == 0), key=lambda step: abs(step - number))[:2]
    token = next((one for one in said.phrase.tokens if one.kind == "number" and one.value == number), None)
    forms = [said.phrase.replaced(token, str(step)) for step in sorted(even)] if token else []
    whole = "a minute" if unit == "second" else "an hour" if unit == "minute" else "a day"
    raise Refused(f"{number} {unit}s do not come out even in {whole}, so the steps would begin anew each time", forms)


def _hours(said: Said, step: int, unit: str) -> tuple[str, list[str]]:
    if said.between is None:
        if step == 1:
            return "*", []
        if said.past:
            raise Refused("from which hour the steps count is not said", [f"{said.phrase.text} between 8:00 and 20:00"])
        _check_even(said, step, unit)
        return f"*/{step}", []
    begin, end = (_on_the_hour(said, spoken, is_end=bool(place)) for place, spoken in enumerate(said.between))
    if begin == end % HOURS:
        raise Refused("between a time and the same time is nothing, or all day")
    span = (end - begin) % HOURS or HOURS
    if step > span or (unit == "hour" and step == span):
        raise Refused(f"{step} hours do not fit between these times")
    found = [(begin + ahead) % HOURS for ahead in range(0, span, step)]
    is_over_midnight = begin + span > HOURS
    if is_over_midnight and weekdays_of(said) != ALL_DAYS:
        raise Refused("hours past midnight belong to the next day, and it is not certain on which days they are meant")
    if is_over_midnight:
        return ",".join(map(str, sorted(found))), []
    last = begin + span - 1
    if len(found) == 1:
        return str(found[0]), []
    return f"{begin}-{last}" + (f"/{step}" if step > 1 else ""), []


def _on_the_hour(said: Said, spoken: Spoken, *, is_end: bool) -> int:
    clock = clocks.settle(spoken, "", said.phrase)
    if clock.at.minute or clock.at.second:
        raise Refused(
            f"{spoken.token.text!r} is not on the hour, which one rule cannot begin or end at",
            [said.phrase.replaced(spoken.token, f"{hour % HOURS}:00") for hour in (clock.at.hour, clock.at.hour + 1)],
        )
    return HOURS if is_end and clock.at.hour == 0 else clock.at.hour


def _last(said: Said, number: int, unit: str) -> list[str]:
    """Say when the last fire is: an end of 17:00 is where it stops, and no fire time itself."""
    if said.between is None:
        return []
    begin, end = (_on_the_hour(said, spoken, is_end=bool(place)) for place, spoken in enumerate(said.between))
    span = ((end - begin) % HOURS or HOURS) * 3600
    step = number * UNIT_S[unit]
    if unit == "hour":
        last = begin * 3600 + (span - 1) // step * step + max(said.past or [0]) * 60
    else:
        last = begin * 3600 + span - step
    hour, rest = divmod(last % 86400, 3600)
    shown = f"{hour:02}:{rest // 60:02}" + (f":{rest % 60:02}" if rest % 60 else "")
    return [f"the last fire is at {shown}: {end % HOURS:02}:00 is where it stops"]
