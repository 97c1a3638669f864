"""The command line is read by the table: a value is always exactly the next word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptyoself.domain.errors import UsageError
from promptyoself.interfaces import parse as parser
from promptyoself.interfaces.commands import COMMANDS, GLOBALS
from promptyoself.interfaces.help import help_text
from promptyoself.interfaces.parse import parse, require
from promptyoself.interfaces.table import Argument, Command, Option

TEXTS = [(command, option) for command in COMMANDS for option in command.options if option.kind == "text"]
hostile = st.one_of(
    st.text(),
    st.sampled_from(["--help", "-h", "--json", "--", "-", "--prompt", "--version", "--describe", "=", "--a=b", ""]),
)


@pytest.mark.parametrize(("command", "option"), TEXTS, ids=lambda one: str(one.name))
@given(value=hostile)
def test_an_options_value_is_the_next_word_whatever_it_looks_like(command: Command, option: Option, value: str) -> None:
    words = [*command.name.split(), f"--{option.name}", value]
    assert parse(words).options == {option.key: value}


@given(value=hostile)
def test_a_value_after_an_equals_sign_is_taken_verbatim(value: str) -> None:
    assert parse(["register", f"--prompt={value}"]).options == {"prompt": value}


@given(words=st.lists(hostile, max_size=6))
def test_any_words_are_read_or_refused_with_a_sentence(words: list[str]) -> None:
    try:
        parse(words)
    except UsageError as error:
        is_helpful = bool(error.message and error.hint)
        assert is_helpful, error  # noqa: PT017  most words are refused, and some are read


def test_a_flag_never_takes_the_next_word() -> None:
    parsed = parse(["register", "--skip-validation", "--prompt", "x"])
    assert parsed.options == {"skip_validation": True, "prompt": "x"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bogus"], "unknown command 'bogus'"),
        (["server"], "unknown command"),
        (["db"], "unknown command 'db'"),
        (["db", "--help"], "unknown command 'db'"),
        (["db", "shift"], "unknown command 'db shift'"),
        (["register", "--nope", "1"], "no option '--nope'"),
        (["register", "--prompt"], "--prompt needs a value"),
        (["register", "--prompt", "a", "--prompt", "b"], "--prompt is given twice"),
        (["list", "--all=yes"], "--all takes no value"),
        (["list", "stray"], "cannot use 'stray'"),
        (["show", "--id", "0"], "positive whole number"),
        (["show", "--id", "-1"], "positive whole number"),
        (["show", "--id", "1e3"], "positive whole number"),
        (["show", "--id", "\u0661"], "positive whole number"),
        (["show", "--id", "9" * 30], "positive whole number"),
        (["execute", "--loop", "--interval", "0"], "more than 0"),
        (["execute", "--loop", "--interval", "-5"], "more than 0"),
        (["execute", "--loop", "--interval", "nan"], "more than 0"),
        (["execute", "--loop", "--interval", "inf"], "more than 0"),
        (["execute", "--loop", "--interval", "1_0"], "more than 0"),
        (["execute", "--wait", "soon"], "0 or more"),
        (["register", "--prompt", "\udcff"], "not valid UTF-8"),
        (["worker", "--health-port", "one"], "a whole number, 0 or more"),
        (["worker", "--concurrency", "0"], "a whole number, 1 or more"),
    ],
)
def test_a_command_line_that_cannot_be_read_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(words)


def test_a_near_miss_is_pointed_out() -> None:
    with pytest.raises(UsageError) as caught:
        parse(["regsiter"])
    assert caught.value.hint == "did you mean register?"
    with pytest.raises(UsageError) as caught:
        parse(["show", "7"])
    assert caught.value.hint == "did you mean show --id 7?"


def test_required_options_are_named_together() -> None:
    with pytest.raises(UsageError, match="upload needs --source-code"):
        require(parse(["upload"]))
    with pytest.raises(UsageError, match="a command is missing"):
        require(parse([]))


def test_help_is_asked_for_where_an_option_may_stand() -> None:
    assert parse(["--help"]).wants == "help"
    assert parse(["register", "--prompt", "x", "--help"]).wants == "help"
    assert parse(["help", "db", "backup"]).command == parse(["db", "backup"]).command


def test_global_options_stand_before_or_after_the_command() -> None:
    assert parse(["--db", "x.db", "list", "--json"]).options == {"db": "x.db", "json": True}


def test_waiting_may_be_nothing_at_all() -> None:
    assert parse(["execute", "--wait", "0"]).options == {"wait": 0.0}


def test_each_command_and_option_is_named_once() -> None:
    assert len({command.name for command in COMMANDS}) == len(COMMANDS)
    for command in COMMANDS:
        names = [option.name for option in command.options]
        assert len(set(names)) == len(names)
        assert command.example.startswith(command.name)
        keys = [one.key for one in (*command.options, *GLOBALS)] + [one.key for one in command.arguments]
        assert len(set(keys)) == len(keys)


def test_a_command_that_agents_are_offered_has_no_arguments() -> None:
    assert not [command.name for command in COMMANDS if command.is_tool and command.arguments]


# -- arguments and options given again and again: a table of this test's own --------------------------------

TOY = (
    Command(
        "toy", "Play.", "toy:toy", arguments=(Argument("text", "what"), Argument("file", "where", is_required=False))
    ),
    Command("toy shop", "Sell.", "toy:shop", arguments=(Argument("kind", "which", choices=("bear", "bus")),)),
    Command("wake", "Wake.", "toy:wake", (Option("outage", "from/until", "texts"), Option("by", "who"))),
)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser, "COMMANDS", TOY)
    monkeypatch.setattr(parser, "find_command", lambda name: next((one for one in TOY if one.name == name), None))


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["toy", "0 9 * * 1"], {"text": "0 9 * * 1"}),
        (["toy", "a", "b"], {"text": "a", "file": "b"}),
        (["toy", "-"], {"text": "-"}),
        (["toy", ""], {"text": ""}),
        (["toy", "--json", "a"], {"json": True, "text": "a"}),
        (["toy", "a", "--json"], {"json": True, "text": "a"}),
        (["toy", "--", "-5m"], {"text": "-5m"}),
        (["toy", "a", "--", "--json"], {"text": "a", "file": "--json"}),
        (["toy", "--", "--help"], {"text": "--help"}),
        (["toy", "--", "--"], {"text": "--"}),
        (["toy", "--db", "--", "a"], {"db": "--", "text": "a"}),
        (["toy", "help"], {"text": "help"}),
        (["toy", "shop", "bus"], {"kind": "bus"}),
        (["toy", "--", "shop"], {"text": "shop"}),
        (["wake", "--outage", "a/b", "--by", "me", "--outage", "--by"], {"outage": ("a/b", "--by"), "by": "me"}),
        (["wake", "--outage=a"], {"outage": ("a",)}),
    ],
)
def test_words_without_an_option_are_the_commands_arguments(words: list[str], options: dict[str, object]) -> None:
    assert parse(words).options == options


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        (["toy"], "^toy needs TEXT$", "promptyoself"),
        (["toy", "a", "b", "c"], "^toy takes TEXT FILE; 'c' is one word too many$", "into quotes"),
        (["toy", "-5m"], "toy has no option '-5m'", "A TEXT that begins with - comes after --"),
        (["toy", "shop"], "^toy shop needs KIND$", "promptyoself"),
        (["toy", "shop", "beer"], "toy shop cannot use 'beer' as KIND", "did you mean bear?"),
        (["toy", "shop", "x"], "toy shop cannot use 'x' as KIND", "one of: bear, bus"),
        (["wake", "--", "a"], "wake has no option '--'", "did you mean"),
        (["wake", "--by", "a", "--by", "b"], "--by is given twice", "once"),
        (["wake", "--outage"], "--outage needs a value", "from/until"),
        (["wake", *["--outage=a"] * (parser.TEXTS_MAX + 1)], "more than 1000 times", "from/until"),
    ],
)
def test_arguments_that_are_missing_or_too_many_are_refused(words: list[str], said: str, hint: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        require(parse(words))
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["db", "upgrad"], "did you mean db upgrade?"),
        (["db", "x"], "one of: db upgrade, db backup, db move, db restored"),
    ],
)
def test_a_half_known_command_is_answered_with_its_kin(words: list[str], hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert caught.value.hint == hint


def test_help_shows_arguments_in_their_order_and_their_choices() -> None:
    assert "usage: promptyoself toy TEXT [FILE] [options]" in help_text(TOY[0])
    assert "  KIND  which: bear, bus\n" in help_text(TOY[1])
