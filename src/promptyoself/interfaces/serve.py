"""`serve`: the scheduler and every door in one process, until it is told to stop; or the doors alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from promptyoself.domain import limits
from promptyoself.interfaces import wire
from promptyoself.interfaces.anteroom import Anteroom, not_yet
from promptyoself.interfaces.cli_execute import log_to_stderr, sentence, tell_waiting

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from promptyoself.application.passes import Entry
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.http.listening import Listening
    from promptyoself.interfaces.wire import Document

EXTRA: Final = frozenset({"anyio", "fastapi", "mcp", "prometheus_client", "pydantic", "starlette", "uvicorn"})
"""Modules that the extra `serve` brings."""


def serve(call: Call) -> Document:
    """Keep the doors open and deliver, until a signal. Raises ConfigError when it cannot listen there."""
    log_to_stderr(call)
    listening = _listening(call)  # first: a refusal need not wait for all that follows
    with listening.socket:
        with Anteroom(listening.socket, otherwise=not_yet(), tls=listening.tls_context()):
            try:
                from promptyoself.interfaces.http import app, server  # noqa: F401  all of the extra, before anything else
            except ModuleNotFoundError as error:
                if (error.name or "").partition(".")[0] in EXTRA:
                    return not_installed(error.name or "")
                raise
            call.services.open_in_time(lambda reason: tell_waiting(call, "serve", reason))
        return _served(call, listening)


def not_installed(module: str) -> Document:
    """Return what is said where the extra is missing."""
    return wire.problem(
        f"what `serve` and `mcp` need is not installed: there is no module {module!r}",
        code="not_installed",
        hint="install the extra: pip install 'promptyoself[serve]', or in a checkout pip install '.[serve]'",
    )


def _served(call: Call, listening: Listening) -> Document:
    from promptyoself.interfaces.gatekeeper import TokenGatekeeper
    from promptyoself.interfaces.http.app import Parts, make_app
    from promptyoself.interfaces.http.server import keep_open

    services = call.services
    delivers = not call.is_set("no_deliveries")
    watchers: list[Callable[[Entry], None]] = []

    async def doors(stopping: asyncio.Event) -> None:
        parts = Parts(
            services=services,
            gatekeeper=TokenGatekeeper(services),
            stopping=stopping,
            watchers=watchers,
            reach=listening.reach,
            delivers=delivers,
        )
        await keep_open(make_app(parts), listening, stopping)

    def watch(entry: Entry) -> None:
        call.say(sentence(entry))
        for watcher in watchers:
            watcher(entry)

    _tell(call, listening, token_file=services.file_operator_token())
    interval = timedelta(seconds=call.seconds("interval", limits.INTERVAL_DEFAULT_S))
    report = services.run_with_doors(
        doors, mode="serve", address=listening.url, interval=interval, delivers=delivers, on_entry=watch
    )
    return wire.success(
        url=listening.url,
        count=report.accepted,
        reports=report.deliveries,
        clean=report.is_clean,
        message=f"Stopped; {report.accepted} prompts executed",
    )


def _listening(call: Call) -> Listening:
    from promptyoself.interfaces.http.listening import HOST_DEFAULT, PORT_DEFAULT, listen

    port = call.number("port")
    return listen(
        host=call.text("host") or HOST_DEFAULT,
        port=PORT_DEFAULT if port is None else port,
        tls_cert=call.text("tls_cert"),
        tls_key=call.text("tls_key"),
        may_be_plain=call.is_set("allow_plain_http"),
        allowed_hosts=call.texts("allowed_host"),
    )


def _tell(call: Call, listening: Listening, *, token_file: str) -> None:
    """Say where it is: to a person on the terminal, else on stderr, where a service's log is."""
    lines = (
        f"promptyoself is at {listening.url} and {_does(call)} {call.services.store.location}.",
        f"A token for operators is in {token_file}; only you can read it.",
        "Ctrl-C ends it in good order.",
    )
    if call.person is not None:
        for line in lines:
            call.say(line)
    elif call.stderr is not None:
        print(f"serve.listening url={listening.url}", file=call.stderr, flush=True)


def _does(call: Call) -> str:
    return "leaves deliveries to others that work on" if call.is_set("no_deliveries") else "delivers from"
