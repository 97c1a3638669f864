"""Which time zone database zoneinfo reads on this machine, and how to make this process read it anew."""

from __future__ import annotations

import re
import sys
import zoneinfo
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_STATED: Final = (("tzdata.zi", re.compile(r"# version (\d{4}[a-z]*)")), ("+VERSION", re.compile(r"(\d{4}[a-z]*)")))
"""Files that say which release a folder of zones is of, on Linux and on macOS."""
_OF_PACKAGE: Final = re.compile(r'IANA_VERSION = "(\d{4}[a-z]*)"')
_FILES_MAX: Final = 10_000


class ZoneFiles:
    """The port `ZoneData`: the system's zones come first, the tzdata package has those that it lacks (PEP 615)."""

    def version(self) -> str:
        """Return what is on the disk now, as domain/zone_versions.py orders it; a fraction of a millisecond."""
        folder = next((path for path in map(Path, zoneinfo.TZPATH) if _holds_something(path)), None)
        parts = [] if folder is None else [_stated(folder) or f"files {_fingerprint(folder)}"]
        package = _package()
        if package is not None:
            parts.append(f"package {package}")
        return ", ".join(parts) or "none"

    def forget(self) -> None:
        """Drop every zone read so far, and all that was worked out from one.

        Every cache of the domain goes: which of them holds something of a zone is not worth a list that can be wrong.
        """
        for name, module in list(sys.modules.items()):
            if name.startswith("promptyoself.domain."):
                for member in list(vars(module).values()):
                    clear = getattr(member, "cache_clear", None)
                    if clear is not None:
                        clear()
        zoneinfo.ZoneInfo.clear_cache()


def _holds_something(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError:
        return False


def _stated(folder: Path) -> str | None:
    for name, pattern in _STATED:
        try:
            with (folder / name).open(encoding="utf-8") as file:
                found = pattern.match(file.readline())
        except (OSError, UnicodeDecodeError):
            continue
        if found is not None:
            return found[1]
    return None


def _fingerprint(folder: Path) -> str:
    """Hash every file of a folder that does not say of which release it is."""
    digest = blake2b(digest_size=8)
    for number, path in enumerate(sorted(folder.rglob("*"))):
        if number >= _FILES_MAX:
            break
        try:
            digest.update(f"{path.relative_to(folder)}\n".encode() + path.read_bytes())
        except OSError:  # a folder, or a link to nowhere
            continue
    return digest.hexdigest()


def _package() -> str | None:
    """Read the package's version from its file: the module that a long process has imported may be an old one."""
    spec = find_spec("tzdata")
    if spec is None or spec.origin is None:
        return None
    try:
        found = _OF_PACKAGE.search(Path(spec.origin).read_text(encoding="utf-8"))
    except OSError:
        return None
    return found[1] if found else None
