"""Which of two versions of the time zone database is the newer one.

A version is what an adapter read of the database that zones come from: `2025b` (the system's), `package 2025b` (the
tzdata package's), `2025b, package 2026a` (the system's first, the package's for zones that the system lacks), or
`files 3f9a0c...`, a fingerprint, where none is stated.
"""

from __future__ import annotations

import re
from typing import Final

_VERSION: Final = re.compile(r"(?:(?P<system>\d{4}[a-z]*)(?:, |$))?(?:package (?P<package>\d{4}[a-z]*))?")
_RELEASE: Final = re.compile(r"(\d{4})([a-z]*)")

Release = tuple[int, int, str]


def is_newer(version: str, than: str) -> bool | None:
    """Return whether `version` is newer than the other; None where nobody can tell (a fingerprint has no order).

    What zones are read from first decides; the package counts when that is the same.
    """
    ours, theirs = _order(version), _order(than)
    return None if ours is None or theirs is None else ours > theirs


def _order(version: str) -> tuple[Release, ...] | None:
    found = _VERSION.fullmatch(version)
    if found is None:
        return None
    return tuple(_release(one) for one in (found["system"], found["package"]) if one) or None


def _release(text: str) -> Release:
    """2025z comes before 2025aa, as the database's maintainers count."""
    year, letters = _RELEASE.fullmatch(text).groups()  # type: ignore[union-attr]  # _VERSION has matched it
    return int(year), len(letters), letters
