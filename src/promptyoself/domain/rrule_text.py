"""Reading a recurrence rule's parts, `FREQ=...`; rrule_lines reads the lines around them.

Every part is checked against the ranges of RFC 5545, section 3.3.10, before anything is evaluated, so that hostile
text costs no more than honest text.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from math import prod
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidTrigger
from promptyoself.domain.localtime import to_wall, zone
from promptyoself.domain.rrule_gaps import gaps
from promptyoself.domain.rrule_lines import HINT, Lines, read_lines, stamp
from promptyoself.domain.rrules import Freq, Recurrence
from promptyoself.domain.values import dataclass, replace

_WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_RANGES: Final = {  # part: (lowest, highest, whether negative ones count from the end)
    "BYMONTH": (1, 12, False),
    "BYWEEKNO": (1, 53, True),
    "BYYEARDAY": (1, 366, True),
    "BYMONTHDAY": (1, 31, True),
    "BYHOUR": (0, 23, False),
    "BYMINUTE": (0, 59, False),
    "BYSECOND": (0, 59, False),
    "BYSETPOS": (1, 366, True),
}
_PARTS: Final = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", *_RANGES}
_BYDAY: Final = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_WEEKS_MAX: Final = 53


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that was read: its walls, and the bounds that speak of instants."""

    recurrence: Recurrence
    begin_at: datetime
    """DTSTART as aware UTC; no fire before."""
    count: int | None
    """Fire times of the RRULE, counted from `begin_at`, those left out included."""
    until_at: datetime | None
    """Aware UTC; no fire of the RRULE after."""
    lines: Lines
    """RDATE and EXDATE as they were given."""
    gaps: tuple[tuple[datetime, datetime], ...]
    """Where nothing fires, as EXDATE says: begins (inclusive) and ends (exclusive), ascending and apart."""


@lru_cache(maxsize=4096)
def parse_rrule(expression: str, timezone: str, anchor_at: datetime) -> Rule:
    """Return the rule that `expression` says, on the wall clock of `timezone`.

    Without a DTSTART it begins at `anchor_at` (aware UTC), whose date and time of day stand for parts not given. An
    UNTIL that is only a date includes that day. Raises InvalidTrigger, whose message names part, value and range.
    """
    lines = read_lines(expression, timezone)
    parts = _parts(lines.rule)
    here = zone(timezone)
    begin_at = lines.start_at or anchor_at
    dtstart = to_wall(begin_at, here).replace(microsecond=0)
    freq = _freq(parts)
    numbers = {name: _numbers(name, parts[name]) for name in _RANGES if name in parts}
    plain, nth = _byday(parts.get("BYDAY"))
    _check_combinations(freq, set(parts), has_nth=bool(nth))
    count = _integer("COUNT", parts["COUNT"], limits.RRULE_COUNT_MAX) if "COUNT" in parts else None
    recurrence = Recurrence(
        freq=freq,
        dtstart=dtstart,
        interval=_integer("INTERVAL", parts.get("INTERVAL", "1"), limits.RRULE_INTERVAL_MAX),
        wkst=_wkst(parts.get("WKST", "MO")),
        by_weekday=plain,
        by_nth=nth,
        by_weekno=numbers.get("BYWEEKNO", ()),
        by_yearday=numbers.get("BYYEARDAY", ()),
        by_setpos=numbers.get("BYSETPOS", ()),
        by_month=numbers.get("BYMONTH", ()),
        by_monthday=numbers.get("BYMONTHDAY", ()),
        by_hour=numbers.get("BYHOUR", ()),
        by_minute=numbers.get("BYMINUTE", ()),
        by_second=numbers.get("BYSECOND", ()),
    )
    recurrence = _completed(recurrence)
    until_at = stamp("UNTIL", parts["UNTIL"], timezone, is_end=True) if "UNTIL" in parts else None
    return Rule(recurrence, begin_at, count, until_at, lines, gaps(lines, here))


def _parts(rule: str) -> dict[str, str]:
    """Return the parts of an RRULE's value."""
    parts: dict[str, str] = {}
    for item in rule.strip(";").split(";"):
        key, equals, value = (text.strip() for text in item.partition("="))
        if not equals or key not in _PARTS or not value:
            raise InvalidTrigger(
                f"rrule part {item[:80]!r} is not understood; known are {', '.join(sorted(_PARTS))}", hint=HINT
            )
        if key in parts:
            raise InvalidTrigger(f"rrule part {key} is given twice", hint=HINT)
        parts[key] = value
    return parts


def _freq(parts: dict[str, str]) -> Freq:
    try:
        return Freq[parts.get("FREQ", "")]
    except KeyError as exc:
        known = ", ".join(freq.name for freq in Freq)
        raise InvalidTrigger(
            f"rrule's FREQ {parts.get('FREQ', '(missing)')[:80]!r} is not one of {known}", hint=HINT
        ) from exc


