"""`worker`: hands for a fleet. It plans and delivers as `serve` does, and has no doors."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING

from promptyoself.domain import limits
from promptyoself.domain.errors import ConfigError
from promptyoself.interfaces import wire
from promptyoself.interfaces.cli_execute import log_to_stderr, sentence, tell_waiting
from promptyoself.interfaces.seen import Deliveries

if TYPE_CHECKING:
    import asyncio
    from socket import socket

    from promptyoself.application.passes import Entry
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document


def worker(call: Call) -> Document:
    """Deliver until a signal. Raises ConfigError where the database is a file."""
    services = call.services
    if services.fleet is None:
        raise ConfigError(
            "a worker is one of many hands on a PostgreSQL database, and this database is a file of one machine",
            hint="deliver from it with promptyoself serve, or promptyoself execute --loop; or set PROMPTYOSELF_DB to "
            "postgresql://user@host:5432/database",
        )
    log_to_stderr(call)
    port = call.number("health_port")
    with ExitStack() as stack:
        listening = None
        if port is not None:  # first: a port that is taken is refused before anything is
            from promptyoself.interfaces.health_port import listen, url_of

            listening = stack.enter_context(listen(port))
            _tell(call, f"worker.health url={url_of(listening)}")
        _open(call, listening)
        return _worked(call, listening, host=services.fleet.host)


def _open(call: Call, listening: socket | None) -> None:
    with ExitStack() as stack:
        if listening is not None:
            from promptyoself.interfaces.anteroom import WORKER, Anteroom

            stack.enter_context(Anteroom(listening, otherwise=WORKER))
        call.services.open_in_time(lambda reason: tell_waiting(call, "worker", reason))


def _worked(call: Call, listening: socket | None, *, host: str) -> Document:
    services = call.services
    seen = Deliveries()

    def note(entry: Entry) -> None:
        seen.note(entry)
        call.say(sentence(entry))

    async def doors(stopping: asyncio.Event) -> None:
        if listening is not None:
            from promptyoself.interfaces.health_port import HealthPort
            from promptyoself.interfaces.readiness import Readiness

            health = HealthPort(Readiness(services), seen)
            await health.open(listening)
            try:
                await stopping.wait()
            finally:
                await health.close()
        await stopping.wait()

    def tell_started() -> None:
        _tell(call, f"worker.started host={host} database={services.store.location}")
        call.say("Ctrl-C ends it in good order.")

    report = services.run_with_doors(
        doors,
        mode="worker",
        address=None,
        interval=timedelta(seconds=call.seconds("interval", limits.INTERVAL_DEFAULT_S)),
        concurrency=call.number("concurrency"),
        on_entry=note,
        on_started=tell_started,
    )
    return wire.success(
        count=report.accepted,
        reports=report.deliveries,
        clean=report.is_clean,
        message=f"Worker stopped; {report.accepted} prompts executed",
    )


def _tell(call: Call, line: str) -> None:
    if call.stderr is not None:
        print(line, file=call.stderr, flush=True)
