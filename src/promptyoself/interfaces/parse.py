"""The command line, read by the table: an option's value is always exactly the next word, whatever it looks like.

argparse takes `--prompt --help` for two options; here `--help` is the prompt. An option given twice is refused, for
nobody could tell which was meant. Words without an option are a command's arguments; after `--` every word is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from promptyoself.domain.errors import UsageError
from promptyoself.interfaces.commands import COMMANDS, GLOBALS, find_command
from promptyoself.interfaces.table import Argument, Command, Option

DIGITS_MAX = 18
SECONDS_MAX = 7 * 86400
TEXTS_MAX = 1000
"""How often an option may be given that may be given more than once."""
JSON_OPTIONS = frozenset({"content"})
"""Texts that are JSON objects: where a request is JSON itself, they may come as the object."""
_SHOWN_CHARS_MAX = 60

OptionValue = str | int | float | bool | tuple[str, ...]


class Parsed(NamedTuple):
    """A command line that could be read. `command` is None for the program's own options alone."""

    command: Command | None
    options: Mapping[str, OptionValue]
    """Options and arguments by key (`agent_id`). What was not given is not there."""
    wants: str | None = None
    """`help`, `version` or `describe`."""


def parse(argv: Sequence[str]) -> Parsed:
    """Read a command line without the program's name. Raises UsageError, which says what to write in its place."""
    words = _Words(argv)
    options: dict[str, OptionValue] = {}
    command: Command | None = None
    while (word := words.next()) is not None:
        if word in {"--version", "--describe"} and command is None:
            return Parsed(None, options, word[2:])
        if word in {"--help", "-h"}:
            return Parsed(command, options, "help")
        if word == "--" and command is not None and command.arguments:
            _take_rest(command, words, options)
        elif word.startswith("-") and word != "-":
            _take(command, word, words, options)
        elif command is None:
            if word == "help":
                return Parsed(_command_of(words) if words.is_left else None, options, "help")
            command = _command(word, words)
        else:
            _take_argument(command, word, options)
    return Parsed(command, options)


def require(parsed: Parsed) -> Command:
    """Return the command, with every required argument and option given. Raises UsageError."""
    if parsed.command is None:
        raise UsageError("a command is missing", hint=f"one of: {_names()}")
    missing = [one.shown for one in parsed.command.arguments if one.is_required and one.key not in parsed.options]
    missing += [
        f"--{one.name}"
        for one in parsed.command.options
        if one.is_required and not {one.key, one.stands_in} & parsed.options.keys()
    ]
    if missing:
        raise UsageError(
            f"{parsed.command.name} needs {' and '.join(missing)}", hint=f"promptyoself {parsed.command.example}"
        )
    return parsed.command


class _Words:
    def __init__(self, argv: Sequence[str]) -> None:
        for number, word in enumerate(argv, start=1):
            if not word.isascii() and any("\ud800" <= character <= "\udfff" for character in word):
                raise UsageError(f"argument {number} is not valid UTF-8 text", hint="pass text as UTF-8")
        self._argv = argv
        self._next = 0

    @property
    def is_left(self) -> bool:
        return self._next < len(self._argv)

    def peek(self) -> str | None:
        return self._argv[self._next] if self.is_left else None

    def next(self) -> str | None:
        word = self.peek()
        self._next += word is not None
        return word


def _command_of(words: _Words) -> Command:
    return _command(words.next() or "", words)


def _command(word: str, words: _Words) -> Command:
    second = words.peek() or ""
    two_words = word if second.startswith("-") else f"{word} {second}".rstrip()
    found = find_command(two_words) or find_command(word)
    if found is None:
        kin = [one.name for one in COMMANDS if one.name.startswith(f"{word} ")]
        name = two_words if kin else word
        raise UsageError(f"unknown command {shown(name)}", hint=_nearest(name, kin or [one.name for one in COMMANDS]))
    if found.name != word:
        words.next()
    return found


def _take(command: Command | None, word: str, words: _Words, options: dict[str, OptionValue]) -> None:
    """Read one option, and its value when it has one."""
    name, equals, inline = word.partition("=")
    option = _option(command, name)
    if option.key in options and option.kind != "texts":
        raise UsageError(f"{name} is given twice", hint="give it once; nobody could tell which was meant")
    if option.kind == "flag":
        if equals:
            raise UsageError(f"{name} takes no value", hint=f"write {name} alone, or leave it out")
        options[option.key] = True
        return
    value = inline if equals else words.next()
    if value is None:
        raise UsageError(f"{name} needs a value", hint=f"{name}: {option.help}")
    if option.kind == "texts":
        options[option.key] = _one_more(option, value, options)
    else:
        options[option.key] = _value(option, value)


