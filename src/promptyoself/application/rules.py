"""Whatever text a caller gives for a rule or an instant, read: cron, a duration, ISO 8601, RFC 5545, or plain words."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from promptyoself.application.readings import Context, is_moment, is_rule, moment_in_words, rule_in_words
from promptyoself.domain.errors import InvalidInput, InvalidInterval, InvalidTrigger
from promptyoself.domain.intervals import format_duration
from promptyoself.domain.localtime import zone
from promptyoself.domain.triggers import TriggerKind, check_timezone, make_trigger, parse_duration, parse_instant
from promptyoself.domain.values import dataclass

OPTIONS: Final = {
    TriggerKind.ONCE: "--time",
    TriggerKind.CRON: "--cron",
    TriggerKind.INTERVAL: "--every",
    TriggerKind.RRULE: "--rrule",
}
"""The option that takes each kind of expression as it is."""
_RRULE: Final = re.compile(r"\s*(?:RRULE|DTSTART|RDATE|EXDATE|FREQ)\b", re.IGNORECASE)
_CRON_FIELD: Final = re.compile(r"[0-9*?/,LWH-]+", re.IGNORECASE)
_CRON_FIELDS: Final = (5, 6, 7)
_CRON_OF_OTHERS: Final = re.compile(r"\s*(?:@|cron\(|rate\(|(?:cron_)?tz=)", re.IGNORECASE)
"""How cron begins that only other readers take: our own says what to write for it."""
_ISO_LIKE: Final = re.compile(r"\s*\d{4}-?\d\d[\dTtZz:.,+\s-]*", re.ASCII)
"""Text that means to be ISO 8601, or nothing: its own error says what is wrong with it."""
_DURATION_LIKE: Final = re.compile(r"\s*(?:[+-]?\d+|-.*|P[\dT].*|(?:\d+ ?[wdhms] ?)+)\s*", re.ASCII | re.IGNORECASE)
_AGAIN: Final = (
    r"every|each|other|between|weekdays|weekends|(?:mon|tues|wednes|thurs|fri|satur|sun)days"
    r"|hourly|daily|weekly|monthly|yearly|fortnightly"
)
_SAYS_AGAIN: Final = re.compile(rf"\b(?:{_AGAIN})\b", re.IGNORECASE)
"""Words that nobody takes for one time only."""
_RECURRING: Final = re.compile(rf"\b(?:weekday|weekend|{_AGAIN})\b", re.IGNORECASE)
"""Words that only a rule has; yet who says `weekday at 9am` may mean the next one."""
_SHOWN_CHARS_MAX: Final = 80
_RECURS: Final = re.compile(r"\s*(?:every|each|hourly|daily|weekly|monthly|yearly|fortnightly)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule that was read: what make_trigger takes, and how it came about."""

    kind: TriggerKind
    expression: str
    """What is stored, and can be typed back as the value of `option`."""
    timezone: str
    """The IANA zone: the one that the words name, else the one given to the reader."""
    given: str
    """The text as it was given."""
    option: str
    """`--time`, `--cron`, `--every` or `--rrule`."""
    is_phrase: bool = False
    """True when it was given in plain words and compiled."""
    notes: tuple[str, ...] = ()
    """Sentences about what the words may also mean, for the answer's warnings."""


def read_rule(text: str, *, timezone: str, now: datetime, is_timezone_given: bool = False) -> Rule:
    """Return the rule that `text` means, whatever way it is written.

    That is cron (five or six fields, or an alias), a duration, an ISO 8601 date and time, RFC 5545 lines, or a phrase:
    one that begins with `every` recurs, as does one that could be nothing else (`weekday at 9am`); any other names one
    instant. `now` is aware; `timezone` is where walls are read unless the phrase names a zone, which is refused when
    `is_timezone_given` and the two differ. Raises InvalidTrigger, InvalidInterval or InvalidTimezone; of a phrase the
    hint holds the nearest forms.
    """
    check_timezone(timezone)
    kind = _kind(text)
    if kind is None:
        context = _context(timezone, now, is_timezone_given=is_timezone_given)
        read = read_every if _RECURS.match(text) or _only_recurs(text, context) else read_time
        return read(text, timezone=timezone, now=now, is_timezone_given=is_timezone_given)
    make_trigger(kind, text.strip(), timezone=timezone, now=now)
    return Rule(kind=kind, expression=text.strip(), timezone=timezone, given=text, option=OPTIONS[kind])


