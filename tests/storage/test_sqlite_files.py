"""Where the database's file may be, who may read it, and what is said when it cannot be used."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptyoself.domain.errors import (
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnsafe,
)
from promptyoself.domain.ports import ScheduleFilter
from promptyoself.storage.migrate import migrations
from promptyoself.storage.places import file_system_of, is_network
from promptyoself.storage.sqlite import SqliteStore, _make
from tests.contract.lane_suite import add_schedule
from tests.factories import a_fact
from tests.storage.conftest import SOON, OpenStore, Start


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- making and finding it ----------------------------------------------------------------------------------


def test_files_are_their_owners_alone_whatever_the_umask(open_store: OpenStore, path: Path) -> None:
    umask = os.umask(0)
    try:
        store = open_store()
        add_schedule(store)
        store.backup(path.parent / "copy.db")
    finally:
        os.umask(umask)
    assert mode(path.parent) == 0o700
    names = ["", "-wal", "-shm"]
    assert [mode(path.with_name(path.name + name)) for name in names] == [0o600] * 3
    assert mode(path.parent / "copy.db") == 0o600


def test_a_folder_that_was_there_keeps_its_mode(open_store: OpenStore, path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    open_store()
    assert mode(path.parent) == 0o755


def test_making_a_database_leaves_nothing_else_behind(open_store: OpenStore, path: Path) -> None:
    open_store().close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_uid_is_given_once(open_store: OpenStore) -> None:
    first = open_store()
    assert open_store().uid == first.uid


def test_an_empty_file_becomes_a_database(open_store: OpenStore, path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    add_schedule(open_store())


def test_a_disk_without_hard_links_will_do(open_store: OpenStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    add_schedule(open_store())
    assert mode(path) == 0o600


def test_many_processes_may_make_it_at_once(start: Start) -> None:
    processes = [start("say(store.uid)") for _ in range(4)]
    answers = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert len(set(answers)) == 1


def test_the_second_of_two_makers_takes_what_the_first_has_made(open_store: OpenStore, path: Path) -> None:
    store = open_store()
    add_schedule(store)
    _make(path, migrations("sqlite"), lambda: "f" * 32, SOON)
    again = open_store()
    assert again.uid == store.uid
    with again.reading() as tx:
        assert len(tx.schedules(ScheduleFilter())) == 1


def test_every_connection_keeps_what_is_promised(open_store: OpenStore) -> None:
    """No test can cut the power; so what survives it is looked up."""
    store = open_store()
    store.change_mark()
    with store.reading():
        pass
    for connection in (store._writing, *store._readers, store._watching):
        assert connection is not None
        for pragma, value in {
            "journal_mode": "wal",
            "synchronous": 2,
            "foreign_keys": 1,
            "busy_timeout": 10_000,
        }.items():
            assert connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)


def test_a_link_is_followed(open_store: OpenStore, path: Path, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(path)
    assert open_store(tmp_path / "link.db").location == str(path)
    assert path.is_file()


@pytest.mark.parametrize("name", ["with space.db", "uni\u0101.db", "a?mode=memory#x%20.db", "file:x.db", "'quoted'.db"])
def test_any_file_name_will_do(open_store: OpenStore, tmp_path: Path, name: str) -> None:
    open_store(tmp_path / name).close()
    assert (tmp_path / name).is_file()


# -- what is refused ----------------------------------------------------------------------------------------

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /mnt/team\\040files rw shared:7 master:2 - nfs4 server:/x rw
31 30 8:2 / /mnt/team\\040files/local rw - xfs /dev/sdb rw
32 22 0:41 / /home/user/remote rw - fuse.sshfs user@host: rw
33 22 0:42 / /c rw - 9p drvfs rw
34 22 0:43 / /twice rw - cifs //host/x rw
35 34 0:44 / /twice rw - tmpfs none rw
36 22 0:45 / /share rw - cifs //host/x rw
37 22 8:3 / /home rw - ext4 /dev/sdc rw
"""


@pytest.mark.parametrize(
    ("place", "kind", "refused"),
    [
        ("/var/lib/p.db", "ext4", False),
        ("/mnt/team files/p.db", "nfs4", True),
        ("/mnt/team files/local/p.db", "xfs", False),
        ("/mnt/team filesystem/p.db", "ext4", False),
        ("/home/user/remote/a/b/p.db", "fuse.sshfs", True),
        ("/c/p.db", "9p", True),
        ("/twice/p.db", "tmpfs", False),
        ("/share/p.db", "cifs", True),
        ("/sharebutnot/p.db", "ext4", False),
    ],
)
def test_the_mount_table_tells_network_file_systems(place: str, kind: str, *, refused: bool) -> None:
    assert file_system_of(Path(place), MOUNTS) == kind
    assert is_network(kind) is refused


def test_an_unknown_mount_table_refuses_nothing() -> None:
    assert file_system_of(Path("/p.db"), "") is None
    assert file_system_of(Path("/p.db"), "nonsense\n\n1 2 - nfs") is None