def _integer(name: str, text: str, highest: int) -> int:
    if re.fullmatch(r"[0-9]{1,9}", text) and 1 <= int(text) <= highest:
        return int(text)
    raise InvalidTrigger(f"rrule's {name} {text[:80]!r} is outside 1-{highest}", hint=HINT)


def _numbers(name: str, text: str) -> tuple[int, ...]:
    low, high, may_be_negative = _RANGES[name]
    found = set()
    for item in text.split(","):
        number = int(item) if re.fullmatch(r"[+-]?[0-9]{1,3}", item) else None
        if number is None or not (low <= number <= high or (may_be_negative and -high <= number <= -low)):
            allowed = f"{low}-{high}" + (f" or -{high} to -{low}" if may_be_negative else "")
            raise InvalidTrigger(f"rrule's {name} {item[:80]!r} is outside {allowed}", hint=HINT)
        found.add(number)
    return tuple(sorted(found))


def _byday(text: str | None) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    plain, nth = set(), set()
    for item in text.split(",") if text else ():
        found = _BYDAY.fullmatch(item)
        number = int(found[1]) if found and found[1] else None
        if found is None or number == 0 or abs(number or 0) > _WEEKS_MAX:
            raise InvalidTrigger(
                f"rrule's BYDAY {item[:80]!r} is not a day such as MO, 1MO or -1FR (numbers 1-{_WEEKS_MAX})",
                hint=HINT,
            )
        if number is None:
            plain.add(_WEEKDAYS.index(found[2]))
        else:
            nth.add((_WEEKDAYS.index(found[2]), number))
    return tuple(sorted(plain)), tuple(sorted(nth))


def _wkst(text: str) -> int:
    if text not in _WEEKDAYS:
        raise InvalidTrigger(f"rrule's WKST {text[:80]!r} is not one of {', '.join(_WEEKDAYS)}", hint=HINT)
    return _WEEKDAYS.index(text)


def _check_combinations(freq: Freq, given: set[str], *, has_nth: bool) -> None:
    """Refuse what RFC 5545 forbids: the table of section 3.3.10 marks it N/A or MUST NOT."""
    forbidden = {
        "COUNT and UNTIL together": {"COUNT", "UNTIL"} <= given,
        "BYWEEKNO outside FREQ=YEARLY": "BYWEEKNO" in given and freq is not Freq.YEARLY,
        f"BYYEARDAY with FREQ={freq.name}": "BYYEARDAY" in given and freq in {Freq.MONTHLY, Freq.WEEKLY, Freq.DAILY},
        "BYMONTHDAY with FREQ=WEEKLY": "BYMONTHDAY" in given and freq is Freq.WEEKLY,
        f"a numbered BYDAY with FREQ={freq.name}": has_nth and freq not in {Freq.YEARLY, Freq.MONTHLY},
        "a numbered BYDAY with BYWEEKNO": has_nth and "BYWEEKNO" in given,
        "BYSETPOS without another BY part": "BYSETPOS" in given
        and not any(name.startswith("BY") and name != "BYSETPOS" for name in given),
    }
    for what, is_so in forbidden.items():
        if is_so:
            raise InvalidTrigger(f"rrule has {what}, which RFC 5545 forbids", hint=HINT)


def _completed(rule: Recurrence) -> Recurrence:
    """Return `rule` with what it leaves open taken from DTSTART, as RFC 5545 says."""
    start = rule.dtstart
    has_days = bool(rule.by_weekno or rule.by_yearday or rule.by_monthday or rule.by_weekday or rule.by_nth)
    if not has_days and rule.freq is Freq.YEARLY:
        rule = replace(rule, by_month=rule.by_month or (start.month,), by_monthday=(start.day,))
    elif not has_days and rule.freq is Freq.MONTHLY:
        rule = replace(rule, by_monthday=(start.day,))
    elif not has_days and rule.freq is Freq.WEEKLY:
        rule = replace(rule, by_weekday=(start.weekday(),))
    rule = replace(
        rule,
        by_hour=rule.by_hour or ((start.hour,) if rule.freq <= Freq.DAILY else ()),
        by_minute=rule.by_minute or ((start.minute,) if rule.freq <= Freq.HOURLY else ()),
        by_second=rule.by_second or ((start.second,) if rule.freq <= Freq.MINUTELY else ()),
    )
    lists = (rule.by_hour, rule.by_minute, rule.by_second)
    times = prod(len(numbers) for numbers in lists[max(0, rule.freq - Freq.DAILY) :])
    if times > limits.RRULE_TIMES_MAX:
        raise InvalidTrigger(
            f"rrule's BYHOUR, BYMINUTE and BYSECOND make {times} times in one period; "
            f"the most is {limits.RRULE_TIMES_MAX}",
            hint="use a finer FREQ, such as MINUTELY",
        )
    return rule
