"""Ways of writing that mean one thing, brought to one form before a phrase is cut into tokens."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from unicodedata import normalize

from promptyoself.domain.plain.vocabulary import DIGITS, MONTHS, NUMBERS, TENS


def in_plain(text: str) -> str:
    """Return a phrase in lower case, with signs, idioms and fractions in the one form that the grammar reads."""
    for sign, fraction in _FRACTIONS:
        text = sign.sub(fraction, text)
    spoken = normalize("NFKC", text).lower()
    for pattern, plain in _SPOKEN:
        spoken = pattern.sub(plain, spoken)
    return spoken.strip(" .;!\"'")


def _in_smaller(found: re.Match[str]) -> str:
    """Return `1.5 hours` as minutes, `1.5 minutes` as seconds."""
    whole, part, unit = found.groups()
    return f"{int(whole) * 60 + int(part.ljust(2, '0')) * 60 // 100} {'minutes' if unit[0] == 'h' else 'seconds'}"


def _in_digits(found: re.Match[str]) -> str:
    return str(TENS[found[1]] + DIGITS[found[2]])


def _at_hour(found: re.Match[str]) -> str:
    return f"at {found[1]}:{found[2] or '00'}"


_MONTH: Final = "(?:" + "|".join(sorted(MONTHS, key=len, reverse=True)) + r")\b"
_UNIT: Final = r"(hours?|hrs?|h|minutes?|mins?)\b"
_FRACTIONS: Final = tuple(
    (re.compile(pattern), fraction)
    for sign, part in (("\u00bd", ".5"), ("\u00bc", ".25"), ("\u00be", ".75"))
    for pattern, fraction in ((f"(?<=[0-9]) ?{sign}", part), (sign, f"0{part}"))
)
"""Signs of fractions, which normalising would glue to the number before them."""
_SPOKEN: Final[tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]] = (
    (re.compile(r"[\u2018\u2019\u02bc]"), "'"),
    (re.compile(r"[\u2010-\u2015\u2212]"), "-"),
    (re.compile(r"\bo'? ?clock\b"), "oclock"),
    (re.compile(r"\b(?:please|sharp|exactly|precisely)\b"), " "),
    (re.compile(r"@ ?(?=[0-9])"), "at "),
    (re.compile(r"^\s*(?:now ?)?\+ ?(?=[0-9])"), "in "),
    (re.compile(r"\beveryday\b"), "every day"),
    (re.compile(r"\bthru\b"), "through"),
    (re.compile(r"\bhalf-(?=hour)"), "half "),
    (re.compile(r"\bthree[ -]quarters of an hour\b"), "45 minutes"),
    (re.compile(r"\b(?:a )?quarter(?:-| | of an )hour\b"), "15 minutes"),
    (re.compile(r"\ba fortnight\b"), "2 weeks"),
    (re.compile(r"\b12(?::00)? (?=noon\b|midday\b|midnight\b)"), ""),
    # 1.30 hours may be 90 minutes or 78: only quarters are certain.
    (re.compile(rf"(?<![0-9.,:/-])([0-9]{{1,3}})[.,](5|25|75)0? ?{_UNIT}"), _in_smaller),
    (re.compile(rf"\b([0-9]+|{'|'.join(NUMBERS)}) and a half {_UNIT}"), r"\1 \2 and a half"),
    (re.compile(rf"\b({'|'.join(TENS)})[ -]({'|'.join(DIGITS)})\b"), _in_digits),
    (re.compile(r"\b(in|every) ([0-9]{1,2})h([0-5][0-9])\b"), r"\1 \2h\3m"),
    (re.compile(r"\bat ([01]?[0-9]|2[0-3]) ?h(?: ?([0-5][0-9]))?\b"), _at_hour),
    (re.compile(r"\bat ([01][0-9]|2[0-3])([0-5][0-9])(?= ?h(?:ou)?rs?\b)"), r"at \1:\2"),
    (re.compile(r"(?<=[0-9]:[0-9]{2}) ?h(?:(?:ou)?rs?)?\b"), ""),
    (re.compile(r"(?<![0-9.])([0-9]{1,2})\.([0-9]{2})(?= ?[ap]\.? ?m\b)"), r"\1:\2"),
    (re.compile(rf"\b([0-9]{{1,2}})\. ?(?={_MONTH})"), r"\1 "),
    (re.compile(r"(?<![^\W\d_])([ap])\.? ?m\b\.?(?=$|[\s,;)])"), r"\1m"),
    (re.compile(r"\b([0-9]{4}-[0-9]{2}-[0-9]{2})t(?=[0-9])"), r"\1 "),
    (re.compile(r"\bbi-(?=weekly|monthly)"), "bi"),
    (re.compile(r"[()]"), " "),
    (re.compile(r"&"), " and "),
    (re.compile(r"(?<=[a-z])'s\b"), ""),
    (re.compile(r"(?<=[^\W\d_])\.(?=\s|$|,)"), " "),
    (re.compile(r"\s+"), " "),
)
"""Patterns in order, and what takes their place."""