def test_a_network_file_system_is_refused_before_anything_is_made(open_store: OpenStore, path: Path) -> None:
    table = f"1 0 8:1 / / rw - ext4 x rw\n2 1 0:1 / {path.parent.resolve()} rw - nfs4 host:/ rw\n"
    with pytest.raises(StoreUnsafe, match="nfs4") as caught:
        open_store(mounts=lambda: table)
    assert caught.value.hint
    assert not path.exists()


def test_a_folder_in_its_place_is_refused(open_store: OpenStore, path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match="folder"):
        open_store()


def test_a_file_where_its_folder_should_be_is_refused(open_store: OpenStore, path: Path) -> None:
    path.parent.write_text("I am a file")
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store()


def test_a_name_with_a_nul_is_refused(open_store: OpenStore) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store("/tmp/a\0b.db")


def test_another_programs_database_is_refused_and_left_as_it_was(open_store: OpenStore, path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE recipes (cake TEXT)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match="another program"):
        open_store()
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(open_store: OpenStore, path: Path) -> None:
    path.parent.mkdir()
    path.write_text("Dear diary, " * 1000)
    with pytest.raises(StoreCorrupt, match=path.name):
        open_store()
    assert path.read_text() == "Dear diary, " * 1000


def test_damage_within_the_file_is_told_in_our_words(open_store: OpenStore, path: Path) -> None:
    store = open_store()
    for number in range(300):
        add_schedule(store, f"uid-{number}", prompt="x" * 200)
    store.close()
    content = bytearray(path.read_bytes())
    for offset in range(4096 * 3, len(content)):
        content[offset] ^= 0xFF
    path.write_bytes(content)

    def use() -> None:
        with open_store().reading() as tx:
            tx.schedules(ScheduleFilter())

    with pytest.raises(StoreCorrupt):
        use()


def test_a_word_that_the_models_do_not_know_is_damage(open_store: OpenStore) -> None:
    store = open_store()
    schedule = add_schedule(store)
    assert store._writing is not None
    store._writing.execute("UPDATE schedules SET quiet_hours = 'at night, please'")
    with pytest.raises(StoreCorrupt), store.reading() as tx:
        tx.schedule(schedule.id)


def test_problems_are_found_by_looking(open_store: OpenStore, path: Path) -> None:
    store = open_store()
    for number in range(300):
        add_schedule(store, f"uid-{number}", prompt="x" * 200)
    assert store.problems() == []
    store.close()
    content = bytearray(path.read_bytes())
    content[-4096 * 4 : -4096 * 3] = b"\xff" * 4096
    path.write_bytes(content)
    assert open_store().problems() != []


# -- what passes by itself ----------------------------------------------------------------------------------


def test_a_lock_held_for_too_long_is_busy_and_then_all_is_well(open_store: OpenStore, path: Path) -> None:
    store = open_store(busy_for=SOON)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy, match=path.name):
        add_schedule(store)
    with store.reading() as tx:
        assert tx.schedules(ScheduleFilter()) == []
    other.execute("ROLLBACK")
    other.close()
    add_schedule(store)


def test_a_full_disk_undoes_the_transaction_and_then_all_is_well(open_store: OpenStore) -> None:
    store = open_store()
    kept = add_schedule(store)
    assert store._writing is not None
    pages = store._writing.execute("PRAGMA page_count").fetchone()[0]
    store._writing.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFull) as caught:
        add_schedule(store, "big", prompt="x" * 1_000_000)
    assert caught.value.hint
    store._writing.execute("PRAGMA max_page_count = 1000000")
    big = add_schedule(store, "big", prompt="x" * 1_000_000)
    with store.reading() as tx:
        assert tx.schedules(ScheduleFilter()) == [kept, big]


def test_a_failure_passed_over_within_a_transaction_still_fails_it(open_store: OpenStore) -> None:
    """SQLite itself undoes a transaction on a full disk: what comes after must not be stored alone."""
    store = open_store()
    assert store._writing is not None
    pages = store._writing.execute("PRAGMA page_count").fetchone()[0]
    store._writing.execute("PRAGMA cache_size = 5")
    store._writing.execute(f"PRAGMA max_page_count = {pages}")

    def write() -> None:
        with store.transaction() as tx:
            with pytest.raises(StoreFull):
                tx.add_fact(a_fact(actor="x" * 1_000_000))
            with pytest.raises(StoreError, match="ended"):
                tx.add_fact(a_fact())

    with pytest.raises(StoreError):
        write()
    with store.reading() as tx:
        assert tx.facts(limit=9) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_disk_that_is_really_full_is_told_so(open_store: OpenStore, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("this container may not mount")
    try:
        store = open_store(disk / "p.db")
        kept = add_schedule(store)
        with pytest.raises(StoreFull):
            add_schedule(store, "big", prompt="x" * 2_000_000)
        with store.reading() as tx:
            assert tx.schedules(ScheduleFilter()) == [kept]
        store.close()
        (disk / "filler").write_bytes(b"x" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize))
        with pytest.raises(StoreFull):
            open_store(disk / "q.db")
        assert sorted(file.name for file in disk.iterdir()) == ["filler", "p.db"]
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


