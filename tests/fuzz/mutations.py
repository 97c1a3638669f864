"""Hostile texts: seeds that a parser knows, spliced, cut, swapped, repeated and peppered with what texts can hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from random import Random

LONG_MAX = 20_000
"""Characters of the longest text; every parser has to refuse or read it as fast as a short one."""
TOKEN = re.compile(r"\d+|[^\W\d_]+|\s+|.", re.DOTALL)
ALPHABET = "0123456789 */,-:;=#@+.TZWLPabcdefghijklmnopqrstuvwxyz\u00e9\u0661\u202e\x00\n"


def corpus(name: str) -> tuple[str, ...]:
    """Return the texts of a file in seeds/: one a line, with Python's escapes for what is no printable ASCII."""
    text = (Path(__file__).parent / "seeds" / f"{name}.txt").read_text(encoding="ascii")
    return tuple(line.encode("ascii").decode("unicode_escape") for line in text.splitlines())


NUMBERS, NASTY = corpus("number"), corpus("nasty")


def mutated(chance: Random, seeds: Sequence[str]) -> str:
    """Return a text made from the seeds: most are near to what can be read, some are anything at all."""
    if chance.random() < 0.05:
        return "".join(chance.choice(ALPHABET) for _ in range(chance.randrange(60)))
    text = chance.choice(seeds)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 6))):
        text = chance.choice(MUTATIONS)(chance, text, seeds)
    return text[:LONG_MAX]


def _splice(chance: Random, text: str, seeds: Sequence[str]) -> str:
    other = chance.choice(seeds)
    return text[: chance.randint(0, len(text))] + other[chance.randint(0, len(other)) :]


def _duplicate(chance: Random, text: str, _seeds: Sequence[str]) -> str:
    begin, end = _cut(chance, text)
    return text[:end] + text[begin:end] + text[end:]


def _repeat(chance: Random, text: str, _seeds: Sequence[str]) -> str:
    begin, end = _cut(chance, text)
    times = chance.choice((3, 10, 100, 1000, 5000))
    return text[:begin] + (text[begin:end] * times)[:LONG_MAX] + text[end:]


def _delete(chance: Random, text: str, _seeds: Sequence[str]) -> str:
    begin, end = _cut(chance, text)
    return text[:begin] + text[end:]


def _swap(chance: Random, text: str, _seeds: Sequence[str]) -> str:
    tokens = TOKEN.findall(text)
    if tokens:
        one, other = chance.randrange(len(tokens)), chance.randrange(len(tokens))
        tokens[one], tokens[other] = tokens[other], tokens[one]
    return "".join(tokens)


def _drop_token(chance: Random, text: str, _seeds: Sequence[str]) -> str:
    tokens = TOKEN.findall(text)
    if tokens:
        del tokens[chance.randrange(len(tokens))]
    return "".join(tokens)


def _take_token(chance: Random, text: str, seeds: Sequence[str]) -> str:
    tokens, others = TOKEN.findall(text), TOKEN.findall(chance.choice(seeds))
    if tokens and others:
        tokens[chance.randrange(len(tokens))] = chance.choice(others)
    return "".join(tokens)


def _number(chance: Random, text: str, _seeds: Sequence[str]) -> str:
    found = [match.span() for match in re.finditer(r"\d+", text)]
    begin, end = chance.choice(found) if found else (len(text), len(text))
    return text[:begin] + chance.choice(NUMBERS) + text[end:]


def _insert(chance: Random, text: str, _seeds: Sequence[str]) -> str:
    place = chance.randint(0, len(text))
    return text[:place] + chance.choice(NASTY) + text[place:]


def _in_place(chance: Random, text: str, _seeds: Sequence[str]) -> str:
    if not text:
        return text
    place = chance.randrange(len(text))
    return text[:place] + chance.choice(ALPHABET) + text[place + 1 :]


def _case(chance: Random, text: str, _seeds: Sequence[str]) -> str:
    return chance.choice((str.upper, str.lower, str.title, str.swapcase))(text)


def _cut(chance: Random, text: str) -> tuple[int, int]:
    begin, end = sorted((chance.randint(0, len(text)), chance.randint(0, len(text))))
    return begin, end


MUTATIONS = (
    _splice, _duplicate, _repeat, _delete, _swap, _drop_token, _take_token, _take_token, _number, _number, _insert,
    _insert, _in_place, _case,
)  # fmt: skip
