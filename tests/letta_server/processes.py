"""Daemons kept by pid file: started detached, found again by another process, and never confused with a stranger.

A pid file holds the pid and the start time of its process, as Linux tells it: a number that was given to another
process since is seen as dead, and is never signalled.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypedDict

POLL_S: Final = 0.05

_started: list[subprocess.Popen[bytes]] = []  # kept, so that a child that ended is reaped and not a zombie


@dataclass(frozen=True)
class Daemon:
    """One background process: its pid file, its log, its arguments, its whole environment, the account it runs as."""

    name: str
    run_dir: Path
    log: Path
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] | None = None
    cwd: Path | None = None
    user: str | None = None

    @property
    def pid(self) -> int | None:
        """The pid of the living process, or None."""
        for child in _started:
            child.poll()
        try:
            pid, born = self._pid_file.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if born == birth(int(pid)) else None

    def start(self) -> None:
        """Start it unless it lives."""
        if self.pid is not None:
            return
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                self.arguments,
                env=self.environment,
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **as_user(self.user),
            )
        _started.append(child)
        self._pid_file.write_text(f"{child.pid} {birth(child.pid)}\n")

    def stop(self, sign: signal.Signals = signal.SIGTERM, *, within_s: float = 15.0) -> None:
        """Signal it, wait, and end its whole session by SIGKILL when it is still there. Nothing to do is no error."""
        if (pid := self.pid) is None:
            self._pid_file.unlink(missing_ok=True)
            return
        os.kill(pid, sign)
        if not self._ended(within_s):
            self.kill()
        self._pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """SIGKILL to it and its children, as a power cut would; returns when it is gone."""
        if (pid := self.pid) is not None:
            os.killpg(pid, signal.SIGKILL)  # start_new_session made it the leader of its group
            self._ended(15.0)
        self._pid_file.unlink(missing_ok=True)

    def _ended(self, within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        while self.pid is not None and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return self.pid is None

    @property
    def _pid_file(self) -> Path:
        return self.run_dir / f"{self.name}.pid"


def birth(pid: int) -> str | None:
    """Return the process's start time in clock ticks since boot, or None when it has ended, zombies included.

    A killed program is a zombie while its other threads still end, and holds its ports until the last one has.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, threads, start_time = fields[0], int(fields[17]), fields[19]
    return None if state in "ZX" and threads <= 1 else start_time


class Account(TypedDict):
    """The arguments of subprocess that choose an account."""

    user: str | None
    group: int | None
    extra_groups: tuple[int, ...] | None


def as_user(user: str | None) -> Account:
    """Return the arguments that drop from root to that account and its group; None stays who we are."""
    if user is None:
        return {"user": None, "group": None, "extra_groups": None}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": ()}


def tail(log: Path, lines: int = 25) -> str:
    """Return the last lines of a log, for the error that names it."""
    if not log.exists():
        return "(no log was written)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
