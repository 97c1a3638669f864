"""Where a database file may live: not on a network file system, whose locks and shared memory SQLite cannot trust."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from promptyoself.domain.errors import StoreUnsafe

NETWORK_FILE_SYSTEMS: Final = frozenset(
    {
        "9p", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4",
        "orangefs", "pvfs2", "smb", "smb2", "smb3", "smbfs",
    }
)  # fmt: skip
"""Kinds in mountinfo whose files other machines see too. 9p is also Windows' drives under WSL 2."""
NETWORK_FUSE: Final = frozenset(
    {
        "ceph-fuse", "curlftpfs", "davfs2", "gcsfuse", "glusterfs", "goofys", "juicefs", "mfs", "rclone", "s3fs",
        "smbnetfs", "sshfs",
    }
)  # fmt: skip
"""The same for `fuse.<name>`."""

ReadMounts = Callable[[], str]
_MOUNTINFO: Final = Path("/proc/self/mountinfo")


def read_mounts() -> str:
    """Return this process's mount table as Linux writes it, or an empty text where there is none (macOS, BSD)."""
    try:
        return _MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def refuse_network(path: Path, read: ReadMounts) -> None:
    """Raise StoreUnsafe when `path` (absolute, without symbolic links) lies on a network file system.

    SQLite's WAL needs shared memory and locks among all its users: over a network it may lose or corrupt data.
    """
    kind = file_system_of(path, read())
    if kind is not None and is_network(kind):
        raise StoreUnsafe(
            f"the database {path} lies on a network file system ({kind}), where SQLite can lose data",
            hint="name a place on a local disk with PROMPTYOSELF_DB, or use PostgreSQL",
        )


def is_network(kind: str) -> bool:
    """Return whether files on this kind of file system may be changed by other machines."""
    return kind in NETWORK_FILE_SYSTEMS or kind.removeprefix("fuse.") in NETWORK_FUSE


def file_system_of(path: Path, mounts: str) -> str | None:
    """Return the kind of the file system that holds `path`, by the text of a mount table; None when it is not told."""
    folders = {str(folder) for folder in (path, *path.parents)}
    deepest, kind = "", None
    for mount in _mounts(mounts):
        # Of two mounts at one place the later hides the earlier, hence >=.
        if mount.point in folders and len(mount.point) >= len(deepest):
            deepest, kind = mount.point, mount.kind
    return kind


class _Mount(NamedTuple):
    point: str
    kind: str


def _mounts(text: str) -> Iterable[_Mount]:
    """Yield mounts: `36 35 98:0 /root /point options [tags] - kind source options` (proc_pid_mountinfo(5))."""
    for line in text.splitlines():
        place, dash, system = line.partition(" - ")
        fields = place.split(" ")
        if dash and len(fields) > 4:  # noqa: PLR2004  the fifth field is the mount point
            yield _Mount(_unescaped(fields[4]), system.split(" ", 1)[0])


def _unescaped(field: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field
