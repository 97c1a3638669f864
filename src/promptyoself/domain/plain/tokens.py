"""A phrase as tokens: each a word, a number, an ordinal, a clock time, a date or a mark, with its place in the text."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidTrigger
from promptyoself.domain.plain.spoken import in_plain

_TOKEN: Final = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}(?![\w/-]))"
    r"|(?P<digits>[0-9]{1,4}[/][0-9]{1,2}(?:[/][0-9]{1,4})?(?![\w/])"
    r"|[0-9]{1,2}[.][0-9]{1,2}[.](?:[0-9]{4}(?![\w/])|(?![\w/]))|[0-9]{1,2}-[0-9]{1,2}-[0-9]{2,4}(?![\w/-]))"
    r"|(?P<clock>(?P<hour>[0-9]{1,4}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2}))?(?: ?(?P<half>[ap]m))?(?![\w:])"
    r"|(?P<hour_alone>[0-9]{1,4}) ?(?P<half_alone>[ap]m)(?!\w))"
    r"|(?P<dotted>[0-9]{1,2}[.][0-9]{2}(?: ?[ap]m)?(?![\w.]))"
    r"|(?P<past>:[0-9]{2}(?![\w:]))"
    r"|(?P<ordinal>[0-9]{1,4}(?:st|nd|rd|th)(?!\w))"
    r"|(?P<zone>[a-z_]+(?:/[a-z0-9_+-]+)+)"
    r"|(?P<number>[0-9]+(?![0-9.:/]))"
    r"|(?P<word>[^\W\d_]+)"
    r"|(?P<mark>[,-])"
    r"|(?P<other>\S)"
)
_SUFFIXES: Final = {1: "st", 2: "nd", 3: "rd"}
_TEENS: Final = range(11, 14)


class Token(NamedTuple):
    """One token. `value` is the number of a number, an ordinal and a `:30`; of others 0."""

    kind: str
    text: str
    begin: int
    end: int
    value: int = 0
    hour: int = 0
    minute: int | None = None
    second: int = 0
    half: str = ""
    """`am`, `pm` or nothing."""


class Phrase(NamedTuple):
    """A phrase that was cut into tokens; `text` is what their places count in."""

    text: str
    tokens: tuple[Token, ...]

    def replaced(self, token: Token, new: str) -> str:
        """Return the phrase with other words in the place of one token."""
        return " ".join(f"{self.text[: token.begin]} {new} {self.text[token.end :]}".split())

    def without(self, tokens: tuple[Token, ...]) -> Phrase:
        """Return the phrase without some of its tokens; the text stays."""
        return self._replace(tokens=tuple(token for token in self.tokens if token not in tokens))


def tokenise(text: str) -> Phrase:
    """Return `text` cut into tokens, in lower case. Raises InvalidTrigger for a text beyond limits.PHRASE_CHARS_MAX."""
    if len(text) > limits.PHRASE_CHARS_MAX:
        raise InvalidTrigger(
            f"the phrase has {len(text)} characters; at most {limits.PHRASE_CHARS_MAX} are read",
            hint='say it shorter: "tomorrow at 9am"',
        )
    spoken = in_plain(text)
    return Phrase(spoken, tuple(_token(found) for found in _TOKEN.finditer(spoken)))


def ordinal(number: int) -> str:
    """Return `1st`, `2nd`, `15th`."""
    suffix = "th" if number % 100 in _TEENS else _SUFFIXES.get(number % 10, "th")
    return f"{number}{suffix}"


def _token(found: re.Match[str]) -> Token:
    kind, text = found.lastgroup or "other", found[0]
    if found["clock"]:
        return Token(
            "clock", text, found.start(), found.end(),
            hour=int(found["hour"] or found["hour_alone"]),
            minute=int(found["minute"]) if found["minute"] else (0 if found["half_alone"] else None),
            second=int(found["second"] or 0),
            half=found["half"] or found["half_alone"] or "",
        )  # fmt: skip
    value = 0
    if kind == "number":
        value = int(text[: limits.DURATION_DIGITS_MAX])
        kind = "number" if len(text) <= limits.DURATION_DIGITS_MAX else "other"
    elif kind == "ordinal":
        value = int(text[:-2])
        kind = "ordinal" if text == ordinal(value) else "other"
    elif kind == "past":
        value = int(text[1:])
    return Token(kind, text, found.start(), found.end(), value)


class Cursor:
    """A place in a phrase's tokens."""

    def __init__(self, phrase: Phrase) -> None:
        self.phrase = phrase
        self.place = 0

    def is_over(self) -> bool:
        """Say whether no token is left."""
        return self.place >= len(self.phrase.tokens)

    def place_before(self, *words: str) -> bool:
        """Say whether the token before this place is one of these words."""
        return self.place > 0 and self.phrase.tokens[self.place - 1].text in words

    def peek(self, ahead: int = 0) -> Token | None:
        """Return the token `ahead` of here, or None beyond the end."""
        place = self.place + ahead
        return self.phrase.tokens[place] if place < len(self.phrase.tokens) else None

    def word(self, ahead: int = 0) -> str:
        """Return the text of the token `ahead` of here, nothing beyond the end."""
        token = self.peek(ahead)
        return token.text if token else ""

    def accept(self, *words: str) -> bool:
        """Go past these words when they come next, all of them."""
        if any(self.word(ahead) != word for ahead, word in enumerate(words)):
            return False
        self.place += len(words)
        return True

    def accept_any(self, *words: str) -> str:
        """Go past one of these words; return it, or nothing."""
        return self.take().text if self.word() in words and not self.is_over() else ""

    def take(self) -> Token:
        """Return the next token and go past it; the caller has looked that there is one."""
        self.place += 1
        return self.phrase.tokens[self.place - 1]
