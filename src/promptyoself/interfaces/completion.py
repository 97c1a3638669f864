"""Completion scripts for shells, written from the table of commands.

The shell code stands in shells/; here its @NAMES@ are filled in. A script knows commands, options, fixed choices and
time zones by itself, so that TAB starts no process; it asks for ids of schedules alone (`promptyoself completion ids`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, assert_never
from zoneinfo import available_timezones

from promptyoself.interfaces.commands import COMMANDS, GLOBALS
from promptyoself.interfaces.table import Argument, Command, Option

SHELLS: Final = ("bash", "zsh", "fish")
_FOLDER: Final = Path(__file__).parent / "shells"
_NAME: Final = re.compile(r"@[A-Z_]+@")
_ODD_ZONES: Final = ("posix/", "right/", "Factory", "localtime", "posixrules")


def script(shell: str) -> str:
    """Return the completion script of one of SHELLS."""
    made = {"bash": _for_bash, "zsh": _for_zsh, "fish": _for_fish}[shell]()
    made["@TIMEZONES@"] = " ".join(sorted(one for one in available_timezones() if not one.startswith(_ODD_ZONES)))
    text = (_FOLDER / shell).read_text(encoding="utf-8")
    # One pass: what is filled in is never looked through for names.
    return _NAME.sub(lambda found: made[found[0]], text)


# -- bash ---------------------------------------------------------------------------------------------------


def _for_bash() -> dict[str, str]:
    return {
        "@FIRSTS@": " ".join(_firsts()),
        "@SECONDS@": _cases((quoted(first), f"found={quoted(' '.join(rest))}") for first, rest in _seconds().items()),
        "@OPTIONS@": _cases(
            (quoted(command.name), f"found={quoted(_names((*command.options, *GLOBALS)))}") for command in COMMANDS
        ),
        "@GLOBALS@": _names((*GLOBALS, *_ALONE)),
        "@KINDS@": _kinds(),
    }


def _names(options: tuple[Option, ...]) -> str:
    return " ".join(f"--{option.name}" for option in options)


# -- zsh ----------------------------------------------------------------------------------------------------


def _for_zsh() -> dict[str, str]:
    return {
        "@FIRSTS@": " ".join(_with_help(first, text) for first, text in _firsts().items()),
        "@SECONDS@": _cases(
            (quoted(first), f"found=({' '.join(_with_help(word, text) for word, text in rest.items())})")
            for first, rest in _seconds().items()
        ),
        "@OPTIONS@": _cases((quoted(command.name), f"found=({_options_with_help(command)})") for command in COMMANDS),
        "@GLOBALS@": " ".join(_with_help(f"--{option.name}", option.help) for option in (*GLOBALS, *_ALONE)),
        "@KINDS@": _kinds(),
    }


def _options_with_help(command: Command) -> str:
    return " ".join(_with_help(f"--{option.name}", option.help) for option in (*command.options, *GLOBALS))


def _with_help(word: str, text: str) -> str:
    # _describe reads a backslash as the quoting of what follows.
    return quoted(f"{word}:{text}".replace("\\", "\\\\"))


# -- fish ---------------------------------------------------------------------------------------------------


def _for_fish() -> dict[str, str]:
    lines = [f"{_fish_if('')} -a {_fish_quoted(first)} -d {_fish_quoted(text)}" for first, text in _firsts().items()]
    for first, rest in _seconds().items():
        lines += [f"{_fish_if(first, 0)} -a {_fish_quoted(word)} -d {_fish_quoted(rest[word])}" for word in rest]
    lines += [_fish_option("", option) for option in _ALONE]
    for command in COMMANDS:
        for place, argument in enumerate(command.arguments):
            lines.append(f"{_fish_if(command.name, place)} {_fish_values(argument)}".rstrip())
        lines += [_fish_option(command.name, option) for option in command.options]
    lines += [_fish_option(None, option) for option in GLOBALS]
    flags = {option.name for command in COMMANDS for option in (*command.options, *GLOBALS) if option.kind == "flag"}
    return {
        "@FLAGS@": " ".join(["-h", *(f"--{name}" for name in sorted(flags))]),
        "@TWO_WORDS@": " ".join(_fish_quoted(command.name) for command in COMMANDS if " " in command.name) or "''",
        "@COMPLETIONS@": "\n".join(lines),
    }


def _fish_if(command: str, place: int | None = None) -> str:
    words = " ".join(["__promptyoself_is", _fish_quoted(command), *([] if place is None else [str(place)])])
    return f"complete -c promptyoself -n {_fish_quoted(words)}"


def _fish_option(command: str | None, option: Option) -> str:
    begin = "complete -c promptyoself" if command is None else _fish_if(command)
    takes = "" if option.kind == "flag" else f" {_fish_values(option) or '-x'}"
    return f"{begin} -l {option.name}{takes} -d {_fish_quoted(option.help)}"


def _fish_values(one: Option | Argument) -> str:
    if one.choices:
        return f"-x -a {_fish_quoted(' '.join(one.choices))}"
    match one.completes:
        case "file":
            return "-r -F"
        case "timezone":
            return "-x -a '(__promptyoself_timezones)'"
        case "schedule":
            return "-x -k -a '(__promptyoself_ids)'"
        case "":
            return ""
        case _:
            assert_never(one.completes)


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


# -- what bash and zsh share --------------------------------------------------------------------------------

_ALONE: Final = (Option("version", "print the version", "flag"), Option("describe", "describe the commands", "flag"))


def quoted(text: str) -> str:
    """Return text as one word of bash or zsh, whatever it holds."""
    return "'" + text.replace("'", "'\\''") + "'"


def _firsts() -> dict[str, str]:
    """Return the first words of commands, each with the command's help, or with the words that may follow."""
    found = {first: f"{', '.join(rest)}" for first, rest in _seconds().items()}
    found |= {command.name: command.help for command in COMMANDS if " " not in command.name}
    return {first: found[first] for first in dict.fromkeys(command.name.split()[0] for command in COMMANDS)}


def _seconds() -> dict[str, dict[str, str]]:
    """Return the second words that may follow a first one, each with the command's help."""
    found: dict[str, dict[str, str]] = {}
    for command in COMMANDS:
        first, _, second = command.name.partition(" ")
        if second:
            found.setdefault(first, {})[second] = command.help
    return found


def _kinds() -> str:
    """Return case branches from `command --option` and `command #place` to what is offered there."""
    by_kind: dict[str, list[str]] = {}
    for option in (*GLOBALS, *_ALONE):
        by_kind.setdefault(_kind(option), []).append(f"*{quoted(f' --{option.name}')}")
    by_kind["flag"].append("*' -h'")
    for command in COMMANDS:
        for option in command.options:
            by_kind.setdefault(_kind(option), []).append(quoted(f"{command.name} --{option.name}"))
        for place, argument in enumerate(command.arguments):
            by_kind.setdefault(_kind(argument), []).append(quoted(f"{command.name} #{place}"))
    by_kind.pop("text", None)
    return _cases((" | ".join(patterns), f"found={quoted(kind)}") for kind, patterns in by_kind.items())


def _kind(one: Option | Argument) -> str:
    value = f"words {' '.join(one.choices)}" if one.choices else one.completes or "text"
    if isinstance(one, Argument):
        return value
    return {"flag": "flag", "texts": f"texts {value}"}.get(one.kind, value)


def _cases(branches: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"    {pattern}) {what} ;;" for pattern, what in branches)
