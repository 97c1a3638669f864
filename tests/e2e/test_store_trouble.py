"""A database that cannot be written or read: a clear error, no crash, and nothing lost when the trouble is over."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.stage import Stage, assert_each_arrived_once, assert_never_two_at_once, wait_for

MS_RDONLY: Final = 1
MS_REMOUNT: Final = 32
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class Disk:
    """A small file system of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ballast = folder / "ballast"

    def mount(self, *, size: str, flags: int = 0) -> bool:
        """Mount, or with flags change what is mounted; False when this user may not."""
        target = os.fsencode(self._folder)
        return bool(_LIBC.mount(b"tmpfs", target, b"tmpfs", flags, f"size={size}".encode()) == 0)

    def unmount(self) -> None:
        """Take it away, also from under a process that still looks."""
        _LIBC.umount2(os.fsencode(self._folder), 2)

    def fill(self) -> None:
        """Leave no byte."""
        handle = os.open(self._ballast, os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            for size in (1 << 16, 1 << 12, 1):
                while _writes(handle, size):
                    pass
        finally:
            os.close(handle)

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink()


def _writes(handle: int, size: int) -> bool:
    try:
        return os.write(handle, b"x" * size) == size
    except OSError:
        return False


@pytest.fixture
def disk(stage: Stage) -> Iterator[Disk]:
    """Put the stage's database on a small disk. Skips where nothing can be mounted."""
    folder = stage.db.parent
    folder.mkdir(mode=0o700)
    made = Disk(folder)
    if not made.mount(size="8m"):
        pytest.skip("mounting a small file system takes root")
    try:
        yield made
    finally:
        stage.__exit__()
        made.unmount()


@pytest.mark.slow
def test_a_disk_that_fills_up_amid_deliveries_loses_nothing(stage: Stage, disk: Disk) -> None:
    receiver = stage.receiver(manners={"*": {"answer_s": 1.0, "run_s": 0.2}})
    texts = [f"prompt {number}" for number in range(120)]
    due = datetime.now(UTC) - timedelta(seconds=10)
    stage.add_due(((f"agent-{text[7:]}", text) for text in texts), first=due, apart=timedelta(0))
    loop = stage.loop()
    wait_for("requests that are open", lambda: receiver.count("read") >= 20, within_s=30)

    disk.fill()

    wait_for("the log to say so", lambda: "code=store_full" in loop.stderr, within_s=30)
    later = stage.call("register", "--agent-id", "agent-x", "--prompt", "x", "--every", "1h", "--skip-validation")
    assert later["code"] == "store_full"
    assert loop.is_alive
    disk.free()
    wait_for("all delivered", lambda: stage.states() == {"delivered": len(texts)} or None, within_s=60)
    assert loop.is_alive
    assert "Traceback" not in loop.stderr
    assert_each_arrived_once(receiver.arrivals(), texts)
    assert_never_two_at_once(receiver.arrivals())


def test_a_read_only_disk_is_said_and_crashes_nothing(stage: Stage, disk: Disk) -> None:
    stage.register("agent-1", "stretch", "--every", "1h", "--skip-validation")
    assert disk.mount(size="8m", flags=MS_REMOUNT | MS_RDONLY)

    _assert_refused(stage, "store_read_only")


@pytest.mark.parametrize("trouble", ["corrupt", "newer", "foreign", "network"])
def test_what_is_no_sound_database_is_refused_in_a_sentence(stage: Stage, trouble: str) -> None:
    stage.register("agent-1", "stretch", "--every", "1h", "--skip-validation")
    code, program = _spoil(stage, trouble)

    _assert_refused(stage, code, program=program)


_COMMANDS = (
    ["register", "--agent-id", "agent-1", "--prompt", "x", "--every", "1h", "--skip-validation"],
    ["list"],
    ["execute"],
    ["execute", "--loop"],
)
_PROGRAM = (sys.executable, "-m", "promptyoself")
_ON_MOUNTS = (
    "import sys, pathlib; from promptyoself.storage import places; from promptyoself.__main__ import main;"
    "places._MOUNTINFO = pathlib.Path({mounts!r}); sys.exit(main())"
)


def _assert_refused(stage: Stage, code: str, *, program: tuple[str, ...] = _PROGRAM) -> None:
    """Check that every command says the same, all at once."""
    for refused in [stage.start(*words, program=program) for words in _COMMANDS]:
        answer = refused.answer(within_s=30)
        assert (answer.get("code"), refused.wait()) == (code, 1), answer
        assert isinstance(answer["error"], str)
        assert "Traceback" not in refused.stderr


def _spoil(stage: Stage, trouble: str) -> tuple[str, tuple[str, ...]]:
    """Do harm to the database; return the code that names it, and the program to start."""
    match trouble:
        case "corrupt":
            stage.db.write_bytes(b"SQLite format 3\x00" + b"\xa5" * 8192)
            return "store_corrupt", _PROGRAM
        case "newer":
            _run(stage.db, "INSERT INTO migrations (number, name, checksum) VALUES (9999, '9999_later', 'x')")
            return "store_too_new", _PROGRAM
        case "foreign":
            stage.db.unlink()
            _run(stage.db, "CREATE TABLE notes (text TEXT)")
            return "store_corrupt", _PROGRAM
        case _:
            mounts = stage.folder / "mounts"
            # As the kernel would list it: only the table is made up, the program reads it as its own.
            mounts.write_text(f"1 0 0:1 / {stage.db.parent} rw - nfs4 server:/export rw\n", encoding="utf-8")
            return "store_unsafe", (sys.executable, "-c", _ON_MOUNTS.format(mounts=str(mounts)))


def _run(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute(statement)
    finally:
        connection.close()
