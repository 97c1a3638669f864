"""The one place that picks adapters and puts the parts together. Heavy imports happen where they are used.

Over 500 lines, for it is one class of short methods, a door's question each: what is put together must be seen at once.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from promptyoself import __version__, interruption
from promptyoself.config import Settings, Value, load_settings
from promptyoself.domain import limits
from promptyoself.domain.errors import ConfigError, Conflict, InvalidInput, StoreCorrupt, StoreError
from promptyoself.domain.models import OPERATOR, Executor
from promptyoself.domain.values import dataclass, replace
from promptyoself.runtime import SystemChance, SystemClock
from promptyoself.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    import asyncio

    from letta_client import Letta

    from promptyoself.application.callbacks import Callbacks
    from promptyoself.application.dispatcher import Dispatcher, Report
    from promptyoself.application.gate import Gate
    from promptyoself.application.passes import Entry
    from promptyoself.application.requests import Defaults
    from promptyoself.application.transfer.older import OlderFile
    from promptyoself.domain.access import KeyVerdict
    from promptyoself.domain.addresses import Allowed
    from promptyoself.domain.answers import Target
    from promptyoself.domain.ports import AgentInfo, Clock, Store, TargetStatus, Tx, Writer
    from promptyoself.domain.ports_attach import LettaDesk, ServiceDesk
    from promptyoself.domain.ports_callbacks import Poster
    from promptyoself.domain.ports_node import Fleet
    from promptyoself.domain.secret import Secret
    from promptyoself.engines import Engine, Parts
    from promptyoself.fleet import FleetNode
    from promptyoself.interfaces.services import LoopReport, MoveReport, Setting
    from promptyoself.storage.lending import LendingStore
    from promptyoself.storage.postgres import PostgresStore
    from promptyoself.storage.postgres_steps import StepWriter
    from promptyoself.storage.writer import BodyThread, ThreadWriter
    from promptyoself.targets.letta_seen import AgentsSeen
    from promptyoself.targets.letta_settings import LettaSettings
    from promptyoself.token_file import OperatorTokenFile


@dataclass(frozen=True, slots=True)
class _Crew:
    gate: Gate
    dispatcher: Dispatcher


Doors = Callable[["asyncio.Event"], Coroutine[None, None, None]]
"""What stays open until the event is set."""
Running = Coroutine[None, None, "LoopReport"]
TargetMaker = Callable[["Writer", "Clock"], "Mapping[str, Target]"]


def open_services(*, environ: Mapping[str, str], cwd: Path, flags: Mapping[str, str | None]) -> World:
    """Return this process's world: a database, Letta and the inbox, as the settings say. Raises ConfigError."""
    return World(load_settings(environ, cwd, flags=flags))


def open_demo(*, folder: Path) -> World:
    """Return a world in `folder` that needs nothing: the inbox, and a target that fails each first attempt."""
    from promptyoself.targets.flaky import FlakyTarget
    from promptyoself.targets.inbox import InboxTarget

    def targets(writer: Writer, clock: Clock) -> Mapping[str, Target]:
        inbox = InboxTarget(writer, clock)
        return {"inbox": inbox, "flaky": FlakyTarget(inbox)}

    settings = load_settings({}, folder, flags={"db": str(folder / "demo.db")})
    return World(settings, make_targets=targets, targets=("inbox", "flaky"), default_target="inbox")