# -- permissions: as root nothing is forbidden, so these run as nobody --------------------------------------

AS_NOBODY = """
import os, sys
from promptyoself.domain.errors import PromptyoselfError
from promptyoself.domain.ports import ScheduleFilter
from promptyoself.storage.sqlite import SqliteStore
from tests.factories import *
# All is read before: the interpreter and this checkout may be closed to nobody.
SqliteStore.open(":memory:", new_uid=lambda: "0" * 32).close()
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
try:
    store = SqliteStore.open(sys.argv[1], new_uid=lambda: "0" * 32)
    with store.reading() as tx:
        print("read", len(tx.schedules(ScheduleFilter())))
    with store.transaction() as tx:
        tx.add_schedule(a_new_schedule("another"))
    print("written")
except PromptyoselfError as error:
    print(error.code, sys.argv[1] in str(error), error.hint is not None)
"""


def as_nobody(path: Path) -> list[str]:
    home = Path(__file__).parents[2]
    answer = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, path], capture_output=True, text=True, cwd=home, check=False
    )
    assert answer.stderr == ""
    return answer.stdout.splitlines()


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that others may enter; pytest's own are closed to them."""
    folder = Path(tempfile.mkdtemp()).resolve()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_file_that_may_only_be_read_says_so_when_written(shared: Path) -> None:
    store = SqliteStore.open(shared / "p.db", new_uid=lambda: "1" * 32)
    add_schedule(store)
    for file in shared.iterdir():
        file.chmod(0o444)
    assert as_nobody(shared / "p.db") == ["read 1", "store_read_only True True"]
    store.close()


def test_a_file_that_may_not_even_be_read_says_so(shared: Path) -> None:
    SqliteStore.open(shared / "p.db", new_uid=lambda: "1" * 32).close()
    (shared / "p.db").chmod(0)
    assert as_nobody(shared / "p.db")[-1] in ("store True True", "store_read_only True True")


def test_a_folder_that_may_not_be_written_says_so(shared: Path) -> None:
    shared.chmod(0o555)
    assert as_nobody(shared / "p.db") == ["store_read_only True True"]
    assert as_nobody(shared / "deeper" / "p.db") == ["store_read_only True True"]
    assert list(shared.iterdir()) == []


def test_a_read_only_file_is_usable_again_once_it_may_be_written(open_store: OpenStore) -> None:
    store = open_store()
    assert store._writing is not None
    store._writing.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreReadOnly):
        add_schedule(store)
    store._writing.execute("PRAGMA query_only = OFF")
    add_schedule(store)


def test_a_file_that_was_moved_away_takes_no_more_writes_until_it_is_back(open_store: OpenStore, path: Path) -> None:
    """SQLite would go on writing into the file that nobody finds any more."""
    store = open_store()
    add_schedule(store)
    path.rename(path.with_name("elsewhere.db"))
    for use in (store.transaction, store.reading):
        with pytest.raises(StoreError, match="moved"), use():
            pass
    for ask in (store.change_mark, store.problems):
        with pytest.raises(StoreError, match="moved"):
            ask()
    assert not path.exists()
    path.with_name("elsewhere.db").rename(path)
    add_schedule(store, "next")


def test_a_file_replaced_while_in_use_takes_no_more_writes(open_store: OpenStore, path: Path) -> None:
    store = open_store()
    store.backup(path.with_name("copy.db")).rename(path)
    with pytest.raises(StoreError, match="replaced"):
        add_schedule(store)


# -- backup -------------------------------------------------------------------------------------------------


def test_a_backup_is_a_whole_database(open_store: OpenStore, path: Path) -> None:
    store = open_store()
    schedule = add_schedule(store)
    with store.transaction() as tx:
        tx.add_fact(a_fact())
        copy = open_store(store.backup(path.parent / "copy.db"))
    assert copy.uid == store.uid
    with copy.reading() as tx:
        assert tx.schedule(schedule.id) == schedule
        assert tx.facts(limit=9) == []


def test_a_backup_overwrites_nothing(open_store: OpenStore, path: Path) -> None:
    store = open_store()
    with pytest.raises(StoreError, match="already"):
        store.backup(path)
    add_schedule(store)


def test_a_backup_to_nowhere_says_so(open_store: OpenStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        open_store().backup(tmp_path / "nowhere" / "copy.db")


def test_a_database_in_memory_can_be_backed_up(open_store: OpenStore, path: Path) -> None:
    memory = open_store(":memory:")
    schedule = add_schedule(memory)
    path.parent.mkdir()
    with open_store(memory.backup(path)).reading() as tx:
        assert tx.schedule(schedule.id) == schedule
