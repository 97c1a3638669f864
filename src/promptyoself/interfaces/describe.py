"""SMCP's plugin contract 1.0: what SMCP asks with `--describe`, answered from the table of commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from promptyoself import __version__
from promptyoself.interfaces.commands import COMMANDS
from promptyoself.interfaces.table import Command, Option

if TYPE_CHECKING:
    from promptyoself.interfaces.wire import Document

CONTRACT_VERSION: Final = "1.0"
_TYPES: Final = {
    "text": "string",
    "texts": "array",
    "id": "integer",
    "count": "integer",
    "seconds": "number",
    "flag": "boolean",
}


def description() -> Document:
    """Return the plugin and the commands that agents are offered; no other key stands beside them but the version."""
    return {
        "contract_version": CONTRACT_VERSION,
        "plugin": {
            "name": "promptyoself",
            "version": __version__,
            "description": "Schedule prompts to yourself: once, by cron, at an interval, or by an RFC 5545 rule.",
        },
        "commands": [_command(command) for command in COMMANDS if command.is_tool],
    }


def _command(command: Command) -> Document:
    return {
        "name": command.name,
        "description": command.help,
        "parameters": [_parameter(command, option) for option in command.options if option.is_tool],
    }


def _parameter(command: Command, option: Option) -> Document:
    # People may say --all in place of an id; agents are not offered it.
    has_only_id = option.kind == "id" and command.name in {"pause", "resume"}
    parameter: Document = {
        "name": option.key,
        "type": _TYPES[option.kind],
        "description": option.help,
        "required": option.is_required or has_only_id,
    }
    if option.kind == "flag":
        parameter["action"] = "store_true"
        parameter["default"] = False
    return parameter