class World:
    """Services for the doors: over SQLite and this machine's clock, or over PostgreSQL and its clock."""

    def __init__(
        self,
        settings: Settings,
        *,
        make_targets: TargetMaker | None = None,
        targets: Sequence[str] = ("letta", "inbox"),
        default_target: str = "letta",
    ) -> None:
        self._settings = settings
        self._make_targets = make_targets or self._usual_targets
        self._targets = frozenset(targets)
        self._default_target = default_target
        self._chance = SystemChance()
        self._node = self._make_node()
        self._clock: Clock = SystemClock() if self._node is None else self._node.clock
        self._store: SqliteStore | PostgresStore | None = None
        self._shared: LendingStore | None = None
        self._address: str | None = None
        self._concurrency: int | None = None
        self._on_started: Callable[[], None] = _nothing
        self._bodies: BodyThread | None = None
        self._agents: AgentsSeen | None = None
        self._owner = settings.acting_agent or OPERATOR
        self._defaults: Defaults | None = None

    @property
    def clock(self) -> Clock:
        """The system's clock; in a fleet its database's, measured as the database is opened."""
        if self._node is not None and self._store is None:
            # Whoever only works something out need not have the database: this machine's time will do then.
            with suppress(StoreError, ConfigError):
                self._opened()
        return self._clock

    @property
    def store(self) -> Store:
        """The database, opened on first use."""
        return self._shared or self._opened()

    def open_in_time(self, tell: Callable[[str], None]) -> None:
        """Open the database, and wait for a server that does not answer yet."""
        if self._node is not None:
            self._node.open_in_time(tell)
        self._opened()

    @property
    def fleet(self) -> Fleet | None:
        """The fleet that this process is of."""
        return self._node

    @property
    def beside(self) -> str:
        """Where this user's files about the database stand."""
        database = self._settings.db.value
        if isinstance(database, Path):
            return str(database.resolve())
        store = self._opened()
        if not store.uid.isalnum():  # it becomes a part of a path
            raise StoreCorrupt(f"{store.location} is damaged: its uid is none")
        folder = database.folder / f"postgresql-{store.uid}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return str(folder / "promptyoself")

    @property
    def defaults(self) -> Defaults:
        """What a request that says nothing means."""
        if self._defaults is None:
            from promptyoself.application.requests import Defaults

            self._defaults = Defaults(
                timezone=self._settings.timezone.value,
                target=self._default_target,
                targets=self._targets,
                agent_id=self._settings.agent_id.value,
                callback_allow=self._callback_allow(),
            )
        return self._defaults

    @property
    def timezone_source(self) -> str:
        """Where the zone comes from."""
        return self._settings.timezone.source

    @property
    def settings(self) -> Sequence[Setting]:
        """Every setting with its source, secrets unprinted."""
        return self._settings.shown()

    @property
    def owner(self) -> str:
        """For whom this process acts."""
        return self._owner

    def acting_as(self, owner: str, *, timezone: str | None = None) -> World:
        """Return this world for another caller of a door that serves many."""
        self._opened()
        return _Seat(self, owner, timezone)

    @property
    def bodies(self) -> BodyThread | None:
        """Where short bodies run while doors are open."""
        return self._bodies

    def has_seen_agent(self, agent_id: str) -> bool:
        """Return whether Letta has named the agent within the last minute."""
        return self._agents is not None and self._agents.has(agent_id)

    @property
    def letta_url(self) -> str:
        """The Letta server's address."""
        return self._letta().base_url

    def new_uid(self) -> str:
        """Return 32 fresh hex digits."""
        return self._chance.token()

    def new_secret(self) -> str:
        """Return 43 fresh url-safe characters that nobody can guess."""
        return self._chance.secret()

    def check_agent(self, agent_id: str) -> AgentInfo:
        """Ask Letta about an agent, 2 s at most; in a process that serves many, not again within a minute."""
        return self._ask_for_agent(agent_id) if self._agents is None else self._agents.check(agent_id)

    def check_letta_key(self, key: Secret | None) -> KeyVerdict:
        """Ask Letta what it makes of a caller's key, or of none."""
        from promptyoself.domain.secret import Secret
        from promptyoself.targets.letta_keys import check_key

        return check_key(self._letta(), key, stranger=Secret(f"nobody-{self._chance.secret()}"))

    @property
    def token_file(self) -> str | None:
        """Where the operator's token for programs of this machine is kept."""
        from promptyoself.token_file import token_path

        try:
            return str(token_path(Path(self.beside)))
        except (StoreError, ConfigError):  # what lies beside a database of many machines goes by its uid
            return None

    def filed_operator_token(self) -> str | None:
        """Return the token in that file."""
        return self._token_file().read()

    def file_operator_token(self) -> str:
        """Put an operator's token into that file unless it holds one that is live."""
        from promptyoself.application.access import filed
        from promptyoself.application.schedules import Caller

        store, file = self._opened(), self._token_file()
        with store.transaction() as tx:
            filed(tx, file, secret=self._chance.secret(), caller=Caller(door="serve"), now=self._clock.now())
        return str(file.path)

    def ping(self) -> TargetStatus:
        """Ask Letta whether it answers us."""
        from promptyoself.targets.letta_check import ping

        return ping(self._letta())

    def list_agents(self) -> list[AgentInfo]:
        """Ask Letta for its agents."""
        from promptyoself.targets.letta_check import list_agents

        return list_agents(self._letta())

    def upload_tool(self, source_code: str, *, name: str | None, description: str | None) -> tuple[str, str]:
        """Store a tool at Letta; its id and name."""
        from promptyoself.targets.letta_check import upload_tool

        return upload_tool(self._letta(), source_code, name, description)

    def letta_client(self) -> Letta:
        """Return Letta's official client for the server and key of the settings; it never repeats a request."""
        from promptyoself.targets.letta_check import get_client

        return get_client(self._letta())

    @property
    def service_desk(self) -> ServiceDesk:
        """Our own service, as a client sees it."""
        from promptyoself.targets.own_service import OwnService

        return OwnService()

    @contextmanager
    def setting_up(self) -> Iterator[LettaDesk]:
        """Lend Letta to one process at a time; a lock on the folder of the user's files leaves no file behind."""
        import fcntl
        from contextlib import closing

        from promptyoself.targets.letta_attach import LettaAttachDesk

        self._opened()
        folder = os.open(Path(self.beside).parent, os.O_RDONLY)
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Conflict(
                    "another `letta attach` or `letta detach` is at work here", hint="run it again when that has ended"
                ) from None
            with closing(LettaAttachDesk(self._letta())) as desk:
                yield desk
        finally:
            os.close(folder)

    def execute(self, *, wait: timedelta, on_entry: Callable[[Entry], None] | None = None) -> list[Entry]:
        """Make one pass."""
        import asyncio

        return asyncio.run(self._execute(wait, on_entry))

    def run_loop(
        self, *, interval: timedelta, mode: str, on_entry: Callable[[Entry], None] | None = None
    ) -> LoopReport:
        """Deliver until SIGINT or SIGTERM."""
        import asyncio

        return asyncio.run(self.run_until(_signalled, interval=interval, mode=mode, on_entry=on_entry))

    async def run_until(
        self,
        arm: Callable[[asyncio.Event], Callable[[], None]],
        *,
        interval: timedelta,
        mode: str,
        on_entry: Callable[[Entry], None] | None = None,
    ) -> LoopReport:
        """Deliver until the event that `arm` is given gets set; what `arm` returns is called at the end."""
        import asyncio

        from promptyoself.garbage import collected_seldom
        from promptyoself.interfaces.services import LoopReport

        stopping = asyncio.Event()
        disarm = arm(stopping)
        counts = {"deliveries": 0, "accepted": 0}
        seen: set[int] = set()

        def count(entry: Entry) -> None:
            # A delivery is reported at acceptance and again at its end; it arrives once.
            counts["deliveries"] += 1
            if entry.is_delivered and entry.delivery.id not in seen:
                counts["accepted"] += 1
            if entry.delivery.state.is_final:
                seen.discard(entry.delivery.id)
            elif entry.is_delivered:
                seen.add(entry.delivery.id)
            if on_entry is not None:
                on_entry(entry)

        try:
            with collected_seldom():
                is_clean = await self._serve(stopping, interval=interval, mode=mode, on_entry=count)
        finally:
            disarm()
        return LoopReport(deliveries=counts["deliveries"], accepted=counts["accepted"], is_clean=is_clean)

    def run_with_doors(
        self,
        doors: Doors,
        *,
        mode: str,
        address: str | None,
        interval: timedelta,
        delivers: bool = True,
        concurrency: int | None = None,
        on_entry: Callable[[Entry], None] | None = None,
        on_started: Callable[[], None] | None = None,
    ) -> LoopReport:
        """Deliver with `doors` open beside, until SIGINT or SIGTERM, or until either of both fails."""
        import asyncio

        from promptyoself.storage.lending import LendingStore
        from promptyoself.targets.letta_seen import AgentsSeen

        self._address, self._concurrency = address, concurrency
        self._on_started = on_started or _nothing
        store = self._opened()
        if isinstance(store, SqliteStore):
            # From now on all threads, and the engine, share commits. (PostgreSQL commits for many at once by itself.)
            self._shared = LendingStore(store, self._clock)
        self._agents = AgentsSeen(self._ask_for_agent, self._clock)

        async def engine(stopping: asyncio.Event) -> LoopReport:
            arm = partial(_follow, stopping)
            if delivers:
                return await self.run_until(arm, interval=interval, mode=mode, on_entry=on_entry)
            return await self._stand_by(arm)

        return asyncio.run(self._with_doors(doors, engine))

    def zone_data_version(self) -> str:
        """Which time zone database zones are read from here."""
        from promptyoself.zone_files import ZoneFiles

        return ZoneFiles().version()

    def backup(self, path: str) -> None:
        """Copy the database to a new file."""
        store = self._opened()
        if not isinstance(store, SqliteStore):
            raise InvalidInput(
                f"{store.location} is not a file that could be copied: PostgreSQL has its own tools for backups",
                hint="pg_dump --format=custom --file=promptyoself.dump, with the same address",
            )
        store.backup(path)

    def move_database(self, source: str, target: str, *, wait: timedelta, tell: Callable[[str], None]) -> MoveReport:
        """Move a database, or go on with a move that was begun."""
        from promptyoself.interfaces.services import MovedTable, MoveReport
        from promptyoself.storage.move_ends import moved

        _check_addresses(source, target)
        origin, live = moved(source, target, new_id=self._chance.token, clock=self._clock, wait=wait, tell=tell)
        tables = [MovedTable(name=one.table, rows=one.rows, checksum=one.checksum) for one in origin.compared]
        return MoveReport(left=origin.place, live=live, tables=tables)

    def undo_move(self, source: str, target: str) -> tuple[str, str]:
        """Let a database that was to be moved go on."""
        from promptyoself.storage.move_ends import undone

        _check_addresses(source, target)
        return undone(source, target)

    def problems(self) -> list[str]:
        """Look through the whole database for damage."""
        return self._opened().problems()

    def read_older(self, path: str) -> OlderFile:
        """Read an older program's schedules."""
        from promptyoself.application.transfer.older import OlderFile
        from promptyoself.storage.older import read_older_rows

        rows, is_in_use = read_older_rows(path)
        return OlderFile(rows=rows, is_in_use=is_in_use)

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()
            self._store = self._shared = None

    # -- parts ----------------------------------------------------------------------------------------------

    async def _execute(self, wait: timedelta, on_entry: Callable[[Entry], None] | None) -> list[Entry]:
        import asyncio

        from promptyoself.application.passes import Pass
        from promptyoself.application.zone_changes import ZoneWatch
        from promptyoself.zone_files import ZoneFiles

        store = self._opened()
        executor = self._executor("execute")
        writer = self._engine_writer(store)
        zones = ZoneWatch(writer=writer, clock=self._clock, zones=ZoneFiles())
        one = Pass(writer=writer, clock=self._clock, store_uid=store.uid, executor_id=executor.id)
        async with self._crew(writer, executor, watch=one.watch, on_change=_nothing, on_grant=_ignored) as crew:
            stopping = asyncio.Event()
            disarm = _signalled(stopping)
            heeding = asyncio.ensure_future(_stop_when(stopping, crew.dispatcher.stop))
            try:
                await zones.look()
                return await one.run(crew.dispatcher, crew.gate, wait=wait, on_entry=on_entry)
            finally:
                heeding.cancel()
                disarm()

    async def _with_doors(self, doors: Doors, engine: Callable[[asyncio.Event], Running]) -> LoopReport:
        import asyncio

        from promptyoself.interfaces.services import LoopReport
        from promptyoself.storage.writer import BodyThread

        stopping = asyncio.Event()
        disarm = _signalled(stopping)
        self._bodies = bodies = None if self._shared is None else BodyThread(self._shared)
        running = asyncio.ensure_future(engine(stopping))
        opened = asyncio.ensure_future(doors(stopping))
        asked = asyncio.ensure_future(stopping.wait())
        try:
            # Whichever ends first, asked or not, ends the other.
            await asyncio.wait({asked, running, opened}, return_when=asyncio.FIRST_COMPLETED)
            is_asked = stopping.is_set()
            stopping.set()
            # Both bound their own end; a thread of theirs that hangs has no bound.
            _, late = await asyncio.wait({running, opened}, timeout=limits.END_FOR.total_seconds())
        finally:
            asked.cancel()
            disarm()
            self._bodies = None
        if bodies is not None:
            # A thread that hangs is left: it is a daemon, and nobody waits for its answers any longer.
            ending = asyncio.ensure_future(bodies.close())
            await asyncio.wait({ending}, timeout=limits.THREADS_END_FOR.total_seconds())
        if opened.done():
            opened.result()
        report = running.result() if running.done() else LoopReport(deliveries=0, accepted=0, is_clean=False)
        assert is_asked, "an engine and doors that end unasked have failed"  # noqa: S101  they have been heard above
        return replace(report, is_clean=report.is_clean and not late)

    async def _stand_by(self, arm: Callable[[asyncio.Event], Callable[[], None]]) -> LoopReport:
        """Say where the doors are, and leave planning and delivering to others."""
        import asyncio

        from promptyoself.interfaces.services import LoopReport
        from promptyoself.lanes.standby import Standby
        from promptyoself.storage.writer import ThreadWriter

        stopping = asyncio.Event()
        disarm = arm(stopping)
        writer = ThreadWriter(self._shared or self._opened())
        try:
            executor = self._executor("doors")
            with self._linked(executor):
                await Standby(writer=writer, clock=self._clock, executor=executor).run(stopping)
        finally:
            disarm()
            await writer.close()
        return LoopReport(deliveries=0, accepted=0, is_clean=True)

    async def _serve(
        self, stopping: asyncio.Event, *, interval: timedelta, mode: str, on_entry: Callable[[Entry], None]
    ) -> bool:
        from promptyoself.application.passes import entry_of
        from promptyoself.application.planner import plan_due
        from promptyoself.application.zone_changes import ZoneWatch
        from promptyoself.engines import Parts
        from promptyoself.zone_files import ZoneFiles

        store = self._shared or self._opened()
        executor = self._executor(mode)
        writer, signs = self._engine_writer(store), self._engine_writer(store)
        # Many nodes write at once: nothing that takes its time (sweeps, retention) stands before what is due.
        planning = writer if self._node is None else self._engine_writer(store)
        zones = ZoneWatch(writer=writer, clock=self._clock, zones=ZoneFiles())
        most = limits.SCHEDULES_PER_PASS_MAX if self._node is None else limits.FLEET_PLANNED_MAX
        engine: Engine

        async def plan(first: Callable[[Tx], object] | None = None, then: Callable[[Tx], object] | None = None) -> int:
            await zones.before_pass()
            return await plan_due(
                planning,
                self._clock,
                store_uid=store.uid,
                most=most,
                looks_first=self._node is None,
                first=first,
                then=then,
            )

        async with (
            AsyncExitStack() as at_end,
            self._crew(
                writer,
                executor,
                watch=lambda report: on_entry(entry_of(report)),
                on_change=lambda: engine.wake(),  # noqa: PLW0108  the engine is made below, out of this crew
                on_grant=lambda target: engine.slot_granted(target),  # noqa: PLW0108  as above
                lease=limits.LEASE if self._node is None else limits.FLEET_LEASE,
            ) as crew,
        ):
            parts = Parts(
                writer=writer,
                clock=self._clock,
                gate=crew.gate,
                dispatcher=crew.dispatcher,
                plan=plan,
                executor=executor,
                interval=interval,
                retention=self._settings.retention.value,
            )
            at_end.push_async_callback(signs.close)
            at_end.push_async_callback(planning.close)
            engine = self._engine(parts, store, signs)
            with self._linked(executor):
                return await engine.run(stopping)

    def _engine_writer(self, store: SqliteStore | PostgresStore | LendingStore) -> ThreadWriter | StepWriter:
        if self._node is None:
            from promptyoself.storage.writer import ThreadWriter

            return ThreadWriter(store)
        from promptyoself.storage.postgres_steps import StepWriter

        return StepWriter(self._node.open(), self._clock)

    def _engine(self, parts: Parts, store: Store, signs: Writer) -> Engine:
        from uuid import UUID

        from promptyoself import engines

        if self._node is None:
            return engines.local_engine(parts, store=store)
        return engines.fleet_engine(
            parts,
            signs=signs,
            conninfo=self._node.conninfo,
            owner=UUID(self._chance.token()),
            targets=sorted(self._targets),
            most=self._settings.max_in_flight.value,
            lanes_max=self._concurrency,
            on_started=self._on_started,
        )

    @asynccontextmanager
    async def _crew(
        self,
        writer: ThreadWriter | StepWriter,
        executor: Executor,
        *,
        watch: Callable[[Report], None],
        on_change: Callable[[], None],
        on_grant: Callable[[str], None],
        lease: timedelta = limits.LEASE,
    ) -> AsyncIterator[_Crew]:
        """Put targets, gate, dispatcher and callbacks together; close them, and the writer, at the end."""
        import asyncio

        from promptyoself.application.dispatcher import Dispatcher
        from promptyoself.application.gate import Gate

        targets = self._make_targets(writer, self._clock)
        callbacks = self._callbacks(writer, targets, executor)

        def watch_ends(report: Report) -> None:
            if report.delivery.state.is_final and report.schedule.definition.content is not None:
                callbacks.wake()
            watch(report)

        gate = Gate(
            targets=targets,
            writer=writer,
            clock=self._clock,
            on_change=on_change,
            on_grant=on_grant,
            most=self._settings.max_in_flight.value,
        )
        dispatcher = Dispatcher(
            writer=writer,
            targets=targets,
            gate=gate,
            clock=self._clock,
            chance=self._chance,
            executor_id=executor.id,
            watch=watch_ends,
            lease=lease,
        )
        posting = asyncio.ensure_future(callbacks.run())
        try:
            yield _Crew(gate, dispatcher)
        finally:
            posting.cancel()
            with suppress(asyncio.CancelledError):
                await posting
            await callbacks.finish()
            await gate.close()
            for target in targets.values():
                await target.close()
            await writer.close()

    def _usual_targets(self, writer: Writer, clock: Clock) -> Mapping[str, Target]:
        from promptyoself.targets.inbox import InboxTarget
        from promptyoself.targets.letta import LettaTarget

        return {"letta": LettaTarget(self._letta(), clock), "inbox": InboxTarget(writer, clock)}

    def _callbacks(self, writer: Writer, targets: Mapping[str, Target], executor: Executor) -> Callbacks:
        from promptyoself.application.callbacks import Callbacks
        from promptyoself.domain.addresses import NOTHING
        from promptyoself.domain.ports_callbacks import Recounting

        allowed = self._callback_allow() or NOTHING

        def make_poster() -> Poster:
            from promptyoself.targets.callbacks import HttpPoster

            return HttpPoster(allowed)

        return Callbacks(
            writer=writer,
            make_poster=make_poster,
            results={name: one.result_of for name, one in targets.items() if isinstance(one, Recounting)},
            clock=self._clock,
            chance=self._chance,
            actor=executor.id,
            allowed=allowed,
        )

    def _callback_allow(self) -> Allowed | None:
        text = self._settings.callback_allow.value
        if not text:
            return None
        from promptyoself.domain.addresses import read_allowed

        return read_allowed(text)

    def _ask_for_agent(self, agent_id: str) -> AgentInfo:
        from promptyoself.targets.letta_check import check_agent

        return check_agent(self._letta(), agent_id)

    def _letta(self) -> LettaSettings:
        from promptyoself.targets.letta_settings import LettaSettings

        return LettaSettings(base_url=self._settings.base_url.value, api_key=self._settings.api_key.value)

    @contextmanager
    def _linked(self, executor: Executor) -> Iterator[None]:
        """Hear of other nodes' commits as long as this lasts; a file's are looked for by whoever wants to know."""
        if self._node is not None:
            self._node.listen(executor.id)
        try:
            yield
        finally:
            if self._node is not None:
                self._node.deafen()

    def _token_file(self) -> OperatorTokenFile:
        from promptyoself.token_file import OperatorTokenFile, token_path

        return OperatorTokenFile(token_path(Path(self.beside)), new_uid=self._chance.token)

    def _make_node(self) -> FleetNode | None:
        database = self._settings.db.value
        if isinstance(database, Path):
            return None
        from promptyoself.fleet import FleetNode

        return FleetNode(database, clock=SystemClock(), new_uid=self._chance.token)

    def _opened(self) -> SqliteStore | PostgresStore:
        if self._store is None:
            database = self._settings.db.value
            if self._node is not None:
                self._store = self._node.open()
            elif isinstance(database, Path):
                self._store = SqliteStore.open(database, new_uid=self._chance.token)
        assert self._store is not None, "a database is a file or a server"  # noqa: S101  as config.py says
        return self._store

    def _executor(self, mode: str) -> Executor:
        import socket

        now = self._clock.now()
        host = socket.gethostname()
        return Executor(
            id=f"{host}:{os.getpid()}:{self._chance.token()[:8]}",
            host=host,
            pid=os.getpid(),
            version=__version__,
            mode=mode,
            started_at=now,
            heartbeat_at=now,
            address=self._address,
        )