def read_when(text: str, *, timezone: str, now: datetime, is_timezone_given: bool = False) -> tuple[str, str]:
    """Return the option that takes `text` as it is (`time`, `cron`, `every`, `rrule`), and the text for it.

    For doors that have one place for once and for again and again: what could be either is refused, with both ways to
    write it. Raises as read_rule.
    """
    said = text.strip()
    if _is_duration(said):
        raise _either(said)
    context = _context(timezone, now, is_timezone_given=is_timezone_given)
    recurs = bool(_RECURRING.search(said)) and not is_moment(said, context)
    read = read_every if recurs and _kind(said) is None else read_rule
    rule = read(said, timezone=timezone, now=now, is_timezone_given=is_timezone_given)
    if not rule.is_phrase:
        return rule.option.removeprefix("--"), said
    if rule.kind is not TriggerKind.ONCE and not _SAYS_AGAIN.search(said):
        raise InvalidTrigger(
            f"{said[:_SHOWN_CHARS_MAX]!r} does not say whether once or again and again",
            hint=f'write "every {said}" for again and again, or name the day, as in "next monday at 9am", for once',
        )
    return ("time" if rule.kind is TriggerKind.ONCE else "every"), said


def read_time(text: str, *, timezone: str, now: datetime, is_timezone_given: bool = False) -> Rule:
    """Return the one instant that `text` means: ISO 8601 as it is (past ones too), or a phrase, in the future.

    Raises as read_rule. What recurs is refused with the way to say so.
    """
    if _is_iso(text):
        parse_instant(text, timezone=timezone)
        return Rule(kind=TriggerKind.ONCE, expression=text.strip(), timezone=timezone, given=text, option="--time")
    context = _context(timezone, now, is_timezone_given=is_timezone_given)
    try:
        moment, here = moment_in_words(text, context)
    except InvalidInput as refused:
        raise _other_door(text, refused, "--every", context) from None
    local = moment.at.astimezone(zone(here))
    wall = f"{local:%Y-%m-%dT%H:%M:%S}" if local.second else f"{local:%Y-%m-%dT%H:%M}"
    return Rule(
        kind=TriggerKind.ONCE,
        expression=local.isoformat() if moment.is_span else wall,
        timezone=here,
        given=text,
        option="--time",
        is_phrase=True,
        notes=moment.notes,
    )


def read_every(
    text: str, *, timezone: str, now: datetime, is_timezone_given: bool = False, begin_at: datetime | None = None
) -> Rule:
    """Return the recurring rule that `text` means: a duration as it is, or a phrase, with or without `every`.

    A step of several days counts from the first day after `begin_at` (aware; `now` when None). Raises as read_rule.
    """
    if _is_duration(text):
        parse_duration(text)
        kind = TriggerKind.INTERVAL
        return Rule(kind=kind, expression=text.strip(), timezone=timezone, given=text, option=OPTIONS[kind])
    context = _context(timezone, now, is_timezone_given=is_timezone_given)
    try:
        compiled, here = rule_in_words(text, context, begin_at=begin_at or now)
    except InvalidInput as refused:
        raise _other_door(text, refused, "--time", context) from None
    return Rule(
        kind=compiled.kind,
        expression=compiled.expression,
        timezone=here,
        given=text,
        option=OPTIONS[compiled.kind],
        is_phrase=True,
        notes=compiled.notes,
    )


