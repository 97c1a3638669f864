"""Phrases read by the strict grammar of domain/plain; for instants in other words, dateparser's reading, checked."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput, InvalidInterval, InvalidTrigger
from promptyoself.domain.localtime import parse_instant, to_wall, zone
from promptyoself.domain.plain import moments, recurrences
from promptyoself.domain.plain.compiling import compile_rule
from promptyoself.domain.plain.moments import Moment, read_moment
from promptyoself.domain.plain.recurrences import read_rule_words
from promptyoself.domain.plain.said import Compiled
from promptyoself.domain.plain.suggestions import Reads, Refused, hint, is_english, nearest, unknown_words
from promptyoself.domain.plain.tokens import Phrase, tokenise
from promptyoself.domain.plain.vocabulary import WEEKDAYS
from promptyoself.domain.plain.zones import city_forms, take_zone
from promptyoself.domain.triggers import make_trigger
from promptyoself.domain.values import dataclass

_SHOWN_CHARS_MAX: Final = 80
_WORD: Final = re.compile(r"[^\W\d_]{3}")
"""Every phrase of another language has a word; without one dateparser guesses at letters (`1 h T m`, `t8`)."""
_ISO_WITH_OFFSET: Final = re.compile(r"[0-9-]{10}T[0-9:]+[+-][0-9:]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Where and when a phrase is read; `now` is aware UTC."""

    timezone: str
    now: datetime
    is_timezone_given: bool
    """Whether the caller chose `timezone`: then a phrase may not name another."""


def moment_in_words(text: str, context: Context) -> tuple[Moment, str]:
    """Return the instant that a phrase names, and its zone. Raises InvalidTrigger with the nearest forms."""
    phrase = tokenise(text)
    try:
        return _moment(phrase, context)
    except Refused as refused:
        if refused.is_foreign or unknown_words(phrase):
            found = _foreign(phrase, context)
            if found is not None:
                return found
        message, forms = _refusal("time", phrase, refused, moments.SHAPES, lambda form: _moment_form(form, context))
        raise InvalidTrigger(message, hint=forms) from None


def rule_in_words(text: str, context: Context, *, begin_at: datetime) -> tuple[Compiled, str]:
    """Return the rule that a phrase says, and its zone. Raises InvalidInterval with the nearest forms."""
    phrase = tokenise(text)

    def reads(form: str) -> object:
        return _rule(tokenise(form), context, begin_at)

    try:
        return _rule(phrase, context, begin_at)
    except Refused as refused:
        message, forms = _refusal("interval or rule", phrase, refused, recurrences.SHAPES, reads)
        raise InvalidInterval(message, hint=forms) from None


def is_rule(text: str, context: Context) -> bool:
    """Return whether a text is a rule in words."""
    return _is_read(lambda: _rule(tokenise(text), context, context.now))


def is_moment(text: str, context: Context) -> bool:
    """Return whether a text is an instant in words of our own grammar."""
    return _is_read(lambda: _moment(tokenise(text), context))


def _is_read(read: Callable[[], object]) -> bool:
    try:
        read()
    except (Refused, InvalidInput):
        return False
    return True


def _moment(phrase: Phrase, context: Context) -> tuple[Moment, str]:
    rest, here = _zoned(phrase, context)
    return read_moment(rest, timezone=here, now=context.now), here


def _moment_form(form: str, context: Context) -> object:
    """Read a form that may be ISO 8601 too. Raises InvalidTrigger for a past one."""
    if not _ISO_WITH_OFFSET.fullmatch(form):
        return _moment(tokenise(form), context)
    at = parse_instant(form, timezone=context.timezone)
    if at <= context.now:
        raise InvalidTrigger(f"{form} is not in the future")
    return at


def _rule(phrase: Phrase, context: Context, begin_at: datetime) -> tuple[Compiled, str]:
    rest, here = _zoned(phrase, context)
    begin = max(begin_at, context.now)
    compiled = compile_rule(read_rule_words(rest), wall=to_wall(begin, zone(here)))
    make_trigger(compiled.kind, compiled.expression, timezone=here, now=context.now)
    return compiled, here


def _zoned(phrase: Phrase, context: Context) -> tuple[Phrase, str]:
    rest, named = take_zone(phrase)
    if named and context.is_timezone_given and named != context.timezone:
        raise Refused(f"it says {named}, and the timezone given is {context.timezone}; give one of them")
    return rest, named or context.timezone


def _refusal(
    what: str, phrase: Phrase, refused: Refused, shapes: tuple[str, ...], reads: Reads
) -> tuple[str, str | None]:
    """Return the sentence of a refusal, and its hint: forms near what was said."""
    near = [*refused.forms, *(city_forms(phrase) if unknown_words(phrase) else ())]
    zoned = Refused(refused.message, [_with_zone(form, phrase) for form in near])
    forms = nearest(phrase, zoned, shapes=shapes, reads=reads)
    shown = repr(phrase.text[:_SHOWN_CHARS_MAX])
    return f"{what} {shown} cannot be used: {refused.message}", hint(forms) if forms else None


def _with_zone(form: str, phrase: Phrase) -> str:
    """Return a form with the zone of the phrase that it stands for."""
    named = next((token.text for token in phrase.tokens if token.kind == "zone" or token.text == "utc"), "")
    if not named or named.split("/")[0] in WEEKDAYS or "/" in form or "utc" in form or _ISO_WITH_OFFSET.fullmatch(form):
        return form
    return f"{form} {named}"


def _foreign(phrase: Phrase, context: Context) -> tuple[Moment, str] | None:
    """Return what dateparser certainly reads, or None; a time of day or a span has a digit in it."""
    has_both = any(one.isdigit() for one in phrase.text) and _WORD.search(phrase.text)
    if len(phrase.text) > limits.FOREIGN_CHARS_MAX or not has_both or is_english(phrase):
        return None
    from promptyoself.application.foreign import read_foreign  # a third of a second to import

    try:
        rest, here = _zoned(phrase, context)
    except (Refused, InvalidInput):
        return None
    gone = [token for token in phrase.tokens if token not in rest.tokens]
    text = phrase.text
    for token in reversed(gone):
        text = text[: token.begin] + text[token.end :]
    at = read_foreign(" ".join(text.split()), timezone=here, now=context.now)
    return None if at is None else (at, here)
