"""Wake-up: from the commit that registers a prompt due now to the idle worker's send, in processes of their own.

Beside it, in the same run and on the same durable PostgreSQL, PgQueuer by itself: from the commit of an enqueue to the
beginning of its entrypoint, with its driver as it comes, and with LISTEN on a second connection. Ours has further to
go: the schedule is planned, its lane gets a token, the token is picked, the send committed.

    python benchmarks/bench_wake.py [PROMPTS]

Exits 1 when ours is over the bounds.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
from pgqueuer import PgQueuer
from pgqueuer.adapters.persistence.schema_ddl import render_install
from pgqueuer.db import PsycopgDriver
from pgqueuer.domain.settings import DBSettings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from promptyoself.application import schedules
from promptyoself.application.schedules import Caller
from promptyoself.bootstrap import World
from promptyoself.config import load_settings
from promptyoself.domain.answers import Done, Message, Sent
from promptyoself.domain.models import Definition
from promptyoself.domain.triggers import TriggerKind, make_trigger
from tests.postgres.server import PostgresServer

if TYPE_CHECKING:
    from pgqueuer.models import Job
    from pgqueuer.ports.driver import NotifyCallback

    from promptyoself.domain.ports import Clock, Target, Writer

P50_MS_MAX: Final = 10.0
P99_MS_MAX: Final = 30.0
STOCK_PROMPTS_MAX: Final = 100
"""PgQueuer's own driver takes up to a second a prompt."""
WARM: Final = 5
"""First ones, which open connections and prepare statements; not counted."""
APART_S: Final = (0.03, 0.11)
"""Between one arrival and the next prompt, in turns of uneven length: no rhythm of ours or of PgQueuer's may fit it."""
WAIT_S_MAX: Final = 20.0
NAME: Final = "nowhere"


def main() -> int:
    if sys.argv[1:2] == ["--worker"]:
        return WORKERS[sys.argv[2]](sys.argv[3])
    prompts = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    figures = {}
    with PostgresServer(is_durable=True) as server:
        for name, opened, count in (
            ("ours", registering, prompts),
            ("pgqueuer, LISTEN apart", enqueueing, prompts),
            ("pgqueuer as it comes", enqueueing, min(prompts, STOCK_PROMPTS_MAX)),
        ):
            figures[name] = found = wakes(server, name, opened, count)
            shown = f"p50 {statistics.median(found):.1f} ms, p99 {p99(found):.1f} ms, longest {max(found):.1f} ms"
            print(f"wake-up, {name}: {shown} ({count} prompts)")
    ours = figures["ours"]
    is_quick = statistics.median(ours) <= P50_MS_MAX and p99(ours) <= P99_MS_MAX
    print(f"promised: p50 {P50_MS_MAX:g} ms, p99 {P99_MS_MAX:g} ms: {'kept' if is_quick else 'MISSED'}")
    return 0 if is_quick else 1


def p99(found: Sequence[float]) -> float:
    """Return what 99 of 100 stay below."""
    return sorted(found)[int(len(found) * 0.99) - 1 if len(found) >= 100 else -1]


Register = Callable[[int], int]
"""Registers the prompt of a number; returns the monotonic clock in ns just after its commit."""


def wakes(
    server: PostgresServer, name: str, opened: Callable[[str], AbstractContextManager[Register]], count: int
) -> list[float]:
    """Return milliseconds from each registering commit to the send."""
    url = server.new_database()
    found = []
    with opened(url) as register, working(name, url) as worker:
        for number in range(WARM + count):
            time.sleep(APART_S[0] + (APART_S[1] - APART_S[0]) * (number * 7 % 10) / 10)
            committed_ns = register(number)
            begun = json.loads(line_of(worker))
            expect(begun["number"] == number, f"another prompt came: {begun}")
            if number >= WARM:
                found.append((begun["at_ns"] - committed_ns) / 1e6)
    return found


@contextmanager
def working(name: str, url: str) -> Iterator[subprocess.Popen[str]]:
    """Start a worker and wait until it is ready."""
    command = [sys.executable, __file__, "--worker", name, url]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        expect(line_of(worker) == "ready\n", "the worker did not begin")
        time.sleep(2)  # until all is quiet: it is an idle one that is woken
        yield worker
    finally:
        worker.kill()
        worker.wait()


def line_of(worker: subprocess.Popen[str]) -> str:
    """Return what a worker says next."""
    told = worker.stdout
    if told is None or not select.select([told], [], [], WAIT_S_MAX)[0]:
        raise SystemExit(f"a worker said nothing within {WAIT_S_MAX} s")
    return told.readline()


def expect(is_so: object, otherwise: str) -> None:
    """End the run when it measures something else than it says."""
    if not is_so:
        raise SystemExit(otherwise)


