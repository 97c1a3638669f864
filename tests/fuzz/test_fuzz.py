"""A slice of `make fuzz`, the same in every run: hostile texts are read or refused, quickly and in sentences."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from promptyoself.domain import dialects
from promptyoself.domain.errors import InvalidInput, PromptyoselfError
from tests.fuzz import claims
from tests.fuzz.claims import BrokenClaim, refusal_is_a_sentence, timed
from tests.fuzz.parsers import PARSERS, Parser
from tests.fuzz.run import Fault, Tally, read_text, run_case

SEED = 20270324
CASES = 50


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: str(parser.name))
def test_hostile_texts_are_read_or_refused_with_a_sentence_at_once(parser: Parser) -> None:
    tally = Tally()
    for number in range(CASES):
        run_case(parser, SEED, number, tally)
    assert not tally.faults, "\n".join(map(str, tally.faults))
    assert tally.taken, "not one text was near enough to be read"
    assert bool(tally.refused) is parser.refuses_whole, "not one text was refused"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("timezone", "Asia/" * 4000),  # the importer of tzdata went down one folder at a time
        ("Letta's answers", '{"detail": {"code": "NOT_FOUND", "message": "no such agent"}}'),  # unhashable, with a 404
        ("request", "skip" * 1000),  # repeated whole in the refusal
        ("settings", "debug" * 1000),
        ("rule", "t8"),  # dateparser guessed, for 200 ms
        ("rule", "1 h T m"),  # and took this for an hour
        ("rrule", "DTSTART;TZID=Europe/R\x1b[31miga:20270328T033000\nRRULE:FREQ=DAILY"),  # repeated as it was
        ("calendar", "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;TZID=R\x1b[31miga:20270328T033000\nEND:VEVENT\n"),
        ("calendar", "BEGIN:VCALENDAR\nBEGIN:S\x00ANDADAR"),
        ("rule", "2147483648 january 2030 at 9am"),  # more than a C integer holds
        ("instant", "9999-12-31T23:59:59"),  # west of Greenwich, in a year that datetime has not
        ("outage", "9999-12-29T00:00/7d"),  # beyond the end of the calendar
    ],
)
def test_what_went_wrong_once_stays_mended(name: str, text: str) -> None:
    (parser,) = [one for one in PARSERS if one.name == name]
    tally = Tally()
    for number in range(CASES):
        read_text(parser, text, Fault(name, SEED, number, text, ""), Random(number), tally)
    assert not tally.faults, "\n".join(map(str, tally.faults))


def test_a_long_run_of_digits_is_not_split_in_every_way_to_see_whether_it_is_systemds() -> None:
    assert timed(dialects.refusal, "203,0-" + "1" * 6_000 + "e") is None


# -- the harness can fail ---------------------------------------------------------------------------------------


def refuse(message: str, hint: str | None = None) -> Callable[[str, Random], object]:
    def read(_text: str, _chance: Random) -> object:
        raise InvalidInput(message, hint=hint)

    return read


def crash(_text: str, _chance: Random) -> object:
    raise ValueError("invalid literal for int()")


def spin(_text: str, _chance: Random) -> object:
    return timed(lambda: sum(range(2_000_000)))


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (crash, "ValueError: invalid literal"),
        (refuse(""), "message is empty"),
        (refuse("no such day", hint=""), "hint is empty"),
        (refuse("bad"), "no sentence"),
        (refuse("it is wrong because\nof this"), "steers a terminal"),
        (refuse("it is wrong because of \u202ethis"), "steers a terminal"),
        (refuse("expected str, got NoneType here"), "the program's inside (NoneType)"),
        (refuse("it is wrong " * 200), "has 2400 characters"),
        (spin, "takes "),
        (lambda text, _: text, "junk is taken without a word"),
    ],
)
def test_a_claim_that_is_broken_is_reported_with_its_replay(
    read: Callable[[str, Random], object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "CALL_S_MAX", 0.001)
    tally = Tally()
    run_case(Parser("broken", ("a b c",), read), 7, 3, tally)
    (fault,) = tally.faults
    assert said in fault.what
    assert "--replay 'broken/7/3'" in str(fault)


def test_what_a_caller_wrote_is_no_leak() -> None:
    refusal_is_a_sentence(InvalidInput("state 'NoneType' is not known", hint="one of: dead"))
    with pytest.raises(BrokenClaim):
        refusal_is_a_sentence(InvalidInput("state NoneType is not known"))


def test_a_call_that_is_slow_once_alone_is_forgiven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "CALL_S_MAX", 0.01)
    work = iter([3_000_000])
    assert timed(lambda: sum(range(next(work, 1)))) > 0


def test_the_same_seed_makes_the_same_texts() -> None:
    def texts() -> list[str]:
        seen: list[str] = []

        def note(text: str, _chance: Random) -> object:
            seen.append(text)
            raise PromptyoselfError("it is only noted")

        for number in range(20):
            run_case(Parser("note", ("0 9 * * mon-fri", "@daily"), note), SEED, number, Tally())
        return seen

    assert texts() == texts()
