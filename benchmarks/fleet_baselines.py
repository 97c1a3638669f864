"""What our engine is held against: a plain SKIP LOCKED loop in hand-written SQL, and PgQueuer by itself.

Both do no more than they must. The loop claims the head of each of many lanes in one durable transaction, sends, and
records all in another; PgQueuer runs an entrypoint that does nothing. What they do not do, and the fleet does for each
prompt: a row of its attempt, opened and closed; a fact in the journal, in the order of commits; the end of the delivery
noted at its schedule; the envelope around the prompt; a lease of its lane that runs out by itself; bounds, breaker and
slots of the target. PgQueuer keeps no order within an agent, and has no claim but its own row's; the loop forgets what
it held when it dies. Workers are processes of their own, all ready before the time begins to run, and are ended with
it, whatever they do. The rate is that of all prompts from the word to go until the last is carried; processor time is
counted from the first to the last that a worker carries, for that worker and for the server.

    python benchmarks/fleet_baselines.py [PROMPTS]
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import psycopg
from pgqueuer import PgQueuer
from pgqueuer.adapters.persistence.schema_ddl import render_install
from pgqueuer.db import PsycopgDriver
from pgqueuer.domain.settings import DBSettings
from pgqueuer.types import QueueExecutionMode

if TYPE_CHECKING:
    from pgqueuer.models import Job

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.postgres.server import PostgresServer

LANES_A_ROUND: Final = 500
"""Of the plain loop: more a round are no faster here."""
TOKENS_A_BATCH: Final = 200
WAIT_FOR_S: Final = 180
METER_EVERY_S: Final = 0.02

LOOP_TABLES: Final = """
CREATE TABLE lanes (lane text PRIMARY KEY, token text);
CREATE TABLE prompts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lane text NOT NULL REFERENCES lanes (lane),
    fire_at bigint NOT NULL, prompt text NOT NULL, state text NOT NULL DEFAULT 'pending', sent_at timestamptz,
    done_at timestamptz
);
CREATE INDEX prompts_next ON prompts (lane, fire_at, id) WHERE state = 'pending';
"""
LOOP_CLAIM: Final = """
WITH free AS (
    SELECT lane FROM lanes
    WHERE token IS NULL AND EXISTS (SELECT 1 FROM prompts WHERE prompts.lane = lanes.lane AND state = 'pending')
    LIMIT %(most)s FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE lanes SET token = %(token)s FROM free WHERE lanes.lane = free.lane RETURNING lanes.lane
)
UPDATE prompts SET state = 'leased', sent_at = clock_timestamp()
FROM taken CROSS JOIN LATERAL (
    SELECT id FROM prompts AS p WHERE p.lane = taken.lane AND state = 'pending' ORDER BY fire_at, id LIMIT 1
) AS head
WHERE prompts.id = head.id RETURNING prompts.id, prompts.lane, prompts.prompt
"""
LOOP_RECORD: Final = """
WITH done AS (
    UPDATE prompts SET state = 'delivered', done_at = clock_timestamp()
    WHERE id = ANY(%(ids)s) AND state = 'leased' RETURNING lane
)
UPDATE lanes SET token = NULL FROM done WHERE lanes.lane = done.lane AND token = %(token)s
"""


def main() -> int:
    if sys.argv[1:2] == ["--worker"]:
        return _worker(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    prompts = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with PostgresServer(is_durable=True) as server:
        for agents in (prompts, prompts // 100):
            for workers in (1, 2):
                print(f"plain loop, {agents} agents, {workers} workers: {loop_rate(server, prompts, agents, workers)}")
        for workers in (1, 2):
            print(f"PgQueuer, {workers} workers: {pgqueuer_rate(server, prompts, workers)}")
    return 0


class Rate:
    """Deliveries a second of all workers, and what their processes and the database used of the processor."""

    def __init__(self, prompts: int, took_s: float, cpu_s: float, server_cpu_s: float) -> None:
        self.a_second = prompts / took_s
        self.cpu_us = cpu_s / prompts * 1e6
        self.server_cpu_us = server_cpu_s / prompts * 1e6

    def __str__(self) -> str:
        used = f"processor a delivery: {self.cpu_us:.0f} us, and PostgreSQL's {self.server_cpu_us:.0f} us"
        return f"{self.a_second:,.0f}/s ({used})"


def loop_rate(server: PostgresServer, prompts: int, agents: int, workers: int) -> Rate:
    """Deliver `prompts` to `agents`, in order for each, by the hand-written loop."""
    url = server.new_database()
    with psycopg.connect(url) as connection:
        connection.execute(LOOP_TABLES)
        connection.execute("INSERT INTO lanes SELECT 'agent-' || n FROM generate_series(0, %s - 1) AS n", [agents])
        connection.execute(
            "INSERT INTO prompts (lane, fire_at, prompt)"
            " SELECT 'agent-' || n %% %s, n, 'stretch' FROM generate_series(0, %s - 1) AS n",
            [agents, prompts],
        )
    settle(url)
    rate = raced(server, [__file__, "--worker", "loop", url, str(prompts)], prompts, workers)
    with psycopg.connect(url) as connection:
        left = connection.execute("SELECT count(*) FROM prompts WHERE state <> 'delivered'").fetchone()
    _hold(left == (0,), f"left: {left}")
    return rate


def pgqueuer_rate(server: PostgresServer, prompts: int, workers: int) -> Rate:
    """Run `prompts` entries of PgQueuer's table through an entrypoint that does nothing."""
    url = server.new_database()
    asyncio.run(_enqueue(url, prompts))
    settle(url)
    rate = raced(server, [__file__, "--worker", "pgqueuer", url, str(prompts)], prompts, workers)
    with psycopg.connect(url) as connection:
        left = connection.execute("SELECT count(*) FROM pgqueuer").fetchone()
    _hold(left == (0,), f"left: {left}")
    return rate


