"""Runs parsers over hostile texts: each case follows from parser, seed and number, so that it can be replayed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random

from promptyoself.domain.errors import PromptyoselfError
from tests.fuzz.claims import BrokenClaim, refusal_is_a_sentence
from tests.fuzz.mutations import mutated
from tests.fuzz.parsers import Parser

JUNK = ("xyzzy", " xyzzy", " \u202e", "\x00", " 7q7")


@dataclass
class Fault:
    """A claim that does not hold, with what replays it."""

    parser: str
    seed: int
    number: int
    text: str
    what: str

    @property
    def kind(self) -> str:
        """What faults with one cause have in common, about."""
        return f"{self.parser}: {self.what[:50]}"

    def __str__(self) -> str:
        return (
            f"{self.parser}: {self.what}\n  text {self.text[:300]!a} ({len(self.text)} characters)\n"
            f"  replay: python -m tests.fuzz --replay '{self.parser}/{self.seed}/{self.number}'"
        )


@dataclass
class Tally:
    """What became of a parser's texts."""

    taken: int = 0
    refused: int = 0
    faults: list[Fault] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)


def run_case(parser: Parser, seed: int, number: int, tally: Tally) -> None:
    """Give one text to a parser, and note what became of it."""
    chance = Random(f"{parser.name}/{seed}/{number}")
    text = mutated(chance, parser.seeds)
    read_text(parser, text, Fault(parser.name, seed, number, text, ""), chance, tally)


def read_text(parser: Parser, text: str, case: Fault, chance: Random, tally: Tally) -> None:
    """Give this text to a parser, and note what became of it; a fault is noted as `case`."""
    state = chance.getstate()
    try:
        try:
            parser.read(text, chance)
        except PromptyoselfError as error:
            tally.refused += 1
            tally.codes[error.code] += 1
            refusal_is_a_sentence(error)
            return
        tally.taken += 1
        if parser.refuses_junk:
            chance.setstate(state)
            _refuses(parser, text + JUNK[case.number % len(JUNK)], chance)
    except Exception as error:  # noqa: BLE001  any other exception is what this looks for
        where = "" if isinstance(error, BrokenClaim) else _where(error)
        name = "" if isinstance(error, BrokenClaim) else f"{type(error).__name__}: "
        tally.faults.append(replace(case, what=f"{name}{error}"[:600] + where))


def _refuses(parser: Parser, text: str, chance: Random) -> None:
    try:
        parser.read(text, chance)
    except PromptyoselfError as error:
        refusal_is_a_sentence(error)
    else:
        raise BrokenClaim(f"junk is taken without a word: {text[-80:]!a}")


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f" (at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace else ""
