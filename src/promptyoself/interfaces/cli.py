"""The command line: reads words, calls a handler, writes one JSON object, or sentences and tables for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TextIO

from promptyoself.domain.errors import PromptyoselfError
from promptyoself.interfaces import wire
from promptyoself.interfaces.call import INSTALL_HINT, Call, OpenServices, carry_out
from promptyoself.interfaces.parse import Parsed, parse, require

if TYPE_CHECKING:
    from promptyoself.interfaces.wire import Document


class Doors(NamedTuple):
    """Where a call comes in and its answer goes out."""

    services: OpenServices
    stdout: TextIO
    stderr: TextIO
    is_tty: bool
    door: str
    is_debug: bool = False


def run(
    argv: Sequence[str],
    *,
    services: OpenServices,
    stdout: TextIO,
    stderr: TextIO,
    is_tty: bool,
    door: str,
    is_debug: bool = False,
) -> int:
    """Carry one command line out and return the exit code: 0, 1 for a failure, 2 for a usage error.

    Unless stdout is a terminal, exactly one JSON object goes there, whatever happens. `door` names who called (`cli`,
    `smcp`); `is_debug` writes the traceback of a bug to stderr.
    """
    doors = Doors(services, stdout, stderr, is_tty, door, is_debug)
    try:
        return _run(argv, doors)
    except BrokenPipeError:
        return 1
    except (OSError, ValueError) as error:
        # stdout itself failed: a full disk, a closed file. What was done stands.
        _complain(stderr, f"the answer could not be written: {error}")
        return 1


def _run(argv: Sequence[str], doors: Doors) -> int:
    parsed: Parsed | None = None
    try:
        parsed = parse(argv)
        document = _answer(parsed, doors)
        code = 1 if "error" in document else 0
    except PromptyoselfError as error:
        document, code = wire.failure(error), error.exit_code
    is_for_person = doors.is_tty and "--json" not in argv if parsed is None else _is_for_person(parsed, doors)
    _write(document, parsed, doors, is_for_person=is_for_person)
    return code


def answer(argv: Sequence[str], *, services: OpenServices, door: str) -> Document:
    """Return what a command line answers, as a program that imports us gets it. Raises PromptyoselfError."""
    import io

    return _answer(parse(argv), Doors(services, io.StringIO(), io.StringIO(), is_tty=False, door=door))


def _answer(parsed: Parsed, doors: Doors) -> Document:
    match parsed.wants:
        case "version":
            from promptyoself import __version__

            return wire.success(version=__version__)
        case "describe":
            from promptyoself.interfaces.describe import description

            return description()
        case "help":
            from promptyoself.interfaces.help import help_text

            return wire.success(help=help_text(parsed.command))
        case _:
            return _called(parsed, doors)


def _called(parsed: Parsed, doors: Doors) -> Document:
    command = require(parsed)
    call = Call(
        command,
        parsed.options,
        open_services=doors.services,
        door=doors.door,
        person=doors.stdout if _is_for_person(parsed, doors) else None,
        stderr=doors.stderr,
    )
    try:
        return carry_out(call)
    except PromptyoselfError:
        raise
    except KeyboardInterrupt:
        return wire.problem("interrupted before it was finished", code="interrupted", hint="look before you repeat it")
    except ModuleNotFoundError as error:
        return wire.problem(f"the module {error.name!r} is not installed", code="not_installed", hint=INSTALL_HINT)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  a bug is answered in JSON as well: SMCP shows nothing else
        return _bug(error, doors)


def _bug(error: Exception, doors: Doors) -> Document:
    if doors.is_debug:
        import traceback

        traceback.print_exception(error, file=doors.stderr)
    return wire.problem(
        f"promptyoself failed in a way nobody foresaw: {type(error).__name__}",
        code="internal",
        hint="PROMPTYOSELF_LOG=debug shows where; please report it",
    )


def _is_for_person(parsed: Parsed, doors: Doors) -> bool:
    if parsed.options.get("json") or parsed.wants == "describe":
        return False
    return doors.is_tty or (parsed.command is not None and parsed.command.is_story and parsed.wants is None)


def _write(document: Document, parsed: Parsed | None, doors: Doors, *, is_for_person: bool) -> None:
    if not is_for_person:
        print(wire.dumps(document, indent=2 if doors.is_tty else None), file=doors.stdout, flush=True)
        return
    if "error" in document and "checks" not in document:
        _complain(doors.stderr, f"promptyoself: {document['error']}")
        return
    if parsed and parsed.command and parsed.command.is_story and parsed.wants is None:
        return  # the command has told its story already
    from promptyoself.interfaces.render import render

    name = parsed.wants or (parsed.command.name if parsed.command else "") if parsed else ""
    render(name, document, doors.stdout)


def _complain(stderr: TextIO, text: str) -> None:
    from contextlib import suppress

    from promptyoself.interfaces.phrases import printable

    with suppress(OSError, ValueError):
        print(printable(text), file=stderr, flush=True)
