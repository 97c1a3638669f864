"""Named SQL: each dialect's `queries.sql`, read once and given out by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

SQL_FOLDER: Final = Path(__file__).parent / "sql"
_NAME: Final = "-- name: "


@cache
def queries(dialect: str, file: str = "queries") -> Mapping[str, str]:
    """Return the statements of a dialect (`sqlite`) by name, without their comments.

    `file` names another file than the store's own.

    The same string object is given out each time, so that a driver's cache of prepared statements hits.
    Raises ValueError when two blocks have one name.
    """
    return parse((SQL_FOLDER / dialect / f"{file}.sql").read_text(encoding="utf-8"))


def parse(text: str) -> Mapping[str, str]:
    """Return the blocks of `text`: each begins with a line `-- name: x`, and goes on until the next.

    Raises ValueError when two blocks have one name.
    """
    found: dict[str, str] = {}
    for block in text.split(f"\n{_NAME}")[1:]:
        name, _, body = block.partition("\n")
        if name in found:
            raise ValueError(f"two blocks of SQL are named {name}")
        lines = (line for line in body.splitlines() if line and not line.startswith("--"))
        found[name] = "\n".join(lines)
    return MappingProxyType(found)
