"""Help text, from the table of commands."""

from __future__ import annotations

import shutil
import textwrap

from promptyoself.interfaces.commands import COMMANDS, GLOBALS
from promptyoself.interfaces.table import Argument, Command, Option

_WIDTH_MAX = 110
_ALONE = [("--version", "print the version"), ("--describe", "describe the commands as SMCP asks for it")]
_ENVIRONMENT = (
    "PROMPTYOSELF_DB, PROMPTYOSELF_TIMEZONE, LETTA_BASE_URL, LETTA_API_KEY, LETTA_AGENT_ID; "
    "`promptyoself config` shows each and where it came from."
)


def help_text(command: Command | None) -> str:
    """Return the help of a command, or of the whole program."""
    return _of_command(command) if command else _of_program()


def _of_program() -> str:
    rows = [(command.name, command.help) for command in COMMANDS]
    return "\n".join(
        [
            "usage: promptyoself <command> [options]",
            "",
            "Schedules prompts for AI agents. Each arrives on time, once, in order, with a receipt.",
            "",
            "commands:",
            *_rows(rows),
            "",
            "options of every command:",
            *_rows([_row(option) for option in GLOBALS] + _ALONE),
            "",
            "settings:",
            *_wrapped(_ENVIRONMENT, indent="  "),
            "",
            "Try `promptyoself demo`, or `promptyoself <command> --help`.",
        ]
    )


def _of_command(command: Command) -> str:
    arguments = " ".join(one.shown if one.is_required else f"[{one.shown}]" for one in command.arguments)
    required = " ".join(f"--{one.name} {_placeholder(one)}" for one in command.options if one.is_required)
    usage = " ".join(part for part in ("usage: promptyoself", command.name, arguments, required, "[options]") if part)
    return "\n".join(
        [
            usage,
            "",
            *_wrapped(command.help, indent=""),
            "",
            *_arguments(command),
            "options:",
            *_rows([_row(option) for option in (*command.options, *GLOBALS)]),
            "",
            "example:",
            f"  promptyoself {command.example}",
        ]
    )


def _arguments(command: Command) -> list[str]:
    if not command.arguments:
        return []
    return ["arguments:", *_rows([(one.shown, _with_choices(one)) for one in command.arguments]), ""]


def _with_choices(argument: Argument) -> str:
    return f"{argument.help}: {', '.join(argument.choices)}" if argument.choices else argument.help


def _row(option: Option) -> tuple[str, str]:
    name = f"--{option.name}" if option.kind == "flag" else f"--{option.name} {_placeholder(option)}"
    if option.kind == "texts":
        return name, f"{option.help} (may be given more than once)"
    return name, f"{option.help} (required)" if option.is_required else option.help


def _placeholder(option: Option) -> str:
    return {"id": "ID", "count": "N", "seconds": "SECONDS"}.get(option.kind, option.key.upper())


def _rows(rows: list[tuple[str, str]]) -> list[str]:
    widest = min(30, max(len(name) for name, _ in rows))
    lines: list[str] = []
    for name, text in rows:
        first, *rest = _wrapped(text, indent=" " * (widest + 4))
        if len(name) > widest:
            lines += [f"  {name}", first, *rest]
        else:
            lines += [f"  {name:<{widest}}  {first.strip()}", *rest]
    return lines


def _wrapped(text: str, *, indent: str) -> list[str]:
    width = min(shutil.get_terminal_size().columns, _WIDTH_MAX)
    return textwrap.wrap(text, max(width, 40), initial_indent=indent, subsequent_indent=indent)
