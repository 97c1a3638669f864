"""Zone databases of our own making, laid into a folder that zoneinfo reads."""

from __future__ import annotations

import struct
import zoneinfo
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from promptyoself.zone_files import ZoneFiles

WITH_DST = "EET-2EEST,M3.5.0/3,M10.5.0/4"
"""Riga as it is: 09:00 in July is 06:00 UTC."""
WITHOUT_DST = "EET-2"
"""Riga after daylight saving time was abolished: 09:00 in July is 07:00 UTC."""


def lay(folder: Path, version: str | None, **zones: str) -> None:
    """Write a zone for each POSIX rule (a name's `/` as `__`), and which version it is, if it says so."""
    for name, rule in zones.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_compiled(rule))
    stated = folder / "tzdata.zi"
    if version is None:
        stated.unlink(missing_ok=True)
    else:
        stated.write_text(f"# version {version}\n")


def _compiled(rule: str) -> bytes:
    """Return a TZif file (RFC 8536) without transitions, whose footer rules all times."""
    header = b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    block = struct.pack(">lbb", 7200, 0, 0) + b"EET\0"
    return (header + block) * 2 + f"\n{rule}\n".encode()


@contextmanager
def pretended() -> Iterator[Path]:
    """Have this process read zones from a folder, which `lay` fills; the machine's own are back in the end."""
    with TemporaryDirectory() as name:
        zoneinfo.reset_tzpath([name])
        ZoneFiles().forget()
        try:
            yield Path(name)
        finally:
            zoneinfo.reset_tzpath()
            ZoneFiles().forget()
