"""Reading a cron expression, field by field; what cannot be meant is refused with what to write in its place."""

from __future__ import annotations

import re
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.cron_fields import DAY, FIELDS, MONTH, WEEKDAY, Field
from promptyoself.domain.errors import InvalidTrigger
from promptyoself.domain.values import dataclass

ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_HINT: Final = "five fields: minute hour day-of-month month day-of-week, such as '30 9 * * mon-fri'"
_TERM: Final = re.compile(
    r"(?P<star>\*)(?:/(?P<star_step>\w+))?|(?P<low>\w+)(?:-(?P<high>\w+))?(?:/(?P<step>\w+))?|(?P<day>\w+)#(?P<nth>\w+)",
    re.ASCII | re.IGNORECASE,
)
_TORN: Final = re.compile(r".*[,/#-]|[,/#-]\w*", re.ASCII)
_NAMED_DAY: Final = re.compile(r"(?<![#/\d])[1-7](?!\d)")
_YEAR: Final = re.compile(r"[12]\d\d\d(?:[-,/*\d]*)", re.ASCII)
_RATE: Final = re.compile(r"rate\( *(\d{1,6}) *(minute|hour|day)s? *\)", re.ASCII)
_SIX: Final = len(FIELDS)


def read(expression: str) -> tuple[str, str, str, str, str, str]:
    """Return the six fields with names as numbers, `?` as `*`, the first "0" when five are given.

    Raises InvalidTrigger, whose message holds the word cron, the field, the value and the range allowed.
    """
    text = _expanded(expression)
    if not text.isascii():
        raise InvalidTrigger(f"cron expression {_shown(expression)} holds a character cron does not know", hint=_HINT)
    parts = text.split()
    if len(parts) == _SIX - 1:
        parts.insert(0, "0")
    else:
        _check_count(parts, expression)
    second, minute, hour, day, month, weekday = (
        _Reader(field, expression).field(part) for part, field in zip(parts, FIELDS, strict=True)
    )
    return second, minute, hour, day, month, weekday


# -- other dialects -----------------------------------------------------------------------------------------


def _expanded(expression: str) -> str:
    text = expression.strip()
    lowered = text.lower()
    if lowered == "@reboot":
        raise InvalidTrigger(
            "cron's @reboot is not a time: there is no reboot here that it could mean",
            hint="use a time, an interval, or one of " + " ".join(ALIASES),
        )
    if lowered.startswith("@") and lowered not in ALIASES:
        from promptyoself.domain.dialects import refusal

        _, instead = refusal(text) or ("", "for a period use an interval, such as --every 90s or --every 5m")
        raise InvalidTrigger(f"cron alias {_shown(expression)} is not one of {' '.join(ALIASES)}", hint=instead)
    if lowered.startswith(("tz=", "cron_tz=")):
        raise InvalidTrigger(
            f"cron expression {_shown(expression)} names its timezone within",
            hint="give the timezone beside the expression, with --timezone",
        )
    if lowered.startswith("rate("):
        found = _RATE.fullmatch(lowered)
        period = f"{found[1]}{found[2][0]}" if found else "5m"
        raise InvalidTrigger(
            f"cron expression {_shown(expression)} is a rate of EventBridge, not cron",
            hint=f"give an interval: --every {period}",
        )
    if lowered.startswith("cron("):
        raise InvalidTrigger(
            f"cron expression {_shown(expression)} is wrapped in cron(), as EventBridge writes it",
            hint=_instead(text[5:].rstrip(" )").split()) or _HINT,
        )
    return ALIASES.get(lowered, text)


