"""One call of a command: its options, the world, who asks, and where a person can be told how it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, TextIO

from promptyoself.domain.errors import Forbidden
from promptyoself.domain.models import OPERATOR
from promptyoself.interfaces.commands import GLOBALS
from promptyoself.interfaces.parse import OptionValue
from promptyoself.interfaces.table import Command

if TYPE_CHECKING:
    from datetime import datetime
    from types import ModuleType

    from promptyoself.application.idempotency import Asked
    from promptyoself.application.requests import Understood
    from promptyoself.application.schedules import Caller
    from promptyoself.interfaces.services import Services
    from promptyoself.interfaces.wire import Document

INSTALL_HINT = "install promptyoself with its dependencies (pip install promptyoself), or set PROMPTYOSELF_PYTHON"
Flags = Mapping[str, str | None]
"""db, timezone, base_url as flags gave them; `demo`, a folder, asks for the demo's own world."""
OpenServices = Callable[[Flags], "Services"]


class Call:
    """What a handler gets. The world is opened on first use, so that `--version` needs none."""

    def __init__(
        self,
        command: Command,
        options: Mapping[str, OptionValue],
        *,
        open_services: OpenServices,
        door: str,
        is_at_hand: bool = True,
        person: TextIO | None = None,
        stderr: TextIO | None = None,
        content: str | None = None,
    ) -> None:
        self.command = command
        self.is_at_hand = is_at_hand
        """Whether the caller is a process of this machine; False at a door that serves many."""
        self.person = person
        """A person's terminal, for what is worth saying before the answer; None when a program reads."""
        self.stderr = stderr
        self.content = content
        """What a door took in place of a file: the command reads it, and no file; None where files are read."""
        self.open_services = open_services
        self.understood: list[Understood] = []
        """What plain words for instants were read as, for the answer."""
        self._options = options
        self._door = door

    @cached_property
    def services(self) -> Services:
        """The world. Raises ConfigError, and Forbidden for what an agent may not do."""
        services = self.open_services(
            {"db": self.text("db"), "timezone": self.text("timezone"), "base_url": self.text("base_url")}
        )
        self._check_reach(services)
        return services

    @cached_property
    def caller(self) -> Caller:
        """Who asks: the operator, or the agent that PROMPTYOSELF_ACT_AS says."""
        from promptyoself.application.schedules import Caller

        return Caller(owner=self.services.owner, door=self._door)

    @property
    def database(self) -> str | None:
        """Where the database is, as answers name it; None for an agent from afar, who has no business with paths."""
        return self.services.store.location if self.is_at_hand or self.caller.is_operator else None

    def text(self, key: str) -> str | None:
        """Return an option's or an argument's text, or None when it was not given."""
        value = self._options.get(key)
        return value if isinstance(value, str) else None

    def texts(self, key: str) -> tuple[str, ...]:
        """Return every text of an option that may be given more than once, in order."""
        value = self._options.get(key)
        return value if isinstance(value, tuple) else ()

    def instant(self, key: str, *, timezone: str, now: datetime) -> datetime | None:
        """Return an option's instant (aware UTC), read in `timezone` unless it says otherwise; None when not given.

        Plain words are read as they mean at `now`, and noted in `understood`. Raises InvalidTrigger, InvalidTimezone.
        """
        text = self.text(key)
        if text is None:
            return None
        from promptyoself.application.requests import instant_option

        at, said = instant_option(text, option=f"--{key.replace('_', '-')}", timezone=timezone, now=now)
        self.understood += [said] if said else []
        return at

    def bound(self, key: str, *, timezone: str, now: datetime, is_end: bool = False) -> datetime | None:
        """Return an end of a span of time, both ends inclusive: a date alone is that whole day; else as `instant`."""
        from promptyoself.domain.localtime import MICROSECOND, is_day, read_day

        text = self.text(key)
        if text is None or not is_day(text):
            return self.instant(key, timezone=timezone, now=now)
        begin_at, end_at = read_day(text, timezone=timezone)
        return end_at - MICROSECOND if is_end else begin_at

    def number(self, key: str) -> int | None:
        """Return an option's whole number, or None when it was not given."""
        value = self._options.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def seconds(self, key: str, default: float) -> float:
        """Return an option's seconds, or `default` when it was not given."""
        value = self._options.get(key)
        return value if isinstance(value, float) else default

    def is_set(self, key: str) -> bool:
        """Return whether a flag was given."""
        return self._options.get(key) is True

    def is_given(self, key: str) -> bool:
        """Return whether an option was given, whatever its kind."""
        return key in self._options

    @property
    def id(self) -> int:
        """The id that the command requires."""
        number = self.number("id")
        assert number is not None, "the table says that --id is required"  # noqa: S101  parse.require has checked it
        return number

    def asked(self) -> Asked | None:
        """Return this call as one that may be repeated under its `--idempotency-key`; None when it has none."""
        key = self.text("idempotency_key")
        if key is None:
            return None
        from promptyoself.application.idempotency import asked

        options = {name: value for name, value in self._options.items() if name != "idempotency_key"}
        return asked(key, [self.command.name, options, self.content])

    def say(self, line: str) -> None:
        """Tell a person, at once, how it goes; silent when a program reads."""
        if self.person is not None:
            from promptyoself.interfaces.phrases import printable

            print(printable(line), file=self.person, flush=True)

    def close(self) -> None:
        """Close the world, if it was opened."""
        if "services" in self.__dict__:
            self.services.close()

    def _check_reach(self, services: Services) -> None:
        if services.owner == OPERATOR:
            return
        given = [one for one in (*self.command.options, *GLOBALS) if one.is_operators and one.key in self._options]
        is_refused = self.command.is_operators or (self.command.is_for_hand and not self.is_at_hand)
        if is_refused or given:
            what = f"{self.command.name} --{given[0].name}" if given else self.command.name
            services.close()
            raise Forbidden(
                f"{what} is for operators; this door acts for agent {services.owner}", hint="ask an operator"
            )


def carry_out(call: Call) -> Document:
    """Return what a command's handler answers. Raises PromptyoselfError; a bug raises whatever it is.

    The same for every door; `call` is closed in any case.
    """
    from promptyoself.interfaces import wire

    try:
        module, function = _place_of(call.command.handler)
        handler: Callable[[Call], Document] = getattr(module, function)
        document = handler(call)
        return wire.with_bounds(document, call.understood)
    finally:
        call.close()


@cache
def _place_of(handler: str) -> tuple[ModuleType, str]:
    """Return the module and the name that `module:function` of the table means; there are as many as commands."""
    from importlib import import_module

    module, _, function = handler.partition(":")
    return import_module(f"promptyoself.interfaces.{module}"), function
