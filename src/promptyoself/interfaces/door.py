"""A door that serves many callers in one process: it carries out the commands of the table, each for its caller.

HTTP and MCP add no rules of their own: what a command checks, stores and answers is its handler's, as on the command
line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Final, TypeVar

from promptyoself.domain.errors import Forbidden, InvalidInput, StoreError
from promptyoself.interfaces.call import Call, Flags, carry_out
from promptyoself.interfaces.commands import find_command

if TYPE_CHECKING:
    from promptyoself.interfaces.identity import Identity
    from promptyoself.interfaces.parse import OptionValue
    from promptyoself.interfaces.services import Services
    from promptyoself.interfaces.turns import Turns
    from promptyoself.interfaces.wire import Document

T = TypeVar("T")
_SHORT: Final = frozenset({"register"})
"""Commands of which many may come at once, each with one short transaction."""
_TAKES_TIME: Final = ("content", "rrule", "skip_on", "quiet_hours")
"""Options that may have a command read a file, resolve a name, or look far ahead."""
_NOT_FOR_CALLERS: Final = frozenset({"db", "base_url", "json", "help", "demo"})


class Door:
    """Carries out commands on one world."""

    def __init__(self, services: Services, *, name: str) -> None:
        """`name` is the door's, as the journal shows it: `http`, `mcp`, `letta`."""
        self.services = services
        self._name = name
        self._turns: Turns | None = None

    def answer(
        self,
        command: str,
        options: Mapping[str, OptionValue | None],
        identity: Identity,
        *,
        content: str | None = None,
    ) -> Document:
        """Return what a command of the table answers to this caller; blocks. Raises PromptyoselfError.

        Forbidden for NOBODY, whatever the command; to an agent that comes through a door of many, what only operators
        may see there (paths of this machine, other agents' names) is refused as well.

        `options` go by their keys (`agent_id`) and hold what parse.py makes of the same words; None: not given.
        `content` stands for the file that the command reads: a caller's own files are not here.
        """
        found = find_command(command)
        given = {key: value for key, value in options.items() if value is not None}
        assert found is not None, command  # noqa: S101  a door names commands that exist
        known = _keys_of(command)
        assert given.keys() <= known, given.keys() - known  # noqa: S101  and their options
        if identity.is_nobody:
            raise Forbidden(
                f"{identity.means} speaks for agents of a Letta server, and the request names none",
                hint="Letta sends x-agent-id with an agent's tool call; a token for one agent needs no header",
            )
        _check_texts(given)
        call = Call(
            found,
            given,
            open_services=partial(self._services, identity),
            door=f"{self._name}, {identity.means}",
            is_at_hand=False,
            content=content,
        )
        try:
            return carry_out(call)
        except StoreError as error:
            if identity.is_operator:
                raise
            raise without_place(error, self.services.store.location) from error

    async def carry_out(
        self,
        command: str,
        options: Mapping[str, OptionValue | None],
        identity: Identity,
        *,
        content: str | None = None,
    ) -> Document:
        """Answer as `answer` does, in a thread of its own; at most DOOR_THREADS_MAX at once, and fewer of one agent.

        A caller that goes away does not stop it: what has begun is finished, stored or refused as a whole.
        """
        act = partial(self.answer, command, options, identity, content=content)
        bodies = self.services.bodies
        if bodies is not None and content is None and self._is_short(command, options, identity):
            return await bodies.run(act)
        return await self.in_thread(act, identity)

    async def in_thread(self, act: Callable[[], T], identity: Identity) -> T:
        """Run what calls `answer`, perhaps more than once, in a thread of its own, as `carry_out` does.

        Raises LimitExceeded as `Turns.of` does.
        """
        import anyio

        from promptyoself.interfaces.turns import Turns

        if self._turns is None:
            self._turns = Turns()
        async with self._turns.of(identity.owner) as room:
            # anyio shields a thread that has begun from cancellation; waiting for room is given up.
            return await anyio.to_thread.run_sync(act, limiter=room)

    def _is_short(self, command: str, options: Mapping[str, OptionValue | None], identity: Identity) -> bool:
        """Return whether a command surely waits for nothing outside and works out little: a common creation.

        Never an agent's: a rule may be slow to read, and one agent's slow rules would hold up everybody's creations.
        """
        if (
            not identity.is_operator
            or command not in _SHORT
            or any(options.get(key) is not None for key in _TAKES_TIME)
        ):
            return False
        if (options.get("target") or self.services.defaults.target) != "letta" or options.get("skip_validation"):
            return True
        agent_id = options.get("agent_id")
        return isinstance(agent_id, str) and self.services.has_seen_agent(agent_id)

    def _services(self, identity: Identity, flags: Flags) -> Services:
        return self.services.acting_as(identity.owner, timezone=flags.get("timezone"))


@cache
def _keys_of(command: str) -> frozenset[str]:
    """Return what a caller may give to a command of the table."""
    found = find_command(command)
    options, arguments = (found.options, found.arguments) if found is not None else ((), ())
    return frozenset({one.key for one in options} | {one.key for one in arguments}) - _NOT_FOR_CALLERS


def without_place(error: StoreError, location: str) -> StoreError:
    """Return an error as agents from afar and strangers may hear it: without the path of the database."""
    message, hint = (
        text and text.replace(f"the database {location}", "the database").replace(location, "the database")
        for text in (error.message, error.hint)
    )
    return type(error)(message or "", hint=hint)


def _check_texts(given: Mapping[str, OptionValue]) -> None:
    """Refuse texts that no command line could have given, and no target or database takes. Raises InvalidInput."""
    for key, value in given.items():
        for text in (value,) if isinstance(value, str) else value if isinstance(value, tuple) else ():
            if "\0" in text:
                raise InvalidInput(f"{key} holds a NUL character", hint="leave it out")
            if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
                raise InvalidInput(f"{key} is not valid Unicode text", hint="it holds half of a surrogate pair")