def _check_count(parts: list[str], expression: str) -> None:
    """Refuse fields that are not six: torn apart by spaces, with a year last (EventBridge, Quartz), or miscounted."""
    torn = next((part for part in parts if _TORN.fullmatch(part)), None)
    if torn:
        raise InvalidTrigger(
            f"cron expression {_shown(expression)} has a piece {torn[:50]!r} that leads nowhere",
            hint="lists, ranges and steps take no spaces: mon,fri or 9-17 or */15",
        )
    has_year = len(parts) >= _SIX and _YEAR.fullmatch(parts[-1])
    if len(parts) == _SIX + 1 and (has_year or parts[-1] in {"*", "?"}):
        dialect = "Quartz"
    elif len(parts) == _SIX and (has_year or parts[2] == "?" or parts[4] == "?"):
        dialect = "EventBridge"
    elif len(parts) == _SIX:
        return
    else:
        counted = f"{len(parts)} field{'' if len(parts) == 1 else 's'}"
        raise InvalidTrigger(
            f"cron expression {_shown(expression)} has {counted}; it takes 5, or 6 with seconds first",
            hint=_HINT if len(parts) < _SIX else f"no year and no command comes behind them; {_HINT}",
        )
    raise InvalidTrigger(
        f"cron expression {_shown(expression)} ends with a year, as {dialect} writes it; cron here takes none",
        hint=_instead(parts) or f"leave the year out and bound the schedule with --start-at and --end-at; {_HINT}",
    )


def _instead(parts: list[str]) -> str:
    """Return what to write for fields of Quartz or EventBridge (a year last, 1 = Sunday), or nothing."""
    if len(parts) in {_SIX, _SIX + 1}:
        *parts, year = parts
        parts[-1] = named_weekdays(parts[-1])
        text = " ".join("*" if part == "?" else part for part in parts)
        bounds = "" if year in {"*", "?"} else f", and bound it to {year[:50]} with --start-at and --end-at"
    else:
        text, bounds = " ".join(parts), ""
    try:
        read(text)
    except InvalidTrigger:
        return ""
    return f"write '{text}'{bounds}"


def named_weekdays(field: str) -> str:
    """Return a day-of-week field of Quartz, where 1 is Sunday and 7 Saturday, with its numbers as names."""
    if field.upper() == "L":
        return "sat"
    # 2/2 ends with 7, their Saturday; mon/2 would go on to our 7, which is Sunday.
    ended = ",".join(re.sub(r"^([1-7])/", r"\1-7/", term) for term in field.split(","))
    return _NAMED_DAY.sub(lambda found: WEEKDAY.names[int(found[0]) - 1].lower(), ended)