def settle(url: str) -> None:
    """Let no measurement pay for what filled its tables."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def raced(server: PostgresServer, command: Sequence[str], prompts: int, workers: int) -> Rate:
    """Start workers; when all are ready let them go, and time until the last has told that nothing is left."""
    started = [
        subprocess.Popen([sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(workers)
    ]
    try:
        ending = threading.Timer(WAIT_FOR_S, lambda: [worker.kill() for worker in started])
        ending.daemon = True
        ending.start()  # a worker that is stuck ends without a word, which is told
        for worker in started:
            _line(worker)
        with Meter(server) as meter:
            began_s = time.monotonic()
            for worker in started:
                print("go", file=worker.stdin, flush=True)
            told = [json.loads(_line(worker)) for worker in started]
    finally:
        ending.cancel()
        for worker in started:
            worker.kill()
            worker.wait()
    _hold(sum(one["carried"] for one in told) == prompts, f"not {prompts} prompts: {told}")
    busy = [one for one in told if one["carried"]]  # of few prompts one worker may have had all
    first_s, last_s = min(one["first_s"] for one in busy), max(one["ended_s"] for one in busy)
    server_s = meter.at(last_s) - meter.at(first_s)
    # One clock for all processes of a machine.
    return Rate(prompts, last_s - began_s, sum(one["cpu_s"] for one in busy), server_s)


class Meter:
    """The processor's seconds of a server, noted as they grow: which of them fell between two moments."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._noted: list[tuple[float, float]] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._note, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *failed: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _note(self) -> None:
        while not self._is_over.is_set():
            self._noted.append((time.monotonic(), _server_cpu_s(self._server)))
            self._is_over.wait(METER_EVERY_S)
        self._noted.append((time.monotonic(), _server_cpu_s(self._server)))

    def at(self, moment_s: float) -> float:
        """Return what the server had used at a moment of the monotonic clock, as noted just after it."""
        return next((used for at, used in self._noted if at >= moment_s), self._noted[-1][1])