def _either(said: str) -> InvalidInput:
    """Return the refusal of a span alone: one from now, or one again and again."""
    span = _span(said)
    if span is None:
        return InvalidTrigger(
            f"{said[:_SHOWN_CHARS_MAX]!r} is neither a time nor a rule",
            hint='write "in 45 minutes", "tomorrow at 9am" or 2030-01-31T09:00 for once, "every 45 minutes" or '
            '"every weekday at 9am" for again and again',
        )
    length = format_duration(span)
    return InvalidTrigger(
        f"{said[:_SHOWN_CHARS_MAX]!r} does not say whether once or again and again",
        hint=f'write "in {length}" for once, or "every {length}" for again and again',
    )


def _only_recurs(text: str, context: Context) -> bool:
    return bool(_RECURRING.search(text)) and not is_moment(text, context) and is_rule(text, context)


def _context(timezone: str, now: datetime, *, is_timezone_given: bool) -> Context:
    check_timezone(timezone)
    return Context(timezone=timezone, now=now.astimezone(UTC), is_timezone_given=is_timezone_given)


def _kind(text: str) -> TriggerKind | None:
    """Return what kind of expression `text` is; None for what can only be words."""
    fields = text.split()
    if _RRULE.match(text):
        return TriggerKind.RRULE
    is_counted = len(fields) in _CRON_FIELDS or (len(fields) > 1 and "*" in fields)
    if _CRON_OF_OTHERS.match(text) or (is_counted and all(_CRON_FIELD.fullmatch(field) for field in fields[:2])):
        return TriggerKind.CRON
    if _is_duration(text):
        return TriggerKind.INTERVAL
    return TriggerKind.ONCE if _is_iso(text) else None


def _is_iso(text: str) -> bool:
    try:
        parse_instant(text, timezone="UTC")
    except InvalidTrigger:
        return not text.strip() or bool(_ISO_LIKE.fullmatch(text))
    return True


def _is_duration(text: str) -> bool:
    try:
        parse_duration(text)
    except InvalidInterval:
        return not text.strip() or bool(_DURATION_LIKE.fullmatch(text))
    return True


def _span(text: str) -> timedelta | None:
    try:
        return parse_duration(text)
    except InvalidInterval:
        return None


def _other_door(text: str, refused: InvalidInput, option: str, context: Context) -> InvalidInput:
    """Return the refusal, or when the phrase belongs to the other option, one that says so."""
    said = " ".join(text.split())
    if (other := _notation(text.strip(), context, is_time=option == "--every")) is not None:
        return other
    hint = f'give it to {option}: "{said}"'
    if option == "--every" and (span := _span(said)) is not None:
        return InvalidTrigger(
            f"time {said[:_SHOWN_CHARS_MAX]!r} is a span: one from now begins with 'in'",
            hint=f'write "in {format_duration(span)}"',
        )
    if option == "--every" and _RECURRING.search(text) and is_rule(text, context):
        return type(refused)(f"time {said!r} recurs, and one instant is needed", hint=hint)
    if option == "--time" and is_moment(text, context):
        return type(refused)(f"interval or rule {said!r} is one instant, and does not recur", hint=hint)
    return refused


def _notation(said: str, context: Context, *, is_time: bool) -> InvalidInput | None:
    """Return the refusal of what is no phrase but cron, RFC 5545 or another scheduler's, with where it belongs."""
    from promptyoself.domain.dialects import refusal

    shown = repr(said[:_SHOWN_CHARS_MAX])
    kind = _kind(said)
    if kind in {TriggerKind.CRON, TriggerKind.RRULE}:
        what, hint = _belongs(kind, said, context)
    elif (found := refusal(said)) is not None:
        what, hint = found
    else:
        return None
    if is_time:
        return InvalidTrigger(f"time {shown} is {what}", hint=hint)
    return InvalidInterval(f"interval or rule {shown} is {what}", hint=hint)


def _belongs(kind: TriggerKind, said: str, context: Context) -> tuple[str, str]:
    """Return what an expression for another option is, and which; of one that is wrong there too, what is wrong."""
    what = "a cron expression" if kind is TriggerKind.CRON else "a recurrence rule of RFC 5545"
    try:
        make_trigger(kind, said, timezone=context.timezone, now=context.now)
    except InvalidInput as wrong:
        return what, wrong.hint or str(wrong)
    return what, f"give it to {OPTIONS[kind]}: {said!r}"
