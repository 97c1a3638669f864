"""The program: `promptyoself`, and `python -m promptyoself`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from promptyoself import interruption

if TYPE_CHECKING:
    from promptyoself.bootstrap import World


def main(door: str = "cli") -> int:
    """Run the command line of this process and return its exit code. `door` says who started it: cli or smcp."""
    interruption.heed()
    # A parent may have closed either: Python then has None in its place.
    stdout, stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()
    for stream in (stdout, stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal without UTF-8 shows what it can; JSON is ASCII in any case.
            stream.reconfigure(errors="backslashreplace")
    from promptyoself.interfaces.cli import run

    code = run(
        sys.argv[1:],
        services=world,
        stdout=stdout,
        stderr=stderr,
        is_tty=stdout.isatty(),
        door=door,
        is_debug=os.environ.get("PROMPTYOSELF_LOG", "").lower() == "debug",
    )
    _leave_quietly(stdout)
    _leave_hung_threads(code, stderr)
    return code


def world(flags: Mapping[str, str | None]) -> World:
    """Return this process's world, or the demo's own when `flags` names its folder. Raises ConfigError."""
    from promptyoself import bootstrap

    folder = flags.get("demo")
    if folder is not None:
        return bootstrap.open_demo(folder=Path(folder))
    return bootstrap.open_services(environ=os.environ, cwd=Path.cwd(), flags=flags)


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def _leave_quietly(stdout: TextIO) -> None:
    """Keep Python from complaining at exit when the reader of stdout has gone."""
    try:
        stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())


def _leave_hung_threads(code: int, stderr: TextIO) -> None:
    """End at once when a thread does not: Python would wait for it, for ever, after all has been stored and said."""
    import threading

    others = [one for one in threading.enumerate() if one is not threading.current_thread() and not one.daemon]
    if not others:
        return
    from contextlib import suppress

    from promptyoself.domain import limits
    from promptyoself.runtime import SystemClock

    monotonic = SystemClock().monotonic
    until_s = monotonic() + limits.THREADS_END_FOR.total_seconds()
    with suppress(KeyboardInterrupt):  # one more signal: not even so long
        for one in others:
            one.join(max(0.0, until_s - monotonic()))
    left = [one for one in others if one.is_alive()]
    if left:
        with suppress(OSError, ValueError):
            print(f"process.threads_left count={len(left)}", file=stderr, flush=True)
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
