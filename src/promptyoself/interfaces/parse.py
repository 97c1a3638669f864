"""The command line, read by the table: an option's value is always exactly the next word, whatever it looks like.

argparse takes `--prompt --help` for two options; here `--help` is the prompt. An option given twice is refused, for
nobody could tell which was meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from promptyoself.domain.errors import UsageError
from promptyoself.interfaces.commands import COMMANDS, GLOBALS, Command, Option, find_command

DIGITS_MAX = 18
SECONDS_MAX = 7 * 86400
_SHOWN_CHARS_MAX = 60

OptionValue = str | int | float | bool


class Parsed(NamedTuple):
    """A command line that could be read. `command` is None for the program's own options alone."""

    command: Command | None
    options: Mapping[str, OptionValue]
    """By key (`agent_id`). What was not given is not there."""
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
        if word.startswith("-") and word != "-":
            _take(command, word, words, options)
        elif command is None:
            if word == "help":
                return Parsed(_command_of(words) if words.is_left else None, options, "help")
            command = _command(word, words)
        else:
            raise _stray(command, word)
    return Parsed(command, options)


def require(parsed: Parsed) -> Command:
    """Return the command, with every required option given. Raises UsageError."""
    if parsed.command is None:
        raise UsageError("a command is missing", hint=f"one of: {_names()}")
    missing = [f"--{one.name}" for one in parsed.command.options if one.is_required and one.key not in parsed.options]
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

    def next(self) -> str | None:
        if not self.is_left:
            return None
        self._next += 1
        return self._argv[self._next - 1]


def _command_of(words: _Words) -> Command:
    return _command(words.next() or "", words)


def _command(word: str, words: _Words) -> Command:
    name = word
    if any(one.name.startswith(f"{word} ") for one in COMMANDS):
        name = f"{word} {words.next() or ''}".rstrip()
    found = find_command(name)
    if found is None:
        raise UsageError(f"unknown command {shown(name)}", hint=_nearest(name, [one.name for one in COMMANDS]))
    return found


def _take(command: Command | None, word: str, words: _Words, options: dict[str, OptionValue]) -> None:
    """Read one option, and its value when it has one."""
    name, equals, inline = word.partition("=")
    option = _option(command, name)
    if option.key in options:
        raise UsageError(f"{name} is given twice", hint="give it once; nobody could tell which was meant")
    if option.kind == "flag":
        if equals:
            raise UsageError(f"{name} takes no value", hint=f"write {name} alone, or leave it out")
        options[option.key] = True
        return
    value = inline if equals else words.next()
    if value is None:
        raise UsageError(f"{name} needs a value", hint=f"{name}: {option.help}")
    options[option.key] = _value(option, value)


def _option(command: Command | None, name: str) -> Option:
    known = (*(command.options if command else ()), *GLOBALS)
    found = next((option for option in known if f"--{option.name}" == name), None)
    if found is None:
        where = command.name if command else "promptyoself"
        raise UsageError(
            f"{where} has no option {shown(name)}", hint=_nearest(name, [f"--{one.name}" for one in known])
        )
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
        what = "an id is a positive whole number" if option.kind == "id" else "it is a whole number, 1 or more"
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