# -- fields -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one field of one expression; its messages show terms as they were written."""

    of: Field
    expression: str

    def field(self, part: str) -> str:
        """Return the field with names as numbers and every value checked."""
        if "?" in part:
            return self._question(part)
        terms = part.split(",")
        if len(terms) > limits.CRON_TERMS_MAX:
            raise self._refusal(f"has {len(terms)} terms, more than {limits.CRON_TERMS_MAX}")
        return ",".join(self._term(term) for term in terms)

    def _question(self, part: str) -> str:
        if self.of not in {DAY, WEEKDAY}:
            raise self._refusal(f"{part[:50]!r}: '?' belongs into day-of-month or day-of-week; write * for any")
        if part != "?":
            raise self._refusal(f"{part[:50]!r}: '?' means no specific value and stands alone")
        return "*"

    def _term(self, written: str) -> str:
        if self.of in {DAY, WEEKDAY} and (special := self._special(written)):
            return special
        found = _TERM.fullmatch(written)
        if found is None or (found["nth"] and self.of is not WEEKDAY):
            raise self._refusal(f"{written[:50]!r} cannot be read" if written else "has an empty term in its list")
        if found["star"]:
            return "*" + self._step(found["star_step"], written)
        if found["nth"]:
            day = self._value(found["day"])
            if found["nth"] not in {"1", "2", "3", "4", "5"}:
                raise self._refusal(f"{written[:50]!r}: the week after # is outside 1-5")
            return f"{day}#{found['nth']}"
        return self._span(found["low"], found["high"], found["step"], written)

    def _special(self, written: str) -> str:
        """Return `L`, `LW` and `15W` of day-of-month and `5L` of day-of-week; nothing for what is none of them."""
        term = written.upper()
        if not ("L" in term or "W" in term):
            return ""
        if self.of is WEEKDAY:
            if term == "L":
                raise self._refusal(f"{written!r} names no day; friL is the last Friday of the month")
            return f"{self._value(written[:-1])}L" if term.endswith("L") else ""
        if term in {"L", "LW"}:
            return term
        if re.fullmatch(r"L-[0-9]{1,2}", term):
            raise self._refusal(
                f"{written!r} is read in two ways elsewhere (L-1 as the last day and as the day before), so not here",
                hint=f"--rrule 'FREQ=MONTHLY;BYMONTHDAY={term[1:]}' is plain: -1 is the last day, -2 the one before",
            )
        if term.endswith("W") and term[:-1].isdigit():
            return f"{self._value(term[:-1])}W"
        raise self._refusal(
            f"{written[:50]!r} cannot be read; L is the last day, LW the last Monday to Friday, "
            "15W the Monday to Friday nearest to the 15th"
        )

    def _span(self, first: str, last: str | None, step: str | None, written: str) -> str:
        low, tail = self._value(first), self._step(step, written)
        if not last:
            return f"{low}{tail}"
        high = self._value(last)
        if high < low and self.of is WEEKDAY and last.upper() == "SUN":
            high = 7
        if high < low:
            wrapped = self._unwrapped(low, high, int(tail[1:] or 1), is_named=not first.isdigit())
            raise self._refusal(f"range {written[:50]!r} runs backwards; write {wrapped} instead")
        # 5/2 stands for 5-59/2, so a range of one value drops its step.
        return f"{low}-{high}{tail}" if high > low else str(low)

    def _unwrapped(self, low: int, high: int, step: int, *, is_named: bool) -> str:
        """Return what means the same as a range that runs over the end of its field."""
        end, begin = (6, 0) if self.of is WEEKDAY else (self.of.high, self.of.low)
        if is_named or step > 1:
            found = [*range(low % 7 if self.of is WEEKDAY else low, end + 1), *range(begin, high + 1)][::step]
            return ",".join(self.of.names[value].lower() if is_named else str(value) for value in found)
        if self.of is WEEKDAY:  # 7 is Sunday too
            pairs = [(0, high)] if low == WEEKDAY.high else [(low, WEEKDAY.high), (1, high)]
        else:
            pairs = [(low, end), (begin, high)]
        return ",".join(f"{a}-{b}" if b > a else str(a) for a, b in pairs if a <= b)

    def _value(self, text: str) -> int:
        name = text.upper()
        if name and name in self.of.names:
            return self.of.names.index(name)
        if not text.isdigit() or len(text) > limits.CRON_DIGITS_MAX:
            is_long = len(text) > len("SUN") and name[:3] in self.of.names and text.isalpha()
            cure = f"; write {text[:3].lower()}" if is_long else ""
            raise self._refusal(f"{text[:50]!r} is not a number{' or a name' * bool(self.of.names)}{cure}")
        value = int(text)
        if not self.of.low <= value <= self.of.high:
            raise self._refusal(f"{value} is out of range")
        return value

    def _step(self, text: str | None, written: str) -> str:
        if text is None:
            return ""
        if not text.isdigit() or len(text) > limits.CRON_DIGITS_MAX or int(text) == 0:
            raise self._refusal(f"{written[:50]!r}: step {text[:50]!r} is not a number of 1 or more")
        return f"/{int(text)}"

    def _refusal(self, what: str, hint: str = _HINT) -> InvalidTrigger:
        allowed = f"{self.of.low}-{self.of.high}"
        if self.of is MONTH:
            allowed += " or jan-dec"
        elif self.of is WEEKDAY:
            allowed += " or sun-sat (0 and 7 are Sunday)"
        return InvalidTrigger(
            f"bad cron expression {_shown(self.expression)}: {self.of.name} {what}; allowed is {allowed}", hint=hint
        )


def _shown(text: str) -> str:
    return repr(text[: limits.NAME_CHARS_MAX])