class Tally:
    """What a worker has carried, and when: the first, the last, and the processor's seconds between them."""

    def __init__(self) -> None:
        self.carried = 0
        self._first_s = self._ended_s = 0.0
        self._cpu_first_s = self._cpu_ended_s = 0.0
        self._is_to_read = False

    def wait(self) -> None:
        """Tell the parent that this worker is ready, and wait for its word."""
        print("ready", flush=True)
        sys.stdin.readline()

    def begin(self) -> None:
        """Count from here, unless it was begun: what comes now carries the first."""
        if not self._first_s:
            self._first_s, self._cpu_first_s = time.monotonic(), time.process_time()

    def count(self, carried: int = 1) -> None:
        """Count what is carried and recorded."""
        self.begin()
        self.carried += carried
        self._ended_s, self._cpu_ended_s = time.monotonic(), time.process_time()

    def count_in_turn(self, carried: int = 1) -> None:
        """Count, and read the clocks once for all that is counted in this turn of the event loop, at its end.

        Reading two of them for each took a twentieth of a delivery's time.
        """
        self.begin()
        self.carried += carried
        if not self._is_to_read:
            self._is_to_read = True
            asyncio.get_running_loop().call_soon(self._read)

    def _read(self) -> None:
        self._is_to_read = False
        self.count(0)

    def tell(self) -> None:
        """Tell the parent of all."""
        told = {"carried": self.carried, "first_s": self._first_s, "ended_s": self._ended_s}
        print(json.dumps(told | {"cpu_s": self._cpu_ended_s - self._cpu_first_s}), flush=True)


def _worker(kind: str, url: str, prompts: int) -> int:
    if kind == "loop":
        _run_loop(url)
    else:
        asyncio.run(_run_pgqueuer(url, prompts))
    return 0


# -- the plain loop -----------------------------------------------------------------------------------------


def _run_loop(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT 1")
        tally = Tally()
        tally.wait()
        token, empty = f"worker-{connection.info.backend_pid}", 0
        while empty < 2:  # the other's lanes may have come free since
            claimed = connection.execute(LOOP_CLAIM, {"most": LANES_A_ROUND, "token": token}).fetchall()
            if not claimed:
                empty += 1
                time.sleep(0.005)
                continue
            empty = 0
            tally.begin()
            for row in claimed:
                _send(row)
            connection.execute(LOOP_RECORD, {"ids": [row[0] for row in claimed], "token": token})
            tally.count(len(claimed))
        tally.tell()


def _send(row: tuple[object, ...]) -> None:
    """Do nothing, as the no-op target does."""


# -- PgQueuer by itself -------------------------------------------------------------------------------------


async def _enqueue(url: str, prompts: int) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(render_install(DBSettings()).encode())
        queries = PgQueuer(PsycopgDriver(connection)).qm.queries
        numbers = range(prompts)
        await queries.enqueue(["prompt"] * prompts, [b"%d" % n for n in numbers], [0] * prompts)


async def _run_pgqueuer(url: str, prompts: int) -> None:
    del prompts
    logging.disable(logging.CRITICAL)  # a line a prompt would be most of the time
    tally = Tally()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        queue = PgQueuer(PsycopgDriver(connection))

        @queue.entrypoint("prompt")
        async def prompt(job: Job) -> None:
            del job
            tally.count_in_turn()

        await asyncio.to_thread(tally.wait)
        await asyncio.wait_for(
            queue.run(
                dequeue_timeout=timedelta(seconds=2),
                batch_size=TOKENS_A_BATCH,
                max_concurrent_tasks=TOKENS_A_BATCH * 2,
                mode=QueueExecutionMode.drain,
            ),
            WAIT_FOR_S,
        )
        tally.tell()


# -- measuring ----------------------------------------------------------------------------------------------


def _line(worker: subprocess.Popen[str]) -> str:
    line = "" if worker.stdout is None else worker.stdout.readline()
    _hold(bool(line), "a worker has ended without a word")
    return line


def _hold(claim: bool, otherwise: str) -> None:  # noqa: FBT001  what is claimed is all there is
    if not claim:
        raise RuntimeError(otherwise)


def _server_cpu_s(server: PostgresServer) -> float:
    """Return the processor seconds of all processes of a server that live now, and of those that have ended."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    ticks = sum(int(field) for field in _stat(server.pid)[11:15])
    for child in children:
        with suppress(FileNotFoundError, ProcessLookupError):
            ticks += sum(int(field) for field in _stat(child)[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat(pid: int | str) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


if __name__ == "__main__":
    sys.exit(main())