def _one_more(option: Option, value: str, options: Mapping[str, OptionValue]) -> tuple[str, ...]:
    before = options.get(option.key, ())
    assert isinstance(before, tuple), "only texts are kept under the key of an option of texts"  # noqa: S101
    if len(before) == TEXTS_MAX:
        raise UsageError(
            f"--{option.name} is given more than {TEXTS_MAX} times", hint=f"--{option.name}: {option.help}"
        )
    return (*before, value)


def _take_rest(command: Command, words: _Words, options: dict[str, OptionValue]) -> None:
    while (word := words.next()) is not None:
        _take_argument(command, word, options)


def _take_argument(command: Command, word: str, options: dict[str, OptionValue]) -> None:
    """Read a word that has no option before it."""
    argument = next((one for one in command.arguments if one.key not in options), None)
    if argument is None:
        raise _stray(command, word)
    if argument.choices and word not in argument.choices:
        raise _no_choice(command, argument, word)
    options[argument.key] = word


def _no_choice(command: Command, argument: Argument, word: str) -> UsageError:
    return UsageError(
        f"{command.name} cannot use {shown(word)} as {argument.shown}", hint=_nearest(word, argument.choices)
    )


def _option(command: Command | None, name: str) -> Option:
    known = (*(command.options if command else ()), *GLOBALS)
    found = next((option for option in known if f"--{option.name}" == name), None)
    if found is None:
        where = command.name if command else "promptyoself"
        hint = _nearest(name, [f"--{one.name}" for one in known])
        if command and command.arguments:
            hint += f" A {command.arguments[0].shown} that begins with - comes after --"
        raise UsageError(f"{where} has no option {shown(name)}", hint=hint)
    return found


def _value(option: Option, text: str) -> OptionValue:
    if option.kind in {"id", "count"}:
        return _whole_number(option, text)
    if option.kind == "seconds":
        return _seconds(option, text)
    return text


def _whole_number(option: Option, text: str) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX
    if not is_number or (int(text) == 0 and not option.allows_zero):
        what = (
            "an id is a positive whole number"
            if option.kind == "id"
            else f"it is a whole number, {0 if option.allows_zero else 1} or more"
        )
        raise UsageError(
            f"--{option.name} {shown(text)} cannot be used: {what}", hint=f"--{option.name}: {option.help}"
        )
    return int(text)


def _seconds(option: Option, text: str) -> float:
    try:
        seconds = float(text) if text.isascii() and "_" not in text else -1.0
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= SECONDS_MAX or (seconds == 0 and not option.allows_zero):
        least = "0 or more" if option.allows_zero else "more than 0"
        raise UsageError(
            f"--{option.name} {shown(text)} cannot be used: it is a number of seconds, {least}, {SECONDS_MAX} at most",
            hint=f"for example --{option.name} 30",
        )
    return seconds


def _stray(command: Command, word: str) -> UsageError:
    if command.arguments:
        taken = " ".join(one.shown for one in command.arguments)
        return UsageError(
            f"{command.name} takes {taken}; {shown(word)} is one word too many",
            hint="put text that has spaces into quotes",
        )
    if command.options and command.options[0].kind == "id" and word.isascii() and word.isdigit():
        hint = f"did you mean {command.name} --id {word[:DIGITS_MAX]}?"
    else:
        hint = "put a value that has spaces into quotes"
    return UsageError(f"{command.name} cannot use {shown(word)}: every value has an option before it", hint=hint)


def _nearest(word: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word[:_SHOWN_CHARS_MAX], known, n=1)
    return f"did you mean {close[0]}?" if close else f"one of: {', '.join(known)}"


def _names() -> str:
    return ", ".join(command.name for command in COMMANDS)


def shown(text: str) -> str:
    """Return text of the caller's, quoted, escaped and shortened, for a sentence."""
    return ascii(text if len(text) <= _SHOWN_CHARS_MAX else f"{text[:_SHOWN_CHARS_MAX]}...")
