"""The nearest forms that would be understood: worked out from what was said, and every one tried before it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches
from itertools import islice
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.plain.tokens import Phrase, Token
from promptyoself.domain.plain.vocabulary import EN_TYPED_CHARS_MIN, KNOWN

_CLOSE: Final = 0.7
"""How alike a word must be to one that is known (difflib's ratio) to be taken for a slip of the hand."""
_TIME: Final = "at 9am"
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
    own = list(islice(_understood(_with_times([*refused.forms, *corrected(phrase)]), reads), limits.SUGGESTIONS_MAX))
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
    if token.text == "+":
        return [phrase.text[: token.begin]]
    return [phrase.replaced(token, "")] if token.kind in {"word", "mark", "clock"} else []


def unknown_words(phrase: Phrase) -> list[str]:
    """Return the words of a phrase that mean nothing here."""
    return [token.text for token in phrase.tokens if token.kind == "word" and token.text not in KNOWN]


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


def _with_times(forms: Iterable[str]) -> Iterable[str]:
    for form in forms:
        yield form
        if form.strip():
            yield f"{form} {_TIME}"


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


_WORDS: Final = sorted(word for word in KNOWN if len(word) >= EN_TYPED_CHARS_MIN)
