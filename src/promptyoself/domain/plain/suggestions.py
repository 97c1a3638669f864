"""The nearest forms that would be understood: worked out from what was said, and every one tried before it is shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches
from itertools import islice
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.plain.tokens import Phrase, Token
from promptyoself.domain.plain.vocabulary import EN_TYPED_CHARS_MIN, KNOWN, MONTHS, UNITS

_CLOSE: Final = 0.7
"""How alike a word must be to one that is known (difflib's ratio) to be taken for a slip of the hand."""
_IDLE: Final = frozenset({"the", "on", "at", "by", "before", "from", "then", "a", "an", "day", "of"})
"""Words without which a phrase means what it did with them; `last` and `half` are none."""
_TIMES: Final = {
    "morning": "at 9am",
    "afternoon": "at 3pm",
    "evening": "at 7pm",
    "night": "at 9pm",
    "tonight": "at 9pm",
}
"""Times of day to offer, by the part of the day."""
_TIMED: Final = re.compile(r"[0-9] ?[ap]m\b|[0-9]:[0-9]|\b(?:noon|midday|midnight)\b")
_MEANT: Final = tuple((re.compile(rf"\b{said}\b"), meant) for said, meant in (
    ("(?:working|business) days?|workdays?", "weekday"), ("alternate", "other"),
    ("mo", "mon"), ("tu", "tue"), ("we", "wed"), ("th", "thu"), ("fr", "fri"), ("sa", "sat"), ("su", "sun"),
    ("mwf", "mon, wed, fri"), ("m-f", "mon-fri"), ("tmrw", "tomorrow"), ("tom", "tomorrow"),
    ("(?:a )?couple(?: of)?", "2"), ("a few|few|several", "5"), ("penultimate", "last"),
    ("christmas eve", "24 december"), ("(?:christmas|xmas)(?: day)?", "25 december"),
    ("new year eve", "31 december"), ("new year(?: day)?", "1 january"),
    ("(?:by )?(?:eod|cob|eob|close of business)", "17:00"),
))  # fmt: skip
"""What a word that is not certain, or not read, is most often meant to be: offered, never taken."""
Reads = Callable[[str], object]
"""Reads a form; raises Refused or InvalidInput for one that is not understood."""


class Refused(Exception):
    """A phrase that is not certain. `forms` are phrases that may be what was meant; `is_foreign`: words are unknown."""

    def __init__(self, message: str, forms: Iterable[str] = (), *, is_foreign: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.forms = tuple(forms)
        self.is_foreign = is_foreign


def nearest(phrase: Phrase, refused: Refused, *, shapes: Sequence[str], reads: Reads) -> list[str]:
    """Return up to limits.SUGGESTIONS_MAX forms near a refused phrase, each of which `reads` understands."""
    near = [*refused.forms, *_meant(phrase), *corrected(phrase)]
    own = list(islice(_understood(_with_times(near), reads), limits.SUGGESTIONS_MAX))
    return own or list(islice(_understood(_ranked(phrase.text, shapes), reads), limits.SUGGESTIONS_MAX))


def hint(forms: Sequence[str]) -> str:
    """Return the forms as what to do next."""
    quoted = [f'"{form}"' for form in forms]
    return f"write {', '.join(quoted[:-1])} or {quoted[-1]}" if quoted[1:] else f"write {''.join(quoted)}"


def near_token(phrase: Phrase, token: Token) -> list[str]:
    """Return forms for a phrase with a token that has no place in it."""
    if token.kind == "dotted":
        return [phrase.replaced(token, token.text.replace(".", ":"))]
    if token.text == "and":
        return [phrase.text[: token.begin], phrase.text[token.end :]]
    is_idle = token.kind in {"mark", "clock"} or token.text in _IDLE
    return [phrase.replaced(token, "")] if is_idle else []


def unknown_words(phrase: Phrase) -> list[str]:
    """Return the words of a phrase that mean nothing here."""
    return [token.text for token in phrase.tokens if token.kind == "word" and token.text not in KNOWN]


def is_english(phrase: Phrase) -> bool:
    """Return whether a phrase has a word, or a slip in a long one, that is English and nothing else."""
    return any(
        token.text in _ENGLISH
        or (
            _ENGLISH_CHARS_MIN <= len(token.text) <= limits.TYPO_CHARS_MAX
            and get_close_matches(token.text, _ENGLISH_LONG, n=1, cutoff=_ENGLISH_CLOSE)
        )
        for token in phrase.tokens[: limits.TYPOS_MAX * 4]
    )


def corrected(phrase: Phrase) -> list[str]:
    """Return the phrase with slips of the hand put right, when every word can be."""
    unknown = [token for token in phrase.tokens if token.kind == "word" and token.text not in KNOWN]
    if not 1 <= len(unknown) <= limits.TYPOS_MAX:
        return []
    text, shift = phrase.text, 0
    for token in unknown:
        word = token.text[: limits.TYPO_CHARS_MAX]
        close = get_close_matches(word, _WORDS, n=1, cutoff=_CLOSE) if len(word) >= EN_TYPED_CHARS_MIN else []
        if not close:
            return []
        text = text[: token.begin + shift] + close[0] + text[token.end + shift :]
        shift += len(close[0]) - len(token.text)
    return [text]


def with_time(form: str) -> str:
    """Return a form with a time of day, one of the part of the day that it names."""
    return f"{form} {next((time for part, time in _TIMES.items() if part in form), 'at 9am')}"


def _meant(phrase: Phrase) -> list[str]:
    text = phrase.text
    for pattern, meant in _MEANT:
        text = pattern.sub(meant, text)
    return [text] if text != phrase.text else []


def _with_times(forms: Iterable[str]) -> Iterable[str]:
    for form in forms:
        yield form
        if form.strip() and not _TIMED.search(form):
            yield with_time(form)


def _understood(forms: Iterable[str], reads: Reads) -> Iterable[str]:
    """Yield the forms that are understood; in the place of one that is not, the forms near it."""
    waiting, seen = list(forms), set[str]()
    while waiting and len(seen) < limits.SUGGESTIONS_TRIED_MAX:
        plain = " ".join(waiting.pop(0).split())
        if not plain or plain in seen:
            continue
        seen.add(plain)
        try:
            reads(plain)
        except Refused as refused:
            waiting += refused.forms
        except InvalidInput:
            continue
        else:
            yield plain


def _ranked(text: str, shapes: Sequence[str]) -> list[str]:
    said = set(text.split())

    def likeness(shape: str) -> float:
        return len(said & set(shape.split())) + SequenceMatcher(None, text, shape, autojunk=False).ratio()

    return sorted(shapes, key=likeness, reverse=True)


_ENGLISH: Final = frozenset(
    {word for word in KNOWN if len(word) > EN_TYPED_CHARS_MIN} - {*MONTHS, *UNITS, "half", "once", "west", "weds"}
    | {"at", "the", "every", "tmrw", "eod", "cob", "eob", "asap", "xmas", "christmas", "couple", "few", "sharp"}
)
_ENGLISH_CLOSE: Final = 0.85
_ENGLISH_CHARS_MIN: Final = 6
"""Shorter words of other languages come near English ones."""
_ENGLISH_LONG: Final = sorted(word for word in _ENGLISH if len(word) >= _ENGLISH_CHARS_MIN)
_WORDS: Final = sorted(word for word in KNOWN if len(word) >= EN_TYPED_CHARS_MIN)
