"""What the table of commands is made of: a command, its arguments and its options. commands.py is the table itself."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["text", "texts", "id", "count", "seconds", "flag"]
"""`id` and `count` are positive whole numbers, `seconds` a number > 0; a `flag` takes no value. `texts` is an option
that may be given again and again; its value is a tuple."""

Completes = Literal["", "file", "timezone", "schedule"]
"""What a shell offers for a value that has no fixed choices: nothing, file names, time zones, ids of schedules."""


class Option(NamedTuple):
    """An option `--name`; every kind but `flag` takes exactly the next word as its value, whatever it looks like."""

    name: str
    help: str
    kind: Kind = "text"
    is_required: bool = False
    is_tool: bool = True
    """False: for people only; SMCP does not offer it to agents."""
    allows_zero: bool = False
    is_operators: bool = False
    """True: refused to an agent (PROMPTYOSELF_ACT_AS=agent)."""
    choices: tuple[str, ...] = ()
    """Words its value may be, for shells to offer; the handler checks it, for other values may be right as well."""
    completes: Completes = ""
    stands_in: str = ""
    """The key of an option that may be given in place of this one, when this one is required."""

    @property
    def key(self) -> str:
        """The name as Python and SMCP spell it."""
        return self.name.replace("-", "_")


class Argument(NamedTuple):
    """A text given by its place, such as the FILE of `import crontab FILE`.

    One that begins with `-` comes after `--`; `-` alone is one. Only the last arguments of a command may be optional.
    """

    name: str
    """In small letters; shown in capitals. The handler finds the value under `key`, beside the options."""
    help: str
    is_required: bool = True
    choices: tuple[str, ...] = ()
    """The only words that are taken; none: any text."""
    completes: Completes = ""

    @property
    def key(self) -> str:
        """The name as Python spells it."""
        return self.name.replace("-", "_")

    @property
    def shown(self) -> str:
        """The name as help and sentences show it."""
        return self.name.upper()


class Command(NamedTuple):
    """A command, and `module:function` of the handler that answers it with a JSON document."""

    name: str
    """One word, or two (`db upgrade`)."""
    help: str
    handler: str
    options: tuple[Option, ...] = ()
    is_tool: bool = False
    """True: offered to agents through SMCP, which knows options alone: such a command has no arguments."""
    example: str = ""
    is_operators: bool = False
    """True: refused to an agent (PROMPTYOSELF_ACT_AS=agent)."""
    is_for_hand: bool = False
    """True: refused to an agent that comes through a door which serves many; its own machine's command line may."""
    is_story: bool = False
    """True: tells a person how it goes also where stdout is no terminal, unless --json is given."""
    arguments: tuple[Argument, ...] = ()
