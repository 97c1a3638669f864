"""What the doors need of the world: bootstrap builds it, the doors only call it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

from promptyoself.domain.values import dataclass

if TYPE_CHECKING:
    import asyncio
    from contextlib import AbstractContextManager

    # Passes bring asyncio, which a command that only reads or writes a row has no time for.
    from promptyoself.application.passes import Entry
    from promptyoself.application.requests import Defaults
    from promptyoself.application.transfer.older import OlderFile
    from promptyoself.domain.access import KeyVerdict
    from promptyoself.domain.ports import AgentInfo, Clock, Store, TargetStatus
    from promptyoself.domain.ports_attach import LettaDesk, ServiceDesk
    from promptyoself.domain.ports_node import Fleet
    from promptyoself.domain.secret import Secret

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting as `config` shows it: secrets as ***, and where the value came from."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopReport:
    """What a loop did until it was stopped."""

    deliveries: int
    accepted: int
    is_clean: bool
    """True when all that was in flight finished, or was left accepted with its run recorded, within the bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedTable:
    """One table that was moved, as both databases have it."""

    name: str
    rows: int
    checksum: str
    """Over all columns of all rows: 32 hex digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveReport:
    """A move that has come to its end."""

    left: str
    live: str
    """Both without passwords."""
    tables: Sequence[MovedTable]


class Bodies(Protocol):
    """A thread for short bodies, whose transactions share commits."""

    async def run(self, body: Callable[[], T]) -> T:
        """Run a body; return when what it has written is durable. Raises what it raises, and StoreError kin."""
        ...


class Services(Protocol):
    """One process's world. Opening the store is put off until it is needed; `close` is idempotent."""

    @property
    def clock(self) -> Clock:
        """The clock."""
        ...

    @property
    def store(self) -> Store:
        """The database, opened (and made, and migrated) on first use. Raises kin of StoreError."""
        ...

    def open_in_time(self, tell: Callable[[str], None]) -> None:
        """Open the database for a service, and wait for a server that does not answer yet (POSTGRES_START_FOR).

        `tell` hears why it waits, every few seconds. Raises kin of StoreError; ConfigError.
        """
        ...

    @property
    def fleet(self) -> Fleet | None:
        """The fleet that this process is of; None where the database is a file of one machine."""
        ...

    @property
    def beside(self) -> str:
        """A path: this user's own files about the database stand beside it, and begin with its name.

        SQLite's file itself; for PostgreSQL a place in the user's data folder. Raises kin of StoreError.
        """
        ...

    @property
    def defaults(self) -> Defaults:
        """What a request that says nothing means. Raises InvalidTimezone."""
        ...

    @property
    def timezone_source(self) -> str:
        """`flag`, `environment`, `.env`, `file`, or `machine` when nobody chose the zone."""
        ...

    @property
    def settings(self) -> Sequence[Setting]:
        """Every setting with its source."""
        ...

    @property
    def owner(self) -> str:
        """For whom this process acts: `operator`, or an agent's id (PROMPTYOSELF_ACT_AS)."""
        ...

    def acting_as(self, owner: str, *, timezone: str | None = None) -> Services:
        """Return this world for another caller, `operator` or an agent's id, who gives no agent id otherwise.

        `timezone` is the request's own default. Both share one store; closing what is returned closes nothing.
        """
        ...

    @property
    def bodies(self) -> Bodies | None:
        """Where short bodies run that wait for nothing outside; None in a process that serves nobody."""
        ...

    def has_seen_agent(self, agent_id: str) -> bool:
        """Return whether `check_agent` would answer without asking Letta."""
        ...

    @property
    def letta_url(self) -> str:
        """The Letta server's address, without credentials and without a slash at its end. Raises ConfigError."""
        ...

    def new_uid(self) -> str:
        """Return 32 fresh hex digits."""
        ...

    def new_secret(self) -> str:
        """Return 43 fresh url-safe characters that nobody can guess."""
        ...

    def check_agent(self, agent_id: str) -> AgentInfo:
        """Ask Letta about an agent, 2 s at most. Raises AgentNotFound, kin of TargetError, ConfigError."""
        ...

    def check_letta_key(self, key: Secret | None) -> KeyVerdict:
        """Ask Letta what it makes of a caller's key, or of none, 2 s at most. Raises CannotVerify, ConfigError."""
        ...

    @property
    def token_file(self) -> str | None:
        """Where the operator's token for programs of this machine is kept; None where that cannot be told now."""
        ...

    def filed_operator_token(self) -> str | None:
        """Return the token in that file, or None. Raises ConfigError when others may read the file."""
        ...

    def file_operator_token(self) -> str:
        """Put an operator's token into that file unless it holds one that is live; return where it is.

        However many processes do this at once, one token is issued. Raises ConfigError and kin of StoreError.
        """
        ...

    def ping(self) -> TargetStatus:
        """Ask Letta whether it answers us. Raises TargetUnreachable, TargetRefused, ConfigError."""
        ...

    def list_agents(self) -> list[AgentInfo]:
        """Ask Letta for its agents. Raises as `ping`."""
        ...

    def upload_tool(self, source_code: str, *, name: str | None, description: str | None) -> tuple[str, str]:
        """Store a tool at Letta; return its id and name. Raises ConfigError naming LETTA_API_KEY when no key is set."""
        ...

    @property
    def service_desk(self) -> ServiceDesk:
        """Our own service, as a client sees it."""
        ...

    def setting_up(self) -> AbstractContextManager[LettaDesk]:
        """Lend Letta, as its operator sees it, and keep other processes with this database from setting agents up.

        Raises Conflict when one is at it.
        """
        ...

    def execute(self, *, wait: timedelta, on_entry: Callable[[Entry], None] | None = None) -> list[Entry]:
        """Make one pass: plan what is due, one attempt a due delivery, follow accepted runs for `wait` at most."""
        ...

    def run_loop(
        self, *, interval: timedelta, mode: str, on_entry: Callable[[Entry], None] | None = None
    ) -> LoopReport:
        """Plan and deliver until SIGINT or SIGTERM. `interval` is the safety pass; due instants wake it anyway."""
        ...

    async def run_until(
        self,
        arm: Callable[[asyncio.Event], Callable[[], None]],
        *,
        interval: timedelta,
        mode: str,
        on_entry: Callable[[Entry], None] | None = None,
    ) -> LoopReport:
        """Plan and deliver until the event that `arm` is given gets set; what `arm` returns is called at the end."""
        ...

    def run_with_doors(
        self,
        doors: Callable[[asyncio.Event], Coroutine[None, None, None]],
        *,
        mode: str,
        address: str | None,
        interval: timedelta,
        delivers: bool = True,
        concurrency: int | None = None,
        on_entry: Callable[[Entry], None] | None = None,
        on_started: Callable[[], None] | None = None,
    ) -> LoopReport:
        """Plan and deliver as `run_loop` does, with `doors` open beside in the same event loop.

        The heartbeat says `address`, the doors' URL. `doors` runs until the event that it is given gets set, which a
        signal does, and the end of the engine. When either of the two fails, both end, and what it raised is raised.
        Unless it `delivers`, there is a heartbeat and no engine: other processes deliver. `concurrency` bounds the
        lanes that it works on at once (LANES_ACTIVE_MAX when None). `on_started` is called, in a fleet, once this node
        has said that it lives and may claim what is due.
        """
        ...

    def zone_data_version(self) -> str:
        """Return the version of the time zone database that zones are read from, as domain/zone_versions.py says."""
        ...

    def backup(self, path: str) -> None:
        """Copy the database, consistent, to a new file (0600). Raises InvalidInput where it is no file."""
        ...

    def move_database(self, source: str, target: str, *, wait: timedelta, tell: Callable[[str], None]) -> MoveReport:
        """Move a database, each a path or a postgresql:// URL, or go on with a move that was begun.

        `tell` hears how it goes. Raises InvalidInput, Conflict and kin of StoreError.
        """
        ...

    def undo_move(self, source: str, target: str) -> tuple[str, str]:
        """Let a database that was to be moved go on; return both places. Raises Conflict when it is too late."""
        ...

    def problems(self) -> list[str]:
        """Look through the whole database for damage; nothing when it is sound. Raises kin of StoreError."""
        ...

    def read_older(self, path: str) -> OlderFile:
        """Read the schedules of PromptYoSelfFAST's SQLite file, and leave it as it is. Raises InvalidInput."""
        ...

    def close(self) -> None:
        """Close the store."""
        ...