def say(number: int) -> None:
    """Tell the parent that the prompt of this number is being sent, and when: one clock for all processes here."""
    at_ns = time.monotonic_ns()
    print(json.dumps({"number": number, "at_ns": at_ns}), flush=True)


# -- ours ---------------------------------------------------------------------------------------------------


class Nowhere:
    """A target that takes everything at once."""

    name = NAME

    async def send(self, message: Message) -> Done:
        """Tell when it began."""
        say(int(message.prompt))
        return Done()

    async def follow(self, sent: Sent) -> Done:
        """Nothing runs behind it."""
        del sent
        return Done()

    settle = follow

    async def cancel_run(self, sent: Sent) -> None:
        """There is no run."""

    async def probe(self) -> None:
        """It never refuses."""

    async def close(self) -> None:
        """It holds nothing."""


@contextmanager
def registering(url: str) -> Iterator[Register]:
    """Register as a door does: a schedule that fires once, at this instant, for an agent that was idle."""
    world = our_world(url)
    store = world.store

    def register(number: int) -> int:
        now = world.clock.now()
        # The commit takes longer: it is due by then. (A time that has passed is refused.)
        at = now + timedelta(milliseconds=1)
        trigger = make_trigger(TriggerKind.ONCE, at.isoformat(), timezone="UTC", now=now)
        definition = Definition(agent_id=f"agent-{number}", prompt=str(number), trigger=trigger, target=NAME)
        with store.transaction() as tx:
            schedules.put(tx, definition, caller=Caller(door="bench"), uid=world.new_uid(), now=now)
        return time.monotonic_ns()

    yield register
    world.close()


def our_world(url: str) -> World:
    """Return a world on that database whose only target is nowhere."""

    def targets(_writer: Writer, _clock: Clock) -> Mapping[str, Target]:
        return {NAME: Nowhere()}

    folder = Path(tempfile.gettempdir())
    settings = load_settings({"HOME": str(folder), "PROMPTYOSELF_DB": url}, folder, flags={})
    return World(settings, make_targets=targets, targets=(NAME,), default_target=NAME)


def our_worker(url: str) -> int:
    """Deliver until killed."""
    world = our_world(url)

    async def doors(stopping: asyncio.Event) -> None:
        print("ready", flush=True)
        await stopping.wait()

    world.run_with_doors(doors, mode="worker", address=None, interval=timedelta(seconds=60))
    return 0


# -- PgQueuer by itself -------------------------------------------------------------------------------------


class ListeningApart(PsycopgDriver):
    """PgQueuer's driver, but for LISTEN, which has a connection of its own."""

    def __init__(self, asking: psycopg.AsyncConnection, listening: psycopg.AsyncConnection) -> None:
        super().__init__(asking)
        self._listening = PsycopgDriver(listening)

    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        """Listen on the other connection."""
        await self._listening.add_listener(channel, callback)


@contextmanager
def enqueueing(url: str) -> Iterator[Register]:
    """Enqueue as PgQueuer does, on a connection that stands."""
    with asyncio.Runner() as runner:
        connection = runner.run(psycopg.AsyncConnection.connect(url, autocommit=True))
        runner.run(_run(connection, render_install(DBSettings())))
        queries = PgQueuer(PsycopgDriver(connection)).qm.queries

        def register(number: int) -> int:
            runner.run(queries.enqueue(["prompt"], [b"%d" % number], [0]))
            return time.monotonic_ns()

        yield register
        runner.run(connection.close())


async def _run(connection: psycopg.AsyncConnection, text: str) -> None:
    await connection.execute(text.encode())


async def _pgqueuer(url: str, *, is_apart: bool) -> None:
    logging.disable(logging.CRITICAL)
    asking = await psycopg.AsyncConnection.connect(url, autocommit=True)
    listening = await psycopg.AsyncConnection.connect(url, autocommit=True)
    queue = PgQueuer(ListeningApart(asking, listening) if is_apart else PsycopgDriver(asking))

    @queue.entrypoint("prompt")
    async def prompt(job: Job) -> None:
        say(int(job.payload or b""))

    print("ready", flush=True)
    # Longer than a run of this: what wakes it is the notification.
    await queue.run(dequeue_timeout=timedelta(minutes=10), batch_size=10)


WORKERS: Final[Mapping[str, Callable[[str], int]]] = {
    "ours": our_worker,
    "pgqueuer as it comes": lambda url: asyncio.run(_pgqueuer(url, is_apart=False)) or 0,
    "pgqueuer, LISTEN apart": lambda url: asyncio.run(_pgqueuer(url, is_apart=True)) or 0,
}


if __name__ == "__main__":
    os.environ.setdefault("PROMPTYOSELF_LOG", "warning")
    sys.exit(main())