class _Seat(World):
    """A world lent to one caller: the same parts, another owner."""

    def __init__(self, world: World, owner: str, timezone: str | None) -> None:
        self.__dict__.update(world.__dict__)
        self._owner = owner
        self._defaults = None
        settings = world._settings  # noqa: SLF001  our own kind
        self._settings = settings._replace(
            agent_id=Value(None if owner == OPERATOR else owner, "caller"),
            timezone=settings.timezone if timezone is None else Value(timezone, "request"),
        )

    def close(self) -> None:
        """Leave the lender's store open."""


def _signalled(stopping: asyncio.Event) -> Callable[[], None]:
    """Set `stopping` at SIGINT, SIGTERM and SIGHUP; a second of the first two ends the process as it would without us.

    A terminal that is closed may say so twice: its shell does, and the system. What is under way is still ended well.
    Signals are the main thread's: a loop in another thread is a guest there, and whoever runs the process hears them.
    """
    import asyncio
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        return _nothing

    loop = asyncio.get_running_loop()
    numbers = interruption.ending()

    def disarm(these: Iterable[int] = numbers) -> None:
        for number in these:
            with suppress(ValueError, RuntimeError):
                loop.remove_signal_handler(number)

    def stop() -> None:
        stopping.set()
        disarm([signal.SIGINT, signal.SIGTERM])

    for number in numbers:
        loop.add_signal_handler(number, stop)
    if interruption.take():
        stop()
    return disarm


def _check_addresses(source: str, target: str) -> None:
    """Refuse what a setting would not take: what libpq makes of it is told, and may be a piece of the password."""
    from promptyoself.postgres_url import is_postgres, shown

    for text, option in (source, "--from"), (target, "--to"):
        if is_postgres(text):
            shown(text, called=option)


def _follow(first: asyncio.Event, second: asyncio.Event) -> Callable[[], None]:
    """Set the second event once the first is set; what is returned ends that."""
    import asyncio

    following = asyncio.ensure_future(_stop_when(first, second.set))

    def leave() -> None:
        following.cancel()

    return leave


async def _stop_when(stopping: asyncio.Event, stop: Callable[[], None]) -> None:
    await stopping.wait()
    stop()


def _nothing() -> None:
    """Nobody is to be woken, or told."""


def _ignored(_target: str) -> None:
    """A single pass fetches lanes by itself."""
